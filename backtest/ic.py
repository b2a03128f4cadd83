"""Information coefficients, quantile returns, and t statistics that allow for autocorrelation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.result_types import HorizonIC
from backtest.trading_rules import Fill
from backtest.weights import quantile_of
from market.panel import FloatArray, Panel
from market.rank_correlation import rank_correlation
from market.ranking import Ranked, rank_panel

MIN_PAIRS = 10
# Fewer bars than this of one asset say nothing about its time series.
_LEAST_BARS = 30


def forward_returns(panel: Panel, horizon: int = 1, fill: Fill = "open") -> FloatArray:
    """Return (T, N): what a decision at the close of t earns from the fill at t+1 to the price at t+1+horizon.

    NaN where either price is missing (nothing is carried forward: an asset that cannot be traded has no return), and
    for the last ``horizon + 1`` bars.
    """
    prices = panel[fill]
    out = np.full(prices.shape, np.nan)
    if len(prices) > horizon + 1:
        with np.errstate(all="ignore"):
            out[: -horizon - 1] = prices[horizon + 1 :] / prices[1:-horizon] - 1.0
    return np.where(np.isfinite(out), out, np.nan)


def centred_rows(x: FloatArray) -> FloatArray:
    """Return (T, N) values less their mean over the bar; 0 where missing."""
    known = np.isfinite(x)
    filled = np.where(known, x, 0.0)
    means = filled.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, x - means, 0.0)


def correlate_rows(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return (T,) Pearson correlation of each row over its common finite values; NaN where a side is constant."""
    found: FloatArray = _correlations(np.ascontiguousarray(x, np.float64), np.ascontiguousarray(y, np.float64))
    return found


@njit(cache=True, error_model="numpy", nogil=True)
def _correlations(x: FloatArray, y: FloatArray) -> FloatArray:
    out = np.empty(len(x))
    for t in range(len(x)):
        out[t] = correlation(x[t], y[t], 0.0)
    return out


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def correlation(x: FloatArray, y: FloatArray, least: float) -> float:
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


def rank_ic(values: FloatArray, forward: FloatArray, *, min_pairs: int = MIN_PAIRS) -> FloatArray:
    """Return (T,) Spearman correlation across assets of signal and forward return (average ranks for ties).

    A bar with fewer than `min_pairs` common finite pairs, or with a constant side, is NaN.
    """
    return rank_ic_of(rank_panel(values), rank_panel(forward), min_pairs=min_pairs)


def rank_ic_of(mine: Ranked, theirs: Ranked, *, min_pairs: int = MIN_PAIRS) -> FloatArray:
    """Return `rank_ic` of what is in order already."""
    out: FloatArray = _rank_ics(
        mine.order, mine.ranks, mine.counts, theirs.order, theirs.ranks, theirs.counts, min_pairs
    )
    return out


