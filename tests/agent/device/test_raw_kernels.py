"""The kernels of a card, compiled for this processor, give the values of the engine: their text is right."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from agent.device.raw_kernels import COMPUTED, RawKernels
from agent.device.tensor_engine import DeviceEngine
from benchmarks import device as benchmark
from benchmarks.engine_setup import make_market
from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from tests.agent.device.host_kernels import host_compiler


def test_windows_of_all_lengths_in_one_call(tmp_path: Path) -> None:
    texts = [f"{name}(close, {d})" for name in benchmark.SERIES for d in (4, 17, 70)] + list(benchmark.OTHERS)
    used = assert_values_of_the_engine(tmp_path, (150, 9), texts)
    assert len(used) > 20 and used <= COMPUTED | {"average", "cells"}


def test_many_assets(tmp_path: Path) -> None:
    texts = ["ts_mean(close, 4)", "ts_corr(close, volume, 30)", "ts_delta(close, 2) / close", "ts_ema(close, 5)"]
    assert_values_of_the_engine(tmp_path, (45, 83), texts)


def assert_values_of_the_engine(tmp_path: Path, shape: tuple[int, int], texts: list[str]) -> set[str]:
    program = shutil.which("c++") or shutil.which("g++")
    if program is None:
        pytest.skip("no C++ compiler is installed")
    kernels = RawKernels(host_compiler(tmp_path, program))
    panel = benchmark.with_gaps(make_market(*shape, "h"))
    expressions = [e for text in texts if isinstance(e := parse(text, dialect="native"), Expression)]
    engine = DeviceEngine(panel, "cpu", together=len(expressions), kernels=kernels)
    assert engine.note == ""
    (batch,) = engine.run(expressions)
    for expression, values in zip(batch.expressions, batch.values.numpy(), strict=True):
        expected = evaluate(expression, panel).values
        assert np.array_equal(np.isnan(values), np.isnan(expected)), expression.text
        gaps = np.abs(values - expected) / np.maximum(1.0, np.abs(expected))
        assert not (gaps > 1e-9).any(), expression.text
    return kernels.used


def test_what_cannot_be_compiled_is_said_and_torch_computes() -> None:
    def fails(_: str) -> None:
        raise RuntimeError("no compiler here")

    panel = make_market(40, 5, "h")
    engine = DeviceEngine(panel, "cpu", kernels=RawKernels(fails))  # type: ignore[arg-type]
    assert "no compiler here" in engine.note
    expression = parse("ts_mean(close, 5)", dialect="native")
    assert isinstance(expression, Expression)
    np.testing.assert_allclose(engine.values([expression])[0].numpy(), evaluate(expression, panel).values, rtol=1e-12)
