"""What a factor pays before costs: rank weights on returns that the market does not explain, in units of risk.

Of the statistics that were tried, the mean of this series alone keeps its size where returns are skewed and volatility
clusters (see docs/evidence.md): rank correlations reward assets with low medians and ordinary means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.bar_regimes import close_returns, market_return
from backtest.ic import centred_rows
from backtest.trading_rules import STYLES
from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel
from market.ranking import average_ranks

# Fewer assets than this with signal and return are no cross-section.
MIN_ASSETS = 10
# Half-life of trailing variances, in bars: about a month of days, a week of hours.
_SHORTEST, _LONGEST = 20.0, 168.0
_LEAST_RETURNS = 20
# A beta is estimated as if this share of the evidence said 1 (Vasicek 1973).
_PRIOR = 1.0 / 3.0
_LARGEST_BETA = 3.0


def half_life(panel: Panel) -> float:
    """Return the half-life, in bars, of the trailing variances of a panel: a month, within bounds."""
    return float(np.clip(panel.bars_per_year / 12.0, _SHORTEST, _LONGEST))


@njit(cache=True, error_model="numpy", nogil=True)
def _trailing(
    returns: FloatArray, market: FloatArray, decay: float, prior: float, state: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return (T, N) trailing deviation, NaN below 20 returns, and beta; both from bars up to each.

    `state` (5, N) is what the bars before have left, zeros before the first; it is changed in place.
    """
    length, width = returns.shape
    deviation, beta = np.full((length, width), np.nan), np.ones((length, width))
    square, shared, theirs, count, weight = state[0], state[1], state[2], state[3], state[4]
    for t in range(length):
        for i in range(width):
            move = returns[t, i]
            if move == move:
                count[i] += 1
                weight[i] = decay * weight[i] + 1.0
                square[i] = decay * square[i] + move * move
                shared[i] = decay * shared[i] + move * market[t]
                theirs[i] = decay * theirs[i] + market[t] * market[t]
            if count[i] >= _LEAST_RETURNS and square[i] > 0.0:
                deviation[t, i] = np.sqrt(square[i] / weight[i])
                own = shared[i] / theirs[i] if theirs[i] > 0.0 else 1.0
                beta[t, i] = min(max((1.0 - prior) * own + prior, 0.0), _LARGEST_BETA)
    return deviation, beta


def trailing_risk(panel: Panel) -> tuple[FloatArray, FloatArray]:
    """Return (T, N) trailing deviation of an asset's returns and its beta to the market, known at each bar's close.

    The deviation is NaN below 20 returns. Betas are drawn a third of the way to 1.
    """
    return next_risk(panel, half_life(panel), no_risk(panel.shape[1]), 0)


def no_risk(assets: int) -> FloatArray:
    """Return what `next_risk` carries into the first bar."""
    return np.zeros((5, assets))


def next_risk(panel: Panel, half: float, state: FloatArray, first: int) -> tuple[FloatArray, FloatArray]:
    """Return `trailing_risk` of the rows from `first` on, from what the rows before have left in `state`.

    `half` is the half-life of the whole panel, and `panel` has at least the bar before `first`, where there is one.
    """
    returns, market = close_returns(panel)[first:], market_return(panel)[first:]
    found: tuple[FloatArray, FloatArray] = _trailing(returns, market, 0.5 ** (1.0 / half), _PRIOR, state)
    return found


