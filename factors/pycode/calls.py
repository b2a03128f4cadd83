"""Calls and subscripts in pandas code."""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING

from factors.pycode.methods import (
    ACROSS,
    ALONG_COLUMNS,
    ASSET_KEYS,
    EXPANDING,
    NUMPY_PAIR,
    NUMPY_PLAIN,
    PAIR_METHODS,
    PLAIN_METHODS,
    REFUSED,
    ROLLING,
    TIME_KEYS,
    TRANSPARENT,
    WHOLE_COLUMN,
)
from factors.pycode.values import Columns, Frame, Grouped, Listed, Module, Plain, Series, Value, Window
from factors.syntax import Fault, Raw, RawCall, RawNumber

if TYPE_CHECKING:
    from factors.pycode.statements import Reader

_FULL_WINDOWS = "pandas may fill windows early (min_periods); here a value needs its full window"


def call(reader: Reader, node: ast.Call) -> Value:
    """Return what a call stands for."""
    if isinstance(node.func, ast.Name):
        return _function(reader, node, node.func.id)
    if not isinstance(node.func, ast.Attribute):
        raise reader.places.fault(node, "this cannot be called", "call methods of columns, np and pd")
    method = node.func.attr
    if method.startswith("_"):
        raise reader.places.fault(node, f"{method[:40]} is not read", "use the columns of df")
    owner = reader.expr(node.func.value)
    match owner:
        case Module("np"):
            return _numpy(reader, node, method)
        case Module("pd"):
            return _pandas(reader, node, method)
        case Frame():
            return _frame(reader, node, method)
        case Series():
            return _method(reader, node, owner, method)
        case Window():
            return _statistic(reader, node, owner, method)
        case Grouped():
            return _grouped(reader, node, owner, method)
        case Columns():
            return _along(reader, node, owner, method)
    raise refused_method(reader, node, method)


def refused_method(reader: Reader, node: ast.AST, method: str) -> Fault:
    """Return the refusal of a method, with the reason where there is a particular one."""
    why, hint = REFUSED.get(method, (f".{method[:40]} is not read", "see the operators of the language"))
    return reader.places.fault(node, why, hint, "look_ahead" if "later bars" in why else "python")


class _Arguments:
    """The arguments of one call, taken one by one; what is left over is refused."""

    def __init__(self, reader: Reader, node: ast.Call) -> None:
        self.reader, self.node = reader, node
        self.places = list(node.args)
        self.named = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise reader.places.fault(node, "stars are not read", "write the arguments out")
            self.named[keyword.arg] = keyword.value

    def node_of(self, name: str) -> ast.expr | None:
        if self.places:
            return self.places.pop(0)
        return self.named.pop(name, None)

    def value(self, name: str, default: Value | None = None) -> Value | None:
        found = self.node_of(name)
        return default if found is None else self.reader.expr(found)

    def raw(self, name: str) -> Raw:
        found = self.node_of(name)
        if found is None:
            raise self.reader.places.fault(self.node, f"{name} is missing", "give it")
        return self.reader.series(found).raw

    def number(self, name: str, default: float | None = None) -> float | None:
        found = self.node_of(name)
        if found is None:
            return default
        raw = self.reader.series(found).raw
        if not isinstance(raw, RawNumber):
            raise self.reader.places.fault(found, f"{name} must be a number", "write it out")
        return raw.value

    def flag(self, name: str, default: bool) -> bool:
        """Return a keyword that is True or False."""
        found = self.named.pop(name, None)
        if found is None:
            return default
        value = self.reader.expr(found)
        if isinstance(value, Plain) and isinstance(value.value, bool):
            return value.value
        raise self.reader.places.fault(found, f"{name} must be True or False", "write it out")

    def plain(self, name: str) -> object:
        """Return a keyword's constant, None where it is not given."""
        found = self.named.pop(name, None)
        if found is None:
            return None
        value = self.reader.expr(found)
        if isinstance(value, Plain):
            return value.value
        if isinstance(value, Series) and isinstance(value.raw, RawNumber):
            return value.raw.value
        raise self.reader.places.fault(found, f"{name} is not read so", "leave it out")

    def done(self) -> None:
        if self.places or self.named:
            left = next(iter(self.named), "an argument")
            raise self.reader.places.fault(self.node, f"{left} is not read here", "leave it out")


