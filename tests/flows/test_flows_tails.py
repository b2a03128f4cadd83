"""Tails of features: the map is exact both ways, its slope is counted, and what is read off it is what was planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import genpareto

from factors.features import STATE_FEATURES, Feature
from flows.tails import Tails, fit_tails, limits_of, no_limits, within

SHAPE = 0.3


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Student's t of 1 / SHAPE degrees of freedom, a feature with ends at 0 and 1, and a return."""
    rng = np.random.default_rng(0)
    heavy = rng.standard_t(1 / SHAPE, size=60_000)
    ended = np.clip(rng.normal(0.5, 0.4, size=60_000), 0.0, 1.0)
    return np.stack([heavy, ended, 0.02 * heavy], axis=1)


@pytest.fixture(scope="module")
def tails(rows: np.ndarray) -> Tails:
    return fit_tails(rows, replace(no_limits(3), floor=np.array([-np.inf, -np.inf, -1.0])))


def test_the_map_is_monotone_and_its_inverse_exact(rows: np.ndarray, tails: Tails) -> None:
    states = tails.apply(rows.copy())
    np.testing.assert_allclose(tails.invert(states), rows, rtol=1e-9)
    for column in range(3):
        order = np.argsort(rows[:, column], kind="stable")
        assert (np.diff(states[order, column]) >= 0).all()
    # A tail as light as a normal law's has far smaller extremes; between the edges nothing changes.
    assert np.abs(states[:, 0]).max() < 0.5 * np.abs(rows[:, 0]).max()
    middle = np.abs(rows[:, 0]) < 1
    np.testing.assert_array_equal(states[middle, 0], rows[middle, 0])


def test_the_slope_that_is_counted_is_that_of_the_map(rows: np.ndarray, tails: Tails) -> None:
    states, step = tails.apply(rows.copy()), 1e-6
    moved = tails.apply(rows + step) - tails.apply(rows - step)
    inside = (rows[:, 1] > 0.01) & (rows[:, 1] < 0.99)
    wanted = np.log(moved / (2 * step)).sum(axis=1)
    np.testing.assert_allclose(tails.log_slope(states)[inside], wanted[inside], atol=1e-5)
    some = tails.log_slope(states, [0])
    assert (some <= 1e-12).all()
    assert some.min() < -1.0
    assert np.isnan(tails.log_slope(np.array([[np.nan, 0.0, 0.0]]))[0])


def test_what_is_rare_by_the_fitted_tail_is_rare_in_truth(rows: np.ndarray, tails: Tails) -> None:
    fresh = np.random.default_rng(1).standard_t(1 / SHAPE, size=2_000_000)
    for chance in (1e-3, 1e-4):
        level = tails.level(0, 0, chance)
        assert level < 0
        assert 0.5 < np.mean(fresh < level) / chance < 2.0
        assert tails.rarity(0, 0, np.array([level]))[0] == pytest.approx(chance)
    assert np.isnan(tails.level(1, 0, 1e-3))
    assert np.isnan(tails.level(0, 0, 0.5))
    assert tails.shape[0, 0] == pytest.approx(SHAPE, abs=0.15)
    light = fit_tails(rows, replace(no_limits(3), light=np.ones(3, dtype=bool)))
    assert light.shape[0, 0] < 1e-3


def test_features_end_where_they_end(tails: Tails) -> None:
    far = np.array([[0.0, 3.0, -30.0], [0.0, -2.0, 30.0]])
    units = tails.invert(far)
    np.testing.assert_array_equal(units[:, 1], [1.0, 0.0])
    assert units[0, 2] >= -1.0
    assert units[1, 2] > 1.0
    assert np.isfinite(tails.apply(np.array([[0.0, 0.5, -1.0]]))).all()


def test_what_the_tails_allow_grows_with_temperature(rows: np.ndarray, tails: Tails) -> None:
    states = tails.apply(rows.copy())
    low, high = states.min(axis=0), states.max(axis=0)
    spans = [tails.allowed(low, high, heat) for heat in (0.5, 1.0, 1.5, 2.0)]
    assert all(within(states, *span).all() for span in spans)
    np.testing.assert_array_equal(spans[0], spans[1])
    assert (spans[2][0][[0, 2]] < spans[1][0][[0, 2]]).all()
    assert (spans[3][1][[0, 2]] > spans[2][1][[0, 2]]).all()
    assert not within(np.array([[np.inf, 0.5, 0.0]]), *spans[3])[0]


def test_few_rows_have_tails_as_well() -> None:
    rows = np.random.default_rng(2).normal(size=(500, 1))
    tails = fit_tails(rows, no_limits(1))
    states = tails.apply(rows.copy())
    np.testing.assert_allclose(tails.invert(states), rows, rtol=1e-9)
    assert np.isfinite(tails.log_slope(states)).all()


def test_limits_are_read_off_expressions() -> None:
    texts = ("returns", "ts_returns(close, 20)", "ts_sum(returns, 5)", "log(volume)", "rsi(close, 14)")
    limits = limits_of([Feature(text, text) for text in texts])
    np.testing.assert_array_equal(limits.floor, [-1.0, -1.0, -5.0, -np.inf, -np.inf])
    np.testing.assert_array_equal(limits.light, [False, False, False, True, False])
    usual = dict(zip((f.name for f in STATE_FEATURES), zip(*limits_ends(), strict=True), strict=True))
    assert usual["price_position"] == (0.0, 1.0)
    assert usual["body_ratio"] == (-1.0, 1.0)
    assert usual["upper_shadow"] == (0.0, 1.0)
    assert usual["lower_shadow"] == (0.0, np.inf)
    assert usual["rsi"] == (0.0, 100.0)
    assert usual["volume_ratio"] == (-np.inf, np.inf)


def limits_ends() -> tuple[list[float], list[float]]:
    found = limits_of(STATE_FEATURES)
    return found.low.tolist(), found.high.tolist()


def test_a_feature_of_a_known_range_has_no_tail_even_where_no_state_is_at_its_end() -> None:
    rows = np.random.default_rng(3).uniform(0.01, 0.99, size=(5000, 1))
    tails = fit_tails(rows, replace(no_limits(1), low=np.array([0.0]), high=np.array([1.0])))
    np.testing.assert_array_equal(tails.invert(np.array([[-0.2], [0.5], [1.3]]))[:, 0], [0.0, 0.5, 1.0])


def test_pareto_exceedances_are_recovered() -> None:
    from market.pareto import fit_pareto

    over = genpareto.rvs(0.4, scale=2.0, size=4000, random_state=3)
    scale, shape = fit_pareto(over)
    assert scale == pytest.approx(2.0, rel=0.1)
    assert shape == pytest.approx(0.4, abs=0.08)
    assert fit_pareto(np.ones(3)) == (1.0, pytest.approx(1e-4))
