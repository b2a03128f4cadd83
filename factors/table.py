"""The one table of operators: parsing, typing, documentation, prompts and tests are made from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["panel", "bool", "group", "number", "window"]
Result = Literal["panel", "bool"]
Reach = Callable[[Sequence[float]], int]


@dataclass(frozen=True, slots=True)
class Param:
    """One argument: its name and what it must be. A bool may stand where a panel is asked (0 and 1)."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    Attributes
    ----------
    reading
        Sentence part with the parameters' names in braces.
    reach
        From the numeric arguments to the bars before the current one that it looks at.
    infix
        Its symbol, where it has one.
    """

    name: str
    params: tuple[Param, ...]
    result: Result
    family: str
    summary: str
    reading: str
    reach: Reach
    commutative: bool = False
    infix: str | None = None

    @property
    def signature(self) -> str:
        """``name(param, ...)``."""
        return f"{self.name}({', '.join(param.name for param in self.params)})"


# Below this weight, what lies further back in a recursive average is counted as forgotten.
FORGOTTEN = 1e-6


def _now(_: Sequence[float]) -> int:
    return 0


def _window(numbers: Sequence[float]) -> int:
    return int(numbers[0]) - 1


def _full(numbers: Sequence[float]) -> int:
    return int(numbers[0])


def _with_lag(numbers: Sequence[float]) -> int:
    return int(numbers[0]) - 1 + int(numbers[1])


def forget(alpha: float) -> int:
    """Return the bars after which a recursive average of weight `alpha` keeps less than 1e-6 of the past."""
    return 0 if alpha >= 1 else math.ceil(math.log(FORGOTTEN) / math.log1p(-alpha))


def _ema(numbers: Sequence[float]) -> int:
    return forget(2.0 / (numbers[0] + 1.0))


def _sma(numbers: Sequence[float]) -> int:
    return forget(min(1.0, numbers[1] / numbers[0]))


_KINDS: Mapping[str, Kind] = {
    "x": "panel", "y": "panel", "high": "panel", "low": "panel", "close": "panel",
    "c": "bool", "p": "bool", "q": "bool", "g": "group",
    "a": "number", "lo": "number", "hi": "number", "k": "number", "level": "number", "m": "number",
    "d": "window", "n": "window", "lag": "window",
}  # fmt: skip


def _op(
    family: str,
    signature: str,
    summary: str,
    reading: str,
    reach: Reach = _now,
    *,
    result: Result = "panel",
    commutative: bool = False,
    infix: str | None = None,
) -> Operator:
    name, _, rest = signature.partition("(")
    params = tuple(Param(part, _KINDS[part]) for part in rest.rstrip(")").split(", "))
    return Operator(name, params, result, family, summary, reading, reach, commutative, infix)


def _elementwise() -> list[Operator]:
    def one(*args: str, **options: object) -> Operator:
        return _op("arithmetic", *args, **options)  # type: ignore[arg-type]  # options are _op's own keywords

    def test(*args: str, **options: object) -> Operator:
        return _op("logic", *args, result="bool", **options)  # type: ignore[arg-type]  # as above

    return [
        one("add(x, y)", "x + y", "{x} plus {y}", commutative=True, infix="+"),
        one("sub(x, y)", "x - y", "{x} minus {y}", infix="-"),
        one("mul(x, y)", "x * y", "{x} times {y}", commutative=True, infix="*"),
        one("div(x, y)", "x / y; NaN where y is 0", "{x} divided by {y}", infix="/"),
        one("neg(x)", "-x", "minus {x}"),
        one("power(x, y)", "x to the power y; NaN where that is not a real number", "{x} to the power {y}"),
        one("signed_power(x, y)", "sign(x) * abs(x)^y", "{x} to the power {y}, keeping its sign"),
        one("abs(x)", "absolute value", "the size of {x}"),
        one("sign(x)", "-1, 0 or 1", "the sign of {x}"),
        one("log(x)", "natural logarithm; NaN for x <= 0", "the logarithm of {x}"),
        one("log1p(x)", "log(1 + x); NaN for x <= -1", "the logarithm of one plus {x}"),
        one("exp(x)", "exponential; NaN on overflow", "the exponential of {x}"),
        one("sqrt(x)", "square root; NaN for x < 0", "the square root of {x}"),
        one("tanh(x)", "hyperbolic tangent", "{x} squashed into -1 to 1"),
        one("sigmoid(x)", "1 / (1 + exp(-x))", "{x} squashed into 0 to 1"),
        one("inverse(x)", "1 / x; NaN where x is 0", "one over {x}"),
        one("max(x, y)", "the larger of x and y, bar by bar", "the larger of {x} and {y}", commutative=True),
        one("min(x, y)", "the smaller of x and y, bar by bar", "the smaller of {x} and {y}", commutative=True),
        one("clip(x, lo, hi)", "x limited to [lo, hi]", "{x} limited to between {lo} and {hi}"),
        test("lt(x, y)", "x < y", "{x} is below {y}", infix="<"),
        test("le(x, y)", "x <= y", "{x} is at most {y}", infix="<="),
        test("gt(x, y)", "x > y", "{x} is above {y}", infix=">"),
        test("ge(x, y)", "x >= y", "{x} is at least {y}", infix=">="),
        test("eq(x, y)", "x == y", "{x} equals {y}", commutative=True, infix="=="),
        test("ne(x, y)", "x != y", "{x} differs from {y}", commutative=True, infix="!="),
        test("and_(p, q)", "both are true", "{p} and {q}", commutative=True, infix="&"),
        test("or_(p, q)", "at least one is true", "{p} or {q}", commutative=True, infix="|"),
        test("not_(p)", "is not true", "not {p}"),
        _op("logic", "if_else(c, x, y)", "x where c is true, y where it is false", "{x} if {c}, otherwise {y}"),
    ]


def _series() -> list[Operator]:
    def ts(*args: object, **options: object) -> Operator:
        return _op("time series", *args, **options)  # type: ignore[arg-type]  # options are _op's own keywords

    return [
        ts("ts_delay(x, d)", "x, d bars ago", "{x} {d} bars ago", _full),
        ts("ts_delta(x, d)", "x minus x d bars ago", "the change of {x} over {d} bars", _full),
        ts("ts_returns(x, d)", "x / (x d bars ago) - 1", "the return of {x} over {d} bars", _full),
        ts("ts_log_return(x, d)", "log(x / (x d bars ago))", "the log return of {x} over {d} bars", _full),
        ts("ts_sum(x, d)", "sum of the last d values", "the {d}-bar sum of {x}", _window),
        ts("ts_mean(x, d)", "mean of the last d values", "the {d}-bar mean of {x}", _window),
        ts("ts_std(x, d)", "standard deviation, ddof 1", "the {d}-bar standard deviation of {x}", _window),
        ts("ts_var(x, d)", "variance, ddof 1", "the {d}-bar variance of {x}", _window),
        ts("ts_skew(x, d)", "skewness, bias-corrected", "the {d}-bar skewness of {x}", _window),
        ts("ts_kurt(x, d)", "excess kurtosis, bias-corrected", "the {d}-bar excess kurtosis of {x}", _window),
        ts("ts_min(x, d)", "smallest of the last d values", "the {d}-bar low of {x}", _window),
        ts("ts_max(x, d)", "largest of the last d values", "the {d}-bar high of {x}", _window),
        ts("ts_argmax(x, d)", "bars since the largest value, 0 = now; the newest wins a tie",
           "how many bars ago {x} was at its {d}-bar high", _window),
        ts("ts_argmin(x, d)", "bars since the smallest value, 0 = now; the newest wins a tie",
           "how many bars ago {x} was at its {d}-bar low", _window),
        ts("ts_rank(x, d)", "average rank of the newest value among the last d, over d, in (0, 1]",
           "where {x} ranks among its last {d} values", _window),
        ts("ts_zscore(x, d)", "(x - mean) / std, ddof 1; NaN for a constant window",
           "how far {x} is above its {d}-bar mean, in standard deviations", _window),
        ts("ts_median(x, d)", "median of the last d values", "the {d}-bar median of {x}", _window),
        ts("ts_mad(x, d)", "mean absolute deviation from the mean", "the {d}-bar mean deviation of {x}", _window),
        ts("ts_product(x, d)", "product of the last d values", "the {d}-bar product of {x}", _window),
        ts("ts_quantile(x, d, level)", "quantile of the last d values, linear; level in [0, 1]",
           "the {level} quantile of {x} over {d} bars", _window),
        ts("ts_scale(x, d)", "(x - min) / (max - min) of the last d values",
           "where {x} lies in its {d}-bar range, 0 to 1", _window),
        ts("ts_decay_linear(x, d)", "weighted mean, weights d..1 from newest to oldest",
           "the {d}-bar mean of {x} weighted to recent bars", _window),
        ts("ts_decay_exp(x, d, a)", "weighted mean, weights a^0, a^1, .. from newest to oldest; 0 < a <= 1",
           "the {d}-bar mean of {x} with weights fading by {a}", _window),
        ts("ts_ema(x, d)", "recursive average, alpha = 2 / (d + 1), no bias adjustment",
           "the exponential average of {x} over {d} bars", _ema),
        ts("ts_sma(x, n, m)", "recursive average, alpha = m / n", "the smoothed average of {x} ({m} of {n})", _sma),
        ts("ts_slope(x, d)", "slope of x on time over the last d bars, per bar", "the {d}-bar trend of {x}", _window),
        ts("ts_rsquare(x, d)", "R squared of x on time; NaN for a constant window",
           "how straight the {d}-bar trend of {x} is", _window),
        ts("ts_resid(x, d)", "newest value less its fit on time", "how far {x} is above its {d}-bar trend", _window),
        ts("ts_ir(x, d)", "mean / std, ddof 1", "the {d}-bar mean of {x} over its deviation", _window),
        ts("ts_autocorr(x, d, lag)", "correlation of x with x lag bars ago, over d pairs",
           "the {d}-bar autocorrelation of {x} at lag {lag}", _with_lag),
        ts("ts_count(c, d)", "how often c was true in the last d bars", "how often in {d} bars {c}", _window),
        ts("ts_sumif(x, d, c)", "sum of x over the last d bars where c was true",
           "the {d}-bar sum of {x} where {c}", _window),
        ts("ts_corr(x, y, d)", "correlation; NaN where either side is constant",
           "the {d}-bar correlation of {x} and {y}", _window, commutative=True),
        ts("ts_cov(x, y, d)", "covariance, ddof 1", "the {d}-bar covariance of {x} and {y}", _window, commutative=True),
        ts("ts_beta(y, x, d)", "slope of y on x", "the {d}-bar beta of {y} to {x}", _window),
        ts("bars_since(c, d)", "bars since c was last true, at most d", "bars since {c} (up to {d})", _window),
        _op("technical", "rsi(x, d)", "100 * gains / (gains + losses), simple means over d changes (Cutler)",
            "the {d}-bar relative strength index of {x}", _full),
        _op("technical", "atr(high, low, close, d)", "simple mean of the true range over d bars",
            "the {d}-bar average true range", _full),
    ]  # fmt: skip


def _cross() -> list[Operator]:
    def cs(*args: object) -> Operator:
        return _op("cross-section", *args)  # type: ignore[arg-type]  # the arguments are _op's own

    def group(*args: object) -> Operator:
        return _op("group", *args)  # type: ignore[arg-type]  # as above

    return [
        cs("cs_rank(x)", "average rank over the assets of the bar / count, in (0, 1]", "the rank among assets of {x}"),
        cs("cs_zscore(x)", "(x - mean) / std over the assets of the bar, ddof 1",
           "how far {x} is above the average asset, in standard deviations"),
        cs("cs_demean(x)", "x minus the mean over assets", "{x} compared with the average asset"),
        cs("cs_scale(x)", "x / sum of abs(x) over assets", "{x} scaled so that sizes sum to one over assets"),
        cs("cs_winsorize(x, k)", "x limited to mean +- k std over assets", "{x} cut at {k} deviations"),
        group("group_neutralize(x, g)", "x minus its group mean at the bar", "{x} compared with its {g}"),
        group("group_mean(x, g)", "mean of x in its group at the bar", "the mean of {x} in its {g}"),
        group("group_rank(x, g)", "average rank within the group / count", "the rank of {x} within its {g}"),
        group("group_zscore(x, g)", "(x - mean) / std within the group, ddof 1",
              "how far {x} is above its {g}, in standard deviations"),
    ]  # fmt: skip


def _table() -> dict[str, Operator]:
    return {operator.name: operator for operator in [*_elementwise(), *_series(), *_cross()]}


OPERATORS: Mapping[str, Operator] = _table()
STANDARD_FIELDS = ("open", "high", "low", "close", "volume", "vwap", "amount", "returns")
GROUP_FIELDS = ("sector", "industry", "subindustry")
_KIND_WORDS: Mapping[Kind, str] = {
    "panel": "an expression",
    "bool": "a condition",
    "group": f"a group field ({', '.join(GROUP_FIELDS)})",
    "number": "a number",
    "window": "a whole number of bars, or a duration such as 20d or 4h",
}


def describe(name: str) -> str:
    """Return the documentation of one operator, as printed by ``alphaglow operators NAME``."""
    operator = OPERATORS[name]
    lines = [operator.signature, f"  {operator.summary}."]
    if operator.infix:
        lines.append(f"  Written with the sign {operator.infix}")
    lines += [f"  {param.name}: {_KIND_WORDS[param.kind]}" for param in operator.params]
    if operator.family in ("time series", "technical"):
        lines.append("  NaN until the window holds only finite values; a NaN inside the window makes the result NaN.")
    return "\n".join(lines)


def prompt_table() -> str:
    """Return the table as the writer's prompt shows it: one line an operator, grouped by family."""
    lines: list[str] = []
    family = ""
    for operator in OPERATORS.values():
        if operator.family != family:
            family = operator.family
            lines.append(f"{family}:")
        written = f" (write {operator.infix})" if operator.infix else ""
        lines.append(f"  {operator.signature}{written}: {operator.summary}")
    return "\n".join(lines)