def _function(reader: Reader, node: ast.Call, name: str) -> Value:
    arguments = _Arguments(reader, node)
    if name == "abs":
        raw = arguments.raw("x")
        arguments.done()
        return Series(reader.ours("abs", node, raw))
    if name in ("max", "min"):
        x, y = arguments.raw("x"), arguments.raw("y")
        arguments.done()
        return Series(reader.ours(name, node, x, y))
    if name in ("float", "int") and len(node.args) == 1:
        return reader.series(node.args[0])
    if name in ("eval", "exec", "compile", "open", "__import__", "getattr", "globals", "input", "print"):
        raise reader.places.fault(node, f"{name} is never called", "only arithmetic on columns is read")
    # The rest are operators of the language, or unknown: that is told later, with a guess.
    names = tuple(keyword.arg or "" for keyword in node.keywords)
    args = tuple(reader.series(arg).raw for arg in (*node.args, *(keyword.value for keyword in node.keywords)))
    keywords = ("",) * len(node.args) + names if names else ()
    return Series(RawCall(name, args, reader.places.at(node), keywords))


def _numpy(reader: Reader, node: ast.Call, name: str) -> Value:
    arguments = _Arguments(reader, node)
    if name in NUMPY_PLAIN:
        parts = [reader.ours(NUMPY_PLAIN[name], node, arguments.raw("x"))]
    elif name in NUMPY_PAIR:
        parts = [reader.ours(NUMPY_PAIR[name], node, arguments.raw("x"), arguments.raw("y"))]
    elif name == "where":
        parts = [reader.ours("if_else", node, *(arguments.raw(word) for word in ("condition", "x", "y")))]
    elif name == "clip":
        clipped = _clipped(reader, node, arguments.raw("x"), arguments)
        arguments.done()
        return Series(clipped)
    elif name == "square":
        x = arguments.raw("x")
        parts = [reader.ours("mul", node, x, x)]
    else:
        raise reader.places.fault(node, f"np.{name[:40]} is not read", f"np has {', '.join(NUMPY_PLAIN)}")
    arguments.done()
    return Series(parts[0])


def _pandas(reader: Reader, node: ast.Call, name: str) -> Value:
    arguments = _Arguments(reader, node)
    if name == "Series":
        raw = arguments.raw("data")
        for ignored in ("index", "name", "dtype"):
            arguments.named.pop(ignored, None)
        arguments.done()
        return Series(raw)
    if name == "concat":
        parts = arguments.value("objs")
        if arguments.plain("axis") not in (1, "columns"):
            raise reader.places.fault(node, "pd.concat is read with axis=1 only", "write axis=1")
        arguments.done()
        if isinstance(parts, Listed) and parts.parts and all(isinstance(part, Series) for part in parts.parts):
            return Columns(tuple(part for part in parts.parts if isinstance(part, Series)))
    raise reader.places.fault(node, f"pd.{name[:40]} is not read so", "use methods of columns")


def _frame(reader: Reader, node: ast.Call, method: str) -> Value:
    if method in ("copy", "sort_index", "sort_values", "reset_index"):
        return Frame()
    if method == "groupby":
        return _groupby(reader, node, None)
    if method in ("eval", "query"):
        raise refused_method(reader, node, method)
    raise reader.places.fault(node, f"df.{method[:40]} is not read", "work on columns, such as df['close']")


def _groupby(reader: Reader, node: ast.Call, series: Series | None) -> Grouped:
    arguments = _Arguments(reader, node)
    key: object = arguments.plain("level")
    if key is None:
        by = arguments.value("by")
        if isinstance(by, Listed) and len(by.parts) == 1:
            by = by.parts[0]
        if isinstance(by, Series) and not isinstance(by.raw, RawNumber):
            key = getattr(by.raw, "name", None)
        key = by.value if isinstance(by, Plain) else key
    for ignored in ("group_keys", "sort", "as_index", "observed"):
        arguments.named.pop(ignored, None)
    arguments.done()
    word = str(key).lower()
    if word in ASSET_KEYS:
        return Grouped("asset", series)
    if word in TIME_KEYS:
        return Grouped("time", series)
    raise reader.places.fault(node, f"groups by {word[:40]!r} are not read", "group by the asset or by the time")


