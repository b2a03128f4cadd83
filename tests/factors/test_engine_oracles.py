"""Every operator against an implementation written differently, and against the truncation of its panel."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from factors.checks import check_signal, check_truncation
from factors.engine import evaluate
from factors.implementations import STREAMS
from factors.lowering import Lowering
from factors.parse import parse
from factors.streams import Kernel
from factors.table import FORGOTTEN, NAMED_GROUPS, OPERATORS
from factors.tree import Call, Expression, Node
from market.errors import Rejection
from market.panel import FloatArray, Panel
from tests.helpers import make_panel, random_panel

BARS, ASSETS, D = 60, 11, 7


def read(text: str, **options: object) -> Expression:
    expression = parse(text, **options)  # type: ignore[arg-type]
    assert isinstance(expression, Expression), expression
    return expression


def messy_panel(seed: int) -> Panel:
    """Ties, constants, gaps, zeros and sign changes, as extra fields x and y and a condition-making c."""
    rng = np.random.default_rng(seed)
    base = random_panel(BARS, ASSETS, seed)
    shape = (BARS, ASSETS)
    x = rng.normal(0, 1, shape)
    x[:, 1] = np.round(x[:, 1])
    x[:, 2] = 3.3
    x[20:40, 3] = 0.1
    x[rng.random(shape) < 0.03] = np.nan
    y = 0.5 * np.nan_to_num(x) + rng.normal(0, 1, shape)
    y[10:30, 4] = -1.7
    sector = np.tile(np.arange(ASSETS) % 3, (BARS, 1)).astype(float)
    return base.with_fields({"x": x, "y": y, "sector": sector})


FIELDS = ("open", "high", "low", "close", "volume", "vwap", "amount", "returns", "x", "y", "sector")


def _window(values: FloatArray, at: int, d: int) -> FloatArray | None:
    part = values[max(0, at - d + 1) : at + 1]
    return part if len(part) == d and np.isfinite(part).all() else None


def _rolled(f: Callable[[FloatArray], float], d: int = D) -> Callable[[FloatArray, FloatArray], FloatArray]:
    def oracle(x: FloatArray, _y: FloatArray) -> FloatArray:
        out = np.full(len(x), np.nan)
        for t in range(len(x)):
            part = _window(x, t, d)
            if part is not None:
                out[t] = f(part)
        return out

    return oracle


def _paired(f: Callable[[FloatArray, FloatArray], float]) -> Callable[[FloatArray, FloatArray], FloatArray]:
    def oracle(x: FloatArray, y: FloatArray) -> FloatArray:
        out = np.full(len(x), np.nan)
        for t in range(len(x)):
            a, b = _window(x, t, D), _window(y, t, D)
            if a is not None and b is not None:
                out[t] = f(a, b)
        return out

    return oracle


def _flat(w: FloatArray) -> bool:
    return bool(w.max() == w.min())


def _std(w: FloatArray) -> float:
    return 0.0 if _flat(w) else float(np.std(w, ddof=1))


def _quiet(f: Callable[..., object], *args: object, **options: object) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(f(*args, **options))  # type: ignore[arg-type]


TIME = np.arange(D, dtype=float)
LINEAR = np.arange(1, D + 1) / np.arange(1, D + 1).sum()
SERIES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    f"ts_sum(x, {D})": _rolled(np.sum),
    f"ts_mean(x, {D})": _rolled(np.mean),
    f"ts_std(x, {D})": _rolled(_std),
    f"ts_var(x, {D})": _rolled(lambda w: _std(w) ** 2),
    f"ts_skew(x, {D})": _rolled(lambda w: np.nan if _flat(w) else _quiet(scipy.stats.skew, w, bias=False)),
    f"ts_kurt(x, {D})": _rolled(lambda w: np.nan if _flat(w) else _quiet(scipy.stats.kurtosis, w, bias=False)),
    f"ts_min(x, {D})": _rolled(np.min),
    f"ts_max(x, {D})": _rolled(np.max),
    f"ts_argmax(x, {D})": _rolled(lambda w: float(np.argmax(w[::-1]))),
    f"ts_argmin(x, {D})": _rolled(lambda w: float(np.argmin(w[::-1]))),
    f"ts_rank(x, {D})": _rolled(lambda w: scipy.stats.rankdata(w)[-1] / D),
    f"ts_zscore(x, {D})": _rolled(lambda w: np.nan if _flat(w) else (w[-1] - w.mean()) / np.std(w, ddof=1)),
    f"ts_median(x, {D})": _rolled(np.median),
    f"ts_mad(x, {D})": _rolled(lambda w: 0.0 if _flat(w) else float(np.mean(np.abs(w - w.mean())))),
    f"ts_product(x, {D})": _rolled(np.prod),
    f"ts_quantile(x, {D}, 0.3)": _rolled(lambda w: float(np.quantile(w, 0.3))),
    f"ts_scale(x, {D})": _rolled(lambda w: np.nan if _flat(w) else (w[-1] - w.min()) / (w.max() - w.min())),
    f"ts_decay_linear(x, {D})": _rolled(lambda w: float(w @ LINEAR)),
    f"ts_decay_exp(x, {D}, 0.8)": _rolled(lambda w: float(np.average(w, weights=0.8 ** TIME[::-1]))),
    f"ts_slope(x, {D})": _rolled(lambda w: float(np.polyfit(TIME, w, 1)[0])),
    f"ts_rsquare(x, {D})": _rolled(lambda w: np.nan if _flat(w) else scipy.stats.linregress(TIME, w).rvalue ** 2),
    f"ts_resid(x, {D})": _rolled(lambda w: float(w[-1] - np.polyval(np.polyfit(TIME, w, 1), D - 1))),
    f"ts_ir(x, {D})": _rolled(lambda w: np.nan if _flat(w) else w.mean() / np.std(w, ddof=1)),
    f"ts_delay(x, {D})": lambda x, _y: pd.Series(x).shift(D).to_numpy(),
    f"ts_delta(x, {D})": lambda x, _y: pd.Series(x).diff(D).to_numpy(),
    f"ts_count(x > 0, {D})": lambda x, y: _rolled(lambda w: float(np.sum(w > 0)))(x, y),
    f"ts_sumif(x, {D}, x > 0)": lambda x, y: _rolled(lambda w: float(w[w > 0].sum()))(x, y),
    f"ts_autocorr(x, {D}, 2)": lambda x, _y: _paired(lambda a, b: _corr(a, b))(x, pd.Series(x).shift(2).to_numpy()),
    f"bars_since(x > 1, {D})": _rolled(lambda w: float(next((i for i, v in enumerate(w[::-1]) if v > 1), D))),
    f"ts_corr(x, y, {D})": _paired(lambda a, b: _corr(a, b)),
    f"ts_cov(x, y, {D})": _paired(lambda a, b: 0.0 if _flat(a) or _flat(b) else float(np.cov(a, b)[0, 1])),
    f"ts_beta(x, y, {D})": _paired(
        lambda a, b: np.nan if _flat(b) else 0.0 if _flat(a) else float(np.cov(a, b)[0, 1] / np.var(b, ddof=1))
    ),
    f"rsi(x, {D})": _rolled(lambda w: _rsi(w), D + 1),
}


def _corr(a: FloatArray, b: FloatArray) -> float:
    return float("nan") if _flat(a) or _flat(b) else float(scipy.stats.pearsonr(a, b).statistic)


def _rsi(w: FloatArray) -> float:
    changes = np.diff(w)
    gains, losses = changes[changes > 0].sum(), -changes[changes < 0].sum()
    return float(100 * gains / (gains + losses)) if gains + losses > 0 else float("nan")


@pytest.mark.parametrize("text", SERIES)
@pytest.mark.parametrize("seed", [1, 2])
def test_time_series_operator_equals_its_definition(text: str, seed: int) -> None:
    panel = messy_panel(seed)
    found = evaluate(read(text, fields=FIELDS), panel).values
    for column in range(ASSETS):
        wanted = SERIES[text](panel["x"][:, column], panel["y"][:, column])
        np.testing.assert_allclose(found[:, column], wanted, rtol=1e-9, atol=1e-11, err_msg=f"{text} asset {column}")


def test_ema_is_pandas_ewm_after_its_warm_up_and_restarts_after_a_gap() -> None:
    panel = messy_panel(3)
    found = evaluate(read("ts_ema(x, 5)", fields=FIELDS), panel).values
    x = pd.Series(panel["x"][:, 0])
    for _, run in x.groupby(x.isna().cumsum()):
        run = run.dropna()
        wanted = run.ewm(span=5, adjust=False).mean().iloc[4:]
        np.testing.assert_allclose(found[wanted.index, 0], wanted, rtol=1e-12)
        assert np.isnan(found[run.index[:4], 0]).all()


def test_gtja_sma_has_alpha_m_over_n() -> None:
    panel = random_panel(40)
    found = evaluate(read("ts_sma(close, 6, 2)"), panel).values[:, 0]
    wanted = pd.Series(panel["close"][:, 0]).ewm(alpha=2 / 6, adjust=False).mean()
    np.testing.assert_allclose(found[5:], wanted[5:], rtol=1e-12)


def test_atr_is_the_mean_true_range() -> None:
    panel = random_panel(40)
    high, low, close = (panel[name][:, 0] for name in ("high", "low", "close"))
    before = np.r_[np.nan, close[:-1]]
    true_range = np.max([high - low, np.abs(high - before), np.abs(low - before)], axis=0)
    found = evaluate(read("atr(high, low, close, 5)"), panel).values[:, 0]
    np.testing.assert_allclose(found, pd.Series(true_range).rolling(5).mean(), rtol=1e-12)


CROSS: dict[str, Callable[[pd.Series], pd.Series]] = {
    "cs_rank(x)": lambda s: s.rank(pct=True),
    "cs_zscore(x)": lambda s: (s - s.mean()) / s.std(),
    "cs_demean(x)": lambda s: s - s.mean(),
    "cs_scale(x)": lambda s: s / s.abs().sum(),
    "cs_winsorize(x, 1.5)": lambda s: s.clip(s.mean() - 1.5 * s.std(), s.mean() + 1.5 * s.std()),
}
GROUP: dict[str, Callable[[pd.Series, np.ndarray], pd.Series]] = {
    "group_neutralize(x, sector)": lambda s, g: s - s.groupby(g).transform("mean"),
    "group_mean(x, sector)": lambda s, g: s.groupby(g).transform("mean").where(s.notna()),
    "group_rank(x, sector)": lambda s, g: s.groupby(g).rank(pct=True),
    "group_zscore(x, sector)": lambda s, g: (s - s.groupby(g).transform("mean")) / s.groupby(g).transform("std"),
}


@pytest.mark.parametrize("text", [*CROSS, *GROUP])
def test_cross_section_equals_pandas_and_skips_assets_outside_the_universe(text: str) -> None:
    panel = messy_panel(4)
    universe = panel.universe.copy()
    universe[:, 5] = False
    panel = Panel(panel.times, panel.assets, panel.fields, universe, panel.bar)
    found = evaluate(read(text, fields=FIELDS), panel).values
    group = panel["sector"][0]
    for t in range(BARS):
        row = pd.Series(np.where(universe[t], panel["x"][t], np.nan))
        wanted = CROSS[text](row) if text in CROSS else GROUP[text](row, group)
        np.testing.assert_allclose(found[t], wanted.to_numpy(), rtol=1e-9, atol=1e-12, err_msg=f"bar {t}")


@pytest.mark.parametrize(
    ("text", "x", "wanted"),
    [
        ("1 / x", 0.0, np.nan),
        ("log(x)", 0.0, np.nan),
        ("log(x)", -1.0, np.nan),
        ("log1p(x)", -1.0, np.nan),
        ("sqrt(x)", -4.0, np.nan),
        ("exp(x)", 1e4, np.nan),
        ("x ^ 0.5", -4.0, np.nan),
        ("x ^ -1", 0.0, np.nan),
        ("signed_power(x, 0.5)", -4.0, -2.0),
        ("sigmoid(x)", 0.0, 0.5),
        ("sigmoid(x)", -1e4, 0.0),
        ("if_else(x > 1, 2, 3)", np.nan, np.nan),
        ("x > 1 ? 2 : 3", 5.0, 2.0),
        ("(x > 1) & (x < 3)", 2.0, 1.0),
        ("!(x > 1) | (x == 2)", 2.0, 1.0),
        ("x != 2", np.nan, np.nan),
        ("clip(x, -1, 1)", 5.0, 1.0),
        ("max(x, 0)", -5.0, 0.0),
        ("inverse(x)", 4.0, 0.25),
        ("sign(x)", -3.0, -1.0),
        ("-x + 2 * x - x / 2", 4.0, 2.0),
        ("tanh(x)", 0.0, 0.0),
        ("abs(x)", -2.0, 2.0),
    ],
)
def test_arithmetic_at_its_edges(text: str, x: float, wanted: float) -> None:
    panel = random_panel(3).with_fields({"x": np.full((3, 12), x)})
    found = evaluate(read(text, fields=FIELDS), panel).values
    np.testing.assert_allclose(found, np.full((3, 12), wanted))


ARGUMENTS = {"panel": "x", "bool": "(x > y)", "group": "sector", "number": "0.5", "window": "6"}
SPECIAL = {
    "lo": "-1", "hi": "1", "k": "3", "m": "2", "lag": "3", "fast": "3", "slow": "7", "signal": "4", "share": "0.3",
    "n": "5", "y": "y", "open": "open", "high": "high", "low": "low", "close": "close", "volume": "volume",
    "q": "(y > 0)", "h": "bucket(y, 3)",
}  # fmt: skip


def call_of(name: str) -> str:
    """A call of every operator; groups cannot stand alone, so they are used."""
    args = [SPECIAL.get(p.name) or ARGUMENTS[p.kind] for p in OPERATORS[name].params]
    text = f"{name}({', '.join(args)})"
    return f"group_mean(y, {text})" if OPERATORS[name].result == "group" else text


@pytest.mark.parametrize("name", OPERATORS)
def test_no_operator_sees_the_future(name: str) -> None:
    expression = read(call_of(name), fields=FIELDS)
    panel = messy_panel(5)
    assert check_truncation(expression, panel, [1, 7, 13, 30, BARS - 1]) is None
    # And from the other side: whatever happens later, the past keeps its values.
    shuffled = {key: np.vstack([v[:30], v[30:][::-1] * 1.7]) for key, v in panel.fields.items() if key != "sector"}
    other = panel.with_fields(shuffled)
    np.testing.assert_array_equal(evaluate(expression, other).values[:30], evaluate(expression, panel).values[:30])


@pytest.mark.parametrize("field", ["returns", "vwap", "amount", "adv5", "market_open", "market_close", *NAMED_GROUPS])
def test_no_derived_field_sees_the_future(field: str) -> None:
    text = f"group_mean(close, {field})" if field in NAMED_GROUPS else field
    assert check_truncation(read(text), random_panel(90, gaps=0.02), [1, 7, 30, 61, 89]) is None


# What is left of the past after the look-back, as a share of the range of the values: averages of averages hold more.
LEFT = 3 * FORGOTTEN


@pytest.mark.parametrize("name", [n for n, op in OPERATORS.items() if op.family != "cumulative"])
def test_lookback_is_all_that_is_looked_at(name: str) -> None:
    expression = read(call_of(name), fields=FIELDS)
    panel = messy_panel(6)
    values = evaluate(expression, panel).values
    start = BARS - 1 - expression.lookback
    if start > 0:
        recursive = any(word in expression.text for word in ("ts_ema", "ts_sma", "adx"))
        slack = LEFT * (np.nanmax(values) - np.nanmin(values)) if recursive else 1e-9
        again = evaluate(expression, panel.rows(start, BARS)).values[-1]
        np.testing.assert_allclose(again, values[-1], rtol=1e-9, atol=slack)


@pytest.mark.parametrize("name", [n for n, op in OPERATORS.items() if op.family == "cumulative"])
def test_cumulative_operators_say_that_they_never_forget(name: str) -> None:
    expression = read(f"ts_mean({call_of(name)}, 5)", fields=FIELDS)
    assert not expression.is_bounded


def operators_of(node: Node) -> set[str]:
    """The operators that a tree calls."""
    return {node.op}.union(*map(operators_of, node.args)) if isinstance(node, Call) else set()


@pytest.mark.parametrize("name", OPERATORS)
def test_each_operator_is_computed_by_streams(name: str) -> None:
    lowered = Lowering(FIELDS)(read(call_of(name), fields=FIELDS).root)
    assert operators_of(lowered) <= set(STREAMS)


@pytest.mark.parametrize("name", [n for n, op in OPERATORS.items() if op.formula])
def test_a_formula_is_its_operator(name: str) -> None:
    operator = OPERATORS[name]
    args = [SPECIAL.get(p.name) or ARGUMENTS[p.kind] for p in operator.params]
    names = {p.name: arg for p, arg in zip(operator.params, args, strict=True)}
    spelled = re.sub(r"[a-z_]+", lambda m: f"({names[m[0]]})" if m[0] in names else m[0], operator.formula)
    assert read(f"{name}({', '.join(args)})", fields=FIELDS).id == read(spelled, fields=FIELDS).id


TINY = ["ts_rsquare(x, 3)", "ts_corr(x, y, 3)", "cs_resid(x, y)", "cs_scale(x)", "ts_kurt(x, 5)"]


@pytest.mark.parametrize("text", TINY)
def test_values_so_small_that_squares_vanish_are_missing_not_an_error(text: str) -> None:
    rng = np.random.default_rng(0)
    tiny = {name: rng.normal(0, 1e-200, (30, 12)) for name in ("x", "y")}
    values = evaluate(read(text, fields=FIELDS), random_panel(30).with_fields(tiny)).values
    assert not np.isinf(values).any()


def test_truncation_check_catches_a_kernel_that_peeks(monkeypatch: pytest.MonkeyPatch) -> None:
    def centred(x: FloatArray, out: FloatArray) -> None:
        out[:] = x - np.nanmean(x, axis=0)

    peeking = {**STREAMS, "ts_mean": (1, lambda layout, numbers: Kernel(centred))}
    monkeypatch.setattr("factors.evaluation_plan.STREAMS", peeking)
    found = check_truncation(read("ts_mean(close, 5)"), random_panel(), [60])
    assert isinstance(found, Rejection)
    assert found.code == "look_ahead"


@pytest.mark.parametrize(("text", "code"), [("log(0 - close)", "all_nan"), ("floor(close / 1000000000)", "constant")])
def test_a_signal_that_ranks_nothing_is_refused(text: str, code: str) -> None:
    panel = random_panel()
    fault = check_signal(evaluate(read(text), panel), panel)
    assert fault is not None
    assert fault.code == code


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        # To two digits: what differs by less than rounding can make is a tie here, and is none for pandas.
        st.one_of(
            st.floats(-1e6, 1e6).map(lambda value: round(value, 2)),
            st.just(float("nan")),
            st.integers(-2, 2).map(float),
        ),
        min_size=12,
        max_size=40,
    ),
    st.integers(2, 9),
)
def test_rolling_rank_and_std_on_anything(values: list[float], d: int) -> None:
    x = np.array(values)[:, None] * np.ones((1, 11))
    ones = np.ones_like(x)
    panel = make_panel({"open": ones, "high": ones, "low": ones, "close": ones, "volume": ones, "x": x})
    series = pd.Series(values)
    rank = evaluate(read(f"ts_rank(x, {d})", fields=FIELDS), panel).values[:, 0]
    np.testing.assert_allclose(rank, series.rolling(d).rank(pct=True), rtol=1e-12)
    std = evaluate(read(f"ts_std(x, {d})", fields=FIELDS), panel).values[:, 0]
    wanted = _rolled(_std, d)(np.array(values), np.array(values))
    np.testing.assert_allclose(std, wanted, rtol=1e-9, atol=1e-9)
