"""Pools: factors of a panel combined into one signal, frozen, scored and evaluated like any factor.

Weights are fitted on train alone, and a pool is scored where they were not: validation with the weights that are kept,
and train walking forward, each block with weights from the bars before it. A pool is named by a hash of its members,
their weights and the rules; fitting one is a trial. Nothing here sees the holdout: a `Study` does not hold it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.pool_records import PoolMember, PoolRecord, PoolSpec
from agent.knowledge.run_config import ScoringRules
from agent.knowledge.tables.pools import packed_text
from agent.pools.members import MeasuredFactors, trade_values, under_rule
from agent.pools.weighting import FittedWeights, Method, fit_weights, unseen_values
from agent.study.progress import Progress, no_progress
from agent.study.study import Study
from backtest import metrics
from backtest.combine import DECIMALS, LEAST_SHARE, Members, combine
from backtest.evidence import Trials, reach_verdict
from backtest.figures import SEGMENTS
from backtest.luck import fingerprint_of
from backtest.policy import NearestKnown
from backtest.result_types import Evidence, Figures
from backtest.rule_grid import TradingRule
from backtest.scorecard import Scored, paid_rows, score_signal
from factors.batch import evaluate_within
from factors.checks import changed_by_later_bars
from factors.engine import evaluate
from factors.limits import GIGABYTES, SECONDS
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import FloatArray, Panel
from market.ranking import rank_panel

NORMALISE = "cs_rank less its mean over the bar, in (-1/2, 1/2)"
# What could be the beginning of an id is no name.
_LIKE_ID = re.compile(r"[0-9a-f]{4,16}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Setting:
    """Under which name of the data, and which rules, a pool is fitted."""

    data: str
    rules: ScoringRules


def fit_pools(
    measured: MeasuredFactors,
    methods: Sequence[Method],
    knowledge: KnowledgeBase,
    setting: Setting,
    *,
    name: str = "",
    show: Progress = no_progress,
) -> Iterator[tuple[Method, PoolRecord | Rejection]]:
    """Fit, score, evaluate and record a pool by each method; each counts as a trial, the ones still ahead included.

    A pool that is recorded already comes back as it was evaluated then, and is no further trial.
    """
    fits = []
    for number, method in enumerate(methods):
        show(f"weights: {method}", number, len(methods))
        fits.append((method, fit_weights(measured, method)))
    named = [_named(fitted, measured, setting) for _, fitted in fits if isinstance(fitted, FittedWeights)]
    ahead = sum(knowledge.find_pool(pool_id) is None for pool_id, _ in named)
    require_free_names(
        [name_of(name, method, "", len(methods)) for method in methods] if name else [], named, knowledge
    )
    for number, (method, fitted) in enumerate(fits):
        show(f"scorecard: {method}", number, len(methods))
        if isinstance(fitted, Rejection):
            yield method, fitted
            continue
        pool_id, spec = _named(fitted, measured, setting)
        known = knowledge.find_pool(pool_id)
        if known is not None:
            yield method, known
            continue
        ahead -= 1
        called = name_of(name, method, pool_id, len(methods))
        yield method, _weighted(fitted, measured, knowledge, pool_id, spec, called, ahead)
    show("done", len(methods), len(methods))


def name_of(name: str, method: Method, pool_id: str, methods: int) -> str:
    """Return what a pool is called: as asked for, with the method behind it where there are several; or by its id."""
    if not name:
        return f"{method}-{pool_id.removeprefix('pool:')[:6]}"
    return name if methods == 1 else f"{name}-{method}"


def require_free_names(names: Sequence[str], fits: Sequence[tuple[str, PoolSpec]], knowledge: KnowledgeBase) -> None:
    """Refuse, as an `InputError`, a name that cannot be one, or that another pool has."""
    ids = {pool_id for pool_id, _ in fits}
    for name in names:
        if not _NAME.fullmatch(name) or _LIKE_ID.fullmatch(name):
            raise InputError(
                f"{name!r} is no name for a pool", "begin with a letter, then letters, digits, ., - and _; no bare id"
            )
        known = knowledge.find_pool(name)
        if known is not None and known.name == name and known.id not in ids:
            raise InputError(f"there is a pool {name!r} already ({known.id})", "choose another --name")


def _weighted(
    fitted: FittedWeights,
    measured: MeasuredFactors,
    knowledge: KnowledgeBase,
    pool_id: str,
    spec: PoolSpec,
    name: str,
    ahead: int,
) -> PoolRecord | Rejection:
    """Score, evaluate and record fitted weights as a pool; `ahead` fits of the same command are yet to come."""
    study = under_rule(measured.study, fitted.rule)
    # Each rule that was tried for it could have been the lucky one.
    trials = _trials_with(knowledge, study.dataset, max(1, len(_tried_rules(fitted))) + ahead)
    evaluated = evaluate_values(unseen_values(measured, fitted), pool_id, study, trials)
    if isinstance(evaluated, Rejection):
        return evaluated
    scored, evidence = evaluated
    if evidence.accepted or evidence.audits:
        rows = len(measured.study.panel.times)
        expressions = [candidate.expression for candidate in measured.candidates]
        leak = check_pool_truncation(expressions, fitted.weights, measured.study.panel, [rows // 3, 2 * rows // 3])
        if leak is not None:
            return leak
    gross = scored.backtest.gross[paid_rows(measured.study.split.train)]
    return knowledge.record_pool(
        PoolRecord(
            id=pool_id,
            panel_id=measured.study.dataset,
            name=name,
            method=fitted.method,
            spec=replace(
                spec,
                in_sample=in_sample(measured, fitted, trials),
                returns_fingerprint=packed_text(fingerprint_of(gross)),
            ),
            members=tuple(
                _member(measured, number, fitted.weights, trials) for number in range(len(measured.candidates))
            ),
            scorecard=scored.scorecard,
            evidence=evidence,
            # As of an attempt: before costs.
            sharpe_per_bar=metrics.sharpe(scored.paid(scored.backtest.gross, "train"), 1.0),
        )
    )


def _trials_with(knowledge: KnowledgeBase, panel_id: str, more: int) -> Trials:
    """Return all trials on a data set, and `more` that are not recorded yet."""
    counted = knowledge.trials(panel_id)
    return Trials(
        counted.evaluated + more,
        counted.sharpe_variance,
        counted.effective,
        knowledge.largest_scores(panel_id),
        knowledge.trial_scores(panel_id),
    )


def _tried_rules(fitted: FittedWeights) -> Sequence[object]:
    tried = fitted.tried.get("rules", ())
    return tried if isinstance(tried, list) else ()


def in_sample(measured: MeasuredFactors, fitted: FittedWeights, trials: Trials) -> Figures:
    """Return the figures of the kept weights on train, where they were fitted: they flatter."""
    study = under_rule(measured.study, fitted.rule)
    return trade_values(combine(measured.members, fitted.weights), study).figures(study, trials, "train")


def evaluate_values(
    values: FloatArray, pool_id: str, study: Study, trials: Trials
) -> tuple[Scored, Evidence] | Rejection:
    """Score a combined signal (T, N) as any factor, and evaluate it.

    It has no tree that could be a variation, and goes with its own members: the gates of novelty and of correlation
    with what is accepted are open to it.
    """
    rng = np.random.default_rng([study.seed, int(pool_id[-8:], 16)])
    scored = score_signal(values, study.target, study.split, gate=study.exposures, rng=rng, cutoff=study.cutoff)
    if isinstance(scored, Rejection):
        return scored
    return scored, reach_verdict(scored, trials, study.policy, NearestKnown(), use_gate=study.exposures is not None)


def _named(fitted: FittedWeights, measured: MeasuredFactors, setting: Setting) -> tuple[str, PoolSpec]:
    """Return a pool's id, a hash of all that decides its values and its score, and its spec."""
    study = measured.study
    spec: dict[str, object] = {
        "normalise": NORMALISE,
        "missing": {"adds": 0, "least_share": LEAST_SHARE, "decimals": DECIMALS},
        "label": {"bars": measured.horizon, "fill": study.spec.fill},
        "hyperparameters": dict(fitted.hyperparameters),
        "split": {
            **{part: [getattr(study.split, part).start, getattr(study.split, part).stop] for part in SEGMENTS},
            "embargo": study.split.embargo,
        },
        "rules": dict(_under(setting.rules, fitted.rule).sections),
        "gate": study.exposures is not None,
    }
    texts = [candidate.expression.text for candidate in measured.candidates]
    members = [list(pair) for pair in zip(texts, fitted.weights.tolist(), strict=True)]
    content = {"panel": study.dataset, "method": fitted.method, "members": sorted(members), **spec}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    rows = measured.rows
    first, last = (str(study.panel.times[t])[:16] for t in (rows.start, max(rows.stop - 1, rows.start)))
    fitted_on = {"bars": rows.stop - rows.start, "first": first, "last": last}
    notes = notes_on(measured)
    whole = {**spec, "data": setting.data, "fitted_on": fitted_on, "tried": dict(fitted.tried), "notes": list(notes)}
    rules = replace(_under(setting.rules, fitted.rule), gate=study.exposures is not None)
    return f"pool:{digest[:16]}", replace(PoolSpec.from_dict(whole), rules=rules)


