"""Tables of what was known at a time (open interest, ratios, balances), joined to a panel's bars as fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from market.errors import InputError
from market.funding import RATE, SYMBOL, TIME, join_funding, join_snapshots
from market.matching import base_of
from market.panel import OHLCV, Panel
from market.table_files import read_table

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# A table that skips a snapshot or two still tells how things stand.
_SPACINGS = 3


def join_table(panel: Panel, path: Path, *, columns: Sequence[str] = (), oldest: np.timedelta64 | None = None) -> Panel:
    """Return the panel with the columns of a long table (time, symbol, numbers), each known at its time.

    At each bar a field is the newest value stamped at or before the bar's open: what is known from then on has been
    known for a whole bar when the bar closes and a signal is formed. A column of funding rates is joined as
    settlements: see `join_funding`. Values that are missing are passed over.

    Parameters
    ----------
    columns
        Which columns, by default all numeric ones that are no prices or volumes.
    oldest
        A value as old as this says nothing any more: NaN. By default, three times the table's usual spacing, and no
        less than three bars.

    Raises
    ------
    InputError
        For a file that cannot be read, lacks a column, has rows without a time, two values for a time, a name that is
        none in the language, or knows none of the panel's assets.
    """
    frame = read_table(path)
    names = {str(column).strip().lower(): column for column in frame.columns}
    if not columns and any(rate in names for rate in RATE[:-1]):
        return join_funding(panel, path)
    time, symbol = (next((names[name] for name in known if name in names), None) for known in (TIME, SYMBOL))
    if time is None or symbol is None:
        raise InputError(
            f"{path} has no column of {'times' if time is None else 'symbols'}", f"it has {', '.join(names)}"
        )
    taken = frame[time]
    numeric = pd.api.types.is_numeric_dtype(taken)
    stamps = pd.to_datetime(taken, utc=True, errors="coerce", unit="ms" if numeric else None)
    if stamps.isna().any():
        raise InputError(f"{path}: row {int(np.flatnonzero(stamps.isna())[0]) + 1} has no time", "fix or drop the row")
    wanted = _wanted(frame, names, (time, symbol), columns, path)
    moments = stamps.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    owners = _owners(frame[symbol].astype(str), panel, path)
    order = np.argsort(moments, kind="stable")
    places = {asset: order[(owners == asset).to_numpy()[order]] for asset in panel.assets}
    for name, column in wanted.items():
        values = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64)
        known = {asset: rows[np.isfinite(values[rows])] for asset, rows in places.items()}
        for asset, rows in known.items():
            if len(np.unique(moments[rows])) < len(rows):
                raise InputError(f"{path} has two values of {column} for {asset} at one time", "drop the duplicates")
        limit = oldest if oldest is not None else _usual(moments, known.values(), panel)
        panel = join_snapshots(panel, name, {a: (moments[rows], values[rows]) for a, rows in known.items()}, limit)
    return panel


def _wanted(
    frame: pd.DataFrame, names: Mapping[str, str], keys: tuple[object, ...], columns: Sequence[str], path: Path
) -> dict[str, str]:
    """Return field names and the columns that they come from."""
    if columns:
        unknown = [one for one in columns if one.lower() not in names]
        if unknown:
            raise InputError(f"{path} has no column {', '.join(unknown)}", f"it has {', '.join(names)}")
        found = {one.lower(): names[one.lower()] for one in columns}
    else:
        found = {
            name: column
            for name, column in names.items()
            if column not in keys and name not in OHLCV and pd.api.types.is_numeric_dtype(frame[column])
        }
    bad = [name for name in found if not _NAME.fullmatch(name) or name in OHLCV]
    if bad or not found:
        raise InputError(
            f"{path}: {', '.join(bad)} can be no field" if bad else f"{path} has no numeric column",
            "choose columns with --column; a name is lower case letters, digits and _, and no price's or volume's",
        )
    return found


def _owners(symbols: pd.Series, panel: Panel, path: Path) -> pd.Series:
    """Return the panel's asset of each row: by its name, or by its ticker where one asset alone has it; else NaN."""
    bases: dict[str, list[str]] = {}
    for asset in panel.assets:
        bases.setdefault(base_of(asset), []).append(asset)
    found = {}
    for symbol in symbols.unique():
        same = bases.get(base_of(symbol), [])
        found[symbol] = symbol if symbol in panel.assets else same[0] if len(same) == 1 else None
    if not any(found.values()):
        raise InputError(
            f"{path} knows none of the panel's assets",
            f"it has {', '.join(sorted(found)[:5])}, not {', '.join(panel.assets[:5])}",
        )
    return symbols.map(found)


def _usual(moments: np.ndarray, known: Iterable[np.ndarray], panel: Panel) -> np.timedelta64:
    gaps = [np.diff(moments[rows]) for rows in known if len(rows) > 1]
    usual = np.median(np.concatenate(gaps).astype(np.int64)) if gaps else 0
    return np.timedelta64(max(int(_SPACINGS * usual), _SPACINGS * int(panel.bar.astype(np.int64))), "ns")
