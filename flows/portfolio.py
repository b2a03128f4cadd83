"""Scenarios of a whole portfolio: past dates whose market was like today's, with what came after them.

All assets of a date move together in a scenario, so their dependence is that of the past, tails included. Each asset's
return is scaled by its volatility now over its volatility then; an asset that did not exist then moves as the mean of
those that did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flows.scenarios import Library
from market.errors import InputError
from market.panel import FloatArray

# Returns beyond this many of their deviations are data errors as often as not.
_CUT = 25.0
_LEAST = 250


@dataclass(frozen=True, eq=False)
class PastDates:
    """What a portfolio's scenarios are drawn from.

    Attributes
    ----------
    library
        Market states (L, D) of the past dates.
    shocks
        (L, N) returns of the bar after each, in deviations of their asset.
    """

    library: Library
    shocks: FloatArray


def past_dates(market: FloatArray, returns: FloatArray, volatility: FloatArray) -> PastDates:
    """Return the past dates of market states (T, D) with returns (T, N) close to close and volatility (T, N) of a bar.

    A date counts where its state and the next bar's returns are known.

    Raises
    ------
    InputError
        For fewer than 250 dates.
    """
    with np.errstate(all="ignore"):
        shocks = np.clip(returns[1:] / volatility[:-1], -_CUT, _CUT)
    known = np.isfinite(shocks)
    rows = np.isfinite(market[:-1]).all(axis=1) & known.any(axis=1)
    if rows.sum() < _LEAST:
        raise InputError(f"only {int(rows.sum())} past dates to draw scenarios from", f"{_LEAST} are the least")
    mean = np.where(known, shocks, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return PastDates(Library(market[:-1][rows]), np.where(known, shocks, mean[:, None])[rows])


def portfolio_scenarios(
    past: PastDates, market: FloatArray, weights: FloatArray, volatility: FloatArray, count: int | None
) -> FloatArray:
    """Return (Q, S) next-bar returns of portfolios: market states (Q, D), weights (Q, N), volatility of a bar (Q, N).

    `count` is how many nearest dates make the scenarios; None takes all of them, whatever the market is like.
    """
    loads = weights * np.where(np.isfinite(volatility), volatility, 0.0)
    if count is None:
        everywhere: FloatArray = loads @ past.shocks.T
        return everywhere
    near = past.library.nearest(market, count)
    return np.stack([past.shocks[places] @ load for places, load in zip(near, loads, strict=True)])
