"""A factor or a pool as a Python module that runs alone on numpy and pandas: its values, and target weights."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from factors.printing import number_text
from factors.table import GROUP_FIELDS
from factors.tree import Call, Expression, Field, Node
from factors.writers.module_text import FUNCTIONS, HEAD, IMPORTS, NOTES, PROGRAM
from factors.writers.pandas_code import Steps
from factors.writers.trading_text import Trading, positions_text

_NEUTRAL = ("rank", "zscore", "quantile")
_WIDTH = 116


@dataclass(frozen=True)
class Rules:
    """How values become target weights: what of `backtest.trading_rules` is a function of the values alone.

    Attributes
    ----------
    group
        Group of the language within which positions are neutral, or None.
    top, least_money, liquid_bars, bars_a_day, refresh_bars
        The rule of `market.universe`, in bars; nothing of it where both `top` and `least_money` are 0.
    group_lookback
        Bars before the current one that the group needs.
    """

    weighting: str = "rank"
    holding: int = 1
    max_weight: float = 1.0
    quantiles: int = 5
    group: Node | None = None
    volatility_scaled: bool = False
    market_neutral: bool = False
    liquid_half: bool = False
    max_risk: float = math.inf
    rebalance: int = 1
    rate: float = 1.0
    band: float = 0.0
    top: int = 0
    least_money: float = 0.0
    liquid_bars: int = 1
    bars_a_day: float = 1.0
    refresh_bars: int = 1
    group_lookback: int = 0

    @property
    def is_neutral(self) -> bool:
        """Whether longs and shorts evaluate the same."""
        return self.weighting in _NEUTRAL

    @property
    def narrows(self) -> bool:
        """Whether the universe is narrowed to what was traded most."""
        return self.top > 0 or self.least_money > 0

    @property
    def memory(self) -> int:
        """Bars before the current one that the weights need, those before the values' own not counted."""
        measured = self.volatility_scaled or self.market_neutral or self.liquid_half
        longest = 60 if measured or not math.isinf(self.max_risk) else 0
        own_past = 240 if self.weighting == "timeseries" else 0
        return max(longest, own_past, self.group_lookback) + self.holding - 1


@dataclass(frozen=True)
class Exported:
    """What is written: a factor, or a pool of several.

    Attributes
    ----------
    title
        One line that says what it is.
    expressions
        The factor, or the members of a pool that carry weight.
    weights
        Of the members; nothing for a factor.
    least_share, decimals
        Of a pool: the share of the absolute weight that must know an asset, and what its values are rounded to.
    trading
        How targets are traded, where they are not traded in full at every bar: a module then has ``positions``.
    about
        What should be known of it, from plain types; it may hold what a model wrote.
    """

    title: str
    expressions: tuple[Expression, ...]
    rules: Rules
    weights: tuple[float, ...] = ()
    least_share: float = 0.5
    decimals: int = 12
    about: Mapping[str, object] = field(default_factory=dict)
    trading: Trading | None = None

    @property
    def lookback(self) -> int:
        """Bars before the current one that the values need."""
        return max(expression.lookback for expression in self.expressions)


@dataclass(frozen=True)
class Core:
    """What every exported file holds: parts and functions as source, and the fields that it reads."""

    source: str
    fields: tuple[str, ...]


def to_module(exported: Exported) -> str:
    """Return Python source with ``values(frames)``, ``weights(signal, frames)`` and ``newest(frames)``.

    Where targets are not traded in full at every bar (`Exported.trading`), it also has ``positions(weights, frames)``.

    The values are those of `factors.engine.evaluate`, and of a pool those of `pool_values`, to rounding.
    Run as a program it reads a long CSV or Parquet file and prints the newest weights.
    """
    core = core_of(exported)
    traded = "" if exported.trading is None or exported.trading.in_full else positions_text(exported.trading)
    head = comment([*HEAD, exported.title, "", *NOTES])
    return "\n".join([head, IMPORTS, about_text(exported), "", "", f"{core.source}{traded}{PROGRAM}"])


