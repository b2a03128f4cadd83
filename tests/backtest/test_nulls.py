"""Null markets keep what real ones have and pay nothing; planted payoffs have the strength that was asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backtest.bar_regimes import close_returns
from backtest.ic import forward_returns
from backtest.mean_test import mean_test
from backtest.nulls import NULLS, simulate, with_forward
from backtest.payoff import rank_payoffs, risk_returns
from backtest.planted_payoffs import plant_payoff
from factors.engine import evaluate
from factors.parse import parse
from factors.table import STANDARD_FIELDS
from factors.tree import Expression
from market.errors import InputError
from market.files import import_files
from market.panel import FloatArray, Panel
from tests.helpers import random_panel

TEXTS = ("-ts_std(returns, 30)", "ts_mean(close * volume, 20)", "ts_returns(close, 60)", "-ts_returns(close, 3)")
PANELS = 20


def _expressions(panel: Panel) -> list[Expression]:
    found = [parse(text, fields=STANDARD_FIELDS, bar=panel.bar) for text in TEXTS]
    return [one for one in found if isinstance(one, Expression)]


def _score(values: FloatArray, outcomes: Panel) -> float:
    forward = forward_returns(outcomes, 1)
    signal = np.where(outcomes.universe, values, np.nan)
    return mean_test(rank_payoffs(signal, forward, risk_returns(outcomes, forward))).z


def _clustered(seed: int = 0) -> Panel:
    """Assets with skewed returns, clustered volatility, drifts of their own, and moves that are half taken back."""
    rng = np.random.default_rng(seed)
    bars, assets = 500, 24
    shocks = rng.exponential(size=(bars, assets)) - 1.0
    size, moves = np.full(assets, 0.02), np.zeros((bars, assets))
    for t in range(bars):
        moves[t] = np.clip(size * shocks[t] - 0.3 * (moves[t - 1] if t else 0.0), -0.5, 1.0)
        size = np.sqrt(0.02**2 * 0.04 + 0.12 * moves[t] ** 2 + 0.84 * size**2)
    close = 100 * np.cumprod(1.0 + moves + np.linspace(-0.003, 0.003, assets), axis=0)
    opened = np.vstack([close[:1], close[:-1]])
    panel = random_panel(bars, assets, seed)
    prices = {"open": opened, "close": close, "high": np.maximum(opened, close), "low": np.minimum(opened, close)}
    return panel.with_fields(prices)


@pytest.mark.parametrize("kind", list(NULLS))
def test_fixed_factors_have_standard_scores_on_nulls(kind: str) -> None:
    panel = _clustered()
    expressions = _expressions(panel)
    assert len(expressions) == len(TEXTS)
    scores = []
    for number in range(PANELS):
        null = NULLS[kind](panel, np.random.default_rng([number, 9]))
        scores.append([_score(evaluate(one, null.panel).values, null.outcomes) for one in expressions])
    found = np.array(scores)
    assert np.abs(found.mean(axis=0)).max() < 3.3 / np.sqrt(PANELS)
    assert 0.75 < found.std() < 1.3
    # The market that they are made of is no null: what was taken back pays, as do the drifts.
    assert max(abs(_score(evaluate(one, panel).values, panel)) for one in expressions) > 4.0


def _rising() -> tuple[Panel, FloatArray]:
    """Assets of betas from 0.2 to 2 in a market that rises without end, and those betas at each bar."""
    rng = np.random.default_rng(3)
    beta = np.linspace(0.2, 2.0, 24)
    market = 0.004 + 0.01 * rng.standard_normal(500)
    moves = beta * market[:, None] + 0.01 * rng.standard_normal((500, 24))
    close = 100 * np.cumprod(1.0 + moves, axis=0)
    opened = np.vstack([close[:1], close[:-1]])
    prices = {"open": opened, "close": close, "high": np.maximum(opened, close), "low": np.minimum(opened, close)}
    return random_panel(500, 24, 3).with_fields(prices), np.broadcast_to(beta, moves.shape).copy()


@pytest.mark.parametrize("kind", list(NULLS))
def test_a_market_that_rises_pays_no_beta_on_its_nulls(kind: str) -> None:
    panel, beta = _rising()
    # In truth it does: betas are drawn towards 1, so a part of the rise counts as the asset's own.
    assert _score(beta, panel) > 4.0
    found = [_score(beta, NULLS[kind](panel, np.random.default_rng([number, 4])).outcomes) for number in range(8)]
    assert abs(np.mean(found)) < 3.3 / np.sqrt(len(found))


@pytest.mark.parametrize("kind", list(NULLS))
def test_a_null_keeps_size_and_dependence(kind: str) -> None:
    panel = _clustered(1)
    null = NULLS[kind](panel, np.random.default_rng(2)).outcomes
    own, made = (close_returns(one)[1:] for one in (panel, null))
    assert null.shape == panel.shape
    assert np.nanstd(made) == pytest.approx(np.nanstd(own), rel=0.3)
    assert np.isfinite(null["close"]).sum() == np.isfinite(panel["close"]).sum()
    for name in ("open", "close"):
        assert (null["high"] >= null[name] * (1 - 1e-12)).all()
        assert (null["low"] <= null[name] * (1 + 1e-12)).all()


def test_filtered_history_keeps_clusters_and_single_bars_do_not() -> None:
    panel = _clustered(3)

    def clustering(kind: str) -> float:
        sizes = np.abs(close_returns(NULLS[kind](panel, np.random.default_rng(1)).outcomes)[1:])
        return float(np.mean([np.corrcoef(x[1:], x[:-1])[0, 1] for x in sizes.T]))

    assert clustering("history") > clustering("bars") + 0.05


def test_no_volatility_of_filtered_history_grows_beyond_all_numbers() -> None:
    # Moves of three deviations at each bar: each raises the variance by more than the decay takes away.
    shocks = np.where(np.arange(2000) % 2, 3.0, -3.0)[:, None]
    _, moves, sizes = simulate(np.zeros_like(shocks), shocks, np.array([0.05**2]))
    assert np.isfinite(moves).all()
    assert sizes.max() == 1.0


def test_filtered_history_is_as_wild_as_its_record_where_tails_are_fat() -> None:
    rng = np.random.default_rng(6)
    moves = 0.01 * np.clip(rng.standard_t(3, (600, 40)), -20, 20)
    close = 100 * np.cumprod(1.0 + moves, axis=0)
    prices = {"open": np.vstack([close[:1], close[:-1]]), "close": close, "high": 1.1 * close, "low": 0.9 * close}
    panel = random_panel(600, 40, 6).with_fields(prices)
    own = np.nanmean(close_returns(panel) ** 2)
    made = [close_returns(NULLS["history"](panel, np.random.default_rng([n, 8])).panel) ** 2 for n in range(20)]
    assert np.nanmean(made) == pytest.approx(own, rel=0.15)


@pytest.mark.parametrize("kind", list(NULLS))
def test_the_same_seed_gives_the_same_null(kind: str) -> None:
    panel = random_panel(120, 12, 1, gaps=0.1)
    first, second = (NULLS[kind](panel, np.random.default_rng(5)).outcomes for _ in range(2))
    np.testing.assert_array_equal(first["close"], second["close"])
    np.testing.assert_array_equal(np.isfinite(first["close"]), np.isfinite(panel["close"]))


def test_prices_are_moved_to_the_returns_that_are_wanted() -> None:
    panel = random_panel(80, 12, 2)
    wanted = forward_returns(panel, 1) + 0.001
    moved = with_forward(panel, wanted)
    np.testing.assert_allclose(forward_returns(moved, 1), wanted, rtol=1e-9)
    np.testing.assert_allclose(moved["volume"] * moved["close"], panel["volume"] * panel["close"])


@pytest.mark.parametrize("z", [-4.0, 3.0, 6.0])
@pytest.mark.parametrize("text", TEXTS)
def test_a_planted_payoff_has_its_strength(text: str, z: float) -> None:
    panel = NULLS["history"](_clustered(4), np.random.default_rng(3)).panel
    expression = parse(text, fields=STANDARD_FIELDS, bar=panel.bar)
    assert isinstance(expression, Expression)
    values = evaluate(expression, panel).values
    part = slice(100, 498)
    planted = plant_payoff(panel, values, z, part)
    assert planted.z == pytest.approx(z, rel=0.02)
    forward, before = forward_returns(planted.panel, 1), forward_returns(panel, 1)
    gained = rank_payoffs(values, forward, risk_returns(planted.panel, forward))[part]
    gained = gained - rank_payoffs(values, before, risk_returns(panel, before))[part]
    # The same at each bar: strength does not come from a few.
    assert np.nanstd(gained) < 0.3 * abs(np.nanmean(gained))


def test_nothing_can_be_planted_on_a_constant() -> None:
    panel = random_panel(100, 12, 1)
    with pytest.raises(InputError, match="no payoffs to plant in"):
        plant_payoff(panel, np.ones(panel.shape), 3.0, slice(0, 98))


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(NULLS))
def test_real_coins_scrambled_pay_nothing(kind: str, shared_data: Path) -> None:
    panel = import_files([shared_data / "crypto_spot_1d.parquet"], calendar="continuous", repair=True, name="coins")
    often = np.argsort(-np.isfinite(panel["close"]).sum(axis=0))[:60]
    panel = panel.select([panel.assets[i] for i in sorted(often)])
    expressions = _expressions(panel)
    scores = []
    for number in range(12):
        null = NULLS[kind](panel, np.random.default_rng([number, 21]))
        scores.append([_score(evaluate(one, null.panel).values, null.outcomes) for one in expressions])
    found = np.array(scores)
    assert np.abs(found.mean(axis=0)).max() < 3.3 / np.sqrt(len(found))
    assert 0.7 < found.std() < 1.35
