"""Calls and subscripts in pandas code."""

from __future__ import annotations

import ast
import math

from factors.pycode.arguments import Arguments, bars_of, refused_method
from factors.pycode.choices import selected
from factors.pycode.column_methods import across_group, by_rows, clipped, method_of
from factors.pycode.constants import constant_of, formatted, items_of
from factors.pycode.conversions import cast, rounded
from factors.pycode.eval_texts import evaluated
from factors.pycode.groups import groupby
from factors.pycode.harmless import FRAME_METHODS, check_harmless
from factors.pycode.libraries import appended, called_library, of_class
from factors.pycode.lists import function_of_list, method_of_list, numpy_of_list
from factors.pycode.methods import ALONG_COLUMNS, NUMPY_PAIR, NUMPY_PLAIN
from factors.pycode.numpy_functions import refused_numpy, value_by_value
from factors.pycode.picks import numpy_of_picked, picked, picked_method
from factors.pycode.tables import one_a_bar, turned_method
from factors.pycode.values import (
    AllRows,
    Columns,
    FrameValue,
    Function,
    Grouped,
    Listed,
    Mapped,
    Module,
    Picked,
    Plain,
    Reader,
    SeriesValue,
    Turned,
    Value,
    WindowValue,
    code_of,
    dotted,
)
from factors.pycode.wholes import element, numpy_statistic, size_of
from factors.pycode.windows import statistic
from factors.syntax import Raw, RawCall, RawName, RawNumber

_OBJECTS = ("self", "cls")


def call(reader: Reader, node: ast.Call) -> Value:
    """Return what a call stands for."""
    if isinstance(node.func, ast.Name):
        known = reader.names.get(node.func.id)
        if isinstance(known, Function):
            return reader.called(node, known)
        return _function(reader, node, node.func.id)
    if isinstance(node.func, ast.Attribute) and dotted(node.func.value) in _OBJECTS:
        own = reader.attributes.get(node.func.attr)
        if isinstance(own, Function):
            return reader.called(node, own)
    if not isinstance(node.func, ast.Attribute):
        raise reader.places.fault(node, "this cannot be called", "call methods of columns, np and pd")
    method = node.func.attr
    if method.startswith("_"):
        raise reader.places.fault(node, f"{method[:40]} is not read", "use the columns of df")
    if method == "accumulate" and dotted(node.func.value).startswith(("np.", "numpy.")):
        why = f"{dotted(node.func)[:40]} runs on from the first value"
        raise reader.places.fault(node, why, "write x.cummax() or x.cummin(), or a window such as x.rolling(n).max()")
    if method == "reduce" and dotted(node.func.value).startswith(("np.", "numpy.")):
        return numpy_of_list(reader, node, method) or SeriesValue(RawName("nan", reader.places.at(node)))
    if (built := of_class(node)) is not None:
        return called_library(reader, built[1], "ta", built[0])
    if isinstance(node.func.value, ast.Attribute) and node.func.value.attr == "ta":
        frame = reader.expr(node.func.value.value)
        if isinstance(frame, FrameValue):
            return appended(reader, node, frame, method)
    owner = reader.expr(node.func.value)
    match owner:
        case Module("talib" | "pandas_ta" | "ta"):
            return called_library(reader, node, owner.name, method)
        case Module("np"):
            return _numpy(reader, node, method)
        case Module("pd"):
            return _pandas(reader, node, method)
        case FrameValue():
            return _frame(reader, node, owner, method)
        case Listed() if (of_list := method_of_list(reader, node, owner, method)) is not None:
            return of_list
        case Mapped() if method == "get" and node.args:
            key = reader.expr(node.args[0])
            item = owner.parts.get(key.value if isinstance(key, Plain) else None)
            if item is not None or len(node.args) > 1:
                return item or reader.expr(node.args[1])
        case Mapped() if method in ("values", "keys", "items") and not node.args:
            return Listed(tuple(items_of(reader, node)))
        case SeriesValue():
            return method_of(reader, node, owner, method)
        case WindowValue():
            return statistic(reader, node, owner, method)
        case Grouped():
            return across_group(reader, node, owner, method)
        case Columns():
            return _along(reader, node, owner, method)
        case Turned():
            return turned_method(reader, node, owner, method)
        case Picked():
            return picked_method(reader, node, owner, method)
    raise refused_method(reader, node, method)


