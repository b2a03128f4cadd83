"""AlphaAgent's expressions (Tang et al. 2025, arXiv 2502.16789), in the meanings of its published function library."""

from __future__ import annotations

from factors.dialects.base import Dialect, NameRewrite, Rewrite, chained, from_oldest, number_node, ours, refused
from factors.dialects.loose import LOOSE, LOOSE_FIELDS, LOOSE_PARAMETERS, LOOSE_TARGETS
from factors.dialects.templates import as_condition, formula, templates
from factors.syntax import Fault, Raw, RawCall, RawName, RawNumber

_EARLY = "AlphaAgent fills windows from the first bar on; here a value needs its full window"
_ADJUSTED = "AlphaAgent's is bias-adjusted (pandas' adjust=True): it differs while the average warms up"
_ALL = "bucket(x, 1)"
_TABLE: dict[str, str | tuple[str, str]] = {
    "delta(x, p=1)": "ts_delta(x, p)",
    "delay(x, p=1)": "ts_delay(x, p)",
    "rank(x)": "cs_rank(x)",
    "zscore(x)": "cs_zscore(x)",
    "scale(x, a=1)": "a * cs_scale(x)",
    "median(x, p=0)": "cs_quantile(x, 0.5)",
    "ts_rank(x, p=5)": "ts_rank(x, p)",
    "ts_max(x, p=5)": "ts_max(x, p)",
    "ts_min(x, p=5)": "ts_min(x, p)",
    "ts_mean(x, p=5)": "ts_mean(x, p)",
    "ts_median(x, p=5)": "ts_median(x, p)",
    "ts_sum(x, p=5)": "ts_sum(x, p)",
    "sumac(x, p=10)": "ts_sum(x, p)",
    "ts_std(x, p=20)": "ts_std(x, p)",
    "ts_var(x, p=5, ddof=1)": "ts_var(x, p)",
    "ts_skew(x, p=20)": "ts_skew(x, p)",
    "ts_kurt(x, p=20)": "ts_kurt(x, p)",
    "ts_zscore(x, p=5)": "ts_zscore(x, p)",
    "ts_argmax(x, p=5)": "ts_argmax(x, p)",
    "ts_argmin(x, p=5)": "ts_argmin(x, p)",
    "highday(x, p=5)": ("1 + ts_argmax(x, p)", "counts from 1, which is now"),
    "lowday(x, p=5)": ("1 + ts_argmin(x, p)", "counts from 1, which is now"),
    "percentile(x, q, p)": "ts_quantile(x, p, q)",
    "ts_quantile(x, p=5, q=0.5)": "ts_quantile(x, p, q)",
    "ts_corr(x, y, p=5)": "ts_corr(x, y, p)",
    "corr(x, y, p=5)": "ts_corr(x, y, p)",
    "ts_covariance(x, y, p=5)": "ts_cov(x, y, p)",
    "ts_cov(x, y, p=5)": "ts_cov(x, y, p)",
    "covariance(x, y, p=5)": "ts_cov(x, y, p)",
    "ts_pctchange(x, p=1)": "ts_returns(x, p)",
    "ema(x, p)": ("ts_ema(x, p)", _ADJUSTED),
    "wma(x, p=20)": ("ts_decay_exp(x, p, 0.9)", "weights are 0.9^i, i bars back: ts_decay_exp with 0.9"),
    "decaylinear(x, p=5)": "ts_decay_linear(x, p)",
    "prod(x, p=5)": "ts_product(x, p)",
    "count(c?, p=20)": "ts_count(c, p)",
    "sumif(x, p, c?)": "ts_sumif(x, p, c)",
    "filter(x, c?)": ("x * c", "what the condition leaves out is 0, as in AlphaAgent"),
    "log(x)": ("log(1 + x)", "AlphaAgent takes the logarithm of 1 + x"),
    "inv(x)": "1 / x",
    "pow(x, y)": "power(x, y)",
    "macd(x, short_window=12, long_window=26)": (
        "ts_ema(x, short_window) - ts_ema(x, long_window)", _ADJUSTED),
    "rsi(x, window=14)": (
        "100 * ts_ema(max(ts_delta(x, 1), 0), window) / ts_ema(abs(ts_delta(x, 1)), window)",
        "AlphaAgent's RSI has exponential averages of span d"),
    "bb_middle(x, window=20)": "ts_mean(x, window)",
    "bb_upper(x, window=20)": ("ts_mean(x, window) + ts_std(x, window)", "AlphaAgent's bands are one deviation wide"),
    "bb_lower(x, window=20)": ("ts_mean(x, window) - ts_std(x, window)", "AlphaAgent's bands are one deviation wide"),
    "industry_neutralize(x, g=industry)": "group_neutralize(x, g)",
    "add(x, y)": "x + y", "subtract(x, y)": "x - y", "multiply(x, y)": "x * y", "divide(x, y)": "x / y",
    "gt(x, y)": "x > y", "lt(x, y)": "x < y", "ge(x, y)": "x >= y", "le(x, y)": "x <= y",
    "and(p?, c?)": "p & c", "or(p?, c?)": "p | c",
}  # fmt: skip
_MADE = templates(_TABLE)


