"""Funding of perpetual contracts: settlements, at their own times, joined to a panel's bars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from market.errors import InputError
from market.panel import FloatArray, Panel, TimeArray
from market.table_files import read_table

RATE = ("funding_rate", "fundingrate", "rate", "funding")
TIME = ("ts", "timestamp", "time", "fundingtime", "funding_time", "calc_time", "date")
SYMBOL = ("symbol", "ticker", "asset", "pair", "instrument")


def join_funding(panel: Panel, path: Path) -> Panel:
    """Return the panel with two fields from a long table of settlements (time, symbol, rate).

    ``funding`` at bar t is the sum of the rates settled after the open of the bar before, up to and at that of t: what
    a long position open at those times pays, as a fraction of its value. It is 0 where nothing was settled.
    ``funding_rate`` is the last rate settled by then. Both are NaN before an asset's first settlement, and for one
    without any.

    Raises
    ------
    InputError
        When the file cannot be read, lacks a column, has unreadable rows, or knows none of the panel's assets.
    """
    frame = read_table(path)
    names = {str(column).strip().lower(): column for column in frame.columns}
    columns = [_column(names, known, path) for known in (TIME, SYMBOL, RATE)]
    stamps = frame[columns[0]]
    # Exchanges count milliseconds.
    numeric = pd.api.types.is_numeric_dtype(stamps)
    times = pd.to_datetime(stamps, utc=True, errors="coerce", unit="ms" if numeric else None)
    rates = pd.to_numeric(frame[columns[2]], errors="coerce")
    wrong = np.flatnonzero(times.isna().to_numpy() | ~np.isfinite(rates.to_numpy(dtype=np.float64)))
    if len(wrong):
        raise InputError(f"{path}: row {wrong[0] + 1} has no time or no rate", "fix or drop the row")
    symbols = frame[columns[1]].astype(str)
    if not set(symbols) & set(panel.assets):
        raise InputError(
            f"{path} knows none of the panel's assets", f"it has {', '.join(sorted(set(symbols))[:5])}, not "
            f"{', '.join(panel.assets[:5])}"
        )  # fmt: skip
    moments = times.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    numbers = rates.to_numpy(dtype=np.float64)
    owned = {asset: (symbols == asset).to_numpy() for asset in panel.assets}
    return join_settlements(panel, {asset: (moments[own], numbers[own]) for asset, own in owned.items()})


def join_settlements(panel: Panel, settled: Mapping[str, tuple[TimeArray, FloatArray]]) -> Panel:
    """Return the panel with ``funding`` and ``funding_rate``, as `join_funding` has them, from times and rates."""
    paid, last = np.full(panel.shape, np.nan), np.full(panel.shape, np.nan)
    for column, asset in enumerate(panel.assets):
        moments, rates = settled.get(asset, ((), ()))
        if len(moments):
            paid[:, column], last[:, column] = _by_bar(panel, np.asarray(moments), np.asarray(rates))
    return panel.with_fields({"funding": paid, "funding_rate": last})


def join_snapshots(
    panel: Panel, name: str, taken: Mapping[str, tuple[TimeArray, FloatArray]], oldest: np.timedelta64
) -> Panel:
    """Return the panel with the field `name`: at each bar the newest snapshot taken at or before its open.

    A snapshot as old as `oldest`, or older, says nothing any more: NaN.
    """
    values = np.full(panel.shape, np.nan)
    for column, asset in enumerate(panel.assets):
        moments, numbers = taken.get(asset, ((), ()))
        if not len(moments):
            continue
        moments, numbers = np.asarray(moments), np.asarray(numbers)
        place = np.searchsorted(moments, panel.times, side="right") - 1
        fresh = (place >= 0) & (panel.times - moments[np.maximum(place, 0)] < oldest)
        values[fresh, column] = numbers[place[fresh]]
    return panel.with_fields({name: values})


def _by_bar(panel: Panel, moments: np.ndarray, rates: FloatArray) -> tuple[FloatArray, FloatArray]:
    order = np.argsort(moments, kind="stable")
    moments, rates = moments[order], rates[order]
    if len(np.unique(moments)) < len(moments):
        raise InputError("an asset has two settlements at one time", "drop the duplicates")
    # How many settlements lie at or before each bar's open.
    known = np.searchsorted(moments, panel.times, side="right")
    total = np.concatenate([[0.0], np.cumsum(rates)])[known]
    paid = np.diff(total, prepend=0.0)
    # What was settled before the panel began was paid by nobody who trades it.
    paid[0] = rates[known[0] - 1] if known[0] > 0 and moments[known[0] - 1] == panel.times[0] else 0.0
    return np.where(known > 0, paid, np.nan), np.where(known > 0, rates[np.maximum(known - 1, 0)], np.nan)


def _column(names: dict[str, str], known: tuple[str, ...], path: Path) -> str:
    found = next((names[name] for name in known if name in names), None)
    if found is None:
        raise InputError(f"{path} has no column {' or '.join(known)}", f"it has {', '.join(map(str, names))}")
    return found
