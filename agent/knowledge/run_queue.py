"""Runs that wait for a worker: asked for, taken under a lease, given back, ended.

A worker has a run as long as it renews its lease; one that ended without a word loses it when the lease is over, and
another goes on with the run. Times are the database's, so that machines need not agree on theirs. The next run is
that of the person who has the fewest at work; among those, of who waited longest since one was taken.

On a server a run is claimed by locking its row, and a row that another worker is claiming is passed over (SKIP LOCKED):
workers wait neither for one another nor for those that record attempts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.orm import Session

from agent.knowledge.database.queue_table import TABLE
from agent.knowledge.database.transactions import Handle
from agent.knowledge.tables import runs
from market.errors import InputError

QueueState = Literal["waiting", "at work", "ended", "failed"]
_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class QueueEntry:
    """A run of the queue; `worker` has it until `lease` (UTC), where its state is *at work*.

    Attributes
    ----------
    message
        Why it failed, where it did.
    """

    run_id: str
    asked_by: str
    asked: str
    state: QueueState
    worker: str | None
    taken: str | None
    lease: str | None
    ended: str | None
    message: str


class RunQueue(Handle):
    """An open knowledge base, as it keeps runs that wait for a worker."""

    def enqueue(self, run_id: str, asked_by: str) -> None:
        """Put a run at the end of the queue, or again where it ended; one that waits or is at work is left there."""
        with self._writing() as session:
            now = _now(session)
            found = _find(session, run_id, now)
            if found is not None and found.ended is None:
                return
            fresh: dict[str, Any] = {"asked_by": asked_by, "asked": now, "ended": None, "message": ""}
            fresh |= {"worker": None, "lease": None}
            if found is None:
                session.execute(insert(TABLE).values(run_id=run_id, taken=None, **fresh))
            else:
                session.execute(update(TABLE).where(TABLE.c.run_id == run_id).values(**fresh))
            runs.set_status(session, run_id, "queued")

    def queue(self) -> list[QueueEntry]:
        """Return all runs that were put into the queue, in the order in which they were asked for."""
        with self._reading() as session:
            return _all(session, _now(session))

    def queued_run(self, run_id: str) -> QueueEntry | None:
        """Return a run as the queue has it, or None where it never was in it."""
        with self._reading() as session:
            return _find(session, run_id, _now(session))

    def take_run(self, worker: str, seconds: float, able: Callable[[str], bool]) -> QueueEntry | None:
        """Give a worker the next run that it is able to do, for so long; None where there is none."""
        passed_over = set[str]()
        with self._claiming() as session:
            while True:
                now = _now(session)
                # A run that another worker is claiming counts as at work for who asked for it.
                queue = [_as_taken(one, now) if one.run_id in passed_over else one for one in _all(session, now)]
                chosen = next((one for one in in_turn(queue) if able(one.run_id)), None)
                if chosen is None:
                    return None
                if _lock(session, chosen.run_id, now):
                    values = {"worker": worker, "taken": now, "lease": _later(now, seconds), "message": ""}
                    session.execute(update(TABLE).where(TABLE.c.run_id == chosen.run_id).values(**values))
                    return _find(session, chosen.run_id, now)
                passed_over.add(chosen.run_id)

    def renew_lease(self, run_id: str, worker: str, seconds: float) -> bool:
        """Keep a run for so long from now; False where another worker has it, or it ended, and this one has to stop."""
        with self._claiming() as session:
            now = _now(session)
            own = (TABLE.c.run_id == run_id, TABLE.c.worker == worker, TABLE.c.ended.is_(None))
            done = session.execute(
                update(TABLE).where(*own).values(lease=_later(now, seconds)).returning(TABLE.c.run_id)
            )
            return done.first() is not None

    def give_back(self, run_id: str, worker: str, *, ended: bool, message: str = "") -> None:
        """Leave a run to others, or, where it `ended`, to nobody; what another worker has by now is left as it is."""
        with self._writing() as session:
            values: dict[str, Any] = {"worker": worker if ended else None, "lease": None, "message": message}
            values["ended"] = _now(session) if ended else None
            own = (TABLE.c.run_id == run_id, TABLE.c.worker == worker)
            given = update(TABLE).where(*own).values(**values).returning(TABLE.c.run_id)
            if session.execute(given).first() is not None and not ended:
                runs.set_status(session, run_id, "queued")

    def drop_run(self, run_id: str) -> None:
        """Take a run out of the queue; whoever works on it stops. What it recorded stays, and can be resumed.

        Raises
        ------
        InputError
            When it is not in the queue.
        """
        with self._writing() as session:
            now = _now(session)
            # Locked, so that no worker claims it meanwhile.
            found = _find(session, run_id, now, lock=True)
            if found is None or found.ended is not None:
                raise InputError(f"run {run_id} is not in the queue", "see what is: alphaglow queue")
            values = {"worker": None, "lease": None, "ended": now, "message": "taken out of the queue"}
            session.execute(update(TABLE).where(TABLE.c.run_id == run_id).values(**values))
            if found.state == "waiting":
                runs.set_status(session, run_id, "interrupted")

    def require_free(self, run_id: str, worker: str | None = None) -> None:
        """Refuse, as an `InputError`, to go on with a run that another worker has."""
        found = self.queued_run(run_id)
        if found is not None and found.state == "at work" and found.worker != worker:
            raise InputError(
                f"the worker {found.worker} has run {run_id}, until {found.lease} at least",
                f"wait for it, or take the run from it first: alphaglow queue --drop {run_id}",
            )


def in_turn(queue: Sequence[QueueEntry]) -> list[QueueEntry]:
    """Return the runs that wait, the next one first."""
    at_work = Counter(one.asked_by for one in queue if one.state == "at work")
    served = {one.asked_by: "" for one in queue}
    for one in queue:
        served[one.asked_by] = max(served[one.asked_by], one.taken or "")
    waiting = [one for one in queue if one.state == "waiting"]
    return sorted(waiting, key=lambda one: (at_work[one.asked_by], served[one.asked_by], one.asked, one.run_id))


def _now(session: Session) -> str:
    """Return the database's time, UTC."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC).strftime(_FORM)
    found = session.scalar(select(func.clock_timestamp()))
    assert isinstance(found, datetime)
    return found.astimezone(UTC).strftime(_FORM)


