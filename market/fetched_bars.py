"""Whether bars that a source sent can be: the checks of imported files, over a panel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from market.errors import InputError
from market.panel import OHLCV, Panel
from market.quality import check_ohlcv, impossible_reading
from market.reading.plausible import plausible_rows


def plausible_panel(panel: Panel, where: str, tell: Callable[[str], None]) -> Panel:
    """Return a fetched panel that can be one, without fields that know the future and in units that fit.

    A few bars whose prices cannot be stay as they came, and it is said: what a source sent is never revised.

    Parameters
    ----------
    where
        What messages call the source.
    tell
        Takes what was found out, a sentence each.

    Raises
    ------
    InputError
        For bars of no usual length or of tomorrow, and where more than 5 % of the bars are impossible.
    """
    there = np.logical_or.reduce([np.isfinite(panel[name]) for name in OHLCV])
    column, row = np.nonzero(there.T)
    long = pd.DataFrame(
        {"ts": pd.DatetimeIndex(panel.times[row]).tz_localize("UTC"), "symbol": np.asarray(panel.assets)[column]}
        | {name: values[row, column] for name, values in panel.fields.items()}
    )
    checked = plausible_rows(long, where, frozenset(), tell, options=False)
    defects = check_ohlcv(long)
    try:
        impossible_reading(long, defects, where)
    except InputError as error:
        # What it says of columns is for files.
        raise InputError(error.message, "nothing is stored: ask those who run the source, or take another") from error
    if defects:
        count = len({defect.row for defect in defects})
        bars = f"{count} bars" if count > 1 else "a bar"
        tell(f"{where}: {bars} cannot be: {defects[0].message}; stored as sent, see alphaglow data check")
    fields = {}
    for name in (one for one in panel.fields if one in checked.columns):
        fields[name] = panel.fields[name]
        if not checked[name].equals(long[name]):
            fields[name] = np.full(panel.shape, np.nan)
            fields[name][row, column] = checked[name].to_numpy(dtype=np.float64)
    same = len(fields) == len(panel.fields) and all(fields[name] is panel.fields[name] for name in fields)
    return panel if same else replace(panel, fields=fields)
