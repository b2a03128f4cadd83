"""Plain-language reading of an expression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from factors.printing import number_text, to_text
from factors.table import NAMED_GROUPS, OPERATORS
from factors.tree import Call, Expression, Field, Node, Number

_FIELDS = {
    "open": "the open",
    "high": "the high",
    "low": "the low",
    "close": "the close",
    "volume": "volume",
    "vwap": "the volume-weighted price",
    "amount": "traded value",
    "returns": "the return of the bar",
    "intraday_returns": "the return of the bar without the night",
    "cap": "market capitalisation",
}
# Readings of these would be misread inside another phrase without brackets.
_LOOSE_ENDS = frozenset({"add", "sub", "mul", "div", "power", "if_else", "and_", "or_"})


def read_aloud(expression: Expression) -> str:
    """Return the expression as an English sentence; brackets stand where words alone would be ambiguous."""
    text = _say(expression.root)
    return f"{text[0].upper()}{text[1:]}."


def _say(node: Node) -> str:
    if isinstance(node, Number):
        return number_text(node.value)
    if isinstance(node, Field):
        if node.name.startswith("adv") and node.name[3:].isdecimal():
            return f"the {node.name[3:]}-bar mean of traded value"
        return _FIELDS.get(node.name, node.name.replace("_", " "))
    if OPERATORS[node.op].result == "group" and (name := _named_groups().get(to_text(node))) is not None:
        return name
    operator = OPERATORS[node.op]
    parts = {param.name: _bracketed(arg) for param, arg in zip(operator.params, node.args, strict=True)}
    # One pass: a reading put in for one name must not be searched for the next.
    return re.sub(r"\{(\w+)\}", lambda match: parts[match[1]], operator.reading)


@cache
def _named_groups() -> Mapping[str, str]:
    """Return the words for groups that have a name, by their canonical text."""
    return {text: name.replace("_", " ") for name, text in NAMED_GROUPS.items()}


def _bracketed(node: Node) -> str:
    text = _say(node)
    return f"({text})" if isinstance(node, Call) and node.op in _LOOSE_ENDS else text
