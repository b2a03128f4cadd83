"""One value however it is computed: whole, in pieces, bar by bar, shared or alone; exact over long histories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factors import implementations
from factors.engine import evaluate, evaluate_all
from factors.evaluation_plan import Runner, make_plan
from factors.live_factors import LiveFactors
from factors.lowering import Lowering
from factors.measure import piece_rows, work_bytes
from factors.parse import parse
from factors.streams import Layout
from factors.table import OPERATORS
from factors.tree import Expression
from market.errors import InputError
from market.panel import FloatArray, Panel
from tests.factors.test_engine_oracles import FIELDS, call_of, messy_panel, read
from tests.helpers import draw_expressions, make_panel, random_panel


def in_pieces(expression: Expression, panel: Panel, rows: int, dtype: Any = np.float64) -> FloatArray:
    """Values from pieces of `rows` bars."""
    root = Lowering(panel.fields)(expression.root)
    layout = Layout(panel.shape[1], rows, np.dtype(dtype))
    runner = Runner(make_plan([root], layout), [])
    parts = []
    with np.errstate(all="ignore"):
        for start in range(0, panel.shape[0], rows):
            stop = min(start + rows, panel.shape[0])
            runner.advance(panel.fields, panel.universe, start, stop, {})
            parts.append(runner.values(root, stop - start).copy())
    return np.concatenate(parts)


LONG = ["ts_rank(x, 40)", "ts_argmax(x, 40)", "ts_argmin(x, 40)", "ts_quantile(x, 40, 0.3)"]


# What has a formula is computed as its parts are.
PRIMITIVE = [name for name, operator in OPERATORS.items() if not operator.formula]


@pytest.mark.parametrize("text", [*(call_of(name) for name in PRIMITIVE), *LONG])
def test_pieces_and_single_bars_give_the_values_of_the_whole(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Short windows take the ways of long ones too.
    monkeypatch.setattr(implementations, "slides", lambda d, rows: d > 20)
    monkeypatch.setattr(implementations, "sweeps", lambda d, rows: d <= 20)
    monkeypatch.setattr("factors.lowering.LOOKED_THROUGH", 20)
    expression = read(text, fields=FIELDS)
    panel = messy_panel(11)
    whole = evaluate(expression, panel).values
    for rows in (1, 7, 60):
        np.testing.assert_array_equal(in_pieces(expression, panel, rows), whole, err_msg=f"pieces of {rows}")
    live = LiveFactors([expression], panel.rows(0, 25))
    np.testing.assert_array_equal(live.values[0], whole[24])
    for bar in range(25, panel.shape[0]):
        row = {name: values[bar] for name, values in panel.fields.items()}
        np.testing.assert_array_equal(live.append(row, panel.universe[bar])[0], whole[bar], err_msg=f"bar {bar}")


def test_a_hundred_factors_live_are_those_of_the_panel() -> None:
    expressions = draw_expressions(np.random.default_rng(5), 100, 4)
    panel = random_panel(90, 15, 5, gaps=0.02)
    whole = [signal.values for signal in evaluate_all(expressions, panel)]
    live = LiveFactors(expressions, panel.rows(0, 30))
    for bar in range(30, 90):
        row = {name: values[bar] for name, values in panel.fields.items()}
        found = live.append(row, panel.universe[bar])
        np.testing.assert_array_equal(found, [values[bar] for values in whole])


def test_factors_together_are_the_factors_alone() -> None:
    expressions = draw_expressions(np.random.default_rng(6), 60, 4)
    panel = random_panel(90, 15, 6, gaps=0.02)
    for expression, signal in zip(expressions, evaluate_all(expressions, panel), strict=True):
        np.testing.assert_array_equal(signal.values, evaluate(expression, panel).values)


def test_a_bar_that_lacks_something_is_refused_and_changes_nothing() -> None:
    panel = random_panel(30)
    live = LiveFactors([read("close / ts_mean(volume, 5)")], panel.rows(0, 29))
    with pytest.raises(InputError, match="lacks volume"):
        live.append({"close": panel["close"][29]})
    with pytest.raises(InputError, match="shape"):
        live.append({"close": panel["close"][29], "volume": np.ones(3)})
    with pytest.raises(InputError, match="shape"):
        live.append({"close": panel["close"][29], "volume": np.ones(12)}, np.ones(3, dtype=bool))
    found = live.append({name: values[29] for name, values in panel.fields.items()}, panel.universe[29])
    np.testing.assert_array_equal(found[0], evaluate(live.expressions[0], panel).values[29])


# --- exact over long histories ------------------------------------------------------------------------------------

LONGEST = 1_000_000


@pytest.fixture(scope="module")
def long_series() -> FloatArray:
    """A million bars at a price of a million, with spikes ten thousand times as large, gaps and dead calm."""
    rng = np.random.default_rng(3)
    x = 1e6 + np.cumsum(rng.normal(0, 1.0, LONGEST))
    x[rng.integers(0, LONGEST, 60)] *= 1e4
    x[rng.integers(0, LONGEST, 60)] = np.nan
    x[500_000:500_500] = x[500_000]
    return x


def _moments(w: np.ndarray) -> dict[str, float]:
    d = len(w)
    gap = w - w.mean()
    time = np.arange(d, dtype=np.longdouble) - (d - 1) / np.longdouble(2)
    spread = (gap**2).sum() / (d - 1)
    slope = (time * gap).sum() / (time**2).sum()
    return {
        "ts_sum": float(w.sum()),
        "ts_mean": float(w.mean()),
        "ts_var": float(spread),
        "ts_std": float(np.sqrt(spread)),
        "ts_slope": float(slope),
        "ts_decay_linear": float((w * np.arange(1, d + 1)).sum() / (d * (d + 1) / 2)),
    }


@pytest.mark.parametrize("d", [20, 240])
def test_no_drift_after_a_million_bars(long_series: FloatArray, d: int) -> None:
    names = ("ts_sum", "ts_mean", "ts_var", "ts_std", "ts_slope", "ts_decay_linear")
    panel = make_panel(dict.fromkeys(("open", "high", "low", "close", "volume"), long_series[:, None]))
    signals = evaluate_all([read(f"{name}(close, {d})") for name in names], panel)
    rng = np.random.default_rng(4)
    ends = np.concatenate([rng.integers(d, LONGEST, 300), np.arange(LONGEST - 50, LONGEST)])
    for end in ends:
        window = long_series[end - d + 1 : end + 1].astype(np.longdouble)
        wanted = _moments(window)
        for name, signal in zip(names, signals, strict=True):
            found = signal.values[end, 0]
            if np.isnan(window).any():
                assert np.isnan(found)
                continue
            # A slope is measured against the spread that it is a part of.
            size = max(abs(wanted[name]), wanted["ts_std"] / d if name == "ts_slope" else 0.0)
            assert abs(found - wanted[name]) <= 1e-9 * size, (name, end)


def test_correlations_keep_their_digits_beside_spikes_and_after_a_million_bars(long_series: FloatArray) -> None:
    rng = np.random.default_rng(5)
    other = 0.5 * np.nan_to_num(long_series, nan=1e6) + rng.normal(0, 2.0, LONGEST)
    fields = dict.fromkeys(("open", "high", "low", "close"), long_series[:, None]) | {"volume": other[:, None]}
    panel = make_panel(fields)
    d = 60
    corr, beta = (
        s.values[:, 0] for s in evaluate_all([read(f"{n}(close, volume, {d})") for n in ("ts_corr", "ts_beta")], panel)
    )
    for end in np.concatenate([rng.integers(d, LONGEST, 300), np.arange(LONGEST - 50, LONGEST)]):
        a = long_series[end - d + 1 : end + 1].astype(np.longdouble)
        b = other[end - d + 1 : end + 1].astype(np.longdouble)
        if np.isnan(a).any():
            assert np.isnan(corr[end])
            continue
        a, b = a - a.mean(), b - b.mean()
        if not a.any():
            assert np.isnan(corr[end])
            continue
        assert corr[end] == pytest.approx(float((a @ b) / np.sqrt((a @ a) * (b @ b))), rel=1e-9, abs=1e-10)
        assert beta[end] == pytest.approx(float((a @ b) / (b @ b)), rel=1e-9, abs=1e-10)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.sampled_from([1.0, 1e-8, 1e8]))
def test_a_spike_or_a_gap_is_forgotten_when_it_leaves_the_window(seed: int, d: int, size: float) -> None:
    """Values after a disturbance are those of a series that never had it."""
    rng = np.random.default_rng(seed)
    calm = size * rng.normal(1.0, 0.1, (150, 2))
    wild = calm.copy()
    at = int(rng.integers(0, 60))
    wild[at, 0] = rng.choice([np.nan, np.inf, 1e300, -1e300])
    names = (
        "ts_sum",
        "ts_mean",
        "ts_std",
        "ts_kurt",
        "ts_max",
        "ts_argmin",
        "ts_rank",
        "ts_median",
        "ts_slope",
        "ts_mad",
    )
    panels = [random_panel(150, 2).with_fields({"x": values}) for values in (calm, wild)]
    texts = [*(f"{name}(x, {max(d, 4)})" for name in names), f"ts_corr(x, close, {max(d, 4)})"]
    expressions = [read(text, fields=FIELDS) for text in texts]
    before, after = (evaluate_all(expressions, panel) for panel in panels)
    for text, one, other in zip(texts, before, after, strict=True):
        clear = at + max(d, 4)
        np.testing.assert_array_equal(other.values[clear:, 0], one.values[clear:, 0], err_msg=text)
        np.testing.assert_array_equal(other.values[:, 1], one.values[:, 1], err_msg=text)


# --- shapes and values at their limits ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRIMITIVE)
@pytest.mark.parametrize("shape", [(1, 12), (40, 1), (1, 1), (3, 12)])
def test_panels_of_one_row_or_one_column(name: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    panel = random_panel(*shape).with_fields(
        {"x": rng.normal(0, 1, shape), "y": rng.normal(0, 1, shape), "sector": np.zeros(shape)}
    )
    values = evaluate(read(call_of(name), fields=FIELDS), panel).values
    assert values.shape == shape
    assert not np.isinf(values).any()


@pytest.mark.parametrize("name", PRIMITIVE)
def test_extreme_values_never_become_infinite(name: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.choice([0.0, -0.0, 5e-324, -5e-324, 1e-308, 1e308, -1e308, 1.0, np.nan, np.inf], (50, 12))
    x[:, 0] = np.nan
    y = rng.choice([1e308, 2.0, 5e-324, 0.0], (50, 12))
    panel = random_panel(50).with_fields({"x": x, "y": y, "sector": np.zeros((50, 12))})
    assert np.isnan(panel["x"][np.isinf(x)]).all()
    values = evaluate(read(call_of(name), fields=FIELDS), panel).values
    assert not np.isinf(values).any()


@pytest.mark.parametrize("size", [1e-100, 1e-140, 1e100, 1e140])
def test_correlations_of_tiny_and_huge_values(size: float) -> None:
    """Where the product of two spreads leaves the range of numbers, their roots do not."""
    rng = np.random.default_rng(6)
    x, y = rng.normal(0, 1, (40, 12)), rng.normal(0, 1, (40, 12))
    plain = random_panel(40).with_fields({"x": x, "y": y})
    scaled = random_panel(40).with_fields({"x": x * size, "y": y * size})
    expression = read("ts_corr(x, y, 8)", fields=FIELDS)
    np.testing.assert_allclose(evaluate(expression, scaled).values, evaluate(expression, plain).values, rtol=1e-9)


def test_windows_longer_than_the_data_are_missing() -> None:
    panel = random_panel(30)
    for text in ("ts_mean(close, 31)", "ts_rank(close, 5000)", "ts_median(close, 31)", "ts_argmax(close, 100)"):
        assert np.isnan(evaluate(read(text), panel).values).all()


def test_ten_thousand_assets() -> None:
    rng = np.random.default_rng(0)
    close = np.exp(rng.normal(0, 1, (30, 10_000)))
    panel = make_panel(dict.fromkeys(("open", "high", "low", "close", "volume"), close))
    values = evaluate(read("cs_rank(ts_mean(close, 5))"), panel).values
    mean = np.mean(np.stack([close[i : 26 + i] for i in range(5)]), axis=0)
    order = np.argsort(np.argsort(mean[-1])) + 1
    np.testing.assert_allclose(values[-1], order / 10_000)


@pytest.mark.parametrize("width", [255, 256, 257, 511, 513, 1100])
def test_ranks_of_any_number_of_assets(width: int) -> None:
    """Rows too long for one run are sorted in several and merged; ties and gaps included."""
    rng = np.random.default_rng(width)
    x = np.round(rng.normal(0, 1, (5, width)), 2)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[4] = np.nan
    panel = make_panel({name: np.ones((5, width)) for name in ("open", "high", "low", "close", "volume")})
    found = evaluate(read("cs_rank(x)", fields=FIELDS), panel.with_fields({"x": x})).values
    import pandas as pd

    wanted = pd.DataFrame(x).rank(axis=1, pct=True).to_numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


# --- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*(call_of(name) for name in PRIMITIVE), "ts_rank(x, 400)", "ts_corr(x, y, 300)"])
@pytest.mark.parametrize("assets", [11, 700])
def test_work_takes_no_more_than_is_stated_before(text: str, assets: int) -> None:
    expression = read(text, fields=FIELDS)
    rows = piece_rows(assets)
    root = Lowering(("open", "high", "low", "close", "volume", "x", "y", "sector"))(expression.root)
    plan = make_plan([root], Layout(assets, rows, np.dtype(np.float64)))
    assert plan.nbytes <= work_bytes(expression.root, assets, rows)


# --- 32 bits -------------------------------------------------------------------------------------------------------


def test_32_bits_are_close_enough_to_screen_with() -> None:
    """Values keep about five digits, where 64-bit values are not rounding themselves."""
    panel = random_panel(400, 30, 3)
    for text in (
        "ts_mean(close, 20)",
        "ts_std(close, 20)",
        "cs_rank(volume)",
        "ts_corr(close, volume, 20)",
        "rsi(close, 14)",
    ):
        expression = parse(text)
        assert isinstance(expression, Expression)
        wide, narrow = evaluate(expression, panel).values, in_pieces(expression, panel, 50, np.float32)
        assert narrow.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(narrow), np.isnan(wide))
        np.testing.assert_allclose(narrow, wide, rtol=2e-4, atol=2e-5)
