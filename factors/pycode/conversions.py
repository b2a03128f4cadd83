"""Values changed in place in pandas code: casts to another type, and values with_replaced_values by others."""

from __future__ import annotations

import ast
import math

from factors.pycode.arguments import Arguments, bars_of
from factors.pycode.values import Reader, code_of
from factors.syntax import NATIVE, Raw, RawCall, RawNumber

_CONDITIONS = frozenset({"gt", "ge", "lt", "le", "eq", "ne", "and_", "or_", "not_"})
_FLOATS = frozenset({"float", "float16", "float32", "float64", "float_", "double", "single", "f4", "f8"})
_INTEGERS = frozenset({"int", "int8", "int16", "int32", "int64", "int_", "integer", "i4", "i8"})
_BOOLEANS = frozenset({"bool", "bool_", "boolean"})


def cast(reader: Reader, node: ast.AST, x: Raw, target: ast.expr) -> Raw:
    """Return `x` as another type: a float is itself, an integer cuts towards zero, a bool is whether it is not 0."""
    word = _type_word(target)
    if word in _FLOATS or (word in _INTEGERS | _BOOLEANS and is_condition(x)):
        return x
    if word in _INTEGERS:
        if isinstance(x, RawNumber):
            return RawNumber(float(math.trunc(x.value)), x.unit, x.at)
        reader.notes.append(f"{word}: cut towards zero; what is missing stays missing")
        size = reader.ours("floor", node, reader.ours("abs", node, x))
        return reader.ours("mul", node, reader.ours("sign", node, x), size)
    if word in _BOOLEANS:
        reader.notes.append(f"{word}: 1 where it is not 0; what is missing stays missing, where pandas has True")
        return reader.ours("ne", node, x, RawNumber(0.0, "", reader.places.at(node)))
    shown = code_of(target)[:40]
    raise reader.places.fault(node, f"the type {shown} is not read", "columns are numbers: float, int or bool")


def _type_word(target: ast.expr) -> str:
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Attribute):
        return target.attr
    if isinstance(target, ast.Constant) and isinstance(target.value, str):
        return target.value.lower()
    return ""


def is_condition(x: Raw) -> bool:
    """Whether a value is a comparison, or made of such."""
    return isinstance(x, RawCall) and x.name.removeprefix(NATIVE) in _CONDITIONS


def with_replaced_values(reader: Reader, node: ast.Call, x: Raw, arguments: Arguments) -> Raw:
    """Return `x` with values put in the place of others, as `Series.replace` does it."""
    old, new = arguments.node_of("to_replace"), arguments.node_of("value")
    if arguments.named.pop("regex", None) is not None or old is None:
        raise reader.places.fault(node, "replace is read for numbers only", "write .replace(0, 1)")
    found = x
    for before, after in reversed(_pairs(reader, node, old, new)):
        if math.isinf(before):
            reader.notes.append("replace: infinities do not occur here, what would be one is missing")
            continue
        if math.isnan(before) or math.isinf(after):
            why = "replace would put a made-up value in the place of a missing one"
            raise reader.places.fault(node, why, "leave it out: what is missing stays so")
        place = RawNumber(before, "", reader.places.at(node))
        if math.isnan(after):
            # x / 1 is x, and x / 0 is missing.
            found = reader.ours("div", node, found, reader.ours("ne", node, x, place))
        else:
            other = RawNumber(after, "", reader.places.at(node))
            found = reader.ours("if_else", node, reader.ours("eq", node, x, place), other, found)
    return found


def _pairs(reader: Reader, node: ast.Call, old: ast.expr, new: ast.expr | None) -> list[tuple[float, float]]:
    if isinstance(old, ast.Dict):
        if new is not None or any(key is None for key in old.keys):
            raise reader.places.fault(node, "replace takes a dictionary alone", "write .replace({0: 1})")
        befores = [_number(reader, key) for key in old.keys if key is not None]
        return list(zip(befores, [_number(reader, value) for value in old.values], strict=True))
    if new is None:
        raise reader.places.fault(node, "replace does not say by what", "write .replace(0, 1)")
    befores = [_number(reader, part) for part in (old.elts if isinstance(old, ast.List | ast.Tuple) else [old])]
    if isinstance(new, ast.List | ast.Tuple):
        afters = [_number(reader, part) for part in new.elts]
        if len(afters) != len(befores):
            raise reader.places.fault(node, "replace has lists of different length", "give one value for each")
        return list(zip(befores, afters, strict=True))
    return [(before, _number(reader, new)) for before in befores]


def _number(reader: Reader, node: ast.expr) -> float:
    """Return a literal number, infinity or NaN."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(reader, node.operand)
    if isinstance(node, ast.Constant):
        if node.value is None:
            return math.nan
        if isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return float(node.value)
    if isinstance(node, ast.Attribute) and node.attr.lower() in ("nan", "inf", "na"):
        return math.nan if node.attr.lower() != "inf" else math.inf
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float" and node.args:
        text = node.args[0]
        if isinstance(text, ast.Constant) and text.value in ("nan", "inf", "-inf", "NaN"):
            return float(text.value)
    raise reader.places.fault(node, "replace is read for numbers only", "write .replace(0, 1)")


def rounded(reader: Reader, node: ast.AST, x: Raw, decimals: float) -> Raw:
    """Return `x` with so few decimals."""
    if decimals == 0:
        return reader.ours("round", node, x)
    scale = bars_of(reader, node, 10.0**decimals)
    return reader.ours("div", node, reader.ours("round", node, reader.ours("mul", node, x, scale)), scale)
