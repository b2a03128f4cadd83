"""Expressions that by their form are missing everywhere, or always the same number: no data are needed to see it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from factors.printing import number_text, to_text
from factors.syntax import Fault
from factors.table import OPERATORS
from factors.tree import Call, Field, Node, Number

_LONGEST_SHOWN = 60
_UNARY: Mapping[str, Callable[[float], float]] = {
    "neg": lambda x: -x,
    "abs": abs,
    "sign": lambda x: float((x > 0) - (x < 0)),
    "sqrt": lambda x: math.sqrt(x) if x >= 0 else math.nan,
    "log": lambda x: math.log(x) if x > 0 else math.nan,
    "log1p": lambda x: math.log1p(x) if x > -1 else math.nan,
    "inverse": lambda x: 1.0 / x if x else math.nan,
}
_BINARY: Mapping[str, Callable[[float, float], float]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y if y else math.nan,
    "max": max,
    "min": min,
}
# What is missing in one argument may be made up for by another.
_CHOOSES = frozenset({"if_else", "and_", "or_"})


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A value that is the same everywhere: a number, NaN where it is missing, None where nobody needs to know it."""

    value: float | None

    @property
    def is_missing(self) -> bool:
        return self.value is not None and math.isnan(self.value)


def check_degenerate(root: Node) -> None:
    """Raise a `Fault` where a tree is missing, or one number, at every bar and for every asset."""
    if isinstance(root, Number):
        return
    seen: dict[Node, _Fixed | None] = {}
    found = _fixed(root, seen)
    if found is None:
        return
    culprit = _smallest_missing(root, seen) if found.is_missing else root
    text = to_text(culprit)
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
    if found.is_missing:
        raise Fault("constant", f"{shown} is missing at every bar", "divide by, or take the log of, what varies", 0)
    says = "one number" if found.value is None else number_text(found.value)
    raise Fault("constant", f"{shown} is {says} for every asset at every bar", "use a field that varies, as close", 0)


def _smallest_missing(node: Node, seen: Mapping[Node, _Fixed | None]) -> Node:
    for part in node.args if isinstance(node, Call) else ():
        found = seen.get(part)
        if found is not None and found.is_missing:
            return _smallest_missing(part, seen)
    return node


def _fixed(node: Node, seen: dict[Node, _Fixed | None]) -> _Fixed | None:
    if isinstance(node, Number):
        return _Fixed(node.value)
    if isinstance(node, Field):
        return None
    if node not in seen:
        seen[node] = _of_call(node, [_fixed(arg, seen) for arg in node.args])
    return seen[node]


def _of_call(call: Call, parts: list[_Fixed | None]) -> _Fixed | None:
    if call.op == "if_else":
        return _of_choice(parts)
    params = OPERATORS[call.op].params
    inputs = [part for part, param in zip(parts, params, strict=True) if param.kind in ("panel", "bool")]
    if call.op == "is_nan":
        return None if parts[0] is None or parts[0].value is None else _Fixed(float(parts[0].is_missing))
    if call.op not in _CHOOSES and any(part is not None and part.is_missing for part in inputs):
        return _Fixed(math.nan)
    values = [None if part is None else part.value for part in parts]
    if call.op == "div" and values[1] == 0:
        return _Fixed(math.nan)
    if call.op == "mul" and 0.0 in values:
        return _Fixed(0.0)
    if call.op == "power" and values[1] == 0:
        return _Fixed(1.0)
    if any(part is None for part in inputs) or not inputs:
        return None
    return _Fixed(_computed(call.op, values))


def _of_choice(parts: list[_Fixed | None]) -> _Fixed | None:
    condition, yes, no = parts
    if condition is not None and condition.value is not None:
        return _Fixed(math.nan) if condition.is_missing else yes if condition.value else no
    same = yes is not None and no is not None and yes.value is not None and yes.value == no.value
    return yes if same else None


def _computed(op: str, values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    try:
        if op in _UNARY and len(known) == 1:
            return _UNARY[op](known[0])
        if op in _BINARY and len(known) == 2:
            return _BINARY[op](*known)
    except OverflowError:
        return None
    return None
