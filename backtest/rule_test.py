"""What the choice of a trading rule adds to luck: how large the best of K correlated scores would be without skill."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from backtest.mean_test import one_sided_p
from market.panel import FloatArray

_DRAWS = 4_000
# Beyond this score the tail is what Bonferroni says, to a few percent of a score.
_FAR = 8.0


def best_of_p(z: float, correlation: FloatArray) -> float:
    """Return the probability that the best of K standard normal scores, correlated as given (K, K), exceeds `z`.

    P(max > z) is the sum over k of P(Z_k > z) E[1 / how many exceed z | Z_k > z], which is drawn (Naiman & Priebe 2001,
    eq. 2; Adler, Blanchet & Liu 2012): as exact far in the tail as in its middle. The draws are always the same. NaN
    for NaN.
    """
    alone, count = one_sided_p(z), len(correlation)
    if count == 1 or not math.isfinite(z):
        return alone
    if z > _FAR:
        return min(1.0, count * alone)
    rng = np.random.default_rng(count)
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    total, each = 0.0, max(_DRAWS // count, 200)
    for k in range(count):
        free = rng.standard_normal((each, count)) @ root.T
        # Evenly spread uniforms: the one score that has to exceed z is not left to luck.
        beyond = -ndtri((np.arange(each) + 0.5) / each * alone)
        drawn = free + (beyond - free[:, k])[:, None] * correlation[k]
        exceed = (drawn > z).sum(axis=1)
        total += alone * float(np.mean(1.0 / np.maximum(exceed, 1)))
    return float(min(max(total, alone), count * alone, 1.0))


# No double is nearer to 1 than the probability of this score.
_SUREST = 8.0


def chosen_score(z: float, correlation: FloatArray) -> float:
    """Return the score of a rule that was chosen among K, lowered to what is standard normal without skill.

    `z` is the score of the chosen rule on bars that the choice has seen. Whatever the choice was, the chosen rule's
    score is no larger than the best of the K: so this is at most standard normal, and the score of one trial.
    """
    if not math.isfinite(z):
        return z
    found = float(-ndtri(best_of_p(z, correlation)))
    # Where the probability rounds to 1 it has no score: what lost so surely keeps its own.
    return found if math.isfinite(found) else min(z, -_SUREST)
