"""What texts of BRAIN, AlphaAgent and Qlib give, computed by pandas: words as functions, and Python's own reader.

Nothing of `factors` is used. What differs here as `docs/language.md` says (ranks, full windows, averages that are not
adjusted) is computed as it is here.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

Table = pd.DataFrame
Space = dict[str, object]


def as_number(x: Table) -> Table:
    return x.astype(float) if isinstance(x, Table) else x


def rolled(name: str) -> Callable[..., Table]:
    return lambda x, d=5: getattr(as_number(x).rolling(int(d)), name)()


def windowed(function: Callable[[np.ndarray], float]) -> Callable[..., Table]:
    return lambda x, d=5: x.rolling(int(d)).apply(function, raw=True)


mean, std, var, low_of, high_of = (rolled(name) for name in ("mean", "std", "var", "min", "max"))
oldest_high, oldest_low = windowed(np.argmax), windowed(np.argmin)


def across(name: str) -> Callable[[Table], Table]:
    return lambda x: Table(np.repeat(getattr(as_number(x), name)(axis=1).to_numpy()[:, None], x.shape[1], 1))


def scored(x: Table) -> Table:
    return (x - across("mean")(x)) / across("std")(x)


def scaled(x: Table, scale: float = 1.0, **_: float) -> Table:
    return scale * x / across("sum")(x.abs())


def ranked(x: Table, rate: float = 2) -> Table:
    return as_number(x).rank(axis=1, pct=True)


def clock(x: Table) -> Table:
    return Table(np.repeat(np.arange(len(x), dtype=float)[:, None], x.shape[1], 1))


def other(y: object, x: Table) -> Table:
    return clock(x) if isinstance(y, str) else as_number(y)  # type: ignore[arg-type]


def corr(x: Table, y: object, d: float = 5) -> Table:
    return as_number(x).rolling(int(d)).corr(other(y, x))


def cov(x: Table, y: object, d: float = 5) -> Table:
    return x.rolling(int(d)).cov(other(y, x))


def beta(y: Table, x: object, d: float) -> Table:
    return cov(y, x, d) / var(other(x, y), d)


def left_over(y: Table, x: object, d: float) -> Table:
    x = other(x, y)
    return y - mean(y, d) - beta(y, x, d) * (x - mean(x, d))


def faded(weights: Callable[[int], np.ndarray]) -> Callable[..., Table]:
    def function(x: Table, d: float = 20, **_: object) -> Table:
        given = weights(int(d))
        return x.rolling(int(d)).apply(lambda w: w @ given / given.sum(), raw=True)

    return function


decay = faded(lambda d: np.arange(1.0, d + 1.0))


def ema(x: Table, d: float) -> Table:
    return x.ewm(span=d, adjust=False).mean()


def larger(*parts: Table) -> Table:
    found = parts[0]
    for part in parts[1:]:
        found = Table(np.maximum(found, part))
    return found


def smaller(*parts: Table) -> Table:
    return -larger(*(-part for part in parts))


def chosen(condition: object, yes: object, no: object) -> Table:
    truth = as_number(condition)  # type: ignore[arg-type]
    found = Table(np.where(np.asarray(truth) != 0, np.asarray(yes), np.asarray(no)))
    return found.where(truth.notna()) if isinstance(truth, Table) else found


def logic(function: Callable[[Table, Table], Table]) -> Callable[..., Table]:
    def of_several(*parts: Table) -> Table:
        found = parts[0] != 0
        for part in parts[1:]:
            found = function(found, part != 0)
        return found.astype(float)

    return of_several


def in_groups(how: str | Callable[[pd.Series], pd.Series]) -> Callable[[Table, np.ndarray], Table]:
    return lambda x, g: as_number(x).T.groupby(g).transform(how).T  # type: ignore[arg-type]


def quantile(x: Table, d: float, q: float) -> Table:
    return x.rolling(int(d)).quantile(q)


def tsrank(x: Table, d: float = 5, **_: float) -> Table:
    return x.rolling(int(d)).rank(pct=True)


def zscore_along(x: Table, d: float = 5) -> Table:
    return (x - mean(x, d)) / std(x, d)


def change(x: Table, d: float = 1, **_: float) -> Table:
    return x / x.shift(int(d)) - 1


def delta(x: Table, d: float = 1) -> Table:
    return x - x.shift(int(d))


def ratio(x: Table, y: Table) -> Table:
    """`x` on `y` at a bar, through the origin."""
    return y * (across("mean")(x * y) / across("mean")(y * y))


def neutral(y: Table, x: Table) -> Table:
    dy, dx = y - across("mean")(y), x - across("mean")(x)
    return dy - dx * across("sum")(dy * dx) / across("sum")(dx * dx)


def entered(enters: Table, x: object, leaves: object) -> Table:
    """BRAIN's trade_when, bar by bar."""
    out, last = np.full(enters.shape, np.nan), np.full(enters.shape[1], np.nan)
    for t in range(len(enters)):
        leave = leaves.iloc[t].to_numpy() > 0 if isinstance(leaves, Table) else leaves > 0  # type: ignore[operator]
        value = x.iloc[t].to_numpy() if isinstance(x, Table) else x
        last = np.where(leave, np.nan, np.where(enters.iloc[t].to_numpy() > 0, np.asarray(value), last))
        out[t] = last
    return Table(out)


