"""What came of improving a factor: the given one beside the best of its line, and whether the gain is luck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from scipy.special import ndtr

from agent.knowledge.attempt_figures import (
    Figure,
    least_figure,
    or_none,
    sharpe_gated,
    sharpe_net,
    traded_sharpe,
    train_of,
    verdict_of,
)
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.mining.search.tasks import Task
from agent.mining.search.themes import about
from agent.study.study import Study, backtest_expression, read_expression
from backtest.ic import newey_west_t
from backtest.luck import sharpe_variance_factor
from backtest.result_types import SegmentScore
from backtest.rule_words import rule_of
from backtest.scorecard import Scored
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import FloatArray


@dataclass(frozen=True)
class TrailStep:
    """One try of a run that improves a factor: what was changed and why, and what came of it; figures are of train.

    Attributes
    ----------
    iteration, slot
        The round, and the place in it; 0 is the given factor.
    change, why
        In which respect it was changed, and the writer's reason or, of what the machine did, what that is for.
    factor, parent
        Texts; what could not be read is as it was written.
    rule
        How it was traded, in words.
    sharpe_net, payoff_z
        Net Sharpe ratio that it would be traded with, and the score of its payoff before costs; NaN where not scored.
    verdict
        The verdict's word, or the stage at which it ended.
    best
        Whether it netted more on train than all before it.
    """

    iteration: int
    slot: int
    change: str
    why: str
    factor: str
    parent: str
    rule: str
    sharpe_net: float
    payoff_z: float
    verdict: str
    best: bool


def trail_of(attempts: Sequence[AttemptRecord], base: AttemptRecord, figure: Figure) -> tuple[TrailStep, ...]:
    """Return the given factor `base` and every try of its run, in the order in which they came."""
    steps = [replace(_step(base), iteration=0, slot=0, change="given", best=True)]
    most = least_figure(base, figure)
    for attempt in sorted(attempts, key=lambda a: (a.round, a.slot)):
        if attempt.canonical == base.canonical:
            continue
        mine = least_figure(attempt, figure)
        steps.append(replace(_step(attempt), best=mine > most))
        most = max(most, mine)
    return tuple(steps)


def _step(attempt: AttemptRecord) -> TrailStep:
    claims, train = attempt.claims, train_of(attempt)
    change = claims.theme or claims.operation
    card = None if attempt.evaluation is None else attempt.evaluation.scorecard
    rule = None if card is None else rule_of(card)
    reason = attempt.rationale or about(claims.theme) or (Task(claims.operation).words if claims.operation else "")  # type: ignore[arg-type]
    return TrailStep(
        attempt.round,
        attempt.slot,
        change,
        reason if attempt.evaluation is not None else f"{reason} ({attempt.message})" if attempt.message else reason,
        attempt.canonical or attempt.text,
        claims.parents[0] if claims.parents else "",
        "" if rule is None else str(rule),
        traded_sharpe(train),
        train.payoff_z,
        verdict_of(attempt),
        best=False,
    )


@dataclass(frozen=True)
class Improvement:
    """The given factor, what was tried on it, and the best of that by net Sharpe ratio on train (gated with a gate).

    Attributes
    ----------
    given, best
        Attempts; `best` is None where nothing earned more on train than the given factor.
    tried
        Scored candidates, the best first.
    gain_t, p_value
        t statistic of the mean difference of both portfolios' net returns a bar on train (Newey & West 1987), and the
        one-sided p-value times the candidates that were scored (Bonferroni): choosing the best of many is paid for.
    trail
        The given factor and every try, in the order in which they came.
    """

    given: AttemptRecord
    best: AttemptRecord | None
    tried: tuple[AttemptRecord, ...]
    gain_t: float
    p_value: float
    trail: tuple[TrailStep, ...] = ()

    def sentence(self) -> str:
        """Say it in one line: the verdict of the best, its sign, its net Sharpe ratio with its error."""
        if self.best is None:
            given = _described(self.given)
            return f"none of {len(self.tried)} scored candidates nets more on train than the given factor, {given}"
        result = f"the best of {len(self.tried)} is {_described(self.best)}"
        more = f"{result}; the given factor is {_described(self.given)}"
        if not math.isfinite(self.p_value):
            return f"{more}; how sure the difference is cannot be computed"
        sure = "more than luck" if self.p_value < 0.05 else "luck explains it as well"
        figures = f"t = {self.gain_t:.1f}, p = {self.p_value:.2g} for the best of all tried"
        return f"{more}; the difference ({figures}): {sure}"

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return {
            "given": self.given.to_dict(),
            "best": None if self.best is None else self.best.to_dict(),
            "tried": [attempt.to_dict() for attempt in self.tried],
            "gain_t": self.gain_t,
            "p_value": self.p_value,
            "trail": [
                {**asdict(step), "sharpe_net": or_none(step.sharpe_net), "payoff_z": or_none(step.payoff_z)}
                for step in self.trail
            ],
        }


def _described(attempt: AttemptRecord) -> str:
    """Return verdict, sign and net Sharpe ratio on train with its error: what is rejected is not praised."""
    train = train_of(attempt)
    sharpe = traded_sharpe(train)
    verdict = verdict_of(attempt)
    if not math.isfinite(sharpe):
        return f"{verdict}, and its net Sharpe ratio cannot be computed"
    does = "earns" if sharpe > 0 else "loses"
    error = _error(attempt, train)
    said = f" (error {error:.2f})" if math.isfinite(error) else ""
    return f"{verdict}: it {does} on train after costs, with a net Sharpe ratio of {sharpe:+.2f}{said}"


def _error(attempt: AttemptRecord, train: SegmentScore) -> float:
    """Return the standard error a year of the net Sharpe ratio that a factor would be traded with."""
    if not math.isfinite(train.sharpe_gated):
        return train.sharpe_error
    if attempt.evaluation is None or not train.n_bars > 1:
        return math.nan
    factor = sharpe_variance_factor(train.per_bar_sharpe_net, train.skew, train.kurt)
    return math.sqrt(factor * attempt.evaluation.scorecard.bars_per_year / (train.n_bars - 1.0))


def given_factor(what: str, study: Study, knowledge: KnowledgeBase) -> Expression:
    """Return the factor meant by a text or by an id of the knowledge base; neither is an `InputError`."""
    found = read_expression(what, study)
    if isinstance(found, Expression):
        return found
    bare = what.strip().removeprefix("factor:")
    if bare and all(sign in "0123456789abcdef" for sign in bare):
        stored = read_expression(knowledge.get_factor(what).canonical, study)
        if isinstance(stored, Expression):
            return stored
        found = stored
    raise InputError(f"{what}: {found.message}", found.hint)


def improvement(run_id: str, given: str, study: Study, knowledge: KnowledgeBase) -> Improvement:
    """Return what a run made of the factor that it was to improve.

    Raises
    ------
    InputError
        When the given factor could not be scored.
    """
    figure = sharpe_net if study.exposures is None else sharpe_gated
    own = knowledge.attempts(run_id=run_id)
    line = [a for a in own if a.evaluation is not None and a.canonical != given]
    tried = knowledge.attempts_at(given, study.dataset, related="all")
    known = [a for a in tried if a.evaluation is not None]
    if not known:
        raise InputError(f"the given factor {given} was not scored", "see why with: alphaglow kb list --all")
    # It may have been scored before under other rules: it is compared under those of this run, as its line is.
    base = _under_these_rules(known[-1], study)
    trail = trail_of(own, base, figure)
    ranked = sorted(line, key=lambda a: (-least_figure(a, figure), a.id))
    if not ranked or least_figure(ranked[0], figure) <= least_figure(base, figure):
        return Improvement(base, None, tuple(ranked), math.nan, math.nan, trail)
    t = newey_west_t(_earned(ranked[0], study) - _earned(base, study))
    p = min(1.0, len(ranked) * float(ndtr(-t))) if math.isfinite(t) else math.nan
    return Improvement(base, ranked[0], tuple(ranked), t, p, trail)


def _under_these_rules(attempt: AttemptRecord, study: Study) -> AttemptRecord:
    """Return an attempt with the scorecard that its factor has under the study's rules; it is no further trial."""
    assert attempt.evaluation is not None
    card = _scored(attempt, study).scorecard.to_dict()
    return replace(attempt, evaluation=replace(attempt.evaluation, scorecard_document=card))


def _earned(attempt: AttemptRecord, study: Study) -> FloatArray:
    """Return a factor's net returns a bar on train, behind the gate where there is one."""
    scored = _scored(attempt, study)
    return scored.paid((scored.gated or scored.backtest).net, "train")


def _scored(attempt: AttemptRecord, study: Study) -> Scored:
    expression = read_expression(attempt.canonical or "", study)
    found = expression if isinstance(expression, Rejection) else backtest_expression(expression, study)
    if isinstance(found, Rejection):
        raise InputError(f"{attempt.canonical} can no longer be scored: {found.message}", "did the settings change?")
    return found[1]


def shown(found: Improvement, count: int = 8) -> Sequence[AttemptRecord]:
    """Return the given factor and the best candidates."""
    return [found.given, *found.tried[:count]]
