"""How a text table is laid out: what separates cells, where it begins, and whether its first row names columns."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from market.errors import InputError
from market.reading.conventions import TextForm
from market.reading.numbers import MISSING, reads_as_number

_SEPARATORS = ("\t", ";", "|", ",")
# Rows by which a layout is recognised.
_ROWS = 300
_TIME = re.compile(
    r"\d{4}[-/年]\d{1,2}([-/月]\d{1,2}.*)?|\d{4}\.\d{1,2}\.\d{1,2}.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}.*"
    r"|\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?"
    r"|\d{8}[ T]+\d.*|\d{1,2}[- ][A-Za-z]{3,9}[- ,]+\d{2,4}.*|[A-Z][a-z]{2,8}\.?[ -]\d{1,2}(,? |-)\d{4}.*"
)


@dataclass(frozen=True)
class TableLayout:
    """Where a text's table is.

    Attributes
    ----------
    sep
        What separates cells.
    skip
        Lines above the header, or above the first row.
    above
        The first of them that says anything.
    header
        The columns' names; empty where the table has none.
    rows
        The first rows of cells, without the header.
    shifted
        Whether the rows have one cell more than the header.
    has_odd_rows
        Whether among the first rows some have one cell alone, or are the header once more.
    """

    sep: str
    skip: int
    above: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shifted: bool = False
    has_odd_rows: bool = False

    @property
    def width(self) -> int:
        """Cells of a row."""
        return len(self.rows[0]) if self.rows else len(self.header)


def looks_like_time(cell: str) -> bool:
    """Whether a cell is written as a date, a time of day, or both."""
    return _TIME.fullmatch(cell.strip()) is not None


def cell_kind(cell: str) -> str:
    """Return what a cell is: ``blank``, ``number``, ``time`` or ``text``."""
    text = cell.strip()
    if text.lower() in MISSING:
        return "blank"
    if looks_like_time(text):
        return "time"
    return "number" if reads_as_number(text) else "text"


def layout_of(text: str, whole: bool, form: TextForm, path: object) -> TableLayout:
    """Return the layout of a text's beginning; `whole` is whether nothing comes after it."""
    if not text.strip():
        raise InputError(f"{path} is empty", "is it the right file?")
    declared = re.match(r"sep=(.)\r?\n", text)
    sep = form.sep or (declared[1] if declared else None) or _separator(text, whole)
    rows, lines = _cells(text, sep, whole)
    start, width = _start(rows)
    if form.skip is not None:
        start = next((n for n, line in enumerate(lines) if line >= form.skip and any(rows[n])), start)
        width = len(rows[start])
    body = [row for row in rows[start:] if any(cell.strip() for cell in row)]
    named = form.header if form.header is not None else _has_header(body)
    header = tuple(body[0]) if named else ()
    body = body[1:] if named else body
    usual = Counter(len(row) for row in body).most_common(1)[0][0] if body else width
    above = next((" ".join(row).strip() for row in rows[:start] if any(row)), "")
    if len(header) == usual + 1 and header[0].strip() == "#":
        # numpy.savetxt puts a mark before the names.
        header = header[1:]
    rows_of = tuple(tuple(row) for row in body if len(row) == usual) or ((),)
    short = bool(header) and (usual == len(header) + 1 or (usual == len(header) + 2 and clock_place(rows_of[0]) > 0))
    odd = any(len(row) == 1 or tuple(row) == header for row in body[:-1])
    return TableLayout(sep, lines[start], above, header, rows_of, short, odd)


def clock_place(row: Sequence[str]) -> int:
    """Return the cell that holds a date behind which a cell holds a time of day; -1 where none does."""
    kinds = [cell_kind(cell) if ":" not in cell else "clock" if looks_like_time(cell) else "" for cell in row]
    return next((n for n in range(len(row) - 1) if kinds[n : n + 2] == ["time", "clock"]), -1)


def _cells(text: str, sep: str, whole: bool) -> tuple[list[list[str]], list[int]]:
    """Return the first rows, and in how many lines each is preceded."""
    csv.field_size_limit(1 << 24)
    splitter = csv.reader(io.StringIO(text, newline=""), delimiter=sep, skipinitialspace=True)
    rows: list[list[str]] = []
    lines, before = [], 0
    try:
        for row in splitter:
            rows.append(row)
            lines.append(before)
            before = splitter.line_num
            if len(rows) >= _ROWS:
                break
    except csv.Error:
        pass
    if not whole and len(rows) < _ROWS and len(rows) > 1:
        rows, lines = rows[:-1], lines[:-1]
    return rows, lines


