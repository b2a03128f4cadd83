"""The trading rule of a stored scorecard, and what it did about cost, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from backtest.result_types import DecayPoint, Profile, RuleFigures, Scorecard
from backtest.rule_grid import RuleGrid, TradingRule


def rule_of(card: Scorecard | RuleFigures) -> TradingRule:
    """Return the trading rule that a scorecard, or a row of its rules, is of."""
    return TradingRule(
        card.rate, card.band, card.holding, card.volatility_scaled, card.market_neutral, card.liquid_half
    )


def chosen_rule(card: Scorecard) -> TradingRule | None:
    """Return the rule that was chosen for a factor by itself; None where it was traded as all others."""
    return rule_of(card) if card.rules else None


def figures_of(rule: TradingRule, tried: Sequence[RuleFigures]) -> RuleFigures:
    """Return what a rule did among those that were tried; of a rule that was not, what the first did."""
    return next((one for one in tried if rule_of(one) == rule), tried[0])


def grid_sentence(grid: RuleGrid) -> str:
    """Say from which rules each factor's own is chosen."""
    rates = ", ".join(f"{100 * rate:g}" for rate in grid.rates)
    said = f"{rates} % of the way to the target a bar"
    if len(grid.scalings) > 1:
        said += ", with and without scaling by volatility"
    return (
        f"the trading rule of each factor is chosen on train from {len(grid.rules())}, by what it nets: {said}; "
        "a slow rule trades little and keeps what lasts"
    )


def rule_sentence(card: Scorecard) -> str:
    """Say which rule was chosen, and what it did on train in the place of that of the settings; empty without a choice.

    Beside it stand what trading may cost until nothing is left (break-even), and capacity where it is known.

    It says nothing of validation, so that prompts and people may read it alike.
    """
    rule = chosen_rule(card)
    if rule is None:
        return ""
    before = card.rules[0]
    after = figures_of(rule, card.rules)
    said = f"traded {rule}: the best of {len(card.rules)} rules on train"
    if not any(one.turnover > 0 for one in card.rules):
        return f"traded {rule}: none of {len(card.rules)} rules trades on train"
    if rule == rule_of(before):
        return f"{said}, and the one of the settings (net Sharpe {after.sharpe_net:.2f}){_room_sentence(card)}"
    cost = 1e-4 * card.cost_bp * card.bars_per_year
    return (
        f"{said}; turnover {after.turnover:.1%} a bar in the place of {before.turnover:.1%}, fees and slippage "
        f"{after.turnover * cost:.1%} a year in the place of {before.turnover * cost:.1%}, net Sharpe "
        f"{after.sharpe_net:.2f} in the place of {before.sharpe_net:.2f}{_room_sentence(card)}"
    )


def _room_sentence(card: Scorecard) -> str:
    """Say on train what cost of trading and what capital the chosen rule bears; what is unknown is left out."""
    said, train = "", card.train
    if math.isfinite(train.break_even_bp):
        said = f"; break-even cost {train.break_even_bp:.1f} bp of what is traded, {card.cost_bp:g} are paid"
        if train.break_even_bp <= 0:
            said = "; it loses before costs, so no cost of trading is low enough"
    if math.isfinite(train.capacity):
        said += f"; impact halves its net Sharpe at a capital of {train.capacity:,.0f}"
    return said


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