def before_change(x: Table, d: int) -> Table:
    """The newest of the d values before a bar that differs from the bar's own."""
    values = x.to_numpy()
    out = np.full(values.shape, np.nan)
    for t, column in itertools.product(range(len(values)), range(values.shape[1])):
        past = values[max(0, t - d) : t, column][::-1]
        other = past[np.isfinite(past) & (past != values[t, column])]
        out[t, column] = other[0] if len(other) else np.nan
    return Table(out)


def humped(x: Table, hump: float) -> Table:
    """BRAIN's hump: the last value until x is far from it, then one step of that size towards x."""
    values = x.to_numpy()
    out = np.full(values.shape, np.nan)
    last = np.full(values.shape[1], np.nan)
    for t, row in enumerate(values):
        step = hump * np.nansum(np.abs(row))
        moved = np.where(np.abs(row - last) < step, last, last + np.sign(row - last) * step)
        last = np.where(np.isfinite(row), np.where(np.isfinite(last), moved, row), last)
        out[t] = np.where(np.isfinite(row), last, np.nan)
    return Table(out)


def since_change(x: Table) -> Table:
    changed = (x.diff() != 0).to_numpy()
    out = np.zeros(changed.shape)
    for t in range(1, len(changed)):
        out[t] = np.where(changed[t], 0, out[t - 1] + 1)
    return Table(out)


