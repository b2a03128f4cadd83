"""How the rows of a long table stand: asset by asset, each in order of time, as most files have them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from market.panel import BoolArray


def same_asset(symbols: pd.Series) -> BoolArray:
    """Return (n - 1,) whether each row but the first is of the asset of the row before; no symbol is its own asset."""
    values = symbols.array
    found: BoolArray = pd.Series(values[1:] == values[:-1]).fillna(False).to_numpy(dtype=bool)
    return found


def stand_together(symbols: pd.Series, same: BoolArray) -> bool:
    """Return whether the rows of each asset stand together; `same` is what `same_asset` gives."""
    return bool(_firsts(symbols, same).is_unique)


def in_order(long: pd.DataFrame, *, sorted_assets: bool = False) -> bool:
    """Return whether a table stands asset by asset, each later than the row before: then no row repeats another's time.

    With `sorted_assets`, assets have to be in the order of their names, too.
    """
    symbols, times = long["symbol"], long["ts"]
    if times.isna().any():
        return False
    same = same_asset(symbols)
    later = np.diff(times.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]").view("int64")) > 0
    if not later[same].all() or not stand_together(symbols, same):
        return False
    return not sorted_assets or bool(_firsts(symbols, same).is_monotonic_increasing)


def _firsts(symbols: pd.Series, same: BoolArray) -> pd.Series:
    """Return the symbols of the rows at which another asset begins."""
    return symbols.iloc[np.flatnonzero(np.concatenate([[True], ~same]))] if len(symbols) else symbols
