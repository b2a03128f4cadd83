"""Comparisons among distinct ideas: a difference with its interval and p-value, and a q-value among all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from backtest.luck import q_values

# Intervals hold the truth in this share of cases.
LEVEL = 0.9
# Fewer values than this on a side say nothing of it.
LEAST = 3


@dataclass(frozen=True)
class Comparison:
    """A mean difference with its interval (`LEVEL`), its two-sided p-value, and its q-value (NaN until it is known)."""

    difference: float
    low: float
    high: float
    p: float
    q: float = math.nan

    def words(self) -> str:
        """Say it: the difference, its interval, the q-value."""
        interval = f"{LEVEL:.0%} interval {self.low:+.2f} to {self.high:+.2f}"
        return f"difference {self.difference:+.2f}, {interval}, q {self.q:.2g}"


def two_groups(inside: Sequence[float], others: Sequence[float]) -> Comparison:
    """Compare the means of two groups of independent values (Student's t).

    The variance is that of both together: if the groups do not differ, the values of one are any of all of them. A
    variance of its own for a group of three makes the test say yes twice as often as it should.
    """
    one, two = np.asarray(inside, np.float64), np.asarray(others, np.float64)
    if min(len(one), len(two)) < LEAST:
        return Comparison(math.nan, math.nan, math.nan, math.nan)
    freedom = len(one) + len(two) - 2.0
    squares = float(((one - one.mean()) ** 2).sum() + ((two - two.mean()) ** 2).sum())
    error = math.sqrt(squares / freedom * (1.0 / len(one) + 1.0 / len(two)))
    return _of(float(one.mean() - two.mean()), error, freedom)


def one_group(values: Sequence[float], shared: float = 0.0) -> Comparison:
    """Compare the mean of values with 0; `shared` is the variance of an error that all of them have in common."""
    known = np.asarray(values, np.float64)
    if len(known) < LEAST:
        return Comparison(math.nan, math.nan, math.nan, math.nan)
    error = math.sqrt(known.var(ddof=1) / len(known) + shared)
    return _of(float(known.mean()), error, len(known) - 1.0)


def _of(difference: float, error: float, freedom: float) -> Comparison:
    if error <= 0:
        return Comparison(difference, difference, difference, math.nan)
    half = error * float(stdtrit(freedom, 0.5 + LEVEL / 2.0))
    p = 2.0 * float(stdtr(freedom, -abs(difference) / error))
    return Comparison(difference, difference - half, difference + half, p)


def with_q_values(compared: Sequence[Comparison]) -> list[Comparison]:
    """Return comparisons with their q-values among one another (Benjamini & Hochberg 1995)."""
    found = q_values(np.array([one.p for one in compared], dtype=np.float64))
    return [replace(one, q=float(q)) for one, q in zip(compared, found, strict=True)]


def share_interval(count: int, of: int) -> tuple[float, float]:
    """Return the interval (`LEVEL`) of a share (Wilson 1927)."""
    z, share = 1.6448536269514722, count / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)
