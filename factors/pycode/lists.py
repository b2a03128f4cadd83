"""Functions of lists in pandas code: several columns added, averaged or compared, and weights of a window."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence

from factors.dialects.templates import formula
from factors.pycode.arguments import bars_of
from factors.pycode.constants import listed_numbers, numbers_of, spaced
from factors.pycode.values import Listed, Mapped, Reader, SeriesValue, Value, code_of, dotted
from factors.pycode.window_numbers import holds_number
from factors.syntax import Raw, RawNumber

_FOLDED: Mapping[str, str] = {"sum": "add", "nansum": "add", "mean": "add", "nanmean": "add", "average": "add",
                              "max": "max", "nanmax": "max", "amax": "max", "min": "min", "nanmin": "min",
                              "amin": "min"}  # fmt: skip
_REDUCED: Mapping[str, str] = {"maximum": "max", "minimum": "min", "add": "add", "multiply": "mul", "fmax": "max",
                               "fmin": "min", "logical_and": "and_", "logical_or": "or_"}  # fmt: skip
# The longest window whose weights are written out bar by bar.
_LONGEST_WEIGHTS = 30


def folded(reader: Reader, node: ast.AST, word: str, parts: Sequence[Value]) -> Raw:
    """Return several columns put together by an operator of two."""
    raws = [part.raw for part in parts if isinstance(part, SeriesValue)]
    if len(raws) != len(parts) or not raws:
        raise reader.places.fault(node, "a list of columns is meant here", "put columns into it")
    found = raws[0]
    for other in raws[1:]:
        found = reader.ours(word, node, found, other)
    return found


def function_of_list(reader: Reader, node: ast.Call, name: str) -> Value | None:
    """`sum(parts)`, `len(parts)`, `max(windows)`, `range(5)`, `list(x)`; None where the argument is no list."""
    if name == "range":
        return spaced(reader, node)
    if name not in ("sum", "len", "max", "min", "list", "tuple", "abs") or len(node.args) != 1 or node.keywords:
        return None
    if not isinstance(node.args[0], ast.Name | ast.List | ast.Tuple | ast.ListComp | ast.GeneratorExp | ast.Call):
        return None
    if isinstance(node.args[0], ast.Call) and not _gives_list(node.args[0]):
        return None
    given = reader.expr(node.args[0])
    if isinstance(given, Mapped) and name == "len":
        return SeriesValue(bars_of(reader, node, len(given.parts)))
    if not isinstance(given, Listed):
        return None
    if name in ("list", "tuple"):
        return given
    if name == "len":
        return SeriesValue(bars_of(reader, node, len(given.parts)))
    numbers = numbers_of(given)
    if numbers is not None and name in ("sum", "max", "min"):
        found = math.fsum(numbers) if name == "sum" else max(numbers) if name == "max" else min(numbers)
        return SeriesValue(bars_of(reader, node, found))
    return SeriesValue(folded(reader, node, _FOLDED[name], given.parts)) if name != "abs" else None


def _gives_list(node: ast.Call) -> bool:
    """Whether a call gives a list by its form: `range(5)`, `parts.values()`."""
    of_dictionary = isinstance(node.func, ast.Attribute) and node.func.attr in ("values", "keys", "items")
    return dotted(node.func) in ("range", "np.arange", "np.array") or (of_dictionary and not node.args)


def numpy_of_list(reader: Reader, node: ast.Call, name: str) -> Value | None:
    """`np.mean([a, b], axis=0)`, `np.maximum.reduce([a, b])`, `np.arange(1, 6)`, `np.dot(x, weights)`."""
    if name == "arange":
        return spaced(reader, node)
    if name == "polyfit":
        return _line(reader, node)
    if name == "corrcoef":
        return _with_time(reader, node)
    if name == "reduce" and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Attribute):
        given = reader.expr(node.args[0]) if len(node.args) == 1 and not node.keywords else None
        word = _REDUCED.get(node.func.value.attr)
        if word is None or not isinstance(given, Listed):
            raise reader.places.fault(node, "reduce is read of a list of columns", "write np.maximum.reduce([a, b])")
        return SeriesValue(folded(reader, node, word, given.parts))
    if name in ("dot", "inner") and len(node.args) == 2 and not node.keywords:
        return with_weights(reader, node, node.args[0], node.args[1])
    if name == "average" and len(node.args) == 1 and [word.arg for word in node.keywords] == ["weights"]:
        found = with_weights(reader, node, node.args[0], node.keywords[0].value)
        weights = numbers_of(reader.expr(node.keywords[0].value)) or [0.0]
        if found is None or not isinstance(found, SeriesValue) or not math.fsum(weights):
            return None
        return _one_number(reader, reader.ours("div", node, found.raw, bars_of(reader, node, math.fsum(weights))))
    if name not in (*_FOLDED, "array", "asarray") or not node.args:
        return None
    if not isinstance(node.args[0], ast.List | ast.ListComp | ast.Name):
        return None
    given = reader.expr(node.args[0])
    if not isinstance(given, Listed):
        return None
    if name in ("array", "asarray"):
        return given
    axis = [code_of(word.value) for word in node.keywords if word.arg == "axis"]
    if axis != ["0"] or len(node.keywords) != 1 or len(node.args) != 1:
        raise reader.places.fault(
            node, f"np.{name} of several columns takes axis=0", f"write np.{name}([a, b], axis=0)"
        )
    total = folded(reader, node, _FOLDED[name], given.parts)
    if name in ("mean", "nanmean", "average"):
        total = reader.ours("div", node, total, bars_of(reader, node, len(given.parts)))
    return SeriesValue(total)


def _with_time(reader: Reader, node: ast.Call) -> Value | None:
    """`np.corrcoef(np.arange(n), x)` of a window: the table of its correlations with time."""
    whole = reader.whole
    given = [reader.expr(part) for part in node.args]
    if whole is None or not isinstance(whole.bars, RawNumber) or len(given) != 2 or node.keywords:
        return None
    places = next((found for found in map(numbers_of, given) if found is not None), None)
    column = next((one for one in given if isinstance(one, SeriesValue)), None)
    if places != list(range(int(whole.bars.value))) or column is None or holds_number(whole, column.raw):
        return None
    at, names = reader.places.at(node), {"x": column.raw, "d": whole.bars}
    found = _one_number(reader, formula("sign(ts_slope(x, d)) * sqrt(ts_rsquare(x, d))", at, names))
    one = _one_number(reader, RawNumber(1.0, "", at))
    return Listed((Listed((one, found)), Listed((found, one))))


def _line(reader: Reader, node: ast.Call) -> Value | None:
    """`np.polyfit(np.arange(n), x, 1)` of a window: its slope and its level at the oldest bar."""
    whole = reader.whole
    given = [reader.expr(part) for part in node.args]
    if whole is None or not isinstance(whole.bars, RawNumber) or len(given) != 3 or node.keywords:
        return None
    places, column = numbers_of(given[0]), given[1]
    plain = isinstance(column, SeriesValue) and not holds_number(whole, column.raw)
    if places != list(range(int(whole.bars.value))) or not plain or code_of(node.args[2]) != "1":
        why = "a line is fitted to the window, bar by bar"
        raise reader.places.fault(node, why, "write np.polyfit(np.arange(n), x, 1)[0]")
    assert isinstance(column, SeriesValue)
    at, names = reader.places.at(node), {"x": column.raw, "d": whole.bars}
    slope = formula("ts_slope(x, d)", at, names)
    level = formula("ts_mean(x, d) - ts_slope(x, d) * (d - 1) / 2", at, names)
    return Listed((_one_number(reader, slope), _one_number(reader, level)))


def method_of_list(reader: Reader, node: ast.Call, given: Listed, method: str) -> Value | None:
    """`weights.sum()` and `.mean()` of numbers, and `.append(x)`, which gives the longer list."""
    if method in ("append",) and len(node.args) == 1 and not node.keywords:
        return Listed((*given.parts, reader.expr(node.args[0])), reader.by_asset)
    numbers = numbers_of(given)
    if numbers is None or node.args or node.keywords:
        return None
    if method in ("sum", "mean", "max", "min"):
        size = len(numbers)
        total = {"sum": math.fsum(numbers), "mean": math.fsum(numbers) / size, "max": max(numbers), "min": min(numbers)}
        return SeriesValue(bars_of(reader, node, total[method]))
    return listed_numbers(reader, node, numbers) if method in ("copy", "astype", "tolist") else None


def with_weights(reader: Reader, node: ast.Call, one: ast.expr, other: ast.expr) -> Value | None:
    """Return the window times weights of its length, oldest first, added up; None where it is no such product."""
    whole = reader.whole
    values = [reader.expr(part) for part in (one, other)]
    weights = next((found for found in map(numbers_of, values) if found is not None), None)
    column = next((value for value in values if isinstance(value, SeriesValue)), None)
    if whole is None or not isinstance(whole.bars, RawNumber) or weights is None or column is None:
        return None
    if holds_number(whole, column.raw):
        raise reader.places.fault(node, "weights are read of the window itself", "write np.dot(x, weights)")
    d = int(whole.bars.value)
    if len(weights) != d:
        why = f"{len(weights)} weights for a window of {d} bars"
        raise reader.places.fault(node, why, "give one weight for each bar")
    at = reader.places.at(node)
    names = {"x": column.raw, "d": whole.bars}
    if all(math.isclose(weight, weights[0] * (place + 1), rel_tol=1e-9) for place, weight in enumerate(weights)):
        total = RawNumber(math.fsum(weights), "", at)
        return _one_number(reader, formula("s * ts_decay_linear(x, d)", at, {**names, "s": total}))
    if d > _LONGEST_WEIGHTS:
        why = f"weights of {d} bars are read where they rise evenly from the first on"
        raise reader.places.fault(node, why, f"use at most {_LONGEST_WEIGHTS} bars, or ts_decay_linear(x, d)")
    found: Raw | None = None
    for place, weight in enumerate(weights):
        back = d - 1 - place
        lagged = column.raw if back == 0 else reader.ours("ts_delay", node, column.raw, RawNumber(back, "", at))
        term = reader.ours("mul", node, RawNumber(weight, "", at), lagged)
        found = term if found is None else reader.ours("add", node, found, term)
    assert found is not None
    return _one_number(reader, found)


def _one_number(reader: Reader, raw: Raw) -> SeriesValue:
    """Return a value that is one number of the window being read."""
    if reader.whole is not None:
        reader.whole.single.append((raw, None))
    return SeriesValue(raw)
