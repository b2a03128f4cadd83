"""Rules of a grid traded side by side against the ledger of each; which of them is chosen on train, and which never."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.confirmation import Shortlisted, TestedBefore, confirm
from backtest.costs import Costs
from backtest.evidence import Trials, reach_verdict
from backtest.ledger import DELISTED_AFTER
from backtest.policy import Policy
from backtest.rule_choice import choose_rule, rule_series
from backtest.rule_grid import RuleGrid, TradingRule
from backtest.rule_kernels import RULE_GROSS, RULE_NET, RULE_TURNOVER
from backtest.run import Backtest, run_backtest
from backtest.scorecard import Scored, score_signal
from backtest.target import Target, prepare_target
from backtest.trading_rules import BacktestSpec
from market.errors import InputError
from market.panel import FloatArray, Panel
from market.split import make_split
from tests.helpers import random_panel

WIDE = RuleGrid(rates=(1.0, 0.3, 0.02), bands=(0.0, 0.01), holdings=(1, 3), scalings=(False, True))
OTHERS = (
    TradingRule(0.3, market_neutral=True),
    TradingRule(0.02, 0.01, 3, True, True, True),
    TradingRule(liquid_half=True),
)


def within(values: FloatArray, panel: Panel) -> FloatArray:
    return np.where(panel.universe, values, np.nan)


def market_with_deaths(seed: int, funding: bool) -> Panel:
    rng = np.random.default_rng(seed)
    panel = random_panel(150, 22, seed, gaps=0.03)
    alive = np.ones(panel.shape, dtype=bool)
    alive[60:, :2] = False
    alive[:40, 3] = False
    fields = {name: np.where(alive, values, np.nan) for name, values in panel.fields.items()}
    if funding:
        fields["funding"] = np.where(rng.random(panel.shape) < 0.1, rng.normal(0, 0.002, panel.shape), 0.0)
    return panel.with_fields(fields)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rebalance=st.sampled_from([1, 3]),
    funding=st.booleans(),
    costs=st.sampled_from([Costs(0, 0), Costs(5.0, 5.0), Costs(20.0, 10.0, 900.0, capital=1e5)]),
    weighting=st.sampled_from(["rank", "quantile", "timeseries"]),
)
def test_each_rule_of_a_grid_is_what_its_own_ledger_gives(
    seed: int, rebalance: int, funding: bool, costs: Costs, weighting: str
) -> None:
    panel = market_with_deaths(seed, funding)
    spec = BacktestSpec(weighting, rebalance=rebalance, costs=costs, delisting_return=-0.5)  # type: ignore[arg-type]
    values = np.random.default_rng(seed).normal(size=panel.shape).cumsum(axis=0)
    rules = WIDE.rules() + tuple(one for one in OTHERS if spec.is_neutral or not one.market_neutral)
    series, _ = rule_series(within(values, panel), prepare_target(panel, spec), rules)
    for rule, found in zip(rules, series, strict=True):
        alone = run_backtest(values, panel, rule.applied(spec))
        assert isinstance(alone, Backtest)
        np.testing.assert_allclose(found[RULE_GROSS], alone.gross, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found[RULE_NET], alone.net, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found[RULE_TURNOVER], alone.turnover, rtol=0, atol=1e-12)


def test_sizes_that_follow_the_record_are_traded_one_by_one() -> None:
    panel = random_panel(400, 12, 3)
    spec = BacktestSpec(kelly=0.5, max_risk=0.002)
    values = np.random.default_rng(3).normal(size=panel.shape)
    rule = TradingRule(0.1, volatility_scaled=True)
    series, _ = rule_series(within(values, panel), prepare_target(panel, spec), (rule,))
    alone = run_backtest(values, panel, rule.applied(spec))
    assert isinstance(alone, Backtest)
    np.testing.assert_allclose(series[0, RULE_NET], alone.net, rtol=0, atol=1e-12)


def planted(bars: int, keep: float, strength: float, seed: int) -> tuple[Target, FloatArray, Panel]:
    """Return a market of 20 assets whose returns a hidden signal, of the given persistence a bar, leads."""
    rng = np.random.default_rng(seed)
    base = random_panel(bars, 20, seed)
    signal = np.zeros(base.shape)
    signal[0] = rng.normal(size=20)
    for t in range(1, bars):
        signal[t] = keep * signal[t - 1] + np.sqrt(1 - keep**2) * rng.normal(size=20)
    returns = 0.01 * rng.normal(size=base.shape)
    returns[2:] += 0.01 * strength * signal[:-2]
    prices = 100 * np.exp(returns.cumsum(axis=0))
    panel = base.with_fields(dict.fromkeys(("open", "high", "low", "close"), prices))
    return prepare_target(panel, BacktestSpec(costs=Costs(5.0, 5.0))), signal, panel


def test_a_slow_signal_is_traded_slowly_and_a_strong_quick_one_quickly() -> None:
    target, signal, _ = planted(1200, 0.98, 0.03, 1)
    assert choose_rule(signal, target, slice(0, 1000)).rule.rate <= 0.3
    target, signal, _ = planted(1200, 0.0, 0.5, 2)
    assert choose_rule(signal, target, slice(0, 1000)).rule.rate == 1.0


def test_the_choice_does_not_know_what_comes_after_train() -> None:
    target, signal, panel = planted(1200, 0.9, 0.05, 4)
    chosen = choose_rule(signal, target, slice(0, 900))
    later = {n: np.where(np.arange(1200)[:, None] >= 902, v[::-1], v) for n, v in panel.fields.items()}
    changed = prepare_target(panel.with_fields(later), target.spec)
    shuffled = np.where(np.arange(1200)[:, None] >= 902, -signal, signal)
    again = choose_rule(shuffled, changed, slice(0, 900))
    assert (again.rule, again.figures) == (chosen.rule, chosen.figures)


def test_of_equal_rules_the_one_that_trades_least_is_taken_and_one_that_never_trades_is_not() -> None:
    panel = random_panel(300, 12, 5)
    target = prepare_target(panel, BacktestSpec(costs=Costs(0, 0)))
    # A signal that stands still: rates differ in the first bars alone, and a wide band never trades.
    signal = np.tile(np.arange(12.0), (300, 1))
    wide = choose_rule(signal, target, slice(0, 200), RuleGrid(rates=(1.0,), bands=(0.5,), scalings=(False,)))
    assert wide.rule == TradingRule()
    assert wide.figures[1].turnover == 0.0
    none = choose_rule(np.full(panel.shape, np.nan), target, slice(0, 200))
    assert none.rule == TradingRule()
    assert not none.trades


@pytest.mark.parametrize("unknown", [float("nan"), float("inf"), None, "5"])
def test_unknown_costs_are_refused(unknown: float) -> None:
    with pytest.raises(InputError, match="not known: slippage_bp"):
        Costs(5.0, unknown)


def test_an_asset_that_dies_in_mid_position_is_settled_once_under_every_rule() -> None:
    panel = random_panel(260, 12, 8)
    alive = np.ones(panel.shape, dtype=bool)
    alive[120:, 0] = False
    panel = panel.with_fields({name: np.where(alive, values, np.nan) for name, values in panel.fields.items()})
    # The asset is the most wanted one for as long as it lives.
    values = np.where(np.isfinite(panel["close"]), np.arange(12.0)[::-1], np.nan)
    series = {}
    for lost in (0.0, -1.0):
        target = prepare_target(panel, BacktestSpec(costs=Costs(0, 0), delisting_return=lost))
        series[lost], _ = rule_series(values, target, RuleGrid().rules())
    gap = series[-1.0][:, RULE_NET] - series[0.0][:, RULE_NET]
    for rule, one in zip(RuleGrid().rules(), gap, strict=True):
        # What is left of the position is lost on one bar; later returns differ by the smaller capital alone.
        bar = int(np.nanargmin(one))
        assert 120 + DELISTED_AFTER - 2 <= bar <= 120 + DELISTED_AFTER
        assert -0.5 < one[bar] < -0.001, rule
        assert np.abs(one[:bar]).max() < 1e-15
        assert np.nanmax(np.abs(one[bar + 1 :])) < 0.1 * -one[bar], rule
        assert np.isfinite(series[-1.0][:, RULE_NET, :-2]).all()


def test_correlations_are_of_the_rules_that_trade() -> None:
    target, signal, _ = planted(600, 0.9, 0.05, 6)
    grid = RuleGrid(rates=(1.0, 0.1), bands=(0.0, 0.9), scalings=(False,))
    choice = choose_rule(signal, target, slice(0, 500), grid)
    found = choice.correlation(np.arange(500))
    assert found.shape == (2, 2)
    assert 0.3 < found[0, 1] < 0.99
    assert replace(choice, net=np.full_like(choice.net, np.nan)).correlation(np.arange(500)).tolist() == [[1.0]]


def test_earns_allows_for_the_choice_where_the_bars_have_seen_it_and_nowhere_else() -> None:
    target, signal, panel = planted(1200, 0.9, 0.15, 7)
    split = make_split(len(panel.times), embargo=2)
    seen = panel.rows(0, split.validation.stop)
    target, signal = prepare_target(seen, target.spec), signal[: split.validation.stop]
    plain = score_signal(signal, target, split, rng=np.random.default_rng(0))
    own = score_signal(signal, target, split, rng=np.random.default_rng(0), grid=RuleGrid())
    assert isinstance(plain, Scored)
    assert isinstance(own, Scored)
    assert own.choice is not None
    # The scorecard is of the chosen rule, to the last figure that the full ledger gives of it.
    under = run_backtest(signal, seen, own.choice.rule.applied(target.spec))
    assert isinstance(under, Backtest)
    np.testing.assert_allclose(own.backtest.net, under.net, rtol=0, atol=1e-12)
    np.testing.assert_allclose(own.plain_gross, plain.backtest.gross, rtol=0, atol=1e-12)
    trials = Trials(20, 1e-3)
    verdict = reach_verdict(own, trials)
    assert verdict.earns.rules == len(RuleGrid().rules())
    assert verdict.earns.plain_z - 1.0 < verdict.earns.z < verdict.earns.plain_z
    assert verdict.predicts == reach_verdict(plain, trials).predicts
    assert reach_verdict(plain, trials).earns.rules == 0
    led = reach_verdict(own, trials, aimed=True)
    assert (led.earns.decided_on, led.earns.rules) == ("train", len(RuleGrid().rules()))
    [confirmed] = confirm([Shortlisted(own, led, np.eye(8)[0])], TestedBefore(), Policy())
    assert (confirmed.earns.decided_on, confirmed.earns.rules) == ("validation", 0)
