"""What a quick score computes: a piece of a signal against a market prepared by `backtest.quick`, bar by bar."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.ic import MIN_PAIRS, correlation, rerank
from backtest.kernel_rules import RANK, LedgerRules, WeightRules
from backtest.ledger import EXPOSURE as _EXPOSURE
from backtest.ledger import GROSS as _GROSS
from backtest.ledger import NET as _NET
from backtest.ledger import SERIES as _FIGURES
from backtest.ledger import TURNOVER as _TURNOVER
from backtest.ledger import Positions, close_bar, settle_row
from backtest.market_rows import MarketRows
from backtest.weights import target_row
from market.panel import BoolArray, FloatArray
from market.ranking import count_finite, ordered, rank_row, rank_with_keys

# Columns of the series that are written.
SERIES = 7
IC, PEARSON, GROSS, NET, TURNOVER, EXPOSURE, PAYOFF = range(SERIES)
# Of the figures of the ledger, those that are written, and where.
_KEPT = ((GROSS, _GROSS), (NET, _NET), (TURNOVER, _TURNOVER), (EXPOSURE, _EXPOSURE))


class Piece(NamedTuple):
    """Rows of a signal, the first of them at bar `first`.

    Attributes
    ----------
    signal
        (rows, N), NaN outside the universe and where there is no opinion.
    keys, bits
        Sorted keys of each row, and how many of their low bits hold the column (see `market.ranking`).
    groups
        (rows, N) group numbers within which positions are neutral, or no rows.
    """

    signal: FloatArray
    keys: NDArray[np.int64]
    bits: int
    groups: FloatArray
    first: int


class Outcomes(NamedTuple):
    """What a signal should have known of the same rows: see `backtest.target.Target`."""

    forward: FloatArray
    order: NDArray[np.int32]
    ranks: FloatArray
    known: BoolArray
    centred_ranks: NDArray[np.float32]
    risk: NDArray[np.float32]
    sums: FloatArray


class _Usual(NamedTuple):
    """Of a usual bar: a value near the median, how many are finite, their summed distances in rank, 1 / growth.

    Numbers only: an array in a record that is made in the loop would cost two counts of references a bar.
    """

    pivot: float
    finite: int
    sizes: float
    inverse: float


class _Scratch(NamedTuple):
    """Rows that every bar writes over."""

    columns: NDArray[np.int64]
    values: FloatArray
    ranks: FloatArray
    shared: FloatArray
    other: FloatArray
    targets: FloatArray
    ledger: FloatArray


@njit(cache=True, error_model="numpy", nogil=True)
def mask_outside(values: FloatArray, universe: BoolArray) -> None:
    """Make NaN what lies outside the universe, in place."""
    a, inside = values.ravel(), universe.ravel()
    for i in range(len(a)):
        a[i] = a[i] if inside[i] else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def score_piece(
    piece: Piece,
    outcomes: Outcomes,
    market: MarketRows,
    weighting: WeightRules,
    rules: LedgerRules,
    positions: Positions,
    ring: FloatArray,
    series: FloatArray,
) -> None:
    """Score a piece: fill its rows of `series` (rows, 7).

    Of all arrays, rows are taken: a piece of the bars then has the layout of the whole, and the kernel one signature.

    `market` lacks what the rules do not ask for. `positions` and `ring` (holding, N) are carried from piece to piece.
    """
    is_plain = _is_plain(piece, market, weighting, rules, len(ring))
    # Arrays are taken out of their records once: inside the loop each would cost a count of references a bar.
    signal, keys, mask = piece.signal, piece.keys, (1 << piece.bits) - 1
    held, halted, growth = positions.held, positions.halted, positions.growth
    returns, tradable, funding = market.returns, market.tradable, market.funding
    known, centred_ranks, risk, all_sums = outcomes.known, outcomes.centred_ranks, outcomes.risk, outcomes.sums
    scratch, sums, subset = _new_scratch(len(held)), np.empty(all_sums.shape[1]), np.empty(len(held), dtype=np.float32)
    columns, values, ranks = scratch.columns, scratch.values, scratch.ranks
    for row in range(len(signal)):
        line = signal[row]
        ranks[:] = np.nan
        count = count_finite(line)
        clear = rank_with_keys(line, keys[row], count, piece.bits, columns, values, ranks)
        common, stuck = _count_common(line, known[row], tradable[row], held)
        if is_plain and common == count and stuck == 0 and count >= MIN_PAIRS and growth[0] > 0.0:
            for k in range(len(sums)):
                sums[k] = all_sums[row, k]
            all_common = common >= sums[0]
            theirs = centred_ranks[row] if all_common else _rank_shared(outcomes, row, line, columns, subset, sums)
            sizes = (count * count - count % 2) / 4.0 if clear else _sizes(ranks, 0.5 * (count + 1))
            own = _Usual(line[keys[row, count // 2] & mask], count, sizes, 1.0 / growth[0])
            ic, pearson, gross, turnover, short, payoff = _score_usual(
                line, ranks, own, theirs, risk[row], returns[row], sums, held
            )
            paid = _paid(held, returns[row], funding[row]) if len(funding) else 0.0
            _, net, growth[0] = close_bar(growth[0], gross, turnover, short, 0.0, paid, rules)
            series[row, IC], series[row, PEARSON], series[row, GROSS], series[row, PAYOFF] = ic, pearson, gross, payoff
            series[row, NET], series[row, TURNOVER], series[row, EXPOSURE] = net, turnover, 1.0 if sizes > 1e-9 else 0.0
            halted[:] = 0  # It matters only while an asset is held.
        else:
            _predict(piece, outcomes, scratch, row, common, series[row])
            _set_targets(piece, market, weighting, scratch, ring, row)
            due = (piece.first + row) % rules.rebalance == 0
            settle_row(scratch.targets, market, row, positions, rules, due, scratch.ledger)
            for here, there in _KEPT:
                series[row, here] = scratch.ledger[there]


@njit(cache=True, error_model="numpy", nogil=True)
def _new_scratch(width: int) -> _Scratch:
    columns, ledger = np.empty(width, dtype=np.int64), np.zeros(_FIGURES)
    ranks, values, targets = np.empty(width), np.empty(width), np.empty(width)
    return _Scratch(columns, values, ranks, np.empty(width), np.empty(width), targets, ledger)


@njit(cache=True, error_model="numpy", nogil=True)
def _rank_shared(
    outcomes: Outcomes,
    row: int,
    x: FloatArray,
    columns: NDArray[np.int64],
    centred: NDArray[np.float32],
    sums: FloatArray,
) -> NDArray[np.float32]:
    """Fill and return the centred ranks of forward returns among the assets that `x` has a value for; fill sums."""
    _centre_shared(outcomes.order[row], int(sums[0]), x, outcomes.ranks[row], columns, centred)
    _sum_shared(x, outcomes.forward[row], centred, count_finite(x), sums)
    return centred


@njit(cache=True, error_model="numpy", nogil=True)
def _is_plain(piece: Piece, market: MarketRows, weighting: WeightRules, rules: LedgerRules, holding: int) -> bool:
    """Return whether bars may be scored in one pass: by rank, traded in full at each bar, without groups or impact."""
    by_rank = weighting.kind == RANK and weighting.max_weight >= 1.0 and len(piece.groups) == 0
    unscaled = len(market.volatility) == 0 and len(market.impact) == 0
    return bool(
        by_rank and unscaled and holding == 1 and rules.rebalance == 1 and rules.rate >= 1.0 and rules.band == 0.0
    )


@njit(cache=True, error_model="numpy", nogil=True)
def _set_targets(
    piece: Piece, market: MarketRows, weighting: WeightRules, scratch: _Scratch, ring: FloatArray, row: int
) -> None:
    """Fill the target weights of any bar."""
    line, nothing = piece.signal[row], np.zeros(0)
    group = piece.groups[row] if len(piece.groups) else nothing
    scale = market.volatility[row] if len(market.volatility) else nothing
    target_row(line, scratch.ranks, count_finite(line), weighting, (group, scale, nothing), scratch.targets)
    _hold(scratch.targets, ring, (piece.first + row) % len(ring))


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


@njit(cache=True, error_model="numpy", nogil=True)
def _predict(piece: Piece, outcomes: Outcomes, scratch: _Scratch, row: int, common: int, figures: FloatArray) -> None:
    """Fill rank IC, IC and payoff of any bar: over the `common` assets that have both signal and forward return."""
    figures[IC] = np.nan
    figures[PEARSON] = np.nan
    figures[PAYOFF] = np.nan
    if common < MIN_PAIRS:
        return
    line, ahead, order = piece.signal[row], outcomes.forward[row], outcomes.order[row]
    shared, other = scratch.shared, scratch.other
    ordered(line, piece.keys[row], (1 << piece.bits) - 1, scratch.columns, scratch.values)
    _common(scratch.columns, scratch.values, count_finite(line), ahead)
    shared[:] = np.nan
    rank_row(scratch.values, scratch.columns, common, shared)
    figures[PAYOFF] = _payoff(shared, 0.5 * (common + 1), outcomes.risk[row])
    rerank(order, int(outcomes.sums[row, 0]), outcomes.ranks[row], shared, common, other)
    for i in range(len(line)):
        other[i] = other[i] if shared[i] == shared[i] else np.nan
    figures[IC] = correlation(shared, other, 1e-9)
    figures[PEARSON] = correlation(line, ahead, 0.0)


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _score_usual(
    x: FloatArray,
    ranks: FloatArray,
    own: _Usual,
    centred_ranks: NDArray[np.float32],
    risk: NDArray[np.float32],
    returns: FloatArray,
    sums: FloatArray,
    held: FloatArray,
) -> tuple[float, float, float, float, float, float]:
    """Score the usual bar in one pass: return rank IC, IC, gross return, turnover, what is held short, and the payoff.

    Whatever should be traded can be, positions are by rank and held for a bar, and signal and forward returns stand for
    the same assets. `sums` is as in `Target`.
    """
    pivot, count, sizes, inverse = own.pivot, own.finite, own.sizes, own.inverse
    middle = 0.5 * (count + 1)
    scale = 1.0 / sizes if sizes > 1e-9 else 0.0
    squares = rank_product = payoff = one = two = product = turnover = gross = short = 0.0
    for i in range(len(x)):
        known = x[i] == x[i]
        place = ranks[i] - middle if known else 0.0
        u = x[i] - pivot if known else 0.0
        squares += place * place
        rank_product += place * centred_ranks[i]
        payoff += place * risk[i]
        one += u
        two += u * u
        product += u * returns[i]
        weight = place * scale
        turnover += abs(weight - held[i] * inverse)
        gross += weight * returns[i]
        short += max(-weight, 0.0)
        held[i] = weight * (1.0 + returns[i])
    ic = _ratio(rank_product, squares, sums[1]) if squares > 1e-9 and sums[1] > 1e-9 else np.nan
    xx = two - one * one / count
    dust = 1e-24 * pivot * pivot * count
    xy = product - one * (sums[2] / count)
    pearson = _ratio(xy, xx, sums[3]) if dust < xx < np.inf and sums[3] > 0.0 else np.nan
    return ic, pearson, gross, turnover, short, payoff * scale if scale > 0.0 else np.nan


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _sizes(ranks: FloatArray, middle: float) -> float:
    total = 0.0
    for i in range(len(ranks)):
        total += abs(ranks[i] - middle) if ranks[i] == ranks[i] else 0.0
    return total


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _payoff(ranks: FloatArray, middle: float, risk: NDArray[np.float32]) -> float:
    """Return what weights by these ranks paid; NaN where all are tied."""
    paid = 0.0
    sizes = 0.0
    for i in range(len(ranks)):
        place = ranks[i] - middle if ranks[i] == ranks[i] else 0.0
        paid += place * risk[i]
        sizes += abs(place)
    return paid / sizes if sizes > 1e-9 else np.nan


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
