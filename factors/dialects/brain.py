"""WorldQuant BRAIN's expressions, after the descriptions of its operators that are public."""

from __future__ import annotations

from factors.dialects.base import (
    GROUPS,
    Dialect,
    NameRewrite,
    Rewrite,
    chained,
    named,
    number_node,
    ours,
    refused,
    renamed,
)
from factors.dialects.loose import LOOSE, LOOSE_FIELDS, LOOSE_PARAMETERS, LOOSE_TARGETS
from factors.dialects.templates import CONDITIONS, formula, shown, templates
from factors.syntax import NATIVE, Fault, Raw, RawCall, RawName, RawNumber

_HELD = 250
_SAME_ORDER = "the order of assets is BRAIN's, its values from a distribution are not read"
_RANKED = "BRAIN's ranks run from 0 to 1; ours are average ranks over the count, in (0, 1]"
_TABLE: dict[str, str | tuple[str, str]] = {
    # Arithmetic
    "reverse(x)": "-x",
    "inverse(x)": "1 / x",
    "signed_power(x, y)": "signed_power(x, y)",
    "arc_tan(x)": "atan(x)", "arc_sin(x)": "2 * atan(x / (1 + sqrt((1 - x) * (1 + x))))",
    "arc_cos(x)": "1.5707963267948966 - 2 * atan(x / (1 + sqrt((1 - x) * (1 + x))))",
    "s_log_1p(x)": "sign(x) * log1p(abs(x))",
    "log_diff(x)": "ts_log_return(x, 1)",
    "round_down(x, f=1)": "f * floor(x / f)",
    "fraction(x)": "sign(x) * (abs(x) - floor(abs(x)))",
    "nan_mask(x, y)": "x / (y >= 0)",
    "nan_out(x, lower, upper)": "x / ((x >= lower) & (x <= upper))",
    "to_nan(x, value=0, reverse=false)": "x / (x != value)",
    "purify(x)": "x",
    "pasteurize(x)": "x",
    "densify(x)": "x",
    "truncate(x, maxpercent)": "clip(x, -maxpercent, maxpercent)",
    "left_tail(x, maximum=0)": "x / (x <= maximum)",
    "right_tail(x, minimum=0)": "x / (x >= minimum)",
    "tail(x, lower=0, upper=0, newval=0)": "if_else((x > lower) & (x < upper), newval, x)",
    "is_not_nan(x)": "!is_nan(x)",
    "is_finite(x)": "!is_nan(x)",
    "is_not_finite(x)": "is_nan(x)",
    # Conditions
    "less(x, y)": "x < y", "less_equal(x, y)": "x <= y", "greater(x, y)": "x > y", "greater_equal(x, y)": "x >= y",
    "equal(x, y)": "x == y", "not_equal(x, y)": "x != y",
    "not(x?)": "!x",
    # Across assets
    "rank(x, rate~2)": ("cs_rank(x)", _RANKED),
    "zscore(x)": "cs_zscore(x)",
    "winsorize(x, std=4)": "cs_winsorize(x, std)",
    "quantile(x, driver~gaussian, sigma~1.0)": ("cs_rank(x) - 0.5", _SAME_ORDER),
    "regression_neut(y, x)": "cs_resid(y, x)",
    "regression_proj(y, x)": "y - cs_resid(y, x)",
    "vector_neut(x, y)": "x - y * cs_mean(x * y) / cs_mean(y * y)",
    "vector_proj(x, y)": "y * cs_mean(x * y) / cs_mean(y * y)",
    "rank_by_side(x, rate~2)": ("cs_rank(x)", _RANKED),
    "one_side(x, side=long)": "x - (cs_quantile(x, 0))",
    # Groups
    "group_neutralize(x, g)": "group_neutralize(x, g)",
    "group_rank(x, g)": ("group_rank(x, g)", _RANKED),
    "group_zscore(x, g)": "group_zscore(x, g)",
    "group_sum(x, g)": "group_sum(x, g)",
    "group_count(x, g)": "group_count(x, g)",
    "group_std_dev(x, g)": "group_std(x, g)",
    "group_max(x, g)": "group_max(x, g)",
    "group_min(x, g)": "group_min(x, g)",
    "group_scale(x, g)": "group_scale(x, g)",
    "group_normalize(x, g, constantcheck=false, tolerance~0.01, scale=1)": "scale * x / group_sum(abs(x), g)",
    "group_backfill(x, g, d, std~4)": ("group_backfill(x, g, d)", "BRAIN's mean is winsorised and over d bars"),
    "group_cartesian_product(g, h)": "group_cross(g, h)",
    "group_vector_neut(x, y, g)": "x - y * group_mean(x * y, g) / group_mean(y * y, g)",
    "group_vector_proj(x, y, g)": "y * group_mean(x * y, g) / group_mean(y * y, g)",
    # Along time
    "ts_delay(x, d)": "ts_delay(x, d)",
    "ts_std_dev(x, d)": "ts_std(x, d)",
    "ts_arg_max(x, d)": "ts_argmax(x, d)",
    "ts_arg_min(x, d)": "ts_argmin(x, d)",
    "ts_av_diff(x, d)": "x - ts_mean(x, d)",
    "ts_backfill(x, lookback, k=1, ignore~nan)": "ts_backfill(x, lookback)",
    "kth_element(x, d, k=1, ignore~nan)": "ts_backfill(x, d)",
    "ts_count_nans(x, d)": "ts_count_nan(x, d)",
    "ts_covariance(y, x, d)": "ts_cov(y, x, d)",
    "ts_decay_linear(x, d, dense~false)": "ts_decay_linear(x, d)",
    "ts_decay_exp_window(x, d, factor=1)": "ts_decay_exp(x, d, factor)",
    "ts_weighted_decay(x, k=0.5)": "k * x + (1 - k) * ts_delay(x, 1)",
    "ts_kurtosis(x, d)": "ts_kurt(x, d)",
    "ts_skewness(x, d)": "ts_skew(x, d)",
    "ts_max_diff(x, d)": "x - ts_max(x, d)",
    "ts_min_diff(x, d)": "x - ts_min(x, d)",
    "ts_min_max_cps(x, d, f=2)": "ts_min(x, d) + ts_max(x, d) - f * x",
    "ts_min_max_diff(x, d, f=0.5)": "x - f * (ts_min(x, d) + ts_max(x, d))",
    "ts_moment(x, d, k)": "ts_moment(x, d, k)",
    "ts_percentage(x, d, percentage=0.5)": "ts_quantile(x, d, percentage)",
    "ts_quantile(x, d, driver~gaussian)": ("ts_rank(x, d) - 0.5", "the order is BRAIN's, its distribution is not read"),
    "ts_rank(x, d, constant=0)": ("constant + ts_rank(x, d)", "BRAIN's ranks run from 0 to 1; ours from 1 / d to 1"),
    "ts_scale(x, d, constant=0)": "constant + ts_scale(x, d)",
    "ts_zscore(x, d)": "ts_zscore(x, d)",
    "ts_vector_neut(x, y, d)": "x - y * ts_sum(x * y, d) / ts_sum(y * y, d)",
    "ts_vector_proj(x, y, d)": "y * ts_sum(x * y, d) / ts_sum(y * y, d)",
    "ts_partial_corr(x, y, z, d)":
        "(ts_corr(x, y, d) - ts_corr(x, z, d) * ts_corr(y, z, d))"
        " / sqrt((1 - ts_corr(x, z, d) ^ 2) * (1 - ts_corr(y, z, d) ^ 2))",
    "days_from_last_change(x)": (f"bars_since_change(x, {_HELD})", f"counted up to {_HELD} bars"),
    # The value before the last change: no bar since has another one.
    "last_diff_value(x, d)": "ts_backfill(ts_delay(x, 1) / (ts_delta(x, 1) != 0), d)",
    "keep(x, f, period=5)": "keep(x, f, period)",
    "hump(x, hump=0.01)": "hump(x, hump)",
    "trade_when(c?, x, q?)": (
        f"trade_when(c, x, q, {_HELD})", f"a value is held for {_HELD} bars at most, BRAIN's without end"
    ),
}  # fmt: skip
_MADE = templates(_TABLE)


