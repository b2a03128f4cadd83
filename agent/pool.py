"""Pools: factors of a panel combined into one signal, frozen, scored and weighed like any factor.

Weights are fitted on train alone. A pool is named by a hash of its members, their weights and the rules; fitting one is
a trial. Nothing here sees the holdout: a `Study` does not hold it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from agent.knowledge.records import PoolRecord
from agent.knowledge.store import KnowledgeBase
from agent.pool_members import Bench, Show, silent
from agent.study import Study
from backtest import metrics
from backtest.combine import (
    DECIMALS,
    LEAST_SHARE,
    Members,
    choose_penalty,
    combine,
    equal_weights,
    ic_weights,
    nonneg_weights,
    residual_ic,
    ridge_weights,
    scaled,
)
from backtest.evidence import Evidence, Trials, weigh
from backtest.figures import SEGMENTS
from backtest.ic import newey_west_t
from backtest.policy import Standing
from backtest.scorecard import Scored, paid_rows, score
from factors.batch import evaluate_within
from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import FloatArray, Panel
from market.ranking import rank_panel

Method = Literal["equal", "ic", "ridge", "nonneg"]
METHODS: tuple[Method, ...] = ("equal", "ic", "ridge", "nonneg")
NORMALISE = "cs_rank less its mean over the bar, in (-1/2, 1/2)"
# What could be the beginning of an id is no name.
_LIKE_ID = re.compile(r"[0-9a-f]{4,16}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
# Members whose returns on train correlate by this much are one theme.
CROWDED = 0.5


@dataclass(frozen=True, eq=False)
class Fitted:
    """Weights (K,) whose absolute values sum to 1, and what the method chose on train."""

    method: Method
    weights: FloatArray
    hyperparameters: Mapping[str, object]
    told: Mapping[str, object]


@dataclass(frozen=True)
class Setting:
    """Under which name of the data, and which rules of the settings, a pool is fitted."""

    data: str
    rules: Mapping[str, object]


def fit_weights(bench: Bench, method: Method) -> Fitted | Rejection:
    """Return a method's weights from train, or why no member keeps one."""
    hyper: dict[str, object] = {}
    told: dict[str, object] = {}
    if method == "equal":
        raw = equal_weights(len(bench.candidates))
    elif method == "ic":
        raw = ic_weights(bench.means, bench.tstats)
    elif method == "ridge":
        penalty = choose_penalty(bench.folds)
        raw = ridge_weights(bench.folds.whole, penalty.share)
        hyper["penalty"] = penalty.share
        told["penalties"] = [list(pair) for pair in penalty.scores]
    else:
        raw = nonneg_weights(bench.folds.whole)
    weights = scaled(raw)
    if weights is None:
        return Rejection(
            "evidence",
            "no_weight",
            f"{method}: no member keeps a weight, as none earns on train beyond chance",
            "combine other factors, or take equal weights",
        )
    return Fitted(method, weights, hyper, told)


def fit_pools(
    bench: Bench,
    methods: Sequence[Method],
    knowledge: KnowledgeBase,
    setting: Setting,
    *,
    name: str = "",
    show: Show = silent,
) -> Iterator[tuple[Method, PoolRecord | Rejection]]:
    """Fit, score, weigh and record a pool by each method; each counts as a trial, the ones still ahead included.

    A pool that is recorded already comes back as it was weighed then, and is no further trial.
    """
    fits = []
    for number, method in enumerate(methods):
        show(f"weights: {method}", number, len(methods))
        fits.append((method, fit_weights(bench, method)))
    named = [_named(fitted, bench, setting) for _, fitted in fits if isinstance(fitted, Fitted)]
    ahead = sum(knowledge.find_pool(pool_id) is None for pool_id, _ in named)
    require_free_names(
        [name_of(name, method, "", len(methods)) for method in methods] if name else [], named, knowledge
    )
    for number, (method, fitted) in enumerate(fits):
        show(f"scorecard: {method}", number, len(methods))
        if isinstance(fitted, Rejection):
            yield method, fitted
            continue
        pool_id, spec = _named(fitted, bench, setting)
        known = knowledge.find_pool(pool_id)
        if known is not None:
            yield method, known
            continue
        ahead -= 1
        called = name_of(name, method, pool_id, len(methods))
        yield method, _weighed(fitted, bench, knowledge, pool_id, spec, called, ahead)
    show("done", len(methods), len(methods))


def name_of(name: str, method: Method, pool_id: str, methods: int) -> str:
    """Return what a pool is called: as asked for, with the method behind it where there are several; or by its id."""
    if not name:
        return f"{method}-{pool_id.removeprefix('pool:')[:6]}"
    return name if methods == 1 else f"{name}-{method}"


def require_free_names(
    names: Sequence[str], fits: Sequence[tuple[str, Mapping[str, object]]], knowledge: KnowledgeBase
) -> None:
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


