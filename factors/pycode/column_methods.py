"""Methods of a column, and of a column in groups, in pandas code."""

from __future__ import annotations

import ast

from factors.dialects.templates import formula
from factors.pycode.arguments import Arguments, bars_of, refused_method
from factors.pycode.choices import between, carried, filled
from factors.pycode.constants import mapping, number_of
from factors.pycode.conversions import cast, is_condition, rounded, with_replaced_values
from factors.pycode.groups import groupby
from factors.pycode.harmless import COLUMN_METHODS, check_harmless
from factors.pycode.methods import (
    LAMBDAS_ACROSS,
    NUMPY_PLAIN,
    PAIR_METHODS,
    PLAIN_METHODS,
    WHOLE_COLUMN,
)
from factors.pycode.values import (
    FrameValue,
    Function,
    Grouped,
    Mapped,
    Module,
    Plain,
    Reader,
    SeriesValue,
    Turned,
    Value,
    Whole,
    code_of,
    dotted,
)
from factors.pycode.wholes import ACROSS, Body, Renamed, body_of, bound, statistic_of, whole_statistic
from factors.pycode.windows import open_window
from factors.syntax import Raw, RawNumber


def method_of(reader: Reader, node: ast.Call, series: SeriesValue, method: str) -> Value:
    """Return what a method of a column stands for."""
    arguments = Arguments(reader, node)
    found = _made(reader, node, series, method, arguments)
    arguments.done()
    return found


def _made(reader: Reader, node: ast.Call, series: SeriesValue, method: str, arguments: Arguments) -> Value:
    x = series.raw
    of_whole = whole_statistic(reader, node, x, method, arguments)
    if of_whole is not None:
        return of_whole
    in_window = reader.whole is not None and reader.whole.bars is not None
    if (reader.whole is not None and method in _ALONG_TIME) or (in_window and method in ("rank", "groupby")):
        why = f".{method}() inside this lambda would look along another axis"
        raise reader.places.fault(node, why, "do it in a step of its own")
    if method in PLAIN_METHODS:
        return SeriesValue(reader.ours(PLAIN_METHODS[method], node, x))
    if method in PAIR_METHODS:
        if arguments.plain("axis") not in (None, 0.0, "index", "rows"):
            raise reader.places.fault(node, f"{method} is read bar by bar", "leave axis out, or write axis=0")
        if arguments.plain("fill_value") is not None:
            why = "fill_value puts a number in the place of what is missing"
            raise reader.places.fault(node, why, "write .fillna(0) before, where that is meant")
        return SeriesValue(reader.ours(PAIR_METHODS[method], node, x, arguments.raw("other")))
    if method in COLUMN_METHODS:
        check_harmless(reader, node, method, COLUMN_METHODS[method])
        arguments.places.clear()
        arguments.named.clear()
        return SeriesValue(x)
    if method in ("shift", "diff", "pct_change"):
        return SeriesValue(_lagged(reader, node, x, method, arguments))
    if method in ("rolling", "ewm", "expanding"):
        return open_window(reader, node, series, method, arguments)
    if method == "clip":
        if arguments.plain("axis") not in (None, 0.0, "index", "rows"):
            raise reader.places.fault(node, "clip is read bar by bar", "leave axis out, or write axis=0")
        return SeriesValue(clipped(reader, node, x, arguments))
    if method == "rank":
        return SeriesValue(ranked_across(reader, node, x, arguments))
    changed = _changed(reader, node, x, method, arguments)
    if changed is not None:
        return SeriesValue(changed)
    if method == "groupby":
        arguments.places.clear()
        arguments.named.clear()
        return groupby(reader, node, series)
    if method in ("apply", "transform") and arguments.plain("axis") in (1.0, "columns"):
        return _across(reader, node, series, arguments)
    if method == "pipe":
        return _piped(reader, node, series, arguments)
    if method in ("apply", "map", "transform"):
        return _applied(reader, node, series, arguments)
    if method == "transpose" and reader.whole is None and not reader.by_asset:
        return Turned(x)
    if method in ACROSS and arguments.plain("axis") in (1.0, "columns"):
        reader.wide = True
        return SeriesValue(_across_columns(reader, node, x, method, arguments))
    if method in WHOLE_COLUMN:
        raise reader.places.fault(
            node, f".{method}() of a whole column sees its future", f"use .rolling(n).{method}()", "look_ahead"
        )
    raise refused_method(reader, node, method)


