"""Weights without the market's part, and of the liquid half alone: against plain numpy, and known at the decision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backtest.asset_facts import AssetFacts, asset_facts
from backtest.run import Backtest, run_backtest
from backtest.slow_payoffs import slow_payoffs
from backtest.target import Target, prepare_target
from backtest.trading_rules import BacktestSpec
from market.errors import InputError, Rejection
from market.panel import FloatArray, Panel
from market.ranking import rank_panel
from tests.backtest.test_aim import members_of
from tests.helpers import random_panel

BOTH = BacktestSpec(market_neutral=True, liquid_half=True)


def narrowed(seed: int = 3, assets: int = 25) -> Panel:
    panel = random_panel(200, assets, seed, gaps=0.03)
    outside = np.random.default_rng(seed).random(panel.shape) < 0.1
    return replace(panel, universe=panel.universe & ~outside)


def signal_of(panel: Panel, seed: int = 0) -> FloatArray:
    return np.where(panel.universe, np.random.default_rng(seed).normal(size=panel.shape), np.nan)


def test_betas_and_the_half_are_what_their_sentences_say() -> None:
    panel = narrowed()
    found = asset_facts(panel, BOTH)
    close, money = panel["close"], panel.money
    for t in (25, 90, 199):
        rows = np.arange(max(1, t - 59), t + 1)
        moves = close[rows] / close[rows - 1] - 1.0
        market = np.nanmean(np.where(panel.universe[rows], moves, np.nan), axis=1)
        for i in range(25):
            known = np.isfinite(moves[:, i])
            slope = (moves[known, i] * market[known]).sum() / (market[known] ** 2).sum()
            wanted = np.clip(2 / 3 * slope + 1 / 3, 0, 3) if known.sum() >= 20 else np.nan
            assert found.beta[t, i] == pytest.approx(wanted, abs=1e-12, nan_ok=True)
        mean = np.where(panel.universe[t], np.nanmean(money[max(0, t - 59) : t + 1], axis=0), np.nan)
        count = np.isfinite(mean).sum()
        assert set(np.flatnonzero(found.liquid[t])) == set(np.argsort(-np.nan_to_num(mean))[: (count + 1) // 2])


def test_facts_are_known_at_the_decision_and_of_their_last_bars_alone() -> None:
    panel = narrowed()
    whole, early, late = (asset_facts(part, BOTH) for part in (panel, panel.rows(0, 150), panel.rows(90, 200)))
    assert np.array_equal(early.beta, whole.beta[:150], equal_nan=True)
    assert np.array_equal(early.liquid, whole.liquid[:150])
    # From the 61st bar on: its return needs the bar before it.
    assert np.array_equal(late.beta[60:], whole.beta[150:], equal_nan=True)
    assert np.array_equal(late.liquid[60:], whole.liquid[150:])


@pytest.mark.parametrize("weighting", ["rank", "zscore", "quantile"])
@pytest.mark.parametrize("scaled", [False, True])
def test_no_money_and_no_beta_is_left_and_only_the_half_is_traded(weighting: str, scaled: bool) -> None:
    panel = narrowed()
    spec = replace(BOTH, weighting=weighting, volatility_scaled=scaled)  # type: ignore[arg-type]
    target = prepare_target(panel, spec)
    weights, facts = target.weights(signal_of(panel)), target.facts(spec)
    assert facts is not None
    assert np.abs(weights.sum(axis=1)).max() < 1e-12
    assert np.abs((weights * np.nan_to_num(facts.beta)).sum(axis=1)).max() < 1e-12
    assert np.all(facts.liquid[weights != 0.0])
    traded = np.abs(weights).sum(axis=1)
    assert traded[60:] == pytest.approx(1.0)
    plain = prepare_target(panel, replace(spec, market_neutral=False)).weights(signal_of(panel))
    assert np.abs((plain * np.nan_to_num(facts.beta)).sum(axis=1))[60:].mean() > 1e-3


def test_groups_stay_neutral_and_a_signal_that_is_the_beta_takes_no_position() -> None:
    panel = narrowed()
    spec = BacktestSpec("zscore", market_neutral=True)
    groups = np.tile(np.arange(25.0) % 3, (200, 1))
    target = prepare_target(panel, spec, groups=groups)
    weights = target.weights(signal_of(panel))
    for number in range(3):
        assert np.abs(np.where(groups == number, weights, 0.0).sum(axis=1)).max() < 1e-12
    facts = target.facts(spec)
    assert facts is not None
    # Z-scores within their cap are a line of the betas.
    alike = np.where(panel.universe, np.clip(facts.beta, 0.9, 1.1), np.nan)
    same = prepare_target(panel, spec)
    same.__dict__["_facts"] = {(True, False): AssetFacts(alike, facts.liquid)}
    assert np.abs(same.weights(alike)).max() == 0.0


def test_an_asset_of_a_time_series_that_is_thin_is_not_traded_and_keeps_its_past() -> None:
    panel = narrowed()
    spec = BacktestSpec("timeseries", liquid_half=True)
    target = prepare_target(panel, spec)
    facts = target.facts(spec)
    assert facts is not None
    plain = prepare_target(panel, BacktestSpec("timeseries")).weights(signal_of(panel))
    assert np.array_equal(target.weights(signal_of(panel)), np.where(facts.liquid, plain, 0.0))


def test_what_cannot_be_is_refused_in_a_line() -> None:
    for weighting in ("long_only", "timeseries"):
        with pytest.raises(InputError, match="market_neutral needs weights that are long and short"):
            BacktestSpec(weighting, market_neutral=True)  # type: ignore[arg-type]
    panel = random_panel(100, 25)
    silent = panel.with_fields({"volume": np.full(panel.shape, np.nan)})
    with pytest.raises(InputError, match="no volumes"):
        run_backtest(signal_of(panel), silent, BOTH)
    # Half of 18 assets are too few to be compared.
    few = random_panel(100, 18)
    assert isinstance(run_backtest(signal_of(few), few, BacktestSpec()), Backtest)
    refused = run_backtest(signal_of(few), few, BOTH)
    assert isinstance(refused, Rejection)
    assert refused.code == "small_universe"


def test_members_of_a_pool_are_traded_by_the_same_weights() -> None:
    panel = random_panel(200, 25)
    target: Target = prepare_target(panel, BOTH)
    signal = signal_of(panel)
    facts = target.facts(BOTH)
    assert facts is not None
    inside = np.where(facts.liquid & np.isfinite(facts.beta), signal, np.nan)
    found = slow_payoffs(members_of(inside), target.market, BOTH, 365.0, part=slice(0, 100), rates=(1.0,), facts=facts)
    weights = target.weights(inside, rank_panel(inside).ranks)
    assert found.gross[0, 0, :-2] == pytest.approx((weights * target.market.returns).sum(axis=1)[:-2], abs=1e-6)