def core_of(exported: Exported) -> Core:
    """Return the functions ``membership``, ``values`` and ``weights``, and the parts that they call."""
    steps = Steps()
    members = [steps.step(expression.root) for expression in exported.expressions]
    if exported.weights:
        steps.use("combine")
        weights = ", ".join(repr(weight) for weight in exported.weights)
        found = ", ".join(f"np.broadcast_to({name}, shape)" for name in members)
        share, decimals = number_text(exported.least_share), exported.decimals
        result = f"combine([{found}], np.array([{weights}]), {share}, {decimals}, inside)"
    else:
        result = members[0]
    weight_lines = _weight_lines(exported.rules, steps.fresh())
    liquid = _liquid(exported.rules, steps)
    fields = tuple(sorted({*steps.fields, "close"}))
    functions = FUNCTIONS
    for token, text in {
        "fields": ascii(fields),
        "needs": ", ".join(fields),
        "liquid": liquid,
        "steps": textwrap.indent("\n".join([*steps.lines, f"result = {result}"]), " " * 8),
        "to_weights": textwrap.indent("\n".join(weight_lines), " " * 8),
        "how": how(exported.rules),
    }.items():
        functions = functions.replace(f"<<{token}>>", text)
    parts = "\n\n".join(part.strip("\n") + "\n" for part in steps.sources())
    return Core(f"{parts}\n{functions}", fields)


def how(rules: Rules) -> str:
    """Say in a line how values become weights."""
    words = {
        "rank": "by rank across assets, dollar-neutral, gross 1",
        "zscore": "by z-score across assets, dollar-neutral, gross 1",
        "quantile": f"the top of {rules.quantiles} quantiles against the bottom one, gross 1",
        "long_only": f"the top of {rules.quantiles} quantiles, long only, gross 1",
        "timeseries": "each asset on its own z-score over time, a share of 1 / assets each",
    }
    said = [words[rules.weighting]]
    if rules.group is not None:
        said.append("neutral within groups")
    if rules.volatility_scaled:
        said.append("over volatility")
    if rules.market_neutral:
        said.append("without the part that the market explains")
    if rules.liquid_half:
        said.append("the half that trades most alone")
    if rules.max_weight < 1 and rules.weighting != "timeseries":
        said.append(f"none above {number_text(rules.max_weight)}")
    if rules.holding > 1:
        said.append(f"averaged over {rules.holding} bars")
    if not math.isinf(rules.max_risk):
        said.append(f"none of more than {number_text(rules.max_risk)} volatility a bar")
    return ", ".join(said)


