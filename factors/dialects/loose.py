"""The forms that people and models write without thinking of a dialect: SMA, rolling_mean, pct_change, &&, ^."""

from __future__ import annotations

from factors.dialects.base import (
    GROUPS,
    Dialect,
    NameRewrite,
    Rewrite,
    by_arity,
    chained,
    exactly,
    extreme,
    is_number,
    named,
    number_node,
    ours,
    renamed,
    same,
    scale,
)
from factors.operators.row import Param
from factors.syntax import Fault, Raw, RawCall, RawNumber

_WORDS: dict[str, list[str]] = {
    "ts_mean": ["mean", "average", "avg", "ma", "ts_avg", "rolling_mean", "moving_average", "ts_average"],
    "ts_std": ["std", "stddev", "stdev", "ts_stddev", "ts_std_dev", "rolling_std", "ts_stdev"],
    "ts_var": ["var", "variance", "rolling_var"],
    "ts_sum": ["sum", "rolling_sum", "tssum"],
    "ts_median": ["median", "rolling_median", "med"],
    "ts_skew": ["skew", "skewness", "ts_skewness", "rolling_skew"],
    "ts_kurt": ["kurt", "kurtosis", "ts_kurtosis", "rolling_kurt"],
    "ts_product": ["product", "prod", "ts_prod"],
    "ts_quantile": ["quantile", "rolling_quantile"],
    "ts_mad": ["mad"],
    "atan": ["arctan", "arc_tan"],
    "ts_moment": ["moment"],
    "ts_rank": ["tsrank", "rolling_rank"],
    "ts_min": ["tsmin", "rolling_min", "lowest"],
    "ts_max": ["tsmax", "rolling_max", "highest"],
    "ts_argmax": ["argmax", "ts_arg_max"],
    "ts_argmin": ["argmin", "ts_arg_min"],
    "ts_corr": ["corr", "correlation", "ts_correlation", "rolling_corr"],
    "ts_cov": ["cov", "covariance", "ts_covariance", "rolling_cov"],
    "ts_beta": ["beta", "rolling_beta"],
    "ts_ema": ["ema", "ewm", "ewma", "exp_moving_average"],
    "ts_decay_linear": ["decaylinear", "decay_linear", "ts_decay", "linear_decay"],
    "ts_decay_exp": ["decay_exp", "ts_decay_exp_window"],
    "ts_dema": ["dema"],
    "ts_kama": ["kama"],
    "ts_hma": ["hma"],
    "ts_slope": ["slope", "linreg_slope"],
    "ts_rsquare": ["rsquare", "rsquared"],
    "ts_resid": ["resi", "resid"],
    "ts_regression_slope": ["regression_slope", "regbeta"],
    "ts_regression_intercept": ["regression_intercept"],
    "ts_regression_resid": ["regression_resid", "regresi"],
    "ts_regression_pred": ["regression_pred"],
    "ts_ir": ["ir", "ts_information_ratio"],
    "ts_count": ["count"],
    "ts_sumif": ["sumif"],
    "ts_autocorr": ["autocorr"],
    "ts_backfill": ["backfill"],
    "ts_min_max_diff": ["min_max_diff"],
    "signed_power": ["signedpower", "sign_power"],
    "power": ["pow"],
    "log": ["ln", "log_e"],
    "if_else": ["where", "iff", "if", "ifelse"],
    "cs_demean": ["demean"],
    "cs_zscore": ["standardize"],
    "cs_top_bottom": ["top_bottom"],
    "group_neutralize": ["indneutralize", "group_neutral", "neutralize"],
    "cum_sum": ["cumsum"],
    "cum_product": ["cumprod"],
    "cum_max": ["cummax"],
    "cum_min": ["cummin"],
    "clip": ["clamp"],
    "sqrt": ["square_root"],
    "ceil": ["ceiling"],
    "neg": ["reverse", "negate"],
    "add": ["add"],
    "sub": ["subtract"],
    "mul": ["multiply"],
    "div": ["divide"],
}
_DEFAULTS: dict[str, tuple[tuple[float, ...], list[str]]] = {
    "ts_delay": ((1.0,), ["delay", "ref", "shift", "lag"]),
    "ts_delta": ((1.0,), ["delta", "diff", "ts_diff"]),
    "ts_returns": ((1.0,), ["pct_change", "roc", "ts_return", "pctchange"]),
    "ts_log_return": ((1.0,), ["log_return", "logret", "ts_log_returns"]),
}


