"""Probabilities that mean what they say: priors put back, a temperature, and how often what was said came true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from market.panel import FloatArray

_LOWEST, _HIGHEST = 0.05, 20.0


def softmax(logits: FloatArray) -> FloatArray:
    """Return (M, K) probabilities of (M, K) logits."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def log_priors(labels: FloatArray, count: int) -> FloatArray:
    """Return (count,) log shares of classes: what a model that was trained on equal classes does not know.

    A class that never came counts as half an example.
    """
    found = np.array([max(float((labels == number).sum()), 0.5) for number in range(count)])
    return np.asarray(np.log(found / found.sum()), dtype=np.float64)


def fit_temperature(logits: FloatArray, labels: NDArray[np.int64]) -> float:
    """Return the temperature, 0.05 to 20, by which logits tell (M,) labels best (Guo et al. 2017)."""

    def loss(log_t: float) -> float:
        return nll(softmax(logits / np.exp(log_t)), labels)

    found = minimize_scalar(loss, bounds=(np.log(_LOWEST), np.log(_HIGHEST)), method="bounded")
    return float(np.exp(found.x))


def nll(probabilities: FloatArray, labels: NDArray[np.int64]) -> float:
    """Return the mean negative log-likelihood in nats."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean())


def reliability(probabilities: FloatArray, labels: NDArray[np.int64], bins: int = 10) -> dict[str, object]:
    """Return how often what was said with each probability came true, over all classes and bins of equal count.

    ``error`` is the expected calibration error: the mean distance of what was said and what came true.
    """
    said = probabilities.ravel()
    came = (labels[:, None] == np.arange(probabilities.shape[1])).astype(np.float64).ravel()
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    rows = [(float(said[part].mean()), float(came[part].mean()), len(part)) for part in parts]
    error = sum(abs(a - b) * count for a, b, count in rows) / max(len(said), 1)
    return {
        "error": error,
        "said": [row[0] for row in rows],
        "came": [row[1] for row in rows],
        "count": [row[2] for row in rows],
    }
