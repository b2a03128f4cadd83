"""What gates are for: falls taken, gates shut in vain, and the sentence that says whether a plain gate does as well."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.flow.fall_pictures import fall_charts, named_falls
from agent.flow.gate_purpose import falls_of, judge_falls, purpose_verdict
from market.panel import Panel
from tests.helpers import make_panel

DAY = 24


@pytest.fixture(scope="module")
def panel() -> Panel:
    """A flat hourly market that loses 1 % an hour for two days, from the hour 1000 on."""
    close = np.full((3000, 3), 100.0)
    close[1001:1049] = 100.0 * 0.99 ** np.arange(1, 49)[:, None]
    close[1049:] = close[1048]
    return make_panel({**dict.fromkeys(("open", "high", "low", "close"), close), "volume": np.ones((3000, 3))})


def test_a_gate_that_shuts_early_takes_little_of_a_fall(panel: Panel) -> None:
    early, late, never = (np.ones(panel.shape) for _ in range(3))
    early[1004:1100] = 0.0
    late[1040:1100] = 0.0
    rows = judge_falls(panel, {"early": early, "late": late, "never": never}, slice(200, 2800))
    taken = {row["gate"]: max(row["falls"][:1]) for row in rows}
    assert taken["early"] < 0.15
    assert 0.7 < taken["late"] < 1.0
    assert taken["never"] == 1.0
    suffered = {row["gate"]: row["fall_suffered"] for row in rows}
    assert suffered["early"] < suffered["late"] < suffered["never"] == 1.0
    in_vain = {row["gate"]: row["false_shut"] for row in rows}
    assert in_vain["early"] < in_vain["late"]
    assert np.isnan(in_vain["never"])


def test_falls_are_drawn_with_every_gate(panel: Panel) -> None:
    gates = {"flow": np.ones(panel.shape), "plain": np.full(panel.shape, 0.5)}
    drawn = fall_charts(panel, gates, slice(200, 2800))
    assert "2024-02-1" in drawn
    assert "exposure, flow" in drawn
    assert "exposure, plain" in drawn
    assert "nan" not in drawn.lower()
    # What people remember has its name.
    shifted = replace(panel, times=panel.times - panel.times[1000] + np.datetime64("2022-05-05T08", "ns"))
    total = np.zeros(3001)
    assert "LUNA, May 2022" in named_falls(shifted, slice(200, 2800), total, DAY)


def test_falls_do_not_overlap() -> None:
    total = np.cumsum(np.random.default_rng(0).normal(size=4001))
    begins = sorted(falls_of(total, slice(100, 3900), DAY))
    assert len(begins) > 2
    assert min(np.diff(begins)) >= 14 * DAY


@pytest.mark.parametrize(("drawdown_p", "better"), [(0.01, True), (0.40, False)])
def test_a_gate_that_is_better_by_luck_alone_is_not_called_better(drawdown_p: float, better: bool) -> None:
    own = {"portfolio": "the market", "gate": "flow", "drawdown": 0.3, "cvar": 0.02, "drawdown_p": drawdown_p}
    plain = {"portfolio": "the market", "gate": "volatility", "drawdown": 0.4, "cvar": 0.02}
    falls = [{"gate": "flow", "fall_taken": 0.5}, {"gate": "volatility", "fall_taken": 0.9}]
    said = purpose_verdict([{**own, "cvar_p": 0.5}, plain], falls, "flow", "volatility")
    assert ("does better than a plain" in said) is better
    assert ("A plain volatility gate does as well" in said) is not better
    assert "30.0" in said
