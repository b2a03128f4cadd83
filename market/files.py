"""Reading CSV and Parquet, long or wide, and frames of pandas or Polars, into a panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from market.columns import KEYS, field_name, is_noise, parse_times, symbol_of, understand
from market.errors import InputError
from market.panel import OHLCV, Calendar, Panel
from market.quality import check_ohlcv, refuse_defects, repair_rows
from market.table_files import read_table
from market.wide import from_wide, is_wide, unstack

Stamps = Literal["open", "close"]
_FRAME = Path("frame")


@dataclass(frozen=True)
class FileConventions:
    """How files are to be read, where they do not say themselves.

    Attributes
    ----------
    columns
        Our name to the file's, such as ``{"close": "last_price"}``; common names are recognised without.
    zone
        Time zone of times that state none.
    stamps
        Whether a time is a bar's open (the panel's own meaning) or its close, from which a bar's length is taken off.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    stamps: Stamps = "open"


def import_files(
    paths: Sequence[Path],
    *,
    columns: Mapping[str, str] | None = None,
    calendar: Calendar = "continuous",
    repair: bool = False,
    name: str = "panel",
    notes: list[str] | None = None,
    zone: str = "UTC",
    stamps: Stamps = "open",
) -> Panel:
    """Read files into one panel.

    The shapes understood: *Long*: a time, a symbol and OHLCV columns. *One asset a file*: no symbol column; the file
    name is the symbol. *Wide*: a time column and one column an asset, the file name (or its part after the last ``_``)
    being the field, one file for each of open, high, low, close, volume. *Two header rows*, field and asset, as
    yfinance writes; or both in one name, such as ``BTCUSDT_close``. Binance's bulk klines without a header and
    CryptoDataDownload's files are long or one asset a file.

    Parameters
    ----------
    columns, zone, stamps
        See `FileConventions`.
    repair
        Repair bad rows instead of refusing; what was done is appended to `notes`.

    Raises
    ------
    InputError
        For a missing or unreadable file, missing columns, unreadable times, or bad rows (named).
    """
    long = read_long(paths, FileConventions(columns or {}, zone, stamps))
    where = str(paths[0]) if len(paths) == 1 else f"{len(paths)} files"
    return _checked(long, where, calendar=calendar, repair=repair, name=name, notes=notes)


def from_frame(
    frame: Any,  # noqa: ANN401 - pandas, Polars, Arrow: whatever hands out Arrow data
    *,
    columns: Mapping[str, str] | None = None,
    calendar: Calendar = "continuous",
    repair: bool = False,
    name: str = "panel",
    notes: list[str] | None = None,
    zone: str = "UTC",
    stamps: Stamps = "open",
) -> Panel:
    """Return a panel from a frame of pandas, Polars or Arrow in one of the shapes that `import_files` reads.

    Polars is not imported: the frame hands out its columns itself (Arrow's C interface).
    """
    reading = FileConventions(columns or {}, zone, stamps)
    return _checked(long_of([(_FRAME, pandas_frame(frame))], reading), "the frame", calendar=calendar, repair=repair,
                    name=name, notes=notes)  # fmt: skip


def pandas_frame(frame: Any) -> pd.DataFrame:  # noqa: ANN401 - see `from_frame`
    """Return a frame of pandas; any other that offers Arrow data is converted, what offers none is an `InputError`."""
    if isinstance(frame, pd.DataFrame):
        named = frame.index.names != [None] or isinstance(frame.index, pd.DatetimeIndex)
        return frame.reset_index(names="ts" if frame.index.names == [None] else None) if named else frame
    if hasattr(frame, "collect") and not hasattr(frame, "__arrow_c_stream__"):
        # A lazy frame of Polars.
        frame = frame.collect()
    if not isinstance(frame, pa.Table):
        if not hasattr(frame, "__arrow_c_stream__"):
            raise InputError(f"a {type(frame).__name__} is no frame", "give a frame of pandas, Polars or Arrow")
        frame = pa.table(frame)
    converted: pd.DataFrame = frame.to_pandas()
    return converted


def read_long(paths: Sequence[Path], reading: FileConventions) -> pd.DataFrame:
    """Return the files' rows as one long frame (ts, symbol, open, high, low, close, volume, …), as they stand."""
    return long_of([(path, read_table(path)) for path in paths], reading)


