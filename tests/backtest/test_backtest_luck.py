"""Errors of Sharpe ratios, lengths of records, false discoveries, overfitting: against definitions and simulation."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest import metrics
from backtest.evidence import probabilistic_sharpe
from backtest.luck import min_track_record, q_values, sharpe_standard_error
from market.errors import InputError
from tests.helpers import overfitting_of


def test_the_standard_error_is_what_estimates_vary_by() -> None:
    """Over many samples of skewed, fat-tailed returns; Lo's formula for a normal would be off by a fifth."""
    rng = np.random.default_rng(1)
    raw = 0.4 - rng.standard_exponential((4000, 300))
    estimates = [metrics.sharpe(sample, 1.0) for sample in raw]
    stated = np.mean([sharpe_standard_error(sample) for sample in raw])
    assert stated == pytest.approx(np.std(estimates), rel=0.05)


def test_the_standard_error_of_normal_returns_is_los() -> None:
    returns = np.random.default_rng(2).normal(0.1, 1.0, 200_000)
    ratio = metrics.sharpe(returns, 1.0)
    assert sharpe_standard_error(returns) == pytest.approx(math.sqrt((1 + ratio**2 / 2) / len(returns)), rel=0.01)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.02, 0.5), st.floats(-1.0, 1.0), st.floats(2.5, 10.0), st.floats(0.0, 0.01), st.floats(0.6, 0.99))
def test_a_record_of_the_least_length_is_just_believable(
    sharpe: float, skew: float, kurt: float, benchmark: float, level: float
) -> None:
    bars = min_track_record(sharpe, skew, kurt, benchmark=benchmark, level=level)
    spread = 1.0 - skew * sharpe + (kurt - 1.0) / 4.0 * sharpe**2
    if spread <= 0:
        assert math.isnan(bars)
        return
    z = (sharpe - benchmark) * math.sqrt(bars - 1.0) / math.sqrt(spread)
    assert 0.5 * (1 + math.erf(z / math.sqrt(2))) == pytest.approx(level, abs=1e-9)
    longer = probabilistic_sharpe(sharpe, benchmark, int(bars) + 2, skew, kurt)
    assert longer >= level


def test_what_does_not_beat_its_benchmark_is_never_believable() -> None:
    assert min_track_record(0.01, 0.0, 3.0, benchmark=0.01) == math.inf


def test_q_values_by_hand() -> None:
    found = q_values(np.array([0.01, np.nan, 0.04, 0.03, 0.5]))
    np.testing.assert_allclose(found, [0.04, np.nan, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5])


def _overfitting_by_definition(returns: np.ndarray, blocks: int) -> tuple[float, float]:
    parts = np.array_split(np.arange(len(returns)), blocks)
    below, lost, count = 0, 0, 0
    for pick in combinations(range(blocks), blocks // 2):
        one = np.concatenate([parts[k] for k in pick])
        other = np.setdiff1d(np.arange(len(returns)), one)
        inside = returns[one].mean(0) / returns[one].std(0, ddof=1)
        outside = returns[other].mean(0) / returns[other].std(0, ddof=1)
        best = outside[np.argmax(inside)]
        rank = (outside < best).sum() + 1
        below += rank / (returns.shape[1] + 1) <= 0.5
        lost += best < 0
        count += 1
    return below / count, lost / count


def test_overfitting_equals_its_definition() -> None:
    returns = np.random.default_rng(3).normal(0.01, 1.0, (120, 7))
    found = overfitting_of(returns, blocks=6)
    assert (found.probability, found.loss) == pytest.approx(_overfitting_by_definition(returns, 6))
    assert (found.splits, found.factors, found.bars) == (20, 7, 120)


def test_noise_is_overfitted_and_skill_is_not() -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 1, (2000, 50))
    skilled = noise.copy()
    skilled[:, 7] += 0.15
    assert np.mean([overfitting_of(rng.normal(0, 1, (640, 20))).probability for _ in range(20)]) > 0.35
    assert overfitting_of(skilled).probability < 0.01


def test_bars_without_all_returns_are_left_out_and_too_little_is_refused() -> None:
    returns = np.random.default_rng(5).normal(0, 1, (100, 3))
    returns[::10, 1] = np.nan
    assert overfitting_of(returns, blocks=4).bars == 90
    with pytest.raises(InputError, match="two factors"):
        overfitting_of(returns[:, :1])
    with pytest.raises(InputError, match="too few"):
        overfitting_of(returns[:30])
    with pytest.raises(InputError, match="even"):
        overfitting_of(returns, blocks=5)
