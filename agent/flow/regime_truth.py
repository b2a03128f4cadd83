"""Regimes that were found, beside those that a simulated market truly has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from flows.regimes import Labels, adjusted_rand
from market.synthetic.truth import load_regime_truth


def regime_truth(data: Path, labels: Labels, rows: slice) -> dict[str, Any] | None:
    """Return how well labels (T,) agree with the true regimes of a data set on some rows; None where none are known.

    `accuracy` is the share of bars whose regime is right once each found regime has the name of a true one, each name
    once; `ari` is the adjusted Rand index, 0 by chance and 1 for the same.
    """
    truth = load_regime_truth(data)
    if truth is None or len(truth) < len(labels):
        return None
    found, true = labels[rows], truth[: len(labels)][rows].astype(np.int64)
    known = found >= 0
    if not known.any():
        return None
    found, true = found[known], true[known]
    table = np.zeros((int(found.max()) + 1, int(true.max()) + 1))
    np.add.at(table, (found, true), 1)
    mine, theirs = linear_sum_assignment(-table)
    commonest = float(table.sum(axis=0).max() / table.sum())
    return {
        "bars": len(found),
        "true_regimes": int((table.sum(axis=0) > 0).sum()),
        "accuracy": float(table[mine, theirs].sum() / table.sum()),
        "commonest": commonest,
        "ari": adjusted_rand(found, true),
    }


def truth_sentence(found: dict[str, Any]) -> str:
    """Say how well found regimes agree with the true ones."""
    return (
        f"the market is simulated and its {found['true_regimes']} true regimes are known: of {found['bars']} "
        f"validation bars {found['accuracy']:.0%} have the right one (always the commonest: {found['commonest']:.0%}), "
        f"adjusted Rand index {found['ari']:.2f}"
    )
