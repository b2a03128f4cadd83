"""Qlib's expression engine (qlib/data/ops.py), whose windows fill up from the first bar on."""

from __future__ import annotations

from factors.dialects.base import Dialect, Rewrite, exactly, from_oldest, number_node, ours, refused, same, whole
from factors.dialects.templates import CONDITIONS, formula
from factors.syntax import NATIVE, Fault, Raw, RawCall, RawNumber

_ELEMENTWISE = {
    "greater": "max", "less": "min", "power": "power", "if": "if_else", "gt": "gt", "ge": "ge", "lt": "lt", "le": "le",
    "eq": "eq", "ne": "ne", "and": "and_", "or": "or_", "not": "not_", "add": "add", "sub": "sub", "mul": "mul",
    "div": "div",
}  # fmt: skip
_ROLLING = {
    "mean": "ts_mean", "std": "ts_std", "var": "ts_var", "sum": "ts_sum", "med": "ts_median", "mad": "ts_mad",
    "skew": "ts_skew", "kurt": "ts_kurt", "max": "ts_max", "min": "ts_min", "rank": "ts_rank", "slope": "ts_slope",
    "rsquare": "ts_rsquare", "resi": "ts_resid", "corr": "ts_corr", "cov": "ts_cov", "delta": "ts_delta",
    "quantile": "ts_quantile", "ref": "ts_delay",
}  # fmt: skip
_FROM_FIRST_BAR = {"mean": "cum_mean", "sum": "cum_sum", "max": "cum_max", "min": "cum_min"}
_WARM_UP = "Qlib fills the warm-up from the first bar on, and windows with gaps; here a value needs its full window"


def _is_zero(raw: RawCall) -> bool:
    last = raw.args[-1] if raw.args else None
    return isinstance(last, RawNumber) and last.value == 0 and not last.unit


def _rolling(word: str) -> Rewrite:
    plain = same(_ROLLING[word])

    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        if len(raw.args) >= 2 and _is_zero(raw):
            if word not in _FROM_FIRST_BAR:
                raise Fault("window", f"{raw.name} with 0 runs from the first bar on", "give it a window", raw.at)
            notes.append(f"{raw.name}(x, 0) runs from the panel's first bar on")
            return ours(_FROM_FIRST_BAR[word], raw, raw.args[0])
        return plain(raw, notes)

    return rewrite


def _wma(raw: RawCall, notes: list[str]) -> Raw:
    exactly(raw, 2, "WMA(x, n)")
    size = whole(raw.args[1], "WMA")
    notes.append("Qlib's WMA (0.9.7) divides the weighted mean by n once more: ts_decay_linear(x, n) / n")
    return ours("div", raw, ours("ts_decay_linear", raw, *raw.args), number_node(float(size), raw))


def _ema(raw: RawCall, notes: list[str]) -> Raw:
    exactly(raw, 2, "EMA(x, n)")
    notes.append("Qlib's EMA is bias-adjusted (pandas' adjust=True): it differs while the average warms up")
    size = raw.args[1]
    if isinstance(size, RawNumber) and 0 < size.value < 1:
        # alpha = m / n with the n whose span it is.
        span = float(max(1, round(2.0 / size.value - 1.0)))
        return ours("ts_sma", raw, raw.args[0], number_node(span, raw), number_node(size.value * span, raw))
    return ours("ts_ema", raw, *raw.args)


def is_condition(raw: Raw) -> bool:
    """Whether a value is a comparison, or made of such."""
    return isinstance(raw, RawCall) and raw.name.removeprefix(NATIVE).lower() in CONDITIONS


def _count(raw: RawCall, notes: list[str]) -> Raw:
    if len(raw.args) == 2 and not is_condition(raw.args[0]):
        return formula("d - ts_count_nan(x, d)", raw.at, {"x": raw.args[0], "d": raw.args[1]})
    notes.append("Qlib's Count counts what is not missing, whatever it says; read as how often the condition is true")
    return ours("ts_count", raw, *raw.args)


def _rank(raw: RawCall, notes: list[str]) -> Raw:
    notes.append("Rank: older releases of Qlib give 100 / n of this; the order is the same")
    return _rolling("rank")(raw, notes)


def _close_to_constant(word: str) -> Rewrite:
    plain = _rolling(word)

    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        notes.append(f"Qlib's {raw.name} is missing where a standard deviation is below 2e-5; here only where it is 0")
        return plain(raw, notes)

    return rewrite


def _mask(raw: RawCall, _notes: list[str]) -> Raw:
    raise Fault("dialect", f"{raw.name} reads another instrument's series", "use market_close for the market", raw.at)


def _if(raw: RawCall, _notes: list[str]) -> Raw:
    exactly(raw, 3, "If(Gt(x, y), a, b)")
    condition = raw.args[0]
    if isinstance(condition, RawCall) and condition.name.lower() in ("greater", "less"):
        meant, is_ = ("Gt", "larger") if condition.name.lower() == "greater" else ("Lt", "smaller")
        why = f"{condition.name} is the {is_} of two in Qlib, and no condition"
        raise Fault("type", why, f"write If({meant}(x, y), a, b)", condition.at)
    return ours("if_else", raw, *raw.args)


_CALLS: dict[str, Rewrite] = {
    **{word: same(name) for word, name in _ELEMENTWISE.items()},
    **{word: _rolling(word) for word in _ROLLING},
    "corr": _close_to_constant("corr"),
    "rsquare": _close_to_constant("rsquare"),
    "if": _if,
    # Forks of Qlib have these.
    "csrank": same("cs_rank"),
    "cszscore": same("cs_zscore"),
    "rank": _rank,
    "count": _count,
    "wma": _wma,
    "ema": _ema,
    "mask": _mask,
    "changeinstrument": _mask,
    "cut": refused("it takes bars away at both ends, which moves windows", "leave it out"),
    "tresample": refused("it changes the bar size", "import the data with the bars you want"),
    "idxmax": from_oldest("ts_argmax", "Qlib's IdxMax"),
    "idxmin": from_oldest("ts_argmin", "Qlib's IdxMin"),
}


class _Qlib(Dialect):
    """Qlib, whose every rolling operator differs from ours in the same way: the warm-up."""

    def rewrite(self, raw: RawCall, notes: list[str]) -> Raw | None:
        """Return our form, noting the warm-up once."""
        found = super().rewrite(raw, notes)
        if found is not None and raw.name.lower() not in (*_ELEMENTWISE, "csrank", "cszscore"):
            notes.append(_WARM_UP)
        return found


QLIB = _Qlib(_CALLS)
