"""A small panel with a signal in it, as frames that a user of the library may hold."""

from __future__ import annotations

import numpy as np
import pytest

import alphaglow as ag
from market.panel import Panel


def make_days(bars: int = 400, assets: int = 14, seed: int = 4) -> Panel:
    """Daily bars of coins whose returns revert: what fell for three days rises a little."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0, 0.03, (bars, assets))
    for t in range(3, bars):
        moves[t] -= 0.08 * moves[t - 3 : t].sum(axis=0)
    close = 20 * np.exp(moves.cumsum(axis=0))
    opened = np.vstack([close[:1], close[:-1]])
    fields = {
        "open": opened,
        "high": np.maximum(opened, close) * 1.01,
        "low": np.minimum(opened, close) * 0.99,
        "close": close,
        "volume": rng.uniform(1e3, 2e3, close.shape),
    }
    times = np.datetime64("2022-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "D")
    names = tuple(f"COIN{i:02d}" for i in range(assets))
    return Panel(times, names, fields, np.isfinite(close), np.timedelta64(1, "D"), name="days")


@pytest.fixture(scope="session")
def days() -> Panel:
    """A panel of 400 daily bars of 14 coins."""
    return make_days()


@pytest.fixture(scope="session")
def result(days: Panel) -> ag.Result:
    """A reversal on it, evaluated."""
    return ag.evaluate(days, "-ts_mean(returns, 3)")
