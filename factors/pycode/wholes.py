"""Statistics of a whole column where it is clear what the whole is: all assets of a bar, or one window."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping

from factors.dialects.templates import formula
from factors.pycode.arguments import Arguments, bars_of
from factors.pycode.values import Function, Module, Plain, Reader, SeriesValue, Value, Whole
from factors.syntax import Raw, RawNumber

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
        given["d"] = whole.bars
    if method in ("argmax", "argmin"):
        reader.notes.append(f"{method}: {_TIES}")
    found = formula((ACROSS if whole.bars is None else ALONG)[method], at, given)
    if ddof in (None, 1.0):
        return found
    if ddof != 0:
        raise reader.places.fault(node, "ddof is 0 or 1", "leave it out")
    size = "group_count(x, bucket(x, 1))" if whole.bars is None else "d"
    share = f"(1 - 1 / {size})" if method == "var" else f"sqrt(1 - 1 / {size})"
    return formula(f"{share} * y", at, {**given, "y": found})


def numpy_statistic(reader: Reader, node: ast.Call, name: str, arguments: Arguments) -> Value | None:
    """`np.mean(x)` of a window, and `np.percentile(x, 90)`: numpy's deviations have ddof 0."""
    whole = reader.whole
    method = {"percentile": "quantile", "nanpercentile": "quantile"}.get(name, _NUMPY.get(name, name))
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
    body, name = _body_of(reader, given)
    if body is None:
        why = "rolling().apply is read of numpy's functions and of one-line lambdas"
        raise reader.places.fault(node, why, "use .rolling(n).mean() and the like")
    known = _known_body(body, name, int(bars.value))
    if known is not None:
        return formula(known, reader.places.at(node), {"x": x, "d": bars})
    return bound(reader, name, SeriesValue(x), body, whole)


def _body_of(reader: Reader, given: ast.expr | None) -> tuple[ast.expr | None, str]:
    if isinstance(given, ast.Name):
        found = reader.names.get(given.id)
        given = found.value if isinstance(found, Plain) and isinstance(found.value, ast.Lambda) else None
    if isinstance(given, ast.Lambda) and len(given.args.args) == 1 and not given.args.defaults:
        return given.body, given.args.args[0].arg
    return None, ""


# Bodies that are known as they stand, of the window x.
_RANKS = ("pd.Series(x).rank(pct=True).iloc[-1]", "x.rank(pct=True).iloc[-1]", "pd.Series(x).rank(pct=True).values[-1]",
          "x.rank(pct=True)[-1]", "(x.argsort().argsort()[-1]+1)/len(x)")  # fmt: skip
_SLOPES = ("np.polyfit(np.arange(len(x)),x,1)[0]", "np.polyfit(range(len(x)),x,1)[0]",
           "np.polyfit(np.arange(d),x,1)[0]", "np.polyfit(range(d),x,1)[0]")  # fmt: skip
_KNOWN = {
    **dict.fromkeys(_RANKS, "ts_rank(x, d)"),
    **dict.fromkeys(_SLOPES, "ts_slope(x, d)"),
    "np.abs(x-x.mean()).mean()": "ts_mad(x, d)",
    "np.mean(np.abs(x-np.mean(x)))": "ts_mad(x, d)",
    "np.fabs(x-x.mean()).mean()": "ts_mad(x, d)",
    "np.abs(x-np.mean(x)).mean()": "ts_mad(x, d)",
}


def _known_body(body: ast.expr, name: str, bars: int) -> str | None:
    text = ast.unparse(Renamed(name).visit(ast.parse(ast.unparse(body), mode="eval"))).replace(" ", "")
    return _KNOWN.get(text.replace(f"({bars})", "(d)"))


class Renamed(ast.NodeTransformer):
    """Gives the argument of a lambda the name x."""

    def __init__(self, name: str) -> None:
        self.name = name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """Rename."""
        return ast.Name("x", node.ctx) if node.id == self.name else node


def bound(reader: Reader, name: str, value: Value, body: ast.expr, whole: Whole | None) -> Raw:
    """Return a body read with `name` for a value, inside a whole."""
    if whole is not None:
        _stays_inside(reader, name, body)
    before, outside = reader.names.get(name), reader.whole
    reader.names[name], reader.whole = value, whole
    try:
        return reader.series(body).raw
    finally:
        reader.whole = outside
        reader.names.pop(name)
        if before is not None:
            reader.names[name] = before


def _stays_inside(reader: Reader, name: str, body: ast.expr) -> None:
    """Refuse a lambda that takes in other columns: a statistic of those would be of all their rows."""
    for part in ast.walk(body):
        if not isinstance(part, ast.Name) or part.id in (name, "len", "abs", "max", "min", "float", "int", "round"):
            continue
        known = reader.names.get(part.id)
        number = isinstance(known, SeriesValue) and isinstance(known.raw, RawNumber)
        if not number and not isinstance(known, Module | Plain | Function):
            why = f"this lambda takes in {part.id[:40]} beside its argument"
            raise reader.places.fault(body, why, "do that in a step of its own")


def element(reader: Reader, node: ast.Subscript, x: Raw) -> Raw | None:
    """`x[-1]` and `x[0]` of a window: its newest and its oldest value, or one between."""
    whole = reader.whole
    if whole is None or not isinstance(whole.bars, RawNumber):
        return None
    try:
        place = ast.literal_eval(node.slice)
    except ValueError:
        return None
    if not isinstance(place, int) or isinstance(place, bool):
        return None
    back = -1 - place if place < 0 else int(whole.bars.value) - 1 - place
    if not 0 <= back < whole.bars.value:
        raise reader.places.fault(node, f"the window has no value {place}", "write x[-1] for the newest")
    return x if back == 0 else reader.ours("ts_delay", node, x, bars_of(reader, node, back))


def size_of(reader: Reader, node: ast.Call) -> Value | None:
    """`len(x)` of a window."""
    whole = reader.whole
    if whole is None or not isinstance(whole.bars, RawNumber) or math.isnan(whole.bars.value):
        return None
    return SeriesValue(bars_of(reader, node, whole.bars.value))