def _under(rules: ScoringRules, rule: TradingRule | None) -> ScoringRules:
    """Return recorded rules with the trading rule that a pool was scored by: what opens the pool trades it so."""
    traded = rules.sections.get("backtest", {})
    chosen = {**traded, **({} if rule is None else rule.to_dict())}
    if "rule" in traded:
        # A pool has one rule, its own or that of the settings: none is chosen for it when it is opened.
        chosen["rule"] = "as set"
    return replace(rules, sections={**rules.sections, "backtest": chosen})


def notes_on(measured: MeasuredFactors) -> tuple[str, ...]:
    """Say what of the members weakens a pool of them."""
    count = len(measured.candidates)
    others = [c for c in measured.candidates if c.verdict != "accepted"]
    elsewhere = sum(c.other_rules for c in measured.candidates)
    found = []
    if others:
        words = {word: sum(c.verdict == word for c in others) for word in dict.fromkeys(c.verdict for c in others)}
        verdicts = ", ".join(f"{number} {word}" for word, number in words.items())
        found.append(f"{len(others)} of {count} members were not accepted ({verdicts}): this pool rests on them")
    if elsewhere:
        found.append(f"{elsewhere} of {count} members were evaluated under other trading rules than this pool")
    return tuple(found)


def _member(measured: MeasuredFactors, number: int, weights: FloatArray, trials: Trials) -> PoolMember:
    candidate, traded = measured.candidates[number], measured.traded[number]
    return PoolMember(
        factor_id=candidate.expression.id,
        text=candidate.expression.text,
        name=candidate.name,
        verdict=candidate.verdict,
        simulated=candidate.simulated,
        weight=float(weights[number]),
        train=traded.figures(measured.study, trials, "train"),
        validation=traded.figures(measured.study, trials, "validation"),
        correlations=tuple(round(float(x), 3) for x in measured.correlations[number]),
    )


