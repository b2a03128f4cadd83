"""What a factor pays: the weights and residuals by hand and by pandas, and styles that returns are residual to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from backtest.bar_regimes import close_returns
from backtest.ic import forward_returns
from backtest.payoff import (
    MIN_ASSETS,
    STYLES,
    half_life,
    rank_payoffs,
    risk_returns,
    trailing_risk,
)
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from market.errors import InputError
from market.panel import Panel
from market.ranking import average_ranks
from tests.helpers import random_panel


@pytest.fixture(scope="module")
def panel() -> Panel:
    return random_panel(260, 16, 3, gaps=0.03)


def test_payoffs_are_those_of_pandas(panel: Panel) -> None:
    signal = np.where(np.random.default_rng(0).random(panel.shape) < 0.1, np.nan, panel["volume"])
    forward = forward_returns(panel, 1)
    risk = risk_returns(panel, forward)
    paid = rank_payoffs(signal, forward, risk)
    for bar in (5, 60, 200):
        row = pd.DataFrame({"x": signal[bar], "f": forward[bar], "e": risk[bar]}).dropna()
        ranks = row["x"].rank()
        weights = (ranks - ranks.mean()) / (ranks - ranks.mean()).abs().sum()
        assert paid[bar] == pytest.approx(float((weights * row["e"]).sum()), abs=1e-6)


def test_risk_is_known_at_the_decision_and_trails_as_pandas_does(panel: Panel) -> None:
    deviation, _beta = trailing_risk(panel)
    returns = pd.DataFrame(close_returns(panel))
    expected = np.sqrt((returns**2).ewm(halflife=half_life(panel), ignore_na=True).mean())
    last = deviation[-1]
    np.testing.assert_allclose(last, expected.iloc[-1], rtol=1e-9)
    shorter, _ = trailing_risk(panel.rows(0, 200))
    np.testing.assert_array_equal(shorter, deviation[:200])


def test_a_market_move_pays_nothing() -> None:
    panel = random_panel(300, 20, 1)
    moves = np.random.default_rng(4).normal(0, 0.02, (300, 1)) * np.ones((1, 20))
    close = 100 * np.cumprod(1 + moves, axis=0)
    opened = np.vstack([close[:1], close[:-1]])
    same = panel.with_fields({"open": opened, "close": close, "high": close + 9, "low": close - 9})
    risk = risk_returns(same, forward_returns(same, 1))
    assert np.abs(risk).max() < 1e-5


def test_an_asset_with_twice_the_market_is_residual_to_it() -> None:
    rng = np.random.default_rng(7)
    market = rng.normal(0, 0.02, (2_000, 1))
    moves = np.hstack([2.0 * market, np.repeat(market, 19, axis=1)]) + 0.002 * rng.standard_normal((2_000, 20))
    close = 100 * np.cumprod(1 + moves, axis=0)
    panel = random_panel(2_000, 20, 1)
    opened = np.vstack([close[:1], close[:-1]])
    panel = panel.with_fields({"open": opened, "close": close, "high": close * 2, "low": close / 2})
    forward = forward_returns(panel, 1)
    risk = risk_returns(panel, forward)
    mean = np.nan_to_num(forward).mean(axis=1)
    raw = np.corrcoef(forward[200:-2, 0], mean[200:-2])[0, 1]
    left = np.corrcoef(risk[200:-2, 0], mean[200:-2])[0, 1]
    # A third of the way to 1 is left in: what the prior says of one asset against its own evidence.
    assert abs(left) < 0.98 < raw


@pytest.mark.parametrize("style", STYLES)
def test_returns_are_residual_to_a_style(style: str, panel: Panel) -> None:
    from backtest.payoff import _style

    forward = forward_returns(panel, 1)
    residual = risk_returns(panel, forward, [style])
    deviation, _ = trailing_risk(panel)
    exposure = _style(panel, style, deviation)
    for bar in (190, 230):
        known = residual[bar] != 0.0
        ranks = average_ranks(np.where(known, exposure[bar], np.nan)[None])[0]
        assert np.corrcoef(ranks[known], residual[bar][known])[0, 1] == pytest.approx(0.0, abs=1e-5)


def test_an_unknown_style_is_refused(panel: Panel) -> None:
    with pytest.raises(InputError, match="no such style: value"):
        risk_returns(panel, forward_returns(panel, 1), ["value"])


def test_too_few_assets_pay_nothing_known() -> None:
    few = random_panel(100, MIN_ASSETS - 1, 2)
    forward = forward_returns(few, 1)
    assert np.isnan(rank_payoffs(few["volume"], forward, risk_returns(few, forward))).all()


def test_a_constant_signal_has_no_payoff(panel: Panel) -> None:
    forward = forward_returns(panel, 1)
    assert np.isnan(rank_payoffs(np.ones(panel.shape), forward, risk_returns(panel, forward))).all()


def test_known_ranks_give_the_same_payoffs(panel: Panel) -> None:
    signal, forward = panel["volume"].copy(), forward_returns(panel, 1)
    signal[40:60, 3] = np.nan
    forward[100:120, 5] = np.nan
    risk = risk_returns(panel, forward)
    ranks = average_ranks(signal)
    kept = ranks.copy()
    found = rank_payoffs(signal, forward, risk, ranks)
    np.testing.assert_allclose(found, rank_payoffs(signal, forward, risk), rtol=1e-12)
    np.testing.assert_array_equal(ranks, kept)


def test_rules_say_what_payoffs_are_residual_to(panel: Panel) -> None:
    plain = prepare_target(panel, BacktestSpec())
    styled = prepare_target(panel, BacktestSpec(residual_to=("market", "momentum", "size")))
    forward = forward_returns(panel, 1)
    np.testing.assert_array_equal(plain.risk, risk_returns(panel, forward))
    np.testing.assert_array_equal(styled.risk, risk_returns(panel, forward, ["momentum", "size"]))
    # What is traded and earned is the same.
    np.testing.assert_array_equal(plain.market.returns, styled.market.returns)


@pytest.mark.parametrize(
    ("names", "said"),
    [(("market", "value"), "no such style: value"), (("size",), "has to have 'market'"), (("market",) * 2, "twice")],
)
def test_rules_refuse_what_nothing_can_be_residual_to(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        BacktestSpec(residual_to=names)
