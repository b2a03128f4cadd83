"""From a signal to returns: weights, gate, size, ledger.

A decision formed at the close of bar t is filled at the open (or close) of t+1 and paid at that of t+2. Every series of
a `Backtest` is aligned to the decision bar t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backtest.asset_facts import asset_facts
from backtest.ic import MIN_PAIRS
from backtest.ledger import BIAS, COST, EXPOSURE, FUNDING, GROSS, HELD, IMPACT, NET, OPENED, TURNOVER, keep_ledger
from backtest.market_rows import MarketRows, market_rows
from backtest.trading_rules import BacktestSpec
from backtest.weights import apply_gate, cap_risk, kelly_leverage, target_weights
from market.errors import Rejection
from market.panel import FloatArray, Panel

MAX_SMALL_UNIVERSE = 10


@dataclass(frozen=True, eq=False)
class Backtest:
    """What a signal would have earned, per decision bar t; `weights` is (T, N), the series are (T,).

    Attributes
    ----------
    weights
        Held just after the fill at t+1, as a fraction of capital.
    gross, cost, impact, funding, net
        Returns; net = gross - cost - impact sqrt(capital) - funding. `cost` is fees, slippage and borrow, `impact` is
        for a capital of 1. The last two bars have no return yet: NaN.
    turnover
        Sum of absolute trades; weights drift with prices between fills, and what drifted is traded back.
    exposure, bias
        Sum of absolute weights, and of weights.
    opened, held
        Positions opened (or turned), and held.
    """

    weights: FloatArray
    gross: FloatArray
    cost: FloatArray
    impact: FloatArray
    funding: FloatArray
    net: FloatArray
    turnover: FloatArray
    exposure: FloatArray
    bias: FloatArray
    opened: FloatArray
    held: FloatArray
    spec: BacktestSpec


def run_backtest(
    values: FloatArray,
    panel: Panel,
    spec: BacktestSpec,
    gate: FloatArray | None = None,
    *,
    groups: FloatArray | None = None,
) -> Backtest | Rejection:
    """Backtest a signal.

    Parameters
    ----------
    values
        (T, N) signal known at the close of each bar; NaN is no opinion.
    gate
        (T, N) exposures in [0, 1] known at the close of each bar; None is all open.
    groups
        (T, N) group numbers within which positions are neutral; None is one group.

    Returns
    -------
    Backtest or Rejection
        ``small_universe`` when a cross-section is asked of ten assets or fewer.
    """
    refused = small_universe(values, panel, spec)
    if refused is not None:
        return refused
    market = market_rows(panel, spec)
    signal = np.where(panel.universe, values, np.nan)
    facts = asset_facts(panel, spec) if spec.reads_facts else None
    targets = target_weights(signal, spec, market.volatility, groups, facts=facts)
    return trade(targets, market, spec, gate, bars_per_year=panel.bars_per_year)


def small_universe(values: FloatArray, panel: Panel, spec: BacktestSpec, until: int | None = None) -> Rejection | None:
    """Return why a cross-section of this panel (of its bars before the row `until`) means nothing, or None."""
    if not spec.is_cross_sectional:
        return None
    within = np.where(panel.universe[:until], values[:until], np.nan)
    return too_few_assets(spec, panel.shape[1], widest_bar(within))


def widest_bar(values: FloatArray) -> int:
    """Return the largest number of assets that have a value (T, N) in one bar."""
    return int(np.isfinite(values).sum(axis=1).max(initial=0))


def too_few_assets(spec: BacktestSpec, assets: int, widest: int | None = None) -> Rejection | None:
    """Return why `assets`, of which a signal has values for at most `widest` in any bar, are too few to rank, or None.

    It is the one rule of all that score a signal: in full, quickly, or bar by bar. Without `widest` it is asked before
    there is a signal.
    """
    if not spec.is_cross_sectional:
        return None
    alone = 'set weighting = "timeseries" in alphaglow.toml [backtest]'
    there = compared(spec, assets)
    if there <= MAX_SMALL_UNIVERSE:
        return Rejection(
            "backtest",
            "small_universe",
            f"a cross-section over {there} assets says nothing: ranks of so few are mostly noise",
            f"{alone}, or use more than {MAX_SMALL_UNIVERSE} assets",
        )
    if widest is None or compared(spec, widest) >= MIN_PAIRS:
        return None
    return Rejection(
        "backtest",
        "small_universe",
        f"the factor has values for at most {widest} of {assets} assets in any bar: ranks of so few are mostly noise",
        f"loosen its conditions, or [universe], until {MIN_PAIRS} assets or more have values; or {alone}",
    )


def compared(spec: BacktestSpec, assets: int) -> int:
    """Return how many of a number of assets the rules compare with one another."""
    return (assets + 1) // 2 if spec.liquid_half else assets


def trade(
    targets: FloatArray, market: MarketRows, spec: BacktestSpec, gate: FloatArray | None, *, bars_per_year: float
) -> Backtest:
    """Return what target weights (T, N) earn after gate, size, halts, costs and funding."""
    weights = sized_weights(targets, market, spec, gate, bars_per_year=bars_per_year)
    weights, series = keep_ledger(weights, market, spec, bars_per_year)
    return Backtest(
        weights,
        gross=series[GROSS],
        cost=series[COST],
        impact=series[IMPACT],
        funding=series[FUNDING],
        net=series[NET],
        turnover=series[TURNOVER],
        exposure=series[EXPOSURE],
        bias=series[BIAS],
        opened=series[OPENED],
        held=series[HELD],
        spec=spec,
    )


def sized_weights(
    targets: FloatArray, market: MarketRows, spec: BacktestSpec, gate: FloatArray | None, *, bars_per_year: float
) -> FloatArray:
    """Return (T, N) target weights after gate, Kelly size and risk caps: what is decided at each close."""
    neutral = spec.is_neutral
    weights = targets if gate is None else apply_gate(targets, gate, neutral=neutral)
    if spec.kelly > 0:
        _, series = keep_ledger(weights, market, spec, bars_per_year)
        size = kelly_leverage(series[NET], spec.kelly, spec.max_leverage)
        weights = weights * size[:, None]
    if not math.isinf(spec.max_risk):
        weights = cap_risk(weights, market.volatility, spec.max_risk, neutral=neutral)
    return weights
