"""The admission policy: gates in order, each with its number and bar, and none that tells of validation."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from backtest.evidence import Trials, reach_verdict
from backtest.ic import forward_returns
from backtest.policy import GATES, NearestKnown, Policy, TrainFigures, train_gates
from backtest.result_types import Evidence
from backtest.scorecard import Scored, score_signal
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from market.errors import InputError
from market.panel import FloatArray
from market.split import make_split
from tests.helpers import random_panel

PANEL = random_panel(1200, 12, 3)


@cache
def scored(noise: float, *, sign: float = 1.0, broken: bool = False) -> Scored:
    values: FloatArray = np.nan_to_num(forward_returns(PANEL)) + noise * np.random.default_rng(4).normal(
        size=PANEL.shape
    )
    if broken:
        values[850:] *= -1
    split = make_split(1200, fractions=(0.7, 0.2, 0.1), embargo=20)
    loop = PANEL.rows(0, split.validation.stop)
    found = score_signal(
        sign * values[: len(loop.times)],
        prepare_target(loop, BacktestSpec()),
        split,
        rng=np.random.default_rng(0),
    )
    assert isinstance(found, Scored)
    return found


def failed(evidence: Evidence) -> list[str]:
    return [gate.gate for gate in evidence.gates if not gate.passed]


def test_every_gate_says_its_number_and_its_bar_in_order() -> None:
    evidence = reach_verdict(scored(0.003), Trials(20, 1e-3), nearest=NearestKnown(0.2, "close", 0.1, "volume"))
    assert [gate.gate for gate in evidence.gates] == list(GATES)
    assert evidence.accepted
    for gate in evidence.gates:
        assert gate.bar
        assert all(np.isfinite(value) for value in gate.numbers.values()), gate


def test_each_gate_stops_what_it_is_there_for() -> None:
    good, trials = scored(0.003), Trials(20, 1e-3)
    assert failed(reach_verdict(good, trials, nearest=NearestKnown(correlation=-0.8, correlates="close"))) == ["sanity"]
    assert failed(reach_verdict(good, trials, Policy(max_overlap=0.5), NearestKnown(0.6, "close"))) == ["novelty"]
    assert failed(reach_verdict(good, trials, Policy(min_ic_t=1e6))) == ["train_ic"]
    assert failed(reach_verdict(good, trials, Policy(min_kept=0.999))) in (["validation"], [])
    assert "validation" in failed(reach_verdict(scored(0.003, broken=True), trials))
    assert failed(reach_verdict(good, trials, Policy(min_sharpe=1e6))) == ["net_sharpe"]
    luck = reach_verdict(good, Trials(10**9, 1.0))
    assert (failed(luck), luck.verdict) == (["dsr"], "promising")
    wrong = reach_verdict(scored(0.003, sign=-1.0), trials)
    assert "train_ic" in failed(wrong)
    assert "negate" in wrong.reasons[0]


def test_gates_may_be_left_out_and_stand_in_any_order() -> None:
    policy = Policy(gates=("dsr", "train_ic"), min_sharpe=1e6)
    evidence = reach_verdict(scored(0.003), Trials(20, 1e-3), policy)
    assert [gate.gate for gate in evidence.gates] == ["dsr", "train_ic"]
    assert evidence.accepted


@pytest.mark.parametrize("gates", [("dsr", "luck"), ("dsr", "dsr")])
def test_gates_that_do_not_exist_are_refused(gates: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="gate"):
        Policy(gates=gates)


@pytest.mark.parametrize("noise", [0.002, 0.02, 0.2])
@pytest.mark.parametrize("broken", [False, True])
def test_words_hold_no_figure_of_validation(noise: float, broken: bool) -> None:
    result = scored(noise, broken=broken)
    train = f"{result.scorecard.train.ic_tstat:.1f}"
    policy = Policy(max_overlap=0.5, max_correlation=0.2)
    evidence = reach_verdict(result, Trials(7, 1e-3), policy, NearestKnown(0.9, "close", 0.9, "volume"))
    words = " ".join(word for gate in evidence.gates for word in gate.words)
    assert set(re.findall(r"-?\d+\.?\d*", words)) <= {"7", "0.95", "3", train, train.lstrip("-")}


def test_effective_trials_are_shown_and_admit_nobody() -> None:
    many = Trials(10**9, 1.0, effective=2)
    evidence = reach_verdict(scored(0.05), many)
    assert evidence.dsr_effective > evidence.dsr
    assert not evidence.accepted
    assert evidence.effective_trials == 2


def test_train_alone_decides_what_it_can() -> None:
    good = TrainFigures(rank_ic=0.02, ic_tstat=5.0, coverage=0.9, sharpe_gross=2.0, traded=1.0)
    policy = Policy()
    assert [g.gate for g in train_gates(good, policy)] == ["sanity", "train_ic", "net_sharpe"]
    assert all(g.passed for g in train_gates(good, policy))
    # What it would be traded with is not known before there is a gate's exposure.
    assert [g.gate for g in train_gates(replace(good, traded=float("nan")), policy)] == ["sanity", "train_ic"]
    words = [g.words[0] for g in train_gates(replace(good, traded=-1.0), policy) if not g.passed]
    assert words == ["costs eat what it earns on train: trade less"]
    assert not train_gates(replace(good, ic_tstat=float("nan")), policy)[1].passed