def subscript(reader: Reader, node: ast.Subscript) -> Value:
    """Return df['close'], df[['a', 'b']] or a column of a grouped frame."""
    owner = reader.expr(node.value)
    if isinstance(node.slice, ast.Slice):
        raise reader.places.fault(node, "slices pick or turn rows", "use .shift(n)")
    key = reader.expr(node.slice)
    if isinstance(key, Plain) and isinstance(key.value, str):
        if isinstance(owner, Frame):
            return reader.column(node, key.value)
        if isinstance(owner, Grouped) and owner.series is None:
            return Grouped(owner.by, reader.column(node, key.value))
    if isinstance(owner, Frame) and isinstance(key, Listed):
        names = [part.value for part in key.parts if isinstance(part, Plain) and isinstance(part.value, str)]
        if names and len(names) == len(key.parts):
            return Columns(tuple(reader.column(node, name) for name in names))
    raise reader.places.fault(node, "rows and cells cannot be picked", "use .shift(n) or np.where(condition, x, y)")


def _method(reader: Reader, node: ast.Call, series: Series, method: str) -> Value:
    arguments = _Arguments(reader, node)
    found = _made(reader, node, series, method, arguments)
    arguments.done()
    return found


def _made(reader: Reader, node: ast.Call, series: Series, method: str, arguments: _Arguments) -> Value:
    x = series.raw
    if method in PLAIN_METHODS:
        return Series(reader.ours(PLAIN_METHODS[method], node, x))
    if method in PAIR_METHODS:
        return Series(reader.ours(PAIR_METHODS[method], node, x, arguments.raw("other")))
    if method in TRANSPARENT:
        arguments.places.clear()
        arguments.named.clear()
        return series
    if method in ("shift", "diff", "pct_change"):
        return Series(_lagged(reader, node, x, method, arguments))
    if method in ("rolling", "ewm", "expanding"):
        return _window(reader, node, series, method, arguments)
    if method == "clip":
        return Series(_clipped(reader, node, x, arguments))
    if method == "rank":
        return Series(_rank(reader, node, x, arguments))
    if method in ("ffill", "pad"):
        limit = arguments.number("limit")
        if limit is None:
            raise reader.places.fault(node, "ffill without a limit reaches back without end", "write .ffill(limit=5)")
        return Series(reader.ours("ts_backfill", node, x, _bars(reader, node, limit + 1)))
    if method in ("where", "mask"):
        condition = arguments.raw("cond")
        other = arguments.raw("other")
        return Series(reader.ours("if_else", node, condition, *((x, other) if method == "where" else (other, x))))
    if method == "replace":
        reader.notes.append("replace: infinities do not occur here, what would be one is missing")
        arguments.places.clear()
        return series
    if method == "astype":
        arguments.places.clear()
        return series
    if method == "groupby":
        arguments.places.clear()
        arguments.named.clear()
        return _groupby(reader, node, series)
    if method in ("apply", "map", "transform"):
        return _applied(reader, node, series, arguments)
    if method in WHOLE_COLUMN:
        raise reader.places.fault(
            node, f".{method}() of a whole column sees its future", f"use .rolling(n).{method}()", "look_ahead"
        )
    raise refused_method(reader, node, method)


def _bars(reader: Reader, node: ast.AST, count: float) -> RawNumber:
    return RawNumber(float(count), "", reader.places.at(node))


def _lagged(reader: Reader, node: ast.Call, x: Raw, method: str, arguments: _Arguments) -> Raw:
    periods = arguments.number("periods", 1.0)
    if method == "pct_change":
        arguments.named.pop("fill_method", None)
    assert periods is not None
    if periods < 0:
        raise reader.places.fault(
            node, f".{method}({periods:g}) would look into the future", "only the past is known", "look_ahead"
        )
    if method == "shift" and periods == 0:
        return x
    word = {"shift": "ts_delay", "diff": "ts_delta", "pct_change": "ts_returns"}[method]
    return reader.ours(word, node, x, _bars(reader, node, periods))


