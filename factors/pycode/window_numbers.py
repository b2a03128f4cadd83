"""What is one number of a window while its function is read: a statistic, a value of it; all else is one a bar.

A statistic of what was made with another statistic of the same window cannot be written bar by bar, because the inner
one would move along with the outer window: `median(abs(x - median(x)))` is not the median of bar-by-bar differences.
"""

from __future__ import annotations

import ast

from factors.dialects.templates import formula
from factors.pycode.values import Reader, Whole
from factors.syntax import NATIVE, Raw, RawCall, RawName, RawNumber


def keep_number(whole: Whole, raw: Raw) -> Raw:
    """Remember that a tree is one number of the window; return it."""
    whole.single.append((raw, None))
    return raw


def same_but_other(raw: Raw) -> Raw:
    """Return an equal tree that is another object, so that only it is remembered."""
    return raw._replace(at=raw.at)


def part_size(whole: Whole, raw: Raw) -> float | None:
    """Return how many bars a part of the window has, None where the tree is no part."""
    return next((size for known, size in whole.single if known is raw), None)


def holds_number(whole: Whole, raw: Raw) -> bool:
    """Whether a number or part of the window takes part in a tree."""
    known = {id(part) for part, _ in whole.single}
    seen: set[int] = set()
    rest = [raw]
    while rest:
        one = rest.pop()
        if id(one) in known:
            return True
        if isinstance(one, RawCall) and id(one) not in seen:
            seen.add(id(one))
            rest.extend(one.args)
    return False


def is_number_of(whole: Whole, raw: Raw) -> bool:
    """Whether a tree is one number of the window: nothing in it is one value a bar."""
    known = {id(part) for part, size in whole.single if size is None}
    seen: set[int] = set()
    rest = [raw]
    while rest:
        one = rest.pop()
        if isinstance(one, RawNumber) or id(one) in known or id(one) in seen:
            continue
        if not isinstance(one, RawCall):
            return isinstance(one, RawName) and one.name == "nan" and not rest
        seen.add(id(one))
        rest.extend(one.args)
    return True


_WORDS = {f"{NATIVE}sub": "-", f"{NATIVE}add": "+", f"{NATIVE}mul": "*", f"{NATIVE}div": "/"}
# Of x - c, or x times c, where c is one number of the window: the statistic of x, with c in its place.
_OF_SUM = {"mean": "m + c", "median": "m + c", "max": "m + c", "min": "m + c", "sum": "m + d * c", "std": "m",
           "var": "m", "quantile": "m + c"}  # fmt: skip
_OF_PRODUCT = {"mean": "m * c", "sum": "m * c", "std": "m * abs(c)", "var": "m * c * c"}


def around_number(reader: Reader, node: ast.AST, x: Raw, method: str, plain: dict[str, str]) -> Raw | None:
    """Return a statistic of what holds a number of the window, None where it cannot be written in our language.

    `plain` has the statistics of one value a bar, as formulas of x and d.
    """
    whole = reader.whole
    assert whole is not None and whole.bars is not None
    at = reader.places.at(node)
    moment = _moment(whole, x, method)
    if moment is not None:
        text, inner = moment
        return formula(text, at, {"x": inner, "d": whole.bars})
    if not isinstance(x, RawCall) or x.name not in _WORDS or method not in plain:
        return None
    sign = _WORDS[x.name]
    left, right = x.args
    turned = is_number_of(whole, left)
    inner, constant = (right, left) if turned else (left, right)
    if not is_number_of(whole, constant) or holds_number(whole, inner) or (turned and sign in "-/"):
        return None
    table = _OF_SUM if sign in "+-" else _OF_PRODUCT
    if method not in table:
        return None
    c = {"-": "-c", "/": "1 / c"}.get(sign, "c")
    found = formula(plain[method], at, {"x": inner, "d": whole.bars})
    text = table[method].replace("c", f"({c})") if "abs" not in table[method] else f"m * abs({c})"
    return formula(text, at, {"m": found, "c": constant, "d": whole.bars})


def _moment(whole: Whole, x: Raw, method: str) -> tuple[str, Raw] | None:
    """Mean deviations and central moments: the mean or sum of abs(x - mean) or of (x - mean) to a power."""
    share = {"mean": "", "sum": "d * "}.get(method)
    if share is None or not isinstance(x, RawCall):
        return None
    inner, power = x.args[0], 0.0
    if x.name == f"{NATIVE}power" and isinstance(x.args[1], RawNumber):
        power = x.args[1].value
    elif x.name == f"{NATIVE}mul" and _equal(x.args[0], x.args[1]):
        power = 2.0
    elif x.name != f"{NATIVE}abs":
        return None
    if not isinstance(inner, RawCall) or inner.name != f"{NATIVE}sub":
        return None
    values, mean = inner.args
    if holds_number(whole, values) or not _is_mean(whole, mean, values):
        return None
    if power == 2.0:
        return f"{share}(1 - 1 / d) * ts_var(x, d)", values
    if power in (3.0, 4.0):
        return f"{share}ts_moment(x, d, {power:g})", values
    return (f"{share}ts_mad(x, d)", values) if power == 0 else None


def _is_mean(whole: Whole, mean: Raw, values: Raw) -> bool:
    by_name = isinstance(mean, RawCall) and mean.name == f"{NATIVE}ts_mean"
    return by_name and isinstance(mean, RawCall) and _equal(mean.args[0], values) and mean.args[1] is whole.bars


def _equal(one: Raw, other: Raw) -> bool:
    """Whether two trees are written alike, wherever they stand."""
    if isinstance(one, RawCall) and isinstance(other, RawCall):
        alike = one.name == other.name and len(one.args) == len(other.args)
        return one is other or (alike and all(map(_equal, one.args, other.args)))
    if isinstance(one, RawNumber) and isinstance(other, RawNumber):
        return (one.value, one.unit) == (other.value, other.unit)
    return isinstance(one, RawName) and isinstance(other, RawName) and one.name == other.name
