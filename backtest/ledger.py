"""The ledger: positions that drift with prices, are traded towards their targets, pay, earn, halt and die.

All amounts are fractions of the capital at the moment of the fill. A bar's capital is cash + positions before the
fill; after it, cash pays for what was bought, fees and impact; then prices move, shorts and funding are paid, and what
is left over is the next bar's capital: equity = cash + positions at every bar.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.kernel_rules import LedgerRules, ledger_rules
from backtest.market_rows import MarketRows
from backtest.trading_rules import BacktestSpec
from market.panel import FloatArray

# Without a price for this many bars an asset counts as delisted, and the position as settled at its last price.
DELISTED_AFTER = 48

# Rows of the series that are written.
SERIES = 10
GROSS, COST, IMPACT, FUNDING, NET, TURNOVER, EXPOSURE, BIAS, OPENED, HELD = range(SERIES)
# Capital below this share of what it was is ruin: nothing is traded any more.
RUIN = 1e-6
# A position that partial trading leaves on its way to 0 is closed when it is no more than this share of capital.
DUST = 1e-6


class Positions(NamedTuple):
    """What is carried from bar to bar; the arrays are changed in place.

    Attributes
    ----------
    held
        (N,) what positions are worth, as a fraction of the capital at the fill before.
    halted
        (N,) for how many bars each asset has had no price.
    growth
        (1,) by what the capital grew since the fill before; 0 after ruin.
    """

    held: FloatArray
    halted: NDArray[np.int64]
    growth: FloatArray


def no_positions(assets: int) -> Positions:
    """Return what is carried into the first bar."""
    return Positions(np.zeros(assets), np.zeros(assets, dtype=np.int64), np.ones(1))


def keep_ledger(
    targets: FloatArray, market: MarketRows, spec: BacktestSpec, bars_per_year: float
) -> tuple[FloatArray, ...]:
    """Return (T, N) weights held just after each fill, and (10, T) series, for (T, N) target weights.

    Series, per decision bar: gross return; fees, slippage and borrow; impact for a capital of 1 (times the square root
    of the capital it is what is paid); funding; net return; turnover (sum of absolute changes); gross and net exposure;
    positions opened or turned; positions held. The last two decisions are not paid yet: gross and net are NaN.
    """
    weights = np.ascontiguousarray(targets).copy()
    series = np.zeros((SERIES, len(weights)))
    _keep(weights, market, no_positions(weights.shape[1]), ledger_rules(spec, bars_per_year), series)
    series[GROSS, -2:] = np.nan
    series[NET, -2:] = np.nan
    return weights, series


@njit(cache=True, error_model="numpy", nogil=True)
def _keep(
    weights: FloatArray, market: MarketRows, positions: Positions, rules: LedgerRules, series: FloatArray
) -> None:
    for t in range(len(weights)):
        settle_row(weights[t], market, t, positions, rules, t % rules.rebalance == 0, series[:, t])


@njit(cache=True, error_model="numpy", nogil=True)
def settle_row(
    weights: FloatArray,
    market: MarketRows,
    row: int,
    positions: Positions,
    rules: LedgerRules,
    due: bool,
    figures: FloatArray,
) -> None:
    """Trade and settle one bar: row `row` of `market`; `due` is whether positions are traded at it.

    `weights` (N,) comes as targets and leaves as what was held after the fill; `figures` (10,) is filled as in
    `keep_ledger`.
    """
    held, halted, growth = positions.held, positions.halted, positions.growth[0]
    tradable, returns = market.tradable[row], market.returns[row]
    inverse = 1.0 / growth if growth > 0.0 else 0.0
    gross = turnover = pressure = exposure = bias = short = paid = 0.0
    opened = kept = 0
    for i in range(len(weights)):
        now = held[i] * inverse
        halted[i] = 0 if tradable[i] else halted[i] + 1
        if halted[i] > DELISTED_AFTER:
            gross += now * rules.delisting_return
        target = weights[i] if growth > 0.0 else 0.0
        new = after_fill(now, weights[i], target, halted[i], due, rules.rate, rules.band)
        change = abs(new - now)
        turnover += change
        gross += new * returns[i]
        short += max(-new, 0.0)
        if len(market.impact) and change > 0.0:
            pressure += market.impact[row, i] * change * np.sqrt(change)
        if len(market.funding):
            paid += new * market.funding[row, i]
        exposure += abs(new)
        bias += new
        kept += 1 if new != 0.0 else 0
        opened += 1 if new != 0.0 and new * now <= 0.0 else 0
        weights[i] = new
        held[i] = new * (1.0 + returns[i])
    cost, net, positions.growth[0] = close_bar(growth, gross, turnover, short, pressure, paid, rules)
    figures[GROSS], figures[COST], figures[IMPACT], figures[FUNDING] = gross, cost, pressure, paid
    figures[NET], figures[TURNOVER], figures[EXPOSURE], figures[BIAS] = net, turnover, exposure, bias
    figures[OPENED], figures[HELD] = opened, kept


@njit(cache=True, error_model="numpy", nogil=True)
def after_fill(now: float, wanted: float, target: float, halted: int, due: bool, rate: float, band: float) -> float:
    """Return a position after the fill: on its way to `target` where it may and should be traded.

    It moves the share `rate` of the way; 0 once it counts as delisted.
    """
    if halted > DELISTED_AFTER:
        return 0.0
    if halted == 0 and due and (band == 0.0 or wanted == 0.0 or abs(wanted - now) > band):
        if rate >= 1.0:
            return target
        new = now + rate * (target - now)
        return new if wanted != 0.0 or abs(new) > DUST else 0.0
    return now


@njit(cache=True, error_model="numpy", nogil=True)
def close_bar(
    growth: float, gross: float, turnover: float, short: float, pressure: float, paid: float, rules: LedgerRules
) -> tuple[float, float, float]:
    """Return cost, net return and by what the capital grew (0 after ruin) of the sums of a bar."""
    cost = turnover * rules.per_trade + short * rules.borrow
    net = gross - cost - pressure * rules.root_capital - paid
    return cost, net, 1.0 + net if growth > 0.0 and 1.0 + net > RUIN else 0.0