def _logic(word: str) -> Rewrite:
    """`and` and `or` of several; a series is true where it is not 0."""

    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        args = tuple(_condition(arg) for arg in raw.args)
        return chained(word)(RawCall(raw.name, args, raw.at), notes)

    return rewrite


def _condition(raw: Raw) -> Raw:
    if isinstance(raw, RawCall) and raw.name.removeprefix(NATIVE).lower() in CONDITIONS:
        return raw
    return ours("ne", raw, raw, number_node(0.0, raw))


def _if_else(raw: RawCall, _notes: list[str]) -> Raw:
    if len(raw.args) != 3:
        raise Fault("arity", f"{raw.name} takes 3 arguments, not {len(raw.args)}", "write if_else(c, x, y)", raw.at)
    return ours("if_else", raw, _condition(raw.args[0]), *raw.args[1:])


def _several(name: str, empty: float) -> Rewrite:
    """`add(x, y, ..., filter=false)`: of two or more; with the filter, what is missing is `empty`."""

    def rewrite(raw: RawCall, _notes: list[str]) -> Raw:
        names = raw.names or ("",) * len(raw.args)
        parts = [arg for word, arg in zip(names, raw.args, strict=True) if not word or word.lower() in ("x", "y")]
        options = {
            word.lower(): arg for word, arg in zip(names, raw.args, strict=True) if word.lower() not in ("", "x", "y")
        }
        if parts and isinstance(parts[-1], RawName) and parts[-1].name.lower() in ("true", "false"):
            options["filter"] = parts.pop()
        if set(options) - {"filter"} or len(parts) < 2:
            why = f"{raw.name} takes two or more arguments, and filter=true or false"
            raise Fault("arity", why, f"write {raw.name}(x, y)", raw.at)
        if "filter" in options and shown(options["filter"]).lower() in ("true", "1"):
            parts = [formula(f"fill_nan(x, {empty:g})", part.at, {"x": part}) for part in parts]
        return chained(name)(RawCall(raw.name, tuple(parts), raw.at), [])

    return rewrite


