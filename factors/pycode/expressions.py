"""From expressions of Python to columns of ours: names, attributes, arithmetic."""

from __future__ import annotations

import ast
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping

from factors.dialects.base import ours
from factors.pycode.arguments import refused_method
from factors.pycode.calls import call, subscript
from factors.pycode.constants import chosen_part, comprehended, formatted, mapped, mapping, of_constants, truth_of
from factors.pycode.conversions import is_condition
from factors.pycode.functions import CallCount
from factors.pycode.methods import CONSTANTS, FOLD, NODE_WORDS, OPERATOR_WORDS
from factors.pycode.numpy_functions import refused_numpy
from factors.pycode.picks import picked_operation
from factors.pycode.tables import note_of_rows, turned_operation
from factors.pycode.values import (
    AllRows,
    Columns,
    FrameValue,
    Function,
    Grouped,
    Listed,
    Module,
    Picked,
    Places,
    Plain,
    SeriesValue,
    Turned,
    Value,
    Whole,
    code_of,
)
from factors.syntax import NATIVE, Fault, Raw, RawCall, RawName, RawNumber

DEEPEST = 64
# The smallest step of a float, which is added to divisors.
_SMALLEST = ("np.finfo(float).eps", "np.finfo(np.float64).eps", "numpy.finfo(float).eps", "sys.float_info.epsilon")


