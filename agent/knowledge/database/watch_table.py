"""The table of what became of what was admitted, as a typed model; see `agent.knowledge.database.schema`."""

from __future__ import annotations

from sqlalchemy import JSON, Index
from sqlalchemy.orm import Mapped, mapped_column

from agent.knowledge.database.schema import Base, core_table


class Watch(Base):
    """How a factor or pool that was admitted did on the bars since, a line for each state.

    `start` and `end` are the times of the first and last bar whose payoffs were seen; empty where none came yet.
    """

    __tablename__ = "watches"
    __table_args__ = (Index("ix_watches_subject", "subject", "data"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str]
    data: Mapped[str]
    panel_id: Mapped[str]
    kind: Mapped[str]
    name: Mapped[str]
    verdict: Mapped[str]
    admitted: Mapped[str]
    checked: Mapped[str]
    start: Mapped[str]
    end: Mapped[str]
    bars: Mapped[int]
    state: Mapped[str]
    stale: Mapped[bool]
    why: Mapped[str]
    figures: Mapped[dict[str, object]] = mapped_column(JSON)


TABLE = core_table(Watch)
