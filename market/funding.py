"""Funding of perpetual contracts: settlements, at their own times, joined to a panel's bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from market.columns import find, plain_name, symbol_of
from market.errors import InputError
from market.matching import owners_of
from market.panel import FloatArray, Panel, TimeArray
from market.reading.conventions import FileConventions
from market.reading.figures import figure_rows
from market.reading.numbers import figures_of
from market.reading.plausible import refuse_outside
from market.reading.times import parse_times

_AUTO = FileConventions()

RATE = ("funding_rate", "fundingrate", "rate", "last_funding_rate", "funding", "realized_rate", "realizedrate")
# What hurries or lags the full minute by less than this was settled at it: Binance stamps some milliseconds late.
_JITTER = np.timedelta64(2, "s")


def join_funding(
    panel: Panel,
    paths: Path | Sequence[Path],
    reading: FileConventions = _AUTO,
    said: list[str] | None = None,
) -> Panel:
    """Return the panel with two fields from long tables of settlements (time, symbol, rate).

    ``funding`` at bar t is the sum of the rates settled after the open of the bar before, up to and at that of t: what
    a long position open at those times pays, as a fraction of its value. It is 0 where nothing was settled.
    ``funding_rate`` is the last rate settled by then. Both are NaN before an asset's first settlement, and for one
    without any: unknown.

    Parameters
    ----------
    reading
        How the files are written; columns ts, symbol and rate may be mapped.
    said
        Takes what was found out, a sentence each.

    Raises
    ------
    InputError
        When a file cannot be read, lacks a column, has unreadable rows, knows none of the panel's assets, or settles
        nothing within the panel's span.
    """
    said = [] if said is None else said
    files = [paths] if isinstance(paths, Path) else list(paths)
    parts = [stamped_rows(path, reading, panel, said, RATE) for path in files]
    times = np.concatenate([part.moments for part in parts])
    rates = np.concatenate([part.values for part in parts])
    owners = np.concatenate([part.owners for part in parts])
    where = str(files[0]) if len(files) == 1 else f"{len(files)} files"
    refuse_outside(times, panel.times[0], panel.times[-1] + panel.bar, where)
    large = float(np.median(np.abs(rates[rates != 0]))) if (rates != 0).any() else 0.0
    if large > 0.05:
        said.append(f"half of the rates are above {large:.2g}: per cent? --unit rate=0.01 would make them fractions")
    settled = {}
    for asset in panel.assets:
        own = owners == asset
        moments, first = np.unique(times[own], return_index=True)
        values = rates[own]
        if len(moments) < own.sum() and not _same(times[own], values):
            raise InputError(f"{where}: {asset} has two settlements at one time that differ", "drop the duplicates")
        settled[asset] = (moments, values[first])
    return join_settlements(panel, settled)


def _same(times: TimeArray, values: FloatArray) -> bool:
    """Whether rows of one time have one value."""
    order = np.lexsort((values, times))
    again = np.diff(times[order]) == np.timedelta64(0)
    return bool((np.diff(values[order])[again] == 0).all())


@dataclass(frozen=True, eq=False)
class StampedRows:
    """Rows of figures known at a time: when, of which asset of the panel (empty for none), and how much."""

    moments: TimeArray
    owners: NDArray[np.str_]
    values: FloatArray


def stamped_rows(
    path: Path, reading: FileConventions, panel: Panel, said: list[str], wanted: Sequence[str]
) -> StampedRows:
    """Return the rows of one file with a time, an asset and one figure; what cannot be read is an `InputError`."""
    frame = figure_rows(path, reading, said.append)
    names = {plain_name(column): str(column) for column in reversed(frame.columns)}
    time = time_column(frame, path, reading)
    rate = reading.wide or reading.columns.get("rate") or next((names[name] for name in wanted if name in names), None)
    if rate is None and {"open", "high", "low", "close"} <= set(names) and (frame[names["close"]] == 0).all():
        # freqtrade keeps the rate where a candle has its open.
        rate = names["open"]
        said.append("the rate is in the column of opens, as freqtrade has it")
    if rate is None or rate not in frame.columns:
        numeric = [str(c) for c in frame.columns if c != time and pd.api.types.is_numeric_dtype(frame[c])]
        raise InputError(
            f"{path} has no column {' or '.join(wanted[:4])}",
            f"say --column rate={numeric[-1] if numeric else 'NAME'}; it has {', '.join(map(str, frame.columns[:20]))}",
        )
    times = parse_times(frame[time], path, reading.zone or "UTC", reading.times, said.append)
    unknown = [name for name in reading.units if name != "rate"]
    if unknown:
        raise InputError(f"--unit {unknown[0]}: settlements have one figure", "say --unit rate=0.01")
    numbers = figures_of(frame[rate], path) * reading.units.get("rate", 1.0)
    wrong = np.flatnonzero(times.isna().to_numpy() | ~np.isfinite(numbers.to_numpy(dtype=np.float64)))
    if len(wrong):
        raise InputError(f"{path}: row {wrong[0] + 1} has no time or no rate", "fix or drop the row")
    owners = owners_of(symbol_texts(frame, path, reading), panel, path, said)
    numbers_of: FloatArray = np.asarray(numbers.to_numpy(), dtype=np.float64)
    moments = on_the_minute(times.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]"))
    return StampedRows(moments, owners, numbers_of)


def time_column(frame: pd.DataFrame, path: Path, reading: FileConventions) -> str:
    """Return the column of times; none is an `InputError`."""
    time = find(frame, "ts", reading.columns) or next(
        (
            str(c)
            for c in frame.columns
            if plain_name(c) in ("fundingtime", "funding_time", "settle_time", "fundingratetimestamp")
        ),
        None,
    )
    if time is None:
        raise InputError(
            f"{path} has no column of times", f"say --column ts=NAME; it has {', '.join(map(str, frame.columns[:20]))}"
        )
    return time


def symbol_texts(frame: pd.DataFrame, path: Path, reading: FileConventions) -> pd.Series:
    """Return each row's symbol: of its column, else of the file's name."""
    symbol = find(frame, "symbol", reading.columns)
    if reading.symbol or symbol is None:
        return pd.Series(reading.symbol or symbol_of(path), index=frame.index)
    return frame[symbol].astype("str")


def on_the_minute(moments: TimeArray) -> TimeArray:
    """Return times with those within two seconds of a full minute put on it."""
    nearest = (moments + np.timedelta64(30, "s")).astype("datetime64[m]").astype("datetime64[ns]")
    return np.where(np.abs(moments - nearest) < _JITTER, nearest, moments)


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
