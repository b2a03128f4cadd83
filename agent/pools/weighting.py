"""Weights of a pool from train, by one of several methods, and the signal that they would have given on the way.

Weights are fitted on train alone. Where a pool is scored on train, each block is traded with weights from before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np

from agent.pools.members import MeasuredFactors
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
        Of the ridge, for each block but the first, and for all of train.
    """

    method: Method
    weights: FloatArray
    early: tuple[FloatArray, ...]
    penalties: tuple[float, ...] = ()
    tried: Mapping[str, object] = field(default_factory=dict)

    @property
    def hyperparameters(self) -> dict[str, object]:
        """What was chosen on all of train."""
        return {"penalty": self.penalties[-1]} if self.penalties else {}


def fit_weights(
    measured: MeasuredFactors, method: Method, *, but: int | None = None, penalties: Sequence[float] = ()
) -> FittedWeights | Rejection:
    """Return a method's weights from train, or why no member keeps one.

    `but` is the number of a member that is left out (its weight is 0): moments without it are those of all with a row
    and a column less, so nothing is read again. `penalties` takes the place of choosing.
    """
    count, blocks = len(measured.candidates), len(measured.edges) - 1
    keep = np.array([k for k in range(count) if k != but], dtype=np.int64)
    regressed = method in ("ridge", "nonneg")
    folds = measured.folds.without(but) if regressed and but is not None else measured.folds if regressed else None
    later: list[FloatArray] = []
    chosen: list[Penalty] = []
    # For each block but the first from the bars before it; then from all of train.
    for block in range(1, blocks + 1):
        if method == "equal":
            raw = equal_weights(max(len(keep), 1))
        elif folds is None:
            means, tstats = measured.ic_until(
                measured.rows.stop if block == blocks else measured.edges[block] - measured.purge
            )
            raw = ic_weights(means[keep], tstats[keep])
        else:
            moments = folds.whole if block == blocks else folds.before(block)
            if method == "ridge":
                given = penalties[block - 1] if penalties else None
                chosen.append(choose_penalty(folds.first(block)) if given is None else Penalty(given, ()))
                raw = ridge_weights(moments, chosen[-1].share)
            else:
                raw = nonneg_weights(moments)
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


def unseen_values(measured: MeasuredFactors, fitted: FittedWeights) -> FloatArray:
    """Return (T, N) the pool's signal as it would have been: no bar of train meets weights that were fitted on it.

    From the end of train on, it is the signal of the weights that are kept.
    """
    out = combine(measured.members, fitted.weights)
    edges = [*measured.edges[:-1], measured.study.split.train.stop]
    for (first, stop), weights in zip(pairwise(edges), fitted.early, strict=True):
        out[first:stop] = combine(measured.members, weights, slice(first, stop))
    return out
