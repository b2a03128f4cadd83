"""Evaluating a candidate against all that was tried: the one way from an expression to a verdict."""

from __future__ import annotations

from dataclasses import replace

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt, NewEvaluation
from agent.knowledge.steering import validation_steered
from agent.study.copies import nearest_known, refused_copy
from agent.study.study import Scoring, Study, backtest_expression
from backtest import metrics
from backtest.evidence import Trials, reach_verdict
from backtest.luck import fingerprint_of
from backtest.result_types import Evidence
from backtest.scorecard import Scored, paid_rows
from backtest.signal_shape import sample_rows, shape_of
from factors.checks import check_truncation
from factors.tree import Expression, Signal
from market.errors import Rejection

STEERED = (
    "it passes every gate, and validation steered the search on these data (feedback), so it is no test: "
    "open the holdout of the one factor that you would trade"
)


def evaluate_expression(
    expression: Expression,
    study: Study,
    knowledge: KnowledgeBase,
    *,
    recorded: bool = False,
    ahead: int = 0,
    aimed: bool = False,
    found: tuple[Signal, Scored] | Rejection | None = None,
) -> Scoring | Rejection:
    """Evaluate, backtest and judge one factor on train and validation, against the attempts recorded on this data.

    Unless it is `recorded` already, it counts as one trial more, and the attempts that its run has still `ahead` count
    as well: what comes first would else be evaluated as if nothing else were ever tried. A copy of a recorded factor
    counts for nothing, and `Scoring.copy` says whose it is. Every factor that would be let
    in, or that looks too good, is also checked for look-ahead by cutting the panel short and comparing values. One
    that train led a search to (`aimed`) is tested on train, and is let in by `agent.mining.confirming` alone. `found`
    is its backtest where that was made elsewhere.
    """
    found = backtest_expression(expression, study) if found is None else found
    if isinstance(found, Rejection):
        return found
    signal, scored = found
    # Of all of train, whatever part of it was scored: fingerprints are compared bar by bar.
    fingerprint = fingerprint_of(scored.plain_gross[paid_rows(study.split.train)])
    counted = knowledge.trials(study.dataset)
    same = knowledge.same_returns(study.dataset, fingerprint, but=expression.id)
    count = max(1, counted.evaluated + (0 if recorded or same else 1) + ahead)
    scores = knowledge.trial_scores(study.dataset, but=expression.id)
    trials = Trials(count, counted.sharpe_variance, counted.effective, knowledge.largest_scores(study.dataset), scores)
    nearest = nearest_known(signal, fingerprint, study, knowledge)
    rows = sample_rows(study.split.train)
    shape = shape_of(signal.values[rows], study.panel.universe[rows])
    gated = study.exposures is not None
    evidence = reach_verdict(scored, trials, study.policy, nearest, use_gate=gated, shape=shape, aimed=aimed)
    if evidence.accepted or evidence.audits:
        bars = len(study.panel.times)
        leak = check_truncation(expression, study.panel, [bars // 3, 2 * bars // 3, bars - 1])
        if leak is not None:
            return leak
    if validation_steered(knowledge, study.dataset):
        evidence = without_validation(evidence)
    copy = None if same is None else refused_copy(f"{same[1]}, attempt {same[0]}")
    return Scoring(expression, signal, scored, evidence, fingerprint, copy, nearest, shape)


def was_aimed(evidence: Evidence) -> bool:
    """Return whether a stored verdict is of a factor that train led a search to."""
    return bool(evidence.predicts.decided_on or evidence.earns.decided_on)


def without_validation(evidence: Evidence) -> Evidence:
    """Return the verdict where validation steered the search (``[loop] feedback``): it admits nothing.

    What a search was steered by cannot test what it found: each round chooses by what validation said of the rounds
    before, so no division of the level among rounds makes such a test keep its size. What passes is promising, and is
    tested on later bars, which nothing was chosen by.
    """
    if not evidence.accepted:
        return evidence
    return replace(evidence, accepted=False, verdict="promising", reasons=(STEERED,))


def attempt_of(
    place: tuple[str, int, int], text: str, expression: Expression | None, result: Scoring | Rejection
) -> NewAttempt:
    """Return what is recorded of a candidate at a place (run, round, slot): its text, and what became of it."""
    run_id, number, slot = place
    refused = result if isinstance(result, Rejection) else None
    return NewAttempt(
        run_id=run_id,
        round=number,
        slot=slot,
        text=text,
        canonical=expression.text if expression else None,
        factor_id=expression.id if expression else None,
        stage=refused.stage if refused else "evidence",
        code=refused.code if refused else None,
        message=refused.with_hint() if refused else None,
        evaluation=evaluation_of(result) if isinstance(result, Scoring) else None,
    )


def evaluation_of(scoring: Scoring) -> NewEvaluation:
    """Return what is recorded of a scored candidate."""
    # Luck acts before costs: the spread of net Sharpe ratios would mostly be a spread of turnovers.
    gross = metrics.sharpe(scoring.scored.paid(scoring.scored.backtest.gross, "train"), 1.0)
    return NewEvaluation(scoring.scored.scorecard, scoring.evidence, gross, scoring.returns_fingerprint)