def _function(reader: Reader, node: ast.Call, name: str) -> Value:
    arguments = Arguments(reader, node)
    of_list = function_of_list(reader, node, name)
    if of_list is not None:
        return of_list
    of_picked = numpy_of_picked(reader, node, name) if name in ("len", "sum", "abs") else None
    if of_picked is not None:
        return of_picked
    if name == "len":
        size = size_of(reader, node)
        if size is None:
            raise reader.places.fault(node, "the length of the data is not read", "write a number")
        return size
    if name == "round":
        x, decimals = arguments.raw("number"), arguments.number("ndigits", 0.0)
        arguments.done()
        return SeriesValue(rounded(reader, node, x, decimals or 0.0))
    if name == "abs":
        raw = arguments.raw("x")
        arguments.done()
        return SeriesValue(reader.ours("abs", node, raw))
    if name in ("max", "min", "sum") and len(node.args) == 1:
        of_whole = numpy_statistic(reader, node, name, arguments)
        if of_whole is not None:
            return of_whole
    if name in ("max", "min"):
        x, y = arguments.raw("x"), arguments.raw("y")
        arguments.done()
        if isinstance(x, RawNumber) and isinstance(y, RawNumber):
            return SeriesValue(bars_of(reader, node, max(x.value, y.value) if name == "max" else min(x.value, y.value)))
        return SeriesValue(reader.ours(name, node, x, y))
    if name in ("float", "int", "bool") and len(node.args) == 1 and not node.keywords:
        return SeriesValue(cast(reader, node, reader.series(node.args[0]).raw, node.func))
    if name in ("eval", "exec", "compile", "open", "__import__", "getattr", "globals", "input", "print"):
        raise reader.places.fault(node, f"{name} is never called", "only arithmetic on columns is read")
    # The rest are operators of the language, or unknown: that is said later, with a guess.
    names = tuple(keyword.arg or "" for keyword in node.keywords)
    args = tuple(reader.series(arg).raw for arg in (*node.args, *(keyword.value for keyword in node.keywords)))
    keywords = ("",) * len(node.args) + names if names else ()
    return SeriesValue(RawCall(name, args, reader.places.at(node), keywords))


def _numpy(reader: Reader, node: ast.Call, name: str) -> Value:
    arguments = Arguments(reader, node)
    of_list = numpy_of_list(reader, node, name) or numpy_of_picked(reader, node, name)
    if of_list is not None:
        return of_list
    of_whole = numpy_statistic(reader, node, name, arguments)
    if of_whole is not None:
        return of_whole
    parts: list[Raw]
    if name in NUMPY_PLAIN:
        parts = [reader.ours(NUMPY_PLAIN[name], node, arguments.raw("x"))]
    elif name in NUMPY_PAIR:
        parts = [reader.ours(NUMPY_PAIR[name], node, arguments.raw("x"), arguments.raw("y"))]
    elif name == "where":
        condition = arguments.raw("condition")
        branches = [arguments.branch(word) for word in ("x", "y")]
        parts = [reader.ours("if_else", node, condition, *branches)]
    elif name == "clip":
        within = clipped(reader, node, arguments.raw("x"), arguments)
        arguments.done()
        return SeriesValue(within)
    elif name == "select":
        return SeriesValue(selected(reader, node, arguments))
    elif name == "nan_to_num":
        x, other = arguments.raw("x"), arguments.number("nan", 0.0) or 0.0
        parts = [reader.ours("fill_nan", node, x, bars_of(reader, node, other))]
        for ignored in ("copy", "posinf", "neginf"):
            arguments.named.pop(ignored, None)
    elif name in ("log2", "log10"):
        base = bars_of(reader, node, math.log(2.0 if name == "log2" else 10.0))
        parts = [reader.ours("div", node, reader.ours("log", node, arguments.raw("x")), base)]
    elif name in ("round", "around"):
        number = rounded(reader, node, arguments.raw("a"), arguments.number("decimals", 0.0) or 0.0)
        arguments.done()
        return SeriesValue(number)
    elif name in ("zeros", "zeros_like", "ones", "ones_like", "full_like", "full"):
        return _constant(reader, node, name)
    elif name == "diff" and _prepends(reader, node):
        # Without `prepend` the result is shorter, and its rows are others.
        arguments.named.pop("prepend")
        parts = [reader.ours("ts_delta", node, arguments.raw("a"), bars_of(reader, node, 1.0))]
    elif name in ("asarray", "array", "float64"):
        parts = [arguments.raw("a")]
    else:
        found = value_by_value(reader, node, name, arguments)
        if found is None:
            raise refused_numpy(reader, node, name)
        parts = [found]
    arguments.done()
    return SeriesValue(parts[0])


def _prepends(reader: Reader, node: ast.Call) -> bool:
    """Whether `np.diff(x, prepend=...)` keeps its length: by NaN, or by x[0], whose change is missing here."""
    given = _keyword(node, "prepend")
    if isinstance(given, ast.Subscript) and node.args and code_of(given) == f"{code_of(node.args[0])}[0]":
        return True
    return isinstance(reader.expr(given), Plain)