def weights_of(pool: PoolRecord) -> FloatArray:
    """Return (K,) the weights of a pool's members."""
    return np.array([member.weight for member in pool.members])


def pool_values(
    pool: PoolRecord, panel: Panel, *, seconds: float = SECONDS, gigabytes: float = GIGABYTES
) -> FloatArray:
    """Return (T, N) a pool's signal on any panel that has its fields: what is backtested, held out and traded.

    Raises
    ------
    InputError
        When a member cannot be read or evaluated on this panel.
    """
    weights = weights_of(pool)
    fields = tuple(sorted({*panel.fields, "vwap", "amount", "returns"}))
    members = Members.empty(len(weights), panel.shape)
    for number, member in enumerate(pool.members):
        if weights[number] == 0.0:
            continue
        expression = parse(member.text, fields=fields, bar=panel.bar, dialect="native")
        if isinstance(expression, Rejection):
            raise InputError(f"{member.factor_id} of {pool.name} cannot be read here: {expression.one_line()}")
        signal = evaluate_within(expression, panel, seconds=seconds, gigabytes=gigabytes)
        if isinstance(signal, Rejection):
            raise InputError(f"{member.factor_id} of {pool.name}: {signal.message}", signal.hint)
        members.put(number, rank_panel(np.where(panel.universe, signal.values, np.nan)))
    return combine(members, weights)


def combine_expressions(expressions: Sequence[Expression], weights: FloatArray, panel: Panel) -> FloatArray:
    """Return (T, N) the combined signal of expressions on a panel."""
    members = Members.empty(len(expressions), panel.shape)
    for number, expression in enumerate(expressions):
        if weights[number] != 0.0:
            members.put(number, rank_panel(np.where(panel.universe, evaluate(expression, panel).values, np.nan)))
    return combine(members, weights)


def check_pool_truncation(
    expressions: Sequence[Expression], weights: FloatArray, panel: Panel, cuts: Sequence[int]
) -> Rejection | None:
    """Return a rejection if a pool's values on the first k bars change when later bars are added."""
    return changed_by_later_bars(lambda part: combine_expressions(expressions, weights, part), panel, cuts, "pool")
