"""What was tried on a data set and on those related to it, and which of their bars were seen: one part of the door."""

from __future__ import annotations

from collections.abc import Sequence

from agent.knowledge.database.transactions import Handle
from agent.knowledge.dataset_records import DatasetRecord, RelatedData, SeenSpan
from agent.knowledge.opening_records import seen_spans
from agent.knowledge.records import HoldoutRecord
from agent.knowledge.run_config import ScoringRules
from agent.knowledge.tables import datasets, effective_trials, openings, pools, related_trials
from agent.knowledge.tables.attempts import ask_of
from agent.knowledge.trial_counts import TrialCount
from backtest.max_test import LargestScores
from backtest.result_types import SegmentScore
from market.panel import Panel


class LineageAccess(Handle):
    """An open knowledge base, asked about data sets that may have grown out of each other."""

    def register_dataset(self, panel: Panel) -> DatasetRecord:
        """Record a panel by its content id, and which known data sets it has most bars in common with.

        Known content keeps its first name. Of data that an earlier version registered, bars are compared from now on.
        """
        with self._reading() as session:
            known = datasets.known_dataset(session, panel.id)
        if known is not None:
            return known
        with self._writing() as session:
            return datasets.add_dataset(session, panel)

    def move_split(self, panel_ids: Sequence[str], train_until: str, validation_until: str, by: str) -> None:
        """Cut data sets at other dates from now on; `by` says who moved them."""
        with self._writing() as session:
            datasets.move_split(session, panel_ids, train_until, validation_until, by)

    def related(self, panel_id: str) -> tuple[RelatedData, ...]:
        """Return the data sets whose trials count for this one: itself first, then by the share they have in common.

        One that was never registered has nothing but itself.
        """
        with self._reading() as session:
            return datasets.related_data(session, panel_id)

    def trials(self, panel_id: str) -> TrialCount:
        """Count attempts and pools on a panel and on related ones, with the variance of their per-bar Sharpe ratios.

        A factor that was scored under the same rules on two of them is one trial.
        """
        with self._memory.reading(), self._asking_directly() as connection:
            panels = datasets.related_ids(connection, panel_id)
            return related_trials.count_related(connection, self._memory.related_tally(panel_id), panels)

    def largest_scores(self, panel_id: str) -> LargestScores:
        """Return draws of the largest score among the trials that `trials` counts whose returns are known (a copy)."""
        with self._memory.reading(), self.lend() as connection:
            panels = datasets.related_ids(connection, panel_id)
            if len(panels) == 1:
                found = effective_trials.largest_scores(connection, self._memory.maxima(panel_id))
            else:
                found = related_trials.largest_related(connection, self._memory.related_maxima(panel_id), panels)
            # Pools come last: there are few of them, and the draws of attempts stay what they were.
            found.add(pools.returns_fingerprints(connection, panels))
            return found

    def seen_spans(self, factor_id: str, panel_id: str) -> tuple[SeenSpan, ...]:
        """Return which bars of a panel and of related ones openings have shown to a factor, the oldest first."""
        with self._reading() as session:
            return seen_spans(ask_of(session), factor_id, datasets.related_ids(session.connection(), panel_id))

    def seen_until(self, factor_id: str, panel_id: str) -> str | None:
        """Return the time of the last bar that an opening has shown to a factor, or None: bars after it are fresh."""
        return max((span.end for span in self.seen_spans(factor_id, panel_id)), default=None)

    def require_unopened(self, factor_id: str, panel_id: str, span: tuple[str, str] | None = None) -> None:
        """Refuse, as an `InputError`, a factor that has seen the holdout of this panel, or of a related one.

        With a span, the times of its first and its last bar: only where it has seen bars of that.
        """
        with self._reading() as session:
            panels = datasets.related_ids(session.connection(), panel_id)
            openings.refuse_seen(session, factor_id, panels, span)

    def record_holdout(
        self,
        factor_id: str,
        panel_id: str,
        result: SegmentScore,
        *,
        opened_by: str,
        rules: ScoringRules,
        again: bool = False,
        span: tuple[str, str] | None = None,
    ) -> HoldoutRecord:
        """Record that a factor saw a panel's holdout; seen bars a second time are an `InputError`, unless `again`.

        `span` holds the times of the first and the last bar that it saw.
        """
        with self._writing() as session:
            panels = datasets.related_ids(session.connection(), panel_id)
            if not again:
                openings.refuse_seen(session, factor_id, panels, span)
            return openings.add_opening(session, factor_id, panels, result, opened_by=opened_by, rules=rules, span=span)
