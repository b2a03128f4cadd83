"""Rows of bars in any order, sorted on disk into a panel's folder: memory is needed for a few hundred bars at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from market.atomic_files import write_atomically
from market.big_files import PIECE_BYTES, PIECE_ROWS, read_in_pieces
from market.calendars import calendar_of
from market.errors import InputError
from market.manifest import Manifest, Origin
from market.panel import Calendar, Panel
from market.panel_folder import FolderWriter, PanelShape, write_manifest
from market.panel_on_disk import open_on_disk
from market.reading.conventions import FileConventions
from market.reading.plausible import refuse_odd_bar

# Bars whose rows lie in one file until they are sorted.
_BARS = 512
_ENOUGH = 200_000
Records = NDArray[np.void]


@dataclass(frozen=True)
class PiecesRead:
    """A panel that was stored by field, its manifest, and a sentence each of what was found out."""

    panel: Panel
    manifest: Manifest
    said: tuple[str, ...]


@dataclass(frozen=True)
class PieceSizes:
    """How much of a file is read at once: bytes of text, rows of Parquet."""

    bytes: int = PIECE_BYTES
    rows: int = PIECE_ROWS


def import_in_pieces(
    paths: Sequence[Path],
    reading: FileConventions,
    target: Path,
    *,
    calendar: Calendar | None = None,
    name: str = "panel",
    origin: Origin | None = None,
    sizes: PieceSizes | None = None,
    show: Callable[[int], None] = lambda _rows: None,
) -> PiecesRead:
    """Read files of any size into a panel's folder, `target` (NAME.panel): whole or not at all.

    The panel is the one that `market.files.import_files` gives. `show` is called with how many rows were read.

    Raises
    ------
    InputError
        See `market.big_files.read_in_pieces`; and for two rows of one bar that differ.
    """
    said: list[str] = []
    sizes = sizes or PieceSizes()

    def write(folder: Path) -> None:
        # Beside the target: what is sorted is as large as the panel itself.
        with TemporaryDirectory(prefix=f".{target.name}.rows.", dir=target.parent) as place:
            rows = _UnsortedRows(Path(place))
            for path in paths:
                pieces = read_in_pieces(path, reading, said, piece_bytes=sizes.bytes, piece_rows=sizes.rows)
                with closing(pieces):
                    for long in pieces:
                        rows.add(long)
                        show(rows.count)
            rows.write(folder, calendar, name, said)

    write_atomically(target, write, folder=True)
    files = Origin("file", {"files": [str(path) for path in paths]})
    manifest = write_manifest(target, origin or files)
    return PiecesRead(open_on_disk(target, verify=False), manifest, tuple(said))


class _UnsortedRows:
    """Rows as they come, in files by time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self._codes: dict[str, int] = {}
        self._fields: tuple[str, ...] = ()
        self._span = 0
        self._times: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def add(self, long: pd.DataFrame) -> None:
        """Put rows (ts, symbol, fields) into the files of their times."""
        fields = tuple(str(name) for name in long.columns[2:])
        if not self._fields:
            self._fields = fields
        if set(fields) != set(self._fields):
            odd = sorted(set(fields) ^ set(self._fields))
            raise InputError(f"not all files have {', '.join(odd)}", "import them as data sets of their own")
        times = long["ts"].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]").astype(np.int64)
        distinct = np.unique(times)
        self._times = np.union1d(self._times, distinct)
        if not self._span:
            steps = np.diff(distinct)
            self._span = _BARS * int(np.median(steps) if len(steps) else 60_000_000_000)
        found, symbols = pd.factorize(long["symbol"])
        codes = np.array([self._codes.setdefault(str(one), len(self._codes)) for one in symbols], dtype=np.int32)
        records = np.empty(len(long), dtype=self._kind)
        records["ts"], records["code"] = times, codes[found]
        for field in self._fields:
            records[field] = long[field].to_numpy(dtype=np.float64)
        place = times // self._span
        order = np.argsort(place, kind="stable")
        edges = np.flatnonzero(np.diff(place[order])) + 1
        for part in np.split(order, edges):
            with (self.folder / f"{place[part[0]]}.rows").open("ab") as stream:
                stream.write(records[part].tobytes())
        self.count += len(long)

    @property
    def _kind(self) -> np.dtype[np.void]:
        return np.dtype([("ts", "<i8"), ("code", "<i4"), *((name, "<f8") for name in self._fields)])

    def write(self, folder: Path, calendar: Calendar | None, name: str, said: list[str]) -> None:
        """Write the panel's folder."""
        if len(self._times) < 2:
            raise InputError("the data has fewer than two bars", "is it the right file?")
        names = sorted(self._codes)
        column = np.empty(len(names), dtype=np.int64)
        column[[self._codes[one] for one in names]] = np.arange(len(names))
        steps = _Steps(len(names))
        repeated = sum(steps.see(rows) for rows in self._sorted(column, names))
        if repeated:
            said.append(f"{repeated} rows repeat another exactly: left out")
        bar = steps.commonest()
        refuse_odd_bar(bar, "the data")
        times = self._times.astype("datetime64[ns]")
        if calendar is None:
            calendar = _calendar(times, steps.counts, bar)
            if calendar == "exchange":
                said.append("no bars on weekends or nights: an exchange's calendar (for 24/7: --calendar continuous)")
        shape = PanelShape(times, tuple(names), self._fields, np.timedelta64(bar, "ns"), calendar, name)
        with closing(FolderWriter(folder, shape)) as writer:
            for rows in self._sorted(column, names):
                stamps = np.unique(rows.records["ts"])
                stretch = {}
                for field in self._fields:
                    stretch[field] = np.full((len(stamps), len(names)), np.nan)
                    stretch[field][np.searchsorted(stamps, rows.records["ts"]), rows.columns] = rows.records[field]
                writer.append(stretch, np.isfinite(stretch["close"]))
            writer.finish()

    def _sorted(self, column: NDArray[np.int64], names: Sequence[str]) -> Iterator[_SortedRows]:
        """Yield the rows of one file after the other, by asset and time, each bar once."""
        for file in sorted(self.folder.glob("*.rows"), key=lambda one: int(one.stem)):
            records = np.fromfile(file, dtype=self._kind)
            columns = column[records["code"]]
            order = np.lexsort((records["ts"], columns))
            records, columns = records[order], columns[order]
            again = np.append(False, (np.diff(records["ts"]) == 0) & (np.diff(columns) == 0))
            self._refuse_conflicts(records, again, columns, names)
            yield _SortedRows(records[~again], columns[~again], int(again.sum()))

    def _refuse_conflicts(
        self, records: Records, again: NDArray[np.bool_], columns: NDArray[np.int64], names: Sequence[str]
    ) -> None:
        late = np.flatnonzero(again)
        for field in self._fields:
            one, other = records[field][late - 1], records[field][late]
            odd = np.flatnonzero((one != other) & ~(np.isnan(one) & np.isnan(other)))
            if len(odd):
                row = late[odd[0]]
                when = str(records["ts"][row].astype("datetime64[ns]"))[:19]
                raise InputError(
                    f"{names[columns[row]]} has two rows of {when} that differ in {field}",
                    "if a column names the asset, say --column symbol=NAME; else correct the file",
                )


