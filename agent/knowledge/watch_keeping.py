"""Keeping what became of what was admitted: a line for each new state, and the newest one brought up to date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from agent.knowledge.database.transactions import Handle
from agent.knowledge.database.watch_table import TABLE
from agent.knowledge.tables.convert import plain_dict, utc_now
from agent.knowledge.tables.datasets import related_ids
from agent.knowledge.watch_records import CHANGING, WatchRecord, watch_record


class Watches(Handle):
    """An open knowledge base, as it keeps what became of what was admitted."""

    def keep_watches(self, found: Sequence[WatchRecord]) -> list[WatchRecord]:
        """Keep what a check found, a line for each new state, and return what is new or has changed its state."""
        changed, now = [], utc_now()
        with self._writing() as session:
            newest = {(one.subject, one.data): one for one in _newest(session)}
            for one in found:
                before = newest.get((one.subject, one.data))
                if before is not None and all(getattr(before, name) == getattr(one, name) for name in CHANGING):
                    _refresh(session, before.id, one, now)
                    continue
                _insert(session, one, now)
                if before is None or (before.word, before.verdict) != (one.word, one.verdict):
                    changed.append(one)
        return changed

    def watches(self) -> list[WatchRecord]:
        """Return the newest state of all that is watched, in the order in which it was first seen."""
        with self._reading() as session:
            return _newest(session)

    def watched_from(self, subject: str, panel_id: str) -> str | None:
        """Return the time of the first bar of a panel's lineage on which a factor was watched, or None: these are used.

        They are no holdout of it any more: whoever reads the states has seen them.
        """
        with self._reading() as session:
            panels = related_ids(session.connection(), panel_id)
            where = (TABLE.c.subject == subject, TABLE.c.panel_id.in_(panels), TABLE.c.start != "")
            found = session.scalar(select(func.min(TABLE.c.start)).where(*where))
        return None if found is None else str(found)


def _newest(session: Session) -> list[WatchRecord]:
    last = select(func.max(TABLE.c.id)).group_by(TABLE.c.subject, TABLE.c.data)
    found = [
        watch_record(row) for row in session.execute(select(TABLE).where(TABLE.c.id.in_(last)).order_by(TABLE.c.id))
    ]
    return sorted(found, key=lambda one: (one.admitted, one.subject, one.data))


def _refresh(session: Session, number: int, one: WatchRecord, now: str) -> None:
    """Bring the newest line up to date: a line a bar would make the history as long as the data."""
    values: dict[str, Any] = {name: getattr(one, name) for name in ("start", "end", "bars", "why")}
    values |= {"checked": now, "figures": plain_dict(dict(one.figures))}
    session.execute(update(TABLE).where(TABLE.c.id == number).values(**values))


def _insert(session: Session, one: WatchRecord, now: str) -> None:
    values: dict[str, Any] = {name: value for name, value in asdict(one).items() if name != "id"}
    values |= {"checked": now, "figures": plain_dict(dict(one.figures))}
    session.execute(insert(TABLE).values(**values))
