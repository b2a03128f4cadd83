"""Tests of risk forecasts: published regions, known sizes, and figures by hand; and the worth of gates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, kstest, norm

from backtest.gate_value import gate_value
from backtest.risk_tests import check_risk, christoffersen_ratio, kupiec_ratio, tail_risk
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from market.synthetic.demo_market import SynthSpec, make_market


@pytest.mark.parametrize(
    ("level", "bars", "low", "high"),
    [(0.05, 255, 6, 21), (0.05, 510, 16, 36), (0.05, 1000, 37, 65), (0.01, 1000, 4, 17), (0.025, 1000, 15, 36)],
)
def test_kupiecs_published_regions(level: float, bars: int, low: int, high: int) -> None:
    # Kupiec 1995, table 3: N strictly between is not rejected at 5 %.
    accepted = [n for n in range(bars // 4) if chi2.sf(kupiec_ratio(n, bars, level), 1) >= 0.05]
    assert (accepted[0] - 1, accepted[-1] + 1) == (low, high)


def test_christoffersen_by_hand() -> None:
    beyond = np.array([0, 0, 1, 1, 0, 0, 0, 1, 0, 0], dtype=bool)
    # 00: 4, 01: 2, 10: 2, 11: 1
    alone = 6 * np.log(6 / 9) + 3 * np.log(3 / 9)
    chained = 4 * np.log(4 / 6) + 2 * np.log(2 / 6) + 2 * np.log(2 / 3) + 1 * np.log(1 / 3)
    assert christoffersen_ratio(beyond) == pytest.approx(-2 * (alone - chained))
    assert christoffersen_ratio(np.zeros(50, dtype=bool)) == 0.0
    clustered = np.zeros(1000, dtype=bool)
    clustered[100:150] = True
    assert chi2.sf(christoffersen_ratio(clustered), 1) < 1e-6


def test_tail_risk_of_a_normal() -> None:
    draws = np.random.default_rng(0).normal(size=(2, 400_000))
    value, shortfall = tail_risk(draws, 0.05)
    np.testing.assert_allclose(value, -norm.ppf(0.05), atol=0.02)
    np.testing.assert_allclose(shortfall, norm.pdf(norm.ppf(0.05)) / 0.05, atol=0.02)
    assert tail_risk(np.array([[-3.0, -2.0, -1.0, 0.0]]), 0.5)[0][0] == 2.0
    assert tail_risk(np.array([[-3.0, -2.0, -1.0, 0.0]]), 0.5)[1][0] == 2.5


def test_true_forecasts_pass_and_too_small_ones_do_not() -> None:
    rng = np.random.default_rng(3)
    deviation = np.exp(0.5 * rng.normal(size=2000))
    scenarios = deviation[:, None] * rng.normal(size=(2000, 800))
    returns = deviation * rng.normal(size=2000)
    for level in (0.05, 0.01):
        good = check_risk(returns, scenarios, level, rng, draws=200)
        assert good.kupiec > 0.05
        assert good.coverage > 0.02
        assert good.shortfall == pytest.approx(0.0, abs=0.3)
        bad = check_risk(returns, 0.6 * scenarios, level, rng, draws=200)
        assert bad.kupiec < 1e-4
        assert bad.shortfall < -0.5
        assert bad.shortfall_p == pytest.approx(1 / 201)
    # The level of volatility is right on average, and wrong on every day.
    flat = np.broadcast_to(scenarios.ravel()[rng.integers(scenarios.size, size=5000)], (2000, 5000))
    ordered = np.argsort(deviation)
    assert check_risk(returns[ordered], flat, 0.05, rng, draws=50).christoffersen < 0.01


@pytest.mark.slow
def test_p_values_are_uniform_under_the_null() -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(150):
        scenarios = rng.normal(size=(400, 300))
        result = check_risk(rng.normal(size=400), scenarios, 0.05, rng, draws=60)
        found.append(result.shortfall_p)
    assert kstest(found, "uniform").pvalue > 0.001
    assert np.mean(np.array(found) <= 0.1) < 0.2


def test_a_gate_that_knows_crashes_is_worth_its_timing() -> None:
    made = make_market(SynthSpec(bars=3000, effect_bp=0.0))
    target = prepare_target(made.panel, BacktestSpec(weighting="timeseries"))
    weights = np.full(made.panel.shape, 1.0 / made.panel.shape[1])
    knows = np.repeat(np.where(made.crash, 0.0, 1.0)[:, None], made.panel.shape[1], axis=1)
    rng = np.random.default_rng(0)
    good = gate_value(weights, target, slice(0, 3000), knows, rng, shifts=60, tradable=knows)
    assert good.gated > good.ungated
    assert good.timing == pytest.approx(good.gated - good.shifted)
    assert good.p_value < 0.05
    assert good.tradable == good.gated
    assert good.exposure == pytest.approx(knows.mean())
    late = gate_value(weights, target, slice(0, 3000), np.roll(knows, 700, axis=0), rng, shifts=60)
    assert late.p_value > 0.1
    assert np.isnan(late.tradable)
