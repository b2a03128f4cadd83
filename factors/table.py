"""The one table of operators: parsing, typing, documentation, prompts and tests are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from factors.operator_plugin import as_operator
from factors.operators import across as cross
from factors.operators import arithmetic, classic, gaps, series, technical
from factors.operators.fitted_costs import FITTED
from factors.operators.row import FORGOTTEN, UNBOUNDED, Kind, Operator, Param
from market.plugins import Registry

__all__ = [
    "FORGOTTEN", "GROUP_FIELDS", "MARKET_FIELDS", "NAMED_GROUPS", "OPERATORS", "STANDARD_FIELDS", "UNBOUNDED", "Kind",
    "Operator", "Param", "describe", "prompt_table",
]  # fmt: skip

STANDARD_FIELDS = ("open", "high", "low", "close", "volume", "vwap", "amount", "returns")
# An equal-weighted index of the universe, derived from any panel; only its changes mean something.
MARKET_FIELDS = ("market_open", "market_close")
GROUP_FIELDS = ("sector", "industry", "subindustry")
# Groups that any panel has: each bar's fifths by what was known then.
NAMED_GROUPS: Mapping[str, str] = {
    "beta_group": "bucket(ts_beta(returns, cs_mean(returns), 60), 5)",
    "liquidity_group": "bucket(ts_mean(amount, 60), 5)",
    "volatility_group": "bucket(ts_std(returns, 60), 5)",
}
_KIND_WORDS: Mapping[Kind, str] = {
    "panel": "an expression",
    "bool": "a condition",
    "group": f"groups: a carried field ({', '.join(GROUP_FIELDS)}), {', '.join(NAMED_GROUPS)}, or bucket(x, n)",
    "number": "a number",
    "window": "a whole number of bars, or a duration such as 20d or 4h",
}
_LOOKS_BACK = frozenset({"time series", "two series", "technical"})
# These have values where their window has gaps.
_FILLS = frozenset({"ts_backfill", "ts_count_nan", "trade_when", "keep"})


def _table() -> dict[str, Operator]:
    rows = [*arithmetic.rows(), *series.rows(), *gaps.rows(), *cross.rows(), *technical.rows(), *classic.rows()]
    return {one.name: replace(one, cost=FITTED[one.name]) if one.name in FITTED else one for one in rows}


OPERATORS: Mapping[str, Operator] = Registry("operators", _table(), lambda value: as_operator(value).row)


def describe(name: str) -> str:
    """Return the documentation of one operator, as printed by ``alphaglow operators NAME``."""
    operator = OPERATORS[name]
    lines = [operator.signature, f"  {operator.summary}."]
    if operator.formula:
        lines.append(f"  Short for: {operator.formula}")
    if operator.infix:
        lines.append(f"  Written with the sign {operator.infix}")
    lines += [f"  {param.name}: {_KIND_WORDS[param.kind]}" for param in operator.params]
    if operator.least > 1:
        lines.append(f"  The window has at least {operator.least} bars.")
    if operator.family in _LOOKS_BACK and operator.name not in _FILLS:
        lines.append("  NaN until the window holds only finite values; a NaN inside the window makes the result NaN.")
    if operator.differs:
        lines.append(f"  {operator.differs}.")
    if operator.family == "cumulative":
        lines.append("  Remembers the panel's first bar: a study with an embargo refuses it.")
    if operator.family in ("cross-section", "group"):
        lines.append("  Only assets of the universe take part; the others get NaN.")
    return "\n".join(lines)


@cache
def prompt_table(longest: int | None = None, *, cross_section: bool = True) -> str:
    """Return the table as the writer's prompt shows it: one line an operator, grouped by family.

    What is written with a sign is left to it. `longest` leaves out what looks back further than that
    whatever its window; without a `cross_section`, what compares assets is left out.
    """
    shown = [
        operator
        for operator in OPERATORS.values()
        if (longest is None or least_reach(operator) <= longest)
        and (cross_section or operator.family not in ("cross-section", "group"))
    ]
    lines: list[str] = []
    family = ""
    for operator in shown:
        if operator.infix:
            continue
        if operator.family != family:
            family = operator.family
            lines.append(f"{family}:")
        lines.append(f"  {operator.signature}: {operator.summary}")
    return "\n".join(lines)


def least_reach(operator: Operator) -> int:
    """Return the shortest look-back that any call of `operator` can have."""
    numbers = [float(max(2, operator.least)) for param in operator.params if param.kind in ("number", "window")]
    return operator.reach(numbers)
