"""Value at risk of one portfolio from its own past: filtered historical simulation with a fitted tail.

A portfolio's returns are divided by their own volatility as it was known before each bar; what is left over is drawn
from as it came (Barone-Adesi, Giannopoulos & Vosper 1999), its worst tenth as a generalised Pareto law (McNeil & Frey
2000). It is this portfolio's own losses that say how large the next may be: a reversal portfolio loses when the market
is calm.

Volatility is a mixture of averages that forget over 1 to 256 bars, of the portfolio's own squared returns and of the
market's activity, times a factor for the time of day: its memory is long, as that of a heterogeneous autoregression
(Corsi 2009), which a GARCH(1, 1) is not. Everything said of a bar comes from returns before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.signal import lfilter

from market.errors import InputError
from market.panel import BoolArray, FloatArray
from market.pareto import fit_pareto

LEAST = 250
# Residuals that a forecast draws on, at most, and the share of them that is a tail.
_MOST, _TAIL = 1_500, 0.10
# Bars after which an average has forgotten half.
_HALF_LIVES = (1.0, 4.0, 16.0, 64.0, 256.0)
# Degrees of freedom of the likelihood that the mixture is fitted by.
_FREEDOM = 5.0
# A return counts in the averages as no more than this many deviations: one crash is not a regime.
_CUT = 6.0
_SLOT_PRIOR = 50.0
_GRID = 2_000


@dataclass(frozen=True, eq=False)
class History:
    """A portfolio's past.

    Attributes
    ----------
    returns
        (T,) at each bar; NaN where it had no position.
    activity
        (T,) how much the market moved at each bar, such as the mean squared return of its assets; 0 where unknown.
    slots
        (T,) time of day of each bar, from 0; all 0 where there is one bar a day.
    """

    returns: FloatArray
    activity: FloatArray
    slots: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Of some bars: volatility (R,), and equally likely returns in units of it (R, S), from worst to best."""

    volatility: FloatArray
    shocks: FloatArray

    def scenarios(self) -> FloatArray:
        """Return (R, S) equally likely returns of each bar."""
        return self.volatility[:, None] * self.shocks


