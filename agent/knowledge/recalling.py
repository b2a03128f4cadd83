"""What a search asks of all that was tried: one part of the door, answered by indexes, whatever the base holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import bindparam, text

from agent.knowledge.database.transactions import Handle
from agent.knowledge.listing import factor_id_of
from agent.knowledge.records import AttemptRecord
from agent.knowledge.tables import chosen_attempts, datasets
from agent.knowledge.tables.attempts import ask_of
from agent.knowledge.tables.row_cache import load_attempts

Related = Literal["none", "earlier", "all"]
_SLOTS = text("SELECT slot FROM attempts WHERE run_id = :run AND round = :round")
_COUNT = text("SELECT count(*) FROM attempts WHERE run_id = :run")
_WITH_VERDICT = text(
    "SELECT a.id FROM attempts a JOIN evaluations e ON e.attempt_id = a.id "
    "WHERE a.run_id = :run AND e.verdict = :verdict ORDER BY a.id"
)
_ADMITTED = text(
    "SELECT attempt_id FROM evaluations WHERE panel_id IN :panels AND accepted UNION "
    "SELECT attempt_id FROM evaluations WHERE panel_id IN :panels AND confirmed ORDER BY attempt_id"
).bindparams(bindparam("panels", expanding=True))
_AT_TEXT = text(
    "SELECT a.id FROM attempts a JOIN runs r ON r.id = a.run_id "
    "WHERE a.factor_id = :factor AND r.panel_id IN :panels ORDER BY a.id"
).bindparams(bindparam("panels", expanding=True))
_DATA_OF = text("SELECT DISTINCT r.panel_id FROM attempts a JOIN runs r ON r.id = a.run_id WHERE a.factor_id = :factor")
_SPENT = text(
    "SELECT model, prompt_tokens, completion_tokens, cost_usd FROM llm_calls "
    "WHERE run_id = :run AND role = 'writer' ORDER BY id"
)


@dataclass(frozen=True)
class RecalledAttempts:
    """Attempts on some data, oldest first, as a search recalls them; of more than it can read, a part.

    Attributes
    ----------
    attempts
        All that are recalled.
    typical
        Those that were not chosen for what came of them: the newest, and a random sample of all. What is counted or
        compared is counted among these.
    total
        How many attempts there are.
    """

    attempts: Sequence[AttemptRecord]
    typical: Sequence[AttemptRecord]
    total: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return len(self.attempts) == self.total


class Recalling(Handle):
    """The part of a knowledge base that a search asks at each round and attempt."""

    def recalled(
        self, panel_id: str, *, until: int | None = None, related: Related = "earlier", whole: int | None = None
    ) -> RecalledAttempts:
        """Return the attempts that a search on a panel recalls, of it and of `related` ones, up to `until`.

        Of `whole` or fewer these are all. They are remembered and shared, so change none.
        """
        with self._memory.reading(), self._reading() as session:
            panels = datasets.chosen_ids(session, panel_id, related)
            chosen = chosen_attempts.choose_attempts(ask_of(session), panels, until, whole)
            if chosen.numbers is not None and chosen.typical is not None:
                attempts = self._memory.chosen(session, panel_id, chosen.numbers)
                return RecalledAttempts(attempts, [a for a in attempts if a.id in chosen.typical], chosen.total)
            found = [a for one in panels for a in self._memory.attempts(session, one)]
        if len(panels) > 1:
            found.sort(key=lambda attempt: attempt.id)
        found = [attempt for attempt in found if until is None or attempt.id <= until]
        return RecalledAttempts(found, found, len(found))

    def typical_attempts(self, panel_id: str) -> Sequence[AttemptRecord]:
        """Return the attempts on a panel, oldest first; of very many, the newest and a random sample."""
        return self.recalled(panel_id, related="none").typical

    def newest_attempt(self, panel_id: str) -> int:
        """Return the newest attempt on a panel or on earlier related ones; 0 for none."""
        with self._reading() as session:
            panels = datasets.chosen_ids(session, panel_id, "earlier")
            return chosen_attempts.newest_attempt(ask_of(session), panels)

    def slots(self, run_id: str, round: int) -> set[int]:
        """Return the slots of a round that are recorded."""
        with self.lend() as connection:
            return set(connection.execute(_SLOTS, {"run": run_id, "round": round}).scalars())

    def count_attempts(self, run_id: str) -> int:
        """Return how many attempts of a run are recorded."""
        with self.lend() as connection:
            return int(connection.execute(_COUNT, {"run": run_id}).scalar() or 0)

    def with_verdict(self, run_id: str, verdict: str) -> list[AttemptRecord]:
        """Return the attempts of a run with this verdict, oldest first."""
        with self._reading() as session:
            asked = {"run": run_id, "verdict": verdict}
            return load_attempts(session, session.execute(_WITH_VERDICT, asked).scalars())

    def admitted(self, panel_id: str) -> list[AttemptRecord]:
        """Return what was accepted, or tested on validation at the end of a search, on a panel or earlier related ones.

        The oldest comes first.
        """
        with self._reading() as session:
            asked = {"panels": list(datasets.chosen_ids(session, panel_id, "earlier"))}
            return load_attempts(session, session.execute(_ADMITTED, asked).scalars())

    def attempts_at(self, canonical: str, panel_id: str, *, related: Related = "none") -> list[AttemptRecord]:
        """Return the attempts at one factor, by its text, on a panel and related ones, oldest first."""
        with self._reading() as session:
            asked = {"factor": factor_id_of(canonical), "panels": list(datasets.chosen_ids(session, panel_id, related))}
            return load_attempts(session, session.execute(_AT_TEXT, asked).scalars())

    def data_of(self, factor_id: str) -> set[str]:
        """Return the panels on which a factor was tried."""
        with self.lend() as connection:
            return set(connection.execute(_DATA_OF, {"factor": factor_id}).scalars())

    def writer_calls(self, run_id: str) -> list[tuple[str, int, float | None]]:
        """Return model, tokens and cost of each call to a writer of a run, oldest first."""
        with self.lend() as connection:
            rows = connection.execute(_SPENT, {"run": run_id}).all()
        return [(row[0], (row[1] or 0) + (row[2] or 0), row[3]) for row in rows]
