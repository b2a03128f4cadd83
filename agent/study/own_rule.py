"""The trading rule that a signal gets on the train of a study, for what trades or forecasts it without a score."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.study.settings import Settings
from agent.study.study import Study, make_spec
from backtest.rule_choice import choose_rule
from backtest.rule_grid import TradingRule, could_be_chosen
from backtest.rule_words import figures_of
from backtest.run import run_backtest
from factors.batch import evaluate_within
from factors.tree import Expression
from market.errors import Rejection
from market.panel import FloatArray


def rule_on_train(values: FloatArray, study: Study) -> tuple[TradingRule | None, str]:
    """Return the rule that a signal (T, N) of a study's panel gets on its train, and what a user should know of it.

    Without a rule it is traded as the settings say: where none is to be chosen, and where no rule of the grid trades.
    """
    if study.grid is None:
        return None, ""
    signal = np.where(study.panel.universe, values, np.nan)
    choice = choose_rule(signal, study.target, study.split.train, study.grid)
    if not choice.trades:
        return (
            None,
            f"none of the {len(choice.figures)} rules of the grid trades it on train: the settings' rule is used",
        )
    return (
        choice.rule,
        f"its trading rule is chosen on train as it is now; no trial of it is recorded: {choice.rule}",
    )


def allowed(rule: TradingRule | None, settings: Settings) -> TradingRule | None:
    """Return a recorded rule where the settings choose rules and could choose this one; None: it has to be chosen."""
    if rule is None or settings.backtest.rule != "auto":
        return None
    return rule if could_be_chosen(rule, make_spec(settings)) else None


@dataclass(frozen=True)
class TurnoverForecast:
    """What following a factor would trade.

    Attributes
    ----------
    turnover
        Share of the portfolio that is traded a bar; NaN where that is not known.
    rule
        The rule that it is traded by, where one is chosen for each factor and one of the grid trades it.
    in_full
        Turnover under the rule of the settings; NaN where that is not known.
    """

    turnover: float
    rule: TradingRule | None
    in_full: float


def forecast_turnover(expression: Expression, study: Study) -> TurnoverForecast:
    """Return what following a factor would trade on train: under its own rule, where one is chosen for each factor.

    Of what it earns nothing but the rule is said.
    """
    if study.grid is None:
        traded = turnover_of(expression, study)
        return TurnoverForecast(traded, None, traded)
    panel = study.panel
    # No limit by the clock, as in `turnover_of`.
    signal = evaluate_within(expression, panel, seconds=math.inf, gigabytes=study.max_gigabytes)
    if isinstance(signal, Rejection):
        return TurnoverForecast(math.nan, None, math.nan)
    values = np.where(panel.universe, signal.values, np.nan)
    choice = choose_rule(values, study.target, study.split_of(expression).train, study.grid)
    if not choice.trades:
        return TurnoverForecast(math.nan, None, math.nan)
    own = figures_of(choice.rule, choice.figures)
    return TurnoverForecast(own.turnover, choice.rule, choice.figures[0].turnover)


def turnover_of(expression: Expression, study: Study) -> float:
    """Return the share of the portfolio that a factor would trade a bar on the last bars of train; NaN: unknown.

    Nothing of returns enters: it tells what an idea costs to follow, not what it earns.
    """
    panel = study.recent
    # No limit by the clock: a model is shown the figure, and the same run must show it the same on a busy machine.
    # The estimate of `read_expression` has refused what is too dear.
    signal = evaluate_within(expression, panel, seconds=math.inf, gigabytes=study.max_gigabytes)
    if isinstance(signal, Rejection):
        return math.nan
    traded = run_backtest(signal.values, panel, study.spec)
    if isinstance(traded, Rejection):
        return math.nan
    known = traded.turnover[expression.lookback + 1 :]
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else math.nan
