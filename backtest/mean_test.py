"""Does a series of payoffs have a mean above zero: one test, its standard error allowing for autocorrelation.

The standard error comes from the series itself, never from how much trials differ among each other: that spread holds
the skill that the search looks for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backtest.normal_law import ndtri, stdtr
from market.panel import FloatArray

# Fewer payoffs than this decide nothing.
LEAST_PAYOFFS = 30
_LARGEST_CORRELATION = 0.97
# Beyond this a normal score is written as this: its probability is no number that a double holds.
_LARGEST_SCORE = 37.0


@dataclass(frozen=True, slots=True)
class MeanTest:
    """A mean, and how far from chance it is.

    Attributes
    ----------
    n
        Payoffs that are finite.
    mean, error
        Per bar, in the unit of the payoffs; the error is a standard error that allows for autocorrelation.
    z
        Normal score of the mean: of a series without skill it is standard normal. NaN below `LEAST_PAYOFFS` payoffs,
        and where they do not vary.
    """

    n: int
    mean: float
    error: float
    z: float

    @property
    def p(self) -> float:
        """Probability of such a mean, or a larger one, without skill; NaN where undefined."""
        return one_sided_p(self.z)


def one_sided_p(z: float) -> float:
    """Return the probability that a standard normal exceeds `z`."""
    return 0.5 * math.erfc(z / math.sqrt(2.0)) if math.isfinite(z) else float("nan")


def mean_test(payoffs: FloatArray) -> MeanTest:
    """Test the mean of payoffs (T,) against zero; NaN is left out.

    The variance of the mean is that of independent payoffs times an inflation (see `inflation`; Newey & West 1987,
    Bartlett weights, bandwidth of Andrews 1991), which is shrunk by its own sampling error and never below 1: without
    autocorrelation it costs hardly any power. The ratio is corrected for skewness that would make it too large (Hall
    1992, eq. 1: a monotone transformation), and brought to a normal score through Student's t with n - 1 degrees of
    freedom, so that scores of short and long series compare.
    """
    known = payoffs[np.isfinite(payoffs)]
    n = len(known)
    mean = float(known.mean()) if n else float("nan")
    if n < LEAST_PAYOFFS:
        return MeanTest(n, mean, float("nan"), float("nan"))
    gaps = known - mean
    square = float(gaps @ gaps) / n
    if not square > 1e-30 * max(mean * mean, 1e-300):
        return MeanTest(n, mean, float("nan"), float("nan"))
    # Products: a power of an array takes some twenty times as long.
    return mean_test_of(n, mean, square, float((gaps * gaps) @ gaps) / n, inflation(gaps))


def mean_test_of(n: int, mean: float, square: float, cube: float, inflated: float) -> MeanTest:
    """Return the test of a mean of n payoffs, from their second and third central moment and `inflation`."""
    if n < LEAST_PAYOFFS or not square > 1e-30 * max(mean * mean, 1e-300):
        return MeanTest(n, mean, float("nan"), float("nan"))
    error = math.sqrt(square * inflated / (n - 1))
    return MeanTest(n, mean, error, _normal_score(_less_skewed(mean / error, cube / square**1.5, n), n - 1))


def least_sharpe(payoffs: int, bars_per_year: float, hurdle: float, power: float = 0.8) -> float:
    """Return the annual Sharpe ratio whose score exceeds `hurdle` with probability `power`; NaN below `LEAST_PAYOFFS`.

    The score of independent payoffs is about their Sharpe ratio a bar times the root of their number, give or take one.
    """
    if payoffs < LEAST_PAYOFFS:
        return float("nan")
    return float((hurdle + ndtri(power)) * math.sqrt(bars_per_year / payoffs))


def inflation(gaps: FloatArray) -> float:
    """Return by how much autocorrelation raises the variance of the mean of centred payoffs (n,); at least 1.

    The larger of two estimates. One sees any pattern and is rough: 1 + 2 sum of w_k r_k over lags, the sum times what
    is left after its sampling error (the positive part of James & Stein). The other is sharp where the past bar alone
    matters, as Andrews & Monahan (1992) whiten: (1 + r) / (1 - r). Its r is corrected for bias (Kendall 1954) and
    shrunk by half its error, and it may not exceed the first sum by more than two errors: overlapping sums have a large
    first correlation and no others.
    """
    n = len(gaps)
    products = [float(gaps[lag:] @ gaps[:-lag]) for lag in range(1, lag_count(n) + 1)]
    return inflation_of(n, float(gaps @ gaps), products)


def lag_count(n: int) -> int:
    """Return how many lags `inflation` looks at."""
    return min(math.ceil(4.0 * math.pow(n / 100.0, 2.0 / 9.0)), n - 1)


def inflation_of(n: int, square: float, products: Sequence[float]) -> float:
    """Return `inflation` from the sum of squares of n payoffs and the sums of their products at lags 1, 2, .."""
    lags, excess, squares = len(products), 0.0, 0.0
    for lag, product in enumerate(products, 1):
        weight = 1.0 - lag / (lags + 1.0)
        excess += 2.0 * weight * product / square
        squares += weight * weight
    noise = 4.0 * squares / n
    found = 1.0 + excess * max(0.0, 1.0 - noise / excess**2) if excess > 0.0 else 1.0
    first = products[0] / square
    first += (1.0 + 3.0 * first) / n
    if first <= 0.0:
        return found
    first = min(first * max(0.0, 1.0 - 0.5 / (n * first**2)), _LARGEST_CORRELATION)
    return max(found, min((1.0 + first) / (1.0 - first), 1.0 + excess + 2.0 * math.sqrt(noise)))


def _less_skewed(ratio: float, skew: float, n: int) -> float:
    """Return the ratio without what skewness adds to its size; what skewness takes from it is not given back."""
    if ratio * skew >= 0.0:
        return ratio
    root = math.sqrt(n)
    # Written for a positive ratio and a negative skewness; the other tail is its mirror image.
    size, against = abs(ratio) / root, -abs(skew)
    # The transformation rises up to here and would be flat beyond.
    size = min(size, 3.0 / abs(skew))
    bent = root * (size + against * size**2 / 3.0 + against**2 * size**3 / 27.0) + against / (6.0 * root)
    return math.copysign(max(bent, 0.0), ratio)


def _normal_score(ratio: float, freedom: int) -> float:
    tail = float(stdtr(freedom, -abs(ratio)))
    size = float(-ndtri(tail)) if tail > 0.0 else _LARGEST_SCORE
    return math.copysign(min(size, _LARGEST_SCORE), ratio)
