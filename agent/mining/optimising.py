"""What came of improving a factor: the given one beside the best of its line, and whether the gain is luck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy.special import ndtr

from agent.knowledge.attempt_figures import least_figure, sharpe_gated, sharpe_net
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.study.study import Study, backtest_expression, read_expression
from backtest.ic import newey_west_t
from backtest.scorecard import Scored
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import FloatArray


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
    """

    given: AttemptRecord
    best: AttemptRecord | None
    tried: tuple[AttemptRecord, ...]
    gain_t: float
    p_value: float

    def sentence(self) -> str:
        """Say it in one line."""
        if self.best is None:
            return f"none of {len(self.tried)} scored candidates earns more on train than the given factor"
        result = f"the best of {len(self.tried)} earns more on train than the given factor"
        if not math.isfinite(self.p_value):
            return f"{result}; how sure that is cannot be computed"
        sure = "more than luck" if self.p_value < 0.05 else "which luck explains as well"
        figures = f"t = {self.gain_t:.1f} of the difference, p = {self.p_value:.2g} for the best of all tried"
        return f"{result}: {figures}: {sure}"

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return {
            "given": self.given.to_dict(),
            "best": None if self.best is None else self.best.to_dict(),
            "tried": [attempt.to_dict() for attempt in self.tried],
            "gain_t": self.gain_t,
            "p_value": self.p_value,
        }


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
    line = [a for a in knowledge.attempts(run_id=run_id) if a.evaluation is not None and a.canonical != given]
    tried = knowledge.attempts(panel_id=study.dataset, related="all")
    known = [a for a in tried if a.canonical == given and a.evaluation is not None]
    if not known:
        raise InputError(f"the given factor {given} was not scored", "see why with: alphaglow kb list --all")
    # It may have been scored before under other rules: it is compared under those of this run, as its line is.
    base = _under_these_rules(known[-1], study)
    ranked = sorted(line, key=lambda a: (-least_figure(a, figure), a.id))
    if not ranked or least_figure(ranked[0], figure) <= least_figure(base, figure):
        return Improvement(base, None, tuple(ranked), math.nan, math.nan)
    t = newey_west_t(_earned(ranked[0], study) - _earned(base, study))
    p = min(1.0, len(ranked) * float(ndtr(-t))) if math.isfinite(t) else math.nan
    return Improvement(base, ranked[0], tuple(ranked), t, p)


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
