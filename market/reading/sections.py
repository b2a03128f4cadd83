"""Tables in parts: titles and headers between rows, one asset below or beside another, facts between names and rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import pandas as pd

from market.columns import ALIASES, plain_name
from market.errors import InputError
from market.reading.layout import TableLayout, cell_kind

# Rows of facts, such as unit and source, that stand between names and rows.
_MOST_FACTS = 15


def in_one_part(
    source: IO[bytes] | Path, layout: TableLayout, encoding: str, notes: list[str]
) -> tuple[IO[bytes] | Path, TableLayout]:
    """Return a table whose names stand right above its rows, without titles and further headers between the rows.

    Titles above headers, such as AAPL above the one and MSFT above the other, are the assets of what follows.
    """
    if not layout.header or len(layout.rows) < 3:
        return source, layout
    facts = _facts(layout.rows)
    if not facts and not any(_title(row) or row == layout.header for row in layout.rows):
        lone = len(layout.header) > 1 and layout.has_odd_rows
        if not lone:
            return source, layout
    data = source.read_bytes() if isinstance(source, Path) else _all_of(source)
    lines = data.decode(encoding, errors="replace").splitlines()
    if facts:
        lines, layout = _below_facts(lines, layout, facts, notes)
    lines, layout = _without_titles(lines, layout, notes)
    return io.BytesIO(
        ("\n".join(lines) + "\n").encode("utf-8" if encoding.startswith("utf-16") else encoding, "replace")
    ), layout


def _all_of(source: IO[bytes]) -> bytes:
    source.seek(0)
    return source.read()


def _cells(line: str, sep: str) -> tuple[str, ...]:
    return tuple(next(csv.reader([line], delimiter=sep, skipinitialspace=True), []))


def _title(cells: Sequence[str]) -> str:
    """Return the only cell that says anything, where it is the first and a word; else nothing."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    return filled[0] if len(filled) == 1 and cells[0].strip() and cell_kind(cells[0]) == "text" else ""


def _facts(rows: Sequence[Sequence[str]]) -> int:
    """Return how many of the first rows begin with a word, where all others begin with a time or a number."""
    kinds = [cell_kind(row[0]) for row in rows]
    count = next((n for n, kind in enumerate(kinds) if kind in ("time", "number")), 0)
    rest = kinds[count:]
    ordered = sum(kind in ("time", "number") for kind in rest) >= 0.9 * len(rest)
    return count if 0 < count <= _MOST_FACTS and ordered and "text" in kinds[:count] else 0


def _below_facts(lines: list[str], layout: TableLayout, count: int, notes: list[str]) -> tuple[list[str], TableLayout]:
    candidates = [layout.header, *layout.rows[:count]]
    whole = [row for row in candidates if len({cell.strip() for cell in row[1:]} - {""}) == len(row) - 1]
    first = next((row for row in whole if not row[0].strip() or plain_name(row[0]) in ALIASES["ts"]), None)
    names = first or (whole[-1] if whole else layout.header)
    last, place = layout.rows[count - 1], layout.skip
    while place < len(lines) and _cells(lines[place], layout.sep) != tuple(last):
        place += 1
    if place >= len(lines):
        return lines, layout
    left = [row[0].strip() for row in candidates if row is not names and row[0].strip()]
    notes.append(f"left out {len(left)} rows of facts between names and rows: {', '.join(left)[:60]}")
    lines = [*lines[: layout.skip], *lines[place:]]
    return lines, replace(layout, header=tuple(names), rows=layout.rows[count:])


