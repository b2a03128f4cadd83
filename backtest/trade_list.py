"""The trades of a backtest: each position from its opening to its close or turn, with what it earned and paid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtest.kernel_rules import ledger_rules
from backtest.ledger import DELISTED_AFTER, RUIN
from backtest.market_rows import MarketRows
from backtest.run import Backtest
from market.panel import FloatArray


@dataclass(frozen=True, eq=False)
class TradeList:
    """Trades in order of their opening; all arrays are (K,), amounts are money or fractions of the bar's capital.

    Attributes
    ----------
    asset
        Column of the asset.
    opened, closed
        Decisions by which it was opened and ended: each is filled at the next bar. `closed` is the length of the
        series where the position is still there at its end.
    side
        1 long, -1 short.
    size
        Largest absolute weight while it was there.
    gross, cost, net
        Sums over its bars; `cost` is fees, slippage, borrow, impact and funding. Over all trades they add up to those
        of the backtest.
    """

    asset: NDArray[np.int64]
    opened: NDArray[np.int64]
    closed: NDArray[np.int64]
    side: NDArray[np.int64]
    size: FloatArray
    gross: FloatArray
    cost: FloatArray
    net: FloatArray


def trades_of(
    traded: Backtest, market: MarketRows, bars_per_year: float, stop: int, wealth: FloatArray | None = None
) -> TradeList:
    """Return the trades of the decisions before row `stop`, each of which is paid.

    A fill that turns a position ends one trade and begins another; each pays for its part of what is traded.

    With `wealth` (stop,), the money that is there just before each fill, amounts are money: those of all trades add up
    to what the wealth grew by. `size` remains a fraction.
    """
    weights, spec = traded.weights[:stop], traded.spec
    rows, rules = market.rows(slice(0, stop)), ledger_rules(traded.spec, bars_per_year)
    before = _drifted(traded, rows, stop)
    change = np.abs(weights - before)
    ended = (weights == 0.0) | (weights * before < 0.0)
    # What is traded by the position that was there, and by the one that is there now.
    left = np.where(ended, np.abs(before), 0.0)
    pressed = np.zeros(weights.shape)
    if len(rows.impact):
        pressed = rows.impact * change * np.sqrt(change) * rules.root_capital
    share = left / np.where(change > 0.0, change, 1.0)
    paid = weights * rows.funding if len(rows.funding) else np.zeros(weights.shape)
    own = (change - left) * rules.per_trade + np.maximum(-weights, 0.0) * rules.borrow + pressed * (1.0 - share) + paid
    gone = _halted(rows.tradable) > DELISTED_AFTER
    money = np.ones((stop, 1)) if wealth is None else wealth[:, None]
    return _collect(
        weights,
        money * weights * rows.returns,
        money * own,
        money * np.where(gone, before * spec.delisting_return, 0.0),
        money * (left * rules.per_trade + pressed * share),
    )


def _drifted(traded: Backtest, rows: MarketRows, stop: int) -> FloatArray:
    """Return (stop, N) what is there just before each fill: the weights before, moved with prices."""
    growth = 1.0 + traded.net[:stop, None]
    alive = growth > RUIN
    moved = np.where(alive, traded.weights[:stop] * (1.0 + rows.returns), 0.0) / np.where(alive, growth, 1.0)
    return np.vstack([np.zeros((1, moved.shape[1])), moved[:-1]])


def _halted(tradable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (T, N) for how many bars each asset has had no price."""
    row = np.arange(len(tradable))[:, None]
    found: NDArray[np.int64] = row - np.maximum.accumulate(np.where(tradable, row, -1), axis=0)
    return found


def _collect(
    weights: FloatArray, gross: FloatArray, own: FloatArray, settled: FloatArray, last_fill: FloatArray
) -> TradeList:
    """Add up each run of one sign of (T, N) weights; what is settled and paid at its end lies a row behind it."""
    bars, width = weights.shape
    side = np.sign(weights).astype(np.int64).T.ravel()
    asset, row = np.repeat(np.arange(width), bars), np.tile(np.arange(bars), width)
    first = np.flatnonzero((side != 0) & ((row == 0) | (side != np.roll(side, 1))))
    last = np.flatnonzero((side != 0) & ((row == bars - 1) | (side != np.roll(side, -1))))
    closes = row[last] < bars - 1
    behind = np.minimum(last + 1, max(len(side) - 1, 0))
    end = [np.where(closes, values.T.ravel()[behind], 0.0) for values in (settled, last_fill)]
    earned = _between(gross, first, last) + end[0]
    cost = _between(own, first, last) + end[1]
    size = np.maximum.reduceat(np.append(np.abs(weights.T.ravel()), 0.0), first) if len(first) else np.zeros(0)
    order = np.lexsort((asset[first], row[first]))
    return TradeList(
        asset[first][order],
        row[first][order],
        (row[last] + 1)[order],
        side[first][order],
        size[order],
        earned[order],
        cost[order],
        (earned - cost)[order],
    )


def _between(values: FloatArray, first: NDArray[np.int64], last: NDArray[np.int64]) -> FloatArray:
    """Return sums down each column of (T, N) values, from each `first` to its `last`, both included."""
    total = np.concatenate([[0.0], np.cumsum(values.T.ravel())])
    found: FloatArray = total[last + 1] - total[first]
    return found
