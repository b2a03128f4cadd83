"""Foreign and loose forms, translated into our operators; where meanings differ, a note says how.

A dialect never adds meanings: each of its words is rewritten into calls of the one table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from factors.syntax import Fault, Raw, RawCall, RawName, RawNumber

# Marks a call that is already ours, so that it is not translated twice.
NATIVE = "\0"
Rewrite = Callable[[RawCall, list[str]], Raw]
NameRewrite = Callable[[RawName], Raw]


@dataclass(frozen=True)
class Dialect:
    """How one family of texts is read.

    Attributes
    ----------
    calls
        Lower-case word to its rewriting.
    fields
        Lower-case field to its rewriting.
    floors_windows
        Whether 3.92795 as a window means 3.
    """

    calls: Mapping[str, Rewrite] = field(default_factory=dict)
    fields: Mapping[str, NameRewrite] = field(default_factory=dict)
    floors_windows: bool = False
    folds_case: bool = True

    @property
    def names(self) -> list[str]:
        """Words that the dialect adds."""
        return list(self.calls)

    def rewrite(self, raw: RawCall, notes: list[str]) -> Raw | None:
        """Return our form of a call, or None when it is ours already."""
        handler = self.calls.get(raw.name.lower())
        return handler(raw, notes) if handler else None

    def rewrite_name(self, raw: RawName, _notes: list[str]) -> Raw | None:
        """Return our form of a field, or None when it is none of the dialect's."""
        handler = self.fields.get(raw.name.lower())
        if handler is not None:
            return handler(raw)
        lagged = re.fullmatch(r"(\w+?)_lag_?(\d{1,4})", raw.name) if self.calls else None
        if lagged:
            return ours("ts_delay", raw, RawName(lagged[1], raw.at), number(float(lagged[2]), raw))
        return None


def ours(name: str, where: Raw, *args: Raw) -> RawCall:
    """Return a call of our own operator, standing where `where` stood."""
    return RawCall(NATIVE + name, args, where.at)


def number(value: float, where: Raw) -> RawNumber:
    """Return a number standing where `where` stood."""
    return RawNumber(value, "", where.at)


def _same(name: str, note: str = "", *, defaults: tuple[float, ...] = ()) -> Rewrite:
    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        if note:
            notes.append(f"{raw.name}: {note}")
        missing = defaults[len(defaults) - _missing(name, raw) :] if defaults else ()
        return ours(name, raw, *raw.args, *(number(value, raw) for value in missing))

    return rewrite


def _missing(name: str, raw: RawCall) -> int:
    from factors.table import OPERATORS

    return max(0, len(OPERATORS[name].params) - len(raw.args))


def _by_arity(one: str, two: str) -> Rewrite:
    return lambda raw, _notes: ours(one if len(raw.args) == 1 else two, raw, *raw.args)


def _is_window(raw: Raw) -> bool:
    return isinstance(raw, RawNumber) and raw.value >= 2


def _extreme(elementwise: str, rolling: str) -> Rewrite:
    """`max(x, 5)` looks back over 5 bars, `max(x, y)` and `max(x, 0)` compare bar by bar."""

    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        if len(raw.args) == 2 and _is_window(raw.args[1]):
            notes.append(f"{raw.name}(x, number) is read as {rolling} over that many bars")
            return ours(rolling, raw, *raw.args)
        return ours(elementwise, raw, *raw.args)

    return rewrite


def _from_oldest(name: str, what: str) -> Rewrite:
    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        notes.append(f"{what} counts 1 to d from the oldest bar; ours counts bars back from now, so it is d - {name}")
        if len(raw.args) != 2:
            return ours(name, raw, *raw.args)
        window = raw.args[1]
        size = number(float(int(window.value)), raw) if isinstance(window, RawNumber) else window
        return ours("sub", raw, size, ours(name, raw, *raw.args))

    return rewrite


def _scale(raw: RawCall, _notes: list[str]) -> Raw:
    scaled = ours("cs_scale", raw, *raw.args[:1])
    return scaled if len(raw.args) == 1 else ours("mul", raw, raw.args[-1], scaled)


def _average(raw: RawCall, _notes: list[str]) -> Raw:
    return ours("ts_sma" if len(raw.args) == 3 else "ts_mean", raw, *raw.args)


def _rsi(raw: RawCall, _notes: list[str]) -> Raw:
    args = raw.args if len(raw.args) == 2 else (RawName("close", raw.at), *raw.args)
    return ours("rsi", raw, *args)


def _atr(raw: RawCall, _notes: list[str]) -> Raw:
    if len(raw.args) != 1:
        return ours("atr", raw, *raw.args)
    bars = (RawName(name, raw.at) for name in ("high", "low", "close"))
    return ours("atr", raw, *bars, *raw.args)


def _field(name: str) -> NameRewrite:
    return lambda raw: RawName(name, raw.at)


_GROUPS: Mapping[str, NameRewrite] = {
    f"indclass.{name}": _field(name) for name in ("sector", "industry", "subindustry")
}

