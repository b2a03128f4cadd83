"""What a quick score computes: a piece of a signal against a market prepared by `backtest.quick`, bar by bar."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.ic import MIN_PAIRS, correlation, rerank
from backtest.ledger import EXPOSURE as _EXPOSURE
from backtest.ledger import GROSS as _GROSS
from backtest.ledger import NET as _NET
from backtest.ledger import RUIN, settle_row
from backtest.ledger import SERIES as _FIGURES
from backtest.ledger import TURNOVER as _TURNOVER
from backtest.weights import weigh_row
from market.panel import BoolArray, FloatArray
from market.ranking import count_finite, ordered, rank_row, ranked

# Rows of the series that are written.
SERIES = 6
IC, PEARSON, GROSS, NET, TURNOVER, EXPOSURE = range(SERIES)


@njit(cache=True, error_model="numpy", nogil=True)
def mask_outside(values: FloatArray, universe: BoolArray) -> None:
    """Make NaN what lies outside the universe, in place."""
    a, inside = values.ravel(), universe.ravel()
    for i in range(len(a)):
        a[i] = a[i] if inside[i] else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def score_piece(
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
    impact: FloatArray,
    groups: FloatArray,
    volatility: FloatArray,
    held: FloatArray,
    halted: NDArray[np.int64],
    growth: FloatArray,
    ring: FloatArray,
    series: FloatArray,
    first: int,
    kind: int,
    quantiles: int,
    cap: float,
    per_trade: float,
    borrow: float,
    root: float,
    rebalance: int,
    band: float,
    lost: float,
) -> None:
    """Score a piece. `held`, `halted` and `growth` (1,) are carried as `backtest.ledger.settle_row` has them."""
    rows, width = signal.shape
    mask = (1 << bits) - 1
    plain = len(ring) == 1 and kind == 0 and len(groups) == 0 and len(volatility) == 0 and len(impact) == 0
    plain = plain and rebalance == 1 and band == 0.0 and cap >= 1.0
    nothing = np.zeros(0)
    ledger = np.zeros(_FIGURES)
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
        clear = ranked(line, keys[row], count, bits, columns, values, ranks)
        common, stuck = _count_common(line, known[row], tradable[row], held)
        if plain and common == count and stuck == 0 and count >= MIN_PAIRS and growth[0] > 0.0:
            figures[:] = sums[:, row]
            theirs = centred_ranks[row]
            if common < figures[0]:
                theirs = subset
                _centre_shared(order[row], int(sums[0, row]), line, forward_ranks[row], columns, theirs)
                _sum_shared(line, ahead, theirs, count, figures)
            pivot = line[keys[row, count // 2] & mask]
            sizes = (count * count - count % 2) / 4.0 if clear else _sizes(ranks, 0.5 * (count + 1))
            inverse = 1.0 / growth[0]
            short = _usual(
                line, ranks, pivot, count, sizes, theirs, returns[row], figures, held, inverse, series[:, row]
            )
            paid = _paid(held, returns[row], funding[row]) if len(funding) else 0.0
            series[EXPOSURE, row] = 1.0 if sizes > 1e-9 else 0.0
            net = series[GROSS, row] - (series[TURNOVER, row] * per_trade + borrow * short) - paid
            series[NET, row] = net
            growth[0] = 1.0 + net if 1.0 + net > RUIN else 0.0
            # How long an asset has been halted matters only while it is held.
            halted[:] = 0
        else:
            series[IC, row] = np.nan
            series[PEARSON, row] = np.nan
            if common >= MIN_PAIRS:
                ordered(line, keys[row], mask, columns, values)
                _common(columns, values, count, ahead)
                shared[:] = np.nan
                rank_row(values, columns, common, shared)
                rerank(order[row], int(sums[0, row]), forward_ranks[row], shared, common, other)
                for i in range(width):
                    other[i] = other[i] if shared[i] == shared[i] else np.nan
                series[IC, row] = correlation(shared, other, 1e-9)
                series[PEARSON, row] = correlation(line, ahead, 0.0)
            group = groups[row] if len(groups) else nothing
            scale = volatility[row] if len(volatility) else nothing
            weigh_row(line, ranks, count, kind, quantiles, group, scale, cap, targets)
            _hold(targets, ring, (first + row) % len(ring))
            growth[0] = settle_row(
                targets,
                tradable[row],
                returns[row],
                funding[row] if len(funding) else nothing,
                impact[row] if len(impact) else nothing,
                held,
                halted,
                growth[0],
                ledger,
                per_trade,
                borrow,
                root,
                (first + row) % rebalance == 0,
                band,
                lost,
            )
            series[GROSS, row] = ledger[_GROSS]
            series[NET, row] = ledger[_NET]
            series[TURNOVER, row] = ledger[_TURNOVER]
            series[EXPOSURE, row] = ledger[_EXPOSURE]


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
    inverse: float,
    series: FloatArray,
) -> float:
    """Score the usual bar in one pass, but for its net return; return what is held short.

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
        turnover += abs(weight - held[i] * inverse)
        gross += weight * returns[i]
        short += max(-weight, 0.0)
        held[i] = weight * (1.0 + returns[i])
    series[GROSS] = gross
    series[TURNOVER] = turnover
    series[IC] = _ratio(rank_product, squares, sums[1]) if squares > 1e-9 and sums[1] > 1e-9 else np.nan
    xx = two - one * one / count
    dust = 1e-24 * pivot * pivot * count
    xy = product - one * (sums[2] / count)
    series[PEARSON] = _ratio(xy, xx, sums[3]) if dust < xx < np.inf and sums[3] > 0.0 else np.nan
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
def _paid(held: FloatArray, returns: FloatArray, funding: FloatArray) -> float:
    """Return the funding of positions that have moved with their returns."""
    total = 0.0
    for i in range(len(held)):
        total += held[i] / (1.0 + returns[i]) * funding[i] if returns[i] > -1.0 else 0.0
    return total
