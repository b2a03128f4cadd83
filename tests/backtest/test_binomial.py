"""Exact binomial intervals: the published ones, and how they are written."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from backtest.binomial import Share


@pytest.mark.parametrize(("count", "cases"), [(1, 20), (3, 20), (10, 20), (19, 20), (40, 1_000)])
def test_the_interval_is_that_of_clopper_and_pearson(count: int, cases: int) -> None:
    known = binomtest(count, cases).proportion_ci(0.95, method="exact")
    assert Share(count, cases).interval == pytest.approx((known.low, known.high))


def test_none_and_all_have_one_bound() -> None:
    # The rule of three, exactly: 1 - 0.05 ** (1 / 20).
    assert Share(0, 20).interval == pytest.approx((0.0, 1.0 - 0.05 ** (1 / 20)))
    assert Share(20, 20).interval == pytest.approx((0.05 ** (1 / 20), 1.0))
    assert Share(0, 0).interval == (0.0, 1.0)
    assert math.isnan(Share(0, 0).value)


@pytest.mark.parametrize("true", [0.01, 0.05, 0.3, 0.8])
def test_the_interval_covers(true: float) -> None:
    counts = np.random.default_rng(0).binomial(20, true, 2_000)
    covered = np.mean([low <= true <= high for low, high in (Share(int(c), 20).interval for c in counts)])
    # Exact intervals cover at least as often as they say; where one side has all of the tail, a little less.
    assert covered > 0.92


def test_it_says_how_little_so_few_cases_tell() -> None:
    assert str(Share.of([False] * 20)) == "0 of 20: at most 14 %, 95 %"
    assert str(Share.of([True] * 3 + [False] * 17)) == "3 of 20: 15 %, 3 to 38 %"
    assert str(Share.of([True] * 20)) == "20 of 20: at least 86 %, 95 %"
    assert str(Share.of([])) == "none made"