def _without_titles(lines: list[str], layout: TableLayout, notes: list[str]) -> tuple[list[str], TableLayout]:
    """Return lines of rows alone, each with the title of its part where those name assets."""
    firsts = {cell_kind(row[0]) for row in layout.rows if sum(map(bool, map(str.strip, row))) > 1}
    if not firsts & {"time", "number"}:
        return lines, layout
    header = lines[layout.skip].strip()
    titles, kept, asset, left, pending = [], [], "", [], ""
    above = next((line for line in reversed(lines[: layout.skip]) if line.strip()), "")
    pending = _title(_cells(above, layout.sep)) if above else ""
    heads = 0
    for line in lines[layout.skip :]:
        if line.strip() == header:
            heads += 1
            titles.append(pending)
            asset, pending = pending, ""
            continue
        title = _title(_cells(line, layout.sep)) if line.strip() else ""
        if title:
            pending = title
            left.append(title)
        elif line.strip():
            kept.append((line, asset))
    if heads < 2 and not left:
        return lines, layout
    if left and pending == left[-1] and pending and kept:
        # What stands below the last row is looked at with the table's end.
        left.pop()
    same = len({re.sub(r"\d", "", title) for title in titles}) == 1 and any(" " in title for title in titles)
    if heads > 1 and all(titles) and len(set(titles)) == heads and not same:
        notes.append(f"titles between the parts are taken for assets: {', '.join(titles[:4])}")
        rows = tuple((*row, titles[0]) for row in layout.rows if not _title(row) and row != layout.header)
        whole = [
            *lines[: layout.skip],
            f"{header}{layout.sep}symbol",
            *(f"{line}{layout.sep}{one}" for line, one in kept),
        ]
        return whole, replace(layout, header=(*layout.header, "symbol"), rows=rows)
    if heads > 1:
        notes.append(f"the header comes {heads - 1} times more: left out")
    if left:
        notes.append(f"left out {len(left)} titles between the rows: {', '.join(dict.fromkeys(left))[:60]}")
    rows = tuple(row for row in layout.rows if not _title(row) and row != layout.header)
    return [*lines[: layout.skip + 1], *(line for line, _ in kept)], replace(layout, rows=rows)


def parts_beside(text: str, layout: TableLayout) -> tuple[str, ...]:
    """Return the assets of tables that stand side by side, each with times of its own; nothing for one table.

    Raises
    ------
    InputError
        Where the line above does not name an asset for each.
    """
    starts = _starts(layout)
    if len(starts) < 2:
        return ()
    above = next((line for line in reversed(text.splitlines()[: layout.skip]) if line.strip()), "")
    cells = [cell.strip() for cell in _cells(above, layout.sep)] if layout.skip else []
    assets = [
        next((cell for cell in cells[start:end] if cell), "")
        for start, end in zip(starts, [*starts[1:], len(layout.header)], strict=True)
    ]
    if not all(assets) or len(set(assets)) < len(assets):
        raise InputError(
            f"{len(starts)} tables with times of their own stand side by side, and nothing names their assets",
            "write the asset's name above each, in the line over the header, or give one table a file",
        )
    return tuple(assets)


def _starts(layout: TableLayout) -> list[int]:
    plain = [plain_name(name) for name in layout.header]
    if not plain or plain[0] not in ALIASES["ts"]:
        return []
    starts = [n for n, name in enumerate(plain) if name == plain[0]]
    parts = [
        tuple(filter(None, plain[start:end])) for start, end in zip(starts, [*starts[1:], len(plain)], strict=True)
    ]
    return starts if len(set(parts)) == 1 and len(parts[0]) > 1 else []


def stacked(frame: pd.DataFrame, layout: TableLayout, assets: Sequence[str]) -> pd.DataFrame:
    """Return tables side by side as one, with the assets in a column of their own."""
    starts = _starts(layout)
    pieces = []
    for asset, start, end in zip(assets, starts, [*starts[1:], len(layout.header)], strict=True):
        named = {frame.columns[n]: layout.header[n].strip() for n in range(start, end) if layout.header[n].strip()}
        part = frame[list(named)].rename(columns=named)
        pieces.append(part[part.iloc[:, 0].notna()].assign(symbol=asset))
    return pd.concat(pieces, ignore_index=True)
