"""The trading rules as the numbers that compiled loops read: one record for target weights, one for the ledger."""

from __future__ import annotations

import math
from typing import NamedTuple

from backtest.trading_rules import BacktestSpec

RANK, ZSCORE, QUANTILE, LONG_ONLY = range(4)
_KINDS = {"rank": RANK, "zscore": ZSCORE, "quantile": QUANTILE, "long_only": LONG_ONLY}


class WeightRules(NamedTuple):
    """How a cross-section becomes target weights: see `BacktestSpec`; `kind` is one of the constants above."""

    kind: int
    quantiles: int
    max_weight: float


class LedgerRules(NamedTuple):
    """How targets are traded and what that costs.

    Attributes
    ----------
    per_trade
        Cost of what is traded, as a fraction of it.
    borrow
        Cost of what is held short for a bar, as a fraction of it.
    root_capital
        Square root of the capital, by which impact grows.
    rebalance, rate, band, delisting_return
        See `BacktestSpec`.
    """

    per_trade: float
    borrow: float
    root_capital: float
    rebalance: int
    rate: float
    band: float
    delisting_return: float


def weight_rules(spec: BacktestSpec) -> WeightRules:
    """Return the numbers of a cross-sectional weighting; a `KeyError` for time series, which have none."""
    return WeightRules(_KINDS[spec.weighting], int(spec.quantiles), float(spec.max_weight))


def ledger_rules(spec: BacktestSpec, bars_per_year: float) -> LedgerRules:
    """Return the numbers of the ledger; every one has a fixed type, so that nothing is compiled twice."""
    costs = spec.costs
    return LedgerRules(
        per_trade=float(costs.per_trade),
        borrow=float(costs.borrow_bp_year * 1e-4 / bars_per_year),
        root_capital=math.sqrt(costs.capital),
        rebalance=int(spec.rebalance),
        rate=float(spec.rate),
        band=float(spec.band),
        delisting_return=float(spec.delisting_return),
    )
