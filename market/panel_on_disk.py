"""A panel larger than memory: a folder of Arrow files, one a field, that are mapped into memory and read when used.

Each file holds one column of T rows. A row is the bar's N values (Arrow's fixed-size list of float64, NaN where
missing): a file is a (T, N) array as it lies on disk. `panel.json` in the folder says what the whole is, and of each
field and year its SHA-256, how many values there are, the least and the largest.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.errors import InputError
from market.panel import Calendar, Panel

SUFFIX = ".panel"
FACTS = "panel.json"
UNIVERSE = "in_universe"
FORMAT = 1
# Bytes that are read at once to be hashed.
_AT_ONCE = 1 << 24
_AGAIN = "import the data again"


@dataclass(frozen=True)
class YearPart:
    """One year of one field on disk: rows [start, stop), their SHA-256, and figures of the values that are not missing.

    `least` and `most` are None where all are missing.
    """

    year: int
    start: int
    stop: int
    sha256: str
    known: int
    least: float | None
    most: float | None


@dataclass(frozen=True)
class FolderFacts:
    """What `panel.json` says: see `market.panel.Panel`, and the parts of each file by field.

    Attributes
    ----------
    format
        Of the folder.
    id
        Content id of the panel.
    bar_ns
        Length of a bar in nanoseconds.
    bars
        T.
    """

    format: int
    id: str
    name: str
    assets: tuple[str, ...]
    bars: int
    bar_ns: int
    calendar: Calendar
    simulated: bool
    parts: Mapping[str, tuple[YearPart, ...]]

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True, eq=False)
class MappedFile:
    """A file that is mapped into memory, and what the file was then."""

    path: Path
    memory: mmap.mmap
    address: int
    stamp: tuple[int, int]

    def release(self, rows: NDArray[Any]) -> None:
        """Let the memory of some rows go: they are read from disk again when they are next used."""
        start = rows.__array_interface__["data"][0] - self.address
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        length = (start + rows.nbytes - first) // mmap.PAGESIZE * mmap.PAGESIZE
        if length > 0 and hasattr(self.memory, "madvise"):
            self.memory.madvise(mmap.MADV_DONTNEED, first, length)


@dataclass(frozen=True, eq=False, repr=False)
class PanelOnDisk(Panel):
    """A panel whose fields lie in files; it is used like any other, and has the id that it has in memory.

    Values are read when they are used. What makes new (T, N) arrays of it needs memory for those: work through it in
    stretches of bars instead (`rows`, `release`).
    """

    files: Mapping[str, MappedFile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take mapped arrays as they are: their values were checked when they were written. Others are checked."""
        if all(not values.flags.writeable for values in self.fields.values()) and not self.universe.flags.writeable:
            object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))
            object.__setattr__(self, "bar", self.bar.astype("timedelta64[ns]"))
            return
        super().__post_init__()

    def __getstate__(self) -> dict[str, Any]:
        """Refuse to be sent: what reads it opens the folder itself."""
        raise InputError("a panel on disk is not sent to other processes", "work on it here, in threads")

    def select(self, assets: Iterable[str]) -> Panel:
        """Return the panel where all assets are meant, in their order; a part of them is read into memory."""
        wanted = tuple(assets)
        if wanted == self.assets:
            return self
        names = {one.name for one in self.__dataclass_fields__.values()} - {"files"}
        return Panel(**{name: getattr(self, name) for name in names}).select(wanted)

    def in_memory(self) -> Panel:
        """Return a copy that has every value in memory, and the same id."""
        fields = {name: np.array(values) for name, values in self.fields.items()}
        about = (self.bar, self.calendar, self.name, self.simulated)
        copy = Panel(self.times, self.assets, fields, np.array(self.universe), *about)
        if "id" in self.__dict__:
            copy.__dict__["id"] = self.id
        return copy

    def release(self, start: int, stop: int) -> None:
        """Let the memory of rows [start, stop) go."""
        for name, file in self.files.items():
            values = self.universe if name == UNIVERSE else self.fields.get(name)
            if values is not None:
                file.release(values[start:stop])

    def refuse_changes(self) -> None:
        """Refuse, as an `InputError`, a file that was changed or removed since it was opened."""
        for file in self.files.values():
            if _stamp(file.path) != file.stamp:
                raise InputError(f"{file.path} was changed while it was in use", "start again, on the data as they are")

    @cached_property
    def has_volume(self) -> bool:
        """Whether any asset ever traded."""
        return _any(self.fields["volume"], lambda rows: bool((rows > 0).any()))

    @cached_property
    def has_funding(self) -> bool:
        """Whether there is a settlement of funding that is not nil."""
        rates = self.fields.get("funding")
        return rates is not None and _any(rates, lambda rows: bool(np.nan_to_num(rows).any()))