COMMON: Space = {
    "AND": logic(lambda x, y: x & y), "OR": logic(lambda x, y: x | y), "NOT": lambda x: (x == 0).astype(float),
    "WHERE": chosen, "abs": abs, "log": np.log, "sign": np.sign, "sqrt": np.sqrt, "exp": np.exp, "max": larger,
    "min": smaller, "add": lambda x, y, **_: x + y, "subtract": lambda x, y, **_: x - y, "sub": lambda x, y: x - y,
    "multiply": lambda x, y: x * y, "mul": lambda x, y: x * y, "divide": lambda x, y: x / y,
    "div": lambda x, y: x / y, "power": lambda x, y: x**y, "pow": lambda x, y: x**y, "rank": ranked, "zscore": scored,
    "scale": scaled, "ts_corr": corr, "corr": corr, "covariance": cov, "cov": cov, "ts_covariance": cov, "ts_cov": cov,
    "delta": delta, "ts_delta": delta, "delay": lambda x, d=1: x.shift(int(d)),
    "ts_delay": lambda x, d: x.shift(int(d)),
    "ts_rank": tsrank, "ts_zscore": zscore_along, "gt": lambda x, y: as_number(x > y),
    "ge": lambda x, y: as_number(x >= y),
    "lt": lambda x, y: as_number(x < y), "le": lambda x, y: as_number(x <= y), "eq": lambda x, y: as_number(x == y),
    "ne": lambda x, y: as_number(x != y), "sequence": lambda _n: "time", "ts_step": lambda _n: "time", "ema": ema,
    **{f"ts_{name}": rolled(name) for name in ("mean", "std", "var", "sum", "median", "skew", "kurt", "min", "max")},
}  # fmt: skip
BRAIN: Space = {
    "last_diff_value": before_change,
    "less": COMMON["lt"], "less_equal": COMMON["le"], "greater": COMMON["gt"], "greater_equal": COMMON["ge"],
    "equal": COMMON["eq"], "not_equal": COMMON["ne"], "if_else": chosen, "trade_when": entered, "ts_std_dev": std,
    "ts_skewness": rolled("skew"), "ts_kurtosis": rolled("kurt"), "ts_product": windowed(np.prod),
    "ts_arg_max": lambda x, d: d - 1 - oldest_high(x, d), "ts_arg_min": lambda x, d: d - 1 - oldest_low(x, d),
    "ts_av_diff": lambda x, d: x - mean(x, d), "ts_ir": lambda x, d: mean(x, d) / std(x, d), "ts_returns": change,
    "ts_scale": lambda x, d, constant=0: constant + (x - low_of(x, d)) / (high_of(x, d) - low_of(x, d)),
    "ts_decay_linear": decay,
    "ts_decay_exp_window": lambda x, d, factor: faded(lambda n: factor ** np.arange(n)[::-1])(x, d),
    "ts_backfill": lambda x, d: x.ffill(limit=d - 1), "kth_element": lambda x, d, k: x.ffill(limit=d - 1),
    "ts_min_diff": lambda x, d: x - low_of(x, d), "ts_max_diff": lambda x, d: x - high_of(x, d),
    "ts_min_max_cps": lambda x, d, f: low_of(x, d) + high_of(x, d) - f * x,
    "ts_min_max_diff": lambda x, d, f: x - f * (low_of(x, d) + high_of(x, d)),
    "ts_moment": lambda x, d, k: windowed(lambda w: ((w - w.mean()) ** k).mean())(x, d),
    "ts_percentage": lambda x, d, percentage: quantile(x, d, percentage),
    "ts_quantile": lambda x, d, **_: tsrank(x, d) - 0.5, "quantile": lambda x, **_: ranked(x) - 0.5,
    "ts_weighted_decay": lambda x, k: k * x + (1 - k) * x.shift(1), "is_nan": lambda x: as_number(x.isna()),
    "ts_count_nans": lambda x, d: as_number(x.isna()).rolling(d).sum(),
    "ts_vector_neut": lambda x, y, d: x - y * rolled("sum")(x * y, d) / rolled("sum")(y * y, d),
    "ts_regression": lambda y, x, d, lag=0, rettype=0: (
        {0: left_over, 2: beta}[rettype](y, x.shift(lag) if isinstance(x, Table) else x, d)),
    "group_neutralize": lambda x, g: x - in_groups("mean")(x, g), "densify": lambda x: x, "vec_avg": lambda x: x,
    "group_rank": in_groups(lambda v: v.rank(pct=True)), "group_zscore": in_groups(lambda v: (v - v.mean()) / v.std()),
    "group_mean": lambda x, w, g: in_groups("sum")(x * w, g) / in_groups("sum")(w + 0 * x, g),
    "group_scale": in_groups(lambda v: (v - v.min()) / (v.max() - v.min())),
    "group_normalize": lambda x, g: x / in_groups("sum")(x.abs(), g), "group_std_dev": in_groups("std"),
    "group_max": in_groups("max"), "group_min": in_groups("min"), "group_sum": in_groups("sum"),
    "group_count": in_groups("count"), "signed_power": lambda x, a: np.sign(x) * abs(x) ** a,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "s_log_1p": lambda x: np.sign(x) * np.log1p(abs(x)),
    "log_diff": lambda x: np.log(x).diff(), "inverse": lambda x: 1 / x, "reverse": lambda x: -x, "round": np.round,
    "floor": np.floor, "ceiling": np.ceil, "fraction": lambda x: np.sign(x) * (abs(x) - np.floor(abs(x))),
    "arc_tan": np.arctan, "arc_sin": np.arcsin, "arc_cos": np.arccos, "hump": humped,
    "days_from_last_change": since_change,
    "tanh": np.tanh, "mod": lambda x, y: x % y, "clamp": lambda x, lower, upper: x.clip(lower, upper),
    "truncate": lambda x, maxpercent: x.clip(-maxpercent, maxpercent), "purify": lambda x: x, "pasteurize": lambda x: x,
    "left_tail": lambda x, maximum: x.where(x <= maximum), "right_tail": lambda x, minimum: x.where(x >= minimum),
    "tail": lambda x, lower, upper, newval: x.mask((x > lower) & (x < upper), newval),
    "nan_mask": lambda x, y: x.where(y >= 0), "nan_out": lambda x, lower, upper: x.where((x >= lower) & (x <= upper)),
    "to_nan": lambda x, value: x.where(x != value), "true": True, "false": False, "gaussian": None,
    "normalize": lambda x, usestd=False, limit=0: scored(x) if usestd else x - across("mean")(x),
    "winsorize": lambda x, std=4: x.clip(*(across("mean")(x) + k * std * across("std")(x) for k in (-1, 1))),
    "regression_neut": neutral, "regression_proj": lambda y, x: y - neutral(y, x), "rank_by_side": ranked,
    "vector_neut": lambda x, y: x - ratio(x, y), "vector_proj": ratio,
}  # fmt: skip


