"""Quick scores: rank IC, IC, turnover and net return of a signal, fed piece by piece while it is being computed.

The figures are those of `backtest.engine` and `backtest.ic` without a gate, for cross-sectional weightings; most
candidates fail on them and never need a scorecard. What does not depend on the signal (forward returns, their order
in each bar, what can be traded) is prepared once a panel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest import metrics
from backtest.engine import DELISTED_AFTER, BacktestSpec, market_returns
from backtest.ic import MIN_PAIRS, forward_returns
from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel
from market.ranking import (
    KeySorter,
    average_ranks,
    count_finite,
    is_clear,
    key_bits,
    ordered,
    rank_clear,
    rank_row,
    ranked,
    sort_keys,
)

_SERIES = 5
_IC, _PEARSON, _GROSS, _NET, _TURNOVER = range(_SERIES)
_ZSCORE_CAP = 3.0


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
        self._series = np.full((_SERIES, target.panel.shape[0]), np.nan)

    def feed(self, first: int, values: NDArray[Any]) -> None:
        """Score rows `first` and after; `values` (rows, N), NaN is no opinion."""
        rows, bits = len(values), key_bits(values.shape[1])
        masked, sorter, target = self._masked[:rows], self._sorter.first(rows), self.target
        at = slice(first, first + rows)
        np.copyto(masked, values)
        _mask(masked, target.panel.universe[at])
        sort_keys(masked, sorter.keys, bits)
        sorter.sort()
        costs = target.spec.costs
        _score(
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

    def result(self, part: slice) -> QuickScore:
        """Return the figures of a segment; its last two decisions are paid beyond it and left out."""
        paid = slice(part.start, part.stop - 2)
        series = self._series[:, paid]
        known = series[_IC][np.isfinite(series[_IC])]
        pearson = series[_PEARSON][np.isfinite(series[_PEARSON])]
        deviation = float(known.std(ddof=1)) if len(known) > 1 else 0.0
        year = self.target.panel.bars_per_year
        return QuickScore(
            n_bars=series.shape[1],
            rank_ic=float(known.mean()) if len(known) else float("nan"),
            ic_ir=float(known.mean()) / deviation if deviation > 0 else float("nan"),
            ic=float(pearson.mean()) if len(pearson) else float("nan"),
            coverage=len(known) / max(series.shape[1], 1),
            turnover=float(series[_TURNOVER].mean()) if series.shape[1] else float("nan"),
            sharpe_gross=metrics.sharpe(series[_GROSS], year),
            sharpe_net=metrics.sharpe(series[_NET], year),
            per_bar_sharpe_net=metrics.sharpe(series[_NET], 1.0),
        )


@njit(cache=True, error_model="numpy", nogil=True)
def _mask(values: FloatArray, universe: BoolArray) -> None:
    a, inside = values.ravel(), universe.ravel()
    for i in range(len(a)):
        a[i] = a[i] if inside[i] else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def _score(
    signal: FloatArray,
    keys: NDArray[np.int64],
    bits: int,
    forward: FloatArray,
    order: NDArray[np.int32],
    forward_ranks: FloatArray,
    known: BoolArray,
    centred_ranks: NDArray[np.float32],
    sums: FloatArray,
    returns: FloatArray,
    tradable: BoolArray,
    funding: FloatArray,
    held: FloatArray,
    ring: FloatArray,
    series: FloatArray,
    first: int,
    by_zscore: bool,
    per_trade: float,
    borrow: float,
) -> None:
    """Score a piece. `held` (2, N) carries positions and how long each has been untradable."""
    rows, width = signal.shape
    mask = (1 << bits) - 1
    plain = len(ring) == 1 and not by_zscore
    columns = np.empty(width, dtype=np.int64)
    values = np.empty(width)
    ranks = np.empty(width)
    shared = np.empty(width)
    other = np.empty(width)
    targets = np.empty(width)
    figures = np.empty(len(sums))
    subset = np.empty(width, dtype=np.float32)
    for row in range(rows):
        line, ahead = signal[row], forward[row]
        ranks[:] = np.nan
        count = count_finite(line)
        clear = is_clear(keys[row], count, bits)
        if clear:
            rank_clear(keys[row], count, mask, ranks)
        else:
            ranked(line, keys[row], bits, columns, values, ranks)
        common, stuck = _count_common(line, known[row], tradable[row], held[0])
        if plain and common == count and stuck == 0 and count >= MIN_PAIRS:
            figures[:] = sums[:, row]
            theirs = centred_ranks[row]
            if common < figures[0]:
                theirs = subset
                _centre_shared(order[row], int(sums[0, row]), line, forward_ranks[row], columns, theirs)
                _sum_shared(line, ahead, theirs, count, figures)
            pivot = line[keys[row, count // 2] & mask]
            sizes = (count * count - count % 2) / 4.0 if clear else _sizes(ranks, 0.5 * (count + 1))
            short = _usual(line, ranks, pivot, count, sizes, theirs, returns[row], figures, held[0], series[:, row])
            # How long an asset has been halted matters only while it is held.
            held[1] = 0.0
        else:
            series[_IC, row] = np.nan
            series[_PEARSON, row] = np.nan
            if common >= MIN_PAIRS:
                ordered(line, keys[row], mask, columns, values)
                _common(columns, values, count, ahead)
                shared[:] = np.nan
                rank_row(values, columns, common, shared)
                other[:] = np.nan
                _rank_shared(order[row], int(sums[0, row]), ahead, shared, values, columns, other)
                series[_IC, row] = _correlation(shared, other, 1e-9)
                series[_PEARSON, row] = _correlation(line, ahead, 0.0)
            _targets(line, ranks, count, targets, by_zscore)
            _hold(targets, ring, (first + row) % len(ring))
            gross, turnover, short = _trade(targets, returns[row], tradable[row], held[0], held[1])
            series[_GROSS, row] = gross
            series[_TURNOVER, row] = turnover
        paid = _dot(held[0], funding[row]) if len(funding) else 0.0
        series[_NET, row] = series[_GROSS, row] - series[_TURNOVER, row] * per_trade - borrow * short - paid


@njit(cache=True, error_model="numpy", nogil=True)
def _centre_shared(
    order: NDArray[np.int32],
    count: int,
    x: FloatArray,
    forward_ranks: FloatArray,
    columns: NDArray[np.int64],
    centred: NDArray[np.float32],
) -> None:
    """Rank forward returns among the assets that `x` has a value for, less the mean rank; 0 elsewhere."""
    kept = 0
    for place in range(count):
        column = order[place]
        columns[kept] = column
        kept += 1 if x[column] == x[column] else 0
    centred[:] = 0.0
    middle = 0.5 * (kept + 1)
    start = 0
    for place in range(1, kept + 1):
        if place < kept and forward_ranks[columns[place]] == forward_ranks[columns[start]]:
            continue
        for k in range(start, place):
            centred[columns[k]] = 0.5 * (start + place + 1) - middle
        start = place


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _sum_shared(
    x: FloatArray, forward: FloatArray, centred_ranks: NDArray[np.float32], count: int, figures: FloatArray
) -> None:
    """Fill what `Target.sums` would hold, for the assets that `x` has a value for."""
    squares = 0.0
    total = 0.0
    for i in range(len(x)):
        squares += centred_ranks[i] * centred_ranks[i]
        total += forward[i] if x[i] == x[i] else 0.0
    mean = total / count
    spread = 0.0
    for i in range(len(x)):
        gap = forward[i] - mean if x[i] == x[i] else 0.0
        spread += gap * gap
    figures[1] = squares
    figures[2] = total
    figures[3] = spread


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _usual(
    x: FloatArray,
    ranks: FloatArray,
    pivot: float,
    count: int,
    sizes: float,
    centred_ranks: NDArray[np.float32],
    returns: FloatArray,
    sums: FloatArray,
    held: FloatArray,
    series: FloatArray,
) -> float:
    """Score the usual bar in one pass; return what is held short.

    Whatever should be traded can be, positions are by rank and held for a bar, and signal and forward returns stand for
    the same assets. `sizes` is the sum of distances from the mean rank, `sums` is as in `Target`.
    """
    middle = 0.5 * (count + 1)
    scale = 1.0 / sizes if sizes > 1e-9 else 0.0
    squares = rank_product = one = two = product = turnover = gross = short = 0.0
    for i in range(len(x)):
        known = x[i] == x[i]
        place = ranks[i] - middle if known else 0.0
        u = x[i] - pivot if known else 0.0
        weight = place * scale
        squares += place * place
        rank_product += place * centred_ranks[i]
        one += u
        two += u * u
        product += u * returns[i]
        turnover += abs(weight - held[i])
        gross += weight * returns[i]
        short += max(-weight, 0.0)
        held[i] = weight
    series[_GROSS] = gross
    series[_TURNOVER] = turnover
    series[_IC] = _ratio(rank_product, squares, sums[1]) if squares > 1e-9 and sums[1] > 1e-9 else np.nan
    xx = two - one * one / count
    dust = 1e-24 * pivot * pivot * count
    xy = product - one * (sums[2] / count)
    series[_PEARSON] = _ratio(xy, xx, sums[3]) if dust < xx < np.inf and sums[3] > 0.0 else np.nan
    return short


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _sizes(ranks: FloatArray, middle: float) -> float:
    total = 0.0
    for i in range(len(ranks)):
        total += abs(ranks[i] - middle) if ranks[i] == ranks[i] else 0.0
    return total


@njit(cache=True, error_model="numpy", nogil=True)
def _ratio(xy: float, xx: float, yy: float) -> float:
    return float(min(max(xy / (np.sqrt(xx) * np.sqrt(yy)), -1.0), 1.0))


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _count_common(x: FloatArray, known: BoolArray, tradable: BoolArray, held: FloatArray) -> tuple[int, int]:
    """Return how many assets have both signal and forward return, and how many should be traded but cannot."""
    count = 0
    stuck = 0
    for i in range(len(x)):
        count += 1 if x[i] == x[i] and known[i] else 0
        stuck += 1 if not tradable[i] and (x[i] == x[i] or held[i] != 0.0) else 0
    return count, stuck


@njit(cache=True, error_model="numpy", nogil=True)
def _common(columns: NDArray[np.int64], values: FloatArray, count: int, forward: FloatArray) -> None:
    """Keep of the ascending values those with a forward return, in place."""
    kept = 0
    for place in range(count):
        column = columns[place]
        if forward[column] == forward[column]:
            columns[kept] = column
            values[kept] = values[place]
            kept += 1


@njit(cache=True, error_model="numpy", nogil=True)
def _rank_shared(
    order: NDArray[np.int32],
    count: int,
    forward: FloatArray,
    mine: FloatArray,
    values: FloatArray,
    columns: NDArray[np.int64],
    ranks: FloatArray,
) -> None:
    """Rank forward returns among the assets that `mine` has a value for, from their ready order."""
    kept = 0
    for place in range(count):
        column = order[place]
        if mine[column] == mine[column]:
            columns[kept] = column
            values[kept] = forward[column]
            kept += 1
    rank_row(values, columns, kept, ranks)


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _correlation(x: FloatArray, y: FloatArray, least: float) -> float:
    """Pearson correlation over common values; NaN where a side's squares about its mean sum to no more than `least`."""
    count = 0.0
    mean_x = 0.0
    mean_y = 0.0
    for i in range(len(x)):
        known = x[i] == x[i] and y[i] == y[i]
        count += 1.0 if known else 0.0
        mean_x += x[i] if known else 0.0
        mean_y += y[i] if known else 0.0
    mean_x /= count
    mean_y /= count
    xx = 0.0
    yy = 0.0
    xy = 0.0
    for i in range(len(x)):
        known = x[i] == x[i] and y[i] == y[i]
        a = x[i] - mean_x if known else 0.0
        b = y[i] - mean_y if known else 0.0
        xx += a * a
        yy += b * b
        xy += a * b
    dust = 1e-24 * count
    if not (max(least, dust * mean_x * mean_x) < xx < np.inf and max(least, dust * mean_y * mean_y) < yy < np.inf):
        return np.nan
    return float(min(max(xy / (np.sqrt(xx) * np.sqrt(yy)), -1.0), 1.0))


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _targets(line: FloatArray, ranks: FloatArray, count: int, targets: FloatArray, by_zscore: bool) -> None:
    """Dollar-neutral weights of gross 1 by rank or by capped z-score; 0 without an opinion."""
    middle = 0.5 * (count + 1)
    for i in range(len(line)):
        targets[i] = ranks[i] - middle if ranks[i] == ranks[i] else 0.0
    if by_zscore:
        _standardised(line, count, targets)
    gross = 0.0
    for i in range(len(line)):
        gross += abs(targets[i])
    # Equal ranks leave rounding dust; that is not a position.
    scale = 1.0 / gross if count > 1 and 1e-9 < gross < np.inf else 0.0
    for i in range(len(line)):
        targets[i] = targets[i] * scale if scale > 0.0 else 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _standardised(line: FloatArray, count: int, targets: FloatArray) -> None:
    mean = 0.0
    for i in range(len(line)):
        mean += line[i] if line[i] == line[i] else 0.0
    mean /= max(count, 1)
    square = 0.0
    for i in range(len(line)):
        square += (line[i] - mean) ** 2 if line[i] == line[i] else 0.0
    deviation = np.sqrt(square / max(count - 1, 1))
    total = 0.0
    for i in range(len(line)):
        place = min(max((line[i] - mean) / deviation, -_ZSCORE_CAP), _ZSCORE_CAP)
        targets[i] = place if abs(place) <= _ZSCORE_CAP else 0.0
        total += targets[i]
    for i in range(len(line)):
        targets[i] = targets[i] - total / max(count, 1) if line[i] == line[i] else 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _hold(targets: FloatArray, ring: FloatArray, place: int) -> None:
    """Average the targets with those of the bars before, as long as positions are held."""
    holding = len(ring)
    if holding == 1:
        return
    for i in range(len(targets)):
        ring[place, i] = targets[i]
        targets[i] = 0.0
    for age in range(holding):
        for i in range(len(targets)):
            targets[i] += ring[age, i]
    for i in range(len(targets)):
        targets[i] /= holding


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _rebalance(targets: FloatArray, returns: FloatArray, held: FloatArray) -> tuple[float, float, float]:
    """Move all positions to their targets; return gross return, turnover, shorts."""
    gross = 0.0
    turnover = 0.0
    short = 0.0
    for i in range(len(targets)):
        turnover += abs(targets[i] - held[i])
        gross += targets[i] * returns[i]
        short += max(-targets[i], 0.0)
    for i in range(len(targets)):
        held[i] = targets[i]
    return gross, turnover, short


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _trade(
    targets: FloatArray, returns: FloatArray, tradable: BoolArray, held: FloatArray, halted: FloatArray
) -> tuple[float, float, float]:
    """Move positions to their targets where they can be traded; `halted` counts the bars where they cannot."""
    for i in range(len(targets)):
        halted[i] = 0.0 if tradable[i] else halted[i] + 1.0
    for i in range(len(targets)):
        stuck = held[i] if halted[i] <= DELISTED_AFTER else 0.0
        targets[i] = targets[i] if halted[i] == 0.0 else stuck
    return _rebalance(targets, returns, held)


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _dot(x: FloatArray, y: FloatArray) -> float:
    total = 0.0
    for i in range(len(x)):
        total += x[i] * y[i]
    return total
