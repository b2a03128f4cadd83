"""What a signal says beyond another: the rank IC of what is left of its ranks, bar by bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtest.ic import rank_ic
from market.panel import FloatArray
from market.ranking import rank_panel


@dataclass(frozen=True, eq=False)
class Residual:
    """What a signal says beyond another: (T,) rank IC of what is left of it, and their correlation a bar."""

    ic: FloatArray
    correlation: FloatArray


def residual_ic(values: FloatArray, pool: FloatArray, forward: FloatArray) -> Residual:
    """Return the rank IC of a signal's ranks less their projection on another's, bar by bar; all (T, N).

    Assets that both know take part. A bar on which nothing is left (the same ranks, or their reverse) is NaN.
    """
    both = np.isfinite(values) & np.isfinite(pool)
    mine, theirs = (_centred(np.where(both, side, np.nan)) for side in (values, pool))
    own, other, common = ((a * b).sum(axis=1) for a, b in ((mine, mine), (theirs, theirs), (mine, theirs)))
    with np.errstate(all="ignore"):
        slope = np.where(other > 0, common / other, 0.0)
        correlation = np.where((own > 0) & (other > 0), common / np.sqrt(own * other), np.nan)
    left = mine - slope[:, None] * theirs
    enough = (left**2).sum(axis=1) > 1e-9 * own
    # Rounded, for ties of ranks not to be broken by the last bit of a quotient.
    return Residual(rank_ic(np.where(both & enough[:, None], np.round(left, 9), np.nan), forward), correlation)


def _centred(values: FloatArray) -> FloatArray:
    ranked = rank_panel(values)
    found: FloatArray = np.where(np.isfinite(values), ranked.ranks - 0.5 * (ranked.counts[:, None] + 1.0), 0.0)
    return found
