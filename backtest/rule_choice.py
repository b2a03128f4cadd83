"""Choosing a factor's trading rule on train: every rule of a small grid is traded, and the best net payoff is taken."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backtest import metrics
from backtest.kernel_rules import ledger_rules
from backtest.market_rows import MarketRows
from backtest.mean_test import mean_test
from backtest.result_types import RuleFigures
from backtest.rule_grid import RuleGrid, TradingRule
from backtest.rule_kernels import RULE_GROSS, RULE_NET, RULE_TURNOVER, keep_ledgers
from backtest.run import trade
from backtest.target import Target
from backtest.trading_rules import BacktestSpec
from market.panel import FloatArray

TargetsKey = tuple[int, bool, bool, bool]

# Scores that differ by less are equal: then the rule that trades less is taken.
_EQUAL = 1e-9


@dataclass(frozen=True, eq=False)
class RuleChoice:
    """The rule that was chosen, and what it was chosen from.

    Attributes
    ----------
    rule
        The chosen one.
    figures
        What each rule did on train, the one of the settings first.
    net
        (K, T) net returns of each over all bars; the last two are not paid yet: NaN.
    plain_gross
        (T,) gross returns under the rule of the settings: what trials are compared by, whatever their rules.
    targets
        (T, N) target weights under the chosen rule, before any gate.
    """

    rule: TradingRule
    figures: tuple[RuleFigures, ...]
    net: FloatArray
    plain_gross: FloatArray
    targets: FloatArray

    @property
    def trades(self) -> bool:
        """Whether any rule trades at all on train."""
        return any(one.turnover > 0 for one in self.figures)

    def correlation(self, rows: FloatArray) -> FloatArray:
        """Return the correlations of the net returns of the rules that trade, on `rows` of time (indices or a mask)."""
        known = self.net[:, rows]
        known = known[:, np.isfinite(known).all(axis=0)]
        moving = [row for row in known if known.shape[1] > 1 and row.std() > 0]
        return np.atleast_2d(np.corrcoef(np.stack(moving))) if moving else np.ones((1, 1))


def choose_rule(
    signal: FloatArray, target: Target, train: slice, grid: RuleGrid | None = None, ranks: FloatArray | None = None
) -> RuleChoice:
    """Choose a trading rule for a signal on train: the one with the highest score of its mean net return.

    All rules of the grid are tried, and the one that the settings have. Ranks and target weights are computed once, and
    the ledgers are kept side by side. Among equal scores the rule that trades least is taken; a rule that never trades
    is not taken, and where none does, the one of the settings stays.

    Parameters
    ----------
    signal
        (T, N) known at the close of each bar, NaN outside the universe and where there is no opinion.
    train
        Rows that the choice is made on; its last two decisions are paid beyond it and left out.
    ranks
        (T, N) average ranks of `signal`, where they are known already.
    """
    own = TradingRule.of(target.spec)
    rules = tuple(dict.fromkeys((own, *(grid or RuleGrid()).rules())))
    series, variants = rule_series(signal, target, rules, ranks)
    paid, year = slice(train.start, train.stop - 2), target.panel.bars_per_year
    figures = tuple(_figures(rule, one, paid, year) for rule, one in zip(rules, series, strict=True))
    best = _best(figures)
    weights = variants[rules[best].targets_key]
    return RuleChoice(rules[best], figures, series[:, RULE_NET], series[0, RULE_GROSS], weights)


def rule_series(
    signal: FloatArray, target: Target, rules: tuple[TradingRule, ...], ranks: FloatArray | None = None
) -> tuple[FloatArray, dict[TargetsKey, FloatArray]]:
    """Return (K, 3, T) gross, net and turnover of a signal under each rule, and target weights by what decides them.

    Weights are keyed by `TradingRule.targets_key`. The last two bars are not paid yet: their returns are NaN.
    """
    spec, year = target.spec, target.panel.bars_per_year
    weights: dict[TargetsKey, FloatArray] = {}
    for rule in rules:
        key = rule.targets_key
        if key not in weights:
            weights[key] = target.weights(signal, ranks, rule.applied(spec))
    if spec.kelly > 0 or not math.isinf(spec.max_risk):
        series = np.stack([_one_by_one(weights, target, rule) for rule in rules])
    else:
        keys = list(weights)
        series = keep_ledgers(
            np.stack([weights[key] for key in keys]),
            np.array([keys.index(rule.targets_key) for rule in rules], dtype=np.int64),
            np.array([rule.rate for rule in rules]),
            np.array([rule.band for rule in rules]),
            _needed(target),
            ledger_rules(spec, year),
        )
    series[:, (RULE_GROSS, RULE_NET), -2:] = np.nan
    return series, weights


def _needed(target: Target) -> MarketRows:
    """Return the market without the impact, where no capital makes one: what is not read costs no time."""
    market = target.market
    return market if target.spec.costs.capital > 0 else market._replace(impact=market.returns[:0])


def _one_by_one(weights: dict[TargetsKey, FloatArray], target: Target, rule: TradingRule) -> FloatArray:
    """Trade a rule by itself: sizes that follow the record of the portfolio need all of it first."""
    spec: BacktestSpec = rule.applied(target.spec)
    own = weights[rule.targets_key]
    found = trade(own, target.market, spec, None, bars_per_year=target.panel.bars_per_year)
    return np.stack([found.gross, found.net, found.turnover])


def _figures(rule: TradingRule, series: FloatArray, paid: slice, year: float) -> RuleFigures:
    net, turnover = series[RULE_NET, paid], series[RULE_TURNOVER, paid]
    traded = float(turnover.mean()) if len(turnover) else 0.0
    if not traded > 0.0:
        return RuleFigures(**rule.to_dict(), turnover=0.0)  # type: ignore[arg-type]
    return RuleFigures(
        **rule.to_dict(),  # type: ignore[arg-type]
        net_z=mean_test(net).z,
        sharpe_net=metrics.sharpe(net, year),
        turnover=traded,
    )


def _best(figures: tuple[RuleFigures, ...]) -> int:
    """Return the number of the rule with the highest score; of equal ones, that which trades least; 0 where none."""
    scores = np.array([one.net_z if math.isfinite(one.net_z) else -math.inf for one in figures])
    top = scores.max()
    if not math.isfinite(top):
        return 0
    equal = np.flatnonzero(scores >= top - _EQUAL)
    return int(min(equal, key=lambda k: figures[k].turnover))