def _later(now: str, seconds: float) -> str:
    return (datetime.strptime(now, _FORM).replace(tzinfo=UTC) + timedelta(seconds=seconds)).strftime(_FORM)


def _all(session: Session, now: str) -> list[QueueEntry]:
    return [_record(row, now) for row in session.execute(select(TABLE).order_by(TABLE.c.asked, TABLE.c.run_id))]


def _find(session: Session, run_id: str, now: str, *, lock: bool = False) -> QueueEntry | None:
    asked = select(TABLE).where(TABLE.c.run_id == run_id)
    row = session.execute(asked.with_for_update() if lock else asked).first()
    return None if row is None else _record(row, now)


def _lock(session: Session, run_id: str, now: str) -> bool:
    """Lock the row of a run that waits; False where another worker is claiming it, or has it by now."""
    waits = (TABLE.c.ended.is_(None), or_(TABLE.c.worker.is_(None), TABLE.c.lease.is_(None), TABLE.c.lease <= now))
    asked = select(TABLE.c.run_id).where(TABLE.c.run_id == run_id, *waits)
    return session.execute(asked.with_for_update(skip_locked=True)).first() is not None


def _as_taken(one: QueueEntry, now: str) -> QueueEntry:
    return replace(one, state="at work", taken=now) if one.state == "waiting" else one


def _record(row: Any, now: str) -> QueueEntry:  # noqa: ANN401 - a row by the names of its columns
    state: QueueState = "waiting"
    if row.ended is not None:
        state = "failed" if row.message else "ended"
    elif row.worker is not None and (row.lease or "") > now:
        state = "at work"
    return QueueEntry(
        row.run_id, row.asked_by, row.asked, state, row.worker, row.taken, row.lease, row.ended, row.message
    )
