"""The 191 short-horizon factors of Guotai Junan Securities (2017)."""

from __future__ import annotations

from factors.dialects.base import (
    Dialect,
    NameRewrite,
    Rewrite,
    exactly,
    extreme,
    named,
    number_node,
    ours,
    refused,
    renamed,
    same,
)
from factors.dialects.loose import LOOSE
from factors.syntax import Fault, Raw, RawCall, RawName


def _regbeta(raw: RawCall, notes: list[str]) -> Raw:
    if len(raw.args) == 2 and _is_call(raw.args[1], "sequence"):
        assert isinstance(raw.args[1], RawCall)
        notes.append("REGBETA(x, SEQUENCE(n)) is the slope of x on time over n bars")
        return ours("ts_slope", raw, raw.args[0], *raw.args[1].args)
    exactly(raw, 3, "REGBETA(y, x, n) or REGBETA(x, SEQUENCE(n))")
    y, x, window = raw.args
    if (isinstance(x, RawName) and x.name.lower() == "sequence") or _is_call(x, "sequence"):
        return ours("ts_slope", raw, y, window)
    if _is_call(y, "filter") and _is_call(x, "filter"):
        return _filtered_beta(raw, y, x, window, notes)
    return ours("ts_beta", raw, y, x, window)


def _is_call(raw: Raw, name: str) -> bool:
    return isinstance(raw, RawCall) and raw.name.lower() == name


def _filtered_beta(raw: RawCall, y: Raw, x: Raw, window: Raw, notes: list[str]) -> Raw:
    """REGBETA(FILTER(y, c), FILTER(x, c), n): the slope over those of the last n bars where c holds."""
    assert isinstance(y, RawCall)
    assert isinstance(x, RawCall)
    if len(y.args) != 2 or len(x.args) != 2 or _shape(y.args[1]) != _shape(x.args[1]):
        form = "write REGBETA(FILTER(y, c), FILTER(x, c), n)"
        raise Fault("dialect", "FILTER is read in pairs of one condition", form, raw.at)
    notes.append("REGBETA of FILTERs is the slope over those of the last n bars where the condition holds")
    condition = y.args[1]

    def total(series: Raw) -> Raw:
        return ours("ts_sumif", raw, series, window, condition)

    def product(a: Raw, b: Raw) -> Raw:
        return ours("mul", raw, a, b)

    count = ours("ts_count", raw, condition, window)
    left, right = y.args[0], x.args[0]

    def spread(a: Raw, b: Raw) -> Raw:
        return ours("sub", raw, total(product(a, b)), ours("div", raw, product(total(a), total(b)), count))

    return ours("div", raw, spread(left, right), spread(right, right))


def _shape(raw: Raw) -> object:
    """Return a tree without its places, to compare."""
    if isinstance(raw, RawCall):
        return raw.name.lower(), tuple(_shape(arg) for arg in raw.args)
    return raw.name.lower() if isinstance(raw, RawName) else raw.value


def _wma(raw: RawCall, notes: list[str]) -> Raw:
    notes.append("GTJA's WMA has weights 0.9^i, i bars back: ts_decay_exp with 0.9")
    return ours("ts_decay_exp", raw, *raw.args, number_node(0.9, raw))


def _sumac(raw: RawCall, notes: list[str]) -> Raw:
    if len(raw.args) == 1:
        notes.append("SUMAC(x) sums from the panel's first bar on")
        return ours("cum_sum", raw, *raw.args)
    notes.append("SUMAC(x, n) is read as the n-bar sum")
    return ours("ts_sum", raw, *raw.args)


def _self_product(raw: RawCall, notes: list[str]) -> Raw:
    """`c ? x * SELF : SELF` multiplies where c holds: a running product."""
    if len(raw.args) == 3 and _is_self(raw.args[2]):
        yes = raw.args[1]
        if isinstance(yes, RawCall) and yes.name == "mul" and any(_is_self(arg) for arg in yes.args):
            factor = yes.args[0] if _is_self(yes.args[1]) else yes.args[1]
            notes.append("SELF is the factor's own last value: c ? x * SELF : SELF is a running product, from 1 on")
            return ours("cum_product", raw, ours("if_else", raw, raw.args[0], factor, number_node(1.0, raw)))
    return ours("if_else", raw, *raw.args)


def _is_self(raw: Raw) -> bool:
    return isinstance(raw, RawName) and raw.name.lower() == "self"


def _no_self(raw: RawName, _notes: list[str]) -> Raw:
    why = "SELF, the factor's own last value, is only read in c ? x * SELF : SELF"
    raise Fault("dialect", why, "use cum_sum or ts_ema", raw.at)


def _lagged(name: str, where: Raw) -> Raw:
    return ours("ts_delay", where, named(name, where), number_node(1.0, where))


def _true_range(raw: RawName, _notes: list[str]) -> Raw:
    high, low, before = named("high", raw), named("low", raw), _lagged("close", raw)
    up, down = (ours("abs", raw, ours("sub", raw, side, before)) for side in (high, low))
    return ours("max", raw, ours("max", raw, ours("sub", raw, high, low), up), down)


def _open_move(side: str, compare: str) -> NameRewrite:
    """GTJA's DTM and DBM: how far the bar went beyond an open that rose (or fell), else 0."""

    def rewrite(raw: RawName, _notes: list[str]) -> Raw:
        now, before = named("open", raw), _lagged("open", raw)
        reach = (named("high", raw), now) if side == "high" else (now, named("low", raw))
        farther = ours("max", raw, ours("sub", raw, *reach), ours("sub", raw, now, before))
        return ours("if_else", raw, ours(compare, raw, now, before), number_node(0.0, raw), farther)

    return rewrite


_INDEX_NOTE = "the benchmark index is stood in for by the equal-weighted index of the panel's universe"
_LIKE_LOOSE = ("rank", "delta", "delay", "corr", "covariance", "sum", "mean", "ma", "std", "tsrank", "tsmin", "tsmax",
               "decaylinear", "count", "highday", "lowday", "prod", "sumif")  # fmt: skip
_CALLS: dict[str, Rewrite] = {
    **{word: LOOSE[word] for word in _LIKE_LOOSE},
    "min": extreme("min", "ts_min"),
    "max": extreme("max", "ts_max"),
    "coviance": same("ts_cov"),
    "sma": same("ts_sma", "GTJA's SMA is recursive, alpha = m / n"),
    "wma": _wma,
    "sumac": _sumac,
    "regbeta": _regbeta,
    "if_else": _self_product,
    "regresi": refused("a regression on several series is not in the language", "use ts_regression_resid(y, x, d)"),
    "filter": refused("FILTER drops bars, which shifts windows", "use ts_sumif, ts_count or if_else"),
    "sequence": refused("SEQUENCE is read only inside REGBETA(x, SEQUENCE(n))", "use ts_slope(x, d)"),
}  # fmt: skip
_FIELDS: dict[str, NameRewrite] = {
    "ret": renamed("returns"),
    "vol": renamed("volume"),
    "tr": _true_range,
    "hd": lambda raw, _notes: ours("sub", raw, named("high", raw), _lagged("high", raw)),
    "ld": lambda raw, _notes: ours("sub", raw, _lagged("low", raw), named("low", raw)),
    "dtm": _open_move("high", "le"),
    "dbm": _open_move("low", "ge"),
    "self": _no_self,
    # The published text spells it so.
    **{f"{word}index{side}": renamed(f"market_{side}", _INDEX_NOTE)
       for word in ("banchmark", "benchmark") for side in ("open", "close")},
}  # fmt: skip

GTJA = Dialect(_CALLS, _FIELDS)