def either(name: str) -> Callable[..., Table]:
    return lambda x, d=None: across(name)(x) if d is None else rolled(name)(x, d)


ALPHAAGENT: Space = {
    **{name: either(name) for name in ("mean", "std", "median", "sum")}, "log": lambda x: np.log(1 + x),
    "ts_pctchange": change, "ts_returns": change, "inv": lambda x: 1 / x, "filter": lambda x, c: x * as_number(c),
    "count": lambda c, d=20: rolled("sum")(c, d), "sumif": lambda x, d, c: rolled("sum")(x * as_number(c), d),
    "regbeta": beta, "regresi": left_over, "slope": lambda x, d: beta(x, "time", d), "ts_emA": ema, "ts_ema": ema,
    "ts_argmax": BRAIN["ts_arg_max"], "ts_argmin": BRAIN["ts_arg_min"], "highday": lambda x, d: d - oldest_high(x, d),
    "lowday": lambda x, d: d - oldest_low(x, d), "decaylinear": decay,
    "wma": faded(lambda d: 0.9 ** np.arange(d)[::-1]),
    "sma": lambda x, n, m=None: mean(x, n) if m is None else x.ewm(alpha=m / n, adjust=False).mean(),
    "macd": lambda x, a, b: ema(x, a) - ema(x, b), "sumac": rolled("sum"), "prod": windowed(np.prod), "where": chosen,
    "rsi": lambda x, d=14: 100 * ema(x.diff().clip(lower=0), d) / ema(x.diff().abs(), d), "if_": chosen,
    "bb_upper": lambda x, d: mean(x, d) + std(x, d), "bb_lower": lambda x, d: mean(x, d) - std(x, d), "bb_middle": mean,
    "floor": np.floor, "percentile": lambda x, q, d: quantile(x, d, q), "ts_quantile": quantile, "round": np.round,
    "max": lambda *x: across("max")(x[0]) if len(x) == 1 else larger(*x),
    "min": lambda *x: across("min")(x[0]) if len(x) == 1 else smaller(*x),
}  # fmt: skip
QLIB: Space = {
    **{name: rolled(name) for name in ("mean", "std", "var", "sum", "skew", "kurt", "min", "max", "count")},
    "med": rolled("median"), "ref": COMMON["ts_delay"], "slope": ALPHAAGENT["slope"], "rank": tsrank,
    "resi": lambda x, d: left_over(x, "time", d), "rsquare": lambda x, d: corr(x, "time", d) ** 2,
    "mad": windowed(lambda w: np.abs(w - w.mean()).mean()), "quantile": quantile, "greater": larger, "less": smaller,
    "idxmax": lambda x, d: oldest_high(x, d) + 1, "idxmin": lambda x, d: oldest_low(x, d) + 1, "if_": chosen,
    "wma": lambda x, d: decay(x, d) / d, "csrank": ranked, "cszscore": scored, "and_": COMMON["AND"],
    "or_": COMMON["OR"], "not_": COMMON["NOT"],
}  # fmt: skip
LANGUAGES: Mapping[str, Space] = {
    "brain": {**COMMON, **BRAIN}, "alphaagent": {**COMMON, **ALPHAAGENT}, "qlib": {**COMMON, **QLIB},
}  # fmt: skip