def market_part(panel: Panel, forward: FloatArray, beta: FloatArray) -> tuple[BoolArray, FloatArray]:
    """Return (T, N) which forward returns are known within the universe, and what their mean explains by beta."""
    known: BoolArray = np.isfinite(forward) & panel.universe
    mean = np.where(known, forward, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return known, beta * mean[:, None]


def risk_returns(
    panel: Panel,
    forward: FloatArray,
    styles: Sequence[str] = (),
    trailing: tuple[FloatArray, FloatArray] | None = None,
) -> NDArray[np.float32]:
    """Return (T, N) forward returns less what the market explains, over trailing deviation; 0 where unknown.

    The market is the mean forward return of the universe, times each asset's trailing beta. Deviation and beta are
    known at the decision; `trailing` is both, where they are at hand. With `styles` (see `STYLES`) each bar's returns
    are also made residual to the ranks of those.

    Raises
    ------
    InputError
        For a style that does not exist.
    """
    deviation, beta = trailing_risk(panel) if trailing is None else trailing
    known, explained = market_part(panel, forward, beta)
    with np.errstate(all="ignore"):
        scaled = (forward - explained) / deviation
    scaled = np.where(known & np.isfinite(scaled), scaled, np.nan)
    if styles:
        scaled = _residual(scaled, [_style(panel, name, deviation) for name in styles])
    risk: NDArray[np.float32] = np.nan_to_num(scaled).astype(np.float32)
    return risk


def _style(panel: Panel, name: str, deviation: FloatArray) -> FloatArray:
    """Return (T, N) a style that an asset has at each decision, from bars up to it."""
    bars = int(half_life(panel))
    if name == "volatility":
        return deviation
    if name == "momentum":
        close, past = panel["close"], np.full(panel.shape, np.nan)
        with np.errstate(all="ignore"):
            past[bars:] = close[bars:] / close[:-bars] - 1.0
        return past
    if name not in STYLES:
        raise InputError(f"no such style: {name}", f"there are {', '.join(STYLES)}")
    money = _trailing_mean(panel.money, bars)
    if name == "size":
        return money
    with np.errstate(all="ignore"):
        # Amihud 2002: how far money moves the price.
        return _trailing_mean(np.abs(close_returns(panel)) / panel.money, bars)


def _trailing_mean(x: FloatArray, bars: int) -> FloatArray:
    known = np.isfinite(x)
    total = np.vstack([np.zeros((1, x.shape[1])), np.cumsum(np.where(known, x, 0.0), axis=0)])
    count = np.vstack([np.zeros((1, x.shape[1])), np.cumsum(known, axis=0)])
    ends = np.arange(1, len(x) + 1)
    starts = np.maximum(ends - bars, 0)
    with np.errstate(all="ignore"):
        mean: FloatArray = (total[ends] - total[starts]) / (count[ends] - count[starts])
    return mean


def _residual(scaled: FloatArray, styles: Sequence[FloatArray]) -> FloatArray:
    """Return each bar's values less their least-squares fit on the centred ranks of styles."""
    out = np.full(scaled.shape, np.nan)
    ranks = np.stack([average_ranks(np.where(np.isfinite(scaled), style, np.nan)) for style in styles])
    for t in range(len(scaled)):
        known = np.isfinite(scaled[t]) & np.isfinite(ranks[:, t]).all(axis=0)
        if known.sum() < MIN_ASSETS + len(styles):
            continue
        design = np.vstack([np.ones(known.sum()), ranks[:, t, known]]).T
        fit, *_ = np.linalg.lstsq(design, scaled[t, known], rcond=None)
        out[t, known] = scaled[t, known] - design @ fit
    return out


def rank_payoffs(
    signal: FloatArray, forward: FloatArray, risk: NDArray[np.float32], ranks: FloatArray | None = None
) -> FloatArray:
    """Return (T,) what rank weights of a signal (T, N) paid per bar, in deviations of an asset's return.

    Weights are ranks less their mean, over the sum of their sizes, among assets with a signal and a forward return; NaN
    below `MIN_ASSETS` of those, or where all are tied. `risk` is as of `risk_returns`. `ranks` (T, N) are those of the
    signal, where they are known: bars on which all of it has a forward return are not ranked again.
    """
    if ranks is None:
        ranks = average_ranks(np.where(np.isfinite(forward), signal, np.nan))
    else:
        again = (np.isfinite(signal) & ~np.isfinite(forward)).any(axis=1)
        ranks = ranks.copy() if again.any() else ranks
        ranks[again] = average_ranks(np.where(np.isfinite(forward[again]), signal[again], np.nan))
    count, centred = np.isfinite(ranks).sum(axis=1), centred_rows(ranks)
    sizes = np.abs(centred).sum(axis=1)
    with np.errstate(all="ignore"):
        paid = (centred * risk).sum(axis=1) / sizes
    found: FloatArray = np.where((count >= MIN_ASSETS) & (sizes > 1e-9), paid, np.nan)
    return found
