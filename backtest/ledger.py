"""The ledger: positions that drift with prices, are traded towards their targets, pay, earn, halt and die.

All amounts are fractions of the capital at the moment of the fill. A bar's capital is cash + positions before the
fill; after it, cash pays for what was bought, fees and impact; then prices move, shorts and funding are paid, and what
is left over is the next bar's capital: equity = cash + positions at every bar.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.market_rows import Tape
from backtest.trading_rules import BacktestSpec
from market.panel import BoolArray, FloatArray

# Without a price for this many bars an asset counts as delisted, and the position as settled at its last price.
DELISTED_AFTER = 48

# Rows of the series that are written.
SERIES = 10
GROSS, COST, IMPACT, FUNDING, NET, TURNOVER, EXPOSURE, BIAS, OPENED, HELD = range(SERIES)
# Capital below this share of what it was is ruin: nothing is traded any more.
RUIN = 1e-6


def keep_ledger(targets: FloatArray, tape: Tape, spec: BacktestSpec, bars_per_year: float) -> tuple[FloatArray, ...]:
    """Return (T, N) weights held just after each fill, and (10, T) series, for (T, N) target weights.

    Series, per decision bar: gross return; fees, slippage and borrow; impact for a capital of 1 (times the square root
    of the capital it is what is paid); funding; net return; turnover (sum of absolute changes); gross and net exposure;
    positions opened or turned; positions held. The last two decisions are not paid yet: gross and net are NaN.
    """
    costs = spec.costs
    weights = np.ascontiguousarray(targets).copy()
    series = np.zeros((SERIES, len(weights)))
    rules = (costs.per_trade, costs.borrow_bp_year * 1e-4 / bars_per_year, float(np.sqrt(costs.capital)))
    _keep(
        weights,
        tape.tradable,
        tape.returns,
        tape.funding,
        tape.impact,
        series,
        *rules,
        spec.rebalance,
        spec.band,
        spec.delisting_return,
    )
    series[GROSS, -2:] = np.nan
    series[NET, -2:] = np.nan
    return weights, series


@njit(cache=True, error_model="numpy", nogil=True)
def _keep(
    weights: FloatArray,
    tradable: BoolArray,
    returns: FloatArray,
    funding: FloatArray,
    impact: FloatArray,
    series: FloatArray,
    per_trade: float,
    borrow: float,
    root: float,
    rebalance: int,
    band: float,
    lost: float,
) -> None:
    width = weights.shape[1]
    held = np.zeros(width)
    halted = np.zeros(width, dtype=np.int64)
    nothing = np.zeros(0)
    growth = 1.0
    for t in range(len(weights)):
        growth = settle_row(
            weights[t],
            tradable[t],
            returns[t],
            funding[t] if len(funding) else nothing,
            impact[t] if len(impact) else nothing,
            held,
            halted,
            growth,
            series[:, t],
            per_trade,
            borrow,
            root,
            t % rebalance == 0,
            band,
            lost,
        )


@njit(cache=True, error_model="numpy", nogil=True)
def settle_row(
    weights: FloatArray,
    tradable: BoolArray,
    returns: FloatArray,
    funding: FloatArray,
    impact: FloatArray,
    held: FloatArray,
    halted: NDArray[np.int64],
    growth: float,
    figures: FloatArray,
    per_trade: float,
    borrow: float,
    root: float,
    due: bool,
    band: float,
    lost: float,
) -> float:
    """Trade and settle one bar; return by what the capital grew (0 after ruin).

    `weights` comes as targets and leaves as what was held after the fill. `held` and `growth` carry what positions were
    worth, and what the capital grew by, since the fill before; `halted` how long each asset has had no price.
    """
    inverse = 1.0 / growth if growth > 0.0 else 0.0
    gross = turnover = pressure = exposure = bias = short = paid = 0.0
    opened = kept = 0
    for i in range(len(weights)):
        now = held[i] * inverse
        halted[i] = 0 if tradable[i] else halted[i] + 1
        new = now
        if halted[i] == 0:
            if due and (band == 0.0 or weights[i] == 0.0 or abs(weights[i] - now) > band):
                new = weights[i] if growth > 0.0 else 0.0
        elif halted[i] > DELISTED_AFTER:
            gross += now * lost
            new = 0.0
        change = abs(new - now)
        turnover += change
        if len(impact) and change > 0.0:
            pressure += impact[i] * change * np.sqrt(change)
        gross += new * returns[i]
        exposure += abs(new)
        bias += new
        short += max(-new, 0.0)
        if len(funding):
            paid += new * funding[i]
        if new != 0.0:
            kept += 1
            opened += 1 if new * now <= 0.0 else 0
        weights[i] = new
        held[i] = new * (1.0 + returns[i])
    cost = turnover * per_trade + short * borrow
    net = gross - cost - pressure * root - paid
    figures[GROSS] = gross
    figures[COST] = cost
    figures[IMPACT] = pressure
    figures[FUNDING] = paid
    figures[NET] = net
    figures[TURNOVER] = turnover
    figures[EXPOSURE] = exposure
    figures[BIAS] = bias
    figures[OPENED] = opened
    figures[HELD] = kept
    return 1.0 + net if growth > 0.0 and 1.0 + net > RUIN else 0.0