def _power(raw: RawCall, _notes: list[str]) -> Raw:
    return ours("power", raw, *raw.args)


def _scale(raw: RawCall, _notes: list[str]) -> Raw:
    """`scale(x, scale=1, longscale=1, shortscale=1)`: to sizes that sum up to that, or both sides on their own."""
    names = ("x", "scale", "longscale", "shortscale")
    given = _by_name(raw, names)
    if "longscale" not in given and "shortscale" not in given:
        return formula("s * cs_scale(x)", raw.at, {"x": given["x"], "s": given.get("scale", number_node(1.0, raw))})
    one = number_node(1.0, raw)
    if all(isinstance(side := given.get(name, one), RawNumber) and side.value == 1 for name in names[2:]):
        # What is said are the defaults.
        return formula("s * cs_scale(x)", raw.at, {"x": given["x"], "s": given.get("scale", one)})
    sides = {"x": given["x"], "l": given.get("longscale", one), "s": given.get("shortscale", one)}
    return formula(
        "if_else(is_nan(x), x, l * fill_nan(cs_scale(max(x, 0)), 0) + s * fill_nan(cs_scale(min(x, 0)), 0))",
        raw.at,
        sides,
    )


def _by_name(raw: RawCall, names: tuple[str, ...]) -> dict[str, Raw]:
    found: dict[str, Raw] = {}
    words = raw.names or ("",) * len(raw.args)
    for place, (word, arg) in enumerate(zip(words, raw.args, strict=True)):
        name = word.lower() or (names[place] if place < len(names) else "")
        if name not in names or name in found:
            known = f"write {raw.name}({', '.join(names)})"
            raise Fault("arity", f"{raw.name} has no free argument {(word or 'here')[:60]!r}", known, arg.at)
        found[name] = arg
    if names[0] not in found:
        raise Fault(
            "arity", f"{raw.name} lacks its argument {names[0]}", f"write {raw.name}({', '.join(names)})", raw.at
        )
    return found


