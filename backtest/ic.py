"""Information coefficients and quantile returns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from market.panel import FloatArray, Panel
from market.ranking import average_ranks

MIN_PAIRS = 10


def filled_prices(panel: Panel) -> FloatArray:
    """Return (T, N) opens with the last known one carried forward; NaN before the first."""
    prices = panel["open"]
    place = np.where(np.isfinite(prices), np.arange(len(prices))[:, None], -1)
    last = np.maximum.accumulate(place, axis=0)
    return np.where(last >= 0, np.take_along_axis(prices, np.maximum(last, 0), axis=0), np.nan)


def forward_returns(panel: Panel, horizon: int = 1) -> FloatArray:
    """Return (T, N): what a decision at the close of t earns from the open of t+1 to the open of t+1+horizon.

    NaN where either open is missing (nothing is carried forward: an asset that cannot be traded has no return), and for
    the last ``horizon + 1`` bars.
    """
    opens = panel["open"]
    out = np.full(opens.shape, np.nan)
    if len(opens) > horizon + 1:
        with np.errstate(all="ignore"):
            out[: -horizon - 1] = opens[horizon + 1 :] / opens[1:-horizon] - 1.0
    return np.where(np.isfinite(out), out, np.nan)


def correlate_rows(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return (T,) Pearson correlation of each row over its common finite values; NaN where a side is constant."""
    common = np.isfinite(x) & np.isfinite(y)
    count = common.sum(axis=1)
    with np.errstate(all="ignore"):
        sides = []
        for side in (x, y):
            filled = np.where(common, side, 0.0)
            sides.append(np.where(common, filled - (filled.sum(axis=1) / count)[:, None], 0.0))
        xx, yy = ((side * side).sum(axis=1) for side in sides)
        xy = (sides[0] * sides[1]).sum(axis=1)
        result = xy / np.sqrt(xx * yy)
    # Ranks of up to 10^4 assets differ by halves: anything smaller is rounding.
    return np.where((count > 1) & (xx > 1e-9) & (yy > 1e-9), np.clip(result, -1.0, 1.0), np.nan)


def rank_ic(values: FloatArray, forward: FloatArray, *, min_pairs: int = MIN_PAIRS) -> FloatArray:
    """Return (T,) Spearman correlation across assets of signal and forward return (average ranks for ties).

    A bar with fewer than `min_pairs` common finite pairs, or with a constant side, is NaN.
    """
    common = np.isfinite(values) & np.isfinite(forward)
    left = average_ranks(np.where(common, values, np.nan))
    right = average_ranks(np.where(common, forward, np.nan))
    return np.where(common.sum(axis=1) >= min_pairs, correlate_rows(left, right), np.nan)


def ic_by_horizon(values: FloatArray, panel: Panel, horizons: Sequence[int]) -> dict[int, float]:
    """Return the mean rank IC for each horizon in bars; NaN where no bar has one."""
    traded = np.where(panel.universe, values, np.nan)
    means = {}
    for horizon in horizons:
        series = rank_ic(traded, forward_returns(panel, horizon))
        known = series[np.isfinite(series)]
        means[int(horizon)] = float(known.mean()) if len(known) else float("nan")
    return means


def quantile_returns(values: FloatArray, panel: Panel, q: int = 5) -> FloatArray:
    """Return (q,) mean forward return a bar of the assets in each signal quantile, lowest first.

    Assets are put into quantiles by average rank, so tied assets stay together; bars with fewer than q assets are left
    out. A quantile that never holds an asset is NaN.
    """
    forward = forward_returns(panel, 1)
    common = np.isfinite(values) & np.isfinite(forward) & panel.universe
    ranks = average_ranks(np.where(common, values, np.nan))
    count = common.sum(axis=1, keepdims=True)
    common &= count >= q
    with np.errstate(invalid="ignore"):
        place = np.floor((ranks - 0.5) / np.maximum(count, 1) * q)
    means = np.full(q, np.nan)
    for bucket in range(q):
        members = common & (place == bucket)
        size = members.sum(axis=1)
        held = size > 0
        if held.any():
            totals = np.where(members, forward, 0.0).sum(axis=1)[held] / size[held]
            means[bucket] = totals.mean()
    return means


def newey_west_t(series: FloatArray, lags: int | None = None) -> float:
    """Return the t statistic of the mean of a series, robust to autocorrelation (Newey & West 1987, Bartlett weights).

    NaN values are left out. The default number of lags is floor(4 (n / 100)^(2/9)). NaN for fewer than 3 values or no
    variance.
    """
    x = series[np.isfinite(series)]
    n = len(x)
    if n < 3:
        return float("nan")
    if lags is None:
        lags = int(4 * (n / 100.0) ** (2.0 / 9.0))
    gap = x - x.mean()
    variance = float(gap @ gap) / n
    for lag in range(1, min(lags, n - 1) + 1):
        variance += 2.0 * (1.0 - lag / (lags + 1.0)) * float(gap[lag:] @ gap[:-lag]) / n
    if variance <= 0:
        return float("nan")
    return float(x.mean() / np.sqrt(variance / n))
