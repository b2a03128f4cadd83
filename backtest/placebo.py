"""Gates that know nothing: what a gate has to beat before it may claim to know something."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from backtest.bar_regimes import close_returns
from market.panel import FloatArray, Panel

VOLATILITY_BARS = 20


def random_gate(gate: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return `gate` with each asset's exposures in random order over time: equal exposure, no persistence."""
    return rng.permuted(gate, axis=0)


def shifted_gates(gate: FloatArray, n: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Yield `n` copies of `gate` shifted circularly in time: equal exposure and equal persistence, wrong moments.

    Shifts are drawn without replacement from those at least 5 % of the length away from no shift; fewer than `n`
    exist on short panels.
    """
    length = len(gate)
    margin = max(1, length // 20)
    choices = np.arange(margin, length - margin + 1)
    for shift in rng.choice(choices, size=min(n, len(choices)), replace=False):
        yield np.roll(gate, int(shift), axis=0)


def calmest_first(panel: Panel) -> NDArray[np.int64]:
    """Return (T, N) bars of each asset by realised volatility, the calmest first."""
    close, returns = panel["close"], close_returns(panel)
    squared = np.where(np.isfinite(returns), returns**2, 0.0)
    total = np.vstack([np.zeros((1, close.shape[1])), np.cumsum(squared, axis=0)])
    ends = np.arange(1, len(close) + 1)
    volatility = total[ends] - total[np.maximum(ends - VOLATILITY_BARS, 0)]
    # A bar without a price cannot be traded anyway: it is treated as the wildest.
    volatility = np.where(np.isfinite(close), volatility, np.inf)
    return np.argsort(volatility, axis=0, kind="stable")


def volatility_gate(order: NDArray[np.int64], gate: FloatArray) -> FloatArray:
    """Return a gate by realised volatility with the exposures of `gate`; `order` is what `calmest_first` gives.

    For each asset the exposures of `gate` are handed out again, the largest to the calmest bar. The assignment knows
    the whole period's volatilities, which favours this placebo: a gate that beats it beats more than a tradable
    volatility rule.
    """
    out = np.empty_like(gate)
    np.put_along_axis(out, order, -np.sort(-gate, axis=0), axis=0)
    return out
