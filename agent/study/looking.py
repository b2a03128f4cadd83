"""A person's look at one factor: scored, recorded as a trial and given a verdict; or on train alone, without either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord, EvaluationRecord, NewAttempt
from agent.knowledge.run_config import RunConfig
from agent.knowledge.tables.versions import rules_id, scoring_code
from agent.study.detectable import Detectable, detectable
from agent.study.opening import OpenData
from agent.study.scoring import attempt_of, evaluate_expression
from agent.study.study import Study, backtest_expression
from backtest.result_types import Evidence, Scorecard
from backtest.run import Backtest
from backtest.scorecard import Scored, unscored_segment
from factors.tree import Expression, Signal
from market.errors import Rejection


@dataclass(frozen=True, eq=False)
class Look:
    """What a person sees of a factor.

    Attributes
    ----------
    scorecard
        Of a look without a record, train alone.
    evidence
        The verdict; None where nothing was recorded: what is not counted gets no verdict.
    attempt
        The trial that it is recorded as.
    repeated
        Whether this very factor was scored on these data under these rules before: it is no further trial.
    backtest
        What was traded, behind the gate where there is one; None where the stored score was shown.
    note
        What a reader should know of the record; empty if nothing.
    could
        What could be found on these data among as many trials.
    copy
        Which recorded factor it is, in another form: it takes the same positions, and is no further trial.
    signal
        Its values, where `backtest` is there.
    """

    scorecard: Scorecard
    evidence: Evidence | None = None
    attempt: AttemptRecord | None = None
    repeated: bool = False
    backtest: Backtest | None = None
    note: str = ""
    could: Detectable | None = None
    copy: Rejection | None = None
    signal: Signal | None = None


def look_at_factor(
    expression: Expression,
    text: str,
    opened: OpenData,
    knowledge: KnowledgeBase,
    *,
    trades: bool = False,
    described: Callable[[NewAttempt], NewAttempt] = lambda new: new,
) -> Look | Rejection:
    """Score a factor, written as `text`, and record it as a trial; an exact repetition comes back as it was judged.

    That is no further trial. With `trades` its backtest is made again. `described` adds to the trial what its writer
    says of it. A factor that cannot be scored is a rejection, and no trial. What cannot be recorded is an `InputError`,
    and nothing of it is shown.
    """
    study = opened.study
    # First, so that a base that cannot be written is known before anything is scored, and related data count.
    knowledge.register_dataset(opened.whole)
    rules = replace(opened.recorded(), gate=study.exposures is not None)
    fields = [name for name in expression.fields if name in study.learned]
    known = knowledge.scored_alike(expression.id, study.dataset, rules, fields)
    stored = None if known is None else known.evaluation
    if known is not None and stored is not None and (stored.code, stored.rules) == (scoring_code(), rules_id(rules)):
        return _look_again(known, stored, expression, study, knowledge, trades=trades)
    # What another version of the program, or another policy, judged is judged again: it had its chance, counted once.
    # On data that these grew out of it is the same trial.
    before = [one.panel_id for one in knowledge.related(study.dataset)[1:]]
    counted = known is not None or any(
        knowledge.evaluated(expression.id, panel, rules=rules_id(rules)) for panel in before
    )
    scoring = evaluate_expression(expression, study, knowledge, recorded=counted)
    if isinstance(scoring, Rejection):
        return scoring
    card, evidence, traded = scoring.scored.scorecard, scoring.evidence, _traded(scoring.scored)
    if known is not None:
        note = (
            f"it was scored as attempt {known.id}, by another version or under another policy: that verdict stands as "
            "recorded, and this one is no further trial"
        )
        could = detectable(study, knowledge, more=0)
        return Look(card, evidence, known, True, traded, note, could, signal=scoring.signal)
    if scoring.copy is not None:
        could = detectable(study, knowledge, more=0)
        return Look(card, evidence, backtest=traded, could=could, copy=scoring.copy, signal=scoring.signal)
    config = RunConfig(kind="eval", data=opened.name, llm="none", rules=rules)
    new = described(attempt_of(("", 0, 0), text, expression, scoring))
    could = detectable(study, knowledge, more=0 if counted else 1)
    attempt = knowledge.record_look(opened.whole, config, opened.settings.loop.seed, new)
    return Look(card, evidence, attempt, False, traded, could=could, signal=scoring.signal)


def _look_again(
    known: AttemptRecord,
    stored: EvaluationRecord,
    expression: Expression,
    study: Study,
    knowledge: KnowledgeBase,
    *,
    trades: bool,
) -> Look | Rejection:
    """Return what was recorded of this very factor; with `trades`, what it traded is computed again."""
    found = backtest_expression(expression, study) if trades else None
    if isinstance(found, Rejection):
        return found
    note = f"scored before, as attempt {known.id} of run {known.run_id}: no further trial"
    traded = None if found is None else _traded(found[1])
    could = detectable(study, knowledge, more=0)
    values = None if found is None else found[0]
    return Look(stored.scorecard, stored.evidence, known, True, traded, note, could, signal=values)


def look_at_train(expression: Expression, study: Study) -> Look | Rejection:
    """Score a factor and return what train shows, without a verdict: nothing is recorded, so nothing is counted."""
    found = backtest_expression(expression, study)
    if isinstance(found, Rejection):
        return found
    card = train_alone(found[1].scorecard, study)
    note = "not recorded: figures of train alone, and no verdict"
    return Look(card, backtest=_traded(found[1]), note=note, signal=found[0])


def train_alone(card: Scorecard, study: Study) -> Scorecard:
    """Return a scorecard without anything of validation: what is shown of a look that is not counted."""
    return replace(
        card, validation=unscored_segment(study.panel, study.split.validation), profiles=None, after_cutoff=None
    )


def _traded(scored: Scored) -> Backtest:
    return scored.gated or scored.backtest
