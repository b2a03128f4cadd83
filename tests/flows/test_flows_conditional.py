"""The density of the next day: it is one, it finds what was planted, and later days do not change what it said."""

from __future__ import annotations

import numpy as np
import pytest

from flows.conditional import ConditionalPlan, fit_conditional
from flows.day_methods import METHODS, Asked, fit_garch
from flows.day_series import DaySeries, day_inputs, market_days
from flows.day_walk import walk_forward
from market.errors import InputError
from market.panel import FloatArray
from tests.helpers import random_panel


def garch_days(count: int, seed: int = 3) -> tuple[DaySeries, FloatArray]:
    """Return days whose variance is that of a GARCH(1,1), and (T,) the deviation that is expected of the next day."""
    rng = np.random.default_rng(seed)
    variance, returns, expected = 1e-4, np.empty(count), np.empty(count)
    for k in range(count):
        returns[k] = np.sqrt(variance) * rng.standard_normal()
        variance = 4e-6 + 0.16 * returns[k] ** 2 + 0.8 * variance
        expected[k] = np.sqrt(variance)
    before = np.concatenate([[1e-2], expected[:-1]])
    ranges = np.log(1.6 * before) + 0.3 * rng.standard_normal(count)
    times = np.datetime64("2020-01-01") + np.arange(count)
    return DaySeries(times, returns, ranges, day_inputs(returns, ranges)), expected


def test_the_density_integrates_to_one_wherever_it_is_asked() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 2))
    y = np.stack([x[:, 0] + np.exp(0.3 * x[:, 1]) * rng.standard_t(4, size=600), rng.normal(size=600)], axis=1)
    y[:, 1] += 0.5 * y[:, 0]
    flow = fit_conditional(y, x, ConditionalPlan(pull=0.01))
    side = np.linspace(-30.0, 30.0, 301)
    points = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    for given in (np.zeros(2), np.array([2.0, -1.5])):
        total = np.exp(flow.log_prob(points, np.tile(given, (len(points), 1)))).sum() * (side[1] - side[0]) ** 2
        assert total == pytest.approx(1.0, abs=2e-3)


def test_quantiles_are_where_the_probability_of_less_is_their_level() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 1))
    flow = fit_conditional(x + rng.standard_t(3, size=(400, 1)), x, ConditionalPlan(pull=0.01))
    levels = np.array([0.001, 0.05, 0.5, 0.99])
    law = flow.law(x[:5])
    assert law.below(law.quantile(levels)) == pytest.approx(np.tile(levels, (5, 1)), abs=1e-9)


def test_the_mean_of_a_planted_autoregression_is_recovered() -> None:
    rng = np.random.default_rng(2)
    y = np.zeros(1500)
    for k in range(1, len(y)):
        y[k] = 0.1 + 0.6 * y[k - 1] + rng.standard_normal()
    flow = fit_conditional(y[1:, None], y[:-1, None], ConditionalPlan(pull=0.01))
    asked = np.array([[-2.0], [0.0], [2.0]])
    levels = (np.arange(400) + 0.5) / 400
    assert flow.law(asked).quantile(levels).mean(axis=1) == pytest.approx(0.1 + 0.6 * asked[:, 0], abs=0.2)


# HAR sees ranges alone, which are noisy here.
@pytest.mark.parametrize(("name", "least"), [("conditional flow", 0.9), ("GARCH(1,1), t", 0.97), ("HAR, t", 0.65)])
def test_the_width_of_a_planted_garch_is_recovered(name: str, least: float) -> None:
    days, expected = garch_days(1200)
    rows = slice(100, 1199)
    made = METHODS[name](days, None).predict(days, rows, Asked(np.array([-0.02]), -3.0))
    width = (made.quantiles[:, 84] - made.quantiles[:, 15]) / 2.0
    assert np.corrcoef(np.log(width), np.log(expected[rows]))[0, 1] > least
    assert width.mean() == pytest.approx(expected[rows].mean(), rel=0.15)
    # The tails that it says come about as often as it says.
    assert made.below.mean() == pytest.approx((days.returns[101:1200] < -0.02).mean(), abs=0.015)


def test_garch_finds_the_numbers_that_were_planted() -> None:
    found = fit_garch(garch_days(3000)[0])
    assert found.alpha == pytest.approx(0.16, abs=0.06)
    assert found.beta == pytest.approx(0.8, abs=0.07)


def test_later_days_change_no_forecast_and_a_second_walk_says_the_same() -> None:
    days, _ = garch_days(400)
    both = {name: METHODS[name] for name in ("conditional flow", "GARCH(1,1), t")}
    whole, again, earlier = (walk_forward(one, both) for one in (days, days, days.first(340)))
    count = len(earlier.returns)
    for name, made in whole.predicted.items():
        for part in ("quantiles", "below", "wild", "log_density"):
            now = getattr(made, part)
            np.testing.assert_array_equal(now, getattr(again.predicted[name], part))
            # Products of more rows differ in their last bits.
            np.testing.assert_allclose(now[:count], getattr(earlier.predicted[name], part), rtol=1e-9, atol=1e-12)


def test_the_flow_with_inputs_beats_the_one_without_where_volatility_changes() -> None:
    days, _ = garch_days(700, seed=5)
    walked = walk_forward(days, {name: METHODS[name] for name in ("conditional flow", "unconditional flow")})
    assert walked.crps("conditional flow").mean() < walked.crps("unconditional flow").mean()
    assert walked.log_score("conditional flow").mean() < walked.log_score("unconditional flow").mean() - 0.02


def test_days_of_hourly_bars_are_whole_days() -> None:
    panel = random_panel(24 * 30 + 5, 3, seed=1)
    days = market_days(panel)
    assert len(days.times) == 30
    assert days.returns[1:].std() > 0
    shorter = market_days(panel.rows(0, 24 * 20))
    np.testing.assert_array_equal(days.first(20).inputs, shorter.inputs)


def test_too_few_days_are_refused() -> None:
    with pytest.raises(InputError, match="too few"):
        walk_forward(garch_days(260)[0])
