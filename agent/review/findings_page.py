"""How findings are laid out on a page: one sentence, pictures, and tables without columns that say one thing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent.drawing.axes import DASH
from agent.review.findings import Grid
from agent.review.views import Row

# Cells that stand open on a page; tables beyond are one click away.
OPEN_CELLS = 220
# Of fewer rows than these it is no news that they are equal.
_LEAST_ROWS = 3


@dataclass(frozen=True, slots=True)
class Laid:
    """A table as the template lays it out; `same` says what is equal in all its rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    left: int
    note: str
    same: str
    is_open: bool


def lay_out(grids: Sequence[Grid]) -> list[Laid]:
    """Return tables for a page: the first ones open, those beyond `OPEN_CELLS` in all to be opened."""
    laid, cells = [], 0
    for place, grid in enumerate(grids):
        table, same = without_equal_columns(grid)
        cells += len(table.columns) * len(table.rows)
        rows = tuple(Row(row[0], "", tuple(row[1:])) for row in table.rows)
        is_open = (place == 0 and cells <= 2 * OPEN_CELLS) or cells <= OPEN_CELLS
        laid.append(Laid(table.title, table.columns, rows, table.left, table.note, same, is_open))
    return laid


def without_equal_columns(grid: Grid) -> tuple[Grid, str]:
    """Return a table without the columns that are equal in all rows, and what they say, as a sentence.

    The first column, which names the rows, always stays.
    """
    if len(grid.rows) < _LEAST_ROWS:
        return grid, ""
    equal = [k for k in range(1, len(grid.columns)) if len({row[k] for row in grid.rows}) == 1]
    if not equal or len(equal) == len(grid.columns) - 1:
        return grid, ""
    said = [f"{grid.columns[k]} {grid.rows[0][k]}" for k in equal if grid.rows[0][k] not in ("", DASH)]
    unknown = [grid.columns[k] for k in equal if grid.rows[0][k] in ("", DASH)]
    words = [f"In all rows: {', '.join(said)}."] if said else []
    words += [f"Of none is known: {', '.join(unknown)}."] if unknown else []
    kept = [k for k in range(len(grid.columns)) if k not in equal]
    rows = tuple(tuple(row[k] for k in kept) for row in grid.rows)
    left = grid.left - sum(k < grid.left for k in equal)
    return Grid(grid.title, tuple(grid.columns[k] for k in kept), rows, left, grid.note), " ".join(words)


def capital(sentence: str) -> str:
    """Return a sentence with a capital, unless it begins with a name such as ``return_1``."""
    word = sentence.split(" ", 1)[0]
    return sentence if "_" in word or not word.isalpha() else sentence[:1].upper() + sentence[1:]


def first_sentence(text: str) -> tuple[str, str]:
    """Return the first sentence of a text, with a capital, and the others."""
    parts = re.split(r"(?<=[a-z0-9)%][.!?]) (?=[A-Z])", text.strip(), maxsplit=1)
    return capital(parts[0]), parts[1] if len(parts) > 1 else ""
