"""How files would be read, before anything is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from market.columns import KEYS, find, is_noise, understand
from market.errors import InputError
from market.files import long_of
from market.panel import OHLCV
from market.quality import check_ohlcv
from market.reading.conventions import FileConventions, TimeForm
from market.reading.date_parts import with_times
from market.reading.plausible import bar_length
from market.reading.times import parse_times, unit_of, zone_of
from market.table_files import read_file
from market.wide import is_wide, unstack


@dataclass(frozen=True)
class Preview:
    """How files are understood.

    Attributes
    ----------
    shape
        In words, such as ``long`` or ``one asset a file``.
    columns
        (the file's column, what it becomes or why it is left out), in the file's order.
    times
        What the times are written in, and their zone.
    stamps
        What a time means, and what speaks for the other reading.
    order
        ``oldest first``, ``newest first``, or ``mixed``.
    bar_seconds, rows, assets, start, end
        What the table would hold; `assets` are the first twenty.
    head
        The first rows as they would be imported.
    defects
        The first rows that an import would refuse.
    said
        What was found out on the way, a sentence each.
    """

    shape: str
    columns: tuple[tuple[str, str], ...]
    times: str
    stamps: str
    order: str
    bar_seconds: float
    rows: int
    count: int
    assets: tuple[str, ...]
    start: str
    end: str
    head: tuple[tuple[str, ...], ...]
    defects: tuple[str, ...]
    said: tuple[str, ...] = ()


def preview_files(paths: Sequence[Path], reading: FileConventions) -> Preview:
    """Return how `paths` would be read; whatever an import would not understand is an `InputError` here too."""
    tables = [(path, read_file(path, reading)) for path in paths]
    said: list[str] = []
    long = long_of(tables, reading, said)
    raw = [(path, with_times(table.frame)) for path, table in tables]
    path, first = raw[0]
    if long["ts"].isna().all():
        raise InputError(f"{path} has no readable time")
    flat = unstack(first, reading.columns)
    stamp = find(flat, "ts", reading.columns) or str(flat.columns[0])
    written = flat[stamp]
    zone = zone_of(written)
    times = (
        f"{unit_of(written)}, {zone}"
        if zone
        else f"{unit_of(written)} without a zone, taken as {reading.zone or 'UTC'}"
    )
    bar = bar_length(long)
    defects = check_ohlcv(long)
    assets = list(dict.fromkeys(long["symbol"]))
    stamps = long["ts"].dropna()
    return Preview(
        shape=_shape(first, flat, raw, reading),
        columns=_columns(first, flat, raw, reading),
        times=times,
        stamps=_stamps(first, written, reading, bar),
        order=_order(flat, stamp, find(flat, "symbol", reading.columns), reading.times),
        bar_seconds=bar / 1e9,
        rows=len(long),
        count=len(assets),
        assets=tuple(str(one) for one in assets[:20]),
        start=str(stamps.min())[:19],
        end=str(stamps.max())[:19],
        head=_head(long),
        defects=tuple(defect.message for defect in defects[:3]) + _more(len(defects)),
        said=tuple(said),
    )


def _more(count: int) -> tuple[str, ...]:
    return (f"and {count - 3} more",) if count > 3 else ()


def _shape(
    first: pd.DataFrame, flat: pd.DataFrame, raw: Sequence[tuple[Path, pd.DataFrame]], reading: FileConventions
) -> str:
    if isinstance(first.columns, pd.MultiIndex):
        return "wide, two header rows: field and asset"
    if flat is not first:
        return "wide, asset and field in each column's name"
    if is_wide(raw, reading.columns):
        return "wide, one file a field, one column an asset"
    return "long" if find(first, "symbol", reading.columns) is not None else "one asset a file, named by the file"


def _columns(
    first: pd.DataFrame, flat: pd.DataFrame, raw: Sequence[tuple[Path, pd.DataFrame]], reading: FileConventions
) -> tuple[tuple[str, str], ...]:
    if flat is not first or is_wide(raw, reading.columns):
        names = [" / ".join(map(str, c)) if first.columns.nlevels > 1 else str(c) for c in first.columns]
        return tuple((name, "by its name") for name in names[:12]) + ((("…", ""),) if len(names) > 12 else ())
    names_of = understand(first, reading.columns)
    out = []
    for column in first.columns:
        ours = names_of.get(str(column))
        if ours is not None:
            out.append((str(column), ours))
        elif is_noise(column):
            out.append((str(column), "left out: says nothing more"))
        elif pd.api.types.is_numeric_dtype(first[column]):
            out.append((str(column), "a field of its own"))
        else:
            out.append((str(column), "left out: not numeric"))
    return tuple(out)


def _stamps(first: pd.DataFrame, written: pd.Series, reading: FileConventions, bar: int) -> str:
    """Say what a time means; what speaks for closes is a column of that name, or times that end in 59 seconds."""
    meaning = "a time is the bar's close" if reading.stamps == "close" else "a time is the bar's open"
    closing = str(written.name).lower().startswith("close")
    late = (
        not pd.api.types.is_numeric_dtype(written)
        and len(written) > 0
        and ":59" in str(written.iloc[0])
        and bar >= 60_000_000_000
    )
    if (closing or late) and reading.stamps is None:
        return "a time is the bar's close, by its look (else: --stamps open)"
    return f"{meaning}; the file does not say" if reading.stamps is None and not _says_open(written) else meaning


def _says_open(written: pd.Series) -> bool:
    return str(written.name).lower().startswith("open")


def _order(flat: pd.DataFrame, stamp: str, symbol: str | None, form: TimeForm) -> str:
    """Say in what order each asset's rows are written."""
    written = flat[stamp]
    try:
        values = written if pd.api.types.is_numeric_dtype(written) else parse_times(written, Path("file"), "UTC", form)
    except InputError:
        return "in an order of its own"
    places = pd.Series(values.rank(method="dense").to_numpy(), index=flat.index)
    steps = places.groupby(flat[symbol]).diff() if symbol is not None else places.diff()
    known = steps.dropna()
    if (known >= 0).all():
        return "oldest first"
    return "newest first: turned around" if (known <= 0).all() else "mixed"


def _head(long: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    names = [*KEYS, *OHLCV]
    rows = [tuple(names)]
    for _, row in long.head(3).iterrows():
        rows.append((str(row["ts"])[:19], str(row["symbol"]), *(f"{row[name]:.8g}" for name in OHLCV)))
    return tuple(rows)
