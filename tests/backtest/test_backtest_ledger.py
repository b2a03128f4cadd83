"""The ledger against accounts kept in units and cash, by hand and under hypothesis; portfolios and their rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.costs import PRESETS, Costs
from backtest.ledger import DELISTED_AFTER, DUST
from backtest.market_rows import market_rows
from backtest.run import Backtest, run_backtest, trade
from backtest.trading_rules import BacktestSpec
from backtest.weights import target_weights
from market.errors import InputError
from market.panel import FloatArray, Panel
from tests.helpers import make_panel, random_panel


def traded(targets: FloatArray, panel: Panel, spec: BacktestSpec) -> Backtest:
    return trade(targets, market_rows(panel, spec), spec, None, bars_per_year=panel.bars_per_year)


def keep_books(targets: FloatArray, panel: Panel, spec: BacktestSpec) -> tuple[list[float], list[float]]:
    """Trade the targets with units and cash, from 1 000 of capital; return equity at each fill, and what it sums to."""
    prices, funding = panel[spec.fill], np.nan_to_num(panel.fields.get("funding", np.zeros(panel.shape)))
    volume = panel["volume"]
    ahead = 2 if spec.fill == "open" else 3
    units, cash = np.zeros(panel.shape[1]), 1000.0
    last, missing = np.full(panel.shape[1], np.nan), np.zeros(panel.shape[1], dtype=int)
    equity, identity = [], []
    for t in range(len(prices) - 2):
        fresh = np.isfinite(prices[t + 1])
        last = np.where(fresh, prices[t + 1], last)
        can = fresh & (volume[t + 1] != 0)
        missing = np.where(can, 0, missing + 1)
        worth = np.where(units != 0, units * np.nan_to_num(last), 0.0)
        capital = cash + worth.sum()
        equity.append(capital)
        wanted = targets[t] * capital
        due = t % spec.rebalance == 0
        for i in np.flatnonzero(can if due else np.zeros(len(can), bool)):
            if spec.band == 0 or targets[t, i] == 0 or abs(wanted[i] - worth[i]) > spec.band * capital:
                bought = spec.rate * (wanted[i] - worth[i])
                if targets[t, i] == 0 and abs(worth[i] + bought) <= DUST * capital:
                    bought = -worth[i]
                cash -= bought + abs(bought) * spec.costs.per_trade
                units[i] = (worth[i] + bought) / last[i]
        for i in np.flatnonzero(missing > DELISTED_AFTER):
            cash += worth[i] - abs(worth[i]) * spec.costs.per_trade
            units[i] = 0.0
        held = np.where(units != 0, units * np.nan_to_num(last), 0.0)
        cash -= np.maximum(-held, 0).sum() * spec.costs.borrow_bp_year * 1e-4 / panel.bars_per_year
        if t + ahead < len(prices):
            cash -= (held * funding[t + ahead]).sum()
        after = np.where(np.isfinite(prices[t + 2]), prices[t + 2], last)
        identity.append(cash + np.where(units != 0, units * np.nan_to_num(after), 0.0).sum())
    return equity, identity


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    fill=st.sampled_from(["open", "close"]),
    rebalance=st.integers(1, 9),
    rate=st.sampled_from([1.0, 0.3, 0.02]),
    band=st.sampled_from([0.0, 0.02]),
    gaps=st.sampled_from([0.0, 0.1]),
    costs=st.sampled_from([Costs(0, 0), Costs(20.0, 10.0, 900.0), Costs(5.0, 1.0, maker_bp=-1.0, maker_share=0.5)]),
)
def test_equity_is_cash_and_positions_at_every_bar(
    seed: int, fill: str, rebalance: int, rate: float, band: float, gaps: float, costs: Costs
) -> None:
    rng = np.random.default_rng(seed)
    panel = random_panel(90, 4, seed, gaps=gaps)
    volume = np.where(rng.random(panel.shape) < 0.05, 0.0, panel["volume"])
    dead = {
        n: np.vstack([v[:25], np.column_stack([np.full((65, 1), np.nan), v[25:, 1:]])]) for n, v in panel.fields.items()
    }
    funding = np.where(rng.random(panel.shape) < 0.2, rng.normal(0, 0.003, panel.shape), 0.0)
    panel = panel.with_fields(
        {**dead, "volume": np.where(np.isfinite(dead["volume"]), volume, np.nan), "funding": funding}
    )
    spec = BacktestSpec(fill=fill, rebalance=rebalance, rate=rate, band=band, costs=costs)  # type: ignore[arg-type]
    targets = rng.normal(0, 0.3, panel.shape) * (rng.random(panel.shape) < 0.8)
    found = traded(targets, panel, spec)
    equity, identity = keep_books(targets, panel, spec)
    wealth = 1000 * np.cumprod(1 + found.net[:-2])
    np.testing.assert_allclose(wealth, identity, rtol=1e-10)
    np.testing.assert_allclose(identity[:-1], equity[1:], rtol=1e-10)


def test_six_bars_by_hand() -> None:
    # Two assets, orders of +50 % and -50 %, then the reverse; fee 10 bp, borrow none, one settlement of 1 %.
    opens = np.array([[100, 50], [100, 50], [110, 50], [110, 40], [99, 40], [99, 44.0]])
    funding = np.zeros((6, 2))
    funding[3] = 0.01
    panel = make_panel(dict.fromkeys(("open", "high", "low", "close"), opens) | {"volume": opens, "funding": funding})
    targets = np.array([[0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [-0.5, 0.5], [0, 0], [0, 0]])
    found = traded(targets, panel, BacktestSpec(costs=Costs(10.0, 0.0, impact=0.0)))
    # Decision 0: 50 % of A gains 10 %: 0.05; traded 1.0: 0.001.
    assert found.gross[0] == pytest.approx(0.05)
    assert found.net[0] == pytest.approx(0.049)
    # Decision 1: positions drifted to 0.55 / 1.049 and -0.5 / 1.049 and are brought back; B falls 20 %; both pay 1 %.
    moved = abs(0.5 - 0.55 / 1.049) + abs(-0.5 + 0.5 / 1.049)
    assert found.turnover[1] == pytest.approx(moved)
    assert found.gross[1] == pytest.approx(0.10)
    assert found.funding[1] == pytest.approx(0.5 * 0.01 - 0.5 * 0.01)
    assert found.net[1] == pytest.approx(0.10 - 0.001 * moved)
    # Decision 2: short A, which falls 10 %: 0.05; from +0.5 and -0.4 over 1.1 and so on.
    capital = 1 + found.net[1]
    turned = abs(-0.5 - 0.5 / capital) + abs(0.5 + 0.4 / capital)
    assert found.turnover[2] == pytest.approx(turned)
    assert found.net[2] == pytest.approx(0.05 - 0.001 * turned)
    # Decision 3: B gains 10 %.
    assert found.gross[3] == pytest.approx(0.05)
    assert found.opened.tolist()[:4] == [2, 0, 2, 0]
    assert np.isnan(found.net[4:]).all()


def test_a_position_moves_its_share_of_the_way_by_hand() -> None:
    # One asset that does not move but for +10 % between the fills of decisions 1 and 2; a fee of 100 bp.
    opens = np.array([[100.0], [100], [100], [110], [110], [110], [110], [110]])
    panel = make_panel(dict.fromkeys(("open", "high", "low", "close"), opens) | {"volume": opens})
    targets = np.array([[0.8], [0.8], [0.8], [0.0], [0.0], [0.0], [0.0], [0.0]])
    found = traded(targets, panel, BacktestSpec(rate=0.25, costs=Costs(100.0, 0.0, impact=0.0)))
    # Decision 0: a quarter of 0.8 is bought: 0.2, for 0.002 of capital. Nothing moves.
    assert found.weights[0, 0] == pytest.approx(0.2)
    assert found.net[0] == pytest.approx(-0.002)
    # Decision 1: 0.2 / 0.998 moves a quarter of what is left of the way to 0.8; then it gains 10 %.
    now = 0.2 / 0.998
    new = now + 0.25 * (0.8 - now)
    assert found.weights[1, 0] == pytest.approx(new)
    assert found.turnover[1] == pytest.approx(new - now)
    assert found.net[1] == pytest.approx(0.1 * new - 0.01 * (new - now))
    # Decision 2 begins with what has grown, over the capital that has grown as well.
    now = new * 1.1 / (1.0 + found.net[1])
    new = now + 0.25 * (0.8 - now)
    assert found.weights[2, 0] == pytest.approx(new)
    # On the way out three quarters stay at each bar, over a capital that the fee shrinks.
    now = new / (1.0 + found.net[2])
    assert found.weights[3, 0] == pytest.approx(0.75 * now)
    assert found.opened.tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


def test_what_partial_trading_leaves_of_a_position_is_closed_at_last_and_a_dead_asset_wholly() -> None:
    panel = random_panel(400, 2)
    dead = {n: np.where((np.arange(400) >= 200)[:, None] & [[True, False]], np.nan, panel[n]) for n in panel.fields}
    targets = np.tile([0.5, -0.5], (400, 1))
    targets[100:, 1] = 0.0
    found = traded(targets, panel.with_fields(dead), BacktestSpec(rate=0.1))
    assert found.weights[150, 1] != 0.0
    assert (found.weights[260:, 1] == 0.0).all()
    # It dies at bar 200, in mid-position, and is settled once it counts as delisted.
    assert found.weights[200, 0] > 0.4
    assert (found.weights[199 + DELISTED_AFTER :, 0] == 0.0).all()


def test_funding_is_paid_at_its_settlement_by_who_holds_then() -> None:
    base = random_panel(40, 2)
    rate = np.zeros(base.shape)
    rate[20] = 0.01
    panel = base.with_fields({"funding": rate})
    long = np.full(base.shape, 0.5)
    # A fill at the open of 19 is open at the settlement at the open of 20; one at the close of 19 comes after it.
    for fill, payer in (("open", 18), ("close", 17)):
        found = traded(long, panel, BacktestSpec(fill=fill, costs=Costs(0, 0)))  # type: ignore[arg-type]
        assert np.flatnonzero(found.funding).tolist() == [payer]
        assert found.funding[payer] == pytest.approx(0.01)


def test_a_short_that_goes_to_the_sky_ruins_the_book_once() -> None:
    base = random_panel(30, 2)
    jump = np.where(np.arange(30)[:, None] >= 10, 5.0, 1.0)
    panel = base.with_fields({name: base[name] * jump for name in ("open", "high", "low", "close")})
    found = traded(np.tile([-0.5, -0.5], (30, 1)), panel, BacktestSpec())
    assert found.net[8] < -1
    assert (found.weights[9:] == 0).all()
    assert (found.net[9:-2] == 0).all()


def test_impact_grows_with_the_root_of_capital() -> None:
    panel = random_panel(200, 12)
    values = np.random.default_rng(1).normal(size=panel.shape)
    free, small, large = (
        run_backtest(values, panel, BacktestSpec(costs=Costs(0, 0, capital=capital))) for capital in (0.0, 1e3, 4e3)
    )
    assert isinstance(free, Backtest)
    assert isinstance(small, Backtest)
    assert isinstance(large, Backtest)
    paid, more = (np.nansum(free.gross - x.net) for x in (small, large))
    assert paid > 0
    assert more == pytest.approx(2 * paid, rel=1e-3)
    # One trade by hand: Y sigma sqrt(Q / V) of Q.
    t = 100
    ledger_rows = market_rows(panel, BacktestSpec())
    change = np.abs(free.weights[t] - free.weights[t - 1] * (1 + ledger_rows.returns[t - 1]) / (1 + free.net[t - 1]))
    money = panel["volume"][t + 1] * panel["close"][t + 1]
    close = panel["close"]
    sigma = np.std(close[t - 59 : t + 1] / close[t - 60 : t] - 1, axis=0, ddof=1)
    by_hand = (change * sigma * np.sqrt(change * 1e3 / money)).sum()
    assert free.impact[t] * np.sqrt(1e3) == pytest.approx(by_hand)


def test_a_bar_without_volume_cannot_be_traded() -> None:
    base = random_panel(30, 2)
    volume = np.array(base["volume"])
    volume[11] = 0.0
    panel = base.with_fields({"volume": volume})
    targets = np.where(np.arange(30)[:, None] >= 10, 0.5, 0.0) * np.ones((1, 2))
    found = traded(targets, panel, BacktestSpec())
    assert (found.weights[10] == 0).all()
    assert (found.weights[11] == 0.5).all()
    # A panel that has no volumes at all says nothing about trading.
    silent = base.with_fields({"volume": np.zeros(base.shape)})
    assert (traded(targets, silent, BacktestSpec()).weights[10] == 0.5).all()


def test_a_dead_asset_takes_its_loss_and_leaves() -> None:
    base = random_panel(200, 2)
    fall = np.where(np.arange(200) >= 99, 0.001, 1.0)[:, None] * np.array([[1.0, 0.0]]) + np.array([[0.0, 1.0]])
    fields = {name: base[name] * fall for name in ("open", "high", "low", "close")} | {
        "volume": np.array(base["volume"])
    }
    for values in fields.values():
        values[101:, 0] = np.nan
    panel = make_panel(fields)
    targets = np.full(base.shape, 0.5)
    targets[100:, 0] = 0.0
    found = traded(targets, panel, BacktestSpec())
    assert found.gross[97] < -0.45
    assert (found.weights[100 + DELISTED_AFTER + 1 :, 0] == 0).all()
    targets[:, 0] = 0.5
    held = traded(targets, panel, BacktestSpec(delisting_return=-1.0))
    assert held.gross[100 + DELISTED_AFTER] < -0.4


def test_books_of_each_kind() -> None:
    signal = np.arange(20.0)[None].repeat(3, axis=0)
    quantile = target_weights(signal, BacktestSpec("quantile", quantiles=5))
    np.testing.assert_allclose(quantile[0], [-0.125] * 4 + [0.0] * 12 + [0.125] * 4)
    top = target_weights(signal, BacktestSpec("long_only", quantiles=5))
    np.testing.assert_allclose(top[0], [0.0] * 16 + [0.25] * 4)
    capped = target_weights(signal, BacktestSpec("quantile", quantiles=5, max_weight=0.05))
    np.testing.assert_allclose(np.abs(capped[0]).max(), 0.05)
    np.testing.assert_allclose(capped.sum(axis=1), 0, atol=1e-15)
    groups = np.tile(np.arange(20) % 4, (3, 1)).astype(float)
    grouped = target_weights(signal, BacktestSpec(), groups=groups)
    for g in range(4):
        np.testing.assert_allclose(grouped[:, groups[0] == g].sum(axis=1), 0, atol=1e-15)
    assert np.abs(grouped).sum(axis=1) == pytest.approx(1.0)
    calm = np.where(np.arange(20) % 2, 0.01, 0.02)[None].repeat(3, axis=0)
    scaled = target_weights(signal, BacktestSpec("quantile", volatility_scaled=True), calm)
    assert scaled[0, 19] == pytest.approx(2 * scaled[0, 18])
    np.testing.assert_allclose(scaled.sum(axis=1), 0, atol=1e-15)


def test_rebalancing_now_and_then_trades_now_and_then() -> None:
    panel = random_panel(60, 12)
    values = np.random.default_rng(1).normal(size=panel.shape)
    found = run_backtest(values, panel, BacktestSpec(rebalance=6))
    assert isinstance(found, Backtest)
    assert np.flatnonzero(found.turnover).tolist() == list(range(0, 59, 6))


def test_kelly_is_never_told_the_future() -> None:
    panel = random_panel(900, 12)
    values = np.nan_to_num(panel["close"]) + np.random.default_rng(0).normal(size=panel.shape)
    spec = BacktestSpec(kelly=0.5, max_leverage=2.0)
    whole, part = run_backtest(values, panel, spec), run_backtest(values[:600], panel.rows(0, 600), spec)
    assert isinstance(whole, Backtest)
    assert isinstance(part, Backtest)
    np.testing.assert_array_equal(whole.weights[:599], part.weights[:599])
    assert whole.exposure.max() <= 2.0 + 1e-9


def test_half_kelly_is_half_of_mean_over_variance() -> None:
    panel = random_panel(1200, 12, 5)
    rising = panel.with_fields(
        {n: panel[n] * 1.0002 ** np.arange(1200)[:, None] for n in ("open", "high", "low", "close")}
    )
    spec = BacktestSpec("long_only", kelly=0.5, max_leverage=50.0, costs=Costs(0, 0), rebalance=1)
    values = np.tile(np.arange(12.0), (1200, 1))
    unit = run_backtest(values, rising, BacktestSpec("long_only", costs=Costs(0, 0)))
    sized = run_backtest(values, rising, spec)
    assert isinstance(unit, Backtest)
    assert isinstance(sized, Backtest)
    known = unit.net[:999]
    assert sized.exposure[1000] == pytest.approx(np.clip(0.5 * known.mean() / known.var(), 0, 50), rel=1e-6)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_are_costs(name: str) -> None:
    assert 0 < Costs(**PRESETS[name]).per_trade < 0.01


@pytest.mark.parametrize(
    "rules",
    [
        {"holding": 0},
        {"rebalance": 0},
        {"band": -0.1},
        {"max_weight": 0.0},
        {"quantiles": 1},
        {"kelly": 2.0},
        {"max_risk": 0.0},
    ],
)
def test_rules_that_mean_nothing_are_refused(rules: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(rules))):
        BacktestSpec(**rules)  # type: ignore[arg-type]


def test_costs_that_mean_nothing_are_refused() -> None:
    for wrong in ({"fee_bp": -1.0}, {"capital": -5.0}, {"maker_share": 1.5}):
        with pytest.raises(InputError):
            Costs(**wrong)
