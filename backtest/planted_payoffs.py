"""Markets in which it is known what pays: a mean payoff planted on a signal, its strength stated as a normal score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtest.ic import centred_rows, forward_returns
from backtest.mean_test import mean_test
from backtest.nulls import with_forward
from backtest.payoff import rank_payoffs, risk_returns, trailing_risk
from backtest.trading_rules import Fill
from market.errors import InputError
from market.panel import FloatArray, Panel
from market.ranking import average_ranks


@dataclass(frozen=True, eq=False)
class PlantedPayoff:
    """A panel in which a signal pays.

    Attributes
    ----------
    panel
        What signals are scored against.
    z
        Score that a portfolio which knows the signal gains by what was planted: the planted mean payoff over its
        standard error, over the rows that were asked for.
    per_bar
        The planted mean payoff of a bar, in deviations of an asset's return.
    """

    panel: Panel
    z: float
    per_bar: float


Rows = slice | NDArray[np.int64]


def plant_payoff(panel: Panel, values: FloatArray, z: float, part: Rows, fill: Fill = "open") -> PlantedPayoff:
    """Return the panel with a drift added to returns in proportion to a signal (T, N), worth `z` over rows `part`.

    The return between the fills of t+1 and t+2 gains, for each asset, its trailing deviation times its centred rank by
    the signal at t times a constant: the mean payoff rises by the same amount at each bar, and the noise stays as it
    was. `z` may be negative.

    Raises
    ------
    InputError
        For a signal that has no payoffs on `part` that vary.
    """
    signal = np.where(panel.universe, values, np.nan)
    forward = forward_returns(panel, 1, fill)
    payoffs = rank_payoffs(signal, forward, risk_returns(panel, forward))[part]
    error = mean_test(payoffs).error
    if not np.isfinite(error):
        raise InputError("the signal has no payoffs to plant in", "use another signal, or more bars")
    deviation, _beta = trailing_risk(panel)
    ranks = average_ranks(np.where(np.isfinite(forward) & np.isfinite(deviation), signal, np.nan))
    known, centred = np.isfinite(ranks), centred_rows(ranks)
    sizes = np.abs(centred).sum(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        # Such that a payoff rises by one for each unit of the drift.
        shape = np.nan_to_num(centred * sizes / (centred**2).sum(axis=1, keepdims=True))
    drift = np.where(known, deviation * shape, 0.0)
    wanted = z * error
    size, found = wanted, panel
    before = float(np.nanmean(payoffs))
    gained = wanted
    for _ in range(3):
        found = with_forward(panel, forward + size * drift, fill)
        moved = forward_returns(found, 1, fill)
        gained = float(np.nanmean(rank_payoffs(signal, moved, risk_returns(found, moved))[part])) - before
        size *= wanted / gained if gained * wanted > 0.0 else 1.0
    return PlantedPayoff(found, gained / error, gained)
