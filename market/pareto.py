"""Generalised Pareto tails: what exceedances over a high edge are distributed like, whatever the whole is."""

from __future__ import annotations

import numpy as np

from market.panel import FloatArray

# Of so few exceedances no shape can be read: the tail is taken as exponential.
_FEWEST = 20
_LEAST_SHAPE, _MOST_SHAPE = 1e-4, 0.95


def fit_pareto(over: FloatArray) -> tuple[float, float]:
    """Return scale and shape of exceedances (M,) above 0, by maximum likelihood in one unknown (Grimshaw 1993).

    The chance of more than y is (1 + shape y / scale)^(-1 / shape). The shape is kept above 0, so that the tail has no
    end where the sample happens to end, and below 1, so that its mean is finite.
    """
    mean = float(over.mean())
    if len(over) < _FEWEST:
        return mean, _LEAST_SHAPE

    def loss(log_ratio: float) -> float:
        shape = float(np.log1p(np.exp(log_ratio) * over / mean).mean())
        return float(np.log(shape * mean) - log_ratio + shape)

    # Only a fit needs it, and its import takes a quarter of a second.
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(loss, bounds=(np.log(1e-4), np.log(1e3)), method="bounded")
    ratio = float(np.exp(found.x)) / mean
    shape = min(max(float(np.log1p(ratio * over).mean()), _LEAST_SHAPE), _MOST_SHAPE)
    return shape / ratio, shape