def _normalize(raw: RawCall, _notes: list[str]) -> Raw:
    """`normalize(x, useStd=false, limit=0.0)`: less the mean, over the deviation if asked, and limited if asked."""
    given = _by_name(raw, ("x", "usestd", "limit"))
    scored = shown(given["usestd"]).lower() in ("true", "1") if "usestd" in given else False
    found = ours("cs_zscore" if scored else "cs_demean", raw, given["x"])
    limit = given.get("limit")
    if limit is None or (isinstance(limit, RawNumber) and limit.value == 0):
        return found
    return formula("clip(x, -k, k)", raw.at, {"x": found, "k": limit})


def _group_mean(raw: RawCall, _notes: list[str]) -> Raw:
    """`group_mean(x, weight, group)`; with two arguments, every weight is 1."""
    given = _by_name(raw, ("x", "g") if len(raw.args) == 2 else ("x", "weight", "group"))
    if len(raw.args) == 2:
        return ours("group_mean", raw, given["x"], given["g"])
    if isinstance(given["weight"], RawNumber):
        return ours("group_mean", raw, given["x"], given["group"])
    names = {"x": given["x"], "w": given["weight"], "g": given["group"]}
    return formula("group_mean(x * w, g) / group_mean(w + 0 * x, g)", raw.at, names)


def _group_extra(raw: RawCall, _notes: list[str]) -> Raw:
    given = _by_name(raw, ("x", "weight", "group"))
    names = {"x": given["x"], "g": given["group"], "w": given.get("weight", number_node(1.0, raw))}
    filled = "group_sum(fill_nan(x * w, 0), g) / group_sum(fill_nan(w + 0 * x, 0), g)"
    return formula(f"if_else(is_nan(x), {filled}, x)", raw.at, names)


_RETURNED = {
    0: "ts_regression_resid(y, x, d)",
    1: "ts_regression_intercept(y, x, d)",
    2: "ts_beta(y, x, d)",
    3: "ts_regression_pred(y, x, d)",
    4: "(d - 1) * ts_var(y, d) * (1 - ts_corr(y, x, d) ^ 2)",
    5: "(d - 1) * ts_var(y, d)",
    6: "ts_corr(y, x, d) ^ 2",
    7: "(d - 1) * ts_var(y, d) * (1 - ts_corr(y, x, d) ^ 2) / (d - 2)",
    8: "sqrt(ts_var(y, d) * (1 - ts_corr(y, x, d) ^ 2) / ((d - 2) * ts_var(x, d)))",
    9: "sqrt((d - 1) * ts_var(y, d) * (1 - ts_corr(y, x, d) ^ 2) / (d - 2)"
       " * (1 / d + ts_mean(x, d) ^ 2 / ((d - 1) * ts_var(x, d))))",
}  # fmt: skip