def _weight_lines(rules: Rules, steps: Steps) -> list[str]:
    """Return the lines that make `out`, the weights, of `x`, the values within the universe."""
    scaled = rules.volatility_scaled or not math.isinf(rules.max_risk)
    groups = None if rules.group is None or rules.weighting == "timeseries" else steps.step(rules.group)
    lines = list(steps.lines)
    if rules.liquid_half:
        steps.fields |= {"close", "volume"}
        lines.append(f"half = {_call(steps, 'liquid_half', 'frames, inside')}")
    if scaled:
        lines.append(f"spread = {_call(steps, 'volatility', 'frames')}")
    if rules.weighting == "timeseries":
        lines.append(f"out = {_call(steps, 'by_own_past', 'x')}")
        if rules.volatility_scaled:
            lines.append("share = np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)")
            lines.append("total = share.sum(axis=1, keepdims=True)")
            lines.append("out = out * np.where(total > 0, share / np.where(total > 0, total, 1.0), 0.0)")
        else:
            lines.append("out = out / x.shape[1]")
        lines += ["out = np.where(half, out, 0.0)"] if rules.liquid_half else []
    else:
        long_only = rules.weighting == "long_only"
        lines += ["x = np.where(half, x, np.nan)"] if rules.liquid_half else []
        if rules.weighting in ("rank", "zscore"):
            lines.append(f"out = {_call(steps, f'by_{rules.weighting}', 'x')}")
        else:
            lines.append(f"out = {_call(steps, 'by_ends', f'x, {rules.quantiles}, {long_only}')}")
        if groups is not None:
            lines.append(f"out = {_call(steps, 'within_groups', f'out, x, {groups}')}")
        if rules.volatility_scaled:
            lines.append("out = np.where(spread > 0, out / np.where(spread > 0, spread, 1.0), 0.0)")
        if rules.market_neutral:
            beta = _call(steps, "market_beta", "frames, inside")
            held_only = rules.weighting == "quantile"
            among = f"out, x, {beta}, {groups or 'np.zeros(x.shape)'}, {held_only}"
            lines.append(f"out = {_call(steps, 'free_of_market', among)}")
        each = (rules.volatility_scaled or rules.weighting == "quantile") and not rules.market_neutral
        sides = "long" if long_only else "each" if each else "both"
        lines.append(f"out = {_call(steps, 'to_size', f'out, x, {sides!r}')}")
        if rules.max_weight < 1:
            lines.append(f"out = {_call(steps, 'capped', f'out, {number_text(rules.max_weight)}, {rules.is_neutral}')}")
    if rules.holding > 1:
        lines.append(f"out = {_call(steps, 'averaged', f'out, {rules.holding}')}")
    if not math.isinf(rules.max_risk):
        largest = number_text(rules.max_risk)
        lines.append(f"out = {_call(steps, 'risk_capped', f'out, spread, {largest}, {rules.is_neutral}')}")
    return lines


def _call(steps: Steps, part: str, arguments: str) -> str:
    steps.use(part)
    return f"{part}({arguments})"


def _liquid(rules: Rules, steps: Steps) -> str:
    if not rules.narrows:
        return "inside"
    steps.fields |= {"close", "volume"}
    money, day = number_text(rules.least_money), number_text(rules.bars_a_day)
    return _call(steps, "liquid", f"frames, inside, {rules.top}, {money}, {rules.liquid_bars}, {day}, "
                                  f"{rules.refresh_bars}")  # fmt: skip


def carried_fields(nodes: Sequence[Node]) -> frozenset[str]:
    """Return every field that trees name, as they name it."""
    found: set[str] = set()
    rest = list(nodes)
    while rest:
        node = rest.pop()
        if isinstance(node, Field):
            found.add(node.name)
        elif isinstance(node, Call):
            rest.extend(node.args)
    return frozenset(found)


def is_group_field(name: str) -> bool:
    """Whether a field holds group numbers that a panel carries."""
    return name in GROUP_FIELDS


def comment(lines: Sequence[str]) -> str:
    """Return lines as comments of plain ASCII: whatever stands in them, it stays behind its ``#``."""
    out: list[str] = []
    for line in lines:
        out.extend(f"# {part}".rstrip() for part in textwrap.wrap(plain_text(line), _WIDTH) or [""])
    return "\n".join(out)


def plain_text(text: str) -> str:
    """Return text in printable ASCII on one line, everything else escaped."""
    return ascii(text)[1:-1].replace("\\'", "'").replace('\\"', '"')


def about_text(exported: Exported) -> str:
    """Return the assignment of ``ABOUT``: literals only."""
    lines = ["ABOUT = {"]
    for key, value in exported.about.items():
        lines.extend(_entry(key, value))
    return "\n".join([*lines, "}"])


def _entry(key: str, value: object) -> list[str]:
    if isinstance(value, Mapping):
        inner = [line for name, item in value.items() for line in _entry(str(name), item)]
        return [f"    {key!a}: {{", *(f"    {line}" for line in inner), "    },"]
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
        rows = [f"        {{{', '.join(f'{str(k)!a}: {_literal(v)}' for k, v in item.items())}}}," for item in value]
        return [f"    {key!a}: [", *rows, "    ],"]
    return [f"    {key!a}: {_literal(value)},"]


def _literal(value: object) -> str:
    """Return a literal that reads back as the value; what is no plain value becomes text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "None"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return ascii(str(value))
