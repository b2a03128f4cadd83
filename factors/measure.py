"""What can be read from a tree without running it: size, depth, look-back, fields."""

from __future__ import annotations

from factors.table import OPERATORS
from factors.tree import Call, Field, Node, Number


def size_of(node: Node) -> int:
    """Return the number of nodes."""
    return 1 + sum(size_of(arg) for arg in node.args) if isinstance(node, Call) else 1


def depth_of(node: Node) -> int:
    """Return the number of levels; a field alone has 1."""
    return 1 + max(depth_of(arg) for arg in node.args) if isinstance(node, Call) else 1


def fields_of(node: Node) -> frozenset[str]:
    """Return the names of the fields used."""
    if isinstance(node, Field):
        return frozenset({node.name})
    if isinstance(node, Call):
        return frozenset().union(*(fields_of(arg) for arg in node.args))
    return frozenset()


def lookback_of(node: Node) -> int:
    """Return how many bars before the current one the value depends on (see `Expression.lookback`)."""
    if isinstance(node, Number):
        return 0
    if isinstance(node, Field):
        if node.name == "returns":
            return 1
        return int(node.name[3:]) - 1 if node.name.startswith("adv") and node.name[3:].isdecimal() else 0
    operator = OPERATORS[node.op]
    numbers = [
        arg.value
        for arg, param in zip(node.args, operator.params, strict=True)
        if param.kind in ("number", "window") and isinstance(arg, Number)
    ]
    return max(lookback_of(arg) for arg in node.args) + operator.reach(numbers)
