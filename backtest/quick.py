"""Quick scores: rank IC, IC, turnover and net return of a signal, fed piece by piece while it is being computed.

The figures are those of `backtest.engine` and `backtest.ic` without a gate, for cross-sectional weightings; most
candidates fail on them and never need a scorecard. What does not depend on the signal (forward returns, their order
in each bar, what can be traded) is prepared once a panel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest import metrics
from backtest.engine import BacktestSpec, market_returns
from backtest.ic import forward_returns
from backtest.quick_kernels import GROSS, IC, NET, PEARSON, SERIES, TURNOVER, mask_outside, score_piece
from backtest.scorecard import paid_rows
from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel
from market.ranking import KeySorter, average_ranks, key_bits, sort_keys


@dataclass(frozen=True, eq=False)
class Target:
    """What signals of a panel are scored against, per decision bar t; all (T, N).

    Attributes
    ----------
    forward
        Return from the open of t+1 to that of t+2, NaN where either is missing.
    order, ranks
        Assets by ascending `forward`, those without one last; and average ranks of `forward`.
    known, centred_ranks
        Where there is a forward return, and `ranks` less their mean over the bar, 0 where missing: what is read of most
        bars, and kept small for that.
    sums
        (4, T) assets with a forward return, sum of squares of `centred_ranks`, sum of `forward` and sum of its squares
        about its mean.
    returns, tradable
        What a position earns (`forward`, or what it is marked at), and whether it can be changed.
    funding
        What a position pays; no rows where nothing is ever paid.
    """

    panel: Panel
    spec: BacktestSpec
    forward: FloatArray
    order: NDArray[np.int32]
    ranks: FloatArray
    known: BoolArray
    centred_ranks: NDArray[np.float32]
    sums: FloatArray
    returns: FloatArray
    tradable: BoolArray
    funding: FloatArray


def prepare_target(panel: Panel, spec: BacktestSpec) -> Target:
    """Prepare a panel for scoring.

    Raises
    ------
    InputError
        When the trading rules are not cross-sectional.
    """
    if spec.weighting == "timeseries":
        raise InputError("quick scores are cross-sectional", "use weighting = rank or zscore, or full scorecards")
    forward = forward_returns(panel, 1)
    tradable, returns = market_returns(panel)
    funding = np.zeros((0, panel.shape[1]))
    if "funding" in panel.fields:
        funding = np.zeros(panel.shape)
        funding[:-2] = np.nan_to_num(panel["funding"][2:], nan=0.0)
    known, ranks = np.isfinite(forward), average_ranks(forward)
    # Ranks of as many assets as there ever are, less a mean of halves, are exact in 32 bits.
    centred_ranks = _centred(ranks)
    sums = [known.sum(axis=1), (centred_ranks**2).sum(axis=1), np.where(known, forward, 0.0).sum(axis=1)]
    return Target(
        panel,
        spec,
        forward,
        np.argsort(forward, axis=1).astype(np.int32),
        ranks,
        known,
        centred_ranks.astype(np.float32),
        np.stack([*sums, (_centred(forward) ** 2).sum(axis=1)]),
        returns,
        tradable,
        funding,
    )


def _centred(x: FloatArray) -> FloatArray:
    known = np.isfinite(x)
    filled = np.where(known, x, 0.0)
    means = filled.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, x - means, 0.0)


@dataclass(frozen=True)
class QuickScore:
    """Figures of a segment, as in `backtest.scorecard.SegmentScore`, without a gate; NaN where undefined.

    `ic` is the mean Pearson correlation of signal and forward return per bar; `coverage` is the share of bars with a
    rank IC.
    """

    n_bars: int
    rank_ic: float
    ic_ir: float
    ic: float
    coverage: float
    turnover: float
    sharpe_gross: float
    sharpe_net: float
    per_bar_sharpe_net: float


class QuickScorer:
    """Scores one signal; `feed` it all bars in order, from the first on."""

    def __init__(self, target: Target, rows: int) -> None:
        width = target.panel.shape[1]
        self.target = target
        self._masked = np.empty((rows, width))
        self._sorter = KeySorter.make(rows, width)
        self._held = np.zeros((2, width))
        self._ring = np.zeros((target.spec.holding, width))
        self._series = np.full((SERIES, target.panel.shape[0]), np.nan)

    def feed(self, first: int, values: NDArray[Any]) -> None:
        """Score rows `first` and after; `values` (rows, N), NaN is no opinion."""
        rows, bits = len(values), key_bits(values.shape[1])
        masked, sorter, target = self._masked[:rows], self._sorter.first(rows), self.target
        at = slice(first, first + rows)
        np.copyto(masked, values)
        mask_outside(masked, target.panel.universe[at])
        sort_keys(masked, sorter.keys, bits)
        sorter.sort()
        costs = target.spec.costs
        score_piece(
            masked,
            sorter.result,
            bits,
            target.forward[at],
            target.order[at],
            target.ranks[at],
            target.known[at],
            target.centred_ranks[at],
            target.sums[:, at],
            target.returns[at],
            target.tradable[at],
            target.funding[at] if len(target.funding) else target.funding,
            self._held,
            self._ring,
            self._series[:, at],
            first,
            target.spec.weighting == "zscore",
            costs.per_trade,
            costs.borrow_bp_year * 1e-4 / target.panel.bars_per_year,
        )

    def net(self, part: slice) -> FloatArray:
        """Return the net returns of a segment's decisions, without the two that are paid beyond it."""
        return self._series[NET, paid_rows(part)].copy()

    def gross(self, part: slice) -> FloatArray:
        """Return the returns before costs; see `net`."""
        return self._series[GROSS, paid_rows(part)].copy()

    def result(self, part: slice) -> QuickScore:
        """Return the figures of a segment; its last two decisions are paid beyond it and left out."""
        series = self._series[:, paid_rows(part)]
        known = series[IC][np.isfinite(series[IC])]
        pearson = series[PEARSON][np.isfinite(series[PEARSON])]
        deviation = float(known.std(ddof=1)) if len(known) > 1 else 0.0
        year = self.target.panel.bars_per_year
        return QuickScore(
            n_bars=series.shape[1],
            rank_ic=float(known.mean()) if len(known) else float("nan"),
            ic_ir=float(known.mean()) / deviation if deviation > 0 else float("nan"),
            ic=float(pearson.mean()) if len(pearson) else float("nan"),
            coverage=len(known) / max(series.shape[1], 1),
            turnover=float(series[TURNOVER].mean()) if series.shape[1] else float("nan"),
            sharpe_gross=metrics.sharpe(series[GROSS], year),
            sharpe_net=metrics.sharpe(series[NET], year),
            per_bar_sharpe_net=metrics.sharpe(series[NET], 1.0),
        )