_LOOSE: dict[str, Rewrite] = {
    **{word: _same(name) for name, words in {
        "ts_mean": ["mean", "average", "avg", "ma", "ts_avg", "rolling_mean", "moving_average", "ts_average"],
        "ts_std": ["std", "stddev", "stdev", "ts_stddev", "rolling_std", "ts_stdev"],
        "ts_var": ["var", "variance", "rolling_var"],
        "ts_sum": ["sum", "rolling_sum", "tssum"],
        "ts_median": ["median", "rolling_median", "med"],
        "ts_skew": ["skew", "skewness"],
        "ts_kurt": ["kurt", "kurtosis"],
        "ts_product": ["product", "prod", "ts_prod"],
        "ts_quantile": ["quantile", "rolling_quantile"],
        "ts_mad": ["mad"],
        "ts_rank": ["tsrank", "rolling_rank"],
        "ts_min": ["tsmin", "rolling_min", "lowest"],
        "ts_max": ["tsmax", "rolling_max", "highest"],
        "ts_argmax": ["argmax", "ts_arg_max", "tsargmax", "highday"],
        "ts_argmin": ["argmin", "ts_arg_min", "tsargmin", "lowday"],
        "ts_corr": ["corr", "correlation", "ts_correlation", "rolling_corr"],
        "ts_cov": ["cov", "covariance", "ts_covariance"],
        "ts_ema": ["ema", "ewm", "ewma", "exp_moving_average"],
        "ts_decay_linear": ["wma", "decaylinear", "decay_linear", "ts_decay", "linear_decay"],
        "ts_slope": ["slope", "ts_regression_slope"],
        "ts_count": ["count"],
        "ts_sumif": ["sumif"],
        "ts_autocorr": ["autocorr"],
        "signed_power": ["signedpower", "sign_power"],
        "power": ["pow", "power"],
        "log": ["ln", "log"],
        "if_else": ["where", "iff", "if", "ifelse"],
        "cs_demean": ["demean"],
        "cs_zscore": ["normalize", "standardize"],
        "group_neutralize": ["indneutralize", "group_neutral", "neutralize"],
        "clip": ["clamp"],
    }.items() for word in words},
    **{word: _same(name, defaults=(1.0,)) for name, words in {
        "ts_delay": ["delay", "ref", "shift", "lag"],
        "ts_delta": ["delta", "diff", "ts_diff"],
        "ts_returns": ["pct_change", "roc", "ts_return", "pctchange"],
    }.items() for word in words},
    "winsorize": _same("cs_winsorize", defaults=(3.0,)),
    "rank": _by_arity("cs_rank", "ts_rank"),
    "zscore": _by_arity("cs_zscore", "ts_zscore"),
    "sma": _average,
    "min": _extreme("min", "ts_min"),
    "max": _extreme("max", "ts_max"),
    "scale": _scale,
    "rsi": _rsi,
    "atr": _atr,
}  # fmt: skip
_LOOSE_FIELDS: dict[str, NameRewrite] = {
    "ret": _field("returns"),
    "rets": _field("returns"),
    "return": _field("returns"),
    "price": _field("close"),
    "vol": _field("volume"),
    **_GROUPS,
}

_WORLDQUANT: dict[str, Rewrite] = {
    **{word: _LOOSE[word] for word in (
        ["rank", "delta", "delay", "correlation", "covariance", "sum", "stddev", "decay_linear", "product", "min",
        "max", "scale", "indneutralize", "log"]
    )},
    "signedpower": _same("signed_power", "read as sign(x)·|x|^a, not as the paper's x^a"),
    "ts_argmax": _from_oldest("ts_argmax", "the paper's Ts_ArgMax"),
    "ts_argmin": _from_oldest("ts_argmin", "the paper's Ts_ArgMin"),
}  # fmt: skip


def _gtja_regbeta(raw: RawCall, notes: list[str]) -> Raw:
    if len(raw.args) == 2 and isinstance(raw.args[1], RawCall) and raw.args[1].name.lower() == "sequence":
        notes.append("REGBETA(x, SEQUENCE(n)) is the slope of x on time over n bars")
        return ours("ts_slope", raw, raw.args[0], *raw.args[1].args)
    if len(raw.args) == 3 and isinstance(raw.args[1], (RawCall, RawName)) and raw.args[1].name.lower() == "sequence":
        return ours("ts_slope", raw, raw.args[0], raw.args[2])
    return ours("ts_beta", raw, *raw.args)


def _gtja_wma(raw: RawCall, notes: list[str]) -> Raw:
    notes.append("GTJA's WMA weighs by 0.9^i, i bars back: ts_decay_exp with 0.9")
    return ours("ts_decay_exp", raw, *raw.args, number(0.9, raw))


def _gtja_sumac(raw: RawCall, notes: list[str]) -> Raw:
    if len(raw.args) == 1:
        raise Fault(
            "dialect", f"{raw.name}(x) sums from the first bar on, which has no window here", "use ts_sum(x, d)", raw.at
        )
    notes.append("SUMAC(x, n) is read as the n-bar sum")
    return ours("ts_sum", raw, *raw.args)


