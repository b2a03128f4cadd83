"""Windows with gaps that the code itself has made: `x.where(x > 0).rolling(20, min_periods=1).mean()`."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from factors.dialects.templates import formula
from factors.pycode.arguments import Arguments, bars_of
from factors.pycode.conversions import is_condition
from factors.pycode.values import Reader, WindowValue
from factors.syntax import NATIVE, Raw, RawCall, RawName

# Of the n known values of the last d bars; y is x with 0 where it is missing.
_STATISTICS: Mapping[str, str] = {
    "sum": "s", "mean": "s / n", "var": "max(q - s * s / n, 0) / (n - k)",
    "std": "sqrt(max(q - s * s / n, 0) / (n - k))",
    "count": "n",
}  # fmt: skip


def has_gaps(raw: Raw) -> bool:
    """Whether values were taken out by a condition: x / c, as `where` and `mask` are read, or a branch that is NaN."""
    seen: set[int] = set()
    rest = [raw]
    while rest:
        one = rest.pop()
        if not isinstance(one, RawCall) or id(one) in seen:
            continue
        seen.add(id(one))
        if one.name == f"{NATIVE}div" and is_condition(one.args[1]):
            return True
        if one.name == f"{NATIVE}if_else" and any(_is_nan(part) for part in one.args[1:]):
            return True
        if one.name.removeprefix(NATIVE) in _VALUE_BY_VALUE:
            rest.extend(one.args)
    return False


# What is missing in their arguments is missing in their values.
_VALUE_BY_VALUE = frozenset({"add", "sub", "mul", "div", "neg", "abs", "power", "log", "log1p", "exp", "sqrt", "sign",
                             "clip", "max", "min", "if_else", "signed_power", "tanh", "atan", "ts_delay"})  # fmt: skip


def _is_nan(raw: Raw) -> bool:
    return isinstance(raw, RawName) and raw.name == "nan"


def of_known(reader: Reader, node: ast.Call, window: WindowValue, method: str, arguments: Arguments) -> Raw:
    """Return a statistic of the values of a window that are not missing, NaN where fewer than `least` are."""
    if method not in _STATISTICS:
        why = f".{method[:40]}() over gaps that a condition has made is not read"
        raise reader.places.fault(node, why, f"one of {', '.join(_STATISTICS)}, or fill the gaps with .fillna(0)")
    ddof = arguments.number("ddof", 1.0) if method in ("std", "var") else 1.0
    at = reader.places.at(node)
    names = {"x": window.series.raw, "d": window.bars or bars_of(reader, node, 1)}
    parts = {
        "n": formula("d - ts_sum(is_nan(x), d)", at, names),
        "s": formula("ts_sum(fill_nan(x, 0), d)", at, names),
        "q": formula("ts_sum(fill_nan(x * x, 0), d)", at, names),
        "k": bars_of(reader, node, ddof or 0.0),
    }
    found = formula(_STATISTICS[method], at, parts)
    least = window.least or 0.0
    if method == "count" or (method == "mean" and least <= 1):
        # No value at all is 0 / 0, which is missing.
        return found
    enough = formula("n >= k", at, {"n": parts["n"], "k": bars_of(reader, node, least)})
    return reader.ours("div", node, found, enough)
