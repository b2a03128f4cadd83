"""Writing a panel's folder (`market.panel_on_disk`) from stretches of bars, within little memory."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from market.atomic_files import write_atomically
from market.errors import InputError
from market.manifest import Manifest, Origin, file_part, manifest_of, manifest_path
from market.panel import BoolArray, Calendar, FloatArray, Panel, TimeArray, refuse_odd_symbols
from market.panel_on_disk import FACTS, FORMAT, UNIVERSE, FolderFacts, YearPart, open_on_disk

# Cells that are copied at once.
_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class PanelShape:
    """What is known of a panel before its values are: times (T,), assets, fields, and what people call it."""

    times: TimeArray
    assets: tuple[str, ...]
    fields: tuple[str, ...]
    bar: np.timedelta64
    calendar: Calendar
    name: str
    simulated: bool = False


class _Hollow(io.RawIOBase):
    """Writes an Arrow file without its one large buffer: leaves room for it, and remembers where."""

    def __init__(self, stream: IO[bytes], large: int) -> None:
        self._stream, self._large = stream, large
        self.room = -1

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever is a buffer
        size = memoryview(data).nbytes
        if size == self._large and self.room < 0:
            self.room = self._stream.tell()
            self._stream.seek(size, io.SEEK_CUR)
        else:
            self._stream.write(data)
        return size

    def tell(self) -> int:
        return self._stream.tell()


@dataclass
class _Year:
    """The part of a file that is being written."""

    year: int
    start: int
    digest: Any
    known: int = 0
    least: float = np.inf
    most: float = -np.inf


class FieldFile:
    """One file of the folder, written row by row from the first to the last."""

    def __init__(self, path: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._stream = path.open("wb")
        self._room = _room(self._stream, path.stem, shape, dtype)
        self._stream.seek(self._room)
        self._row = 0
        self._years: list[_Year] = []
        self._parts: list[YearPart] = []

    def append(self, years: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Write the next rows; `years` (rows,) are the calendar years that they belong to."""
        values = np.ascontiguousarray(values)
        self._stream.write(values.view(np.uint8).data)
        edges = [0, *(np.flatnonzero(np.diff(years)) + 1).tolist(), len(years)]
        for a, b in itertools.pairwise(edges):
            if b > a:
                self._count(int(years[a]), self._row + a, values[a:b])
        self._row += len(values)

    def _count(self, year: int, row: int, values: NDArray[Any]) -> None:
        if not self._years or self._years[-1].year != year:
            self._years.append(_Year(year, row, hashlib.sha256()))
        current = self._years[-1]
        current.digest.update(values.view(np.uint8).data)
        known = values[np.isfinite(values)] if values.dtype == np.float64 else values.ravel()
        current.known += known.size
        if known.size:
            current.least, current.most = min(current.least, float(known.min())), max(current.most, float(known.max()))

    def close(self) -> tuple[YearPart, ...]:
        """Close the file and return its parts."""
        self._stream.close()
        stops = [one.start for one in self._years[1:]] + [self._row]
        return tuple(
            YearPart(
                one.year, one.start, stop, one.digest.hexdigest(), one.known,
                one.least if one.known else None, one.most if one.known else None,
            )
            for one, stop in zip(self._years, stops, strict=True)
        )  # fmt: skip


def _room(stream: IO[bytes], name: str, shape: tuple[int, int], dtype: np.dtype[Any]) -> int:
    """Write an Arrow file of one column of rows, without its values; return where those belong."""
    import pyarrow as pa

    kinds = {"float64": pa.float64(), "int64": pa.int64(), "bool": pa.uint8()}
    cells = shape[0] * shape[1]
    # Nothing is ever read of these values: zeros that take no memory until they are.
    hollow = pa.py_buffer(np.zeros(cells, dtype=dtype).view(np.uint8))
    flat = pa.Array.from_buffers(kinds[dtype.name], cells, [None, hollow])
    batch = pa.record_batch([pa.FixedSizeListArray.from_arrays(flat, shape[1])], names=[name])
    target = _Hollow(stream, hollow.size)
    with pa.ipc.new_file(pa.PythonFile(target, "w"), batch.schema) as writer:
        writer.write_batch(batch)
    if target.room < 0:
        raise InputError("the panel is too small to be stored by field", "store it as one file")
    return target.room


