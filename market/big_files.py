"""Files larger than memory: read in pieces by the reader of whole files; the first decides how the others are read.

What is taken from the first piece is its header, its fields, the length of its bars and whether its stamps are closes.
A later piece that is written in another way, or lacks a field, is refused with its lines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from market.columns import ALIASES, KEYS
from market.errors import InputError
from market.files import long_of, stamps_of
from market.panel import OHLCV
from market.quality import check_ohlcv, impossible_reading
from market.reading.closing import opens_of_closes
from market.reading.conventions import FileConventions, Stamps
from market.reading.encodings import encoding_of
from market.reading.files_on_disk import kind_of_file, opened
from market.reading.layout import layout_of
from market.reading.long_rows import is_close_matrix, long_rows
from market.reading.plausible import bar_length
from market.reading.recipe import by_header
from market.reading.text_table import ReadTable
from market.reading.times import newest_allowed
from market.table_files import read_file
from market.wide import is_wide, unstack

# Text of a piece, and rows of one of a Parquet file: some hundred megabytes of tables each.
PIECE_BYTES, PIECE_ROWS = 32 << 20, 400_000
_HEAD = 1 << 17
_PACKED = ("gz", "zip", "xz", "bz2")
_WHOLE = "give it in files that fit into memory, or raise whole_gb in alphaglow.toml [data]"
_ELSEWHERE = "correct the lines, or give the part that differs in a file of its own"
# Defects that are settled when rows are stored: they are sorted then, and what differs is refused.
_SETTLED = ("duplicate", "order")


@dataclass(frozen=True)
class _Piece:
    """A part of a file: its table, and the file's line or row that it begins with."""

    first: int
    table: ReadTable
    is_last: bool = False


@dataclass(frozen=True)
class _Shape:
    """What the first piece decides for all of a file."""

    path: Path
    unit: str
    fields: tuple[str, ...]
    notes: frozenset[str]
    stamps: Stamps | None
    bar: int


def read_in_pieces(
    path: Path,
    reading: FileConventions,
    said: list[str],
    *,
    piece_bytes: int = PIECE_BYTES,
    piece_rows: int = PIECE_ROWS,
) -> Generator[pd.DataFrame]:
    """Yield a file's rows as long frames (ts, symbol, open, high, low, close, volume, …), piece by piece.

    `said` takes what was found out. Rows are in the order of the file, and may repeat one another.

    Raises
    ------
    InputError
        For what `market.files.import_files` refuses, for tables that are not one row a bar, and for a piece that
        contradicts the first.
    """
    kind = kind_of_file(path)
    if kind == "parquet":
        unit, pieces = "row", _of_parquet(path, reading, piece_rows)
    elif kind == "text" or kind in _PACKED:
        unit, pieces = "line", _of_text(path, kind, reading, piece_bytes)
    else:
        raise InputError(
            f"{path} is larger than what is read whole, and only CSV and Parquet are read in pieces", _WHOLE
        )
    shape: _Shape | None = None
    # Whatever stops the reader, the files that it has open are closed.
    with closing(pieces):
        for piece in pieces:
            if shape is None:
                shape = _shape_of(path, unit, piece, reading, said)
            yield _rows(shape, piece, reading, said)


def _of_parquet(path: Path, reading: FileConventions, rows: int) -> Generator[_Piece]:
    first = 1
    try:
        with pq.ParquetFile(path) as opened_file:
            total = opened_file.metadata.num_rows
            for batch in opened_file.iter_batches(rows):
                frame = pa.Table.from_batches([batch]).to_pandas(ignore_metadata=True)
                frame = frame.drop(columns=[c for c in frame.columns if str(c).startswith("__index_level_")][1:])
                yield _Piece(first, ReadTable(frame, recipe=by_header(frame.columns, path)), first + len(frame) > total)
                first += len(frame)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}", "get the file again") from error


def _of_text(path: Path, kind: str, reading: FileConventions, size: int) -> Generator[_Piece]:
    """Read stretches of whole lines, each below the file's own header, as files of their own."""
    with opened(path, kind) as stream, tempfile.TemporaryDirectory(prefix="alphaglow-") as folder:
        above, reading = _header(stream.read(_HEAD), path, reading)
        stream.seek(0)
        head = b"".join(stream.readline() for _ in range(above))
        # Under its own name: it may be the asset's.
        place = Path(folder) / (path.with_suffix("").name if kind in _PACKED else path.name)
        line, rest, block = above + 1, b"", stream.read(size)
        while block:
            coming = stream.read(size)
            cut = block.rfind(b"\n") + 1 if coming else len(block)
            text, rest = rest + block[:cut], block[cut:]
            if cut == 0:
                rest, block = text + rest, coming
                continue
            place.write_bytes(head + text)
            try:
                table = read_file(place, reading)
            except InputError as error:
                raise InputError(
                    error.message.replace(str(place), f"{path}, from line {line} on"), error.hint
                ) from error
            yield _Piece(line, table, not coming)
            line, block = line + text.count(b"\n"), coming