def _regression(raw: RawCall, notes: list[str]) -> Raw:
    """`ts_regression(y, x, d, lag=0, rettype=0)`, with x lag bars ago."""
    given = _by_name(raw, ("y", "x", "d", "lag", "rettype"))
    lag, kind = (given.get(name, number_node(0.0, raw)) for name in ("lag", "rettype"))
    if "x" not in given or "d" not in given or not isinstance(lag, RawNumber):
        raise Fault("arity", f"{raw.name} lacks an argument", "write ts_regression(y, x, d, lag=0, rettype=0)", raw.at)
    if not isinstance(kind, RawNumber) or kind.value not in _RETURNED:
        raise Fault("dialect", f"{raw.name}: rettype is 0 to 9", "write rettype=2 for the slope", kind.at)
    x = given["x"] if lag.value == 0 else ours("ts_delay", raw, given["x"], lag)
    if _is_clock(given["x"]):
        on_time = {0: "ts_resid(y, d)", 2: "ts_slope(y, d)", 3: "y - ts_resid(y, d)", 6: "ts_rsquare(y, d)"}
        if kind.value not in on_time or lag.value:
            raise Fault(
                "dialect", f"{raw.name} on ts_step is read with rettype 0, 2, 3 or 6", "use one of them", raw.at
            )
        return formula(on_time[int(kind.value)], raw.at, {"y": given["y"], "d": given["d"]})
    return formula(_RETURNED[int(kind.value)], raw.at, {"y": given["y"], "x": x, "d": given["d"]})


def _is_clock(raw: Raw) -> bool:
    return isinstance(raw, RawCall) and raw.name.lower() == "ts_step"


def _bucket(raw: RawCall, notes: list[str]) -> Raw:
    """`bucket(rank(x), range="0, 1, 0.1")`: as many equal parts of the assets as steps from 0 to 1."""
    words = raw.names or ("",) * len(raw.args)
    if len(raw.args) == 2 and not any(words) and isinstance(raw.args[1], RawNumber):
        return ours("bucket", raw, *raw.args)
    given = _by_name(raw, ("x", "range", "buckets", "skipboth", "skipbegin", "skipend", "nangroup"))
    ends = [float(part) for part in shown(given["range"]).split(",") if part.strip()] if "range" in given else []
    by_rank = isinstance(given["x"], RawCall) and given["x"].name.lower() in ("rank", "group_rank", "ts_rank")
    # What lies below the first end is a part of its own: "0.1, 1, 0.1" are the ten parts of "0, 1, 0.1".
    equal = len(ends) == 3 and ends[2] > 0 and ends[1] == 1.0 and ends[0] in (0.0, ends[2])
    if not equal or not by_rank:
        why = 'only bucket(rank(x), range="0, 1, step") and range="step, 1, step" are read: they are equal parts'
        raise Fault("dialect", why, "write bucket(x, 10)", raw.at)
    for name in ("skipboth", "skipbegin", "skipend", "nangroup", "buckets"):
        if name in given and shown(given[name]).lower() not in ("false", "0"):
            why = f"{raw.name}: {name} = {shown(given[name])} is not read here, every asset with a value is in a part"
            raise Fault("dialect", why, f"leave {name} out", given[name].at)
    notes.append("bucket: assets on the edge of two parts may fall into the other one, for ranks count from 0 in BRAIN")
    assert isinstance(given["x"], RawCall)
    inner = given["x"].args[0] if given["x"].name.lower() == "rank" else given["x"]
    return ours("bucket", raw, inner, number_node(float(round(1.0 / ends[2])), raw))


def _returns(raw: RawCall, _notes: list[str]) -> Raw:
    given = _by_name(raw, ("x", "d", "mode"))
    mode = given.get("mode")
    if isinstance(mode, RawNumber) and mode.value == 2:
        return formula("2 * ts_delta(x, d) / (x + ts_delay(x, d))", raw.at, {"x": given["x"], "d": given["d"]})
    return ours("ts_returns", raw, given["x"], given["d"])


def _clamp(raw: RawCall, _notes: list[str]) -> Raw:
    given = _by_name(raw, ("x", "lower", "upper"))
    return ours("clip", raw, given["x"], given["lower"], given["upper"])


def _vector(raw: RawCall, notes: list[str]) -> Raw:
    if len(raw.args) != 1:
        raise Fault("arity", f"{raw.name} takes one field", f"write {raw.name}(x)", raw.at)
    notes.append(f"{raw.name}: a field has one value for each bar and asset here, which is taken as it is")
    return raw.args[0]


