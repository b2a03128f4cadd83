"""Statistics of a whole column where it is clear what the whole is: all assets of a bar, or one window."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping

from factors.dialects.templates import formula
from factors.pycode.arguments import Arguments, bars_of
from factors.pycode.constants import number_of
from factors.pycode.values import (
    Function,
    Listed,
    Mapped,
    Module,
    Plain,
    Reader,
    SeriesValue,
    Value,
    Whole,
    code_of,
    dotted,
)
from factors.pycode.window_numbers import (
    around_number,
    holds_number,
    is_number_of,
    keep_number,
    part_size,
    same_but_other,
)
from factors.syntax import Raw, RawNumber

# Of a lambda an expression, of a function its statements.
Body = ast.expr | list[ast.stmt]

# Of all assets at a bar: their group is one part of all.
ACROSS: Mapping[str, str] = {
    "mean": "cs_mean(x)", "std": "group_std(x, bucket(x, 1))", "var": "group_std(x, bucket(x, 1)) ^ 2",
    "sum": "group_sum(x, bucket(x, 1))", "max": "group_max(x, bucket(x, 1))", "min": "group_min(x, bucket(x, 1))",
    "median": "cs_quantile(x, 0.5)", "count": "group_count(x, bucket(x, 1))", "quantile": "cs_quantile(x, q)",
}  # fmt: skip
# Of the values of a window.
ALONG: Mapping[str, str] = {
    "mean": "ts_mean(x, d)", "std": "ts_std(x, d)", "var": "ts_var(x, d)", "sum": "ts_sum(x, d)",
    "max": "ts_max(x, d)", "min": "ts_min(x, d)", "median": "ts_median(x, d)", "prod": "ts_product(x, d)",
    "skew": "ts_skew(x, d)", "kurt": "ts_kurt(x, d)", "quantile": "ts_quantile(x, d, q)",
    "argmax": "d - 1 - ts_argmax(x, d)", "argmin": "d - 1 - ts_argmin(x, d)", "ptp": "ts_max(x, d) - ts_min(x, d)",
}  # fmt: skip
_NUMPY = {"amax": "max", "amin": "min", "nanmean": "mean", "nanstd": "std", "nansum": "sum", "nanmax": "max",
          "nanmin": "min", "nanmedian": "median", "product": "prod", "average": "mean"}  # fmt: skip
_TIES = "of equal extremes ours takes the newest, numpy the oldest"


def whole_statistic(reader: Reader, node: ast.Call, x: Raw, method: str, arguments: Arguments) -> Value | None:
    """Return a statistic of the whole that is being read, None where there is no such whole or statistic."""
    whole = reader.whole
    table = {} if whole is None else ACROSS if whole.bars is None else ALONG
    if whole is None or method not in table:
        return None
    default = 1.0 if whole.has_index else 0.0
    ddof = arguments.number("ddof", default) if method in ("std", "var") else None
    level = arguments.number("q", 0.5) if method == "quantile" else 0.5
    arguments.named.pop("axis", None)
    arguments.named.pop("skipna", None)
    return SeriesValue(statistic_of(reader, node, x, method, whole, ddof, level or 0.0))


def statistic_of(
    reader: Reader, node: ast.AST, x: Raw, method: str, whole: Whole, ddof: float | None, level: float = 0.5
) -> Raw:
    """Return a statistic, with the deviation that was asked for (ddof 0 or 1)."""
    at = reader.places.at(node)
    given: dict[str, Raw] = {"x": x, "q": RawNumber(level, "", at)}
    if whole.bars is not None:
        size = part_size(whole, x)
        given["d"] = whole.bars if size is None else RawNumber(size, "", at)
    if method in ("argmax", "argmin"):
        reader.notes.append(f"{method}: {_TIES}")
    if whole.bars is not None and whole is reader.whole and part_size(whole, x) is None and holds_number(whole, x):
        of_number = around_number(reader, node, x, method, dict(ALONG)) if method != "quantile" else None
        if of_number is None:
            why = f"the {method} of what was made with another statistic of the window"
            raise reader.places.fault(node, why, "write the steps out, each with .rolling(n)")
        found = of_number
    else:
        found = formula((ACROSS if whole.bars is None else ALONG)[method], at, given)
    if whole.bars is not None:
        keep_number(whole, found)
    if ddof in (None, 1.0):
        return found
    if ddof != 0:
        raise reader.places.fault(node, "ddof is 0 or 1", "leave it out")
    count = "group_count(x, bucket(x, 1))" if whole.bars is None else "d"
    share = f"(1 - 1 / {count})" if method == "var" else f"sqrt(1 - 1 / {count})"
    found = formula(f"{share} * y", at, {**given, "y": found})
    return found if whole.bars is None else keep_number(whole, found)


def numpy_statistic(reader: Reader, node: ast.Call, name: str, arguments: Arguments) -> Value | None:
    """`np.mean(x)` of a window, and `np.percentile(x, 90)`: numpy's deviations have ddof 0."""
    whole = reader.whole
    method = {"percentile": "quantile", "nanpercentile": "quantile"}.get(name, _NUMPY.get(name, name))
    if whole is None and method in ACROSS and "keepdims" in arguments.named and method != "quantile":
        if arguments.plain("keepdims") is not True or arguments.plain("axis") != 1:
            raise reader.places.fault(node, f"np.{name} is read of the assets of a bar", "write axis=1, keepdims=True")
        # The result has a column, which lies beside every asset.
        whole = Whole()
    if whole is None or method not in (ACROSS if whole.bars is None else ALONG):
        return None
    x = arguments.raw("a")
    level = 0.5
    if method == "quantile":
        given = arguments.number("q", 0.5) or 0.0
        level = given / 100.0 if "percentile" in name else given
    ddof = arguments.number("ddof", 0.0) if method in ("std", "var") else None
    arguments.done()
    return SeriesValue(statistic_of(reader, node, x, method, whole, ddof, level))


