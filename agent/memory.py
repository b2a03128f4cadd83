"""Attempts on one data set, kept in memory: recorded attempts never change, so only new ones are read."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.knowledge.records import AttemptRecord
from agent.knowledge.store import KnowledgeBase


@dataclass
class Memory:
    """All attempts on a data set, of whatever run, oldest first."""

    knowledge: KnowledgeBase
    panel_id: str
    _known: list[AttemptRecord] = field(default_factory=list)

    def attempts(self, until: int | None = None) -> list[AttemptRecord]:
        """Return what is recorded now; with `until`, what was recorded up to the attempt of that id."""
        last = self._known[-1].id if self._known else 0
        self._known += self.knowledge.attempts(panel_id=self.panel_id, after=last)
        return [a for a in self._known if until is None or a.id <= until]

    def of_run(self, run_id: str) -> list[AttemptRecord]:
        """Return the attempts of one run."""
        return [a for a in self.attempts() if a.run_id == run_id]
