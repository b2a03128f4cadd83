"""A direction in latent space as a signal: long, short, or no trade where a state is unusual.

The documents alphaglow started from trade the first latent: its sign where it is beyond half a deviation, scaled by how
usual the state is. Which way a latent points is an accident of training, so it is turned by what it went with on train;
and since any latent may carry the direction, one may be fitted: the ridge regression of the next return on all latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from flows.exposure import Thresholds
from market.errors import InputError
from market.panel import FloatArray

Kind = Literal["first", "fitted"]
KINDS: tuple[Kind, ...] = ("fitted", "first")
# No trade while the projection is within this many of its deviations.
DEAD_ZONE = 0.5
# Ridge, as a share of the number of states: latents have unit variance.
_RIDGE = 0.01
_LEAST = 500
# Returns beyond this many of their deviations count as that.
_CUT = 5.0


@dataclass(frozen=True, eq=False)
class Direction:
    """A unit vector (D,) in latent space that points to higher returns on train, and their correlation there."""

    kind: Kind
    vector: FloatArray
    correlation: float
    spread: float

    def project(self, latents: FloatArray) -> FloatArray:
        """Return (...,) where latents (..., D) lie along it, in deviations on train; NaN where one has a NaN."""
        along: FloatArray = latents @ self.vector / self.spread
        return along


def fit_direction(latents: FloatArray, returns: FloatArray, kind: Kind = "fitted") -> Direction:
    """Fit a direction on latents (..., D) of train and the returns (...,) that followed, NaN where there is none.

    Raises
    ------
    InputError
        For fewer than 500 states with a return.
    """
    dim = latents.shape[-1]
    z, r = latents.reshape(-1, dim), returns.reshape(-1)
    known = np.isfinite(z).all(axis=1) & np.isfinite(r)
    z, r = z[known], r[known]
    if len(r) < _LEAST:
        raise InputError(f"a direction cannot be fitted on {len(r)} states with a return", f"{_LEAST} are the least")
    r = np.clip(r, -_CUT * r.std(), _CUT * r.std())
    r = r - r.mean()
    if kind == "first":
        vector = np.zeros(dim)
        vector[0] = 1.0
    else:
        centred = z - z.mean(axis=0)
        vector = np.linalg.solve(centred.T @ centred + _RIDGE * len(z) * np.eye(dim), centred.T @ r)
        vector /= np.linalg.norm(vector)
    along = z @ vector
    correlation = float(np.corrcoef(along, r)[0, 1])
    if correlation < 0:
        vector, correlation = -vector, -correlation
    return Direction(kind, vector, correlation, float(along.std()))


def confidence(likelihood: FloatArray, thresholds: Thresholds, usual: float) -> FloatArray:
    """Return how usual judged likelihoods are, in [0, 1]: 0 at the threshold or below, 1 at `usual`; 0 where NaN."""
    out = np.clip((likelihood - thresholds.threshold) / max(usual - thresholds.threshold, 1e-12), 0.0, 1.0)
    return np.where(np.isfinite(likelihood), out, 0.0)


def positions(along: FloatArray, sure: FloatArray, dead_zone: float = DEAD_ZONE) -> FloatArray:
    """Return positions in [-1, 1]: the sign of a projection beyond the dead zone, times confidence; 0 where NaN."""
    with np.errstate(invalid="ignore"):
        side = np.where(np.abs(along) > dead_zone, np.sign(along), 0.0)
    return np.where(np.isfinite(along), side, 0.0) * sure


def against_the_unusual(likelihood: FloatArray, returns: FloatArray, usual: slice, percentile: float) -> FloatArray:
    """Return positions (T, N) in {-1, 0, 1} against the last return of states whose likelihood is below a percentile.

    The percentile is of likelihoods (T, N) on the rows `usual`; NaN is no state, and no position.
    """
    known = likelihood[usual][np.isfinite(likelihood[usual])]
    if not len(known):
        return np.zeros(likelihood.shape)
    with np.errstate(invalid="ignore"):
        rare = likelihood < np.percentile(known, percentile)
    return np.where(rare & np.isfinite(returns), -np.sign(returns), 0.0)
