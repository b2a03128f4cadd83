"""The part of a knowledge base that keeps what people evaluate by hand, so that a look counts as a trial."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from agent.knowledge.database.transactions import Handle
from agent.knowledge.records import AttemptRecord, NewAttempt
from agent.knowledge.run_config import Inputs, RunConfig, ScoringRules
from agent.knowledge.tables import attempts, datasets, effective_trials, looks, runs
from agent.knowledge.tables.versions import rules_id
from backtest.discovery import TrialScores
from market.panel import Panel


class PersonalTrials(Handle):
    """An open knowledge base, as `alphaglow eval` sees it."""

    def record_look(self, panel: Panel, config: RunConfig, seed: int, new: NewAttempt) -> AttemptRecord:
        """Record a scored factor that a person looked at, in the one run of its data and rules, and count it.

        `new` gets its place here. The same factor again is not counted again. It is all one transaction, so two
        processes may look at once.
        """
        with self._writing() as session:
            return looks.add_look(session, panel, config, seed, new, self._memory)

    def scored_alike(
        self, factor_id: str, panel_id: str, rules: ScoringRules, learned: Collection[str] = ()
    ) -> AttemptRecord | None:
        """Return the first full score of a factor on the same data under the same rules and inputs, or None.

        One that was admitted by another policy is returned where there is none of this policy: its score is the same.
        `learned` names the learned factors that it reads: others may have changed.
        """
        asked, found = rules_id(rules), None
        with self._reading() as session:
            for attempt in attempts.evaluated(session, factor_id, panel_id, None, None):
                then = runs.find_config(session, attempt.run_id).rules
                same = rules_id(_unjudged(then)) == rules_id(_unjudged(rules))
                if attempt.stage == "evidence" and same and _same_inputs(then.inputs, rules.inputs, learned):
                    if rules_id(then) == asked:
                        return attempt
                    found = found or attempt
        return found

    def trial_scores(self, panel_id: str, *, but: str = "") -> TrialScores:
        """Return the scores of both tests of all trials of a panel and of related ones, but the factor `but`."""
        with self._memory.reading(), self.lend() as connection:
            panels = datasets.related_ids(connection, panel_id)
            return effective_trials.trial_scores(connection, self._memory.scores(panel_id), but, panels)


def _unjudged(rules: ScoringRules) -> ScoringRules:
    """Return rules without those that turn a score into a verdict."""
    return replace(rules, sections={name: part for name, part in rules.sections.items() if name != "admission"})


def _same_inputs(then: Inputs | None, now: Inputs | None, learned: Collection[str]) -> bool:
    """Whether the gate, its regimes and the learned factors that matter are those of then; unrecorded ones are not."""
    if then is None or now is None or (then.gate, then.regimes) != (now.gate, now.regimes):
        return False
    before, after = then.learned or {}, now.learned or {}
    return all(name in before and before[name] == after.get(name) for name in learned)
