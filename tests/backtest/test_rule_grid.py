"""A factor's trading rule: what it changes of the rules, how it is read, and the grid that it is chosen from."""

from __future__ import annotations

import pytest

from backtest.rule_grid import RuleGrid, TradingRule, could_be_chosen, read_rule
from backtest.trading_rules import SLOWEST, BacktestSpec
from market.errors import InputError


def test_a_rule_changes_what_is_its_own_and_nothing_else() -> None:
    spec = BacktestSpec("zscore", rebalance=4, max_weight=0.1)
    under = TradingRule(0.1, 0.001, 3, True).applied(spec)
    assert (under.rate, under.band, under.holding, under.volatility_scaled) == (0.1, 0.001, 3, True)
    assert (under.weighting, under.rebalance, under.max_weight) == ("zscore", 4, 0.1)
    assert TradingRule.of(under).applied(spec) == under


def test_a_rule_survives_being_stored() -> None:
    rule = TradingRule(0.03, 0.002, 5, True, True, True)
    assert read_rule(rule.to_dict(), "attempt 7") == rule
    assert read_rule({}, "rule.toml") == TradingRule()


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({"speed": 0.1}, "no speed"),
        ({"rate": "slow"}, "not a number"),
        ({"rate": True}, "not a number"),
        ({"holding": 2.5}, "not a whole number"),
        ({"volatility_scaled": 1}, "not true or false"),
        ({"market_neutral": "yes"}, "not true or false"),
        ({"rate": 0.001}, "between 0.002 and 1"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_with_its_place(stored: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=f"rule.toml: .*{said}"):
        read_rule(stored, "rule.toml")


def test_what_the_settings_fix_stays_fixed() -> None:
    assert RuleGrid.around(BacktestSpec()) == RuleGrid()
    fixed = RuleGrid.around(BacktestSpec(holding=7, band=0.001, volatility_scaled=True)).rules()
    assert {(rule.holding, rule.band, rule.volatility_scaled) for rule in fixed} == {(7, 0.001, True)}
    assert len({rule.rate for rule in fixed}) == len(RuleGrid().rates)
    assert RuleGrid.around(BacktestSpec(rate=0.05)).rates == (0.05,)
    # Neither is tried unless it is set: then each rule has it.
    assert not any(rule.market_neutral or rule.liquid_half for rule in RuleGrid().rules())
    both = RuleGrid.around(BacktestSpec(market_neutral=True, liquid_half=True))
    assert len(both.rules()) == len(RuleGrid().rules())
    assert all(rule.market_neutral and rule.liquid_half for rule in both.rules())
    assert str(both.rules()[-1]).endswith("neutral to the market, the liquid half alone")


def test_more_bars_a_day_are_traded_more_slowly() -> None:
    daily, hours, minutes = (RuleGrid.around(BacktestSpec(), bars).rates for bars in (252.0, 2191.5, 525_960.0))
    assert daily == RuleGrid().rates
    assert daily[-1] > hours[-1] > minutes[-1] == SLOWEST
    assert minutes == RuleGrid.around(BacktestSpec(), 8766.0).rates
    # What is left of the way after two weeks of bars is little, at the slowest rate that is tried.
    for bars, rates in ((1, daily), (6, hours), (24, minutes)):
        assert (1 - rates[-1]) ** (14 * bars) < 0.7
    # A recorded rule is known again, whatever the bars were; one that the settings rule out is not.
    rule = TradingRule(0.01, volatility_scaled=True)
    assert could_be_chosen(rule, BacktestSpec())
    assert not could_be_chosen(rule, BacktestSpec(rate=0.5))
    assert not could_be_chosen(TradingRule(0.015), BacktestSpec())
    assert str(TradingRule(0.002)) == "0.2% of the way each bar"


def test_the_grid_names_each_rule_once() -> None:
    rules = RuleGrid(rates=(1.0, 0.1, 1.0), scalings=(False,)).rules()
    assert rules == (TradingRule(), TradingRule(0.1))
    with pytest.raises(InputError, match="empty"):
        RuleGrid(rates=()).rules()
    with pytest.raises(InputError, match="rate"):
        RuleGrid(rates=(0.001,)).rules()
