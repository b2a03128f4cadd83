"""Compiled loops that keep the ledgers of several trading rules side by side, bar by bar, in one pass of a market."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.kernel_rules import LedgerRules
from backtest.ledger import DELISTED_AFTER, DUST, close_bar
from backtest.market_rows import MarketRows
from market.panel import BoolArray, FloatArray

# Rows of the series that are written for each rule.
KEPT = 3
RULE_GROSS, RULE_NET, RULE_TURNOVER = range(KEPT)


@njit(cache=True, error_model="numpy", nogil=True)
def keep_ledgers(
    targets: FloatArray,
    variants: NDArray[np.int64],
    rates: FloatArray,
    bands: FloatArray,
    market: MarketRows,
    rules: LedgerRules,
) -> FloatArray:
    """Return (K, 3, T) gross return, net return and turnover of K rules that trade the same signal.

    Rule k trades targets[variants[k]], of (V, T, N), at its rate and within its band; all else is of `rules`, whose own
    rate and band are not read. Each row is what `backtest.ledger.keep_ledger` gives for the rule alone, to rounding;
    the last two decisions are not paid yet.
    """
    count, length, width = len(variants), targets.shape[1], targets.shape[2]
    series = np.zeros((count, KEPT, length))
    held, growth, halted = np.zeros((count, width)), np.ones(count), np.zeros(width, dtype=np.int64)
    scratch, blocked = np.empty(width), np.empty(width, dtype=np.int64)
    none = market.returns[0]
    for t in range(length):
        due, shut = t % rules.rebalance == 0, _count_blocked(market.tradable[t], halted, blocked)
        impact = market.impact[t] if len(market.impact) else none
        funding = market.funding[t] if len(market.funding) else none
        for k in range(count):
            row, own, rate, band = targets[variants[k], t], held[k], rates[k], bands[k]
            inverse = 1.0 / growth[k] if growth[k] > 0.0 else 0.0
            lost = sold = pressure = paid = 0.0
            if not due or growth[k] <= 0.0:
                for i in range(width):
                    scratch[i] = own[i] * inverse
                row = scratch
            if _is_stuck(row, own, blocked, shut):
                scratch[:] = row
                row = scratch
                lost, sold, pressure = _settle_blocked(
                    row, own, blocked, shut, halted, inverse, rules.delisting_return, impact
                )
            if len(market.impact):
                pressure += _pressure(row, own, inverse, rate, band, impact)
            else:
                pressure = 0.0
            if len(market.funding):
                paid = _funded(row, own, inverse, rate, band, funding)
            gross, turnover, short = _settle(row, own, inverse, rate, band, market.returns[t])
            gross += lost
            turnover += sold
            _, net, growth[k] = close_bar(growth[k], gross, turnover, short, pressure, paid, rules)
            series[k, RULE_GROSS, t], series[k, RULE_NET, t], series[k, RULE_TURNOVER, t] = gross, net, turnover
    return series


@njit(cache=True, error_model="numpy", nogil=True)
def _count_blocked(tradable: BoolArray, halted: NDArray[np.int64], blocked: NDArray[np.int64]) -> int:
    """Fill which assets cannot be traded at a bar, and count for how many bars each could not."""
    shut = 0
    for i in range(len(tradable)):
        if tradable[i]:
            halted[i] = 0
        else:
            halted[i] += 1
            blocked[shut] = i
            shut += 1
    return shut


@njit(cache=True, error_model="numpy", nogil=True)
def _is_stuck(targets: FloatArray, held: FloatArray, blocked: NDArray[np.int64], count: int) -> bool:
    """Return whether an asset that cannot be traded is held or should be."""
    for place in range(count):
        column = blocked[place]
        if targets[column] != 0.0 or held[column] != 0.0:
            return True
    return False


@njit(cache=True, error_model="numpy", nogil=True)
def _settle_blocked(
    targets: FloatArray,
    held: FloatArray,
    blocked: NDArray[np.int64],
    count: int,
    halted: NDArray[np.int64],
    inverse: float,
    delisting_return: float,
    impact: FloatArray,
) -> tuple[float, float, float]:
    """Keep what cannot be traded where it is, by its target, and settle what counts as delisted.

    Returns what the delisted earned, what of them was traded, and its impact.
    """
    lost = sold = pressure = 0.0
    for place in range(count):
        i = blocked[place]
        now = held[i] * inverse
        targets[i] = now
        if halted[i] > DELISTED_AFTER:
            lost += now * delisting_return
            sold += abs(now)
            pressure += impact[i] * abs(now) * np.sqrt(abs(now))
            targets[i] = 0.0
            held[i] = 0.0
    return lost, sold, pressure


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def _moved(now: float, wanted: float, rate: float, band: float) -> float:
    """Return a position after the fill of an asset that can be traded, as `backtest.ledger.after_fill` does."""
    new = now + rate * (wanted - now)
    new = 0.0 if wanted == 0.0 and abs(new) <= DUST else new
    return now if wanted != 0.0 and band > 0.0 and abs(wanted - now) <= band else new


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _settle(
    targets: FloatArray, held: FloatArray, inverse: float, rate: float, band: float, returns: FloatArray
) -> tuple[float, float, float]:
    """Trade and settle one bar on which all can be traded; return gross return, turnover and what is held short."""
    gross = turnover = short = 0.0
    for i in range(len(targets)):
        now = held[i] * inverse
        new = _moved(now, targets[i], rate, band)
        turnover += abs(new - now)
        gross += new * returns[i]
        short += max(-new, 0.0)
        held[i] = new * (1.0 + returns[i])
    return gross, turnover, short


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _pressure(
    targets: FloatArray, held: FloatArray, inverse: float, rate: float, band: float, impact: FloatArray
) -> float:
    total = 0.0
    for i in range(len(targets)):
        now = held[i] * inverse
        change = abs(_moved(now, targets[i], rate, band) - now)
        total += impact[i] * change * np.sqrt(change)
    return total


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _funded(
    targets: FloatArray, held: FloatArray, inverse: float, rate: float, band: float, funding: FloatArray
) -> float:
    total = 0.0
    for i in range(len(targets)):
        total += _moved(held[i] * inverse, targets[i], rate, band) * funding[i]
    return total
