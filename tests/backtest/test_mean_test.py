"""The test of one mean: its size, its errors, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from backtest.mean_test import LEAST_PAYOFFS, inflation, least_sharpe, mean_test, one_sided_p


def test_independent_payoffs_give_students_test() -> None:
    payoffs = np.tile([1.0, -1.0], 100) + 0.1
    rng = np.random.default_rng(3)
    rng.shuffle(payoffs)
    found = mean_test(payoffs)
    ratio, p = stats.ttest_1samp(payoffs, 0.0, alternative="greater")
    assert inflation(payoffs - payoffs.mean()) == 1.0
    assert found.mean / found.error == pytest.approx(ratio)
    assert found.p == pytest.approx(p, rel=1e-6)
    assert found.n == 200


def test_a_little_autocorrelation_in_few_bars_is_seen() -> None:
    rng, n = np.random.default_rng(11), 91
    shocks = rng.standard_normal((4_000, n + 30))
    for t in range(1, n + 30):
        shocks[:, t] += 0.2 * shocks[:, t - 1]
    scores = np.array([mean_test(series).z for series in shocks[:, 30:]])
    # At 5 %; as if payoffs were independent, 8.8 % pass.
    assert 0.04 < (scores > 1.645).mean() < 0.066


def test_overlapping_sums_are_no_autoregression() -> None:
    shocks = np.random.default_rng(12).standard_normal((200, 252))
    sums = shocks[:, 2:] + shocks[:, 1:-1] + shocks[:, :-2]
    found = np.mean([inflation(series - series.mean()) for series in sums])
    # Three in truth; by the first correlation alone it would be five.
    assert 2.3 < found < 3.5


def test_the_inflation_is_that_of_an_autoregression() -> None:
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(200_000)
    series = np.empty_like(noise)
    series[0] = noise[0]
    for t in range(1, len(noise)):
        series[t] = 0.5 * series[t - 1] + noise[t]
    # (1 + r) / (1 - r) is 3 for r of a half.
    assert inflation(series - series.mean()) == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize("draw", ["normal", "fat", "skewed to losses"])
def test_series_without_skill_pass_as_often_as_stated(draw: str) -> None:
    rng = np.random.default_rng(11)
    made = {
        "normal": rng.standard_normal((4_000, 250)),
        "fat": rng.standard_t(4, (4_000, 250)),
        "skewed to losses": 1.0 - rng.exponential(size=(4_000, 250)),
    }[draw]
    scores = np.array([mean_test(row).z for row in made])
    share = float((scores > 1.6449).mean())
    assert share <= 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / len(scores))
    # The far tail, which a best of a thousand lives in: plain t passes 5 times too often where losses are long.
    assert float((scores > 3.0902).mean()) <= 0.001 + 3.0 * math.sqrt(0.001 / len(scores))


@given(st.integers(0, 2**32 - 1), st.floats(-0.5, 0.5))
def test_the_mirror_image_has_the_opposite_score(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    payoffs = rng.exponential(size=120) - 1.0 + shift
    assert mean_test(-payoffs).z == pytest.approx(-mean_test(payoffs).z, abs=1e-9)


@given(st.floats(1e-6, 1e6))
def test_the_unit_of_payoffs_does_not_matter(unit: float) -> None:
    payoffs = np.random.default_rng(5).standard_normal(300) + 0.2
    assert mean_test(unit * payoffs).z == pytest.approx(mean_test(payoffs).z, rel=1e-6)


def test_skewness_towards_gains_is_given_no_credit() -> None:
    rng = np.random.default_rng(2)
    payoffs = rng.exponential(size=100) - 0.7
    found = mean_test(payoffs)
    plain = float(stats.norm.isf(stats.t.sf(found.mean / found.error, 99)))
    assert found.z == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize("payoffs", [np.zeros(0), np.ones(LEAST_PAYOFFS - 1), np.full(100, 0.3), np.full(100, np.nan)])
def test_what_cannot_be_tested_has_no_score(payoffs: np.ndarray) -> None:
    found = mean_test(payoffs)
    assert math.isnan(found.z)
    assert math.isnan(found.p)


def test_missing_payoffs_are_left_out() -> None:
    payoffs = np.random.default_rng(8).standard_normal(100) + 0.1
    gappy = np.insert(payoffs, [3, 50, 99], np.nan)
    assert mean_test(gappy) == mean_test(payoffs)


def test_a_huge_score_is_finite() -> None:
    found = mean_test(1.0 + 1e-3 * np.random.default_rng(0).standard_normal(5_000))
    assert 30.0 < found.z < 40.0
    assert found.p == one_sided_p(found.z)


def test_the_least_sharpe_ratio_is_found_as_often_as_stated() -> None:
    """1 000 records of daily payoffs whose true Sharpe ratio is just what a hurdle of 3 needs."""
    sharpe = least_sharpe(500, 365.0, 3.0, 0.8)
    rng = np.random.default_rng(0)
    found = [mean_test(rng.standard_normal(500) + sharpe / math.sqrt(365.0)).z > 3.0 for _ in range(1_000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)
    assert least_sharpe(2_000, 365.0, 3.0) == pytest.approx(sharpe / 2.0)
    assert math.isnan(least_sharpe(29, 365.0, 1.6))