class _Words(ast.NodeTransformer):
    """Names in small letters, and Python's own logic as functions of tables."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(node.id.lower(), node.ctx)

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        self.generic_visit(node)
        return ast.keyword((node.arg or "").lower(), node.value)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.Call:
        self.generic_visit(node)
        return ast.Call(ast.Name("AND" if isinstance(node.op, ast.And) else "OR", ast.Load()), node.values, [])

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        is_not = isinstance(node.op, ast.Not)
        return ast.Call(ast.Name("NOT", ast.Load()), [node.operand], []) if is_not else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.Call:
        self.generic_visit(node)
        return ast.Call(ast.Name("WHERE", ast.Load()), [node.test, node.body, node.orelse], [])


def _outside(text: str, sign: str) -> list[int]:
    """Where a sign stands outside parentheses."""
    depth, found = 0, []
    for place, one in enumerate(text):
        depth += (one in "([") - (one in ")]")
        if one == sign and depth == 0:
            found.append(place)
    return found


def _branches(text: str) -> str:
    """`c ? a : b` as Python writes it, outside parentheses."""
    marks = _outside(text, "?")
    if not marks:
        return text
    rest, level = text[marks[0] + 1 :], 0
    for place in sorted([*_outside(rest, "?"), *_outside(rest, ":")]):
        if rest[place] == ":" and level == 0:
            yes, no = _branches(rest[:place]), _branches(rest[place + 1 :])
            return f"(({yes}) if ({text[: marks[0]]}) else ({no}))"
        level += 1 if rest[place] == "?" else -1
    raise ValueError(text)


def _python(text: str) -> str:
    """An expression as Python writes it, from the innermost parentheses on."""
    open_parts: list[str] = []
    now = ""
    for sign in text:
        if sign == "(":
            open_parts.append(now)
            now = ""
        elif sign == ")":
            cuts = [-1, *_outside(now, ","), len(now)]
            parts = [_branches(now[a + 1 : b]) for a, b in itertools.pairwise(cuts)]
            now = f"{open_parts.pop()}({','.join(parts)})"
        else:
            now += sign
    return _branches(now).strip()


def oracle(text: str, language: str, fields: Space) -> np.ndarray:
    """The values of a text. KeyError or NameError where a word is not among those above."""
    space: Space = {**LANGUAGES[language], **fields}
    text = re.sub(r"/\*.*?\*/|#[^\n]*", "", text.replace("\\n", "\n"), flags=re.S).replace("$", "")
    text = re.sub(r"\b(if|and|or|not|IF|AND|OR|NOT|If|And|Or|Not)\(", lambda m: m[1].lower() + "_(", text)
    text = re.sub(r"\breturn\b", "returns", text).replace("&&", " and ").replace("||", " or ").replace("^", "**")
    text = re.sub(r"!(?!=)", " not ", text)
    space |= {"and_": space["AND"], "or_": space["OR"], "not_": space["NOT"]}
    value: object = None
    for part in filter(str.strip, re.split(r";|\n", text)):
        named = re.match(r"\s*([A-Za-z_]\w*)\s*=(?!=)(.*)", part, flags=re.S)
        tree = _Words().visit(ast.parse(_python(named[2] if named else part), mode="eval"))
        value = eval(compile(ast.fix_missing_locations(tree), "a text", "eval"), space)
        if named:
            space[named[1].lower()] = value
    return np.asarray(value, dtype=float)
