"""The end of a search: of each idea that passes on train, the best is tested on validation, and its verdict stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.knowledge.steering import validation_steered
from agent.knowledge.stored_returns import stored_returns
from agent.knowledge.tables.effective_trials import SAME_TRIAL
from agent.mining.search.added import adding
from agent.mining.search.elites import by_merit
from agent.study.scoring import evaluate_expression, without_validation
from agent.study.study import Scoring, Study, read_expression
from backtest.confirmation import Shortlisted, TestedBefore, confirm
from backtest.max_test import draw_seed
from backtest.result_types import Evidence
from factors.checks import check_truncation
from factors.tree import Expression
from market.errors import Rejection

# Ideas that one end of a search tests: each more makes the test of all harder to pass.
SHORTLIST = 6


@dataclass(frozen=True)
class Confirmed:
    """What the end of a search found: the evidence of those tested by attempt, and how many passed on train."""

    tested: dict[int, Evidence]
    passed_on_train: int

    def sentence(self) -> str:
        """Say it in one line; empty where nothing passed on train."""
        if not self.passed_on_train:
            return ""
        verdicts = [one.verdict for one in self.tested.values()]
        passed = "1 factor passes" if self.passed_on_train == 1 else f"{self.passed_on_train} factors pass"
        if not verdicts:
            return f"{passed} on train, and none adds to what was tested before: validation is asked nothing"
        ideas = "1 idea" if len(verdicts) == 1 else f"{len(verdicts)} ideas"
        counts = ", ".join(
            f"{verdicts.count(word)} {word}" for word in ("accepted", "promising", "rejected") if word in verdicts
        )
        return f"{passed} on train; of {ideas} validation tested the best: {counts}"


def confirm_search(study: Study, knowledge: KnowledgeBase, run_id: str) -> Confirmed:
    """Test the shortlist of a run on validation, and store what came of it.

    Train alone draws it up: what passes there, the best by what it nets first, of which each adds something to those
    before it and to what was accepted or tested before, and is of another cluster of returns than any of them. Doing it
    again tests what has come since.
    """
    waiting = knowledge.with_verdict(run_id, "untested")
    if not waiting:
        return Confirmed({}, 0)
    known = knowledge.admitted(study.dataset)
    panels = [one.panel_id for one in knowledge.related(study.dataset)]
    returns = stored_returns(knowledge, panels, [a.id for a in (*waiting, *known)])
    listed = adding(_ranked(waiting), known, returns, most=SHORTLIST, apart=SAME_TRIAL)
    scored = {a.id: s for a in listed if (s := _scored(a, study, knowledge)) is not None}
    prints, scores = knowledge.confirmed_trials(study.dataset)
    found = confirm(
        [Shortlisted(s.scored, s.evidence, s.returns_fingerprint, s.nearest, s.shape) for s in scored.values()],
        TestedBefore(scores, prints),
        study.policy,
        use_gate=study.exposures is not None,
        seed=draw_seed(study.dataset),
    )
    if validation_steered(knowledge, study.dataset):
        found = [without_validation(evidence) for evidence in found]
    tested = dict(zip(scored, found, strict=True))
    knowledge.record_confirmed(tested)
    return Confirmed(tested, len(waiting))


def _ranked(waiting: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return those that earn on train first, the best first; then those that predict alone."""

    def earns(attempt: AttemptRecord) -> bool:
        assert attempt.evaluation is not None
        return all(gate.passed for gate in attempt.evaluation.evidence.gates)

    best = by_merit(waiting)
    return [a for a in best if earns(a)] + [a for a in best if not earns(a)]


def _scored(attempt: AttemptRecord, study: Study, knowledge: KnowledgeBase) -> Scoring | None:
    """Score a factor of the shortlist again, as it was recorded; one that looks ahead is let go."""
    expression = read_expression(attempt.canonical or "", study, dialect="native")
    if not isinstance(expression, Expression):
        return None
    found = evaluate_expression(expression, study, knowledge, recorded=True, aimed=True)
    if isinstance(found, Rejection):
        return None
    bars = len(study.panel.times)
    leak = check_truncation(expression, study.panel, [bars // 3, 2 * bars // 3, bars - 1])
    return found if leak is None else None