def _changed(reader: Reader, node: ast.Call, x: Raw, method: str, arguments: Arguments) -> Raw | None:
    """Return the column with its values changed bar by bar, None where the method does another thing."""
    if method in ("ffill", "pad"):
        return carried(reader, node, x, arguments)
    if method == "fillna":
        return filled(reader, node, x, arguments)
    if method == "between":
        return between(reader, node, x, arguments)
    if method == "round":
        return rounded(reader, node, x, arguments.number("decimals", 0.0) or 0.0)
    if method in ("notna", "notnull"):
        return reader.ours("not_", node, reader.ours("is_nan", node, x))
    if method in ("rsub", "rdiv", "rtruediv", "rpow"):
        word = {"rsub": "sub", "rpow": "power"}.get(method, "div")
        return reader.ours(word, node, arguments.raw("other"), x)
    if method == "combine_first":
        return formula("if_else(is_nan(x), y, x)", reader.places.at(node), {"x": x, "y": arguments.raw("other")})
    if method == "combine":
        other, function = arguments.raw("other"), code_of(arguments.node_of("func") or node)
        word = {"max": "max", "min": "min", "np.maximum": "max", "np.minimum": "min"}.get(function, "")
        if not word:
            raise reader.places.fault(node, "combine is read with max and min", "write np.maximum(x, y)")
        return reader.ours(word, node, x, other)
    if method == "floordiv":
        return reader.ours("floor", node, reader.ours("div", node, x, arguments.raw("other")))
    if method in ("where", "mask"):
        return _chosen(reader, node, x, method, arguments)
    if method == "replace":
        return with_replaced_values(reader, node, x, arguments)
    if method == "astype":
        target = arguments.node_of("dtype")
        if target is None:
            raise reader.places.fault(node, "astype does not say which type", "write .astype(float)")
        arguments.named.pop("copy", None)
        return cast(reader, node, x, target)
    return None


_ALONG_TIME = frozenset({"shift", "diff", "pct_change", "rolling", "ewm", "expanding", "ffill", "cumsum", "cumprod",
                         "cummax", "cummin"})  # fmt: skip


def _across_columns(reader: Reader, node: ast.Call, x: Raw, method: str, arguments: Arguments) -> Raw:
    """`wide.std(axis=1)`: over the assets of a bar."""
    ddof = arguments.number("ddof", 1.0) if method in ("std", "var") else None
    level = arguments.number("q", 0.5) if method == "quantile" else 0.5
    arguments.named.pop("skipna", None)
    return statistic_of(reader, node, x, method, Whole(), ddof, level or 0.0)


def _lagged(reader: Reader, node: ast.Call, x: Raw, method: str, arguments: Arguments) -> Raw:
    periods = arguments.number("periods", 1.0)
    if method == "pct_change" and arguments.plain("fill_method") is not None:
        why = "fill_method puts made-up values in the place of missing ones"
        raise reader.places.fault(node, why, "leave it out, or write fill_method=None")
    assert periods is not None
    if periods < 0:
        raise reader.places.fault(
            node,
            f".{method}({periods:g}) would look into the future",
            f"only the past is known: write .{method}(1)",
            "look_ahead",
        )
    if method == "shift" and periods == 0:
        return x
    word = {"shift": "ts_delay", "diff": "ts_delta", "pct_change": "ts_returns"}[method]
    return reader.ours(word, node, x, bars_of(reader, node, periods))


def _chosen(reader: Reader, node: ast.Call, x: Raw, method: str, arguments: Arguments) -> Raw:
    """`x.where(c, y)` and `x.mask(c, y)`; without y, what is not chosen is missing."""
    condition = arguments.raw("cond")
    given = arguments.node_of("other")
    value = None if given is None else reader.expr(given)
    if value is None or (isinstance(value, Plain) and value.value in ("nan", None)):
        kept = condition if method == "where" else reader.ours("not_", node, condition)
        # x / 1 is x, and x / 0 is missing.
        return reader.ours("div", node, x, kept)
    assert given is not None
    other = reader.series(given).raw
    return reader.ours("if_else", node, condition, *((x, other) if method == "where" else (other, x)))


def clipped(reader: Reader, node: ast.Call, x: Raw, arguments: Arguments) -> Raw:
    """Return `x` between the bounds that are given, of pandas or of numpy."""
    bounds = []
    for names, word in ((("lower", "a_min"), "max"), (("upper", "a_max"), "min")):
        found = arguments.places.pop(0) if arguments.places else None
        for name in names:
            found = arguments.named.pop(name, found)
        if found is not None and not (isinstance(found, ast.Constant) and found.value is None):
            bounds.append((word, reader.series(found).raw))
    if len(bounds) == 2 and all(isinstance(raw, RawNumber) for _, raw in bounds):
        return reader.ours("clip", node, x, *(raw for _, raw in bounds))
    for word, raw in bounds:
        x = reader.ours(word, node, x, raw)
    return x