def _average(raw: RawCall, _notes: list[str]) -> Raw:
    return ours("ts_sma" if len(raw.args) == 3 else "ts_mean", raw, *raw.args)


def _bars(name: str, fields: tuple[str, ...], defaults: tuple[float, ...]) -> Rewrite:
    """Return the rewriting of an indicator that may be written with its windows alone: atr(14), adx(), macd()."""

    def rewrite(raw: RawCall, _notes: list[str]) -> Raw:
        args = raw.args
        if not args or is_number(args[0]):
            args = (*(named(field, raw) for field in fields), *args)
        missing = max(0, len(fields) + len(defaults) - len(args))
        filled = defaults[len(defaults) - missing :] if 0 < missing <= len(defaults) else ()
        return ours(name, raw, *args, *(number_node(value, raw) for value in filled))

    return rewrite


def _rsi(raw: RawCall, notes: list[str]) -> Raw:
    notes.append(f"{raw.name}: read with simple means of gains and losses (Cutler); Wilder's smoothing differs")
    return _bars("rsi", ("close",), (14.0,))(raw, notes)


def _macd(raw: RawCall, notes: list[str]) -> Raw:
    """`macd(close, 12, 26, 9)` elsewhere gives three values; its first is the line."""
    args = raw.args
    if len(args) - (not is_number(args[0]) if args else 0) == 3:
        notes.append("macd with a signal span is read as the line; macd_signal and macd_hist are the other two")
        args = args[:-1]
    return _bars("macd", ("close",), (12.0, 26.0))(RawCall(raw.name, args, raw.at), notes)


def _vwap(raw: RawCall, _notes: list[str]) -> Raw:
    """`vwap(20)`, `vwap(close, volume, 20)`: weighted over a window; the field stands without parentheses."""
    if len(raw.args) == 1 and is_number(raw.args[0]):
        return ours("div", raw, *(ours("ts_sum", raw, named(name, raw), raw.args[0]) for name in ("amount", "volume")))
    return ours("ts_vwap", raw, *raw.args)


def _signed_log(raw: RawCall, _notes: list[str]) -> Raw:
    exactly(raw, 1, f"{raw.name}(x)")
    x = raw.args[0]
    return ours("mul", raw, ours("sign", raw, x), ours("log1p", raw, ours("abs", raw, x)))


def _above_mean(raw: RawCall, _notes: list[str]) -> Raw:
    exactly(raw, 2, f"{raw.name}(x, d)")
    return ours("sub", raw, raw.args[0], ours("ts_mean", raw, *raw.args))


def _natural_log(raw: RawCall, notes: list[str]) -> Raw:
    """`LOG($close)`, written as AlphaAgent writes it, has two meanings; `log(close)` has one."""
    if raw.name.isupper():
        notes.append(f"{raw.name}: the natural logarithm; AlphaAgent's is of 1 + x (--from alphaagent)")
    return ours("log", raw, *raw.args)


def _mean_deviation(raw: RawCall, notes: list[str]) -> Raw:
    if raw.name.isupper():
        notes.append(f"{raw.name}: the mean deviation from the mean; AlphaAgent's is the median one from the median")
    return ours("ts_mad", raw, *raw.args)


def _winsorized(raw: RawCall, notes: list[str]) -> Raw:
    """`winsorize(x, k)` cuts at k deviations; elsewhere a small number is the share to cut at each end."""
    size = raw.args[1] if len(raw.args) > 1 else None
    if isinstance(size, RawNumber) and size.value < 0.5:
        why = f"{raw.name}(x, {size.value:g}) cuts a share of the values elsewhere; here it cuts at deviations"
        raise Fault("bad_number", why, "write cs_winsorize(x, 3)", size.at)
    if size is None:
        notes.append(f"{raw.name} without a width cuts at 3 deviations; WorldQuant BRAIN's default is 4")
    return same("cs_winsorize", defaults=(3.0,))(raw, notes)


def _obv(raw: RawCall, notes: list[str]) -> Raw:
    if len(raw.args) == 1 and is_number(raw.args[0]):
        return ours("obv", raw, named("close", raw), named("volume", raw), raw.args[0])
    if len(raw.args) not in (0, 2):
        return ours("obv", raw, *raw.args)
    close, volume = raw.args or (named("close", raw), named("volume", raw))
    notes.append(f"{raw.name} without a window runs from the panel's first bar on; obv(close, volume, d) looks back d")
    signed = ours("mul", raw, ours("sign", raw, ours("ts_delta", raw, close, number_node(1.0, raw))), volume)
    return ours("cum_sum", raw, signed)