def _across_or_along(across: str, along: str) -> Rewrite:
    """`MEAN(x)` is across assets; `MEAN(x, 20)`, which models write for it, along time."""

    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        if len(raw.args) == 1:
            if not across:
                raise Fault("dialect", f"{raw.name} across assets is not read", f"write TS_{raw.name}(x, 20)", raw.at)
            return formula(across, raw.at, {"x": raw.args[0]})
        notes.append(f"{raw.name} with a window is along time; without one it is across assets")
        return ours(along, raw, *raw.args)

    return rewrite


def _sma(raw: RawCall, notes: list[str]) -> Raw:
    if len(raw.args) == 3:
        notes.append(f"{raw.name}: {_ADJUSTED}")
        return ours("ts_sma", raw, *raw.args)
    return ours("ts_mean", raw, *raw.args)


def _on_time(slope: str, beta: str) -> Rewrite:
    """Read a regression on another series or on SEQUENCE(n), which is time."""

    def rewrite(raw: RawCall, _notes: list[str]) -> Raw:
        if len(raw.args) not in (2, 3):
            raise Fault("arity", f"{raw.name} takes 3 arguments", f"write {raw.name}(y, x, 20)", raw.at)
        y, x = raw.args[:2]
        if _is_sequence(y):
            x, y = y, x
        if not _is_sequence(x):
            return ours(beta, raw, y, x, raw.args[2] if len(raw.args) == 3 else number_node(5.0, raw))
        length = x.args[0] if isinstance(x, RawCall) and x.args else raw.args[-1]
        window = raw.args[2] if len(raw.args) == 3 else length
        if isinstance(window, RawNumber) and isinstance(length, RawNumber) and length.value < window.value:
            window = length
        return ours(slope, raw, y, window)

    return rewrite


def _is_sequence(raw: Raw) -> bool:
    return isinstance(raw, RawCall | RawName) and raw.name.lower() == "sequence"


def _to_time(raw: RawCall, notes: list[str]) -> Raw:
    """`TS_CORR(x, SEQUENCE(n), n)`: with time; its sign is the slope's, its square the fit."""
    if len(raw.args) == 3 and _is_sequence(raw.args[1]):
        names = {"x": raw.args[0], "d": raw.args[2]}
        return formula("sign(ts_slope(x, d)) * sqrt(ts_rsquare(x, d))", raw.at, names)
    return _MADE.calls["ts_corr"](raw, notes)


def _chosen(raw: RawCall, _notes: list[str]) -> Raw:
    if len(raw.args) != 3:
        raise Fault("arity", f"{raw.name} takes 3 arguments, not {len(raw.args)}", "write c ? x : y", raw.at)
    return ours("if_else", raw, as_condition(raw.args[0]), *raw.args[1:])


def _extreme(name: str) -> Rewrite:
    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        if len(raw.args) == 1:
            return formula(f"group_{name}(x, {_ALL})", raw.at, {"x": raw.args[0]})
        return chained(name)(raw, notes)

    return rewrite


_CALLS: dict[str, Rewrite] = {
    **LOOSE,
    **_MADE.calls,
    "mean": _across_or_along("cs_mean(x)", "ts_mean"),
    "std": _across_or_along(f"group_std(x, {_ALL})", "ts_std"),
    "var": _across_or_along(f"group_std(x, {_ALL}) ^ 2", "ts_var"),
    "sum": _across_or_along(f"group_sum(x, {_ALL})", "ts_sum"),
    "median": _across_or_along("cs_quantile(x, 0.5)", "ts_median"),
    "skew": _across_or_along("", "ts_skew"),
    "kurt": _across_or_along("", "ts_kurt"),
    "max": _extreme("max"),
    "min": _extreme("min"),
    "sma": _sma,
    "ts_corr": _to_time,
    "corr": _to_time,
    "regbeta": _on_time("ts_slope", "ts_beta"),
    "regresi": _on_time("ts_resid", "ts_regression_resid"),
    "if_else": _chosen,
    "where": _chosen,
    "ts_mad": refused("AlphaAgent's is the median deviation from the median", "use ts_mad(x, d) of ours, of means"),
    "sequence": refused("SEQUENCE is read only inside REGBETA, REGRESI and TS_CORR", "use ts_slope(x, d)"),
}
_FIELDS: dict[str, NameRewrite] = dict(LOOSE_FIELDS)


class _AlphaAgent(Dialect):
    """AlphaAgent, whose every window differs from ours in the same way: the warm-up."""

    def rewrite(self, raw: RawCall, notes: list[str]) -> Raw | None:
        """Return our form, noting the warm-up once."""
        found = super().rewrite(raw, notes)
        if found is not None and raw.name.lower().startswith(("ts_", "sma", "bb_")):
            notes.append(_EARLY)
        return found


ALPHAAGENT = _AlphaAgent(
    _CALLS,
    _FIELDS,
    {word: name for word, name in LOOSE_TARGETS.items() if word not in _MADE.calls},
    {**LOOSE_PARAMETERS, **_MADE.parameters},
    defaults=_MADE.defaults,
    stands_in=True,
)

