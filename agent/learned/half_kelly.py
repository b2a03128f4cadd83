"""Half-Kelly sizes, one a signal: from calibrated probabilities and the ratio of wins to losses, with a cap."""

from __future__ import annotations

import numpy as np

from market.panel import FloatArray

# A ratio of fewer wins or losses than this says nothing: it is then 1.
_LEAST = 30
HALF = 0.5


def win_loss_ratio(probabilities: FloatArray, returns: FloatArray) -> float:
    """Return what a win pays over what a loss costs, on average, where the likelier side is taken.

    Parameters
    ----------
    probabilities
        (M, 3) of short, hold and long.
    returns
        (M,) that came over the label's horizon, in any unit; NaN is left out.

    Returns
    -------
    float
        1 where there are fewer than 30 wins or losses.
    """
    outcome = np.sign(probabilities[:, 2] - probabilities[:, 0]) * returns
    won, lost = outcome[outcome > 0], -outcome[outcome < 0]
    if min(len(won), len(lost)) < _LEAST:
        return 1.0
    return float(won.mean() / lost.mean())


def half_kelly(probabilities: FloatArray, ratio: float, cap: float) -> FloatArray:
    """Return (M,) sizes with the sign of the likelier side, as shares of capital: half of Kelly's, at most `cap`.

    A position that wins `ratio` with p, loses 1 with q, and else pays nothing (hold) lets capital grow fastest at
    (p ratio - q) / ((p + q) ratio): Kelly 1956, with outcomes that pay nothing left out. 0 where that is not above 0.
    """
    p = np.maximum(probabilities[:, 2], probabilities[:, 0])
    q = np.minimum(probabilities[:, 2], probabilities[:, 0])
    with np.errstate(invalid="ignore", divide="ignore"):
        full = np.where(p + q > 0, (p * ratio - q) / ((p + q) * ratio), 0.0)
    size = np.clip(HALF * full, 0.0, cap)
    # Plus 0: there is no short position of size nothing.
    return np.asarray(np.sign(probabilities[:, 2] - probabilities[:, 0]) * size + 0.0, dtype=np.float64)
