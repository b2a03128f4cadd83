"""Scores by way of a device come in order, under any rules, and what the device lacks comes from the engine."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from agent.device.device_scoring import DeviceScoring
from backtest.quick import QuickScorer
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from benchmarks.device import with_gaps
from benchmarks.engine_setup import make_market
from factors.batch import Engine
from factors.parse import parse
from factors.tree import Expression
from market.errors import Rejection


@pytest.mark.parametrize("spec", [BacktestSpec(), BacktestSpec(holding=3)])
def test_scores_in_order(spec: BacktestSpec) -> None:
    panel = with_gaps(make_market(160, 14, "h"))
    target, engine, part = prepare_target(panel, spec), Engine(panel, stop=130), slice(0, 130)
    texts = ["ts_mean(returns, 5)", "ts_kama(close, 10) / close", "cs_rank(volume)", "close - open"]
    expressions = [e for text in texts if isinstance(e := parse(text, dialect="native"), Expression)]
    scoring = DeviceScoring(engine, target, part, "cpu", together=3)
    found = list(scoring.run(expressions))
    assert [expression for expression, _ in found] == expressions
    for expression, score in found:
        expected = engine.one(expression, lambda _: QuickScorer(target, engine.rows)).result
        assert not isinstance(expected, Rejection) and not isinstance(score, Rejection)
        np.testing.assert_allclose(score.gross, expected.gross(part), rtol=1e-9, atol=1e-12)
        mine, theirs = dataclasses.astuple(score.quick), dataclasses.astuple(expected.result(part))
        np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-9)
    assert scoring.sentence() == "3 of 4 quick scores on the device, 1 on the processor"
