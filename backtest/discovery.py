"""False discovery rate: of the factors that are admitted, how many may be luck, whatever goes together with what."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from backtest.luck import q_values
from backtest.mean_test import one_sided_p
from backtest.normal_law import ndtr, ndtri
from market.panel import FloatArray

_NONE = np.empty(0)


@dataclass(frozen=True, eq=False)
class TrialScores:
    """Normal scores of the trials on some data, of each of both verdicts; what was never tested is not among them.

    `predicts` and `earns` are (n,), in any order.
    """

    predicts: FloatArray = field(default_factory=lambda: _NONE)
    earns: FloatArray = field(default_factory=lambda: _NONE)


def discovery_q(z: float, others: FloatArray, trials: int) -> float:
    """Return the least false discovery rate at which a score would be a discovery; NaN for NaN.

    Benjamini & Yekutieli 2001, under any dependence: its p-value among those of all `trials`, itself included. `others`
    (n,) are scores of the other trials; those of which none is known, for they were left at a quick score or are still
    to come, are taken to have a p-value of 1, which can only raise the rate.
    """
    p = one_sided_p(z)
    if not math.isfinite(p):
        return float("nan")
    known = others[np.isfinite(others)]
    missing = max(0, trials - 1 - len(known))
    return float(q_values(np.concatenate([[p], ndtr(-known), np.ones(missing)]), dependent=True)[0])


def discovery_hurdle(others: FloatArray, trials: int, level: float) -> float:
    """Return the score from which on a trial would be a discovery at a rate `level`, beside the others."""
    smaller = np.sort(ndtr(-others[np.isfinite(others)]))
    count = max(trials, len(smaller) + 1)
    # With j - 1 of the others at or below the j-th step, a p-value at that step has rank j.
    steps = level * np.arange(1, len(smaller) + 2) / (count * (1.0 / np.arange(1, count + 1)).sum())
    reached = np.searchsorted(smaller, steps, side="right") >= np.arange(len(steps))
    return float(-ndtri(steps[np.flatnonzero(reached)[-1]]))


def discoveries(scores: FloatArray, trials: int) -> FloatArray:
    """Return the q-values of many scores (n,) at once, among `trials` in all; NaN stays NaN and is taken as 1."""
    p = np.where(np.isfinite(scores), ndtr(-scores), 1.0)
    found = q_values(np.concatenate([p, np.ones(max(0, trials - len(p)))]), dependent=True)[: len(p)]
    return np.where(np.isfinite(scores), found, np.nan)
