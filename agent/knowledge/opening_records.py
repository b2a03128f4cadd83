"""Every time that a factor saw the holdout of a panel, read by SQL text that sqlite3 and SQLAlchemy both run.

Bars that a factor saw stay seen, on whatever related data set they lie; bars after them are a fresh holdout (forward).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agent.knowledge.dataset_records import SeenSpan
from agent.knowledge.listing import Ask, Columns, listed, read_rows
from agent.knowledge.records import HoldoutRecord
from agent.knowledge.tables.convert import holdout_record

_OPENINGS = Columns(
    "holdout_openings",
    ("factor_id", "panel_id", "number", "opened_at", "opened_by", "rules", "result", "start", "end"),
    ("rules", "result"),
)


def list_openings(ask: Ask, factor_id: str, panels: Sequence[str]) -> list[HoldoutRecord]:
    """Return every time that this factor saw the holdout of one of these panels, oldest first, numbered so.

    The first panel is the one that is asked about: openings on others name their data set.
    """
    found: list[HoldoutRecord] = []
    seen = ""
    for row, data in _rows(ask, factor_id, panels):
        record = holdout_record(row)
        forward = bool(found) and record.start is not None and record.start > seen
        name = "" if row.panel_id == panels[0] or data is None else data[0]
        found.append(replace(record, number=len(found) + 1, forward=forward, data=name))
        seen = max(seen, _span(row, data).end)
    return found


def seen_spans(ask: Ask, factor_id: str, panels: Sequence[str]) -> tuple[SeenSpan, ...]:
    """Return which bars of these panels a factor saw, the oldest opening first."""
    return tuple(_span(row, data) for row, data in _rows(ask, factor_id, panels))


def _rows(ask: Ask, factor_id: str, panels: Sequence[str]) -> list[tuple[Any, tuple[str, str] | None]]:
    """Return openings, each with name and last bar of its data set, where that is known."""
    among, given = listed("panel", panels)
    where = f"WHERE factor_id = :factor AND panel_id IN ({among}) ORDER BY opened_at, number, panel_id"
    rows = read_rows(ask, _OPENINGS, where, {"factor": factor_id, **given})
    if not rows:
        return []
    found = ask(f'SELECT panel_id, name, "end" FROM datasets WHERE panel_id IN ({among})', given)
    data = {str(row[0]): (str(row[1]), str(row[2])) for row in found}
    return [(row, data.get(row.panel_id)) for row in rows]


def _span(row: Any, data: tuple[str, str] | None) -> SeenSpan:  # noqa: ANN401 - a row by the names of its columns
    # Earlier versions wrote the bars that they showed into the result, in minutes.
    start, end = (row.result.get(name) for name in ("start", "end"))
    shown = [f"{time[:16]}:00Z" if isinstance(time, str) and time else "" for time in (start, end)]
    name, last = data or ("", "9999")
    return SeenSpan(row.start or shown[0], row.end or shown[1] or last, row.opened_at, name)
