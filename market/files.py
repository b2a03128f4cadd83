"""Reading CSV and Parquet, long or wide, and frames of pandas or Polars, into a panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from market.calendars import calendar_of
from market.columns import ALIASES, KEYS, find, plain_name, quoted
from market.errors import InputError
from market.panel import OHLCV, BoolArray, Calendar, Panel
from market.quality import MOST_DEFECTS, sound_rows
from market.reading.closing import opens_of_closes
from market.reading.conventions import FileConventions, Stamps
from market.reading.long_rows import is_close_matrix, long_rows
from market.reading.plausible import bar_length, distinguishing, plausible_rows
from market.reading.recipe import CLOSE_OF_A_MINUTE
from market.reading.row_order import same_asset
from market.reading.text_table import ReadTable
from market.table_files import read_file
from market.wide import from_matrix, from_wide, is_wide, unstack

_FRAME = Path("the frame")
# Rows that tell as much as a million.
_ENOUGH = 50_000
_DAY = 86_400_000_000_000
_CLOSE_NAMES = ("close_time", "closetime", "timeclose", "close time")


@dataclass(frozen=True)
class Imported:
    """A panel read from files, and a sentence each of what was repaired and of what was found out."""

    panel: Panel
    repairs: tuple[str, ...]
    said: tuple[str, ...]


def import_as(
    paths: Sequence[Path],
    reading: FileConventions,
    *,
    calendar: Calendar | None = None,
    repair: bool = False,
    name: str = "panel",
) -> Imported:
    """Read files into one panel, and return what was repaired and found out beside it; see `import_files`."""
    return _import([(path, read_file(path, reading)) for path in paths], reading, calendar, repair, name)


def _import(
    tables: Sequence[tuple[Path, ReadTable]],
    reading: FileConventions,
    calendar: Calendar | None,
    repair: bool,
    name: str,
) -> Imported:
    said: list[str] = []
    where = str(tables[0][0]) if len(tables) == 1 else f"{len(tables)} files"
    long = long_of(tables, reading, said)
    long, done = sound_rows(
        long, where, said.append, repair=repair, several=lambda rows: _refuse_several(rows, tables, reading)
    )
    _tell_partial(long, said)
    panel = panel_from_long(_filled(long, said), calendar=calendar or _calendar(long, said), name=name)
    return Imported(panel, tuple(done), tuple(said))


def import_files(
    paths: Sequence[Path],
    *,
    columns: Mapping[str, str] | None = None,
    calendar: Calendar | None = None,
    repair: bool = False,
    name: str = "panel",
    notes: list[str] | None = None,
    zone: str = "",
    stamps: Stamps | None = None,
) -> Panel:
    """Read files into one panel.

    The shapes understood: *Long*: a time, a symbol and OHLCV columns. *One asset a file*: no symbol column; the file
    name is the symbol. *Wide*: a time column and one column an asset, the file name (or its part after the last ``_``)
    being the field, one file for each of open, high, low, close, volume; or closes alone. *Two header rows*, field and
    asset, as yfinance writes; or both in one name, such as ``BTCUSDT_close``. The sources that are known are in
    `market.reading.recipes`.

    Parameters
    ----------
    columns, zone, stamps
        See `FileConventions`.
    calendar
        By default found out: ``exchange`` where weekends or nights have no bars.
    repair
        Repair bad rows instead of refusing; what was done is appended to `notes`. Never more than 5 % of the rows: then
        it is the reading that is wrong.

    Raises
    ------
    InputError
        For a missing or unreadable file, missing columns, unreadable times, or bad rows (named).
    """
    done = import_as(paths, FileConventions(columns or {}, zone, stamps), calendar=calendar, repair=repair, name=name)
    if notes is not None:
        notes.extend(done.repairs)
    return done.panel


def from_frame(
    frame: Any,  # noqa: ANN401 - pandas, Polars, Arrow: whatever hands out Arrow data
    *,
    columns: Mapping[str, str] | None = None,
    calendar: Calendar | None = None,
    repair: bool = False,
    name: str = "panel",
    notes: list[str] | None = None,
    zone: str = "",
    stamps: Stamps | None = None,
) -> Panel:
    """Return a panel from a frame of pandas, Polars or Arrow in one of the shapes that `import_files` reads.

    Polars is not imported: the frame hands out its columns itself (Arrow's C interface).
    """
    if isinstance(frame, pd.Series):
        frame = frame.unstack() if frame.index.nlevels == 2 else frame.to_frame(frame.name or "close")
    reading = FileConventions(columns or {}, zone, stamps, wide="close" if _names_assets(frame) else "")
    done = _import([(_FRAME, ReadTable(pandas_frame(frame)))], reading, calendar, repair, name)
    if notes is not None:
        notes.extend(done.repairs)
    return done.panel


def _names_assets(frame: object) -> bool:
    """Whether a frame of pandas by times has one column of closes an asset, whatever the assets are called.

    Tickers such as C, V, LOW or COIN are names of fields in a file; here the index says that they are none.
    """
    if not isinstance(frame, pd.DataFrame) or not isinstance(frame.index, pd.DatetimeIndex) or frame.shape[1] < 2:
        return False
    if frame.columns.nlevels > 1 or not all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes):
        return False
    plain = [plain_name(column) for column in frame.columns]
    if any("close" in word for word in plain) or float(np.nanmin(frame.to_numpy(np.float64), initial=1.0)) <= 0.0:
        return False
    if plain_name(frame.columns.name or "") in ALIASES["symbol"]:
        return True
    known = {alias for names in ALIASES.values() for alias in names}
    capital = all(str(column) != str(column).lower() for column in frame.columns)
    return capital and not all(word in known for word in plain)


def pandas_frame(frame: Any) -> pd.DataFrame:  # noqa: ANN401 - see `from_frame`
    """Return a frame of pandas; any other that offers Arrow data is converted, what offers none is an `InputError`."""
    if isinstance(frame, pd.DataFrame):
        if frame.index.nlevels == 2 and frame.index.names == [None, None]:
            frame = frame.rename_axis(index=_two_levels(frame.index))
        named = frame.index.names != [None] or isinstance(frame.index, pd.DatetimeIndex)
        unnamed: pd.DataFrame = frame
        return unnamed.reset_index(names="ts" if frame.index.names == [None] else None) if named else unnamed
    if hasattr(frame, "collect") and not hasattr(frame, "__arrow_c_stream__"):
        # A lazy frame of Polars.
        frame = frame.collect()
    if not isinstance(frame, pa.Table):
        if not hasattr(frame, "__arrow_c_stream__"):
            raise InputError(f"a {type(frame).__name__} is no frame", "give a frame of pandas, Polars or Arrow")
        frame = pa.table(frame)
    converted: pd.DataFrame = frame.to_pandas()
    return converted


def _two_levels(index: pd.Index[Any]) -> list[str]:
    """Return names for an index of two levels that has none: the level of times is found by its type."""
    stamped = [pd.api.types.is_datetime64_any_dtype(index.get_level_values(level)) for level in (0, 1)]
    if sum(stamped) != 1:
        raise InputError(
            "neither level of the frame's index is named", 'name them: frame.rename_axis(["time", "asset"])'
        )
    return ["ts", "symbol"] if stamped[0] else ["symbol", "ts"]


def read_long(paths: Sequence[Path], reading: FileConventions, said: list[str] | None = None) -> pd.DataFrame:
    """Return the files' rows as one long frame (ts, symbol, open, high, low, close, volume, …), as they stand."""
    return long_of([(path, read_file(path, reading)) for path in paths], reading, said)


def long_of(
    tables: Sequence[tuple[Path, ReadTable]], reading: FileConventions, said: list[str] | None = None
) -> pd.DataFrame:
    """Return tables, each with the name of its file, as one long frame; a field that none has is NaN."""
    said = [] if said is None else said
    for path, table in tables:
        said += [f"{path.name}: {note}" if len(tables) > 1 else note for note in table.notes if note not in said]
    mapping = reading.columns
    _refuse_unknown(mapping, tables)
    tables = [(path, replace(table, frame=unstack(table.frame, mapping))) for path, table in tables]
    frames = [(path, table.frame) for path, table in tables]
    if is_wide(frames, mapping):
        long = from_wide(frames, mapping, reading.zone or "UTC")
    else:
        long = pd.concat([_rows_of(path, table, reading, said) for path, table in tables], ignore_index=True)
    if long.empty:
        raise InputError(f"{frames[0][0]} has no rows", "is it the right file?")
    for name in (one for one in OHLCV if one not in long.columns):
        long[name] = np.nan
    long = _oldest_first(long)
    stamps = reading.stamps or stamps_of(tables, reading, long)
    long = opens_of_closes(long, stamps, bar_length, said.append)
    where = str(frames[0][0]) if len(frames) == 1 else f"{len(frames)} files"
    return plausible_rows(long, where, frozenset(mapping), said.append)


def _refuse_unknown(mapping: Mapping[str, str], tables: Sequence[tuple[Path, ReadTable]]) -> None:
    unknown = [
        ours for ours, theirs in mapping.items() if not any(theirs in table.frame.columns for _, table in tables)
    ]
    if unknown:
        missing = ", ".join(f"{ours}={mapping[ours]}" for ours in unknown)
        path, table = tables[0]
        raise InputError(f"no such column: {missing}", f"{path} has {', '.join(map(str, table.frame.columns[:20]))}")


def _rows_of(path: Path, table: ReadTable, reading: FileConventions, said: list[str]) -> pd.DataFrame:
    def tell(note: str) -> None:
        if note not in said:
            said.append(note)

    if table.recipe is None and (reading.wide or is_close_matrix(table.frame, reading.columns)):
        return from_matrix(path, table.frame, reading, tell)
    return long_rows(path, table, reading, tell)


def _refuse_several(long: pd.DataFrame, tables: Sequence[tuple[Path, ReadTable]], reading: FileConventions) -> None:
    """Refuse files of one asset by their reading, whose repeated rows a column that was not used tells apart."""
    for path, table in tables if len(long) else ():
        rows = long_rows(path, table, reading, lambda _: None)
        again = rows.duplicated(["symbol", "ts"])
        column = distinguishing(rows, table.frame) if again.sum() > max(1, MOST_DEFECTS * len(rows)) else ""
        if column:
            raise InputError(
                f"{path}: {int(again.sum())} of {len(rows)} rows repeat a time; {column!r} tells them apart",
                f"say --column symbol={quoted(column)}",
            )


def stamps_of(tables: Sequence[tuple[Path, ReadTable]], reading: FileConventions, long: pd.DataFrame) -> Stamps | None:
    """Return what a recipe, or the name of the column of times, says of the stamps; None where neither does."""
    for _, table in tables:
        if table.recipe is not None and table.recipe.stamps == CLOSE_OF_A_MINUTE:
            # A day's bar has the day's date.
            return "close" if bar_length(long.head(_ENOUGH)) < _DAY else None
        if table.recipe is not None and table.recipe.stamps:
            return "close" if table.recipe.stamps == "close" else "open"
        stamp = find(table.frame, "ts", reading.columns)
        if stamp is not None and plain_name(stamp) in _CLOSE_NAMES:
            return "close"
    return None


def _tell_partial(long: pd.DataFrame, said: list[str]) -> None:
    """Say how many rows have some of the prices that the others have: short rows, or cells left empty."""
    missing = np.stack([long[name].isna().to_numpy() for name in OHLCV[:4] if not long[name].isna().all()])
    count = int((missing.any(axis=0) & ~missing.all(axis=0)).sum()) if len(missing) else 0
    if count:
        said.append(f"{count} rows lack some of their prices: missing there")


def _calendar(long: pd.DataFrame, said: list[str]) -> Calendar:
    found = calendar_of(long["ts"].iloc[:: len(long) // 200_000 + 1], bar_length(long.head(_ENOUGH)))
    if found == "exchange":
        said.append("no bars on weekends or nights: an exchange's calendar (for 24/7: --calendar continuous)")
    return found


def _filled(long: pd.DataFrame, said: list[str]) -> pd.DataFrame:
    """Say which fields of bars are not there; without opens, a bar opens at the close before."""
    absent = [name for name in OHLCV if long[name].isna().all()]
    if not absent:
        return long
    said.append(f"no {', '.join(absent)}: unknown, an expression that needs them has no values")
    if "open" in absent:
        said.append("orders are filled at the close before: a bar's open is set to it")
        long = long.sort_values(["symbol", "ts"], kind="stable", ignore_index=True)
        long["open"] = long.groupby("symbol", sort=False, observed=True)["close"].shift()
    return long


def _oldest_first(long: pd.DataFrame) -> pd.DataFrame:
    """Turn a table around that is written newest first throughout, as some sources do; any other stays as it is."""
    times = long["ts"].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    later: BoolArray = times[1:] > times[:-1]
    if (later & same_asset(long["symbol"])).any():
        return long
    steps = long.groupby("symbol", sort=False, observed=True)["ts"].diff()
    known = steps.dropna()
    newest_first = len(known) and bool((known < pd.Timedelta(0)).all()) and not long["ts"].isna().any()
    return long.iloc[::-1].reset_index(drop=True) if newest_first else long


def panel_from_long(frame: pd.DataFrame, *, calendar: Calendar, name: str) -> Panel:
    """Return a panel from a checked long frame; the bar size is the most common step within an asset."""
    row, times = pd.factorize(frame["ts"].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]"), sort=True)
    codes, assets = pd.factorize(frame["symbol"], sort=True)
    if len(times) < 2:
        raise InputError("the data has fewer than two bars", "is it the right file?")
    shape = (len(times), len(assets))
    fields = {}
    for column in frame.columns:
        if column in KEYS:
            continue
        array = np.full(shape, np.nan)
        array[row, codes] = frame[column].to_numpy(dtype=np.float64)
        fields[str(column)] = array
    return Panel(
        times=times,
        assets=tuple(str(asset) for asset in assets),
        fields=fields,
        universe=np.isfinite(fields["close"]),
        bar=np.timedelta64(bar_length(frame), "ns"),
        calendar=calendar,
        name=name,
    )
