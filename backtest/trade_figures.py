"""What is said of a list of trades: win rate, profit factor, duration, profit; and the total return of a segment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backtest.result_types import NAN, SegmentScore
from market.panel import BoolArray, FloatArray

if TYPE_CHECKING:
    # It loads a compiler, which what only prints figures does not need.
    from backtest.trade_list import TradeList


@dataclass(frozen=True)
class TradeFigures:
    """Figures by trade; amounts are in the unit of the list, fractions of capital or money.

    Attributes
    ----------
    trades, open
        How many were opened, and how many of them are open at the end.
    win_rate
        Share of the closed trades that earned something after costs; NaN without one.
    profit_factor
        What the winners earned over what the losers lost, of closed trades; NaN without a loser.
    mean_bars
        Mean duration of the closed trades.
    mean_win, mean_loss
        Mean profit of the winners and mean loss of the losers, both positive.
    gross, cost, net
        Sums over all trades, open ones as they are valued at the end.
    """

    trades: int
    open: int
    win_rate: float
    profit_factor: float
    mean_bars: float
    mean_win: float
    mean_loss: float
    gross: float
    cost: float
    net: float


def trade_figures(trades: TradeList, stop: int, chosen: BoolArray | None = None) -> TradeFigures:
    """Return figures of a list that ends at row `stop`, or of those trades of it that are `chosen` (K,)."""
    mask = np.ones(len(trades.net), dtype=bool) if chosen is None else chosen
    done = mask & (trades.closed < stop)
    net = trades.net[done]
    won, lost = net[net > 0], -net[net < 0]
    return TradeFigures(
        trades=int(mask.sum()),
        open=int(mask.sum() - done.sum()),
        win_rate=len(won) / len(net) if len(net) else NAN,
        profit_factor=float(won.sum() / lost.sum()) if len(lost) else NAN,
        mean_bars=_mean((trades.closed - trades.opened)[done].astype(np.float64)),
        mean_win=_mean(won),
        mean_loss=_mean(lost),
        gross=float(trades.gross[mask].sum()),
        cost=float(trades.cost[mask].sum()),
        net=float(trades.net[mask].sum()),
    )


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else NAN


def total_return(score: SegmentScore, bars_per_year: float, *, gated: bool = False) -> float:
    """Return what a segment earned from its first bar to its last, compounded and after costs; -1 is ruin.

    NaN where the segment was not scored, or its length in years is not known.
    """
    yearly = score.annual_return_gated if gated else score.annual_return_net
    if not (math.isfinite(yearly) and bars_per_year > 0):
        return NAN
    return math.expm1(math.log1p(yearly) * score.n_bars / bars_per_year) if yearly > -1.0 else -1.0