def _any(values: NDArray[Any], found: Any) -> bool:  # noqa: ANN401 - a function of some rows
    step = max(1, _AT_ONCE // max(1, values[:1].nbytes))
    return any(found(values[start : start + step]) for start in range(0, len(values), step))


def is_on_disk(path: Path) -> bool:
    """Whether a path is a panel's folder."""
    return (path / FACTS).is_file()


def read_facts(path: Path) -> FolderFacts:
    """Return what a panel's folder says of itself; no values are read."""
    place = path / FACTS
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
        if document["format"] > FORMAT:
            raise InputError(f"{path} was written by a newer alphaglow", "upgrade alphaglow")
        parts = {name: tuple(YearPart(**one) for one in parts) for name, parts in document.pop("parts").items()}
        return FolderFacts(**{**document, "assets": tuple(document["assets"])}, parts=parts)
    except FileNotFoundError as error:
        raise InputError(f"{path} is no panel's folder: it has no {FACTS}", _AGAIN) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{place} is damaged: {error}", _AGAIN) from error


def open_on_disk(path: Path, fields: Sequence[str] | None = None, *, verify: bool = True) -> PanelOnDisk:
    """Open a panel's folder; nothing but times and what it says of itself is read into memory.

    Parameters
    ----------
    fields
        Which to open; all by default.
    verify
        Whether each file is read once and compared with its hashes.

    Raises
    ------
    InputError
        For a file that is missing, cut or changed, with its name and year; and for an unknown field.
    """
    facts = read_facts(path)
    known = [name for name in facts.parts if name not in ("ts", UNIVERSE)]
    wanted = known if fields is None else list(fields)
    if unknown := [name for name in wanted if name not in known]:
        raise InputError(f"{path} has no field {', '.join(unknown)}", f"it has {', '.join(known)}")
    names = ["ts", *wanted, UNIVERSE]
    opened = {name: _mapped(path / f"{name}.arrow", facts) for name in names}
    if verify:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: _verify(*opened[name], facts.parts[name]), names))
    panel = PanelOnDisk(
        times=np.array(opened["ts"][1].ravel().view("datetime64[ns]")),
        assets=facts.assets,
        fields={name: opened[name][1] for name in wanted},
        universe=opened[UNIVERSE][1],
        bar=np.timedelta64(facts.bar_ns, "ns"),
        calendar=facts.calendar,
        name=facts.name,
        simulated=facts.simulated,
        files={name: opened[name][0] for name in names if name != "ts"},
    )
    if fields is None:
        # What was hashed when it was written need not be hashed again: the files are as they were.
        panel.__dict__["id"] = facts.id
    return panel


def _mapped(path: Path, facts: FolderFacts) -> tuple[MappedFile, NDArray[Any]]:
    """Map one file; return it with its rows, (T, N)."""
    import pyarrow as pa

    try:
        with path.open("rb") as stream:
            memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        batch = pa.ipc.open_file(pa.py_buffer(memory)).get_batch(0)
        values = batch.column(0).flatten().to_numpy(zero_copy_only=True).reshape(batch.num_rows, -1)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing", _AGAIN) from error
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} is damaged: {str(error).splitlines()[0]}", _AGAIN) from error
    width = 1 if path.stem == "ts" else len(facts.assets)
    if values.shape != (facts.bars, width):
        raise InputError(f"{path} is damaged: it holds {values.shape}, not {(facts.bars, width)}", _AGAIN)
    if path.stem == UNIVERSE:
        values = values.view(np.bool_)
    address = np.frombuffer(memory, dtype=np.uint8).__array_interface__["data"][0]
    return MappedFile(path, memory, address, _stamp(path)), values


def _stamp(path: Path) -> tuple[int, int]:
    """Return by what a change of a file is seen; a file that is gone has none."""
    try:
        found = path.stat()
    except OSError:
        return (-1, -1)
    return (found.st_size, found.st_mtime_ns)


def verify_file(path: Path, facts: FolderFacts) -> None:
    """Refuse, as an `InputError`, a file of a folder that is missing, cut or changed."""
    _verify(*_mapped(path, facts), facts.parts[path.stem])


def _verify(file: MappedFile, values: NDArray[Any], parts: Sequence[YearPart]) -> None:
    for part in parts:
        if content_hash(values[part.start : part.stop], file.release) != part.sha256:
            raise InputError(f"{file.path} is damaged: its values of {part.year} are not what was stored", _AGAIN)


def content_hash(values: NDArray[Any], done: Callable[[NDArray[Any]], None] = lambda _rows: None) -> str:
    """Return the SHA-256 of rows as they lie in memory, some megabytes after the other; `done` is given those read."""
    digest = hashlib.sha256()
    step = max(1, _AT_ONCE // max(1, values[:1].nbytes))
    for start in range(0, len(values), step):
        rows = values[start : start + step]
        digest.update(rows.view(np.uint8).data)
        done(rows)
    return digest.hexdigest()
