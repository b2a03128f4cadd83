"""What a signal's values look like, before anything is earned by them: how many there are, and how they differ.

Three checks that a factor's values should pass (document 004: enough variation, reasonable values, low correlation with
the factors that exist), without units: the order of assets has none, so each is measured against the other assets of
the same bar.
"""

from __future__ import annotations

import numpy as np

from backtest.ic import rank_ic
from backtest.result_types import NAN, SignalShape
from market.panel import BoolArray, FloatArray

# Bars that are looked at, evenly spread: the shares that are measured need no more.
SAMPLE = 250
# Median absolute distance of a normal, in deviations.
_USUAL = 0.6745


def sample_rows(part: slice, most: int = SAMPLE) -> slice:
    """Return at most `most` bars of a segment, evenly spread, as a slice with a step."""
    step = max(1, -(-(part.stop - part.start) // most))
    return slice(part.start, part.stop, step)


def shape_of(values: FloatArray, universe: BoolArray) -> SignalShape:
    """Return the shape of a signal (T, N) within its universe (T, N)."""
    known = np.isfinite(values) & universe
    traded, counts = universe.sum(axis=1), known.sum(axis=1)
    some = counts > 0
    if not some.any():
        return SignalShape(bars=0.0 if traded.any() else NAN)
    inside = np.where(known, values, np.nan)[some]
    common, counts = _commonest(inside), counts[some]
    several = counts > 1
    return SignalShape(
        bars=float(some.sum() / (traded > 0).sum()),
        assets=float((counts / traded[some]).mean()),
        tied=float((common == counts)[several].mean()) if several.any() else NAN,
        spread=float(1.0 - (common / counts)[several].mean()) if several.any() else NAN,
        size=_size(inside),
    )


def _commonest(values: FloatArray) -> FloatArray:
    """Return (T,) how often the commonest value of each row occurs; differences of rounding are none."""
    # NaN is sorted to the end, and equals nothing.
    rising = np.sort(values, axis=1)
    with np.errstate(invalid="ignore"):
        same = np.diff(rising, axis=1) <= 1e-12 * np.abs(rising[:, 1:])
    run: FloatArray = np.cumsum(same, axis=1, dtype=np.float64)
    before: FloatArray = np.maximum.accumulate(np.where(same, 0.0, run), axis=1)
    longest: FloatArray = np.max(run - before, axis=1, initial=0.0)
    return longest + 1.0


def _size(values: FloatArray) -> float:
    gaps = np.abs(values - np.nanmedian(values, axis=1, keepdims=True))
    usual = np.nanmedian(gaps, axis=1, keepdims=True) / _USUAL
    with np.errstate(all="ignore"):
        sizes = np.where(usual > 0, gaps / usual, np.nan)
    found = sizes[np.isfinite(sizes)]
    return float(np.quantile(found, 0.99)) if len(found) else NAN


def value_correlation(one: FloatArray, other: FloatArray) -> float:
    """Return the mean over bars of the rank correlation of two signals' values (T, N); NaN where no bar has one.

    Up to ten assets, which are too few to be ranked against one another, each asset is ranked over time instead.
    """
    few = one.shape[1] <= 10
    series = rank_ic(one.T, other.T) if few else rank_ic(one, other)
    known = series[np.isfinite(series)]
    return float(known.mean()) if len(known) else NAN