def _within(name: str, everywhere: str) -> Rewrite:
    """Return a statistic within groups; in the one group `market` it is the statistic across all assets."""
    inner = _MADE.calls[name]

    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        if len(raw.args) == 2 and isinstance(raw.args[1], RawName) and raw.args[1].name.lower() == "market":
            return ours(everywhere, raw, raw.args[0])
        return inner(raw, notes)

    return rewrite


def _market(raw: RawName, _notes: list[str]) -> Raw:
    """Every asset in one group."""
    return ours("bucket", raw, named("close", raw), number_node(1.0, raw))


_NOT_SAID = {
    "ts_entropy": "ts_std(x, d)", "ts_theilsen": "ts_regression(y, x, d)", "ts_poly_regression": "ts_resid(x, d)",
    "ts_co_kurtosis": "ts_corr(x, y, d)", "ts_co_skewness": "ts_corr(x, y, d)", "ts_triple_corr": "ts_corr(x, y, d)",
    "ts_step": "bars_since(c, d)", "hump_decay": "hump(x, k)",
    "jump_decay": "hump(x, k)", "ts_delta_limit": "hump(x, k)", "ts_target_tvr_decay": "ts_decay_linear(x, d)",
    "ts_target_tvr_hump": "hump(x, k)", "ts_target_tvr_delta_limit": "hump(x, k)", "inst_tvr": "ts_delta(x, 1)",
    "group_median": "group_mean(x, g)", "group_percentage": "group_rank(x, g)", "group_coalesce": "one group",
    "generalized_rank": "rank(x)", "inst_pnl": "returns", "self_corr": "ts_corr(x, y, d)", "combo_a": "a pool",
    "convert": "the value itself", "filter": "ts_ema(x, d)", "vec_stddev": "a field of one value",
    "vec_range": "a field of one value", "vec_count": "a field of one value", "vec_ir": "a field of one value",
    "vec_skewness": "a field of one value", "vec_kurtosis": "a field of one value", "vec_norm": "abs(x)",
    "rank_gmean_amean_diff": "rank(x)",
}  # fmt: skip
_CALLS: dict[str, Rewrite] = {
    **LOOSE,
    **_MADE.calls,
    **{word: refused("it is not in the language", f"use {other}") for word, other in _NOT_SAID.items()},
    "and": _logic("and_"),
    "or": _logic("or_"),
    "if_else": _if_else,
    "add": _several("add", 0.0),
    "subtract": _several("sub", 0.0),
    "multiply": _several("mul", 1.0),
    "max": chained("max"),
    "min": chained("min"),
    "divide": lambda raw, _notes: ours("div", raw, *raw.args),
    "power": _power,
    "scale": _scale,
    "normalize": _normalize,
    "group_mean": _group_mean,
    "group_extra": _group_extra,
    "ts_regression": _regression,
    "ts_returns": _returns,
    "clamp": _clamp,
    "bucket": _bucket,
    "group_neutralize": _within("group_neutralize", "cs_demean"),
    "group_rank": _within("group_rank", "cs_rank"),
    "group_zscore": _within("group_zscore", "cs_zscore"),
    **dict.fromkeys(("vec_avg", "vec_sum", "vec_max", "vec_min", "vec_choose"), _vector),
}
_OWN = frozenset({"add", "subtract", "multiply", "scale", "normalize", "group_mean", "group_extra", "ts_regression",
                  "ts_returns", "clamp", "bucket", *_NOT_SAID})  # fmt: skip
_FIELDS: dict[str, NameRewrite] = {
    **LOOSE_FIELDS,
    **GROUPS,
    **dict.fromkeys(("market", "country", "exchange", "currency"), _market),
    "mktcap": renamed("cap"),
}

BRAIN = Dialect(
    _CALLS,
    _FIELDS,
    {word: name for word, name in LOOSE_TARGETS.items() if word not in _MADE.calls},
    {**LOOSE_PARAMETERS, **_MADE.parameters},
    defaults=_MADE.defaults,
    takes_keywords=_OWN,
    stands_in=True,
    adv_in_shares=True,
)
