"""From likelihood to exposure: averages, thresholds from percentiles, and how sure those percentiles are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flows.fit_rules import GateRules
from market.panel import BoolArray, FloatArray

# The ramp from shut to open runs from the percentile p of validation likelihood to this multiple of p.
RAMP = 2.0
# Draws of a block bootstrap.
_DRAWS = 500
# Random halves that coverage is the mean of.
_HALVES = 20
# Resolution of the percentiles that are bootstrapped.
_BINS = 400
_HALVINGS = 60
_UNKNOWN = (math.nan, math.nan)


@dataclass(frozen=True)
class Thresholds:
    """Where a gate shuts, in nats, and how sure that is.

    Attributes
    ----------
    threshold, full
        Exposure is 0 below `threshold`, 1 above `full`, linear between: the p-th and the 2p-th percentile of
        calibration likelihood (half of those for a gate of two sides).
    ceiling, ceiling_full
        Exposure is 0 above `ceiling`, 1 below `ceiling_full`; infinite for a gate of one side.
    interval
        The threshold's 90 % interval by a block bootstrap of the calibration bars.
    coverage
        Share shut by thresholds set on one random half of the calibration states and counted on the other, over some
        such halves: near p / 100, since they are exchangeable.
    daily
        Share shut in each block of calibration bars; what the share over any later period may be is drawn from them.
    block
        Bars of such a block.
    curve
        ``linear``: as above. ``target``: exposure is exp(likelihood - `full`), 1 at most, so that a loss whose
        logarithm is judged, with its sign turned, is held to exp(-`full`); at `threshold` it is a half.
    """

    threshold: float
    full: float
    ceiling: float
    ceiling_full: float
    interval: tuple[float, float]
    coverage: float
    daily: tuple[float, ...]
    block: int
    curve: Literal["linear", "target"] = "linear"

    def band(self, bars: int, rng: np.random.Generator) -> tuple[float, float]:
        """Return the 1st and the 99th percentile of the share shut over this many bars, were they like calibration.

        Weeks of blocks are drawn as they stood: hours are not independent, so a nominal 5 % moves.
        """
        count = max(1, math.ceil(bars / self.block))
        drawn = _stretches(len(self.daily), count, min(7, count), _DRAWS, rng)
        shares = np.array(self.daily)[drawn].mean(axis=1)
        return float(np.quantile(shares, 0.01)), float(np.quantile(shares, 0.99))


def smoothed(likelihood: FloatArray, bars: int) -> FloatArray:
    """Return (T, N) the mean of the finite values among the last `bars` of each asset; NaN where the newest is NaN.

    Each value is summed from its own window, so cutting the series short changes none.
    """
    known = np.isfinite(likelihood)
    filled = np.where(known, likelihood, 0.0)
    total, count = np.zeros_like(filled), np.zeros(filled.shape)
    for age in range(min(bars, len(filled))):
        total[age:] += filled[: len(filled) - age]
        count[age:] += known[: len(filled) - age]
    return np.where(known, total / np.maximum(count, 1), np.nan)


def market_wide(likelihood: FloatArray) -> FloatArray:
    """Return (T, N) the mean over the assets that are known at a bar, NaN where one is not."""
    known = np.isfinite(likelihood)
    mean = np.where(known, likelihood, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(known, mean[:, None], np.nan)


def judged(likelihood: FloatArray, rules: GateRules) -> FloatArray:
    """Return (T, N) what thresholds are set on: likelihood over the market, if the rules say so, over the window."""
    wide = market_wide(likelihood) if rules.scope == "market" else likelihood
    return smoothed(wide, rules.averaged)


def ramp(likelihood: FloatArray, thresholds: Thresholds) -> FloatArray:
    """Return exposures in [0, 1] of judged likelihoods; 0 where there is none."""
    if thresholds.curve == "target":
        held = np.exp(np.minimum(likelihood - thresholds.full, 0.0))
        return np.where(np.isfinite(likelihood), held, 0.0)
    out = np.clip((likelihood - thresholds.threshold) / max(thresholds.full - thresholds.threshold, 1e-12), 0.0, 1.0)
    if math.isfinite(thresholds.ceiling):
        above = (thresholds.ceiling - likelihood) / max(thresholds.ceiling - thresholds.ceiling_full, 1e-12)
        out = np.minimum(out, np.clip(above, 0.0, 1.0))
    return np.where(np.isfinite(likelihood), out, 0.0)


def steadied(exposures: FloatArray, band: float) -> FloatArray:
    """Return (T, N) exposures that stay until they would change by more than `band`, or reach 0 or 1."""
    if band <= 0:
        return exposures
    out = exposures.copy()
    for t in range(1, len(out)):
        now = exposures[t]
        moves = (np.abs(now - out[t - 1]) > band) | (now == 0.0) | (now == 1.0)
        out[t] = np.where(moves, now, out[t - 1])
    return out


def is_shut(likelihood: FloatArray, thresholds: Thresholds) -> BoolArray:
    """Return where the gate is shut, among judged likelihoods; False where there is none."""
    with np.errstate(invalid="ignore"):
        return (likelihood < thresholds.threshold) | (likelihood > thresholds.ceiling)


def calibrate(likelihood: FloatArray, rules: GateRules, rng: np.random.Generator, *, block: int = 24) -> Thresholds:
    """Set thresholds on judged likelihoods (T, N) of the calibration rows; `block` is the length of a day, in bars."""
    known = likelihood[np.isfinite(likelihood)]
    coverage = float(np.mean([_coverage(known, rules, rng) for _ in range(_HALVES)]))
    thresholds = thresholds_at(known, rules)
    interval = _threshold_interval(likelihood, _share(known, rules), block, rng)
    shut, there = is_shut(likelihood, thresholds).sum(axis=1), np.isfinite(likelihood).sum(axis=1)
    pieces = np.array_split(np.arange(len(likelihood)), max(1, len(likelihood) // block))
    daily = tuple(float(shut[p].sum() / there[p].sum()) for p in pieces if there[p].sum())
    return replace(thresholds, interval=interval, coverage=coverage, daily=daily, block=block)


def _coverage(known: FloatArray, rules: GateRules, rng: np.random.Generator) -> float:
    order = rng.permutation(len(known))
    return float(is_shut(known[order[1::2]], thresholds_at(known[order[::2]], rules)).mean())


def _share(known: FloatArray, rules: GateRules) -> float:
    """Return the percentile at which the low side is cut."""
    if rules.measure == "drawdown":
        return max(100.0 * float((known < thresholds_at(known, rules).threshold).mean()), 100.0 / len(known))
    return rules.percentile if rules.side == "low" else 0.5 * rules.percentile


def thresholds_at(known: FloatArray, rules: GateRules) -> Thresholds:
    """Return thresholds on judged likelihoods (M,), none of them NaN, without saying how sure they are."""
    if rules.measure == "drawdown":
        full = _full_at(known, rules.exposure)
        return Thresholds(full - math.log(2.0), full, math.inf, math.inf, _UNKNOWN, math.nan, (), 1, "target")
    share = _share(known, rules)
    cuts = np.array([share, min(RAMP * share, 99.0)])
    threshold, full = (float(x) for x in np.percentile(known, cuts))
    ceiling = ceiling_full = math.inf
    if rules.side == "both":
        ceiling, ceiling_full = (float(x) for x in np.percentile(known, 100.0 - cuts))
    return Thresholds(threshold, full, ceiling, ceiling_full, _UNKNOWN, math.nan, (), 1)


def _full_at(known: FloatArray, exposure: float) -> float:
    """Return where exposure has to be full so that its mean is `exposure`, by bisection."""
    low, high = float(known.min()), float(known.max()) - math.log(exposure)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if np.exp(np.minimum(known - middle, 0.0)).mean() > exposure else (low, middle)
    return 0.5 * (low + high)


def _threshold_interval(
    likelihood: FloatArray, share: float, block: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 5th and 95th percentile of the threshold over resampled weeks of blocks (moving-block bootstrap)."""
    known = likelihood[np.isfinite(likelihood)]
    edges = np.quantile(known, np.linspace(0, 1, _BINS + 1))
    pieces = np.array_split(np.arange(len(likelihood)), max(1, len(likelihood) // block))
    counts = np.stack([_counted(likelihood[piece], edges) for piece in pieces])
    drawn = _stretches(len(pieces), len(pieces), min(7, len(pieces)), _DRAWS, rng)
    summed = np.cumsum(counts[drawn].sum(axis=1), axis=1)
    place = np.argmax(summed >= 0.01 * share * summed[:, -1:], axis=1)
    found = edges[place + 1]
    return float(np.quantile(found, 0.05)), float(np.quantile(found, 0.95))


def _counted(values: FloatArray, edges: FloatArray) -> FloatArray:
    known = values[np.isfinite(values)]
    place = np.clip(np.searchsorted(edges, known, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(place, minlength=len(edges) - 1).astype(np.float64)


def _stretches(length: int, count: int, stretch: int, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (draws, count) indices below `length`: stretches of consecutive ones, circular, begun at random."""
    starts = rng.integers(length, size=(draws, math.ceil(count / stretch)))
    rows = (starts[:, :, None] + np.arange(stretch)).reshape(draws, -1) % length
    stretches: NDArray[np.int64] = rows[:, :count]
    return stretches
