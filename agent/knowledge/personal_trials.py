"""The part of a knowledge base that keeps what people evaluate by hand, so that a look counts as a trial."""

from __future__ import annotations

from collections.abc import Collection

from agent.knowledge.database.transactions import Handle
from agent.knowledge.records import AttemptRecord, NewAttempt
from agent.knowledge.run_config import Inputs, RunConfig, ScoringRules
from agent.knowledge.tables import attempts, looks, runs
from agent.knowledge.tables.versions import rules_id
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

        `learned` names the learned factors that it reads: others may have changed.
        """
        with self._reading() as session:
            for attempt in attempts.evaluated(session, factor_id, panel_id, rules_id(rules), None):
                if attempt.stage == "evidence":
                    run = runs.find_config(session, attempt.run_id)
                    if _same_inputs(run.rules.inputs, rules.inputs, learned):
                        return attempt
        return None


def _same_inputs(then: Inputs | None, now: Inputs | None, learned: Collection[str]) -> bool:
    """Whether the gate, its regimes and the learned factors that matter are those of then; unrecorded ones are not."""
    if then is None or now is None or (then.gate, then.regimes) != (now.gate, now.regimes):
        return False
    before, after = then.learned or {}, now.learned or {}
    return all(name in before and before[name] == after.get(name) for name in learned)
