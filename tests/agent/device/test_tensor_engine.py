"""The engine's plan in torch gives the engine's values, in batches of any size; what it lacks it says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from agent.device.tensor_engine import DeviceEngine
from agent.device.tensor_scores import BatchScorer, figure_table, read_figures, scorable
from backtest.quick import QuickScorer
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from benchmarks import device as benchmark
from benchmarks.engine_setup import make_market
from factors.batch import Engine
from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError
from market.panel import FloatArray, Panel

TEXTS = [f"{name}(close, {d})" for name in benchmark.SERIES for d in (4, 70)] + list(benchmark.OTHERS)


def read(text: str) -> Expression:
    expression = parse(text, dialect="native")
    assert isinstance(expression, Expression), text
    return expression


@pytest.fixture(scope="module")
def panel() -> Panel:
    return benchmark.with_gaps(make_market(150, 14, "h"))


def assert_same(mine: FloatArray, theirs: FloatArray, text: str) -> None:
    assert np.array_equal(np.isnan(mine), np.isnan(theirs)), text
    gaps = np.abs(mine - theirs) / np.maximum(1.0, np.abs(mine))
    assert not (gaps > 1e-9).any(), (text, np.nanmax(gaps))


def test_every_operator_gives_the_values_of_the_engine(panel: Panel) -> None:
    expressions = [read(text) for text in TEXTS]
    engine = DeviceEngine(panel, "cpu", together=64)
    assert all(engine.supports(expression) for expression in expressions)
    for batch in engine.run(expressions):
        for expression, values in zip(batch.expressions, batch.values.numpy(), strict=True):
            assert_same(evaluate(expression, panel).values, values, expression.text)


def test_a_batch_says_what_its_expressions_say_alone_and_of_fewer_bars(panel: Panel) -> None:
    texts = ["ts_mean(close, 4) - 2", "ts_mean(close, 9) - cs_rank(ts_mean(close, 4))", "2 / close", "close"]
    expressions = [read(text) for text in texts]
    together = DeviceEngine(panel, "cpu").values(expressions)
    for expression, values in zip(expressions, together, strict=True):
        alone = DeviceEngine(panel, "cpu", stop=90).values([expression])[0]
        assert torch.equal(alone.nan_to_num(nan=-1.0), values[:90].nan_to_num(nan=-1.0))


def test_what_the_device_lacks_is_left_to_the_engine(panel: Panel) -> None:
    engine = DeviceEngine(panel, "cpu")
    assert not engine.supports(read("ts_kama(close, 10)"))
    assert engine.supports(read("ts_ema(close, 10)"))


def test_a_card_that_is_not_there_is_said(panel: Panel) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    with pytest.raises(InputError, match="no GPU"):
        DeviceEngine(panel, "cuda")


@pytest.mark.parametrize("fee", [0.0, 40.0])
def test_quick_scores_are_those_of_the_processor(panel: Panel, fee: float) -> None:
    spec = BacktestSpec(costs=dataclasses.replace(BacktestSpec().costs, fee_bp=fee, borrow_bp_year=300.0))
    target = prepare_target(panel, spec)
    assert scorable(target)
    # One is tied often, one is constant over each bar, one knows few assets.
    texts = ["ts_rank(close, 3)", "cs_mean(close)", "ts_corr(close, volume, 12)", "-returns", "log(returns)"]
    expressions = [read(text) for text in texts]
    engine, part = Engine(panel), slice(20, 140)
    series = BatchScorer(target, torch.device("cpu"), panel.shape[0]).series(
        DeviceEngine(panel, "cpu").values(expressions)
    )
    found = read_figures(figure_table(series, part), part, panel.bars_per_year)
    for outcome, quick in zip(engine.run(expressions, lambda _: QuickScorer(target, engine.rows)), found, strict=True):
        assert isinstance(outcome.result, QuickScorer)
        expected = dataclasses.astuple(outcome.result.result(part))
        np.testing.assert_allclose(dataclasses.astuple(quick), expected, rtol=1e-8, atol=1e-9)


def test_rules_that_the_device_does_not_know_are_not_scored_on_it(panel: Panel) -> None:
    assert not scorable(prepare_target(panel, BacktestSpec(holding=3)))
    assert not scorable(prepare_target(panel, BacktestSpec(weighting="zscore")))