# FactorMiner (2026), whose comparisons are 1 or 0, and whose roots and logarithms keep signs.
_MINER_TABLE: dict[str, str | tuple[str, str]] = {
    "add(x, y)": "x + y", "sub(x, y)": "x - y", "mul(x, y)": "x * y", "div(x, y)": "x / y", "neg(x)": "-x",
    "log(x)": ("sign(x) * log1p(abs(x))", "FactorMiner's Log is sign(x) log(1 + |x|)"),
    "sqrt(x)": ("signed_power(x, 0.5)", "FactorMiner's Sqrt keeps the sign"),
    "square(x)": "power(x, 2)",
    "inv(x)": "1 / x",
    "max(x, y)": "max(x, y)", "min(x, y)": "min(x, y)",
    "clip(x, lower=-3, upper=3)": "clip(x, lower, upper)",
    "tsmax(x, d=10)": "ts_max(x, d)", "tsmin(x, d=10)": "ts_min(x, d)", "tsrank(x, d=10)": "ts_rank(x, d)",
    "mean(x, d=10)": "ts_mean(x, d)", "sum(x, d=10)": "ts_sum(x, d)", "prod(x, d=10)": "ts_product(x, d)",
    "std(x, d=10)": "ts_std(x, d)", "var(x, d=10)": "ts_var(x, d)", "median(x, d=10)": "ts_median(x, d)",
    "skew(x, d=20)": "ts_skew(x, d)", "kurt(x, d=20)": "ts_kurt(x, d)",
    "quantile(x, d=10, q=0.5)": "ts_quantile(x, d, q)",
    "countnan(x, d=10)": "ts_count_nan(x, d)", "countnotnan(x, d=10)": "d - ts_count_nan(x, d)",
    "delta(x, d=1)": "ts_delta(x, d)", "delay(x, d=1)": "ts_delay(x, d)", "return(x, d=1)": "ts_returns(x, d)",
    "logreturn(x, d=1)": "ts_log_return(x, d)",
    "corr(x, y, d=10)": "ts_corr(x, y, d)",
    "cov(x, y, d=10)": ("(1 - 1 / d) * ts_cov(x, y, d)", "FactorMiner's Cov has ddof 0"),
    "beta(x, y, d=10)": "ts_beta(x, y, d)", "resid(x, y, d=10)": "ts_regression_resid(x, y, d)",
    "wma(x, d=10)": "ts_decay_linear(x, d)", "decay(x, d=10)": "ts_decay_linear(x, d)",
    "ema(x, d=10)": "ts_ema(x, d)", "dema(x, d=10)": "ts_dema(x, d)", "sma(x, d=10)": "ts_mean(x, d)",
    "kama(x, d=10)": "ts_kama(x, d)", "hma(x, d=10)": "ts_hma(x, d)",
    "csrank(x)": "cs_rank(x)", "cszscore(x)": "cs_zscore(x)", "csdemean(x)": "cs_demean(x)",
    "csscale(x)": "cs_scale(x)", "csneutralize(x, g=industry)": "group_neutralize(x, g)",
    "tslinreg(x, d=20)": "x - ts_resid(x, d)", "tslinregslope(x, d=20)": "ts_slope(x, d)",
    "tslinregintercept(x, d=20)": "ts_mean(x, d) - ts_slope(x, d) * (d - 1) / 2",
    "tslinregresid(x, d=20)": "ts_resid(x, d)",
    "ifelse(c?, x, y)": "if_else(c, x, y)",
    "greater(x, y)": "x > y", "greaterequal(x, y)": "x >= y", "less(x, y)": "x < y", "lessequal(x, y)": "x <= y",
    "equal(x, y)": "x == y", "ne(x, y)": "x != y",
    "and(p?, c?)": "p & c", "or(p?, c?)": "p | c", "not(c?)": "!c",
    "cumsum(x)": "cum_sum(x)", "cumprod(x)": "cum_product(x)", "cummax(x)": "cum_max(x)", "cummin(x)": "cum_min(x)",
}  # fmt: skip
_MINER = templates(_MINER_TABLE)


def _from_oldest(name: str) -> Rewrite:
    later = from_oldest(name, "FactorMiner's")

    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        args = raw.args if len(raw.args) == 2 else (*raw.args, number_node(10.0, raw))
        notes.append(f"{raw.name} counts 0 to d - 1 from the oldest bar")
        return ours("sub", raw, later(RawCall(raw.name, args, raw.at), []), number_node(1.0, raw))

    return rewrite


FACTORMINER = Dialect(
    {
        **_MINER.calls,
        "abs": lambda raw, _notes: ours("abs", raw, *raw.args),
        "sign": lambda raw, _notes: ours("sign", raw, *raw.args),
        "pow": lambda raw, _notes: ours("power", raw, *raw.args),
        "tsargmax": _from_oldest("ts_argmax"),
        "tsargmin": _from_oldest("ts_argmin"),
    },
    {**LOOSE_FIELDS, "amt": LOOSE_FIELDS["turnover"]},
    {},
    _MINER.parameters,
    defaults=_MINER.defaults,
    stands_in=True,
)