class ExpressionReader(ABC):
    """Reads expressions; statements and calls of functions of the text are read by its subclass."""

    def __init__(self, places: Places, notes: list[str]) -> None:
        self.places = places
        self.notes = notes
        self.names: dict[str, Value] = {"np": Module("np"), "numpy": Module("np"), "pd": Module("pd"),
                                        "pandas": Module("pd"), "math": Module("np")}  # fmt: skip
        self.names |= {"talib": Module("talib"), "ta": Module("pandas_ta"), "pandas_ta": Module("pandas_ta")}
        self.names["df"] = self.names["data"] = FrameValue()
        # Of the object whose methods are read: what `self.name` stands for.
        self.attributes: dict[str, Value] = {}
        self.by_asset = False
        # Whether a statistic of rows was taken, so that tables have a column for each asset.
        self.wide = False
        # By number, whose level of the rows it is: the asset's or the time's.
        self.levels: Mapping[float, str] = {}
        # Columns of the data that were read: they are there, whatever their names.
        self.looked_at: set[str] = set()
        self.depth = 0
        self.whole: Whole | None = None
        self.calls = CallCount()

    @abstractmethod
    def called(self, node: ast.Call, function: Function) -> Value:
        """Return what a function of the text returns for the arguments of a call."""

    @abstractmethod
    def body(self, statements: list[ast.stmt]) -> Value | None:
        """Read statements; return what is returned, or the last expression."""

    @abstractmethod
    def assign(self, target: ast.expr, value: Value) -> Value:
        """Bind a name or a new column of the frame."""

    @abstractmethod
    def assigned(self, node: ast.Call, frame: FrameValue) -> Value:
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
            case ast.BoolOp() if (known_part := chosen_part(self, node)) is not None:
                return known_part
            case ast.BoolOp():
                word = "and_" if isinstance(node.op, ast.And) else "or_"
                parts = [self.series(value).raw for value in node.values]
                found = parts[0]
                for other in parts[1:]:
                    found = self.ours(word, node, found, other)
                return SeriesValue(found)
            case ast.IfExp():
                known = truth_of(self, node.test)
                if known is not None:
                    return self.expr(node.body if known else node.orelse)
                parts = [self.series(node.test).raw, self.branch(node.body), self.branch(node.orelse)]
                return SeriesValue(self.ours("if_else", node, *parts))
            case ast.Call():
                return call(self, node)
            case ast.Lambda():
                return Function(node)
            case ast.List() | ast.Tuple():
                return Listed(tuple(self.expr(part) for part in node.elts))
            case ast.Dict():
                return mapping(self, node)
            case ast.DictComp():
                return mapped(self, node)
            case ast.ListComp() | ast.GeneratorExp():
                return comprehended(self, node)
            case ast.JoinedStr():
                return formatted(self, node)
            case ast.NamedExpr(target, inner):
                return self.assign(target, self.expr(inner))
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
        if node.attr in ("eps", "epsilon") and code_of(node) in _SMALLEST:
            return SeriesValue(RawNumber(2.0**-52, "", self.places.at(node)))
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            if node.attr in self.attributes:
                return self.attributes[node.attr]
            why = f"self.{node.attr[:40]} is set nowhere that is read"
            raise self.places.fault(node, why, "give it a number in __init__, or write it out")
        if node.attr.startswith("_"):
            raise self.places.fault(node, f"{node.attr[:40]} is not read", "use the columns of df")
        owner = self.expr(node.value)
        if isinstance(owner, Module):
            if owner.name in ("ta", "pandas_ta") and node.attr in ("momentum", "trend", "volatility", "volume"):
                return Module("ta")
            if node.attr in CONSTANTS:
                return SeriesValue(RawNumber(CONSTANTS[node.attr], "", self.places.at(node)))
            if node.attr in ("nan", "inf", "NaN", "NAN"):
                return Plain(node.attr.lower())
            if owner.name == "np":
                raise refused_numpy(self, node, node.attr)
            raise self.places.fault(node, f"{owner.name}.{node.attr[:40]} is not read", "see `alphaglow operators`")
        if isinstance(owner, FrameValue):
            if node.attr == "index":
                return Plain("index")
            if node.attr == "loc":
                return AllRows(owner)
            return self.column(node, node.attr, owner)
        if isinstance(owner, Grouped) and owner.series is None:
            return Grouped(owner.by, self.column(node, node.attr, owner.frame))
        if isinstance(owner, SeriesValue) and (node.attr == "values" or (node.attr == "iloc" and self.whole)):
            return owner
        if isinstance(owner, SeriesValue) and node.attr in ("index", "columns"):
            return Plain("index")
        if isinstance(owner, SeriesValue) and node.attr == "T" and self.whole is None and not self.by_asset:
            return Turned(owner.raw)
        if isinstance(owner, Turned) and node.attr == "T":
            return SeriesValue(owner.raw)
        raise refused_method(self, node, node.attr)

    def column(self, node: ast.expr, name: str, frame: FrameValue | None = None) -> SeriesValue:
        """Return a column of a frame: one that the code made, or a field."""
        if frame is not None and name in frame.columns:
            return SeriesValue(frame.columns[name].raw)
        if frame is not None and frame.made:
            raise self.places.fault(node, f"this table has no column {name[:40]}", "put it there first")
        name = name.removeprefix("$")
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name) is None:
            raise self.places.fault(node, f"{name[:40]!r} is no column name", "name a field, such as close")
        self.looked_at.add(name)
        return SeriesValue(RawName(name, self.places.at(node)))

    def binary(self, node: ast.BinOp) -> Value:
        """Return x + y and the like."""
        return self.operation(node, type(node.op).__name__, node.left, node.right)

    def operation(self, node: ast.expr, kind: str, left: ast.expr, right: ast.expr) -> Value:
        """Return an arithmetic operation or comparison."""
        lists = of_constants(self, node, kind, left, right)
        if lists is not None:
            return lists
        word = OPERATOR_WORDS.get(kind)
        if word is None:
            if kind == "FloorDiv":
                over, under = self.series(left).raw, self.series(right).raw
                if isinstance(over, RawNumber) and isinstance(under, RawNumber) and under.value:
                    return SeriesValue(RawNumber(float(over.value // under.value), "", self.places.at(node)))
                return SeriesValue(self.ours("floor", node, self.ours("div", node, over, under)))
            hints = {"BitXor": "use ** for powers, != for one of two conditions"}
            raise self.places.fault(node, f"the operator {kind} is not read", hints.get(kind, "use + - * / **"))
        one, other = self.expr(left), self.expr(right)
        if isinstance(one, Turned) or isinstance(other, Turned):
            return turned_operation(self, node, word, one, other)
        if isinstance(one, Picked):
            return picked_operation(self, node, word, one, other)
        x, y = self.as_series(left, one).raw, self.as_series(right, other).raw
        note_of_rows(self, node, x, y)
        if word in ("and_", "or_"):
            x, y = self.shifted_condition(node, x), self.shifted_condition(node, y)
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

    def shifted_condition(self, node: ast.AST, x: Raw) -> Raw:
        """Return a condition of an earlier bar as a condition: `up.shift(1)` is 1 or 0."""
        if isinstance(x, RawCall) and x.name == f"{NATIVE}ts_delay" and is_condition(x.args[0]):
            return self.ours("ne", node, x, RawNumber(0.0, "", self.places.at(node)))
        return x

    def branch(self, node: ast.expr) -> Raw:
        """Return one of two values to choose from; it may be missing."""
        value = self.expr(node)
        if isinstance(value, Plain) and (value.value == "nan" or value.value is None):
            return RawName("nan", self.places.at(node))
        return self.series(node).raw

    def series(self, node: ast.expr) -> SeriesValue:
        """Return an expression that must be a column or a number."""
        return self.as_series(node, self.expr(node))

    def as_series(self, node: ast.expr, value: Value) -> SeriesValue:
        """Return a value that must be a column or a number."""
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