def applied_to_windows(reader: Reader, node: ast.Call, x: Raw, bars: Raw, arguments: Arguments) -> Raw:
    """`.rolling(n).apply(f)`: f is a function of numpy, or a lambda or function whose body is read over the window."""
    given = arguments.node_of("func")
    raw = arguments.plain("raw")
    arguments.named.pop("engine", None)
    if not isinstance(bars, RawNumber):
        raise reader.places.fault(node, "the window must be a number", "write .rolling(20)")
    whole = Whole(bars, has_index=raw is not True)
    if isinstance(given, ast.Attribute) and isinstance(given.value, ast.Name):
        method = _NUMPY.get(given.attr, given.attr)
        if method in ALONG:
            return statistic_of(reader, node, x, method, whole, 0.0 if method in ("std", "var") else None)
    body, name = body_of(reader, given)
    if body is None:
        why = "rolling().apply is read of numpy's functions and of functions of one argument"
        raise reader.places.fault(node, why, "write the function into the text, or use .rolling(n).mean()")
    known = _known_body(_value_of(body), name, int(bars.value))
    if known is not None:
        if "ts_rank" in known:
            reader.notes.append("a rank in the window: equal values share their rank here")
        return formula(known, reader.places.at(node), {"x": x, "d": bars})
    found = bound(reader, name, SeriesValue(x), body, whole)
    if not is_number_of(whole, found):
        raise reader.places.fault(
            node, "this function gives no number of its window", "return one number, such as x[-1]"
        )
    return found


def body_of(reader: Reader, given: ast.expr | None) -> tuple[Body | None, str]:
    """Return the body of a function of one argument, and the name of that; None of all else."""
    function: ast.expr | ast.FunctionDef | ast.Lambda | None = given
    if isinstance(given, ast.Name):
        found = reader.names.get(given.id)
        function = found.node if isinstance(found, Function) else None
    elif isinstance(given, ast.Attribute) and dotted(given.value) in ("self", "cls"):
        found = reader.attributes.get(given.attr)
        function = found.node if isinstance(found, Function) else None
    if not isinstance(function, ast.Lambda | ast.FunctionDef):
        return None, ""
    names = [arg.arg for arg in function.args.args if arg.arg != "self"]
    given_all = function.args
    free = len(names) - len(given_all.defaults)
    if free != 1 or given_all.kwonlyargs or given_all.vararg or given_all.kwarg:
        return None, ""
    if given_all.defaults:
        return _with_defaults(function, names[1:]), names[0]
    return function.body, names[0]


def _with_defaults(function: ast.FunctionDef | ast.Lambda, names: list[str]) -> list[ast.stmt]:
    """Return the body of a function after assignments of its defaults."""
    given = zip(names, function.args.defaults, strict=True)
    said = function.body if isinstance(function.body, list) else [ast.Return(function.body)]
    first: list[ast.stmt] = [ast.Assign([ast.Name(name, ast.Store())], value) for name, value in given]
    for node in (*first, *said):
        ast.fix_missing_locations(ast.copy_location(node, function))
    return [*first, *said]