@dataclass
class FolderWriter:
    """Writes a folder: `append` every bar in order, then `finish`."""

    folder: Path
    shape: PanelShape
    _row: int = 0
    _open: dict[str, FieldFile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make room for every file, so that a disk that is too small is found out soon."""
        refuse_odd_symbols(self.shape.assets)
        size = (len(self.shape.times), len(self.shape.assets))
        for name in self.shape.fields:
            self._open[name] = FieldFile(self.folder / f"{name}.arrow", size, np.dtype(np.float64))
        self._open[UNIVERSE] = FieldFile(self.folder / f"{UNIVERSE}.arrow", size, np.dtype(np.bool_))
        self._open["ts"] = FieldFile(self.folder / "ts.arrow", (size[0], 1), np.dtype(np.int64))

    def append(self, fields: dict[str, FloatArray], universe: BoolArray) -> None:
        """Write the next bars: (rows, N) of each field, and the universe."""
        rows = len(universe)
        times = self.shape.times[self._row : self._row + rows]
        years = times.astype("datetime64[Y]").astype(np.int64) + 1970
        for name in self.shape.fields:
            values = fields[name]
            self._open[name].append(
                years, np.where(np.isinf(values), np.nan, values) if np.isinf(values).any() else values
            )
        self._open[UNIVERSE].append(years, universe)
        self._open["ts"].append(years, times.astype("datetime64[ns]").astype(np.int64)[:, None])
        self._row += rows

    def close(self) -> None:
        """Close what is open; nothing is written any more."""
        for file in self._open.values():
            file.close()

    def finish(self) -> Panel:
        """Close the files, find the panel's id, write what the folder says of itself, and return the panel."""
        parts = {name: file.close() for name, file in self._open.items()}
        shape = self.shape
        bar = int(shape.bar.astype("timedelta64[ns]").astype(np.int64))
        facts = FolderFacts(
            FORMAT, "", shape.name, shape.assets, len(shape.times), bar, shape.calendar, shape.simulated, parts,
        )  # fmt: skip
        _write_facts(self.folder, facts)
        panel = open_on_disk(self.folder, verify=False)
        panel.__dict__.pop("id", None)
        _write_facts(self.folder, FolderFacts(**{**facts.__dict__, "id": panel.id}))
        return panel


def _write_facts(folder: Path, facts: FolderFacts) -> None:
    (folder / FACTS).write_text(facts.to_json(), encoding="utf-8")


def save_on_disk(panel: Panel, path: Path, origin: Origin | None = None) -> Manifest:
    """Write a panel as a folder, NAME.panel: whole or not at all; then its manifest, NAME.json beside it."""
    shape = PanelShape(
        panel.times, panel.assets, tuple(panel.fields), panel.bar, panel.calendar, panel.name, panel.simulated
    )

    def write(folder: Path) -> None:
        step = max(1, _AT_ONCE // max(1, len(panel.assets)))
        with closing(FolderWriter(folder, shape)) as writer:
            for start in range(0, len(panel.times), step):
                part = slice(start, start + step)
                writer.append({name: values[part] for name, values in panel.fields.items()}, panel.universe[part])
            writer.finish()

    write_atomically(path, write, folder=True)
    return write_manifest(path, origin or Origin("simulated" if panel.simulated else "unknown"))


def write_manifest(path: Path, origin: Origin) -> Manifest:
    """Write the manifest of a panel's folder beside it."""
    panel = open_on_disk(path, verify=False)
    parts = [file_part(file, panel.shape[0]) for file in _files(path)]
    manifest = manifest_of(panel, origin, parts)
    write_atomically(manifest_path(path), lambda target: target.write_text(manifest.to_json(), encoding="utf-8"))
    return manifest


def _files(path: Path) -> Sequence[Path]:
    return sorted(path.glob("*.arrow"))