def ranked_across(reader: Reader, node: ast.Call, x: Raw, arguments: Arguments) -> Raw:
    """Return the rank of `x` across assets, with notes where pandas means something else."""
    axis = arguments.plain("axis")
    shares = arguments.flag("pct", False)
    up = arguments.flag("ascending", True)
    method = arguments.plain("method")
    if method not in (None, "average", "first", "min", "max"):
        raise reader.places.fault(node, f"ties are shared here, not broken by {method!r}", "leave method out")
    if method not in (None, "average"):
        reader.notes.append(f"rank(method={method!r}): assets that are tied share their average rank here")
    if reader.by_asset and axis not in (1, "columns") and reader.whole is None:
        why = ".rank() of an asset's whole history sees its future"
        raise reader.places.fault(node, why, "use .rolling(n).rank(pct=True)", "look_ahead")
    if axis is not None and axis not in (1, "columns"):
        why = "a rank along time takes in the whole column, its future included"
        raise reader.places.fault(node, why, "write axis=1, or .rolling(n).rank(pct=True)", "look_ahead")
    if axis is None and reader.whole is None:
        reader.notes.append("rank: pandas ranks the whole column, its future included; read as cs_rank, at each bar")
    turned = x if up else reader.ours("neg", node, x)
    text = "cs_rank(y)" if shares else "cs_rank(y) * group_count(x, bucket(x, 1))"
    return formula(text, reader.places.at(node), {"x": x, "y": turned})


def _applied(reader: Reader, node: ast.Call, series: SeriesValue, arguments: Arguments) -> Value:
    """`.apply(np.log)` and `.transform(lambda x: ...)`, whose body is read with x for the column."""
    given = arguments.node_of("func")
    if isinstance(given, ast.Attribute) and given.attr in NUMPY_PLAIN and isinstance(reader.expr(given.value), Module):
        return SeriesValue(reader.ours(NUMPY_PLAIN[given.attr], node, series.raw))
    if isinstance(given, ast.Lambda) and len(given.args.args) == 1 and not given.args.defaults:
        return SeriesValue(bound(reader, given.args.args[0].arg, series, given.body, None))
    if isinstance(given, ast.Constant) and given.value in ("shift", "diff", "pct_change"):
        return SeriesValue(_lagged(reader, node, series.raw, given.value, arguments))
    if given is not None and isinstance(cases := _cases(reader, given), Mapped):
        return SeriesValue(_by_cases(reader, node, series.raw, cases))
    function = reader.names.get(given.id) if isinstance(given, ast.Name) else None
    if isinstance(function, Function) and isinstance(given, ast.Name):
        # As if it were called with the column.
        stand_in = f"{given.id} of"
        call = ast.copy_location(ast.Call(given, [ast.copy_location(ast.Name(stand_in, ast.Load()), node)], []), node)
        reader.names[stand_in] = series
        return reader.called(call, function)
    raise reader.places.fault(node, "only np functions and one-line lambdas are applied", "write the steps out")


def _cases(reader: Reader, given: ast.expr) -> Value | None:
    """Return a dictionary that a column is mapped by."""
    if isinstance(given, ast.Dict):
        return mapping(reader, given)
    return reader.names.get(given.id) if isinstance(given, ast.Name) else None


def _by_cases(reader: Reader, node: ast.AST, x: Raw, cases: Mapped) -> Raw:
    """`c.map({True: 1, False: -1})`: one value where a condition holds, and another where it does not."""
    values = {bool(key): number_of(value) for key, value in cases.parts.items() if key in (True, False)}
    if len(values) != 2 or len(cases.parts) != 2 or None in values.values() or not is_condition(x):
        raise reader.places.fault(node, "map is read for conditions", "write .map({True: 1, False: -1})")
    yes, no = (bars_of(reader, node, values[key] or 0.0) for key in (True, False))
    return reader.ours("if_else", node, x, yes, no)


