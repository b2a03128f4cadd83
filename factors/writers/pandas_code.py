"""A factor as a Python function that runs alone on numpy and pandas, with our values."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from factors.operator_plugin import as_operator
from factors.printing import number_text
from factors.table import MARKET_FIELDS
from factors.table import OPERATORS as TABLE
from factors.tree import Call, Expression, Field, Node, Number
from factors.writers.pandas_parts import ELEMENTWISE, HELPERS
from factors.writers.pandas_parts import OPERATORS as BUILT_IN
from factors.writers.portfolio_parts import PORTFOLIO
from market.plugins import Registry

_INFIX = {"add": "+", "sub": "-", "mul": "*"}
_ACROSS = ("cross-section", "group")
_PARTS: Mapping[str, tuple[tuple[str, ...], str]] = {**HELPERS, **PORTFOLIO}


def _added(value: object) -> tuple[tuple[str, ...], str]:
    new = as_operator(value)
    return new.needs, new.pandas


_OPERATORS: Mapping[str, tuple[tuple[str, ...], str]] = Registry("operators", BUILT_IN, _added)
_HEAD = '''"""Computes {text}

{reading}
Written by alphaglow; needs numpy and pandas only.
"""

import warnings

import numpy as np
import pandas as pd

'''
_BODY = '''
def factor(panel, universe=None):
    """Return the factor, bars by assets.

    panel: dict of DataFrames (bars by assets, one index and one set of columns): {needs}.
    universe: DataFrame of bool, the assets that take part in comparisons at a bar; all that have a value if None.
    """
    shape = panel["close"].shape
    inside = np.ones(shape, bool) if universe is None else universe.to_numpy(bool)

    def field(name):
        return finite(panel[name].to_numpy())

    def among(x):
        return np.where(inside, x, np.nan)

    # A row or window without a value is missing in the result; numpy need not warn of it.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
{steps}
    return pd.DataFrame(np.broadcast_to({result}, shape), panel["close"].index, panel["close"].columns)
'''


def to_pandas(expression: Expression, *, reading: str = "") -> str:
    """Return Python source with one function, ``factor(panel, universe=None)``.

    The function takes a dict of DataFrames (bars by assets) and returns a DataFrame with the values of
    `factors.engine.evaluate`, to rounding.
    """
    writer = Steps()
    result = writer.step(expression.root)
    parts = writer.sources()
    needs = ", ".join(sorted(writer.fields | {"close"}))
    steps = textwrap.indent("\n".join(writer.lines), " " * 8)
    head = _HEAD.format(text=expression.text, reading=textwrap.fill(reading, 100) if reading else "")
    return head + "\n\n".join(part.strip("\n") + "\n" for part in parts) + "\n" + _BODY.format(
        needs=needs, steps=steps, result=result
    )  # fmt: skip


class Steps:
    """Lines that compute trees, one after the other, and the parts that these lines call.

    The lines need ``field(name)``, which returns a field as an array, ``among(x)``, which cuts one to the universe,
    and ``inside`` and ``panel``, the universe and the fields by name.

    Attributes
    ----------
    lines
        ``v0 = ...`` and so on; `step` adds to them.
    fields
        Fields that must be given.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[Node, str] = {}
        self.used: dict[str, None] = {"finite": None}
        self.fields: set[str] = set()

    def fresh(self) -> Steps:
        """Return steps of another function of the same file: parts and fields are shared, lines are its own."""
        other = Steps()
        other.used, other.fields = self.used, self.fields
        return other

    def step(self, node: Node) -> str:
        """Write what computes `node`, once; return the name that holds it."""
        if isinstance(node, Number):
            return number_text(node.value)
        known = self.names.get(node)
        if known is None:
            value = self._field(node.name) if isinstance(node, Field) else self._call(node)
            known = self.names[node] = f"v{len(self.names)}"
            self.lines.append(f"{known} = {value}")
        return known

    def _field(self, name: str) -> str:
        if name == "returns" or (name.startswith("adv") and name[3:].isdecimal()):
            return self._derived(name)
        if name in ("vwap", "amount"):
            self.fields |= {"high", "low", "close", "volume"}
            self.use("div")
            price = "(field('high') + field('low') + field('close')) / 3.0"
            if name == "vwap":
                paid = "div(field('amount'), field('volume'))"
                return f"field('vwap') if 'vwap' in panel else {paid} if 'amount' in panel else {price}"
            priced = f"field('vwap') if 'vwap' in panel else {price}"
            return f"field('amount') if 'amount' in panel else field('volume') * ({priced})"
        if name in MARKET_FIELDS:
            self.fields |= {"open", "close"}
            self.use("market")
            index = f"finite(market(field('open'), field('close'), inside, {name == 'market_open'}))"
            return f"field({name!r}) if {name!r} in panel else {index}"
        self.fields.add(name)
        return f"field({name!a})"

    def _derived(self, name: str) -> str:
        if name == "returns":
            self.fields.add("close")
            self.use("ts_returns")
            return "field('returns') if 'returns' in panel else finite(ts_returns(field('close'), 1))"
        self.use("ts_mean")
        return f"field({name!r}) if {name!r} in panel else finite(ts_mean({self.step(Field('amount'))}, {name[3:]}))"

    def _call(self, call: Call) -> str:
        operator = TABLE[call.op]
        args = []
        for place, (arg, param) in enumerate(zip(call.args, operator.params, strict=True)):
            text = self.step(arg)
            if isinstance(arg, Number) and param.kind not in ("number", "window") and call.op not in _INFIX:
                text = f"np.full((1, 1), {number_text(arg.value)}, dtype=float)"
            across = operator.family in _ACROSS or call.op == "hump"
            args.append(f"among({text})" if place == 0 and across else text)
        if call.op in _INFIX:
            return f"finite({args[0]} {_INFIX[call.op]} {args[1]})"
        if call.op == "neg":
            return f"finite(-{args[0]})"
        self.use(call.op)
        return f"finite({_function(call.op)}({', '.join(args)}))"

    def use(self, name: str) -> None:
        """Note that a part is needed, after the parts that it needs itself."""
        if name in self.used:
            return
        needs = _PARTS[name][0] if name in _PARTS else _OPERATORS[name][0] if name in _OPERATORS else ()
        for other in needs:
            self.use(other)
        self.used[name] = None

    def sources(self) -> list[str]:
        """Return the source of each part, those first that others need."""
        return [_source(name) for name in self.used]


def _source(name: str) -> str:
    if name in _PARTS:
        return _PARTS[name][1]
    params = ", ".join(param.name for param in TABLE[name].params)
    body = f"return {ELEMENTWISE[name]}" if name in ELEMENTWISE else _OPERATORS[name][1].strip("\n")
    return f"def {_function(name)}({params}):\n{textwrap.indent(body, '    ')}"


def _function(name: str) -> str:
    """Return the name that an operator's function has: not one that Python itself uses."""
    return f"{name}_" if name in ("abs", "max", "min") else name