def _keyword(node: ast.Call, name: str) -> ast.expr:
    """Return a keyword's value, a number where it is not given."""
    return next((keyword.value for keyword in node.keywords if keyword.arg == name), ast.Constant(0))


def _constant(reader: Reader, node: ast.Call, name: str) -> Value:
    """`np.zeros(len(df))` and the like: one number everywhere, whatever the shape."""
    if name.startswith("full") and len(node.args) > 1:
        return SeriesValue(reader.branch(node.args[1]))
    if len(node.args) != 1:
        raise reader.places.fault(node, f"np.{name} takes a shape", "write np.zeros(len(df))")
    return SeriesValue(bars_of(reader, node, 0.0 if name.startswith("zeros") else 1.0))


def _pandas(reader: Reader, node: ast.Call, name: str) -> Value:
    arguments = Arguments(reader, node)
    if name == "Series":
        given = arguments.node_of("data")
        # Without data every value is missing, until a condition fills some in.
        raw = RawName("nan", reader.places.at(node)) if given is None else reader.branch(given)
        index, dtype = arguments.named.pop("index", None), arguments.named.pop("dtype", None)
        arguments.named.pop("name", None)
        arguments.done()
        if index is not None and reader.expr(index) != Plain("index"):
            raise reader.places.fault(
                node, "rows cannot be given other labels", "write index=df.index, or leave it out"
            )
        return SeriesValue(raw if dtype is None or given is None else cast(reader, node, raw, dtype))
    if name == "DataFrame":
        return _table(reader, node, arguments)
    if name == "concat":
        parts = arguments.value("objs")
        if isinstance(parts, Listed) and parts.by_asset and len(parts.parts) == 1:
            for harmless in ("ignore_index", "axis"):
                arguments.plain(harmless)
            arguments.done()
            return parts.parts[0]
        if arguments.plain("axis") not in (1, "columns"):
            raise reader.places.fault(node, "pd.concat is read with axis=1 only", "write axis=1")
        arguments.done()
        if isinstance(parts, Listed) and parts.parts and all(isinstance(part, SeriesValue) for part in parts.parts):
            return Columns(tuple(part for part in parts.parts if isinstance(part, SeriesValue)))
    hint = {"qcut": "write x.rank(axis=1, pct=True)", "cut": "write np.select([x < 1, x < 2], [0, 1], default=2)"}
    raise reader.places.fault(node, f"pd.{name[:40]} is not read so", hint.get(name, "use methods of columns"))


def _table(reader: Reader, node: ast.Call, arguments: Arguments) -> Value:
    """`pd.DataFrame({'factor': f})`: a frame of these columns alone."""
    parts = arguments.value("data", Mapped({}))
    index, columns_given = arguments.named.pop("index", None), arguments.named.pop("columns", None)
    arguments.done()
    labelled = index is None or reader.expr(index) == Plain("index")
    if isinstance(parts, SeriesValue) and labelled and (columns_given is None or _names_alone(columns_given)):
        # Values of a table, labelled as they were.
        return parts
    if columns_given is not None:
        raise reader.places.fault(node, "columns cannot be given other names", "write pd.DataFrame({'a': a})")
    columns = parts.parts if isinstance(parts, Mapped) and labelled else {}
    made = {str(name): column for name, column in columns.items() if isinstance(column, SeriesValue)}
    if len(made) != len(columns) or not labelled or not isinstance(parts, Mapped):
        raise reader.places.fault(node, "a table is read of columns by their names", "write pd.DataFrame({'a': a})")
    return FrameValue(made, made=True)


def _names_alone(node: ast.expr) -> bool:
    """Whether labels are those of a table: `close.columns`."""
    return isinstance(node, ast.Attribute) and node.attr == "columns"


def _frame(reader: Reader, node: ast.Call, frame: FrameValue, method: str) -> Value:
    if method in FRAME_METHODS:
        check_harmless(reader, node, method, FRAME_METHODS[method])
        return frame.copy()
    if method == "groupby":
        return groupby(reader, node, frame)
    if method == "apply":
        return by_rows(reader, node, frame)
    if method == "get" and len(node.args) == 1 and not node.keywords:
        name = reader.expr(node.args[0])
        if isinstance(name, Plain) and isinstance(name.value, str):
            return reader.column(node, name.value, frame)
    if method in ("pivot", "pivot_table"):
        values = next((keyword.value for keyword in node.keywords if keyword.arg == "values"), None)
        column = None if values is None else reader.expr(values)
        if isinstance(column, Plain) and isinstance(column.value, str):
            return reader.column(node, column.value, frame)
    if method == "assign" and not node.args:
        return reader.assigned(node, frame)
    if frame.made and method in ALONG_COLUMNS and frame.columns:
        return _along(reader, node, Columns(tuple(frame.columns.values())), method)
    if method == "eval":
        return evaluated(reader, node, frame)
    if method == "query":
        raise refused_method(reader, node, method)
    raise reader.places.fault(node, f"df.{method[:40]} is not read", "work on columns, such as df['close']")