def forecast_risk(past: History, rows: NDArray[np.int64], every: int) -> Forecasts:
    """Forecast a portfolio's return at `rows` (R,), increasing, each from what came before it.

    Volatility and tail are fitted again after `every` bars.

    Raises
    ------
    InputError
        For fewer than 250 returns before the first of `rows`.
    """
    known = np.isfinite(past.returns)
    before = int(known[: rows[0]].sum())
    if before < LEAST:
        raise InputError(f"only {before} returns of the portfolio before the first forecast", f"{LEAST} are the least")
    volatility, shocks = np.empty(len(rows)), np.empty((len(rows), _GRID))
    start = None
    for chunk in np.split(np.arange(len(rows)), np.flatnonzero(np.diff((rows - rows[0]) // every)) + 1):
        first, last = int(rows[chunk[0]]), int(rows[chunk[-1]])
        found, start = _volatility(past, known, first, last + 1, start)
        residuals = (past.returns[:first] / found[:first])[known[:first]][-_MOST:]
        volatility[chunk] = found[rows[chunk]]
        shocks[chunk] = with_tail(residuals)
    return Forecasts(volatility, shocks)


def _volatility(
    past: History, known: BoolArray, first: int, stop: int, start: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return (stop,) volatility known before each bar, fitted on bars before `first`, and the point of the fit."""
    returns = np.where(known, past.returns, 0.0)[:stop]
    fitted = known[:first]
    by_slot = _by_slot(returns[:first], past.slots[:first], fitted)[past.slots[:stop]]
    plain = returns / by_slot
    mean = float(np.mean(plain[:first][fitted] ** 2))
    if not mean > 0:
        raise InputError("the portfolio's returns are all 0", "choose another portfolio")
    own = np.minimum(plain**2, _CUT**2 * mean)
    sources = [own, np.where(plain < 0, own, 0.0)] + (
        [past.activity[:stop] / by_slot**2] if (past.activity[:first] > 0).any() else []
    )
    averages = np.stack([_average(s, half, first) for s in sources for half in _HALF_LIVES])
    # Each has the portfolio's mean square, so that their mixture has it, too.
    level = float(own[:first][fitted].mean())
    averages *= level / averages[:, :first][:, fitted].mean(axis=1, keepdims=True)
    squares, seen = plain[:first][fitted] ** 2, averages[:, :first][:, fitted]

    def loss(point: FloatArray) -> tuple[float, FloatArray]:
        weights = _softmax(point)
        variance = weights @ seen + 0.0
        ratio = squares / ((_FREEDOM - 2) * variance)
        value = 0.5 * np.log(variance) + 0.5 * (_FREEDOM + 1) * np.log1p(ratio)
        slope = 0.5 / variance * (1.0 - (_FREEDOM + 1) * ratio / (1.0 + ratio))
        by_weight = seen @ slope / len(squares)
        return float(value.mean()), weights * (by_weight - weights @ by_weight)

    begin = np.zeros(len(averages)) if start is None else start
    point = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=[(-8.0, 8.0)] * len(begin)).x
    return np.sqrt(_softmax(point) @ averages) * by_slot, point


def with_tail(residuals: FloatArray) -> FloatArray:
    """Return equally likely residuals (S,) from worst to best: those that came, their worst tenth by a fitted tail."""
    chances = (np.arange(_GRID) + 0.5) / _GRID
    ordered: FloatArray = np.quantile(residuals, chances)
    edge = float(np.quantile(residuals, _TAIL))
    over = edge - residuals[residuals < edge]
    if len(over) < 2:
        return ordered
    scale, shape = fit_pareto(over)
    tail = chances < _TAIL
    ordered[tail] = edge - scale * ((chances[tail] / _TAIL) ** -shape - 1.0) / shape
    return ordered


def once_in(returns: FloatArray, bars: float, *, long_only: bool) -> float:
    """Return the loss of a bar, above 0, that is exceeded once in this many bars, by a tail fitted on returns (T,).

    The tail is the worst hundredth of the returns, or their worst 50. What is `long_only` cannot lose more than all:
    its tail is fitted on logarithms.
    """
    if long_only:
        return float(-np.expm1(-once_in(np.log1p(np.maximum(returns, -1.0 + 1e-9)), bars, long_only=False)))
    share = min(max(0.01, 50.0 / len(returns)), 0.25)
    edge = float(np.quantile(-returns, 1.0 - share))
    over = -returns[-returns > edge] - edge
    if len(over) < 2 or bars * share <= 1.0:
        return float(np.quantile(-returns, max(0.0, 1.0 - 1.0 / bars)))
    scale, shape = fit_pareto(over)
    return float(edge + scale * ((bars * share) ** shape - 1.0) / shape)


def _average(values: FloatArray, half_life: float, first: int) -> FloatArray:
    """Return (T,) averages, each of values before it, that forget half in `half_life` bars."""
    keep = 0.5 ** (1.0 / half_life)
    begin = float(values[:first].mean())
    before = np.concatenate([[begin], values[:-1]])
    found: FloatArray = lfilter([1.0 - keep], [1.0, -keep], before, zi=[keep * begin])[0]
    # Nothing is ever quite calm: a variance of 0 would make any return infinitely unlikely.
    return np.maximum(found, 1e-4 * begin)


def _by_slot(returns: FloatArray, slots: NDArray[np.int64], known: BoolArray) -> FloatArray:
    """Return volatility by time of day over the mean one, drawn towards 1 where a slot has few returns."""
    count = np.bincount(slots[known], minlength=int(slots.max()) + 1)
    size = np.bincount(slots[known], np.abs(returns[known]), minlength=len(count))
    mean = size.sum() / max(count.sum(), 1)
    if not mean > 0:
        return np.ones(len(count))
    drawn: FloatArray = (size + _SLOT_PRIOR * mean) / (count + _SLOT_PRIOR) / mean
    return drawn


def _softmax(point: FloatArray) -> FloatArray:
    raised = np.exp(point - point.max())
    return np.asarray(raised / raised.sum())
