"""What was fetched, as it came: one append-only folder a series, Parquet parts and a manifest that lists them.

A part is written whole and then listed; a process killed in between leaves an unlisted file, which is removed when the
series is next opened. The manifest also says which spans of time are known for good, holes included, so that nothing
is asked for twice and nothing is missed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from market.atomic_files import write_atomically
from market.errors import InputError
from market.panel import FloatArray
from market.spans import Span, Stamps, inside, union, without

_FORMAT = 1
_MANIFEST = "manifest.json"
# A year of minutes comes in 526 pages; that many files are slow to open.
_MOST_PARTS = 64


@dataclass(frozen=True, slots=True)
class SeriesRows:
    """Rows of a series: (n,) times in ms, strictly increasing, and (n, k) values by column; a missing one is NaN."""

    stamps: Stamps
    columns: tuple[str, ...]
    values: FloatArray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.stamps)

    def __getitem__(self, name: str) -> FloatArray:
        """Return one column, (n,)."""
        column: FloatArray = self.values[:, self.columns.index(name)]
        return column

    def keep(self, mask: NDArray[np.bool_]) -> SeriesRows:
        """Return the rows where `mask` is true."""
        return replace(self, stamps=self.stamps[mask], values=self.values[mask])

    def within(self, spans: Sequence[Span]) -> SeriesRows:
        """Return the rows that lie in one of `spans`."""
        return self.keep(inside(self.stamps, spans))


def no_rows(columns: tuple[str, ...]) -> SeriesRows:
    """Return rows of which there are none."""
    return SeriesRows(np.empty(0, dtype=np.int64), columns, np.empty((0, len(columns))))


def joined(pieces: Sequence[SeriesRows]) -> SeriesRows:
    """Return the pieces as one, in time order; they must not overlap."""
    stamps = np.concatenate([piece.stamps for piece in pieces])
    order = np.argsort(stamps, kind="stable")
    return SeriesRows(stamps[order], pieces[0].columns, np.concatenate([piece.values for piece in pieces])[order])


@dataclass(frozen=True, slots=True)
class SeriesPart:
    """One Parquet file of a series."""

    file: str
    first: int
    last: int
    rows: int
    sha256: str


@dataclass(frozen=True)
class Series:
    """One series on disk: what it is, its parts, and the spans known for good.

    Attributes
    ----------
    folder
        Where the parts and the manifest lie.
    about
        What the series is: source, symbol, what, step in ms. Another series is never mixed in.
    facts
        What else is known, such as when the exchange listed the symbol.
    known
        Spans that need not be asked for again: what is in no part there does not exist at the source.
    """

    folder: Path
    about: Mapping[str, object]
    columns: tuple[str, ...]
    parts: tuple[SeriesPart, ...] = ()
    known: tuple[Span, ...] = ()
    facts: Mapping[str, object] | None = None

    def missing(self, span: Span) -> list[Span]:
        """Return what of `span` is still to be asked for."""
        return without([span], self.known)

    @property
    def rows(self) -> int:
        """Number of rows in all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def last(self) -> int | None:
        """Time of the newest row."""
        return max((part.last for part in self.parts), default=None)

    @property
    def first(self) -> int | None:
        """Time of the oldest row."""
        return min((part.first for part in self.parts), default=None)


def open_series(folder: Path, about: Mapping[str, object], columns: tuple[str, ...]) -> Series:
    """Open the series in `folder`, or begin one; files that no manifest lists are removed.

    Raises
    ------
    InputError
        When the folder holds another series, or its manifest cannot be read.
    """
    path = folder / _MANIFEST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        series = _read_manifest(path, about, columns) if path.is_file() else Series(folder, about, columns)
        listed = {part.file for part in series.parts}
        for file in folder.iterdir():
            if file.name != _MANIFEST and file.name not in listed:
                file.unlink()
    except OSError as error:
        raise InputError(f"cannot use {folder}: {error.strerror or error}", "is the disk full or read-only?") from error
    return series


