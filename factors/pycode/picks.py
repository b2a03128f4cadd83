"""Values of a window that a condition picks, `x[x > 0]` in a function of a window, and their statistics."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from factors.dialects.templates import formula
from factors.pycode.arguments import Arguments, bars_of
from factors.pycode.conversions import is_condition
from factors.pycode.values import Picked, Reader, SeriesValue, Value
from factors.pycode.window_numbers import holds_number, keep_number
from factors.syntax import Raw, RawNumber

# Of the values x of the last d bars where c holds, n of them.
_STATISTICS: Mapping[str, str] = {
    "mean": "ts_sumif(x, d, c) / ts_count(c, d)",
    "sum": "ts_sumif(x, d, c)",
    "count": "ts_count(c, d)",
    "var": "max(ts_sumif(x * x, d, c) - ts_sumif(x, d, c) ^ 2 / ts_count(c, d), 0) / (ts_count(c, d) - k)",
    "std": "sqrt(max(ts_sumif(x * x, d, c) - ts_sumif(x, d, c) ^ 2 / ts_count(c, d), 0) / (ts_count(c, d) - k))",
}
_SIZES = frozenset({"size", "shape"})
_NUMPY: Mapping[str, str] = {"nanmean": "mean", "nansum": "sum", "nanstd": "std", "nanvar": "var", "average": "mean"}


def picked(reader: Reader, node: ast.Subscript, x: Raw) -> Picked | None:
    """`x[x > 0]` of a window; None where the subscript is no condition."""
    whole = reader.whole
    if whole is None or not isinstance(whole.bars, RawNumber) or not isinstance(node.slice, ast.Compare | ast.BinOp):
        return None
    condition = reader.expr(node.slice)
    if not isinstance(condition, SeriesValue) or not is_condition(condition.raw):
        return None
    if holds_number(whole, x) or holds_number(whole, condition.raw):
        why = "values are picked by a statistic of the same window"
        raise reader.places.fault(node, why, "compare with a number, or do it in steps, each with .rolling(n)")
    return Picked(x, condition.raw)


def picked_statistic(reader: Reader, node: ast.AST, values: Picked, method: str, ddof: float | None) -> SeriesValue:
    """Return a statistic of picked values: one number of the window."""
    whole = reader.whole
    assert whole is not None and whole.bars is not None
    if method not in _STATISTICS:
        why = f".{method[:40]}() of values that a condition picks is not read"
        raise reader.places.fault(node, why, f"one of {', '.join(_STATISTICS)}")
    degrees = (1.0 if whole.has_index else 0.0) if ddof is None else ddof
    names = {"x": values.raw, "c": values.condition, "d": whole.bars, "k": bars_of(reader, node, degrees)}
    return SeriesValue(keep_number(whole, formula(_STATISTICS[method], reader.places.at(node), names)))


def picked_method(reader: Reader, node: ast.Call, values: Picked, method: str) -> Value:
    """`x[x > 0].mean()`."""
    arguments = Arguments(reader, node)
    if method == "abs":
        arguments.done()
        return Picked(reader.ours("abs", node, values.raw), values.condition)
    ddof = arguments.number("ddof") if method in ("std", "var") else None
    arguments.done()
    return picked_statistic(reader, node, values, method, ddof)


def numpy_of_picked(reader: Reader, node: ast.Call, name: str) -> Value | None:
    """`np.mean(x[x > 0])` and `len(x[x > 0])`; None where the argument is nothing of the kind."""
    first = node.args[0] if node.args else None
    if reader.whole is None or not isinstance(first, ast.Subscript | ast.BinOp | ast.Name):
        return None
    if isinstance(first, ast.Subscript) and not isinstance(first.slice, ast.Compare | ast.BinOp):
        return None
    values = reader.expr(first)
    if not isinstance(values, Picked):
        return None
    arguments = Arguments(reader, node)
    arguments.node_of("a")
    if name in ("abs", "square"):
        arguments.done()
        raw = (
            reader.ours("abs", node, values.raw) if name == "abs" else reader.ours("mul", node, values.raw, values.raw)
        )
        return Picked(raw, values.condition)
    method = "count" if name in ("len", "size") else _NUMPY.get(name, name)
    ddof = arguments.number("ddof", 0.0) if method in ("std", "var") else None
    arguments.done()
    return picked_statistic(reader, node, values, method, ddof)


def picked_size(reader: Reader, node: ast.AST, values: Picked, name: str) -> SeriesValue | None:
    """`x[x > 0].size`."""
    return picked_statistic(reader, node, values, "count", None) if name in _SIZES - {"shape"} else None


def picked_operation(reader: Reader, node: ast.AST, word: str, values: Picked, other: Value) -> Picked:
    """`x[x < 0] ** 2`: picked values and a number."""
    if not isinstance(other, SeriesValue) or not isinstance(other.raw, RawNumber):
        why = "picked values are computed with numbers only"
        raise reader.places.fault(node, why, "take their mean, sum, std or count first")
    return Picked(reader.ours(word, node, values.raw, other.raw), values.condition)