def subscript(reader: Reader, node: ast.Subscript) -> Value:
    """Return df['close'], df[['a', 'b']] or a column of a grouped frame."""
    owner = reader.expr(node.value)
    if isinstance(owner, AllRows):
        return _column_of_rows(reader, node, owner.frame)
    if isinstance(owner, SeriesValue):
        value = element(reader, node, owner.raw) or picked(reader, node, owner.raw)
        if isinstance(value, Picked):
            return value
        if value is not None:
            return SeriesValue(value)
        if code_of(node.slice).strip("()") in (":, None", ":, np.newaxis") and one_a_bar(owner.raw):
            # One value a bar, laid beside every asset.
            reader.wide = False
            return owner
        if isinstance(node.slice, ast.Compare):
            why = "rows cannot be taken away, for what follows would move"
            raise reader.places.fault(node, why, f"write .where({code_of(node.slice)[:60]})")
    if isinstance(owner, Mapped | Listed):
        return _item(reader, node, owner)
    if isinstance(node.slice, ast.Slice):
        raise reader.places.fault(node, "slices pick or turn rows", "use .shift(n)")
    key = reader.expr(node.slice)
    if isinstance(key, Plain) and isinstance(key.value, str):
        if isinstance(owner, FrameValue):
            return reader.column(node, key.value, owner)
        if isinstance(owner, Grouped) and owner.series is None:
            return Grouped(owner.by, reader.column(node, key.value, owner.frame))
    if isinstance(owner, FrameValue) and isinstance(key, Listed):
        names = [part.value for part in key.parts if isinstance(part, Plain) and isinstance(part.value, str)]
        if names and len(names) == len(key.parts):
            return Columns(tuple(reader.column(node, name, owner) for name in names))
    raise reader.places.fault(node, "rows and cells cannot be picked", "use .shift(n) or np.where(condition, x, y)")


def _item(reader: Reader, node: ast.Subscript, owner: Mapped | Listed) -> Value:
    """`params['fast']` and `windows[0]`."""
    if isinstance(owner, Listed) and code_of(node.slice) == "::-1":
        return Listed(owner.parts[::-1])
    if isinstance(node.slice, ast.Tuple) and isinstance(owner, Listed) and len(node.slice.elts) == 2:
        # `np.corrcoef(x, y)[0, 1]`.
        row = _item(reader, ast.copy_location(ast.Subscript(node.value, node.slice.elts[0]), node), owner)
        if isinstance(row, Listed):
            return _item(reader, ast.copy_location(ast.Subscript(node.value, node.slice.elts[1]), node), row)
    known, key = constant_of(reader, node.slice)
    if not known and isinstance(node.slice, ast.JoinedStr):
        known, key = True, formatted(reader, node.slice).value
    if known and isinstance(owner, Mapped) and key in owner.parts:
        return owner.parts[key]
    if known and isinstance(owner, Listed) and isinstance(key, float) and -len(owner.parts) <= key < len(owner.parts):
        return owner.parts[int(key)]
    raise reader.places.fault(node, f"there is no part {code_of(node.slice)[:40]}", "name one that is there")


def _column_of_rows(reader: Reader, node: ast.Subscript, frame: FrameValue) -> Value:
    """`df.loc[:, 'close']`: a column in all its rows."""
    key = node.slice
    if isinstance(key, ast.Tuple) and len(key.elts) == 2 and isinstance(key.elts[0], ast.Slice):
        rows, name = key.elts[0], reader.expr(key.elts[1])
        every = rows.lower is None and rows.upper is None and rows.step is None
        if every and isinstance(name, Plain) and isinstance(name.value, str):
            return reader.column(node, name.value, frame)
    raise reader.places.fault(node, "rows cannot be picked", "write df.loc[:, 'close'] or df['close']")


def _along(reader: Reader, node: ast.Call, columns: Columns, method: str) -> Value:
    arguments = Arguments(reader, node)
    axis = arguments.plain("axis") if not arguments.places else arguments.number("axis")
    arguments.done()
    if axis not in (1.0, "columns") or method not in ALONG_COLUMNS:
        why = "columns are put together with max, min, sum or mean"
        raise reader.places.fault(node, why, "write .max(axis=1)")
    found = columns.parts[0].raw
    for part in columns.parts[1:]:
        found = reader.ours(ALONG_COLUMNS[method], node, found, part.raw)
    if method == "mean":
        found = reader.ours("div", node, found, bars_of(reader, node, len(columns.parts)))
    return SeriesValue(found)
