"""The part of a knowledge base that gives verdicts later: when a search ends, and among all trials of a later day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.knowledge.personal_trials import PersonalTrials
from agent.knowledge.records import AttemptRecord
from agent.knowledge.tables import pools, reassessments
from agent.knowledge.tables.reassessments import LaterVerdict, TrialRow
from agent.knowledge.tables.row_cache import load_attempts
from backtest.result_types import Evidence
from market.panel import FloatArray

_AT_ONCE = 500


class Reassessments(PersonalTrials):
    """An open knowledge base, as `alphaglow kb reassess` sees it."""

    def trial_rows(self, panel_ids: Sequence[str]) -> list[TrialRow]:
        """Return all scored attempts on some data, oldest first, as far as tests of all trials need them."""
        with self._reading() as session:
            return list(reassessments.trial_rows(session, panel_ids))

    def attempts_by_id(self, numbers: Sequence[int]) -> list[AttemptRecord]:
        """Return these attempts, oldest first."""
        found: list[AttemptRecord] = []
        with self._reading() as session:
            for start in range(0, len(numbers), _AT_ONCE):
                found += load_attempts(session, sorted(numbers)[start : start + _AT_ONCE])
        return found

    def pool_count(self, panel_ids: Sequence[str]) -> int:
        """Return how many pools were fitted on some data: each was a trial."""
        with self.lend() as connection:
            return sum(connection.execute(reassessments.COUNT_POOLS, {"panel": one}).scalar() or 0 for one in panel_ids)

    def pool_fingerprints(self, panel_ids: Sequence[str]) -> list[FloatArray]:
        """Return the fingerprints of the train returns of pools on some data, where they were recorded."""
        with self.lend() as connection:
            return pools.returns_fingerprints(connection, panel_ids)

    def record_scores(self, attempt_id: int, predicts_z: float, earns_z: float) -> None:
        """Store the scores of both tests of an attempt that an earlier policy judged; its verdict stands."""
        with self._writing() as session:
            reassessments.set_scores(session, attempt_id, predicts_z, earns_z)

    def record_confirmed(self, found: Mapping[int, Evidence]) -> None:
        """Store, at the end of a search, the evidence of factors that validation tested, by the id of their attempt."""
        with self._writing() as session:
            reassessments.store_confirmed(session, found)
        self._memory.forget_attempts(found)

    def record_verdicts(self, found: Iterable[LaterVerdict]) -> None:
        """Store verdicts of now beside the first ones; earlier reassessments of these attempts are replaced."""
        with self._writing() as session:
            reassessments.store_verdicts(session, found)