@njit(cache=True, error_model="numpy", nogil=True)
def _rank_ics(
    order: NDArray[np.int32],
    ranks: FloatArray,
    counts: NDArray[np.int64],
    their_order: NDArray[np.int32],
    their_ranks: FloatArray,
    their_counts: NDArray[np.int64],
    min_pairs: int,
) -> FloatArray:
    out = np.full(len(ranks), np.nan)
    width = ranks.shape[1]
    mine = np.zeros(width)
    others = np.zeros(width)
    for t in range(len(ranks)):
        common = _count_common(ranks[t], their_ranks[t])
        if common < min_pairs or common < 2:
            continue
        if common == counts[t] and common == their_counts[t]:
            out[t] = _shared_ratio(ranks[t], their_ranks[t], 0.5 * (common + 1))
            continue
        rerank(order[t], counts[t], ranks[t], their_ranks[t], common, mine)
        rerank(their_order[t], their_counts[t], their_ranks[t], ranks[t], common, others)
        out[t] = _centred_ratio(mine, others)
    return out


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _count_common(x: FloatArray, y: FloatArray) -> int:
    count = 0
    for i in range(len(x)):
        count += 1 if x[i] == x[i] and y[i] == y[i] else 0
    return count


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _shared_ratio(x: FloatArray, y: FloatArray, middle: float) -> float:
    """Correlate ranks of the same columns, each with this mean."""
    xx = yy = xy = 0.0
    for i in range(len(x)):
        a = x[i] - middle if x[i] == x[i] else 0.0
        b = y[i] - middle if y[i] == y[i] else 0.0
        xx += a * a
        yy += b * b
        xy += a * b
    return float(min(max(xy / (np.sqrt(xx) * np.sqrt(yy)), -1.0), 1.0)) if xx > 1e-9 and yy > 1e-9 else np.nan


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _centred_ratio(x: FloatArray, y: FloatArray) -> float:
    xx = yy = xy = 0.0
    for i in range(len(x)):
        xx += x[i] * x[i]
        yy += y[i] * y[i]
        xy += x[i] * y[i]
    return float(min(max(xy / (np.sqrt(xx) * np.sqrt(yy)), -1.0), 1.0)) if xx > 1e-9 and yy > 1e-9 else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def rerank(
    order: NDArray[np.int32], count: int, ranks: FloatArray, other: FloatArray, common: int, out: FloatArray
) -> None:
    """Rank a row again among the `common` columns that `other` has too, less the mean rank; 0 elsewhere."""
    middle = 0.5 * (common + 1)
    if common == count:
        for i in range(len(ranks)):
            out[i] = ranks[i] - middle if ranks[i] == ranks[i] else 0.0
        return
    out[:] = 0.0
    kept = 0
    start = 0
    first = -1.0
    # Columns of one rank are tied: they share the mean of the places that they take.
    for place in range(count + 1):
        column = order[place] if place < count else -1
        if column >= 0 and other[column] != other[column]:
            continue
        rank = ranks[column] if column >= 0 else -2.0
        if rank != first:
            share = 0.5 * (start + kept + 1) - middle
            back = place - 1
            left = kept - start
            while left > 0:
                if other[order[back]] == other[order[back]]:
                    out[order[back]] = share
                    left -= 1
                back -= 1
            start = kept
            first = rank
        kept += 1


def quantile_series(ranked: Ranked, forward: FloatArray, q: int) -> FloatArray:
    """Return (T, q) mean forward return of the assets in each signal quantile, lowest first; NaN where none is.

    Assets are put into quantiles by average rank among those with a forward return, so tied assets stay together; bars
    with fewer than q assets are left out.
    """
    out: FloatArray = _quantiles(ranked.order, ranked.ranks, ranked.counts, np.ascontiguousarray(forward), q)
    return out


@njit(cache=True, error_model="numpy", nogil=True)
def _quantiles(
    order: NDArray[np.int32], ranks: FloatArray, counts: NDArray[np.int64], forward: FloatArray, q: int
) -> FloatArray:
    out = np.full((len(ranks), q), np.nan)
    width = ranks.shape[1]
    mine = np.zeros(width)
    for t in range(len(ranks)):
        common = 0
        for i in range(width):
            common += 1 if ranks[t, i] == ranks[t, i] and forward[t, i] == forward[t, i] else 0
        if common < q:
            continue
        rerank(order[t], counts[t], ranks[t], forward[t], common, mine)
        middle = 0.5 * (common + 1)
        sums = np.zeros(q)
        sizes = np.zeros(q)
        for i in range(width):
            if ranks[t, i] == ranks[t, i] and forward[t, i] == forward[t, i]:
                place = quantile_of(mine[i] + middle, common, q)
                sums[place] += forward[t, i]
                sizes[place] += 1.0
        for k in range(q):
            out[t, k] = sums[k] / sizes[k] if sizes[k] > 0 else np.nan
    return out


