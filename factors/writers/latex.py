"""A factor as a formula for a paper."""

from __future__ import annotations

import re

from factors.operator_plugin import as_operator
from factors.printing import number_text
from factors.table import OPERATORS
from factors.tree import Call, Expression, Field, Node, Number
from market.plugins import Registry

_INFIX = {"add": (5, "+"), "sub": (5, "-"), "mul": (6, r"\,"), "lt": (4, "<"), "le": (4, r"\le"), "gt": (4, ">"),
          "ge": (4, r"\ge"), "eq": (4, "="), "ne": (4, r"\ne"), "and_": (2, r"\land"), "or_": (1, r"\lor")}  # fmt: skip
_ATOM = 9
_BUILT_FORMS = {
    "abs": r"\left|{0}\right|",
    "sqrt": r"\sqrt{{{0}}}",
    "exp": r"e^{{{0}}}",
    "floor": r"\lfloor {0} \rfloor",
    "log": r"\ln\left({0}\right)",
    "log1p": r"\ln\left(1 + {0}\right)",
    "tanh": r"\tanh\left({0}\right)",
    "atan": r"\arctan\left({0}\right)",
    "sign": r"\operatorname{{sgn}}\left({0}\right)",
    "if_else": r"\begin{{cases}} {1} & {0} \\ {2} & \text{{otherwise}} \end{{cases}}",
    "max": r"\max\left({0}, {1}\right)",
    "min": r"\min\left({0}, {1}\right)",
}
_FORMS = Registry("operators", _BUILT_FORMS, lambda value: as_operator(value).latex or None)


def to_latex(expression: Expression) -> str:
    """Return the factor as LaTeX in math mode; operators keep their names, windows stand as subscripts."""
    return _write(expression.root)[0]


def _write(node: Node) -> tuple[str, int]:
    if isinstance(node, Number):
        return _number(node.value), _ATOM if node.value >= 0 else 5
    if isinstance(node, Field):
        return rf"\mathit{{{_plain(node.name)}}}", _ATOM
    if node.op == "div":
        return rf"\frac{{{_write(node.args[0])[0]}}}{{{_write(node.args[1])[0]}}}", 7
    if node.op in ("neg", "not_"):
        sign = "-" if node.op == "neg" else "\\lnot "
        return sign + _side(node.args[0], 7), 5
    if node.op == "power":
        return rf"{_side(node.args[0], _ATOM)}^{{{_write(node.args[1])[0]}}}", 8
    if node.op in _INFIX:
        level, sign = _INFIX[node.op]
        return rf"{_side(node.args[0], level)} {sign} {_side(node.args[1], level + 1)}", level
    if node.op in _FORMS:
        return _FORMS[node.op].format(*(_write(arg)[0] for arg in node.args)), _ATOM
    return _call(node), _ATOM


def _number(value: float) -> str:
    text = number_text(value)
    mantissa, _, exponent = text.partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else text


def _side(node: Node, level: int) -> str:
    text, own = _write(node)
    return text if own >= level else rf"\left({text}\right)"


def _call(call: Call) -> str:
    operator = OPERATORS[call.op]
    constants = [
        _write(a)[0] for a, p in zip(call.args, operator.params, strict=True) if p.kind in ("number", "window")
    ]
    args = [_write(a)[0] for a, p in zip(call.args, operator.params, strict=True) if p.kind not in ("number", "window")]
    below = rf"_{{{', '.join(constants)}}}" if constants else ""
    return rf"\operatorname{{{_plain(call.op)}}}{below}\left({', '.join(args)}\right)"


def _plain(name: str) -> str:
    return re.sub(r"_", r"\_", name)
