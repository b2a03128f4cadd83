"""From expressions of Python to columns of ours: names, attributes, arithmetic."""

from __future__ import annotations

import ast
import re
from abc import ABC, abstractmethod

from factors.dialects.base import ours
from factors.pycode.arguments import refused_method
from factors.pycode.calls import call, subscript
from factors.pycode.functions import CallCount
from factors.pycode.methods import CONSTANTS, FOLD, NODE_WORDS, OPERATOR_WORDS
from factors.pycode.values import (
    AllRows,
    Columns,
    FrameValue,
    Function,
    Listed,
    Module,
    Places,
    Plain,
    SeriesValue,
    Value,
    Whole,
)
from factors.syntax import Fault, Raw, RawCall, RawName, RawNumber

DEEPEST = 64


class ExpressionReader(ABC):
    """Reads expressions; statements and calls of functions of the text are read by its subclass."""

    def __init__(self, places: Places, notes: list[str]) -> None:
        self.places = places
        self.notes = notes
        self.names: dict[str, Value] = {"np": Module("np"), "numpy": Module("np"), "pd": Module("pd"),
                                        "pandas": Module("pd"), "df": FrameValue(), "data": FrameValue()}  # fmt: skip
        self.columns: dict[str, SeriesValue] = {}
        self.depth = 0
        self.whole: Whole | None = None
        self.calls = CallCount()

    @abstractmethod
    def called(self, node: ast.Call, function: Function) -> Value:
        """Return what a function of the text returns for the arguments of a call."""

    @abstractmethod
    def assigned(self, node: ast.Call) -> Value:
        """Return the frame with the columns of `df.assign(name=...)`."""

    def expr(self, node: ast.expr) -> Value:
        """Return what an expression stands for."""
        self.depth += 1
        try:
            if self.depth > 2 * DEEPEST:
                raise self.places.fault(node, "nested too deeply", "say it flatter", "too_deep")
            return self._expr(node)
        finally:
            self.depth -= 1

    def _expr(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value):
                return self.constant(node, value)
            case ast.Name(name):
                return self.name(node, name)
            case ast.Attribute():
                return self.attribute(node)
            case ast.Subscript():
                return subscript(self, node)
            case ast.BinOp():
                return self.binary(node)
            case ast.UnaryOp():
                return self.unary(node)
            case ast.Compare():
                if len(node.ops) != 1:
                    raise self.places.fault(node, "comparisons do not chain", "write (a < b) & (b < c)")
                return self.operation(node, type(node.ops[0]).__name__, node.left, node.comparators[0])
            case ast.BoolOp():
                word = "and_" if isinstance(node.op, ast.And) else "or_"
                parts = [self.series(value).raw for value in node.values]
                found = parts[0]
                for other in parts[1:]:
                    found = self.ours(word, node, found, other)
                return SeriesValue(found)
            case ast.IfExp():
                parts = [self.series(node.test).raw, self.branch(node.body), self.branch(node.orelse)]
                return SeriesValue(self.ours("if_else", node, *parts))
            case ast.Call():
                return call(self, node)
            case ast.Lambda():
                return Function(node)
            case ast.List() | ast.Tuple():
                return Listed(tuple(self.expr(part) for part in node.elts))
        raise self.refused(node)

    def constant(self, node: ast.expr, value: object) -> Value:
        """Return a literal."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                number = float("inf")
            if not abs(number) < float("inf"):
                raise self.places.fault(node, "a number that is too large", "use a smaller one", "bad_number")
            return SeriesValue(RawNumber(number, "", self.places.at(node)))
        return Plain(value)

    def name(self, node: ast.expr, name: str) -> Value:
        """Return what a name stands for; an unknown one may be a column."""
        if name in self.names:
            return self.names[name]
        if name.startswith("_"):
            raise self.places.fault(node, f"{name[:40]} is not read", "use the columns of df")
        # A bare name may be a column: close.rolling(5).mean().
        return SeriesValue(RawName(name, self.places.at(node)))

    def attribute(self, node: ast.Attribute) -> Value:
        """Return df.close, np.pi and the like."""
        if node.attr.startswith("_"):
            raise self.places.fault(node, f"{node.attr[:40]} is not read", "use the columns of df")
        owner = self.expr(node.value)
        if isinstance(owner, Module):
            if node.attr in CONSTANTS:
                return SeriesValue(RawNumber(CONSTANTS[node.attr], "", self.places.at(node)))
            if node.attr in ("nan", "inf", "NaN", "NAN"):
                return Plain(node.attr.lower())
            raise self.places.fault(node, f"{owner.name}.{node.attr[:40]} is not read", "see `alphaglow operators`")
        if isinstance(owner, FrameValue):
            if node.attr == "index":
                return Plain("index")
            if node.attr == "loc":
                return AllRows()
            return self.column(node, node.attr)
        if isinstance(owner, SeriesValue) and (node.attr == "values" or (node.attr == "iloc" and self.whole)):
            return owner
        if isinstance(owner, SeriesValue) and node.attr in ("index", "columns"):
            return Plain("index")
        if isinstance(owner, SeriesValue) and node.attr == "T":
            raise self.places.fault(node, "tables are not turned", "use axis=1")
        raise refused_method(self, node, node.attr)

    def column(self, node: ast.expr, name: str) -> SeriesValue:
        """Return a column of the frame: one that the code made, or a field."""
        if name in self.columns:
            return self.columns[name]
        name = name.removeprefix("$")
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name) is None:
            raise self.places.fault(node, f"{name[:40]!r} is no column name", "name a field, such as close")
        return SeriesValue(RawName(name, self.places.at(node)))

    def binary(self, node: ast.BinOp) -> Value:
        """Return x + y and the like."""
        return self.operation(node, type(node.op).__name__, node.left, node.right)

    def operation(self, node: ast.expr, kind: str, left: ast.expr, right: ast.expr) -> Value:
        """Return an arithmetic operation or comparison."""
        word = OPERATOR_WORDS.get(kind)
        if word is None:
            if kind == "FloorDiv":
                whole = self.ours("div", node, self.series(left).raw, self.series(right).raw)
                return SeriesValue(self.ours("floor", node, whole))
            hints = {"BitXor": "use ** for powers, != for one of two conditions"}
            raise self.places.fault(node, f"the operator {kind} is not read", hints.get(kind, "use + - * / **"))
        x, y = self.series(left).raw, self.series(right).raw
        divides = word == "div" and isinstance(y, RawNumber) and y.value == 0
        if word in FOLD and not divides and isinstance(x, RawNumber) and isinstance(y, RawNumber):
            # Constants stay numbers, so that they may be windows.
            return SeriesValue(RawNumber(FOLD[word](x.value, y.value), "", self.places.at(node)))
        return SeriesValue(self.ours(word, node, x, y))

    def unary(self, node: ast.UnaryOp) -> Value:
        """Return -x, +x or ~x."""
        inner = self.series(node.operand).raw
        if isinstance(node.op, ast.UAdd):
            return SeriesValue(inner)
        if isinstance(node.op, ast.USub):
            if isinstance(inner, RawNumber):
                return SeriesValue(RawNumber(-inner.value, "", self.places.at(node)))
            return SeriesValue(self.ours("neg", node, inner))
        return SeriesValue(self.ours("not_", node, inner))

    def branch(self, node: ast.expr) -> Raw:
        """Return one of two values to choose from; it may be missing."""
        value = self.expr(node)
        if isinstance(value, Plain) and (value.value == "nan" or value.value is None):
            return RawName("nan", self.places.at(node))
        return self.series(node).raw

    def series(self, node: ast.expr) -> SeriesValue:
        """Return an expression that must be a column or a number."""
        value = self.expr(node)
        if isinstance(value, SeriesValue):
            return value
        if isinstance(value, Columns) and len(value.parts) == 1:
            return value.parts[0]
        if isinstance(value, Plain) and isinstance(value.value, bool):
            raise self.places.fault(node, "True and False are not values here", "use 1 and 0")
        if isinstance(value, Plain) and value.value in ("nan", None):
            raise self.places.fault(node, "a missing value cannot be written", "what is missing stays so by itself")
        raise self.places.fault(node, "this is not a column or a number", "use a column, such as df['close']")

    def ours(self, name: str, node: ast.AST, *args: Raw) -> RawCall:
        """Return a call of our own operator, at the place of `node`."""
        return ours(name, RawName("", self.places.at(node)), *args)

    def refused(self, node: ast.AST) -> Fault:
        """Return the refusal of a kind of syntax."""
        kind = type(node).__name__
        why, hint = NODE_WORDS.get(kind, (f"{kind} is not read", "use assignments, arithmetic and methods of columns"))
        return self.places.fault(node, why, hint)
