"""Compiling the backtest's kernels before they are needed."""

from __future__ import annotations

import numpy as np

from backtest.combine import Members, combine, moments_of
from backtest.quick import QuickScorer
from backtest.scorecard import score_signal
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from market.panel import Panel
from market.ranking import rank_panel
from market.split import Split

_BARS, _ASSETS = 240, 12


def warm_backtest() -> None:
    """Score one signal, in full and quickly, and combine it, on a few bars; what is compiled already is only loaded."""
    rng = np.random.default_rng(0)
    shape = (_BARS, _ASSETS)
    prices = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, shape), axis=0))
    panel = Panel(
        times=np.datetime64("2024-01-01", "ns") + np.timedelta64(1, "h") * np.arange(_BARS),
        assets=tuple(f"A{i}" for i in range(_ASSETS)),
        fields=dict.fromkeys(("open", "high", "low", "close", "volume"), prices),
        universe=np.ones(shape, dtype=bool),
        bar=np.timedelta64(1, "h"),
    )
    split = Split(slice(0, 150), slice(155, _BARS), slice(_BARS, _BARS), 5)
    values = rng.normal(size=shape)
    for weighting in ("rank", "timeseries"):
        target = prepare_target(panel, BacktestSpec(weighting))
        score_signal(values, target, split, gate=np.ones(shape), rng=rng)
        scorer = QuickScorer(target, _BARS)
        scorer.feed(0, values)
        scorer.result(split.train)
    members = Members.empty(1, shape)
    members.put(0, rank_panel(values))
    combine(members, np.ones(1))
    moments_of(members, values, split.train)
