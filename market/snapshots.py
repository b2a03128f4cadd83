"""Tables of what was known at a time (open interest, ratios, balances), joined to a panel's bars as fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from market.columns import find, plain_name
from market.errors import InputError
from market.funding import RATE, join_funding, join_snapshots, symbol_texts, time_column
from market.matching import owners_of
from market.panel import OHLCV, FloatArray, Panel, TimeArray
from market.reading.conventions import FileConventions
from market.reading.figures import figure_rows
from market.reading.numbers import figures_of
from market.reading.plausible import refuse_outside
from market.reading.times import parse_times

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# A table that skips a snapshot or two still tells how things stand.
_SPACINGS = 3


def join_table(
    panel: Panel,
    path: Path,
    *,
    columns: Sequence[str] = (),
    oldest: np.timedelta64 | None = None,
    said: list[str] | None = None,
    reading: FileConventions = FileConventions(),  # noqa: B008 - frozen
) -> Panel:
    """Return the panel with the columns of a long table (time, symbol, numbers), each known at its time.

    At each bar a field is the newest value stamped at or before the bar's open: what is known from then on has been
    known for a whole bar when the bar closes and a signal is formed. A column of funding rates is joined as
    settlements: see `join_funding`. Values that are missing are passed over.

    Parameters
    ----------
    columns
        Which columns, by default all numeric ones that are no prices or volumes; ``ours=theirs`` names the column of
        times (ts) or symbols, or gives a field another name.
    oldest
        A value as old as this says nothing any more: NaN. By default, three times the table's usual spacing, and no
        less than three bars.
    said
        Takes what was found out, a sentence each.
    reading
        How the file is written; found out where it does not say. `reading.units` are by field.

    Raises
    ------
    InputError
        For a file that cannot be read, lacks a column, has rows without a time, two values for a time, a name that is
        none in the language, knows none of the panel's assets, or holds nothing within its span.
    """
    said = [] if said is None else said
    chosen, pairs, keys = _asked(columns)
    reading = replace(reading, columns={**reading.columns, **keys})
    notes: list[str] = []
    frame = figure_rows(path, reading, notes.append)
    names = {plain_name(column): str(column) for column in reversed(frame.columns)}
    if not chosen and not pairs and any(rate in names for rate in RATE if rate != "funding"):
        return join_funding(panel, path, reading, said)
    said += notes
    _refuse_missing(keys.values(), frame, path)
    time = time_column(frame, path, reading)
    wanted = _wanted(frame, names, (time, find(frame, "symbol", keys)), (chosen, pairs), path)
    table = _read(frame, time, wanted, panel, path, reading, said)
    for name, column in wanted.items():
        panel = _with_field(panel, table, name, oldest, f"{path} has two values of {column} for")
    return panel


@dataclass(frozen=True, eq=False)
class _Table:
    """A table that was read: (rows,) UTC times, the rows of each asset in the order of time, and (rows,) fields."""

    moments: TimeArray
    places: Mapping[str, np.ndarray]
    fields: Mapping[str, FloatArray]


def _read(
    frame: pd.DataFrame,
    time: str,
    wanted: Mapping[str, str],
    panel: Panel,
    path: Path,
    reading: FileConventions,
    said: list[str],
) -> _Table:
    """Read the times, the owners and the numbers of rows; times far outside the panel's span are an `InputError`."""
    _refuse_unknown_units(reading, wanted)
    moments = _moments(frame[time], path, reading, said)
    refuse_outside(moments, panel.times[0] - panel.bar * _SPACINGS, panel.times[-1] + panel.bar, str(path))
    owners = owners_of(symbol_texts(frame, path, reading), panel, path, said)
    order = np.argsort(moments, kind="stable")
    places = {asset: order[(owners == asset)[order]] for asset in panel.assets}
    fields = {
        name: figures_of(frame[column], path).to_numpy(dtype=np.float64) * reading.units.get(name, 1.0)
        for name, column in wanted.items()
    }
    return _Table(moments, places, fields)


def _with_field(panel: Panel, table: _Table, name: str, oldest: np.timedelta64 | None, twice: str) -> Panel:
    """Join one field; two values of an asset at one time are an `InputError` that begins with `twice`."""
    moments, values = table.moments, table.fields[name]
    known = {asset: rows[np.isfinite(values[rows])] for asset, rows in table.places.items()}
    _refuse_two_values(moments, known, twice)
    limit = oldest if oldest is not None else _usual(moments, known.values(), panel)
    return join_snapshots(panel, name, {a: (moments[rows], values[rows]) for a, rows in known.items()}, limit)


def _asked(columns: Sequence[str]) -> tuple[list[str], dict[str, str], dict[str, str]]:
    """Return the columns that are chosen, and what ``ours=theirs`` says of fields, and of times and symbols."""
    chosen = [one for one in columns if "=" not in one]
    pairs = dict(one.split("=", 1) for one in columns if "=" in one)
    keys: dict[str, str] = {ours: pairs.pop(ours) for ours in ("ts", "symbol") if ours in pairs}
    return chosen, pairs, keys


def _refuse_missing(columns: Iterable[str], frame: pd.DataFrame, path: Path) -> None:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}", f"it has {', '.join(map(str, frame.columns))}")


def _refuse_unknown_units(reading: FileConventions, wanted: Mapping[str, str]) -> None:
    unknown = [name for name in reading.units if name not in wanted]
    if unknown:
        raise InputError(f"--unit {unknown[0]}: there is no such field", f"the file gives {', '.join(wanted)}")


def _moments(times: pd.Series[Any], path: Path, reading: FileConventions, said: list[str]) -> TimeArray:
    """Return (rows,) UTC times of a column of them; a row without one is an `InputError`."""
    stamps = parse_times(times, path, reading.zone or "UTC", reading.times, said.append)
    if stamps.isna().any():
        raise InputError(f"{path}: row {int(np.flatnonzero(stamps.isna())[0]) + 1} has no time", "fix or drop the row")
    moments: TimeArray = stamps.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    return moments


def _refuse_two_values(moments: np.ndarray, known: Mapping[str, np.ndarray], what: str) -> None:
    for asset, rows in known.items():
        if len(np.unique(moments[rows])) < len(rows):
            raise InputError(f"{what} {asset} at one time", "drop the duplicates")


def _wanted(
    frame: pd.DataFrame,
    names: Mapping[str, str],
    keys: tuple[object, ...],
    asked: tuple[Sequence[str], Mapping[str, str]],
    path: Path,
) -> dict[str, str]:
    """Return field names and the columns that they come from."""
    columns, pairs = asked
    if columns or pairs:
        unknown = [one for one in (*columns, *pairs.values()) if plain_name(one) not in names]
        if unknown:
            raise InputError(f"{path} has no column {', '.join(unknown)}", f"it has {', '.join(names)}")
        found = {one.lower(): names[plain_name(one)] for one in columns}
        found |= {ours: names[plain_name(theirs)] for ours, theirs in pairs.items()}
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


def _usual(moments: np.ndarray, known: Iterable[np.ndarray], panel: Panel) -> np.timedelta64:
    gaps = [np.diff(moments[rows]) for rows in known if len(rows) > 1]
    usual = np.median(np.concatenate(gaps).astype(np.int64)) if gaps else 0
    return np.timedelta64(max(int(_SPACINGS * usual), _SPACINGS * int(panel.bar.astype(np.int64))), "ns")
