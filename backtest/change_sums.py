"""Whether what was admitted still pays: cumulative sums of stated false alarms, on the bars that came since.

Page's (1954) cumulative sum adds up how much more likely each new payoff is where the mean has fallen than where it is
what it was, and begins again where the sum would be negative. It notices a fall however long the good time before it
was, which a test of the mean of all new bars does not. Where payoffs are independent and their distribution is known,
no other rule with as few false alarms notices it sooner in the worst case (Lorden 1971; Moustakides 1986).

The threshold is the one at which a factor whose mean has *not* fallen below the bound is called by mistake once in
a stated number of years. In the limit of many bars with a small mean each, that takes (2 / d²) (e^h - h - 1) bars,
where d is the mean in deviations of a bar and h the threshold (Siegmund 1985, ch. II.6, without overshoot, which only
makes it longer). Autocorrelation makes the sums vary more than independent payoffs would: they are divided by the
inflation of `backtest.mean_test`. Payoffs are divided by a deviation that was known before each of them, so that a
wild month counts no more than a calm one. No assumption on the mean before the bars is made but the bound itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtri

from backtest.mean_test import LEAST_PAYOFFS, inflation, mean_test
from backtest.shrunk_sharpe import LEAST_FACTORS, Ratio, shrink
from market.panel import FloatArray

# Bars over which half of what is known of a deviation is forgotten.
_HALF_LIFE = 60
# A loss of more deviations counts as one of this size: a crash is one bar, and no proof that the mean has fallen. That
# makes alarms fewer and never more.
_LARGEST_LOSS = 4.0
# The least that a fading mean of squares may be, as a share of the mean of all so far.
_LEAST_SHARE = 1.0 / 16.0
# Payoffs before which no deviation is known.
_WARM_UP = 20
# A bound below this Sharpe ratio a year cannot be watched within a lifetime.
LEAST_BOUND = 0.25
NAN = float("nan")


@dataclass(frozen=True)
class Band:
    """What a factor was admitted with, in deviations of a bar: its mean, and the interval that its true one lies in.

    Attributes
    ----------
    mean, low, high
        Drawn towards those of all factors that were tried (see `backtest.shrunk_sharpe`), with 90 % between the last
        two. Where too few were tried, `low` allows for the best of them having been taken, and `mean` is plain.
    inflated
        By how much autocorrelation raises the variance of a mean; at least 1.
    bars
        Payoffs that it rests on.
    """

    mean: float
    low: float
    high: float
    inflated: float = 1.0
    bars: int = 0


@dataclass(frozen=True)
class ChangeSum:
    """A cumulative sum over new bars, against one bound.

    Attributes
    ----------
    bound
        The mean, in deviations of a bar, that a factor is given credit for. NaN: there is nothing to watch.
    value, threshold
        The sum at the newest bar, and where it alarms.
    alarmed
        Whether it has alarmed, and has not been back at zero since.
    at, since
        Rows, counted from the first new bar, of the alarm that stands and of the bar after the sum was zero last before
        it: about when the fall began. -1: none.
    first
        Row of the first alarm of all, whether or not it still stands; -1: none.
    """

    bound: float
    value: float = NAN
    threshold: float = NAN
    alarmed: bool = False
    at: int = -1
    since: int = -1
    first: int = -1


NOT_WATCHED = ChangeSum(NAN)


def in_deviations(series: FloatArray) -> FloatArray:
    """Return payoffs (T,) in deviations that were known before them; NaN in the first ones, and where they are NaN.

    The deviation is the root of a fading mean of squares of the payoffs up to the last but one: a decision is paid two
    bars later, so the one before it is not known yet when it is made.
    """
    known = np.flatnonzero(np.isfinite(series))
    found = np.full(len(series), NAN)
    if len(known) <= _WARM_UP + 2:
        return found
    fade = [1.0, -(0.5 ** (1.0 / _HALF_LIFE))]
    squares = series[known] ** 2
    fading = lfilter([1.0], fade, squares) / lfilter([1.0], fade, np.ones(len(known)))
    whole = np.cumsum(squares) / np.arange(1, len(known) + 1)
    # After a time without positions the fading mean is next to nothing, and what comes would count a hundredfold.
    scale = np.sqrt(np.maximum(fading, _LEAST_SHARE * whole)[_WARM_UP - 1 : -2])
    rows = known[_WARM_UP + 1 :]
    moving = scale > 0.0
    found[rows[moving]] = series[rows[moving]] / scale[moving]
    return found


def admission_band(
    before: FloatArray, others: FloatArray, errors: FloatArray, weights: FloatArray, *, trials: int
) -> Band:
    """Return the band of a factor from its payoffs in deviations (T,) on the bars that it was admitted on.

    `others` (N,) and `errors` (N,) are the ratios a bar of all factors that were tried, and `weights` (N,) count clones
    (see `backtest.shrunk_sharpe.shrink`); `trials` is among how many it was the best, where these are too few.
    """
    known = before[np.isfinite(before)]
    if len(known) < LEAST_PAYOFFS:
        return Band(NAN, NAN, NAN, 1.0, len(known))
    spread = float(known.std())
    inflated = inflation(known - known.mean()) if spread > 0 else 1.0
    tested = mean_test(known)
    own = Ratio(tested.mean, tested.error)
    drawn = shrink(own, others, errors, weights)
    if drawn.factors >= LEAST_FACTORS and math.isfinite(drawn.mean):
        return Band(drawn.mean, drawn.low, drawn.high, inflated, len(known))
    # The best of several is too good by chance: an interval that holds for all of them at once (Sidak 1967).
    size = float(ndtri(0.95 ** (1.0 / max(1, trials))))
    return Band(own.value, own.value - size * own.error, own.value + 1.645 * own.error, inflated, len(known))


def threshold_of(bound: float, inflated: float, bars: float) -> float:
    """Return the threshold at which a mean equal to a bound is called a fall once in `bars`, on average."""
    wanted = 0.5 * bars * bound**2 / inflated
    low, high = 0.0, 60.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if math.expm1(middle) - middle < wanted else (low, middle)
    return high


def fall_below(after: FloatArray, bound: float, to: float, inflated: float, *, years: float, year: float) -> ChangeSum:
    """Return the sum over new payoffs in deviations (T,) that notices a fall of their mean from `bound` to `to`.

    Parameters
    ----------
    bound, to
        Means in deviations of a bar; one that lies between them counts as a fall where it is nearer to `to`.
    inflated
        See `Band`.
    years
        How long, on average, a mean equal to `bound` goes on without an alarm.
    year
        Bars in a year.
    """
    step = bound - to
    if not math.isfinite(bound) or step * math.sqrt(year) < LEAST_BOUND:
        return NOT_WATCHED
    threshold = threshold_of(step, inflated, years * year)
    known = np.flatnonzero(np.isfinite(after))
    if not len(known):
        return ChangeSum(bound, 0.0, threshold)
    counted = np.maximum(after[known], -_LARGEST_LOSS)
    total = np.cumsum(step * (0.5 * (bound + to) - counted) / inflated)
    sums = total - np.minimum(np.minimum.accumulate(total), 0.0)
    above = np.flatnonzero(sums >= threshold)
    if not len(above):
        return ChangeSum(bound, float(sums[-1]), threshold)
    first = int(known[above[0]])
    zeros = np.flatnonzero(sums == 0.0)
    # The last climb from zero: an alarm stands while its sum has not been back there.
    begun = int(zeros[-1]) + 1 if len(zeros) else 0
    remaining = above[above >= begun]
    if not len(remaining):
        return ChangeSum(bound, float(sums[-1]), threshold, first=first)
    return ChangeSum(bound, float(sums[-1]), threshold, True, int(known[remaining[0]]), int(known[begun]), first)
