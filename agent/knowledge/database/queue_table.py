"""The table of runs that wait for a worker, as a typed model; see `agent.knowledge.database.schema`."""

from __future__ import annotations

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from agent.knowledge.database.schema import Base, core_table


class QueuedRun(Base):
    """A run that was put into the queue: who asked for it, and which worker has it until when (its lease).

    `taken` is when a worker took it last; `ended` when it needed none any more, with a message where it failed.
    """

    __tablename__ = "queued_runs"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    asked_by: Mapped[str]
    asked: Mapped[str]
    worker: Mapped[str | None]
    taken: Mapped[str | None]
    lease: Mapped[str | None]
    ended: Mapped[str | None]
    message: Mapped[str]


TABLE = core_table(QueuedRun)