def _value_of(body: Body) -> ast.expr:
    """Return what a body of one statement returns; of others, a name that is known nowhere."""
    if isinstance(body, ast.expr):
        return body
    said = [part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
    only = said[0].value if len(said) == 1 and isinstance(said[0], ast.Return) else None
    return only if only is not None else ast.Name("unknown", ast.Load())


# Bodies that are known as they stand, of the window x.
_RANKS = ("pd.Series(x).rank(pct=True).iloc[-1]", "x.rank(pct=True).iloc[-1]", "pd.Series(x).rank(pct=True).values[-1]",
          "x.rank(pct=True)[-1]", "(x.argsort().argsort()[-1]+1)/len(x)")  # fmt: skip
_SLOPES = ("np.polyfit(np.arange(len(x)),x,1)[0]", "np.polyfit(range(len(x)),x,1)[0]",
           "np.polyfit(np.arange(d),x,1)[0]", "np.polyfit(range(d),x,1)[0]",
           *(f"{owner}linregress(np.arange({size}),x){part}" for owner in ("", "stats.", "scipy.stats.")
             for size in ("len(x)", "d") for part in ("[0]", ".slope")))  # fmt: skip
_BELOW = ("(x<x[-1]).mean()", "(x[-1]>x).mean()", "np.mean(x<x[-1])", "np.mean(x[-1]>x)", "(x<x[-1]).sum()/len(x)",
          "(x<x.iloc[-1]).mean()", "(x.iloc[-1]>x).mean()", "np.sum(x<x[-1])/len(x)")  # fmt: skip
_UP_TO = ("(x<=x[-1]).mean()", "(x[-1]>=x).mean()", "np.mean(x<=x[-1])", "(x<=x[-1]).sum()/len(x)",
          "(x<=x.iloc[-1]).mean()", "(x.iloc[-1]>=x).mean()", "np.mean(x[-1]>=x)",
          "np.sum(x<=x[-1])/len(x)")  # fmt: skip
_BELOW_OTHERS = ("(x[:-1]<x[-1]).mean()", "(x[-1]>x[:-1]).mean()", "np.mean(x[:-1]<x[-1])", "np.mean(x[-1]>x[:-1])",
                 "(x.iloc[:-1]<x.iloc[-1]).mean()", "(x.iloc[-1]>x.iloc[:-1]).mean()",
                 "(x<x[-1]).sum()/(len(x)-1)", "(x[-1]>x[:-1]).sum()/(len(x)-1)")  # fmt: skip
_AUTO = ("pd.Series(x).autocorr(lag=1)", "pd.Series(x).autocorr()", "x.autocorr()", "x.autocorr(lag=1)",
         "x.autocorr(1)", "pd.Series(x).autocorr(1)", "np.corrcoef(x[:-1],x[1:])[0,1]",
         "np.corrcoef(x[1:],x[:-1])[0,1]")  # fmt: skip
_WITH_TIME = ("np.corrcoef(x,np.arange(len(x)))[0,1]", "np.corrcoef(np.arange(len(x)),x)[0,1]",
              "np.corrcoef(x,np.arange(d))[0,1]", "np.corrcoef(np.arange(d),x)[0,1]")  # fmt: skip
_KNOWN = {
    **dict.fromkeys(_RANKS, "ts_rank(x, d)"),
    **dict.fromkeys(_SLOPES, "ts_slope(x, d)"),
    **dict.fromkeys(_BELOW, "ts_rank(x, d) - 1 / d"),
    **dict.fromkeys(_UP_TO, "ts_rank(x, d)"),
    **dict.fromkeys(_BELOW_OTHERS, "(d * ts_rank(x, d) - 1) / (d - 1)"),
    **dict.fromkeys(_AUTO, "ts_corr(x, ts_delay(x, 1), d - 1)"),
    **dict.fromkeys(_WITH_TIME, "sign(ts_slope(x, d)) * sqrt(ts_rsquare(x, d))"),
    "np.abs(x-x.mean()).mean()": "ts_mad(x, d)",
    "np.mean(np.abs(x-np.mean(x)))": "ts_mad(x, d)",
    "np.fabs(x-x.mean()).mean()": "ts_mad(x, d)",
    "np.abs(x-np.mean(x)).mean()": "ts_mad(x, d)",
}


def _known_body(body: ast.expr, name: str, bars: int) -> str | None:
    text = code_of(Renamed(name).visit(ast.parse(code_of(body), mode="eval"))).replace(" ", "")
    return _KNOWN.get(text.replace("sps.", "stats.").replace(f"({bars})", "(d)"))


class Renamed(ast.NodeTransformer):
    """Gives the argument of a lambda the name x."""

    def __init__(self, name: str) -> None:
        self.name = name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """Rename."""
        return ast.Name("x", node.ctx) if node.id == self.name else node


def bound(reader: Reader, name: str, value: Value, body: Body, whole: Whole | None) -> Raw:
    """Return a body read with `name` for a value, inside a whole."""
    if whole is not None:
        _stays_inside(reader, name, body)
    before, outside = dict(reader.names), reader.whole
    reader.names[name], reader.whole = value, whole
    try:
        if isinstance(body, ast.expr):
            return reader.series(body).raw
        found = reader.body(body)
        if not isinstance(found, SeriesValue):
            raise reader.places.fault(body[0], "this function returns no column or number", "return one")
        return found.raw
    finally:
        reader.whole = outside
        reader.names.clear()
        reader.names.update(before)


_BUILT_IN = frozenset({"len", "abs", "max", "min", "float", "int", "round", "sum", "range", "self", "cls"})


def _stays_inside(reader: Reader, name: str, body: Body) -> None:
    """Refuse a function that takes in other columns: a statistic of those would be of all their rows."""
    parts = [part for top in ([body] if isinstance(body, ast.expr) else body) for part in ast.walk(top)]
    own = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    for part in parts:
        if not isinstance(part, ast.Name) or part.id in _BUILT_IN or part.id in own or part.id == name:
            continue
        known = reader.names.get(part.id)
        if number_of(known) is None and not isinstance(known, Module | Plain | Function | Listed | Mapped):
            why = f"this lambda takes in {part.id[:40]} beside its argument"
            raise reader.places.fault(part, why, "do that in a step of its own")


def element(reader: Reader, node: ast.Subscript, x: Raw) -> Raw | None:
    """`x[-1]` and `x[0]` of a window: its newest and its oldest value, or one between."""
    whole = reader.whole
    if whole is None or not isinstance(whole.bars, RawNumber):
        return None
    if holds_number(whole, x):
        raise reader.places.fault(node, "a value of what was made with a statistic", "take x[-1] first")
    if isinstance(node.slice, ast.Slice):
        return _part(reader, node, node.slice, x, int(whole.bars.value))
    try:
        place = ast.literal_eval(node.slice)
    except ValueError:
        return None
    if not isinstance(place, int) or isinstance(place, bool):
        return None
    back = -1 - place if place < 0 else int(whole.bars.value) - 1 - place
    if not 0 <= back < whole.bars.value:
        raise reader.places.fault(node, f"the window has no value {place}", "write x[-1] for the newest")
    found = same_but_other(x) if back == 0 else reader.ours("ts_delay", node, x, bars_of(reader, node, back))
    return keep_number(whole, found)


def _part(reader: Reader, node: ast.Subscript, cut: ast.Slice, x: Raw, bars: int) -> Raw:
    """`x[:-1]`, `x[-3:]`, `x[:5]` of a window: some of its values, in their order."""
    ends = [0 if end is None else number_of(reader.expr(end)) for end in (cut.lower, cut.upper)]
    if cut.step is not None or any(end is None or end != int(end) for end in ends):
        raise reader.places.fault(node, "this part of the window is not read", "write x[-5:] or x[:-1]")
    places = range(bars)[slice(*(None if end is None else int(number or 0)
                                 for end, number in zip((cut.lower, cut.upper), ends, strict=True)))]  # fmt: skip
    if len(places) < 1:
        raise reader.places.fault(node, "this part of the window is empty", "write x[-5:] or x[:-1]")
    back = bars - 1 - places[-1]
    found = same_but_other(x) if back == 0 else reader.ours("ts_delay", node, x, bars_of(reader, node, back))
    assert reader.whole is not None
    reader.whole.single.append((found, float(len(places))))
    return found


def size_of(reader: Reader, node: ast.Call) -> Value | None:
    """`len(x)` of a window, or of a part of it."""
    whole = reader.whole
    if whole is None or not isinstance(whole.bars, RawNumber) or math.isnan(whole.bars.value) or len(node.args) != 1:
        return None
    size = part_size(whole, reader.series(node.args[0]).raw)
    return SeriesValue(bars_of(reader, node, whole.bars.value if size is None else size))
