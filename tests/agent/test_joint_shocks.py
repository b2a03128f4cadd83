"""Shocks of several features at once: counted in history and in draws, beside what chance would give."""

from __future__ import annotations

import numpy as np
import pytest

from agent.flow.scenario_study import joint_shocks


def test_shocks_that_come_together_are_counted() -> None:
    rng = np.random.default_rng(0)
    common = rng.standard_t(3, size=50_000)
    names = ("return_1", "volatility_5")
    history = np.stack([-common, common], axis=1)
    apart = np.stack([-common, rng.permutation(common)], axis=1)
    (row,) = joint_shocks(names, history, apart)
    assert row["shocks"] == "return_1 -, volatility_5 +"
    assert row["history"] == pytest.approx(0.01, abs=1e-4)
    assert row["by_chance"] == pytest.approx(1e-4)
    assert 0.0 <= float(str(row["drawn"])) < 5e-4
    assert joint_shocks(("rsi",), history[:, :1], history[:, :1]) == []
