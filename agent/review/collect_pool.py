"""From a stored pool to its review: the signal scored afresh, and what each member adds by leaving it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.drawing.axes import format_number
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.pool_records import PoolRecord
from agent.pools.fitting import evaluate_values, weights_of
from agent.pools.members import MeasuredFactors, PoolCandidate, Traded, measure_members, trade_values
from agent.pools.weighting import METHODS, FittedWeights, Method, fit_weights, unseen_values
from agent.review.collect import ReviewSubject, review_of
from agent.review.pool_page import MemberRow, PoolReview, Rival
from agent.review.render import render_pool, write_report
from agent.review.review_records import Review, compound
from agent.study import opening
from agent.study.opening import Note, RecordedRules, open_data
from agent.study.progress import Progress, no_progress
from agent.study.study import Study
from agent.study.workspace import Workspace
from backtest.combine import combine, equal_weights
from backtest.evidence import Trials
from backtest.figures import SEGMENTS
from backtest.result_types import Evidence, Figures
from backtest.rule_grid import TradingRule
from backtest.scorecard import Scored
from factors.parse import parse
from market.errors import InputError, Rejection
from market.panel import FloatArray


def study_of_pool(
    workspace: Workspace, pool: PoolRecord, data: str | None, *, strict: bool = False, note: Note = opening.no_note
) -> Study:
    """Open the study that a pool was fitted on, under the rules it recorded; see `RecordedRules` for `strict`."""
    return open_data(workspace, data, RecordedRules.of_pool(pool, strict=strict), note=note).study


def candidates_of(pool: PoolRecord, study: Study) -> tuple[PoolCandidate, ...]:
    """Return a pool's members as they were when it was fitted; published ones may look back further than mined ones."""
    found = []
    for member in pool.members:
        expression = parse(member.text, fields=study.fields, bar=study.panel.bar, dialect="native")
        if isinstance(expression, Rejection):
            raise InputError(f"{member.factor_id} cannot be read on this data: {expression.one_line()}")
        found.append(PoolCandidate(expression, member.name, member.verdict, member.simulated))
    return tuple(found)


def refit_of(pool: PoolRecord, study: Study) -> tuple[Method, TradingRule | None]:
    """Return the method of a pool and, where it chose how the pool is traded, that rule, which the study has."""
    method = next(method for method in METHODS if method == pool.method)
    return method, TradingRule.of(study.spec) if method == "aim" else None


def report_on_pool(
    workspace: Workspace,
    knowledge: KnowledgeBase,
    pool: PoolRecord,
    *,
    data: str | None = None,
    output: Path | None = None,
    show: Progress = no_progress,
    note: Note = opening.no_note,
) -> Path:
    """Write the page of a pool, by the rules it recorded; return the file's path."""
    study = study_of_pool(workspace, pool, data, note=note)
    html = render_pool(review_pool(study, knowledge, pool, show))
    path = output if output is not None else workspace.folder("reports") / f"{pool.id.replace(':', '-')}.html"
    return write_report(html, path)


def review_pool(study: Study, knowledge: KnowledgeBase, pool: PoolRecord, show: Progress = no_progress) -> PoolReview:
    """Return everything the page of a pool draws, computed afresh from its texts and weights; it is no trial."""
    measured, fitted, values = _fitted(study, pool, show)
    trials = _trials_of(study, knowledge)
    evaluated = evaluate_values(values, pool.id, study, trials)
    if isinstance(evaluated, Rejection):
        raise InputError(f"{pool.name} cannot be scored: {evaluated.one_line()}")
    own = trade_values(values, study)
    weights = fitted.weights
    order = sorted(range(len(weights)), key=lambda k: (-abs(weights[k]), k))
    rests = leave_one_out(measured, fitted, own, trials, show)
    members = [_member_row(measured, k, weights, trials, rests[k]) for k in order]
    rivals, curves = _rivals(measured, pool, own, trials)
    return PoolReview(
        review=_review(study, knowledge, pool, values, evaluated),
        members=members,
        rivals=rivals,
        correlations=measured.correlations[np.ix_(order, order)],
        curves=curves,
        notes=pool.spec.notes,
        facts=_facts(pool),
    )


def _fitted(
    study: Study, pool: PoolRecord, show: Progress = no_progress
) -> tuple[MeasuredFactors, FittedWeights, FloatArray]:
    """Return a pool's members, its weights with their way through train, and (T, N) the values that were not seen."""
    measured = measure_members(candidates_of(pool, study), study, show)
    method, rule = refit_of(pool, study)
    again = fit_weights(measured, method, rule=rule)
    if isinstance(again, Rejection):
        raise InputError(f"{pool.name}: {again.message}", "was the data changed?")
    # What is kept is what was traded; only the way through train is fitted again.
    fitted = replace(again, weights=weights_of(pool))
    return measured, fitted, unseen_values(measured, fitted)


def _trials_of(study: Study, knowledge: KnowledgeBase) -> Trials:
    counted = knowledge.trials(study.dataset)
    return Trials(
        counted.evaluated,
        counted.sharpe_variance,
        counted.effective,
        knowledge.largest_scores(study.dataset),
        knowledge.trial_scores(study.dataset),
    )