def _gtja_refused(reason: str) -> Rewrite:
    def rewrite(raw: RawCall, _notes: list[str]) -> Raw:
        raise Fault("dialect", f"{raw.name}: {reason}", "say it with if_else and ts_ operators", raw.at)

    return rewrite


def _lagged(name: str, where: Raw) -> Raw:
    return ours("ts_delay", where, RawName(name, where.at), number(1.0, where))


def _true_range(raw: RawName) -> Raw:
    high, low, before = RawName("high", raw.at), RawName("low", raw.at), _lagged("close", raw)
    up, down = (ours("abs", raw, ours("sub", raw, side, before)) for side in (high, low))
    return ours("max", raw, ours("max", raw, ours("sub", raw, high, low), up), down)


def _open_move(side: str, compare: str) -> NameRewrite:
    """GTJA's DTM and DBM: how far the bar went beyond an open that rose (or fell), else 0."""

    def rewrite(raw: RawName) -> Raw:
        now, before = RawName("open", raw.at), _lagged("open", raw)
        reach = (RawName("high", raw.at), now) if side == "high" else (now, RawName("low", raw.at))
        gap = (now, before)
        farther = ours("max", raw, ours("sub", raw, *reach), ours("sub", raw, *gap))
        return ours("if_else", raw, ours(compare, raw, now, before), number(0.0, raw), farther)

    return rewrite


_GTJA: dict[str, Rewrite] = {
    **{word: _LOOSE[word] for word in (
        ["rank", "delta", "delay", "corr", "covariance", "sum", "mean", "ma", "std", "tsrank", "tsmin", "tsmax",
        "decaylinear", "count", "highday", "lowday", "prod", "min", "max", "log"]
    )},
    "coviance": _same("ts_cov"),
    "sma": _same("ts_sma", "GTJA's SMA is recursive, alpha = m / n"),
    "wma": _gtja_wma,
    "sumif": _same("ts_sumif"),
    "sumac": _gtja_sumac,
    "regbeta": _gtja_regbeta,
    "regresi": _gtja_refused("a regression on several market factors is not in the language"),
    "filter": _gtja_refused("FILTER drops bars, which shifts windows"),
    "sequence": _gtja_refused("SEQUENCE is read only inside REGBETA(x, SEQUENCE(n))"),
}  # fmt: skip
_GTJA_FIELDS: dict[str, NameRewrite] = {
    "ret": _field("returns"),
    "vol": _field("volume"),
    "tr": _true_range,
    "hd": lambda raw: ours("sub", raw, RawName("high", raw.at), _lagged("high", raw)),
    "ld": lambda raw: ours("sub", raw, _lagged("low", raw), RawName("low", raw.at)),
    "dtm": _open_move("high", "le"),
    "dbm": _open_move("low", "ge"),
}

_QLIB: dict[str, Rewrite] = {
    **{word: _same(name) for word, name in {
        "mean": "ts_mean", "std": "ts_std", "var": "ts_var", "sum": "ts_sum", "med": "ts_median", "mad": "ts_mad",
        "skew": "ts_skew", "kurt": "ts_kurt", "max": "ts_max", "min": "ts_min", "rank": "ts_rank", "slope": "ts_slope",
        "rsquare": "ts_rsquare", "resi": "ts_resid", "corr": "ts_corr", "cov": "ts_cov", "delta": "ts_delta",
        "greater": "max", "less": "min", "wma": "ts_decay_linear", "ema": "ts_ema", "power": "power", "if": "if_else",
        "gt": "gt", "ge": "ge", "lt": "lt", "le": "le", "eq": "eq", "ne": "ne", "and": "and_", "or": "or_",
        "not": "not_",
        "add": "add", "sub": "sub", "mul": "mul", "div": "div", "quantile": "ts_quantile", "count": "ts_count",
        "ref": "ts_delay",
    }.items()},
    "idxmax": _from_oldest("ts_argmax", "Qlib's IdxMax"),
    "idxmin": _from_oldest("ts_argmin", "Qlib's IdxMin"),
}  # fmt: skip

_QLIB_NOTE = "Qlib fills the warm-up from the first bar on; here a value needs its full window"


class _Qlib(Dialect):
    """Qlib, whose every rolling operator differs from ours in the same way: the warm-up."""

    def rewrite(self, raw: RawCall, notes: list[str]) -> Raw | None:
        """Return our form, noting the warm-up once."""
        found = super().rewrite(raw, notes)
        if isinstance(found, RawCall) and found.name.startswith(f"{NATIVE}ts_"):
            notes.append(_QLIB_NOTE)
        return found


DIALECTS: Mapping[str, Dialect] = {
    "native": Dialect(folds_case=False),
    "auto": Dialect(_LOOSE, _LOOSE_FIELDS),
    "worldquant": Dialect(_WORLDQUANT, {"ret": _field("returns"), **_GROUPS}, floors_windows=True),
    "gtja": Dialect(_GTJA, _GTJA_FIELDS),
    "qlib": _Qlib(_QLIB),
}
