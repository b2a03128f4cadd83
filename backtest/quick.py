"""Quick scores: rank IC, IC, turnover and net return of a signal, fed piece by piece while it is being computed.

The figures are those of `backtest.run` and `backtest.ic` without a gate; most candidates fail on them and never
need a scorecard. Rules that need more than a bar of the signal (time series, Kelly's size, capped risk, facts of
assets) are scored when the last bar is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest import metrics
from backtest.ic import MIN_PAIRS, correlate_rows, newey_west_t, pooled_ic, rank_ic
from backtest.kernel_rules import ledger_rules, weight_rules
from backtest.ledger import no_positions
from backtest.market_rows import MarketRows
from backtest.mean_test import mean_test
from backtest.payoff import rank_payoffs
from backtest.quick_kernels import (
    EXPOSURE,
    GROSS,
    IC,
    NET,
    PAYOFF,
    PEARSON,
    SERIES,
    TURNOVER,
    Outcomes,
    Piece,
    mask_outside,
    score_piece,
)
from backtest.run import too_few_assets, trade, widest_bar
from backtest.scorecard import paid_rows
from backtest.target import Target
from backtest.trading_rules import BacktestSpec
from market.errors import Rejection
from market.panel import FloatArray, Panel
from market.ranking import KeySorter, key_bits, sort_keys


@dataclass(frozen=True)
class QuickScore:
    """Figures of a segment, as in `backtest.scorecard.SegmentScore`, without a gate; NaN where undefined.

    `coverage` is the share of bars with a position. In a time series `rank_ic` and its t statistic are pooled over
    assets, and `ic_ir` and `ic` are undefined.
    """

    n_bars: int
    rank_ic: float
    ic_ir: float
    ic_tstat: float
    ic: float
    coverage: float
    turnover: float
    sharpe_gross: float
    sharpe_net: float
    per_bar_sharpe_net: float
    payoff: float
    payoff_error: float
    payoff_z: float
    net_z: float


@dataclass(frozen=True, eq=False)
class SegmentScore:
    """The quick score of a signal on one segment, and its returns before costs there, (T,) of the paid decisions."""

    quick: QuickScore
    gross: FloatArray


class QuickScorer:
    """Scores one signal; `feed` it all bars in order, from the first on."""

    def __init__(self, target: Target, rows: int, whole: Panel | None = None) -> None:
        """Score against `target`; or, stretch by stretch of the panel `whole`, against what `move_to` is given."""
        width = target.panel.shape[1]
        panel = target.panel if whole is None else whole
        self.target = target
        self._offset, self._year = 0, panel.bars_per_year
        self._masked = np.empty((rows, width))
        self._sorter = KeySorter.make(rows, width)
        self._whole = None if is_by_bar(target.spec) else np.full(target.panel.shape, np.nan)
        self._weighting = weight_rules(target.spec) if is_by_bar(target.spec) else None
        self._market = _market_of(target)
        self._rules = ledger_rules(target.spec, self._year)
        self._positions = no_positions(width)
        self._ring = np.zeros((target.spec.holding, width))
        self._series = np.full((panel.shape[0], SERIES), np.nan)
        self._signal: FloatArray | None = None
        self._widest = np.zeros(1, dtype=np.int64)

    def move_to(self, target: Target, first: int) -> None:
        """Go on with bars from `first` on, which are the rows of `target`."""
        self.target, self._offset = target, first
        self._market = _market_of(target)

    @property
    def state(self) -> tuple[NDArray[Any], ...]:
        """What is carried from bar to bar, and the figures of the bars so far: all of it where rules go bar by bar."""
        return (*self._positions, self._ring, self._series, self._widest)

    def feed(self, first: int, values: NDArray[Any]) -> None:
        """Score rows `first` and after; `values` (rows, N), NaN is no opinion."""
        rows, bits = len(values), key_bits(values.shape[1])
        masked, sorter, target = self._masked[:rows], self._sorter.first(rows), self.target
        at = slice(first - self._offset, first - self._offset + rows)
        if self._whole is not None:
            self._whole[at] = values
            self._count(np.where(target.panel.universe[at], values, np.nan))
            return
        assert self._weighting is not None
        np.copyto(masked, values)
        mask_outside(masked, target.panel.universe[at])
        self._count(masked)
        sort_keys(masked, sorter.keys, bits)
        sorter.sort()
        none = target.market.returns[:0]
        groups = none if target.groups is None else target.groups[at]
        ranked = target.ranked
        score_piece(
            Piece(masked, sorter.result, bits, groups, first),
            Outcomes(
                target.forward[at],
                ranked.order[at],
                ranked.ranks[at],
                target.known[at],
                target.centred_ranks[at],
                target.risk[at],
                target.sums[at],
            ),
            self._market.rows(at),
            self._weighting,
            self._rules,
            self._positions,
            self._ring,
            self._series[first : first + rows],
        )

    def _count(self, masked: FloatArray) -> None:
        """Remember how many assets have a value in one bar; once they are enough to be ranked, nothing is counted."""
        if self._widest[0] < MIN_PAIRS:
            self._widest[0] = max(int(self._widest[0]), widest_bar(masked))

    def _complete(self) -> FloatArray:
        """Return the series, (7, T), once every bar was fed."""
        values, target, spec = self._whole, self.target, self.target.spec
        if values is None:
            return self._series.T
        series, signal = self._series.T, np.where(target.panel.universe, values, np.nan)
        found = trade(target.weights(signal), target.market, spec, None, bars_per_year=target.panel.bars_per_year)
        series[GROSS], series[NET], series[TURNOVER] = found.gross, found.net, found.turnover
        series[EXPOSURE] = found.exposure
        if spec.is_cross_sectional:
            series[IC] = rank_ic(signal, target.forward)
            enough = np.isfinite(series[IC])
            series[PEARSON] = np.where(enough, correlate_rows(signal, target.forward), np.nan)
            series[PAYOFF] = rank_payoffs(signal, target.forward, target.risk)
        else:
            series[PAYOFF] = found.gross
            self._signal = signal
        self._whole = None
        return series

    def net(self, part: slice) -> FloatArray:
        """Return the net returns of a segment's decisions, without the two that are paid beyond it."""
        return self._complete()[NET, paid_rows(part)].copy()

    def gross(self, part: slice) -> FloatArray:
        """Return the returns before costs; see `net`."""
        return self._complete()[GROSS, paid_rows(part)].copy()

    def segment(self, part: slice) -> SegmentScore | Rejection:
        """Return figures and gross returns of a segment, or why the bars that were fed rank too few assets."""
        refused = too_few_assets(self.target.spec, self.target.panel.shape[1], int(self._widest[0]))
        return refused or SegmentScore(self.result(part), self.gross(part))

    def result(self, part: slice) -> QuickScore:
        """Return the figures of a segment; its last two decisions are paid beyond it and left out."""
        paid = paid_rows(part)
        series = np.ascontiguousarray(self._complete()[:, paid])
        rank, tstat = self._prediction(series[IC], paid)
        known = series[IC][np.isfinite(series[IC])]
        pearson = series[PEARSON][np.isfinite(series[PEARSON])]
        deviation = float(known.std(ddof=1)) if len(known) > 1 else 0.0
        year, paying = self._year, mean_test(series[PAYOFF])
        return QuickScore(
            n_bars=series.shape[1],
            rank_ic=rank,
            ic_ir=float(known.mean()) / deviation if deviation > 0 else float("nan"),
            ic_tstat=tstat,
            ic=float(pearson.mean()) if len(pearson) else float("nan"),
            coverage=float((series[EXPOSURE] > 0).mean()) if series.shape[1] else float("nan"),
            turnover=float(series[TURNOVER].mean()) if series.shape[1] else float("nan"),
            sharpe_gross=metrics.sharpe(series[GROSS], year),
            sharpe_net=metrics.sharpe(series[NET], year),
            per_bar_sharpe_net=metrics.sharpe(series[NET], 1.0),
            payoff=paying.mean,
            payoff_error=paying.error,
            payoff_z=paying.z,
            net_z=mean_test(series[NET]).z,
        )

    def _prediction(self, series: FloatArray, paid: slice) -> tuple[float, float]:
        if self._signal is not None:
            pooled = pooled_ic(self._signal[paid], self.target.forward[paid])
            return pooled.mean, pooled.tstat
        known = series[np.isfinite(series)]
        return float(known.mean()) if len(known) else float("nan"), newey_west_t(series)


def is_by_bar(spec: BacktestSpec) -> bool:
    """Whether a bar can be scored as soon as its signal is there."""
    return spec.is_cross_sectional and spec.kelly == 0 and np.isinf(spec.max_risk) and not spec.reads_facts


def _market_of(target: Target) -> MarketRows:
    """Return the market without the arrays that the rules do not ask for: what is not read costs no time."""
    market, spec = target.market, target.spec
    none = market.returns[:0]
    return market._replace(
        volatility=market.volatility if spec.volatility_scaled else none,
        impact=market.impact if spec.costs.capital > 0 else none,
    )