@dataclass(frozen=True, eq=False)
class _SortedRows:
    records: Records
    columns: NDArray[np.int64]
    repeated: int


class _Steps:
    """How far apart the bars of an asset lie, and how many rows each time has."""

    def __init__(self, assets: int) -> None:
        self._last = np.full(assets, -1, dtype=np.int64)
        self._seen: Counter[int] = Counter()
        self.counts: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def see(self, rows: _SortedRows) -> int:
        """Count the next rows; return how many repeat another."""
        times, columns = rows.records["ts"], rows.columns
        same = np.append(False, np.diff(columns) == 0)
        before = np.where(same, np.append(0, times[:-1]), self._last[columns])
        known = same | (before >= 0)
        sizes, often = np.unique((times - before)[known], return_counts=True)
        self._seen.update(dict(zip(sizes.tolist(), often.tolist(), strict=True)))
        self._last[columns] = times
        self.counts = np.append(self.counts, np.unique(times, return_counts=True)[1])
        return rows.repeated

    def commonest(self) -> int:
        """Return the commonest step, the shortest of several."""
        steps = {step: often for step, often in self._seen.items() if step > 0}
        if not steps:
            raise InputError("no asset has two bars", "is it the right file?")
        return min(steps, key=lambda step: (-steps[step], step))


def _calendar(times: NDArray[np.datetime64], counts: NDArray[np.int64], bar: int) -> Calendar:
    """Return what `calendar_of` finds in a sample of the rows."""
    total = int(counts.sum())
    picked = np.searchsorted(np.cumsum(counts), np.arange(0, total, total // _ENOUGH + 1), side="right")
    return calendar_of(pd.Series(times[picked]).dt.tz_localize("UTC"), bar)
