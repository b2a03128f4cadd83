"""The trading rule that a signal gets on the train of a study, for what trades it without a score of its own."""

from __future__ import annotations

import numpy as np

from agent.study.settings import Settings
from agent.study.study import Study, make_spec
from backtest.rule_choice import choose_rule
from backtest.rule_grid import RuleGrid, TradingRule
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
    return rule if rule in RuleGrid.around(make_spec(settings)).rules() else None
