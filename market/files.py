"""Reading CSV and Parquet, long or wide, into a panel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from market.errors import InputError
from market.panel import OHLCV, Calendar, Panel
from market.quality import check_ohlcv, refuse, repair

_ALIASES: Mapping[str, tuple[str, ...]] = {
    "ts": ("ts", "timestamp", "time", "datetime", "date", "open_time", "opentime", "bar_time"),
    "symbol": ("symbol", "ticker", "asset", "pair", "instrument", "name", "coin"),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price", "last"),
    "volume": ("volume", "v", "vol", "base_volume"),
}
_KEYS = ("ts", "symbol")
# What a file name says beside the symbol: BTCUSDT_1h, AAPL_data; but BTC_USDT is all symbol.
_SUFFIX = re.compile(r"_(\d+(s|m|min|h|d|w|mo)|daily|hourly|data|ohlcv|candles|bars|prices)$", re.IGNORECASE)


def import_files(
    paths: Sequence[Path],
    *,
    columns: Mapping[str, str] | None = None,
    calendar: Calendar = "continuous",
    mend: bool = False,
    name: str = "panel",
    notes: list[str] | None = None,
) -> Panel:
    """Read files into one panel.

    Three shapes are understood. *Long*: a time, a symbol and OHLCV columns. *One asset a file*: no symbol column; the
    file name is the symbol. *Wide*: a time column and one column an asset, the file name (or its part after the last
    ``_``) being the field, one file for each of open, high, low, close, volume.

    Parameters
    ----------
    columns
        Our name to the file's, such as ``{"close": "last_price"}``; common names are recognised without.
    mend
        Repair bad rows instead of refusing; what was done is appended to `notes`.

    Raises
    ------
    InputError
        For a missing or unreadable file, missing columns, unreadable times, or bad rows (named).
    """
    frames = [(path, read_table(path)) for path in paths]
    mapping = dict(columns or {})
    unknown = [ours for ours, theirs in mapping.items() if not any(theirs in frame.columns for _, frame in frames)]
    if unknown:
        missing = ", ".join(f"{ours}={mapping[ours]}" for ours in unknown)
        raise InputError(
            f"no such column: {missing}", f"{paths[0]} has {', '.join(map(str, frames[0][1].columns[:20]))}"
        )
    if _is_wide(frames, mapping):
        long = _from_wide(frames, mapping)
    else:
        long = pd.concat([_long(path, frame, mapping) for path, frame in frames], ignore_index=True)
    if long.empty:
        raise InputError(f"{paths[0]} has no rows", "is it the right file?")
    defects = check_ohlcv(long)
    if mend:
        long, done = repair(long, defects)
        if notes is not None:
            notes.extend(done)
    else:
        refuse(defects, str(paths[0]) if len(paths) == 1 else f"{len(paths)} files")
    return panel_from_long(long, calendar=calendar, name=name)


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV or Parquet file as it stands; whatever is wrong with it is an `InputError`."""
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame: pd.DataFrame = pq.read_table(path).to_pandas()
            # A frame saved with its times (or symbols) as the index keeps them there.
            indexed = frame.index.names != [None] or isinstance(frame.index, pd.DatetimeIndex)
            return frame.reset_index(names="ts" if frame.index.names == [None] else None) if indexed else frame
        frame = pd.read_csv(path)
        return frame.drop(columns=[c for c in frame.columns if str(c).startswith("Unnamed:")])
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path} is empty") from error
    except (pa.ArrowInvalid, pd.errors.ParserError, UnicodeError, OSError) as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}", "is it CSV or Parquet?") from error


def _find(frame: pd.DataFrame, ours: str, mapping: Mapping[str, str]) -> str | None:
    if ours in mapping and mapping[ours] in frame.columns:
        return mapping[ours]
    lowered = {str(column).strip().lower(): str(column) for column in frame.columns}
    return next((lowered[alias] for alias in _ALIASES[ours] if alias in lowered), None)


def _is_wide(frames: Sequence[tuple[Path, pd.DataFrame]], mapping: Mapping[str, str]) -> bool:
    """Whether every file lacks a close and a symbol column and is named after a field."""
    return all(
        _find(frame, "close", mapping) is None and _find(frame, "symbol", mapping) is None and _field(path) is not None
        for path, frame in frames
    )


def _field(path: Path) -> str | None:
    word = path.stem.lower().rsplit("_", 1)[-1]
    return next((ours for ours, names in _ALIASES.items() if ours not in _KEYS and word in names), None)


def _from_wide(frames: Sequence[tuple[Path, pd.DataFrame]], mapping: Mapping[str, str]) -> pd.DataFrame:
    parts = {}
    for path, frame in frames:
        stamp = _find(frame, "ts", mapping) or str(frame.columns[0])
        field = _field(path) or "close"
        melted = frame.rename(columns={stamp: "ts"}).melt(id_vars="ts", var_name="symbol", value_name=field)
        if field in parts:
            raise InputError(f"{path} is a second file for {field}", "give one wide file a field")
        if melted.duplicated(["ts", "symbol"]).any() or not pd.api.types.is_numeric_dtype(melted[field]):
            raise InputError(f"{path} repeats a time or holds text", "mend the file: one row a time, numbers only")
        parts[field] = melted.assign(ts=parse_times(melted["ts"], path)).set_index(["ts", "symbol"])[field]
    absent = [name for name in OHLCV if name not in parts]
    if absent:
        raise InputError(f"the wide files lack {', '.join(absent)}", "give one file for each, such as spot_high.csv")
    long = pd.DataFrame(parts).dropna(how="all").reset_index()
    return long.sort_values(["symbol", "ts"], kind="stable", ignore_index=True)


