"""Rank correlation and the other small replacements of `scipy.stats`, each against it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from backtest.luck import q_values
from market.rank_correlation import correlation_p_value, rank_correlation, ranks_of


@pytest.mark.parametrize("count", [3, 5, 20, 500])
@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_is_scipys(count: int, ties: bool) -> None:
    rng = np.random.default_rng([count, ties])
    one, other = rng.normal(size=count), rng.normal(size=count)
    if ties:
        one = np.round(one, 1)
    expected = stats.spearmanr(one, other)
    found = rank_correlation(one, other)
    assert found == pytest.approx(expected.statistic, abs=1e-12)
    assert correlation_p_value(found, count) == pytest.approx(expected.pvalue, abs=1e-7 if count == 3 else 1e-12)
    np.testing.assert_array_equal(ranks_of(one), stats.rankdata(one))


def test_a_perfect_order_is_certain() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1.0, abs=1e-12)
    assert correlation_p_value(1.0, 4) == 0.0


@pytest.mark.parametrize("count", [1, 2, 17, 300])
def test_q_values_are_scipys(count: int) -> None:
    rng = np.random.default_rng(count)
    p = rng.uniform(size=count) ** 3
    p[: count // 3] = p[0]
    np.testing.assert_allclose(q_values(p), stats.false_discovery_control(p, method="bh"), rtol=0, atol=1e-12)
    with_hole = np.append(p, np.nan)
    assert np.isnan(q_values(with_hole)[-1])
