"""The trading rule of a stored scorecard, and what it did about cost, in words."""

from __future__ import annotations

import math

from backtest.result_types import DecayPoint, Profile, RuleFigures, Scorecard
from backtest.rule_grid import TradingRule


def rule_of(card: Scorecard | RuleFigures) -> TradingRule:
    """Return the trading rule that a scorecard, or a row of its rules, is of."""
    return TradingRule(card.rate, card.band, card.holding, card.volatility_scaled)


def chosen_rule(card: Scorecard) -> TradingRule | None:
    """Return the rule that was chosen for a factor by itself; None where it was traded as all others."""
    return rule_of(card) if card.rules else None


def rule_sentence(card: Scorecard) -> str:
    """Say which rule was chosen, and what it did on train in the place of that of the settings; empty without a choice.

    It says nothing of validation, so that prompts and people may read it alike.
    """
    rule = chosen_rule(card)
    if rule is None:
        return ""
    before = card.rules[0]
    after = next((one for one in card.rules if rule_of(one) == rule), before)
    said = f"traded {rule}: the best of {len(card.rules)} rules on train"
    if not any(one.turnover > 0 for one in card.rules):
        return f"traded {rule}: none of {len(card.rules)} rules trades on train"
    if rule == rule_of(before):
        return f"{said}, and the one of the settings (net Sharpe {after.sharpe_net:.2f})"
    cost = 1e-4 * card.cost_bp * card.bars_per_year
    return (
        f"{said}; turnover {after.turnover:.1%} a bar in the place of {before.turnover:.1%}, fees and slippage "
        f"{after.turnover * cost:.1%} a year in the place of {before.turnover * cost:.1%}, net Sharpe "
        f"{after.sharpe_net:.2f} in the place of {before.sharpe_net:.2f}"
    )


def decay_sentence(profile: Profile) -> str:
    """Say how long a signal lasts by its half-life and by what its positions pay as they age; empty where unknown."""
    if math.isnan(profile.half_life) or not profile.decay:
        return ""
    if math.isinf(profile.half_life):
        life = f"the order of assets is more than half alike after {profile.decay[-1].lag} bars"
    else:
        life = f"half-life of the signal {profile.half_life:.1f} bars"
    fresh = profile.decay[0]
    if not fresh.payoff > 0:
        return f"{life}; fresh positions do not pay on train"
    lasting = _lasting(profile.decay)
    return f"{life}; positions pay half of what fresh ones do, or more, up to an age of {lasting} bars"


def _lasting(decay: tuple[DecayPoint, ...]) -> int:
    """Return the longest age up to which every payoff is at least half of the first."""
    longest = decay[0].lag
    for point in decay[1:]:
        if not point.payoff >= 0.5 * decay[0].payoff:
            break
        longest = point.lag
    return longest
