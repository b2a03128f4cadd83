"""Canonical form: one tree and one text for everything that means the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from factors.table import OPERATORS
from factors.tree import Call, Field, Node, Number

_FOLD: Mapping[str, Callable[..., float]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y if y else math.nan,
    "neg": lambda x: -x,
    "abs": abs,
    "power": lambda x, y: _power(x, y),
    "max": max,
    "min": min,
}


# f(-x) = -f(x), exactly in IEEE arithmetic: the minus sign moves outside, so that both spellings are one factor.
_ODD = frozenset(
    [
        "ts_sum",
        "ts_mean",
        "ts_delay",
        "ts_delta",
        "ts_decay_linear",
        "ts_decay_exp",
        "ts_ema",
        "ts_sma",
        "ts_zscore",
        "ts_slope",
        "ts_resid",
        "ts_ir",
        "ts_skew",
        "cs_demean",
        "cs_zscore",
        "cs_scale",
        "group_neutralize",
        "group_mean",
        "group_zscore",
        "sign",
        "tanh",
    ]
)
_EVEN = frozenset(["abs", "ts_std", "ts_var", "ts_kurt", "ts_mad", "ts_rsquare"])


def _power(x: float, y: float) -> float:
    try:
        value = x**y
    except (OverflowError, ZeroDivisionError):
        return math.nan
    return math.nan if isinstance(value, complex) else value


def canonical(node: Node) -> Node:
    """Return the canonical tree of `node`.

    Constants are folded, arguments of commutative operators ordered, double and movable minus signs resolved (each
    rewriting is exact in IEEE arithmetic, so values do not change by a bit), and > and >= turned into < and <=.
    """
    if not isinstance(node, Call):
        return node
    return _simplify(node.op, tuple(canonical(arg) for arg in node.args))


def _simplify(op: str, args: tuple[Node, ...]) -> Node:
    numbers = [arg.value for arg in args if isinstance(arg, Number)]
    if op in _FOLD and len(numbers) == len(args):
        value = _FOLD[op](*numbers)
        if math.isfinite(value):
            return Number(value + 0.0)
    if op == "neg":
        return _negate(args[0])
    if args and op in _ODD | _EVEN and (inner := _negated(args[0])) is not None:
        bare = _simplify(op, (inner, *args[1:]))
        return _negate(bare) if op in _ODD else bare
    if op in ("gt", "ge"):
        op, args = ("lt" if op == "gt" else "le"), args[::-1]
    if op in ("add", "sub", "mul", "div"):
        moved = _move_minus(op, args[0], args[1])
        if moved is not None:
            return moved
    if OPERATORS[op].commutative:
        # Windows and numbers that are not operands stay where they are.
        pair = sorted(args[:2], key=_order)
        args = (*pair, *args[2:])
    return Call(op, args)


def _move_minus(op: str, x: Node, y: Node) -> Node | None:
    one, zero = Number(1.0), Number(0.0)
    match op:
        case "add":
            if zero in (x, y):
                return y if x == zero else x
            if (inner := _negated(y)) is not None:
                return _simplify("sub", (x, inner))
            if (inner := _negated(x)) is not None:
                return _simplify("sub", (y, inner))
        case "sub":
            if y == zero:
                return x
            if x == zero:
                return _negate(y)
            if (inner := _negated(y)) is not None:
                return _simplify("add", (x, inner))
            if (inner := _negated(x)) is not None:
                return _negate(_simplify("add", (inner, y)))
        case "mul":
            if one in (x, y):
                return y if x == one else x
            if Number(-1.0) in (x, y):
                return _negate(y if x == Number(-1.0) else x)
            if (inner := _negated(x)) is not None:
                return _negate(_simplify("mul", (inner, y)))
            if (inner := _negated(y)) is not None:
                return _negate(_simplify("mul", (x, inner)))
        case "div":
            if y == one:
                return x
            if y == Number(-1.0):
                return _negate(x)
            if (inner := _negated(x)) is not None:
                return _negate(_simplify("div", (inner, y)))
            if (inner := _negated(y)) is not None:
                return _negate(_simplify("div", (x, inner)))
    return None


def _negated(node: Node) -> Node | None:
    """Return what `node` is the negative of, when that is how it is written."""
    if isinstance(node, Call) and node.op == "neg":
        return node.args[0]
    if isinstance(node, Number) and node.value < 0:
        return Number(-node.value)
    return None


def _negate(node: Node) -> Node:
    match node:
        case Number(value):
            return Number(-value + 0.0)
        case Call("neg", (inner,)):
            return inner
        case Call("sub", (x, y)):
            return Call("sub", (y, x))
    return Call("neg", (node,))


def _order(node: Node) -> tuple[int, str]:
    return (0 if isinstance(node, Number) else 1, to_text(node))


_LEVEL = {
    "or_": 1,
    "and_": 2,
    "lt": 4,
    "le": 4,
    "eq": 4,
    "ne": 4,
    "gt": 4,
    "ge": 4,
    "add": 5,
    "sub": 5,
    "mul": 6,
    "div": 6,
}
_ATOM = 9


def to_text(node: Node) -> str:
    """Return the text of a tree with the fewest parentheses that keep its shape."""
    return _print(node)[0]


def _print(node: Node) -> tuple[str, int]:
    if isinstance(node, Field):
        return node.name, _ATOM
    if isinstance(node, Number):
        return number_text(node.value), (_ATOM if node.value >= 0 else 7)
    if node.op in ("neg", "not_"):
        text, level = _print(node.args[0])
        sign = "-" if node.op == "neg" else "!"
        return f"{sign}{text if level == _ATOM else f'({text})'}", 7
    symbol = OPERATORS[node.op].infix
    if symbol is None:
        return f"{node.op}({', '.join(to_text(arg) for arg in node.args)})", _ATOM
    level = _LEVEL[node.op]
    # Comparisons do not chain, so both sides must bind tighter; the others group to the left.
    left = _side(node.args[0], level + (level == 4))
    return f"{left} {symbol} {_side(node.args[1], level + 1)}", level


def _side(node: Node, level: int) -> str:
    text, own = _print(node)
    return text if own >= level else f"({text})"


def number_text(value: float) -> str:
    """Return the shortest text that reads back as `value`; whole numbers have no point."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(value)
