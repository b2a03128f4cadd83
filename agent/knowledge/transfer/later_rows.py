"""What came after the attempts, from one base into another: remarks by people, and the history of watching."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, get_args

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.database.watch_table import TABLE as _WATCHES
from agent.knowledge.remarks import RemarkKind
from agent.knowledge.watch_records import CHANGING, WatchState

REMARK = ("factor_id", "kind", "text", "author", "created")
WATCH = tuple(column.name for column in _WATCHES.columns if column.name != "id")
_REMARKS = schema.core_table(schema.Remark)
Line = dict[str, Any]
# A factor or pool on a data set: what has one history.
Watched = tuple[str, str]


def checked_line(row: Line, columns: tuple[str, ...]) -> Line:
    """Return these columns of a row of an export.

    Raises
    ------
    KeyError, ValueError
        Where a column is missing, or holds what such a row never holds.
    """
    found = {name: row[name] for name in columns}
    kinds: dict[str, type] = {"bars": int, "stale": bool, "figures": dict}
    for name, value in found.items():
        if not isinstance(value, kinds.get(name, str)):
            raise ValueError(f"{name} is {value!r}")
    name, words = ("kind", get_args(RemarkKind)) if columns == REMARK else ("state", get_args(WatchState))
    if found[name] not in words:
        raise ValueError(f"{name} is {found[name]!r}")
    return found


def take_remarks(session: Session, offered: Iterable[Line]) -> int:
    """Add what people said there and not here; return how many. A factor has a tag once, whoever gave it."""
    known = {_meaning(row._mapping) for row in session.execute(select(*(_REMARKS.c[name] for name in REMARK)))}
    new = [row for row in offered if _meaning(row) not in known]
    if new:
        session.execute(insert(_REMARKS), new)
    return len(new)


def _meaning(row: Any) -> tuple[str, ...]:  # noqa: ANN401 - a mapping, or a row's
    return tuple(row[name] for name in (REMARK[:3] if row["kind"] == "tag" else REMARK))


def take_watches(session: Session, offered: Iterable[Line]) -> int:
    """Bring the two histories of all that is watched there into one; return how many lines are new or changed."""
    there: dict[Watched, list[Line]] = defaultdict(list)
    for line in offered:
        there[line["subject"], line["data"]].append(line)
    changed = 0
    for (subject, data), lines in there.items():
        own = (_WATCHES.c.subject == subject, _WATCHES.c.data == data)
        stored = select(*(_WATCHES.c[name] for name in WATCH)).where(*own).order_by(_WATCHES.c.id)
        here = [dict(row._mapping) for row in session.execute(stored)]
        joined = join_histories(here, lines)
        if joined == here:
            continue
        session.execute(delete(_WATCHES).where(*own))
        session.execute(insert(_WATCHES), joined)
        changed += sum(line not in here for line in joined)
    return changed


def join_histories(here: list[Line], there: list[Line]) -> list[Line]:
    """Return both histories of one subject as one, in order of time: a line for each change of state.

    A line says until when its state was seen. So of two lines of one state that follow each other, the later one says
    all, but for the first bar that either saw: the bars from there on are no holdout any more.
    """
    placed = [(line["checked"], place, line) for own in (here, there) for place, line in enumerate(own)]
    joined: list[Line] = []
    for _, _, line in sorted(placed, key=lambda one: one[:2]):
        last = joined[-1] if joined else None
        if last is None or any(last[name] != line[name] for name in CHANGING):
            joined.append(line)
            continue
        seen = [one["start"] for one in (last, line) if one["start"]]
        joined[-1] = {**line, "start": min(seen, default="")}
    return joined
