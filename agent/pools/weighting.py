"""Weights of a pool from train, by one of several methods, and the signal that they would have given on the way.

Weights are fitted on train alone. Where a pool is scored on train, each block is traded with weights from before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent.pools.members import MeasuredFactors, trade_values, under_rule
from agent.study.study import Study
from backtest.aim import WalkedAim, walk_aim
from backtest.combine import (
    Penalty,
    choose_penalty,
    combine,
    equal_weights,
    ic_weights,
    nonneg_weights,
    ridge_weights,
    unit_weights,
)
from backtest.mean_test import mean_test
from backtest.rule_grid import RuleGrid, TradingRule
from backtest.scorecard import paid_rows
from market.errors import Rejection
from market.panel import FloatArray

Method = Literal["aim", "equal", "ic", "ridge", "nonneg"]
METHODS: tuple[Method, ...] = ("aim", "equal", "ic", "ridge", "nonneg")


@dataclass(frozen=True, eq=False)
class FittedWeights:
    """What a method fitted on train.

    Attributes
    ----------
    weights
        (K,) from all of train, absolute values summing to 1: those that are kept and traded.
    early
        (K,) weights for each block of train, from the bars before it: equal for the first, all 0 where no member kept
        one.
    penalties
        Of the ridge and the aim, for each block but the first, and for all of train.
    rule
        How the pool is traded, where the method chose that as well; None is as the study says.
    """

    method: Method
    weights: FloatArray
    early: tuple[FloatArray, ...]
    penalties: tuple[float, ...] = ()
    tried: Mapping[str, object] = field(default_factory=dict)
    rule: TradingRule | None = None

    @property
    def hyperparameters(self) -> dict[str, object]:
        """What was chosen on all of train."""
        found: dict[str, object] = {"penalty": self.penalties[-1]} if self.penalties else {}
        return found if self.rule is None else {**found, "rate": self.rule.rate}


def fit_weights(
    measured: MeasuredFactors,
    method: Method,
    *,
    but: int | None = None,
    penalties: Sequence[float] = (),
    rule: TradingRule | None = None,
) -> FittedWeights | Rejection:
    """Return a method's weights from train, or why no member keeps one.

    `but` is the number of a member that is left out (its weight is 0): moments without it are those of all with a row
    and a column less, so nothing is read again. `penalties`, and of the aim `rule`, take the place of choosing.
    """
    if method == "aim":
        return _fit_aim(measured, but, penalties, rule)
    count = len(measured.candidates)
    keep = np.array([k for k in range(count) if k != but], dtype=np.int64)
    later: list[FloatArray] = []
    chosen: list[Penalty] = []
    for raw, penalty in _raw_weights(measured, method, but, keep, penalties):
        chosen += [] if penalty is None else [penalty]
        found = unit_weights(raw)
        later.append(np.zeros(count))
        if found is not None and len(keep):
            later[-1][keep] = found
    if not later[-1].any():
        return Rejection(
            "evidence",
            "no_weight",
            f"{method}: no member keeps a weight, as none earns on train beyond chance",
            "combine other factors, or take equal weights",
        )
    first = np.zeros(count)
    first[keep] = equal_weights(len(keep))
    tried = {"penalties": [list(pair) for pair in chosen[-1].scores]} if chosen else {}
    return FittedWeights(method, later[-1], (first, *later[:-1]), tuple(one.share for one in chosen), tried)


def _raw_weights(
    measured: MeasuredFactors, method: Method, but: int | None, keep: NDArray[np.int64], penalties: Sequence[float]
) -> Iterator[tuple[FloatArray, Penalty | None]]:
    """Yield weights (len(keep),) for each block but the first, from the bars before it, and then from all of train.

    With those of a ridge comes the penalty that was chosen, or given, for them.
    """
    blocks = len(measured.edges) - 1
    regressed = method in ("ridge", "nonneg")
    folds = measured.folds.without(but) if regressed and but is not None else measured.folds if regressed else None
    for block in range(1, blocks + 1):
        if method == "equal":
            yield equal_weights(max(len(keep), 1)), None
            continue
        if folds is None:
            known = measured.rows.stop if block == blocks else measured.edges[block] - measured.purge
            means, tstats = measured.ic_until(known)
            yield ic_weights(means[keep], tstats[keep]), None
            continue
        moments = folds.whole if block == blocks else folds.before(block)
        if method == "nonneg":
            yield nonneg_weights(moments), None
            continue
        given = penalties[block - 1] if penalties else None
        penalty = choose_penalty(folds.first(block)) if given is None else Penalty(given, ())
        yield ridge_weights(moments, penalty.share), penalty


def unseen_values(measured: MeasuredFactors, fitted: FittedWeights) -> FloatArray:
    """Return (T, N) the pool's signal as it would have been: no bar of train meets weights that were fitted on it.

    From the end of train on, it is the signal of the weights that are kept.
    """
    out = combine(measured.members, fitted.weights)
    edges = [*measured.edges[:-1], measured.study.split.train.stop]
    for (first, stop), weights in zip(pairwise(edges), fitted.early, strict=True):
        out[first:stop] = combine(measured.members, weights, slice(first, stop))
    return out


def _fit_aim(
    measured: MeasuredFactors, but: int | None, penalties: Sequence[float], rule: TradingRule | None
) -> FittedWeights | Rejection:
    """Return the weights of the rule whose pool, walking forward, has the best score of its net return on train."""
    best: tuple[float, FittedWeights] | None = None
    tried: list[list[object]] = []
    for one in rules_of_aim(measured.study) if rule is None else (rule,):
        walked = _walked(measured, one, but, penalties)
        if not walked.last.any():
            tried.append([one.to_dict(), None])
            continue
        found = FittedWeights("aim", walked.last, walked.early, walked.penalties, rule=one)
        if rule is not None:
            return found
        net = trade_values(unseen_values(measured, found), under_rule(measured.study, one)).net
        score = mean_test(net[paid_rows(measured.study.split.train)]).z
        tried.append([one.to_dict(), round(score, 3)])
        if best is None or score > best[0]:
            best = score, found
    if best is None:
        return Rejection(
            "evidence",
            "no_weight",
            "aim: no member keeps a weight, as none nets anything on train, however slowly it is traded",
            "combine other factors, turn the sign of those that lose before costs, or take equal weights",
        )
    return replace(best[1], tried={"rules": tried})


def rules_of_aim(study: Study) -> tuple[TradingRule, ...]:
    """Return the rules that an aim is chosen from: those of the grid that the settings leave open."""
    return RuleGrid.around(study.spec, study.panel.bars_per_year).rules()


def _walked(measured: MeasuredFactors, rule: TradingRule, but: int | None, penalties: Sequence[float]) -> WalkedAim:
    """Return weights through train under a rule; the member that is left out has none."""
    slow = measured.slow(scaled=rule.volatility_scaled)
    walked = walk_aim(
        slow if but is None else slow.without(but), rule.rate, measured.edges, purge=measured.purge, penalties=penalties
    )
    if but is None:
        return walked
    early = tuple(np.insert(one, but, 0.0) for one in walked.early)
    return replace(walked, early=early, last=np.insert(walked.last, but, 0.0))
