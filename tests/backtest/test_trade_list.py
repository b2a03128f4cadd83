"""Trades: together they are the backtest, and each is what one sees on a small market."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from backtest.costs import Costs
from backtest.market_rows import market_rows
from backtest.run import run_backtest, trade
from backtest.trade_list import trades_of
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