def _clipped(reader: Reader, node: ast.Call, x: Raw, arguments: _Arguments) -> Raw:
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


def _rank(reader: Reader, node: ast.Call, x: Raw, arguments: _Arguments) -> Raw:
    axis = arguments.plain("axis")
    shares = arguments.flag("pct", False)
    up = arguments.flag("ascending", True)
    method = arguments.plain("method")
    if method not in (None, "average"):
        raise reader.places.fault(node, f"ties are shared here, not broken by {method!r}", "leave method out")
    if axis not in (1, "columns"):
        reader.notes.append("rank: pandas ranks the whole column, its future included; read as cs_rank, at each bar")
    if not shares:
        reader.notes.append("rank without pct=True counts 1 to n; here it is a share of the assets")
    return reader.ours("cs_rank", node, x if up else reader.ours("neg", node, x))


def _window(reader: Reader, node: ast.Call, series: Series, kind: str, arguments: _Arguments) -> Window:
    if arguments.flag("center", False):
        raise reader.places.fault(node, "center=True looks at later bars", "leave it out", "look_ahead")
    if kind == "rolling":
        bars = arguments.raw("window")
        least = arguments.named.pop("min_periods", None)
        if least is not None and ast.unparse(least) != ast.unparse(node.args[0] if node.args else least):
            reader.notes.append(_FULL_WINDOWS)
        return Window(kind, series, bars)
    arguments.named.pop("min_periods", None)
    if kind == "expanding":
        if arguments.places:
            arguments.places.pop(0)
        return Window(kind, series)
    if arguments.flag("adjust", True):
        reader.notes.append("ewm: pandas adjusts for the start unless adjust=False; it differs while warming up")
    if arguments.flag("ignore_na", False):
        raise reader.places.fault(node, "ignore_na is not read", "leave it out")
    return _ewm(reader, node, series, arguments)


def _ewm(reader: Reader, node: ast.Call, series: Series, arguments: _Arguments) -> Window:
    if arguments.places:
        raise reader.places.fault(node, "say how ewm forgets", "write span=20, alpha=0.1, com=10 or halflife=10")
    for name in ("span", "com", "halflife", "alpha"):
        value = arguments.number(name)
        if value is None:
            continue
        if value <= 0:
            raise reader.places.fault(node, f"{name} must be above 0", "write span=20")
        if name == "span" and value >= 1 and value == int(value):
            return Window("ewm", series, _bars(reader, node, value))
        alpha = {
            "span": 2.0 / (value + 1.0),
            "com": 1.0 / (1.0 + value),
            "halflife": 1.0 - math.exp(-math.log(2.0) / value),
            "alpha": value,
        }[name]
        if alpha > 1:
            raise reader.places.fault(node, "alpha lies in (0, 1]", "write span=20")
        return Window("ewm", series, alpha=alpha)
    raise reader.places.fault(node, "say how ewm forgets", "write span=20, alpha=0.1, com=10 or halflife=10")


def _statistic(reader: Reader, node: ast.Call, window: Window, method: str) -> Value:
    arguments = _Arguments(reader, node)
    x = window.series.raw
    if window.kind == "expanding":
        if method not in EXPANDING:
            raise refused_method(reader, node, method)
        arguments.done()
        return Series(reader.ours(EXPANDING[method], node, x))
    if window.kind == "ewm":
        if method != "mean":
            raise reader.places.fault(node, f"ewm().{method[:40]} is not read", "only ewm().mean() is")
        arguments.done()
        if window.alpha is None:
            assert window.bars is not None
            return Series(reader.ours("ts_ema", node, x, window.bars))
        # alpha = m / n, with the n whose span it is: so many bars does it need before its first value.
        span = float(max(1, min(10_000, round(2.0 / window.alpha - 1.0))))
        size, weight = _bars(reader, node, span), _bars(reader, node, window.alpha * span)
        return Series(reader.ours("ts_sma", node, x, size, weight))
    assert window.bars is not None
    found = _rolled(reader, node, x, window.bars, method, arguments)
    arguments.done()
    return Series(found)