def _separator(text: str, whole: bool) -> str:
    """Return what cuts most rows into the same number of cells, the rarer signs first."""
    filled = [line for line in text.splitlines()[:_ROWS] if line.strip()]
    words = sorted(len(line.split()) for line in filled)
    # A title of many words stands above rows that commas cut.
    if not any(sep in filled[0] for sep in _SEPARATORS) and len(filled[0].split()) >= 5 <= words[len(words) // 2]:
        return " "
    best, most, cells = ",", 0.0, 0
    for sep in _SEPARATORS:
        if sep not in text[: 1 << 16]:
            continue
        rows = [row for row in _cells(text, sep, whole)[0] if any(row)]
        counts = Counter(len(row) for row in rows)
        width, often = counts.most_common(1)[0]
        # A header row may have a cell less.
        often += counts.get(width - 1, 0) if width > 2 else 0
        share = often / len(rows)
        # What cuts a row in two or three stands within a cell: "20230307;143000".
        finer = share > 0.9 and width >= 5 > cells + 1
        if width > 1 and (share > most + 0.15 or (share > 0.9 and most < 0.9) or finer):
            best, most, cells = sep, share, width
    return best


def _start(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Return the first row of the table and its cells: what comes before is text above it."""
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    if not filled:
        return 0, 1
    # The first table counts where two follow each other; a title has fewer cells than what it stands above.
    wide = max(Counter(len(row) for row in filled).items(), key=lambda item: (item[1] * (item[0] > 1), item[0]))[0]
    for place, row in enumerate(rows):
        # R's write.table names neither its rows nor the time of day that a blank cuts off a date.
        least = wide - 2 if place + 1 < len(rows) and clock_place(rows[place + 1]) > 0 else wide - 1
        if len(row) >= least and len(row) > 1 and sum(bool(cell.strip()) for cell in row) > max(1, (wide - 1) // 2):
            return place, wide
    first = next(place for place, row in enumerate(rows) if any(cell.strip() for cell in row))
    return first, wide


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names columns: it is of other kinds than the rows below it."""
    if not rows:
        return True
    first = [cell_kind(cell) for cell in rows[0]]
    if first[0] in ("number", "time"):
        return first.count("number") + first.count("time") < 2
    if "time" in first and first.count("number") >= 2 and len(rows) > 1 and first == [cell_kind(c) for c in rows[1]]:
        return False
    if first.count("number") < 3 or first[0] == "blank":
        return True
    # A ticker comes first, and numbers follow: as in the next row.
    return len(rows) > 1 and first != [cell_kind(cell) for cell in rows[1]]


def _sums_up(cells: Sequence[str], usual: str) -> bool:
    """Whether a row under others that begin with a time begins with a word, or holds one behind blanks: "Total"."""
    if usual not in ("time", "number") or not cells:
        return False
    words = [cell for cell in cells if cell_kind(cell) == "text" and not any(letter.isdigit() for letter in cell)]
    first = cells[0].strip()
    return bool(words) and (not first or first == words[0].strip())


def _has_words(cells: Sequence[str], layout: TableLayout) -> bool:
    """Whether a short row has a word where no row has one: "!ENDMSG!"."""
    return any(
        cell_kind(cell) == "text" and all(cell_kind(row[n]) != "text" for row in layout.rows[:50])
        for n, cell in enumerate(cells)
    )


def unquoted_tail(tail: str, layout: TableLayout) -> tuple[int, str]:
    """Return how many of the last lines are no rows of the table, and the first of them.

    A line below the table has too few cells, and its first is neither a time nor a number, or another is a word; a last
    line that was cut has too few as well, but begins as a row does.
    """
    lines = tail.splitlines()
    firsts = Counter(cell_kind(row[0]) for row in layout.rows if row)
    usual = firsts.most_common(1)[0][0] if firsts else "text"
    extra, first = 0, ""
    for line in reversed(lines):
        if not line.strip(f' \t"{layout.sep}'):
            extra += 1
            continue
        cells = next(csv.reader([line], delimiter=layout.sep), [])
        if _sums_up(cells, usual):
            extra, first = extra + 1, line.strip()
            continue
        if len(cells) >= max(2, layout.width - 1):
            break
        if len(cells) > 1 and cell_kind(cells[0]) == usual and not _has_words(cells, layout):
            break
        extra, first = extra + 1, line.strip()
    return (extra, first) if first and extra < len(lines) else (0, "")