LOOSE: dict[str, Rewrite] = {
    **{word: same(name) for name, words in _WORDS.items() for word in words},
    **{word: same(name, defaults=values) for name, (values, words) in _DEFAULTS.items() for word in words},
    "rank": by_arity("cs_rank", "ts_rank"),
    "zscore": by_arity("cs_zscore", "ts_zscore"),
    "z_score": by_arity("cs_zscore", "ts_zscore"),
    "sma": _average,
    "min": extreme("min", "ts_min"),
    "max": extreme("max", "ts_max"),
    "and": chained("and_"),
    "or": chained("or_"),
    "scale": scale,
    "rsi": _rsi,
    "atr": _bars("atr", ("high", "low", "close"), (14.0,)),
    "adx": _bars("adx", ("high", "low", "close"), (14.0,)),
    "stochastic": _bars("stochastic", ("high", "low", "close"), (14.0,)),
    "stoch": _bars("stochastic", ("high", "low", "close"), (14.0,)),
    "macd": _macd,
    "macd_signal": _bars("macd_signal", ("close",), (12.0, 26.0, 9.0)),
    "macd_hist": _bars("macd_hist", ("close",), (12.0, 26.0, 9.0)),
    "bollinger_upper": _bars("bollinger_upper", ("close",), (20.0, 2.0)),
    "bollinger_lower": _bars("bollinger_lower", ("close",), (20.0, 2.0)),
    "bollinger_position": _bars("bollinger_position", ("close",), (20.0, 2.0)),
    "bollinger_width": _bars("bollinger_width", ("close",), (20.0, 2.0)),
    "obv": _obv,
    "winsorize": _winsorized,
    "normalize": same("cs_zscore", "read as cs_zscore; WorldQuant BRAIN only takes the mean away: cs_demean"),
    "highday": same("ts_argmax", "bars since the highest, 0 is now; some sources count from 1"),
    "lowday": same("ts_argmin", "bars since the lowest, 0 is now; some sources count from 1"),
    "ts_min_max_diff": same(
        "ts_min_max_diff", "read as ts_max - ts_min; WorldQuant BRAIN means x - f * (ts_min + ts_max)"
    ),
    "tsargmax": same("ts_argmax", "bars since the largest, 0 is now; some sources count from the oldest bar"),
    "tsargmin": same("ts_argmin", "bars since the smallest, 0 is now; some sources count from the oldest bar"),
    "log": _natural_log,
    "ts_mad": _mean_deviation,
    "wma": same("ts_decay_linear", "weights are linear; in AlphaAgent and GTJA 0.9^i, and Qlib divides by n once more"),
    "vwap": _vwap,
    "slog1p": _signed_log,
    "s_log_1p": _signed_log,
    "signed_log": _signed_log,
    "ts_av_diff": _above_mean,
}
LOOSE_FIELDS: dict[str, NameRewrite] = {
    "ret": renamed("returns"),
    "rets": renamed("returns"),
    "return": renamed("returns"),
    "price": renamed("close"),
    "vol": renamed("volume", "read as the volume traded, not as volatility"),
    "turnover": renamed("amount", "read as the money traded"),
    "quote_volume": renamed("amount"),
    "dollar_volume": renamed("amount"),
    **GROUPS,
}

LOOSE_TARGETS = {
    **{word: name for name, words in _WORDS.items() for word in words},
    **{word: name for name, (_, words) in _DEFAULTS.items() for word in words},
    "sma": "ts_mean",
    "zscore": "ts_zscore",
    "rank": "ts_rank",
    "macd": "macd_signal",
    "stoch": "stochastic",
    "winsorize": "cs_winsorize",
    "normalize": "cs_zscore",
    "highday": "ts_argmax",
    "lowday": "ts_argmin",
    "tsargmax": "ts_argmax",
    "tsargmin": "ts_argmin",
    "wma": "ts_decay_linear",
}
LOOSE_PARAMETERS: dict[str, tuple[Param, ...]] = {
    "scale": (Param("x", "panel"), Param("a", "number")),
    "min": (Param("x", "panel"), Param("y", "panel")),
    "max": (Param("x", "panel"), Param("y", "panel")),
    "slog1p": (Param("x", "panel"),),
    "s_log_1p": (Param("x", "panel"),),
    "signed_log": (Param("x", "panel"),),
    "ts_av_diff": (Param("x", "panel"), Param("d", "window")),
}

AUTO = Dialect(LOOSE, LOOSE_FIELDS, LOOSE_TARGETS, LOOSE_PARAMETERS)