def _header(head: bytes, path: Path, reading: FileConventions) -> tuple[int, FileConventions]:
    """Return how many lines come before the first row, and the conventions with what the header decides."""
    words = [word for names in ALIASES.values() for word in names]
    encoding = reading.text.encoding or encoding_of(head, words, path)
    if head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"{", b"[") or encoding.lower().startswith(("utf-16", "utf-32")):
        raise InputError(f"{path} is larger than what is read whole, and is no CSV that can be read in pieces", _WHOLE)
    text = head.decode(encoding, errors="ignore").lstrip("\ufeff")
    layout = layout_of(text[: text.rfind("\n") + 1] or text, False, reading.text, path)
    form = replace(reading.text, encoding=encoding, header=bool(layout.header))
    return layout.skip + bool(layout.header), replace(reading, text=form)


def _shape_of(path: Path, unit: str, piece: _Piece, reading: FileConventions, said: list[str]) -> _Shape:
    """Read the first piece as a whole file is read, and keep what it decides."""
    frame, mapping = piece.table.frame, reading.columns
    matrix = piece.table.recipe is None and (reading.wide or is_close_matrix(frame, mapping))
    if isinstance(frame.columns, pd.MultiIndex) or unstack(frame, mapping) is not frame or matrix:
        raise InputError(f"{path} has no row a bar of an asset: only such tables are read in pieces", _WHOLE)
    if is_wide([(path, frame)], mapping):
        raise InputError(f"{path} has a column an asset: only tables of a row a bar are read in pieces", _WHOLE)
    tables, noted = [(path, piece.table)], list[str]()
    long = long_of(tables, reading, noted)
    if any("is made coins" in note for note in noted):
        raise InputError(f"{path} counts contracts: such files are not read in pieces", _WHOLE)
    said += [note for note in noted if note not in said]
    if long["open"].isna().all():
        raise InputError(
            f"{path} has no opens: they are found from the closes before only in a file that is read whole", _WHOLE
        )
    _refuse_open_question(path, piece.table, reading)
    impossible_reading(long, [one for one in check_ohlcv(long) if one.kind not in _SETTLED], str(path))
    fields = tuple(str(name) for name in long.columns if name not in KEYS)
    stamps = reading.stamps or stamps_of(tables, reading, long)
    if stamps is None and any("are closes" in note for note in noted):
        stamps = "close"
    return _Shape(path, unit, fields, frozenset(piece.table.notes), stamps, bar_length(long))


def _refuse_open_question(path: Path, table: ReadTable, reading: FileConventions) -> None:
    """Refuse dates that another piece may show to be meant in another way."""
    form = reading.times
    texts = [c for c in table.frame.columns if table.frame[c].dtype == object]
    for column in texts if form.date_format is None and form.day_first is None else ():
        first = table.frame[column].dropna().head(200).astype(str).str.strip()
        if len(first) and first.str.fullmatch(r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}.*").all():
            raise InputError(
                f"{path}: {column} has dates such as {first.iloc[0]}, in a file that is read in pieces",
                "say how they are written: --date-format %d/%m/%Y",
            )


def _rows(shape: _Shape, piece: _Piece, reading: FileConventions, said: list[str]) -> pd.DataFrame:
    """Return one piece's rows in the shape of the first."""
    where = f"{shape.path}, {shape.unit}s {piece.first} to {piece.first + len(piece.table.frame) - 1}"
    other = frozenset(piece.table.notes) ^ shape.notes
    if other and not piece.is_last:
        raise InputError(f"{where} are not written as the first are: {sorted(other)[0]}", _ELSEWHERE)
    said += [note for note in sorted(other) if note not in said]
    try:
        long = long_rows(shape.path, piece.table, reading, _teller(said))
    except InputError as error:
        raise InputError(error.message.replace(str(shape.path), where, 1), error.hint) from error
    lacks = [name for name in shape.fields if name not in long.columns and name not in OHLCV]
    if lacks:
        raise InputError(f"{where} hold no numbers in {', '.join(lacks)}, where the first do", _ELSEWHERE)
    for name in shape.fields:
        if name not in long.columns:
            long[name] = np.nan
    long = opens_of_closes(long, shape.stamps or "open", lambda _: shape.bar, _teller(said))
    if long["ts"].max() > pd.Timestamp(newest_allowed(), tz="UTC"):
        raise InputError(
            f"{where}: bars of {str(long['ts'].max())[:16]}, which is after now", "see whether the times are right"
        )
    _refuse_defects(long, shape, piece.first)
    return long[["ts", "symbol", *shape.fields]]


def _teller(said: list[str]) -> Callable[[str], None]:
    def tell(note: str) -> None:
        if note not in said:
            said.append(note)

    return tell


def _refuse_defects(long: pd.DataFrame, shape: _Shape, first: int) -> None:
    defects = [one for one in check_ohlcv(long) if one.kind not in _SETTLED]
    if defects:
        words = [f"{shape.unit} {first + one.row}: {one.message.partition(': ')[2]}" for one in defects[:3]]
        more = f" and {len(defects) - 3} more" if len(defects) > 3 else ""
        raise InputError(f"{shape.path}: {'; '.join(words)}{more}", "correct the file: nothing is repaired in pieces")