def long_of(frames: Sequence[tuple[Path, pd.DataFrame]], reading: FileConventions) -> pd.DataFrame:
    """Return frames, each with the name of its file, as one long frame."""
    mapping = reading.columns
    unknown = [ours for ours, theirs in mapping.items() if not any(theirs in frame.columns for _, frame in frames)]
    if unknown:
        missing = ", ".join(f"{ours}={mapping[ours]}" for ours in unknown)
        raise InputError(
            f"no such column: {missing}", f"{frames[0][0]} has {', '.join(map(str, frames[0][1].columns[:20]))}"
        )
    frames = [(path, unstack(frame, mapping)) for path, frame in frames]
    if is_wide(frames, mapping):
        long = from_wide(frames, mapping, reading.zone)
    else:
        long = pd.concat([_long(path, frame, reading) for path, frame in frames], ignore_index=True)
    if long.empty:
        raise InputError(f"{frames[0][0]} has no rows", "is it the right file?")
    long = _oldest_first(long)
    if reading.stamps == "close":
        # A bar closes when the next one opens: its open is a bar's length before.
        bar = bar_length(long)
        # Binance stamps the close a millisecond early.
        long = long.assign(ts=(long["ts"] - pd.Timedelta(bar, "ns")).dt.round("1s"))
    return long


def _checked(
    long: pd.DataFrame, where: str, *, calendar: Calendar, repair: bool, name: str, notes: list[str] | None
) -> Panel:
    defects = check_ohlcv(long)
    if repair:
        long, done = repair_rows(long, defects)
        if notes is not None:
            notes.extend(done)
    else:
        refuse_defects(defects, where)
    return panel_from_long(long, calendar=calendar, name=name)


def _oldest_first(long: pd.DataFrame) -> pd.DataFrame:
    """Turn a table around that is written newest first throughout, as some sources do; any other stays as it is."""
    steps = long.groupby("symbol", sort=False, observed=True)["ts"].diff()
    known = steps.dropna()
    newest_first = len(known) and bool((known < pd.Timedelta(0)).all()) and not long["ts"].isna().any()
    return long.iloc[::-1].reset_index(drop=True) if newest_first else long


def _long(path: Path, frame: pd.DataFrame, reading: FileConventions) -> pd.DataFrame:
    names = understand(frame, reading.columns)
    absent = [ours for ours in ("ts", *OHLCV) if ours not in names.values()]
    if absent:
        raise InputError(
            f"{path} has no column for {', '.join(absent)}",
            f"map it with --column {absent[0]}=NAME; the file has {', '.join(map(str, frame.columns[:20]))}",
        )
    # A mapped column takes the place of one that already has the name (`close=Adj Close`).
    taken = [c for c in frame.columns if (c in names.values() and c not in names) or (is_noise(c) and c not in names)]
    renamed = frame.drop(columns=taken).rename(columns=names)
    if "symbol" not in names.values():
        renamed = renamed.assign(symbol=symbol_of(path))
    if renamed["symbol"].isna().any():
        raise InputError(f"{path}: row {int(renamed['symbol'].isna().argmax()) + 1} has no symbol", "correct the file")
    numbers = [
        c for c in renamed.columns if c in OHLCV or (c not in KEYS and pd.api.types.is_numeric_dtype(renamed[c]))
    ]
    theirs = {ours: column for column, ours in names.items()}
    for column in OHLCV:
        try:
            renamed[column] = pd.to_numeric(renamed[column]).astype(np.float64)
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: column {theirs[column]!r} is not numeric: {error}") from error
    extra = {c: field_name(c) for c in numbers if c not in OHLCV}
    if len({*extra.values(), *OHLCV, *KEYS}) < len(extra) + len(OHLCV) + len(KEYS):
        raise InputError(f"{path}: two columns would have one name among {', '.join(sorted(extra.values()))}")
    kept = renamed[["ts", "symbol", *numbers]].rename(columns=extra)
    times = parse_times(kept["ts"], path, reading.zone)
    return kept.assign(ts=times, symbol=kept["symbol"].astype(str))


def bar_length(long: pd.DataFrame) -> int:
    """Return the length of a bar in nanoseconds: the most common step within an asset."""
    times = long["ts"].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]").astype("int64")
    codes = pd.factorize(long["symbol"])[0]
    order = np.lexsort((times, codes))
    within = np.diff(times[order])[np.diff(codes[order]) == 0]
    within = within[within > 0]
    steps, counts = np.unique(within if len(within) else np.diff(np.unique(times)), return_counts=True)
    if not len(steps):
        raise InputError("the data has fewer than two bars", "is it the right file?")
    return int(steps[np.argmax(counts)])


def panel_from_long(frame: pd.DataFrame, *, calendar: Calendar, name: str) -> Panel:
    """Return a panel from a checked long frame; the bar size is the most common step within an asset."""
    times, row = np.unique(frame["ts"].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]"), return_inverse=True)
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
