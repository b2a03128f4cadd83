"""Value at risk from a portfolio's own past: as many losses beyond it as meant, and none that looks ahead."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.portfolio_risk import History, forecast_risk, once_in, with_tail
from backtest.risk_tests import check_risk
from market.errors import InputError


@pytest.fixture(scope="module")
def past() -> History:
    """Returns with clustered volatility, heavy tails, and a time of day at which they are twice as large."""
    rng = np.random.default_rng(4)
    bars = 9000
    slots = np.arange(bars) % 24
    shocks = rng.standard_t(4, size=bars) / np.sqrt(2.0)
    returns, variance = np.empty(bars), 1e-4
    for t in range(bars):
        plain = np.sqrt(variance) * shocks[t]
        returns[t] = plain * (2.0 if slots[t] == 14 else 1.0)
        variance = 2e-6 + 0.10 * plain**2 + 0.88 * variance
    return History(returns, np.zeros(bars), slots)


def test_losses_lie_beyond_it_as_often_as_meant_and_do_not_cluster(past: History) -> None:
    rows = np.arange(6000, 9000)
    forecasts = forecast_risk(past, rows, 500)
    scenarios = forecasts.scenarios()
    assert scenarios.shape[0] == len(rows)
    assert (np.diff(scenarios[0]) >= 0).all()
    for level in (0.05, 0.01):
        found = check_risk(past.returns[rows], scenarios, level, np.random.default_rng(0), draws=100)
        assert found.kupiec > 0.05
        assert found.christoffersen > 0.05
        assert found.shortfall_p > 0.05
    # The time of day is known, and a plain quantile fails.
    wild = past.slots[rows] == 14
    assert forecasts.volatility[wild].mean() > 1.5 * forecasts.volatility[~wild].mean()
    flat = np.tile(np.quantile(past.returns[:6000], np.linspace(0.001, 0.999, 500)), (len(rows), 1))
    plain = check_risk(past.returns[rows], flat, 0.05, np.random.default_rng(0), draws=20)
    assert plain.coverage < 0.001


def test_nothing_later_is_read(past: History) -> None:
    rows = np.arange(6000, 6100)
    changed = past.returns.copy()
    changed[6050:] *= -5.0
    one, two = (
        forecast_risk(History(r, past.activity, past.slots), rows, 20).scenarios() for r in (past.returns, changed)
    )
    np.testing.assert_array_equal(one[:51], two[:51])
    assert not np.array_equal(one[51:], two[51:])
    # A return that is not there yet may be forecast.
    open_end = past.returns[:6001].copy()
    open_end[6000] = np.nan
    last = forecast_risk(History(open_end, past.activity[:6001], past.slots[:6001]), np.array([6000]), 1)
    np.testing.assert_allclose(last.scenarios()[0], forecast_risk(past, rows, 20).scenarios()[0])


def test_the_markets_activity_helps_where_own_returns_are_few(past: History) -> None:
    rng = np.random.default_rng(5)
    activity = np.exp(np.cumsum(0.05 * rng.normal(size=3000)) * 0.5)
    returns = np.sqrt(activity) * rng.normal(size=3000)
    slots, rows = np.zeros(3000, dtype=np.int64), np.arange(2000, 3000)
    with_it = forecast_risk(History(returns, activity, slots), rows, 250).volatility
    without = forecast_risk(History(returns, np.zeros(3000), slots), rows, 250).volatility
    truth = np.sqrt(activity[rows])
    assert np.std(np.log(with_it / truth)) < 0.7 * np.std(np.log(without / truth))


def test_the_worst_tenth_is_a_tail_beyond_the_sample() -> None:
    residuals = np.random.default_rng(6).standard_t(3, size=400)
    ordered = with_tail(residuals)
    assert ordered[0] < residuals.min()
    np.testing.assert_allclose(np.quantile(ordered, [0.2, 0.5, 0.9]), np.quantile(residuals, [0.2, 0.5, 0.9]), atol=0.1)


def test_once_in_many_bars_grows_and_ends_at_all() -> None:
    returns = 0.01 * np.random.default_rng(7).standard_t(3, size=20_000)
    losses = [once_in(returns, bars, long_only=True) for bars in (50, 1e4, 1e6, 1e9)]
    assert 0 < losses[0] < losses[1] < losses[2] < losses[3] < 1.0
    assert losses[1] == pytest.approx(-np.quantile(returns, 1e-4), rel=0.3)
    assert once_in(returns, 1e9, long_only=False) > losses[3]


def test_what_cannot_be_forecast_is_refused(past: History) -> None:
    with pytest.raises(InputError, match="only 100 returns"):
        forecast_risk(past, np.array([100]), 1)
    nothing = History(np.zeros(500), np.zeros(500), np.zeros(500, dtype=np.int64))
    with pytest.raises(InputError, match="all 0"):
        forecast_risk(nothing, np.array([400]), 1)