def _rolled(reader: Reader, node: ast.Call, x: Raw, bars: Raw, method: str, arguments: _Arguments) -> Raw:
    if method not in ROLLING:
        hint = f"one of {', '.join(ROLLING)}"
        raise reader.places.fault(node, f".rolling().{method[:40]} is not read", hint)
    word = ROLLING[method]
    if method in ("corr", "cov"):
        return reader.ours(word, node, x, arguments.raw("other"), bars)
    if method == "quantile":
        level = arguments.number("q")
        arguments.named.pop("interpolation", None)
        return reader.ours(word, node, x, bars, _bars(reader, node, 0.5 if level is None else level))
    arguments.named.pop("raw", None)
    found = reader.ours(word, node, x, bars)
    if method in ("std", "var"):
        ddof = arguments.number("ddof", 1.0)
        if ddof == 0 and isinstance(bars, RawNumber) and bars.value >= 2:
            share = (bars.value - 1.0) / bars.value
            return reader.ours("mul", node, _bars(reader, node, share if method == "var" else math.sqrt(share)), found)
        if ddof != 1:
            raise reader.places.fault(node, "ddof is 0 or 1", "leave it out")
    if method == "rank" and not arguments.flag("pct", False):
        return reader.ours("mul", node, bars, found)
    return found


def _grouped(reader: Reader, node: ast.Call, grouped: Grouped, method: str) -> Value:
    if grouped.series is None:
        raise reader.places.fault(node, "take a column of the groups", "write df.groupby('symbol')['close']")
    if grouped.by == "asset":
        if method in WHOLE_COLUMN or method == "rank":
            why = f".{method}() of an asset's whole history sees its future"
            raise reader.places.fault(node, why, f"use .rolling(n).{method}()", "look_ahead")
        return _method(reader, node, grouped.series, method)
    arguments = _Arguments(reader, node)
    if method == "transform" and arguments.places:
        what = reader.expr(arguments.places.pop(0))
        method = str(what.value) if isinstance(what, Plain) else method
    if method not in ACROSS:
        raise reader.places.fault(node, f"{method[:40]} across assets is not read", f"one of {', '.join(ACROSS)}")
    if method == "rank":
        arguments.named["axis"] = ast.Constant(1)
        found = _rank(reader, node, grouped.series.raw, arguments)
    else:
        found = reader.ours(ACROSS[method], node, grouped.series.raw)
    arguments.done()
    return Series(found)


def _along(reader: Reader, node: ast.Call, columns: Columns, method: str) -> Value:
    arguments = _Arguments(reader, node)
    axis = arguments.number("axis")
    arguments.done()
    if axis != 1 or method not in ALONG_COLUMNS:
        why = "columns are put together with max, min, sum or mean"
        raise reader.places.fault(node, why, "write .max(axis=1)")
    found = columns.parts[0].raw
    for part in columns.parts[1:]:
        found = reader.ours(ALONG_COLUMNS[method], node, found, part.raw)
    if method == "mean":
        found = reader.ours("div", node, found, _bars(reader, node, len(columns.parts)))
    return Series(found)


def _applied(reader: Reader, node: ast.Call, series: Series, arguments: _Arguments) -> Value:
    """`.apply(np.log)` and `.transform(lambda x: ...)`, whose body is read with x for the column."""
    given = arguments.node_of("func")
    if isinstance(given, ast.Attribute) and given.attr in NUMPY_PLAIN and isinstance(reader.expr(given.value), Module):
        return Series(reader.ours(NUMPY_PLAIN[given.attr], node, series.raw))
    if isinstance(given, ast.Lambda) and len(given.args.args) == 1 and not given.args.defaults:
        name = given.args.args[0].arg
        before = reader.names.get(name)
        reader.names[name] = series
        try:
            return Series(reader.series(given.body).raw)
        finally:
            reader.names.pop(name)
            if before is not None:
                reader.names[name] = before
    raise reader.places.fault(node, "only np functions and one-line lambdas are applied", "write the steps out")