def _read_manifest(path: Path, about: Mapping[str, object], columns: tuple[str, ...]) -> Series:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        parts = tuple(SeriesPart(**part) for part in read["parts"])
        known = tuple(union((int(start), int(end)) for start, end in read["known"]))
        if read["format"] != _FORMAT or tuple(read["columns"]) != columns or read["about"] != dict(about):
            raise InputError(f"{path} describes another series", "move the folder away and fetch again")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error}", "remove the folder and fetch again") from error
    return Series(path.parent, about, columns, parts, known, read.get("facts"))


def add_rows(series: Series, rows: SeriesRows, known: Sequence[Span]) -> Series:
    """Write `rows` as a new part, and take `known` for known for good; both or neither."""
    parts = series.parts
    if len(rows):
        parts = (*parts, _write_part(series.folder, rows))
    grown = replace(series, parts=parts, known=tuple(union([*series.known, *known])))
    if len(parts) > _MOST_PARTS:
        return _compacted(grown)
    return save_manifest(grown)


def forget(series: Series, spans: Sequence[Span]) -> Series:
    """Take `spans`, which must hold no row, for unknown again."""
    return save_manifest(replace(series, known=tuple(without(series.known, spans))))


def save_manifest(series: Series) -> Series:
    """Write the manifest and return the series."""
    document = {
        "format": _FORMAT,
        "about": dict(series.about),
        "columns": list(series.columns),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": series.rows,
        "complete_until": series.known[-1][1] if series.known else None,
        "facts": dict(series.facts or {}),
        "known": [list(span) for span in series.known],
        "parts": [asdict(part) for part in series.parts],
    }
    text = json.dumps(document, indent=1)
    write_atomically(series.folder / _MANIFEST, lambda target: target.write_text(text, encoding="utf-8"))
    return series


def _write_part(folder: Path, rows: SeriesRows) -> SeriesPart:
    table = pa.table(
        {"ts": rows.stamps} | {name: pa.array(rows[name], from_pandas=True) for name in rows.columns},
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data = sink.getvalue().to_pybytes()
    digest = hashlib.sha256(data).hexdigest()
    first, last = int(rows.stamps[0]), int(rows.stamps[-1])
    file = f"{first}-{last}-{digest[:8]}.parquet"
    write_atomically(folder / file, lambda target: target.write_bytes(data))
    return SeriesPart(file, first, last, len(rows), digest)


def _compacted(series: Series) -> Series:
    """Write all parts as one; the old ones go once the manifest no longer lists them."""
    part = _write_part(series.folder, read_rows(series))
    compact = save_manifest(replace(series, parts=(part,)))
    for old in series.parts:
        if old.file != part.file:
            (series.folder / old.file).unlink(missing_ok=True)
    return compact


def read_rows(series: Series) -> SeriesRows:
    """Return every row, in time order.

    Raises
    ------
    InputError
        When a part is missing or is not what was written, or two parts hold the same time.
    """
    pieces = [no_rows(series.columns)]
    for part in series.parts:
        path = series.folder / part.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"cannot read {path}: {error.strerror or error}", "remove its folder, fetch again"
            ) from error
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise InputError(f"{path} is damaged: it is not what was written", "remove its folder and fetch again")
        table = pq.read_table(pa.BufferReader(data))
        values = np.column_stack([table[name].to_numpy().astype(np.float64) for name in series.columns])
        pieces.append(SeriesRows(table["ts"].to_numpy().astype(np.int64), series.columns, values))
    rows = joined(pieces)
    if len(rows) > 1 and not bool(np.all(np.diff(rows.stamps) > 0)):
        raise InputError(f"{series.folder} holds a time twice", "remove the folder and fetch again")
    return rows


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system drops with the process; a second holder is an `InputError`."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise InputError(f"another fetch is writing to {folder}", "wait for it, or stop it") from error
    except OSError as error:
        raise InputError(f"cannot use {folder}: {error.strerror or error}", "is the disk full or read-only?") from error
    try:
        yield
    finally:
        lock.release()
