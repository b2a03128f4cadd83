"""What a quick score computes: a piece of a signal against a market prepared by `backtest.quick`, bar by bar."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.engine import DELISTED_AFTER, ZSCORE_CAP
from backtest.ic import MIN_PAIRS
from market.panel import BoolArray, FloatArray
from market.ranking import count_finite, ordered, rank_row, ranked

# Rows of the series that are written.
SERIES = 5
IC, PEARSON, GROSS, NET, TURNOVER = range(SERIES)


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
        clear = ranked(line, keys[row], count, bits, columns, values, ranks)
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
            series[IC, row] = np.nan
            series[PEARSON, row] = np.nan
            if common >= MIN_PAIRS:
                ordered(line, keys[row], mask, columns, values)
                _common(columns, values, count, ahead)
                shared[:] = np.nan
                rank_row(values, columns, common, shared)
                other[:] = np.nan
                _rank_shared(order[row], int(sums[0, row]), ahead, shared, values, columns, other)
                series[IC, row] = _correlation(shared, other, 1e-9)
                series[PEARSON, row] = _correlation(line, ahead, 0.0)
            _targets(line, ranks, count, targets, by_zscore)
            _hold(targets, ring, (first + row) % len(ring))
            gross, turnover, short = _trade(targets, returns[row], tradable[row], held[0], held[1])
            series[GROSS, row] = gross
            series[TURNOVER, row] = turnover
        paid = _dot(held[0], funding[row]) if len(funding) else 0.0
        series[NET, row] = series[GROSS, row] - series[TURNOVER, row] * per_trade - borrow * short - paid


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
    return _ratio(xy, xx, yy)


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
        place = min(max((line[i] - mean) / deviation, -ZSCORE_CAP), ZSCORE_CAP)
        targets[i] = place if abs(place) <= ZSCORE_CAP else 0.0
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
