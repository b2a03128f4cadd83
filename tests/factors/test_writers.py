"""What is written in other languages has our values when it is run there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import polars as pl
import pytest

from factors.drawing import FIELDS as DRAWN_FIELDS
from factors.engine import evaluate
from factors.parse import parse
from factors.plain_words import read_aloud
from factors.table import OPERATORS
from factors.tree import Expression
from factors.writers.latex import to_latex
from factors.writers.pandas_code import to_pandas
from factors.writers.polars_code import to_polars
from factors.writers.to_qlib import to_qlib
from market.errors import InputError
from market.panel import FloatArray, Panel
from tests.factors.test_engine_oracles import FIELDS, call_of, messy_panel, read
from tests.helpers import draw_expressions, random_panel


def run_pandas(expression: Expression, panel: Panel) -> FloatArray:
    space: dict[str, Callable[..., pd.DataFrame]] = {}
    exec(compile(to_pandas(expression, reading=read_aloud(expression)), "exported", "exec"), space)
    frames = {name: pd.DataFrame(values, columns=panel.assets) for name, values in panel.fields.items()}
    values = space["factor"](frames, pd.DataFrame(panel.universe, columns=panel.assets)).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def shrunk(panel: Panel) -> Panel:
    """The panel with an asset outside the universe, and another that joins late."""
    universe = panel.universe.copy()
    universe[:, 4] = False
    universe[:20, 7] = False
    return Panel(panel.times, panel.assets, panel.fields, universe, panel.bar)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_equals_its_exported_pandas_function(name: str) -> None:
    panel = shrunk(messy_panel(3))
    expression = read(call_of(name), fields=FIELDS)
    wanted = evaluate(expression, panel).values
    np.testing.assert_allclose(run_pandas(expression, panel), wanted, rtol=1e-9, atol=1e-11, err_msg=expression.text)


def test_two_hundred_random_expressions_equal_their_exported_functions() -> None:
    panel = shrunk(random_panel(70, gaps=0.01))
    rng, compared = np.random.default_rng(5), 0
    shaken = panel.with_fields({n: v * (1 + 1e-14 * rng.normal(size=v.shape)) for n, v in panel.fields.items()})
    for expression in draw_expressions(np.random.default_rng(11), 200, 4):
        found, wanted = run_pandas(expression, panel), evaluate(expression, panel).values
        size = np.nanmax(np.abs(wanted), initial=0.0)
        near = {"rtol": 1e-8, "atol": 1e-10 * size}
        # Where they are missing, too, is compared.
        if np.allclose(found, wanted, equal_nan=True, **near):
            compared += 1
            continue
        # What the last digit of a price changes altogether is not compared: a remainder of a large number, or whether
        # a window stands still whose values differ by rounding alone.
        moved = ((run_pandas(expression, shaken), found), (evaluate(expression, shaken).values, wanted))
        assert not all(np.allclose(one, other, equal_nan=True, **near) for one, other in moved), expression.text
    assert compared >= 190


POLARS = [
    "(close - ts_mean(close, 5)) / ts_std(close, 5)",
    "cs_rank(ts_returns(close, 3)) * ts_corr(high, volume, 6)",
    "ts_mean(cs_rank(volume), 4) - cs_zscore(ts_delta(close, 2))",
    "close > open ? ts_max(high, 5) : -ts_min(low, 5)",
    "ts_sumif(volume, 5, close > open) / adv5",
    "ts_decay_linear(returns, 5)",
    "ts_ema(close, 5) / ts_sma(close, 6, 1)",
    "max(close, open) - min(close, open)",
    "cs_demean(ts_scale(close, 6)) + cs_scale(ts_median(volume, 3))",
    "ts_beta(returns, cs_mean(returns), 8)",
    "signed_power(ts_ir(returns, 5), 2) + log(volume) / log1p(close)",
    "group_neutralize(ts_quantile(close, 6, 0.3), sector)",
    "ts_skew(returns, 8) * clip(returns, -0.01, 0.01)",
    "ts_count((close > open) & !(volume < adv5), 6)",
]


@pytest.mark.parametrize("text", POLARS)
def test_polars_gives_our_values(text: str) -> None:
    panel = random_panel(60)
    sector = np.tile(np.arange(12.0) % 3, (60, 1))
    panel = panel.with_fields({"sector": sector, "amount": panel["volume"] * panel["close"]})
    expression = read(text, fields=FIELDS)
    space: dict[str, Callable[[pl.LazyFrame], pl.LazyFrame]] = {}
    exec(compile(to_polars(expression), "exported", "exec"), space)
    columns = {"asset": np.repeat(panel.assets, 60), "time": np.tile(np.arange(60), 12)}
    frame = pl.LazyFrame({**columns, **{name: values.T.ravel() for name, values in panel.fields.items()}})
    found = space["factor"](frame).collect()["factor"].cast(pl.Float64).to_numpy().reshape(12, 60).T
    np.testing.assert_allclose(found, evaluate(expression, panel).values, rtol=1e-8, atol=1e-10, err_msg=text)


@pytest.mark.parametrize(
    "text",
    ["ts_zscore(close, 5)", "ts_corr(close, volume, 5) * ts_rank(open, 3)", "if_else(close > open, 1, ts_max(high, 3))",
     "ts_argmax(high, 5)", "-ts_slope(close, 6) + clip(returns, 0, 1)", "bars_since(close > open, 3) + adv5"],
)  # fmt: skip
def test_what_qlib_can_say_reads_back_as_the_same_factor(text: str) -> None:
    expression = read(text)
    if "bars_since" in text:
        with pytest.raises(InputError, match="bars_since"):
            to_qlib(expression)
        return
    back = parse(to_qlib(expression), dialect="qlib", fields=DRAWN_FIELDS)
    assert isinstance(back, Expression), back
    panel = random_panel(40)
    np.testing.assert_allclose(evaluate(back, panel).values, evaluate(expression, panel).values, rtol=1e-9)


@pytest.mark.parametrize("write", [to_qlib, to_polars])
def test_what_cannot_be_said_is_refused_with_a_way_out(write: Callable[[Expression], str]) -> None:
    with pytest.raises(InputError, match="pandas"):
        write(read("cs_top_bottom(close, 0.2)"))


def test_latex_keeps_precedence() -> None:
    assert to_latex(read("-(close - open) * (high + 0.5)")) == (
        r"\left(0.5 + \mathit{high}\right) \, \left(\mathit{open} - \mathit{close}\right)"
    )
    assert to_latex(read("ts_mean(close, 5) / open")) == (
        r"\frac{\operatorname{ts\_mean}_{5}\left(\mathit{close}\right)}{\mathit{open}}"
    )
    for expression in draw_expressions(np.random.default_rng(2), 300, 5):
        text = to_latex(expression)
        assert text.count("{") == text.count("}")
        assert text.count(r"\left") == text.count(r"\right")
