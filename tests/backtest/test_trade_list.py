"""Trades: together they are the backtest, and each is what one sees on a small market."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from agent.knowledge.score_documents import read_flat
from agent.study.trade_frame import wealth_before
from backtest.costs import Costs
from backtest.market_rows import market_rows
from backtest.metrics import annual_return
from backtest.result_types import SegmentScore
from backtest.run import run_backtest, trade
from backtest.trade_figures import total_return, trade_figures
from backtest.trade_list import TradeList, trades_of
from backtest.trading_rules import BacktestSpec
from market.errors import Rejection
from tests.helpers import make_panel, random_panel

SPECS = (
    BacktestSpec(),
    BacktestSpec(rate=0.2, holding=3),
    BacktestSpec(weighting="quantile", rebalance=7, costs=Costs(borrow_bp_year=400, capital=1e6)),
    BacktestSpec(weighting="long_only", band=0.02, delisting_return=-0.5),
)


@pytest.mark.parametrize("spec", SPECS)
def test_trades_add_up_to_the_backtest(spec: BacktestSpec) -> None:
    panel = random_panel(400, 14, seed=3)
    close = panel["close"].copy()
    # One asset dies, with a position in it.
    dead = {
        name: np.where(np.arange(400)[:, None] + 0 * values > 250, np.nan, values)
        for name, values in panel.fields.items()
    }
    fields = {name: np.hstack([panel[name][:, :13], dead[name][:, 13:]]) for name in panel.fields}
    funding = np.random.default_rng(1).normal(0, 1e-4, close.shape)
    panel = replace(panel, fields={**fields, "funding": funding}, universe=np.isfinite(fields["close"]))
    signal = np.random.default_rng(2).normal(size=panel.shape).cumsum(axis=0)
    signal[:, 13] = 50.0
    done = run_backtest(np.where(panel.universe, signal, np.nan), panel, spec)
    assert not isinstance(done, Rejection)
    stop = len(panel.times) - 2
    trades = trades_of(done, market_rows(panel, spec), panel.bars_per_year, stop)
    assert len(trades.net) == int(done.opened[:stop].sum())
    assert trades.gross.sum() == pytest.approx(done.gross[:stop].sum(), abs=1e-12)
    assert trades.net.sum() == pytest.approx(done.net[:stop].sum(), abs=1e-12)
    paid = done.cost + done.impact * math.sqrt(spec.costs.capital) + done.funding
    assert trades.cost.sum() == pytest.approx(paid[:stop].sum(), abs=1e-12)
    assert (trades.closed > trades.opened).all()
    assert (np.diff(trades.opened) >= 0).all()


def test_one_trade_is_what_one_sees() -> None:
    prices = np.array([[10.0], [10.0], [11.0], [12.1], [12.1], [12.1]])
    panel = make_panel(dict.fromkeys(("open", "high", "low", "close"), prices) | {"volume": np.ones((6, 1))})
    spec = BacktestSpec(weighting="timeseries", costs=Costs(fee_bp=10, slippage_bp=0))
    market = market_rows(panel, spec)
    targets = np.array([[0.5], [0.5], [0.0], [0.0], [0.0], [0.0]])
    done = trade(targets, market, spec, None, bars_per_year=1.0)
    trades = trades_of(done, market, 1.0, 4)
    assert (trades.asset.tolist(), trades.opened.tolist(), trades.closed.tolist()) == ([0], [0], [2])
    assert trades.gross[0] == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)
    assert trades.size[0] == 0.5
    assert trades.net[0] == pytest.approx(done.net[:4].sum())
    assert trades.cost[0] > 0.001


def test_without_a_position_there_is_no_trade() -> None:
    panel = random_panel(30, 12)
    spec = BacktestSpec()
    market = market_rows(panel, spec)
    done = trade(np.zeros(panel.shape), market, spec, None, bars_per_year=8760.0)
    assert len(trades_of(done, market, 8760.0, 28).net) == 0


def test_money_of_trades_is_what_the_capital_grew_by() -> None:
    panel = random_panel(300, 12, seed=5)
    spec = BacktestSpec(rate=0.3)
    done = run_backtest(np.random.default_rng(1).normal(size=panel.shape), panel, spec)
    assert not isinstance(done, Rejection)
    stop = len(panel.times) - 2
    wealth = wealth_before(done, stop, 50_000.0)
    trades = trades_of(done, market_rows(panel, spec), panel.bars_per_year, stop, wealth)
    assert wealth[0] == 50_000.0
    assert trades.net.sum() == pytest.approx(50_000.0 * (np.prod(1.0 + done.net[:stop]) - 1.0), abs=1e-6)
    assert trades.net == pytest.approx(trades.gross - trades.cost)


def test_figures_of_trades_are_counted_by_closed_trades() -> None:
    at = np.array([0, 1, 2, 3])
    amounts = np.array([3.0, -1.0, 2.0, 5.0])
    ends = np.array([2, 4, 5, 9])
    found = trade_figures(TradeList(at, at, ends, np.ones(4, int), amounts, amounts, 0 * amounts, amounts), 9)
    assert (found.trades, found.open, found.net) == (4, 1, 9.0)
    assert found.win_rate == pytest.approx(2 / 3)
    assert (found.profit_factor, found.mean_bars, found.mean_win, found.mean_loss) == (5.0, 8 / 3, 2.5, 1.0)
    nothing = trade_figures(TradeList(at, at, ends, np.ones(4, int), *[amounts] * 4), 9, np.zeros(4, dtype=bool))
    assert nothing.trades == 0
    assert math.isnan(nothing.win_rate)


def test_the_total_return_undoes_the_return_a_year() -> None:
    returns = np.array([0.1, -0.05, 0.02, np.nan])
    year = annual_return(returns[:3], 365.0)
    score = replace(read_flat(SegmentScore, {}), n_bars=3, annual_return_net=year, annual_return_gated=-1.0)
    assert total_return(score, 365.0) == pytest.approx(1.1 * 0.95 * 1.02 - 1.0)
    assert total_return(score, 365.0, gated=True) == -1.0
    assert math.isnan(total_return(read_flat(SegmentScore, {}), 365.0))