def _long(path: Path, frame: pd.DataFrame, mapping: Mapping[str, str]) -> pd.DataFrame:
    found = {ours: _find(frame, ours, mapping) for ours in _ALIASES}
    absent = [ours for ours in ("ts", *OHLCV) if found[ours] is None]
    if absent:
        raise InputError(
            f"{path} has no column for {', '.join(absent)}",
            f"map it with --column {absent[0]}=NAME; the file has {', '.join(map(str, frame.columns[:20]))}",
        )
    names = {theirs: ours for ours, theirs in found.items() if theirs is not None}
    names |= {theirs: ours for ours, theirs in mapping.items() if ours not in _ALIASES}
    # A mapped column takes the place of one that already has the name (`close=Adj Close`).
    taken = [c for c in frame.columns if c in names.values() and c not in names]
    renamed = frame.drop(columns=taken).rename(columns=names)
    if found["symbol"] is None:
        renamed = renamed.assign(symbol=_SUFFIX.sub("", path.stem))
    if renamed["symbol"].isna().any():
        raise InputError(f"{path}: row {int(renamed['symbol'].isna().argmax()) + 1} has no symbol", "mend the file")
    numbers = [
        c for c in renamed.columns if c in OHLCV or (c not in _KEYS and pd.api.types.is_numeric_dtype(renamed[c]))
    ]
    for column in OHLCV:
        try:
            renamed[column] = pd.to_numeric(renamed[column]).astype(np.float64)
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: column {found[column]!r} is not numeric: {error}") from error
    extra = {c: re.sub(r"\W+", "_", str(c).strip().lower()) for c in numbers if c not in OHLCV}
    if len({*extra.values(), *_ALIASES}) < len(extra) + len(_ALIASES):
        raise InputError(f"{path}: two columns would have one name among {', '.join(sorted(extra.values()))}")
    kept = renamed[["ts", "symbol", *numbers]].rename(columns=extra)
    return kept.assign(ts=parse_times(kept["ts"], path), symbol=kept["symbol"].astype(str))


def parse_times(column: pd.Series, path: Path) -> pd.Series:
    """Return UTC nanosecond times from ISO strings, datetimes, or epoch numbers in s, ms, us or ns."""
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.astype(np.float64).replace([np.inf, -np.inf], np.nan)
        largest = float(numbers.abs().max()) if len(column) else 0.0
        known = numbers.dropna()
        if len(known) and known.between(19_000_101, 21_001_231).all() and (known % 1 == 0).all():
            # 20240131 is a date: read as seconds, the whole file would lie in 1970.
            days = pd.to_datetime(known.astype(np.int64).astype(str), format="%Y%m%d", errors="coerce", utc=True)
            if days.notna().all():
                return days.astype("datetime64[ns, UTC]").reindex(column.index)
        scale = 1_000_000_000 if largest < 1e11 else 1_000_000 if largest < 1e14 else 1_000 if largest < 1e17 else 1
        whole = (column.where(numbers.notna(), 0).astype(np.int64) * scale).to_numpy().astype("datetime64[ns]")
        # No time stays no time; `check_ohlcv` names the row.
        stamps = pd.Series(whole, index=column.index).dt.tz_localize("UTC")
        return stamps.where(numbers.notna())
    try:
        return pd.to_datetime(column, utc=True).astype("datetime64[ns, UTC]")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot read times such as {column.iloc[0]!r}: {error}", "write ISO 8601") from error


def panel_from_long(frame: pd.DataFrame, *, calendar: Calendar, name: str) -> Panel:
    """Return a panel from a checked long frame; the bar size is the most common step within an asset."""
    times, row = np.unique(frame["ts"].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]"), return_inverse=True)
    codes, assets = pd.factorize(frame["symbol"], sort=True)
    if len(times) < 2:
        raise InputError("the data has fewer than two bars", "is it the right file?")
    shape = (len(times), len(assets))
    fields = {}
    for column in frame.columns:
        if column in _KEYS:
            continue
        array = np.full(shape, np.nan)
        array[row, codes] = frame[column].to_numpy(dtype=np.float64)
        fields[str(column)] = array
    order = np.lexsort((row, codes))
    within = np.diff(times[row[order]])[np.diff(codes[order]) == 0]
    steps, counts = np.unique(within if len(within) else np.diff(times), return_counts=True)
    return Panel(
        times=times,
        assets=tuple(str(asset) for asset in assets),
        fields=fields,
        universe=np.isfinite(fields["close"]),
        bar=steps[np.argmax(counts)],
        calendar=calendar,
        name=name,
    )