def compounded(study: Study, knowledge: KnowledgeBase, pool: PoolRecord) -> dict[str, FloatArray]:
    """Return (T,) compounded returns net of costs, ungated: the pool's first, then what it is compared with."""
    measured, _, values = _fitted(study, pool)
    return _rivals(measured, pool, trade_values(values, study), _trials_of(study, knowledge))[1]


def leave_one_out(
    measured: MeasuredFactors, fitted: FittedWeights, own: Traded, trials: Trials, show: Progress = no_progress
) -> list[Mapping[str, Figures]]:
    """Return by member the figures of the pool refitted without it; nothing for the only one that keeps a weight.

    Each is scored like the pool, train walking forward, by one backtest; penalties stay.
    """
    count = len(fitted.weights)
    found: list[Mapping[str, Figures]] = []
    for k in range(count):
        show("leaving one out", k, count)
        rest = fit_weights(measured, fitted.method, but=k, penalties=fitted.penalties, rule=fitted.rule)
        traded = None if isinstance(rest, Rejection) else trade_values(unseen_values(measured, rest), measured.study)
        found.append({} if traded is None else _both(traded, measured.study, trials))
    show("leaving one out", count, count)
    return found


def best_member(measured: MeasuredFactors, trials: Trials) -> int:
    """Return which member earned most by itself on train, net of costs: validation has no say in it."""
    earned = [one.figures(measured.study, trials, "train").sharpe_net for one in measured.traded]
    return int(np.argmax(np.nan_to_num(np.array(earned), nan=-np.inf)))


def _rivals(
    measured: MeasuredFactors, pool: PoolRecord, own: Traded, trials: Trials
) -> tuple[list[Rival], dict[str, FloatArray]]:
    study = measured.study
    rivals = [Rival("This pool", f"{pool.method} weights", _both(own, study, trials))]
    curves = {"this pool": compound(own.net)}
    if len(measured.candidates) < 2:
        return rivals, curves
    if pool.method != "equal":
        equal = trade_values(combine(measured.members, equal_weights(len(measured.candidates))), study)
        rivals.append(Rival("Equal weights", "of the same members", _both(equal, study, trials)))
        curves["equal weights"] = compound(equal.net)
    best = best_member(measured, trials)
    label = "Best single member"
    text = measured.candidates[best].expression.text
    rivals.append(
        Rival(label, f"by its net Sharpe ratio on train: {text}", _both(measured.traded[best], study, trials))
    )
    curves["best member on train"] = compound(measured.traded[best].net)
    return rivals, curves


def _both(traded: Traded, study: Study, trials: Trials) -> dict[str, Figures]:
    return {part: traded.figures(study, trials, part) for part in SEGMENTS}


def _member_row(
    measured: MeasuredFactors, number: int, weights: FloatArray, trials: Trials, rest: Mapping[str, Figures]
) -> MemberRow:
    candidate = measured.candidates[number]
    alone = _both(measured.traded[number], measured.study, trials)
    expression = candidate.expression
    weight = float(weights[number])
    return MemberRow(expression.id, candidate.name, expression.text, candidate.verdict, weight, alone, rest)


def _review(
    study: Study, knowledge: KnowledgeBase, pool: PoolRecord, values: FloatArray, evaluated: tuple[Scored, Evidence]
) -> Review:
    scored, now = evaluated
    subject = ReviewSubject(
        content_id=pool.id,
        name=pool.name,
        text=formula(pool),
        reading="Each member's rank among the assets of the bar, less the mean rank, times its weight, summed over "
        "members. What a member does not know adds nothing; an asset that less than half of the weight knows has no "
        "value.",
        simulated_llm=any(member.simulated for member in pool.members),
        stored=pool.evidence,
    )
    return replace(review_of(study, knowledge, subject, scored, now, values), kind="Pool")


def formula(pool: PoolRecord, most: int = 12) -> str:
    """Return a pool as a sum of weighted members, heaviest first."""
    weights = weights_of(pool)
    order = [k for k in sorted(range(len(weights)), key=lambda k: (-abs(weights[k]), k)) if weights[k] != 0.0]
    lines = [f"{weights[k]:+.4f}  {pool.members[k].text}" for k in order[:most]]
    if len(order) > most:
        rest = sum(abs(weights[k]) for k in order[most:])
        lines.append(f"and {len(order) - most} more, {rest:.0%} of the weight")
    return "\n".join(lines)


def _facts(pool: PoolRecord) -> dict[str, str]:
    spec = pool.spec
    fitted = spec.fitted_on
    facts = {
        "id": pool.id,
        "fitted": pool.created,
        "method": pool.method,
        "members with a weight": f"{int(np.count_nonzero(weights_of(pool)))} of {len(pool.members)}",
        "normalised": spec.normalise,
        "an unknown member adds": str(spec.missing.adds),
        "least weight that knows an asset": f"{spec.missing.least_share:.0%}",
        "label": f"{spec.label.bars} bars from {spec.label.fill} to {spec.label.fill}",
        "weights from": f"{fitted.first} to {fitted.last} ({fitted.bars:,} bars of train)",
    }
    if spec.in_sample is not None:
        facts["net Sharpe of these weights on train itself"] = format_number(spec.in_sample.sharpe_net)
    if "penalty" in spec.hyperparameters:
        facts["penalty, share of the mean squared member"] = f"{spec.hyperparameters['penalty']:g}"
    return facts
