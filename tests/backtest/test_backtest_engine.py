"""The backtest against a loop over bars, hand-made cases, and canaries for look-ahead."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from backtest import metrics
from backtest.costs import Costs
from backtest.ic import forward_returns, newey_west_t, quantile_series, rank_ic
from backtest.ledger import DELISTED_AFTER
from backtest.placebo import calmest_first, random_gate, shifted_gates, volatility_gate
from backtest.run import Backtest, run_backtest
from backtest.trading_rules import BacktestSpec
from backtest.weights import apply_gate
from market.errors import InputError, Rejection
from market.panel import FloatArray, Panel
from market.ranking import rank_panel
from tests.helpers import make_panel, random_panel

FREE = Costs(0.0, 0.0)


def backtest(
    values: FloatArray, panel: Panel, spec: BacktestSpec | None = None, gate: FloatArray | None = None
) -> Backtest:
    result = run_backtest(values, panel, spec or BacktestSpec(), gate)
    assert isinstance(result, Backtest), result
    return result


def signal_of(panel: Panel, seed: int = 1) -> FloatArray:
    values = np.random.default_rng(seed).normal(size=panel.shape)
    values[np.random.default_rng(seed + 1).random(panel.shape) < 0.05] = np.nan
    return values


def test_equals_a_loop_over_bars() -> None:
    panel = random_panel(80, 12)
    values = np.round(signal_of(panel), 1)
    spec = BacktestSpec(holding=3, costs=Costs(4.0, 3.0, borrow_bp_year=500.0))
    found = backtest(values, panel, spec)
    opens = panel["open"]
    targets, kept = [], np.zeros(12)
    for t in range(80):
        ranks = scipy.stats.rankdata(values[t], nan_policy="omit")
        centred = np.where(np.isfinite(values[t]), ranks - np.nanmean(ranks), 0.0)
        targets.append(centred / np.abs(centred).sum())
        weights = np.sum(targets[-3:], axis=0) / 3
        if t < 78:
            # The last bar has no next open, so nothing can be traded there.
            returns = opens[t + 2] / opens[t + 1] - 1
            gross = float(weights @ returns)
            turnover = float(np.abs(weights - kept).sum())
            net = gross - turnover * 7e-4 - 0.05 / 8760 * float(np.maximum(-weights, 0).sum())
            np.testing.assert_allclose(found.weights[t], weights, atol=1e-15)
            assert found.gross[t] == pytest.approx(gross, abs=1e-15)
            assert found.turnover[t] == pytest.approx(turnover, abs=1e-14)
            assert found.net[t] == pytest.approx(net, abs=1e-15)
            # What is kept until the next fill has moved with its price, and the capital with the positions.
            kept = weights * (1 + returns) / (1 + net)
    assert np.isnan(found.net[-2:]).all()


def test_book_is_neutral_with_gross_one() -> None:
    panel = random_panel(50, 14)
    for weighting in ("rank", "zscore"):
        weights = backtest(signal_of(panel), panel, BacktestSpec(weighting=weighting)).weights[:-1]  # type: ignore[arg-type]
        np.testing.assert_allclose(weights.sum(axis=1), 0.0, atol=1e-14)
        np.testing.assert_allclose(np.abs(weights).sum(axis=1), 1.0, atol=1e-12)


def test_only_a_signal_that_knows_the_next_two_opens_is_rich() -> None:
    # Opens are a random walk: a bar's return says nothing about the next.
    opens = 100 * np.exp(np.cumsum(np.random.default_rng(8).normal(0, 0.01, (2000, 12)), axis=0))
    panel = make_panel(dict.fromkeys(("open", "high", "low", "close", "volume"), opens))
    future = np.nan_to_num(forward_returns(panel, 1))

    def sharpe_of(values: FloatArray) -> float:
        return metrics.sharpe(backtest(values, panel, BacktestSpec(costs=FREE)).gross, panel.bars_per_year)

    assert sharpe_of(future) > 100
    # What the bar just closed has already earned cannot be earned again.
    for late in (1, 2, 3):
        stale = np.vstack([np.zeros((late, 12)), future[:-late]])
        assert abs(sharpe_of(stale)) < 8


def test_the_past_does_not_change_when_bars_are_added() -> None:
    panel = random_panel(90, 12, gaps=0.02)
    values = signal_of(panel)
    whole, part = backtest(values, panel), backtest(values[:60], panel.rows(0, 60))
    # The last bar of the shorter panel has no next open to trade at.
    np.testing.assert_array_equal(whole.weights[:59], part.weights[:59])
    np.testing.assert_array_equal(whole.net[:58], part.net[:58])


def test_three_bars_by_hand() -> None:
    opens = np.ones((4, 12)) * 100.0
    opens[2, 0], opens[2, 11] = 110.0, 90.0
    panel = make_panel(dict.fromkeys(("open", "high", "low", "close"), opens) | {"volume": opens})
    values = np.tile(np.arange(12.0)[::-1], (4, 1))
    found = backtest(values, panel, BacktestSpec(costs=Costs(10.0, 0.0)))
    # Ranks 1..12 centred: the top has 5.5 / 36 of capital.
    assert found.gross[0] == pytest.approx(2 * 5.5 / 36 * 0.10)
    assert found.cost[0] == pytest.approx(1.0 * 10e-4)
    # The long position grew by 10 % and the capital by what it earned after costs: the difference is traded back.
    side, grown = 5.5 / 36, 1 + found.net[0]
    others = (2 * (4.5 + 3.5 + 2.5 + 1.5 + 0.5)) / 36 * abs(1 / grown - 1)
    long, short = abs(side * 1.1 / grown - side), abs(side * 0.9 / grown - side)
    assert found.turnover[1] == pytest.approx(long + short + others)


def test_a_halted_asset_is_held_and_a_dead_one_settled() -> None:
    base = random_panel(200, 12)
    fields = {name: values.copy() for name, values in base.fields.items()}
    for values in fields.values():
        values[50:60, 0] = np.nan
        values[100:, 1] = np.nan
    panel = make_panel(fields)
    found = backtest(np.tile(np.arange(12.0), (200, 1)), panel)
    # Units cannot change while an asset is halted: its share moves with the capital alone.
    for asset, first, last in ((0, 48, 58), (1, 98, 120)):
        grown = np.cumprod(1 + found.net[first:last])
        np.testing.assert_allclose(found.weights[first + 1 : last + 1, asset], found.weights[first, asset] / grown)
    assert (found.weights[99 + DELISTED_AFTER + 1 :, 1] == 0).all()


def test_funding_is_paid_by_longs_at_the_settlement_they_hold_through() -> None:
    base = random_panel(30, 12)
    rate = np.zeros(base.shape)
    rate[10] = 0.01
    panel = base.with_fields({"funding": rate})
    found = backtest(np.tile(np.arange(12.0), (30, 1)), panel)
    assert found.funding[8] == pytest.approx(float((found.weights[8] * 0.01).sum()), abs=1e-15)
    assert np.flatnonzero(found.funding).tolist() in ([8], [])
    skewed = rate * np.arange(12)
    paid = backtest(np.tile(np.arange(12.0), (30, 1)), base.with_fields({"funding": skewed})).funding
    assert paid[8] > 0
    assert np.flatnonzero(paid).tolist() == [8]


def test_small_universes_get_no_cross_section_but_a_time_series() -> None:
    panel = random_panel(300, 3)
    refused = run_backtest(signal_of(panel), panel, BacktestSpec())
    assert isinstance(refused, Rejection)
    assert refused.code == "small_universe"
    found = backtest(signal_of(panel), panel, BacktestSpec(weighting="timeseries"))
    assert np.abs(found.weights).sum(axis=1).max() <= 1.0


def test_a_gate_only_takes_exposure_away_and_keeps_the_book_neutral() -> None:
    panel = random_panel(60, 12)
    plain = backtest(signal_of(panel), panel)
    gate = np.random.default_rng(5).random(panel.shape)
    gated = apply_gate(plain.weights, gate, neutral=True)
    np.testing.assert_allclose(gated.sum(axis=1), 0, atol=1e-14)
    assert (np.abs(gated) <= np.abs(plain.weights) + 1e-15).all()
    assert (gated * plain.weights >= 0).all()
    shut = backtest(signal_of(panel), panel, gate=np.zeros(panel.shape))
    assert np.nansum(np.abs(shut.net)) == 0.0


def test_placebo_gates_have_the_exposure_of_the_gate() -> None:
    panel = random_panel(200, 12)
    gate = np.random.default_rng(5).random(panel.shape)
    rng = np.random.default_rng(6)
    for other in (random_gate(gate, rng), volatility_gate(calmest_first(panel), gate), *shifted_gates(gate, 5, rng)):
        np.testing.assert_allclose(np.sort(other, axis=0), np.sort(gate, axis=0))
        assert not np.array_equal(other, gate)


def test_the_volatility_gate_is_shut_in_the_wildest_bars() -> None:
    panel = random_panel(300, 12)
    gate = np.ones(panel.shape)
    gate[:30] = 0.0
    other = volatility_gate(calmest_first(panel), gate)
    returns = np.vstack([np.zeros((1, 12)), panel["close"][1:] / panel["close"][:-1] - 1])
    realised = np.array([np.sqrt((returns[max(0, t - 19) : t + 1] ** 2).sum(axis=0)) for t in range(300)])
    assert realised[other == 0].min() >= np.sort(realised, axis=0)[-30].min()


def test_rank_ic_is_scipys_spearman_with_ties_and_gaps() -> None:
    rng = np.random.default_rng(2)
    values, forward = np.round(rng.normal(size=(40, 15)), 1), rng.normal(size=(40, 15))
    values[rng.random(values.shape) < 0.2] = np.nan
    forward[rng.random(values.shape) < 0.1] = np.nan
    found = rank_ic(values, forward)
    for t in range(40):
        both = np.isfinite(values[t]) & np.isfinite(forward[t])
        wanted = scipy.stats.spearmanr(values[t][both], forward[t][both]).statistic if both.sum() >= 10 else np.nan
        assert found[t] == pytest.approx(wanted, abs=1e-12, nan_ok=True)


def test_perfect_foresight_has_ic_one_and_ordered_quantiles() -> None:
    panel = random_panel(60, 20)
    future = forward_returns(panel, 1)
    assert np.nanmean(rank_ic(future, future)) == pytest.approx(1.0)
    assert (np.diff(np.nanmean(quantile_series(rank_panel(future), future, 5), axis=0)) > 0).all()


def test_newey_west_without_lags_is_the_plain_t() -> None:
    x = np.random.default_rng(0).normal(0.1, 1, 500)
    assert newey_west_t(x, lags=0) == pytest.approx(x.mean() / (x.std() / np.sqrt(500)))
    persistent = np.repeat(x[:50], 10)
    assert abs(newey_west_t(persistent, lags=20)) < abs(newey_west_t(persistent, lags=0))


def test_metrics_by_hand() -> None:
    returns = np.array([0.10, -0.20, 0.05, 0.0, np.nan])
    assert metrics.max_drawdown(returns) == pytest.approx(0.20)
    assert metrics.hit_rate(returns) == pytest.approx(2 / 3)
    assert metrics.profit_factor(returns) == pytest.approx(0.75)
    known = returns[:4]
    # A ratio over so few bars is none.
    assert np.isnan(metrics.sharpe(returns, 252))
    assert np.isnan(metrics.sharpe(np.tile(known, 8)[:29], 252))
    many = np.tile(known, 8)
    assert metrics.sharpe(many, 252) == pytest.approx(many.mean() / many.std(ddof=1) * np.sqrt(252))
    assert metrics.sortino(many, 252) == pytest.approx(known.mean() / np.sqrt(0.04 / 4) * np.sqrt(252))
    assert metrics.annual_return(np.full(10, 0.01), 10) == pytest.approx(1.01**10 - 1)
    assert metrics.annual_return(np.array([-1.5, 0.3]), 10) == -1.0
    assert np.isnan(metrics.sharpe(np.zeros(40), 252))


def test_costs_cannot_be_negative() -> None:
    with pytest.raises(InputError):
        Costs(-1.0)
