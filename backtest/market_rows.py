"""What the ledger reads of a market, aligned to the bar of the decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from backtest.trading_rules import BacktestSpec, Fill
from market.panel import BoolArray, FloatArray, Panel

VOLATILITY_BARS = 60
_LEAST_VOLATILITY = 20


class MarketRows(NamedTuple):
    """What a decision at the close of bar t meets; all (T, N), `funding` and `impact` without rows where they are nil.

    A named tuple, so that compiled loops read it as it is.

    Attributes
    ----------
    tradable
        Whether bar t+1 has the price of the fill, and some volume where the panel has volumes at all.
    returns
        From the fill at t+1 to that at t+2, prices carried forward while there is none: a halted asset returns 0, and
        the jump is taken when it trades again.
    funding
        What longs pay and shorts receive between the fills, as a fraction of the position.
    volatility
        Standard deviation of the last 60 returns a bar, close to close, known at the close of t; NaN below 20 of them.
    impact
        What a trade of the whole capital would cost, as a fraction of it, for a capital of 1; the cost of a trade of w
        is `impact` |w|^1.5 sqrt(capital).
    """

    tradable: BoolArray
    returns: FloatArray
    funding: FloatArray
    volatility: FloatArray
    impact: FloatArray

    def rows(self, part: slice) -> MarketRows:
        """Return the decisions of some bars."""
        funding = self.funding[part] if len(self.funding) else self.funding
        impact = self.impact[part] if len(self.impact) else self.impact
        volatility = self.volatility[part] if len(self.volatility) else self.volatility
        return MarketRows(self.tradable[part], self.returns[part], funding, volatility, impact)


@dataclass(frozen=True, eq=False)
class Carried:
    """What a stretch of a panel does not show of the whole.

    Attributes
    ----------
    prices
        (N,) the last known price of the fill before the stretch, NaN where there is none.
    has_volume, has_funding
        Whether the whole panel has volumes, and settlements.
    """

    prices: FloatArray
    has_volume: bool
    has_funding: bool


def market_rows(panel: Panel, spec: BacktestSpec, carried: Carried | None = None) -> MarketRows:
    """Read the rows off a panel, for the fills and the impact of `spec`.

    Of a stretch of a panel (`carried`), what its first `VOLATILITY_BARS` + 1 and its last three rows say is incomplete,
    but for the first and the last rows of the whole; and what the rules do not ask for is left out.
    """
    price = panel[spec.fill]
    volume = panel["volume"]
    tradable = np.zeros(panel.shape, dtype=bool)
    tradable[:-1] = np.isfinite(price[1:])
    has_volume = bool(np.any(volume > 0)) if carried is None else carried.has_volume
    if has_volume:
        tradable[:-1] &= ~(volume[1:] == 0)
    known = filled(price if carried is None else _begun(price, carried.prices))
    returns = np.zeros(panel.shape)
    with np.errstate(all="ignore"):
        returns[:-2] = known[2:] / known[1:-1] - 1.0
    impact = np.zeros((0, panel.shape[1]))
    moves = has_volume and spec.costs.impact > 0 and (carried is None or spec.costs.capital > 0)
    volatility = impact
    if carried is None or moves or spec.volatility_scaled:
        volatility = trailing_volatility(panel["close"], VOLATILITY_BARS, 0)
    if moves:
        impact = np.zeros(panel.shape)
        with np.errstate(all="ignore"):
            impact[:-1] = spec.costs.impact * volatility[:-1] / np.sqrt(panel.money[1:])
        # Without a volatility yet, or without a volume in this bar, no impact is known.
        impact = np.where(np.isfinite(impact), impact, 0.0)
    has_funding = "funding" in panel.fields if carried is None else carried.has_funding
    settled = _settled(panel, spec.fill, anything=carried is not None) if has_funding else np.zeros((0, panel.shape[1]))
    return MarketRows(tradable, np.where(np.isfinite(returns), returns, 0.0), settled, volatility, impact)


def filled(prices: FloatArray) -> FloatArray:
    """Return (T, N) prices with the last known one carried forward; NaN before the first."""
    place = np.where(np.isfinite(prices), np.arange(len(prices))[:, None], -1)
    last = np.maximum.accumulate(place, axis=0)
    return np.where(last >= 0, np.take_along_axis(prices, np.maximum(last, 0), axis=0), np.nan)


def _begun(prices: FloatArray, before: FloatArray) -> FloatArray:
    """Return prices whose first row has the last known ones, where it has none."""
    first = np.where(np.isfinite(prices[:1]), prices[:1], before)
    return np.vstack([first, prices[1:]])


def _settled(panel: Panel, fill: Fill, *, anything: bool = False) -> FloatArray:
    """Return what is settled between the fills of t+1 and t+2, or no rows where nothing ever is.

    With `anything` it is known that something is.

    The panel's `funding` at bar t sums the rates of the settlements after the open of t-1, up to and at that of t. A
    fill comes after a settlement of the same moment.
    """
    if not anything and not np.any(np.nan_to_num(panel["funding"])):
        return np.zeros((0, panel.shape[1]))
    ahead = 2 if fill == "open" else 3
    rate = np.zeros(panel.shape)
    rate[:-ahead] = np.nan_to_num(panel["funding"][ahead:], nan=0.0)
    # The last two decisions are not paid: nor do they pay.
    rate[-2:] = 0.0
    return rate


@njit(cache=True, error_model="numpy", nogil=True)
def trailing_volatility(close: FloatArray, bars: int, first: int) -> FloatArray:
    """Return (T, N) standard deviation (ddof 1) of the last `bars` returns; NaN below 20 finite ones.

    Rows before `first` stay NaN: whoever asks for the newest alone need not wait for all.
    """
    length, width = close.shape
    out = np.full((length, width), np.nan)
    returns = np.full(length, np.nan)
    for i in range(width):
        for t in range(1, length):
            move = close[t, i] / close[t - 1, i] - 1.0
            returns[t] = move if abs(move) < np.inf else np.nan
        for t in range(max(first, _LEAST_VOLATILITY), length):
            count = 0
            total = 0.0
            for s in range(max(1, t - bars + 1), t + 1):
                if returns[s] == returns[s]:
                    count += 1
                    total += returns[s]
            if count < _LEAST_VOLATILITY:
                continue
            mean = total / count
            square = 0.0
            for s in range(max(1, t - bars + 1), t + 1):
                square += (returns[s] - mean) ** 2 if returns[s] == returns[s] else 0.0
            out[t, i] = np.sqrt(square / (count - 1))
    return out
