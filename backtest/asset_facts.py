"""What trading rules read of each asset beside its signal: its beta to the market, and whether it is a liquid one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from backtest.bar_regimes import close_returns, market_return
from backtest.trading_rules import BacktestSpec
from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel

# Both facts are read from this many bars, and unknown while fewer than the least of them are known.
FACT_BARS, FACT_LEAST = 60, 20
# A beta is drawn this share of the way to 1 (Vasicek 1973), and lies between 0 and the largest.
BETA_PRIOR, BETA_MOST = 1.0 / 3.0, 3.0


@dataclass(frozen=True, eq=False)
class AssetFacts:
    """What is known of each asset at the close of a bar, (T, N) each; without rows where the rules do not read it.

    Attributes
    ----------
    beta
        To the mean return of the universe, over the last 60 bars, drawn a third of the way to 1 and kept within 0
        and 3; NaN below 20 returns.
    liquid
        Whether the asset is in the half of the universe that traded most money on average over the last 60 bars.
    """

    beta: FloatArray
    liquid: BoolArray


def asset_facts(panel: Panel, spec: BacktestSpec) -> AssetFacts:
    """Return what `spec` reads of a panel's assets; an `InputError` where liquid ones are asked for without volumes."""
    if spec.liquid_half and not np.any(panel.money > 0):
        raise InputError(
            "liquid_half asks which assets trade most, and these data have no volumes",
            "set liquid_half = false in alphaglow.toml [backtest], or import data with volumes",
        )
    return facts_of(panel, spec)


def facts_of(panel: Panel, spec: BacktestSpec) -> AssetFacts:
    """Return what `asset_facts` does, of data that have volumes somewhere.

    Each row is made of its own 60 bars alone, so that the last bars of a panel give the same bits.
    """
    beta, liquid = np.zeros((0, panel.shape[1])), np.zeros((0, panel.shape[1]), dtype=bool)
    if spec.market_neutral:
        beta = _trailing_betas(close_returns(panel), market_return(panel))
    if spec.liquid_half:
        liquid = liquid_half(panel.money, panel.universe)
    return AssetFacts(beta, liquid)


def liquid_half(money: FloatArray, inside: BoolArray) -> BoolArray:
    """Return (T, N) which assets of the universe are in the upper half by their trailing mean of money traded.

    `money` (T, N) counts whether the asset was in the universe then or not. Of an odd number the middle one is in, and
    so is what equals the least of the half.
    """
    mean = np.where(inside, _trailing_means(money), np.nan)
    # Unknown means are sorted last; where none is known, nothing is at or above the bound.
    middle = np.isfinite(mean).sum(axis=1) // 2
    bound = np.take_along_axis(np.sort(mean, axis=1), middle[:, None], axis=1)
    with np.errstate(invalid="ignore"):
        found: BoolArray = mean >= bound
    return found


@njit(cache=True, error_model="numpy", nogil=True)
def _trailing_means(x: FloatArray) -> FloatArray:
    """Return (T, N) means of the finite ones of the last 60 values; NaN below 20 of them."""
    length, width = x.shape
    out = np.full((length, width), np.nan)
    for t in range(length):
        for i in range(width):
            count, total = 0, 0.0
            for s in range(max(0, t - FACT_BARS + 1), t + 1):
                if abs(x[s, i]) < np.inf:
                    count += 1
                    total += x[s, i]
            if count >= FACT_LEAST:
                out[t, i] = total / count
    return out


@njit(cache=True, error_model="numpy", nogil=True)
def _trailing_betas(returns: FloatArray, market: FloatArray) -> FloatArray:
    """Return (T, N) betas over the last 60 bars to the market (T,); NaN below 20 returns."""
    length, width = returns.shape
    out = np.full((length, width), np.nan)
    for t in range(length):
        for i in range(width):
            count, shared, square = 0, 0.0, 0.0
            for s in range(max(0, t - FACT_BARS + 1), t + 1):
                if returns[s, i] == returns[s, i]:
                    count += 1
                    shared += returns[s, i] * market[s]
                    square += market[s] * market[s]
            if count >= FACT_LEAST:
                own = shared / square if square > 0.0 else 1.0
                out[t, i] = min(max((1.0 - BETA_PRIOR) * own + BETA_PRIOR, 0.0), BETA_MOST)
    return out
