"""Values chosen by conditions in pandas code: masks that are assigned to, np.select, fillna, and guards of the data."""

from __future__ import annotations

import ast

from factors.dialects.templates import formula
from factors.pycode.arguments import Arguments, bars_of
from factors.pycode.values import Listed, Plain, Reader, SeriesValue, Value, code_of
from factors.syntax import Raw, RawName, RawNumber

# Bars that a gap is filled over where no limit is said.
LONGEST_FILL = 250


def filled(reader: Reader, node: ast.Call, x: Raw, arguments: Arguments) -> Raw:
    """`x.fillna(0)`, `x.fillna(y)`, `x.fillna(method='ffill')`."""
    method = arguments.plain("method")
    if method in ("ffill", "pad"):
        return carried(reader, node, x, arguments)
    if method is not None:
        raise reader.places.fault(node, "filling from later bars looks ahead", "use .ffill(limit=5)", "look_ahead")
    given = arguments.node_of("value")
    arguments.named.pop("inplace", None)
    if given is None:
        raise reader.places.fault(node, "fillna does not say by what", "write .fillna(0)")
    value = reader.expr(given)
    if isinstance(value, Plain) and value.value in ("nan", None):
        return x
    other = reader.series(given).raw
    reader.notes.append("fillna: what is missing is filled, during warm-up too")
    return formula("if_else(is_nan(x), y, x)", reader.places.at(node), {"x": x, "y": other})


def carried(reader: Reader, node: ast.Call, x: Raw, arguments: Arguments) -> Raw:
    """`x.ffill(limit=5)`: the newest known value; without a limit, of a year of days."""
    limit = arguments.number("limit")
    if limit is None:
        reader.notes.append(f"ffill without a limit reaches back {LONGEST_FILL} bars here")
    return reader.ours("ts_backfill", node, x, bars_of(reader, node, LONGEST_FILL if limit is None else limit + 1))


def selected(reader: Reader, node: ast.Call, arguments: Arguments) -> Raw:
    """`np.select([c1, c2], [x1, x2], default=0)`: the first whose condition holds."""
    conditions, values = arguments.node_of("condlist"), arguments.node_of("choicelist")
    default = arguments.node_of("default")
    arguments.done()
    tests, picks = (reader.expr(part) if part is not None else None for part in (conditions, values))
    if not (isinstance(tests, Listed) and isinstance(picks, Listed)) or len(tests.parts) != len(picks.parts):
        why = "np.select takes two lists of the same length"
        raise reader.places.fault(node, why, "write np.select([c], [x], default=0)")
    found: Raw = RawNumber(0.0, "", reader.places.at(node)) if default is None else reader.branch(default)
    for test, pick in reversed(list(zip(tests.parts, picks.parts, strict=True))):
        if not isinstance(test, SeriesValue):
            raise reader.places.fault(node, "np.select is read of columns", "write its conditions out")
        picked = pick.raw if isinstance(pick, SeriesValue) else RawName("nan", reader.places.at(node))
        found = reader.ours("if_else", node, test.raw, picked, found)
    return found


def between(reader: Reader, node: ast.Call, x: Raw, arguments: Arguments) -> Raw:
    """`x.between(a, b)`: both ends belong to it unless `inclusive` says otherwise."""
    low, high = arguments.raw("left"), arguments.raw("right")
    inclusive = arguments.plain("inclusive")
    below = "gt" if inclusive in ("neither", "right") else "ge"
    above = "lt" if inclusive in ("neither", "left") else "le"
    return reader.ours("and_", node, reader.ours(below, node, x, low), reader.ours(above, node, x, high))


def masked(reader: Reader, target: ast.Subscript, old: Value | None, value: Value) -> Value | None:
    """`x[c] = v`: v where c holds, and x elsewhere; None where it is no such assignment."""
    if not isinstance(old, SeriesValue):
        return None
    condition = reader.expr(target.slice)
    if not isinstance(condition, SeriesValue) or isinstance(condition.raw, RawNumber):
        return None
    if isinstance(value, SeriesValue):
        chosen: Raw = value.raw
    elif isinstance(value, Plain) and value.value in ("nan", None):
        chosen = RawName("nan", reader.places.at(target))
    else:
        return None
    return SeriesValue(reader.ours("if_else", target, condition.raw, chosen, old.raw))


_ASKED = frozenset({"len", "isinstance", "hasattr"})


def is_guard(node: ast.If) -> bool:
    """Whether an if only turns data away that cannot be computed with: too short, empty, or without a column."""
    if node.orelse or not all(isinstance(part, ast.Return | ast.Raise | ast.Pass) for part in node.body):
        return False
    for part in node.body:
        if isinstance(part, ast.Return) and part.value is not None and not _is_nothing(part.value):
            return False
    return _asks_of_shape(node.test)


def _is_nothing(node: ast.expr) -> bool:
    """None, NaN, or a series of NaN or without values."""
    text = code_of(node)
    return text in ("None", "np.nan", "float('nan')", "0", "0.0") or text.startswith(("pd.Series(", "pd.DataFrame("))


def _asks_of_shape(test: ast.expr) -> bool:
    if isinstance(test, ast.BoolOp):
        return all(_asks_of_shape(part) for part in test.values)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _asks_of_shape(test.operand)
    if isinstance(test, ast.Attribute):
        return test.attr == "empty"
    if isinstance(test, ast.Call):
        return isinstance(test.func, ast.Name) and test.func.id in _ASKED
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        if isinstance(test.ops[0], ast.In | ast.NotIn):
            return isinstance(test.left, ast.Constant | ast.Name) and "columns" in code_of(test.comparators[0])
        if isinstance(test.ops[0], ast.Is | ast.IsNot):
            return code_of(test.comparators[0]) == "None"
        call = test.left
        return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "len"
    return False