def _weighed(
    fitted: Fitted,
    bench: Bench,
    knowledge: KnowledgeBase,
    pool_id: str,
    spec: dict[str, object],
    name: str,
    ahead: int,
) -> PoolRecord | Rejection:
    values = combine(bench.members, fitted.weights)
    counted = knowledge.trials(bench.study.dataset)
    trials = Trials(counted.count + 1 + ahead, counted.sharpe_variance, counted.effective)
    weighed = weigh_values(values, pool_id, bench.study, trials)
    if isinstance(weighed, Rejection):
        return weighed
    scored, evidence = weighed
    if evidence.accepted or evidence.audits:
        rows = len(bench.study.panel.times)
        expressions = [candidate.expression for candidate in bench.candidates]
        leak = check_pool_truncation(expressions, fitted.weights, bench.study.panel, [rows // 3, 2 * rows // 3])
        if leak is not None:
            return leak
    return knowledge.record_pool(
        PoolRecord(
            id=pool_id,
            panel_id=bench.study.dataset,
            name=name,
            method=fitted.method,
            spec=spec,
            members=tuple(_member(bench, number, fitted.weights, trials) for number in range(len(bench.candidates))),
            scorecard=scored.scorecard.to_dict(),
            evidence=evidence.to_dict(),
            # As of an attempt: before costs.
            sharpe_per_bar=metrics.sharpe(scored.paid(scored.backtest.gross, "train"), 1.0),
        )
    )


def weigh_values(values: FloatArray, pool_id: str, study: Study, trials: Trials) -> tuple[Scored, Evidence] | Rejection:
    """Score a combined signal (T, N) as any factor, and weigh it.

    It has no tree that could be a variation, and goes with its own members: the gates of novelty and of correlation
    with what is accepted are open to it.
    """
    rng = np.random.default_rng([study.seed, int(pool_id[-8:], 16)])
    scored = score(values, study.target, study.split, gate=study.exposures, rng=rng, cutoff=study.cutoff)
    if isinstance(scored, Rejection):
        return scored
    return scored, weigh(scored, trials, study.policy, Standing(), use_gate=study.exposures is not None)


def _named(fitted: Fitted, bench: Bench, setting: Setting) -> tuple[str, dict[str, object]]:
    """Return a pool's id, a hash of all that decides its values and its score, and its spec."""
    study = bench.study
    spec: dict[str, object] = {
        "normalise": NORMALISE,
        "missing": {"adds": 0, "least_share": LEAST_SHARE, "decimals": DECIMALS},
        "label": {"bars": bench.horizon, "fill": study.spec.fill},
        "hyperparameters": dict(fitted.hyperparameters),
        "split": {
            **{part: [getattr(study.split, part).start, getattr(study.split, part).stop] for part in SEGMENTS},
            "embargo": study.split.embargo,
        },
        "rules": dict(setting.rules),
        "gate": study.exposures is not None,
    }
    texts = [candidate.expression.text for candidate in bench.candidates]
    members = [list(pair) for pair in zip(texts, fitted.weights.tolist(), strict=True)]
    content = {"panel": study.dataset, "method": fitted.method, "members": sorted(members), **spec}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    rows = bench.rows
    first, last = (str(study.panel.times[t])[:16] for t in (rows.start, max(rows.stop - 1, rows.start)))
    fitted_on = {"bars": rows.stop - rows.start, "first": first, "last": last}
    notes = notes_on(bench)
    return f"pool:{digest[:16]}", {
        **spec, "data": setting.data, "fitted_on": fitted_on, "told": dict(fitted.told), "notes": list(notes)
    }  # fmt: skip


def notes_on(bench: Bench) -> tuple[str, ...]:
    """Say what of the members weakens a pool of them."""
    others = [c for c in bench.candidates if c.verdict != "accepted"]
    if not others:
        return ()
    counts = {word: sum(c.verdict == word for c in others) for word in dict.fromkeys(c.verdict for c in others)}
    told = ", ".join(f"{count} {word}" for word, count in counts.items())
    return (f"{len(others)} of {len(bench.candidates)} members were not accepted ({told}): this pool rests on them",)


def _member(bench: Bench, number: int, weights: FloatArray, trials: Trials) -> dict[str, object]:
    candidate, traded = bench.candidates[number], bench.traded[number]
    return {
        "factor_id": candidate.expression.id,
        "text": candidate.expression.text,
        "name": candidate.name,
        "verdict": candidate.verdict,
        "weight": float(weights[number]),
        **{part: asdict(traded.figures(bench.study, trials, part)) for part in SEGMENTS},
        "correlations": [round(float(x), 3) for x in bench.correlations[number]],
    }


def weights_of(pool: PoolRecord) -> FloatArray:
    """Return (K,) the weights of a pool's members."""
    return np.array([_number(member["weight"]) for member in pool.members])


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


def rules_of_pool(pool: PoolRecord) -> Mapping[str, object]:
    """Return the settings that a pool was fitted under, by section."""
    rules = pool.spec.get("rules")
    return rules if isinstance(rules, Mapping) else {}


def pool_values(pool: PoolRecord, panel: Panel, *, seconds: float = 60.0, gigabytes: float = 4.0) -> FloatArray:
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
        expression = parse(str(member["text"]), fields=fields, bar=panel.bar, dialect="native")
        if isinstance(expression, Rejection):
            raise InputError(f"{member['factor_id']} of {pool.name} cannot be read here: {expression.one_line()}")
        signal = evaluate_within(expression, panel, seconds=seconds, gigabytes=gigabytes)
        if isinstance(signal, Rejection):
            raise InputError(f"{member['factor_id']} of {pool.name}: {signal.message}", signal.hint)
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
    whole = combine_expressions(expressions, weights, panel)
    for cut in cuts:
        part = combine_expressions(expressions, weights, panel.rows(0, cut))
        same = (part == whole[:cut]) | (np.isnan(part) & np.isnan(whole[:cut]))
        if not same.all():
            bar, asset = np.argwhere(~same)[0]
            return Rejection(
                "evidence",
                "look_ahead",
                f"values of past bars change when later bars are added (bar {bar}, {panel.assets[asset]})",
                "this is a defect of alphaglow: please report the pool",
            )
    return None


@dataclass(frozen=True)
class Marginal:
    """What a signal adds to a pool: rank IC of what is left of it once the pool's ranks are taken out, a bar.

    Attributes
    ----------
    rank_ic, ic_tstat
        Of the residual, on train; NaN where nothing is left.
    correlation
        Mean rank correlation a bar with the pool's signal, on train.
    keeps
        Whether the residual's rank IC has the same sign on validation. Its size is told to nobody.
    """

    rank_ic: float
    ic_tstat: float
    correlation: float
    keeps: bool

    def sentences(self) -> tuple[str, ...]:
        """Say it in words that may go into a prompt: figures of train, and of validation a verdict."""
        if not np.isfinite(self.rank_ic):
            return ("it ranks assets as the pool does: nothing is left of it beside the pool",)
        held = "keeps" if self.keeps else "does not keep"
        return (
            f"beside the pool, whose signal it goes with by {self.correlation:+.2f}, its rank IC on train is "
            f"{self.rank_ic:+.4f} (t {self.ic_tstat:.1f})",
            f"what it adds {held} its sign on validation",
        )


def marginal(values: FloatArray, pool: FloatArray, study: Study) -> Marginal:
    """Return what a signal adds to a pool's signal; both (T, N) on the study's panel. It is no trial."""
    inside = study.panel.universe
    mine, theirs = (np.where(inside, side, np.nan) for side in (values, pool))
    found = residual_ic(mine, theirs, study.target.forward)
    train, held = (found.ic[paid_rows(getattr(study.split, part))] for part in SEGMENTS)
    known = train[np.isfinite(train)]
    mean = float(known.mean()) if len(known) else float("nan")
    later = held[np.isfinite(held)]
    together = found.correlation[paid_rows(study.split.train)]
    together = together[np.isfinite(together)]
    return Marginal(
        mean,
        newey_west_t(train),
        float(together.mean()) if len(together) else float("nan"),
        bool(len(later) and float(later.mean()) * mean > 0),
    )


def describe_pool(knowledge: KnowledgeBase, panel_id: str, *, most: int = 6) -> list[str]:
    """Say what the panel's newest pool has already, for a writer: crowded themes, and who carries the weight.

    Figures are of train alone, and no asset and no date is named. Nothing where no pool was fitted.
    """
    pools = knowledge.pools(panel_id)
    if not pools:
        return []
    pool = pools[-1]
    held = [m for m in pool.members if _number(m["weight"]) != 0.0]
    lines = [f"a pool of {len(held)} factors is traded already ({pool.method} weights); what goes with it adds nothing"]
    themes = crowded_themes(pool)
    for theme in themes[:most]:
        leader, share = theme[0], sum(abs(_number(m["weight"])) for m in theme)
        train = leader["train"]
        ic = _number(train.get("rank_ic")) if isinstance(train, dict) else float("nan")
        kin = f" and {len(theme) - 1} more that go with it" if len(theme) > 1 else ""
        lines.append(f"{share:.0%} of its weight: {leader['text']}{kin} (rank IC on train {ic:+.4f})")
    if len(themes) > most:
        rest = sum(abs(_number(m["weight"])) for theme in themes[most:] for m in theme)
        lines.append(f"{rest:.0%} of its weight: {len(themes) - most} other themes")
    return lines


def crowded_themes(pool: PoolRecord) -> list[list[dict[str, Any]]]:
    """Return members that carry weight, grouped by returns on train that correlate by half or more; heaviest first.

    A member joins the first theme whose heaviest member it goes with, with either sign.
    """
    order = sorted(range(len(pool.members)), key=lambda k: (-abs(_number(pool.members[k]["weight"])), k))
    themes: list[list[int]] = []
    for number in order:
        if _number(pool.members[number]["weight"]) == 0.0:
            continue
        row = pool.members[number]["correlations"]
        near = row if isinstance(row, list) else []
        home = next((t for t in themes if abs(_number(near[t[0]])) >= CROWDED), None)
        if home is None:
            themes.append([number])
        else:
            home.append(number)

    def weight(theme: list[int]) -> float:
        return sum(abs(_number(pool.members[k]["weight"])) for k in theme)

    return [[pool.members[k] for k in theme] for theme in sorted(themes, key=lambda t: (-weight(t), t[0]))]
