"""The trading rule that a signal gets on the train of a study, for what trades it without a score of its own."""

from __future__ import annotations

import numpy as np

from agent.study.settings import Settings
from agent.study.study import Study, make_spec
from backtest.rule_choice import choose_rule, require_trades
from backtest.rule_grid import RuleGrid, TradingRule
from market.panel import FloatArray


def rule_on_train(values: FloatArray, study: Study) -> TradingRule | None:
    """Return the rule that a signal (T, N) of a study's panel gets on its train; None where none is to be chosen.

    Raises
    ------
    InputError
        When no rule of the grid trades it at all.
    """
    if study.grid is None:
        return None
    signal = np.where(study.panel.universe, values, np.nan)
    choice = choose_rule(signal, study.target, study.split.train, study.grid)
    return require_trades(choice, f"the {len(choice.figures)} rules of the grid").rule


def allowed(rule: TradingRule | None, settings: Settings) -> TradingRule | None:
    """Return a recorded rule where the settings choose rules and could choose this one; None: it has to be chosen."""
    if rule is None or settings.backtest.rule != "auto":
        return None
    return rule if rule in RuleGrid.around(make_spec(settings)).rules() else None