def _piped(reader: Reader, node: ast.Call, series: SeriesValue, arguments: Arguments) -> Value:
    """`x.pipe(f, 15)`: f with the column for its first argument."""
    given = node.args[0] if node.args else None
    arguments.places.clear()
    if given is None or isinstance(given, ast.Lambda):
        return _applied(reader, node, series, Arguments(reader, node))
    stand_in = "the column of"
    column = ast.copy_location(ast.Name(stand_in, ast.Load()), node)
    call = ast.copy_location(ast.Call(given, [column, *node.args[1:]], node.keywords), node)
    arguments.named.clear()
    before = reader.names.get(stand_in)
    reader.names[stand_in] = series
    found = reader.expr(call)
    reader.names.pop(stand_in)
    if before is not None:
        reader.names[stand_in] = before
    return found


def by_rows(reader: Reader, node: ast.Call, frame: FrameValue) -> Value:
    """`df.apply(lambda row: row['close'] - row['open'], axis=1)`: bar by bar, with the row for the frame."""
    arguments = Arguments(reader, node)
    body, name = body_of(reader, arguments.node_of("func"))
    if body is None or arguments.plain("axis") not in (1.0, "columns"):
        why = "df.apply is read with axis=1 and a function of a row"
        raise reader.places.fault(node, why, "work on columns, such as df['close']")
    arguments.done()
    return SeriesValue(bound(reader, name, frame, body, None))


def _across(reader: Reader, node: ast.Call, series: SeriesValue, arguments: Arguments) -> Value:
    """`groupby('date')['x'].transform(f)` and `wide.apply(f, axis=1)`: f of the assets of a bar."""
    given = arguments.node_of("func")
    body, name = body_of(reader, given)
    if body is None:
        raise reader.places.fault(node, "a function across assets has one argument", "write lambda x: x - x.mean()")
    arguments.done()
    if isinstance(body, ast.expr):
        renamed = Renamed(name).visit(ast.parse(code_of(body), mode="eval"))
        word = LAMBDAS_ACROSS.get(code_of(renamed).replace(" ", ""))
        if word is not None:
            return SeriesValue(reader.ours(word, node, series.raw))
    return SeriesValue(bound(reader, name, series, body, Whole()))


def _of_one_asset(reader: Reader, name: str, frame: FrameValue, body: Body) -> Value:
    """`df.groupby('symbol').apply(f)`: f of the frame of one asset."""
    outside, reader.by_asset = reader.by_asset, True
    before = dict(reader.names)
    reader.names[name] = frame
    try:
        found = reader.expr(body) if isinstance(body, ast.expr) else reader.body(body)
    finally:
        reader.by_asset = outside
        reader.names.clear()
        reader.names.update(before)
    return found if found is not None else frame


def across_group(reader: Reader, node: ast.Call, grouped: Grouped, method: str) -> Value:
    """Return what a method of grouped values stands for: over time by asset, across assets by time."""
    if grouped.series is None and method == "apply":
        arguments = Arguments(reader, node)
        body, name = body_of(reader, arguments.node_of("func"))
        arguments.plain("include_groups")
        arguments.done()
        if body is not None and grouped.frame is not None:
            inner = grouped.frame.copy()
            if grouped.by == "asset":
                return _of_one_asset(reader, name, inner, body)
            return SeriesValue(bound(reader, name, inner, body, Whole()))
    if grouped.series is None:
        raise reader.places.fault(node, "take a column of the groups", "write df.groupby('symbol')['close']")
    if grouped.by == "asset":
        if method in WHOLE_COLUMN or method == "rank":
            why = f".{method}() of an asset's whole history sees its future"
            raise reader.places.fault(node, why, f"use .rolling(n).{method}()", "look_ahead")
        outside, reader.by_asset = reader.by_asset, True
        try:
            return method_of(reader, node, grouped.series, method)
        finally:
            reader.by_asset = outside
    arguments = Arguments(reader, node)
    if method in ("transform", "apply") and arguments.places:
        if body_of(reader, arguments.places[0])[0] is not None:
            return _across(reader, node, grouped.series, arguments)
        given = arguments.places.pop(0)
        word = dotted(given).removeprefix("np.")
        if word in ("mean", "sum", "max", "min", "median") and word != dotted(given):
            method = word
        elif isinstance(what := reader.expr(given), Plain):
            method = str(what.value)
    if method == "rank":
        arguments.named["axis"] = ast.Constant(1)
        found = ranked_across(reader, node, grouped.series.raw, arguments)
    elif method in ACROSS:
        found = _across_columns(reader, node, grouped.series.raw, method, arguments)
    else:
        raise reader.places.fault(node, f"{method[:40]} across assets is not read", f"one of rank, {', '.join(ACROSS)}")
    arguments.done()
    return SeriesValue(found)
