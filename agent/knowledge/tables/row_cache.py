"""What an open knowledge base remembers between transactions, of what never changes once it is committed.

Rows of a data set, and of those related to it, are numbered in the order in which they are committed, for their writers
queue: what is above the highest number seen is all that is new. Between data sets that are not related there is no
such order.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select, text
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.database.direct_connection import direct
from agent.knowledge.listing import list_numbered
from agent.knowledge.records import AttemptRecord
from agent.knowledge.run_config import read_rules
from agent.knowledge.tables.effective_trials import KnownScores, ReturnsFingerprints, TrialMaxima
from agent.knowledge.tables.related_trials import RelatedMaxima, RelatedTally
from agent.knowledge.tables.versions import rules_id

if TYPE_CHECKING:
    from factors.overlap import Fingerprint
    from factors.tree import Expression

_RUN = text("SELECT panel_id, config FROM runs WHERE id = :run")
_AT_ONCE = 500
_PRINTS = 1000


@dataclass(frozen=True)
class RunFacts:
    """What an attempt needs to know of its run."""

    panel_id: str
    rules: str


class Memory:
    """Attempts, signatures and runs that were read before; `reading` and `forget_uncommitted` keep it true."""

    def __init__(self, folder: Path | None = None) -> None:
        """Begin with nothing; `folder` is where draws among many trials are kept for the next process."""
        self._folder = folder
        self._lock = threading.RLock()
        self._prints: dict[str, Fingerprint] = {}
        self._runs: dict[str, RunFacts] = {}
        self._leaders: dict[str, ReturnsFingerprints] = {}
        self._accepted: dict[str, ReturnsFingerprints] = {}
        self._maxima: dict[str, TrialMaxima] = {}
        self._scores: dict[str, KnownScores] = {}
        self._related_tallies: dict[str, RelatedTally] = {}
        self._related_maxima: dict[str, RelatedMaxima] = {}
        self._records: dict[int, AttemptRecord] = {}
        self._listings: dict[str, list[int]] = {}
        self._chosen: dict[str, dict[int, AttemptRecord]] = {}
        # Of a panel, up to which run it was asked whether validation steered it, and whether it did.
        self.steered: dict[str, list[int]] = {}
        # The newest attempt and library entry that are known to be in the index of known factors.
        self.indexed = (0, 0)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep other threads from what is being brought up to date."""
        with self._lock:
            yield

    def run(self, session: Session | Connection, run_id: str) -> RunFacts:
        """Return what is known of a run."""
        found = self._runs.get(run_id)
        if found is None:
            row = direct(session).execute(_RUN, {"run": run_id}).first()
            if row is None:
                raise ValueError(f"there is no run {run_id}")
            # A server's driver has read it already.
            config = json.loads(row[1]) if isinstance(row[1], str) else row[1]
            found = RunFacts(row[0], rules_id(read_rules(config)))
            self._runs[run_id] = found
        return found

    def fingerprint(self, expression: Expression) -> Fingerprint:
        """Return an expression's fingerprint; those of the newest are at hand."""
        with self._lock:
            found = self._prints.get(expression.id)
            if found is None:
                from factors.overlap import fingerprint

                found = self._prints[expression.id] = fingerprint(expression.root)
                if len(self._prints) > _PRINTS:
                    del self._prints[next(iter(self._prints))]
            return found

    def known_print(self, factor_id: str) -> Fingerprint | None:
        """Return the fingerprint of a factor that was asked for lately."""
        with self._lock:
            return self._prints.get(factor_id)

    def leaders(self, panel_id: str) -> ReturnsFingerprints:
        """Return the first of each cluster of a panel, for a writer, who holds the writers' lock."""
        return self._leaders.setdefault(panel_id, ReturnsFingerprints(panel_id))

    def accepted(self, panel_id: str) -> ReturnsFingerprints:
        """Return the accepted attempts of a panel, for a reader."""
        return self._accepted.setdefault(panel_id, ReturnsFingerprints(panel_id))

    def maxima(self, panel_id: str) -> TrialMaxima:
        """Return the draws of the largest score of a panel, for a reader."""
        return self._maxima.setdefault(panel_id, TrialMaxima(panel_id, self._folder))

    def scores(self, panel_id: str) -> KnownScores:
        """Return the scores of a panel's trials, for a reader."""
        return self._scores.setdefault(panel_id, KnownScores(panel_id))

    def related_tally(self, panel_id: str) -> RelatedTally:
        """Return what the trials of a panel and of related ones add up to, for a reader."""
        return self._related_tallies.setdefault(panel_id, RelatedTally(panel_id))

    def related_maxima(self, panel_id: str) -> RelatedMaxima:
        """Return the draws of the largest score of a panel and of related ones, for a reader."""
        return self._related_maxima.setdefault(panel_id, RelatedMaxima(panel_id, self._folder))

    def forget_uncommitted(self) -> None:
        """Drop what a transaction that failed may have left."""
        with self._lock:
            self._leaders.clear()
            self._runs.clear()
            self.indexed = (0, 0)

    def forget_attempts(self, numbers: Iterable[int]) -> None:
        """Drop attempts whose evidence has changed: they are read again."""
        with self._lock:
            changed = list(numbers)
            for known in self._chosen.values():
                for number in changed:
                    known.pop(number, None)
            gone = {number for number in changed if self._records.pop(number, None) is not None}
            if gone:
                self._listings.clear()

    def wrote(self, number: int) -> None:
        """Note that an attempt was written, and indexed with it: if all before it are, it need not be looked for."""
        with self._lock:
            if self.indexed[0] == number - 1:
                self.indexed = (number, self.indexed[1])

    def attempts(self, session: Session, panel_id: str) -> list[AttemptRecord]:
        """Return the attempts of a panel, oldest first; only what is new is read."""
        listed = self._listings.setdefault(panel_id, [])
        attempt, run = schema.Attempt, schema.Run
        newest = listed[-1] if listed else 0
        query = select(attempt.id).join(run, run.id == attempt.run_id).where(run.panel_id == panel_id)
        listed += session.scalars(query.where(attempt.id > newest).order_by(attempt.id))
        self._load(session, [number for number in listed if number not in self._records])
        return [self._records[number] for number in listed]

    def chosen(self, session: Session, panel_id: str, numbers: Sequence[int]) -> list[AttemptRecord]:
        """Return attempts by their ids; of a panel, only those asked for last are remembered."""
        known = self._chosen.get(panel_id, {})
        new = load_attempts(session, [number for number in numbers if number not in known])
        found = {**known, **{record.id: record for record in new}}
        self._chosen[panel_id] = {number: found[number] for number in numbers if number in found}
        # What was read while all could be is not kept beside it.
        for number in self._listings.pop(panel_id, []):
            self._records.pop(number, None)
        return list(self._chosen[panel_id].values())

    def _load(self, session: Session, numbers: list[int]) -> None:
        for start in range(0, len(numbers), _AT_ONCE):
            for record in load_attempts(session, numbers[start : start + _AT_ONCE]):
                self._records[record.id] = record


def load_attempts(session: Session | Connection, numbers: Iterable[int]) -> list[AttemptRecord]:
    """Return attempts by their ids, oldest first."""
    connection = direct(session)
    return list_numbered(lambda query, given: connection.execute(text(query), dict(given)).all(), numbers)
