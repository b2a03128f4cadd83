"""The drawdown forecast: it finds a planted law, sees nothing later, and exposure follows it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from factors.features import STATE_FEATURES, Feature
from flows.checkpoint import load_gate, save_gate
from flows.drawdown import fit_level, market_moves, next_drawdown, next_mean
from flows.exposure import calibrate, ramp
from flows.fit_rules import FlowConfig, GateRules, TrainConfig
from flows.gate import GatePlan, RegimeGate, fit_gate
from market.errors import InputError
from market.panel import FloatArray, Panel
from market.split import Split, loop_panel, make_split
from tests.helpers import make_panel

RULES = GateRules(measure="drawdown")
PLAN = GatePlan(RULES, FlowConfig(steps=(1,), hidden=8), TrainConfig(epochs=1, max_rows=1500, batch=512))


def two_regimes(bars: int = 1500, assets: int = 4) -> tuple[Panel, FloatArray]:
    """A market whose volatility is five times as high in every fifth stretch of 60 bars; and where it is."""
    rng = np.random.default_rng(0)
    wild = (np.arange(bars) // 60) % 5 == 4
    scale = np.where(wild, 0.05, 0.01)[:, None]
    close = 100 * np.exp(
        np.cumsum(scale * (rng.normal(size=(bars, 1)) + 0.5 * rng.normal(size=(bars, assets))), axis=0)
    )
    opened = np.vstack([close[:1], close[:-1]])
    spread = 1 + 0.3 * scale * rng.random((2, bars, assets))
    fields = {
        "open": opened,
        "close": close,
        "high": np.maximum(opened, close) * spread[0],
        "low": np.minimum(opened, close) / spread[1],
        "volume": 1 + rng.random((bars, assets)),
    }
    return make_panel(fields, "D"), wild


@pytest.fixture(scope="module")
def market() -> tuple[Panel, Split, FloatArray]:
    panel, wild = two_regimes()
    return panel, make_split(len(panel.times), embargo=30), wild


@pytest.fixture(scope="module")
def gate(market: tuple[Panel, Split, FloatArray]) -> RegimeGate:
    return fit_gate(loop_panel(market[0], market[1]), market[1], PLAN)


def test_exposure_falls_where_a_drawdown_is_to_be_expected(
    market: tuple[Panel, Split, FloatArray], gate: RegimeGate
) -> None:
    panel, split, wild = market
    exposures = gate.exposures(panel)
    later = np.arange(len(wild)) >= split.validation.start
    # A stretch is known to be wild a few bars after it began.
    known = wild & np.roll(wild, 10)
    calm = ~wild & ~np.roll(wild, 20)
    assert exposures[later & known].mean() < 0.5
    assert exposures[later & calm].mean() > 0.9
    assert exposures[split.validation].mean() == pytest.approx(RULES.exposure, abs=0.03)
    # It aims at one drawdown for all bars: the forecast is near what came, in both regimes.
    forecast = np.exp(-gate.log_likelihood(panel)[:, 0])
    came = next_drawdown(np.nan_to_num(market_moves(panel)[0]), 1)
    for rows in (later & known, later & calm):
        rows = rows & np.isfinite(came)
        assert forecast[rows].mean() == pytest.approx(came[rows].mean(), rel=0.5)


def test_a_forecast_sees_no_later_bar(market: tuple[Panel, Split, FloatArray], gate: RegimeGate) -> None:
    panel, split, _ = market
    whole = gate.exposures(panel)
    np.testing.assert_allclose(gate.exposures(panel.rows(0, 900)), whole[:900], atol=1e-9)
    changed = {name: values.copy() for name, values in panel.fields.items()}
    for name in ("open", "high", "low", "close"):
        changed[name][split.train.stop :] *= 1.5
    again = fit_gate(loop_panel(panel.with_fields(changed), split), split, PLAN)
    np.testing.assert_allclose(again.latest.reference.weights, gate.latest.reference.weights, rtol=1e-6)  # type: ignore[union-attr]


def test_a_stored_forecast_is_the_same(
    tmp_path: Path, market: tuple[Panel, Split, FloatArray], gate: RegimeGate
) -> None:
    save_gate(gate, tmp_path / "g.npz")
    again = load_gate(tmp_path / "g.npz")
    np.testing.assert_array_equal(again.exposures(market[0]), gate.exposures(market[0]))
    assert again.summary() == gate.summary()


def test_exposure_is_the_target_over_the_forecast() -> None:
    expected = np.exp(np.random.default_rng(1).normal(-3, 0.7, size=(400, 1)))
    thresholds = calibrate(-np.log(expected), replace(RULES, exposure=0.7), np.random.default_rng(0), block=1)
    exposure = ramp(-np.log(expected), thresholds)
    aimed = math.exp(-thresholds.full)
    np.testing.assert_allclose(exposure, np.minimum(1.0, aimed / expected))
    assert exposure.mean() == pytest.approx(0.7, abs=1e-6)
    assert ramp(np.array([[np.nan]]), thresholds)[0, 0] == 0.0


def test_a_drawdown_is_counted_from_the_highest_point() -> None:
    returns = np.array([0.0, -0.1, 0.25, -0.2, 0.1])
    found = next_drawdown(returns, 2)
    np.testing.assert_allclose(found[:3], [-math.log(0.9), -math.log(0.8), -math.log(0.8)])
    assert np.isnan(found[3:]).all()
    np.testing.assert_allclose(next_mean(np.arange(5.0), 2)[:3], [1.5, 2.5, 3.5])


def test_a_law_that_was_planted_is_found() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3000, 2))
    level = np.exp(-4 + 0.6 * x[:, 0])
    weights, offset = fit_level(
        x, level * np.exp(0.2 * rng.normal(size=3000)), 0.5 * level * rng.exponential(size=3000)
    )
    np.testing.assert_allclose(weights, [0.6, 0.0], atol=0.02)
    assert offset == pytest.approx(-4 + math.log(0.5), abs=0.08)


def test_a_state_without_volatility_cannot_forecast(market: tuple[Panel, Split, FloatArray]) -> None:
    features = tuple(f for f in STATE_FEATURES if f.name in ("body_ratio", "rsi", "price_position", "volume_ratio"))
    plan = replace(PLAN, features=(*features, Feature("lower", "(min(open, close) - low) / close")))
    with pytest.raises(InputError, match="two of the features volatility_5"):
        fit_gate(loop_panel(market[0], market[1]), market[1], plan)
