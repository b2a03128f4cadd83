"""What a command found: tables, sentences and charts, once, for terminal, page and machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """A table: the first `left` columns are text, the rest figures; all cells are written out."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    note: str = ""


@dataclass(frozen=True)
class Findings:
    """What was found; `charts` are (heading, SVG, caption), `document` is for machines, `eyebrow` names the kind."""

    title: str
    lead: str
    grids: Sequence[Grid]
    charts: Sequence[tuple[str, str, str]]
    sentences: Sequence[str]
    document: Mapping[str, object]
    simulated: bool = False
    eyebrow: str = "Flow"


def grid(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, note: str = "") -> Grid:
    """Return a table of rows."""
    return Grid(title, tuple(columns), tuple(tuple(row) for row in rows), left, note)
