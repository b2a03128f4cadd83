"""Kernels that rank and score bars, compiled for this processor, give what torch gives: their text is right."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from agent.device.bar_kernels import BarKernels
from agent.device.tensor_engine import DeviceEngine
from agent.device.tensor_operators import row_ranks
from agent.device.tensor_scores import BatchScorer, figure_table, read_figures
from backtest.quick_kernels import NET, SERIES
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from benchmarks.device import with_gaps
from benchmarks.engine_setup import make_market
from factors.parse import parse
from factors.tree import Expression
from market.panel import Panel
from tests.agent.device.host_kernels import host_compiler

CPU = torch.device("cpu")


def make_kernels(folder: Path, width: int, threads: int) -> BarKernels:
    program = shutil.which("c++") or shutil.which("g++")
    if program is None:
        pytest.skip("no C++ compiler is installed")
    return BarKernels(width, host_compiler(folder, program, threads))


def make_values(panel: Panel, texts: list[str]) -> torch.Tensor:
    expressions = [e for text in texts if isinstance(e := parse(text, dialect="native"), Expression)]
    assert len(expressions) == len(texts)
    return DeviceEngine(panel, "cpu").values(expressions)


@pytest.mark.parametrize("width", [1, 64, 70])
def test_ranks_are_those_of_torch(tmp_path: Path, width: int) -> None:
    rng = np.random.default_rng(width)
    x = torch.from_numpy(np.round(rng.standard_normal((2, 30, width)), 1))
    x[0, :5] = 0.3 * (1.0 + 1e-15 * torch.arange(width))
    x[1, :, : width // 3] = math.nan
    x[1, 4] = math.nan
    found = make_kernels(tmp_path, width, 1).ranks(x)
    torch.testing.assert_close(found, row_ranks(x), rtol=0.0, atol=0.0, equal_nan=True)


@pytest.mark.parametrize(("threads", "bars"), [(1, 420), (4, 60)])
def test_series_and_figures_are_those_of_torch(tmp_path: Path, threads: int, bars: int) -> None:
    panel = with_gaps(make_market(bars, 14, "h"))
    spec = BacktestSpec(costs=dataclasses.replace(BacktestSpec().costs, fee_bp=40.0, borrow_bp_year=300.0))
    target = prepare_target(panel, spec)
    assert not target.market.tradable.all()
    texts = ["ts_rank(close, 3)", "cs_mean(close)", "ts_corr(close, volume, 12)", "-returns", "log(returns)"]
    values = make_values(panel, texts)
    kernels = make_kernels(tmp_path, panel.shape[1], threads)
    expected = BatchScorer(target, CPU, bars).series(values)
    found = BatchScorer(target, CPU, bars, kernels).series(values)
    assert expected.shape[1] == SERIES
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12, equal_nan=True)
    assert kernels.fault == ""
    part = slice(10, bars)
    mine = read_figures(figure_table(found, part, kernels), part, panel.bars_per_year)
    theirs = read_figures(figure_table(expected, part), part, panel.bars_per_year)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(dataclasses.astuple(a), dataclasses.astuple(b), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("fee", [40.0, 6_000.0])
def test_funding_is_paid_and_a_lost_capital_has_no_net_returns(tmp_path: Path, fee: float) -> None:
    panel = make_market(40, 14, "h")
    target = prepare_target(panel, BacktestSpec(costs=dataclasses.replace(BacktestSpec().costs, fee_bp=fee)))
    values = make_values(panel, ["-returns", "cs_mean(close)"])
    unpaid = BatchScorer(target, CPU, 40).series(values)
    scorers = [BatchScorer(target, CPU, 40, each) for each in (None, make_kernels(tmp_path, panel.shape[1], 1))]
    for scorer in scorers:
        scorer.funding = 0.01 * scorer.returns.roll(1, 0)
    expected, found = [scorer.series(values) for scorer in scorers]
    lost = fee > 1_000.0
    assert bool(found[0, NET].isnan().all()) == lost and not found[1, NET].isnan().any()
    assert lost or (found[0, NET] - unpaid[0, NET]).abs().max() > 1e-6
    # What a lost capital trades means nothing.
    kept = slice(1, 2) if lost else slice(0, 2)
    torch.testing.assert_close(found[kept], expected[kept], rtol=1e-9, atol=1e-12, equal_nan=True)
    assert torch.equal(found[:, NET].isnan(), expected[:, NET].isnan())