def monotonicity(means: FloatArray) -> float:
    """Return the rank correlation of quantile number and mean return: 1 rises all the way; NaN below 3 quantiles."""
    known = np.isfinite(means)
    if known.sum() < 3 or np.ptp(means[known]) == 0:
        return float("nan")
    return rank_correlation(np.flatnonzero(known), means[known])


def newey_west_t(series: FloatArray, lags: int | None = None) -> float:
    """Return the t statistic of the mean of a series, robust to autocorrelation (Newey & West 1987, Bartlett weights).

    NaN values are left out. The default number of lags is floor(4 (n / 100)^(2/9)). NaN for fewer than 3 values or no
    variance.
    """
    x = series[np.isfinite(series)]
    n = len(x)
    if n < 3:
        return float("nan")
    variance = long_run_variance(x - x.mean(), default_lags(n) if lags is None else lags)
    if variance <= 0:
        return float("nan")
    return float(x.mean() / np.sqrt(variance / n))


def default_lags(n: int) -> int:
    """Return the usual number of lags for n values, floor(4 (n / 100)^(2/9)) (Newey & West 1994)."""
    return int(4 * (n / 100.0) ** (2.0 / 9.0))


def long_run_variance(gap: FloatArray, lags: int) -> float:
    """Return the Bartlett-weighted long-run variance of a series about its mean."""
    n = len(gap)
    variance = float(gap @ gap) / n
    for lag in range(1, min(lags, n - 1) + 1):
        variance += 2.0 * (1.0 - lag / (lags + 1.0)) * float(gap[lag:] @ gap[:-lag]) / n
    return variance


def horizon_ic(series: FloatArray, horizon: int) -> HorizonIC:
    """Summarise a series of rank ICs against returns over `horizon` bars (Hansen & Hodrick 1980 name the problem)."""
    known = series[np.isfinite(series)]
    mean = float(known.mean()) if len(known) else float("nan")
    # Bartlett weights fade: twice the overlap keeps most of what it adds.
    lags = max(default_lags(max(len(known), 1)), 2 * (horizon - 1))
    return HorizonIC(horizon, mean, newey_west_t(series, lags))


@dataclass(frozen=True)
class PooledIC:
    """Rank correlations over time of each asset's signal with its return, and what they say together.

    Attributes
    ----------
    by_asset
        (N,) Spearman correlation over time; NaN below 30 common bars.
    mean
        Their mean.
    tstat
        Of the mean over time of the assets' mean product of standardised ranks, with a panel HAC error: robust to
        autocorrelation and to assets that move together (Driscoll & Kraay 1998).
    """

    by_asset: FloatArray
    mean: float
    tstat: float


def pooled_ic(values: FloatArray, forward: FloatArray) -> PooledIC:
    """Return the time-series IC of each asset, and pooled; for panels too small for a cross-section."""
    common = np.isfinite(values) & np.isfinite(forward)
    scores = []
    for side in (values, forward):
        ranks = rank_panel(np.where(common, side, np.nan).T).ranks.T
        with np.errstate(all="ignore"):
            count = common.sum(axis=0)
            gap = np.where(common, ranks - 0.5 * (count + 1), 0.0)
            spread = np.sqrt((gap**2).sum(axis=0) / count)
            scores.append(np.where(spread > 0, gap / spread, np.nan))
    product = np.where(common & (common.sum(axis=0) >= _LEAST_BARS), scores[0] * scores[1], np.nan)
    known = np.isfinite(product)
    with np.errstate(all="ignore"):
        by_asset = np.where(known.any(axis=0), np.nansum(product, axis=0) / known.sum(axis=0), np.nan)
        together = np.where(known.any(axis=1), np.nansum(product, axis=1) / known.sum(axis=1), np.nan)
    finite = by_asset[np.isfinite(by_asset)]
    mean = float(finite.mean()) if len(finite) else float("nan")
    return PooledIC(by_asset, mean, newey_west_t(together))
