"""The admission policy: gates in order, each with its number and bar, and none that tells of validation."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from backtest.costs import Costs
from backtest.evidence import Trials, reach_verdict
from backtest.ic import forward_returns
from backtest.luck import fingerprint_of
from backtest.max_test import LargestScores
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
    luck = reach_verdict(scored(0.2), Trials(10**9, 1.0))
    assert {"predicts", "earns"} <= set(failed(luck))
    assert luck.verdict == "rejected"
    wrong = reach_verdict(scored(0.003, sign=-1.0), trials)
    assert {"predicts", "earns"} <= set(failed(wrong))
    assert "negate" in wrong.reasons[0]


def test_what_predicts_and_does_not_earn_is_promising() -> None:
    costs = score_signal(
        np.nan_to_num(forward_returns(PANEL))[:1080] + 0.003 * np.random.default_rng(4).normal(size=(1080, 12)),
        prepare_target(PANEL.rows(0, 1080), BacktestSpec(costs=Costs(fee_bp=100.0))),
        make_split(1200, fractions=(0.7, 0.2, 0.1), embargo=20),
        rng=np.random.default_rng(0),
    )
    assert isinstance(costs, Scored)
    evidence = reach_verdict(costs, Trials(20, 1e-3))
    assert (failed(evidence), evidence.verdict) == (["earns"], "promising")
    assert evidence.reasons == ("costs eat what it pays on train: trade less",)


def test_no_advice_is_given_where_nothing_is_seen() -> None:
    for seed in range(20):
        figures = TrainFigures(float(seed) / 10.0 - 1.0, 0.0, 1.0)
        words = " ".join(word for gate in train_gates(figures, Policy()) for word in gate.words)
        assert "negate" not in words


def test_gates_may_be_left_out_and_stand_in_any_order() -> None:
    policy = Policy(gates=("earns", "predicts"), max_correlation=1e-9)
    evidence = reach_verdict(scored(0.003), Trials(20, 1e-3), policy)
    assert [gate.gate for gate in evidence.gates] == ["earns", "predicts"]
    assert evidence.accepted


def test_gates_of_an_earlier_policy_say_what_stands_in_their_place() -> None:
    with pytest.raises(InputError, match="train_ic, dsr are of an earlier policy; predicts, earns stand"):
        Policy(gates=("novelty", "train_ic", "dsr"))


@pytest.mark.parametrize("gates", [("earns", "luck"), ("earns", "earns")])
def test_gates_that_do_not_exist_are_refused(gates: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="gate"):
        Policy(gates=gates)


@pytest.mark.parametrize("noise", [0.002, 0.02, 0.2])
@pytest.mark.parametrize("broken", [False, True])
def test_words_hold_no_figure_of_validation(noise: float, broken: bool) -> None:
    result = scored(noise, broken=broken)
    train = f"{result.scorecard.train.payoff_z:.1f}"
    policy = Policy(max_overlap=0.5, max_correlation=0.2)
    evidence = reach_verdict(result, Trials(7, 1e-3), policy, NearestKnown(0.9, "close", 0.9, "volume"))
    words = " ".join(word for gate in evidence.gates for word in gate.words)
    assert set(re.findall(r"-?\d+\.?\d*", words)) <= {"7", train, train.lstrip("-")}


def test_deflated_ratios_are_shown_and_rule_nothing() -> None:
    many = Trials(10**5, 1.0, effective=2)
    evidence = reach_verdict(scored(0.003), many)
    assert evidence.dsr < 0.5 < evidence.dsr_effective
    assert evidence.accepted
    assert evidence.effective_trials == 2


def test_clones_among_the_trials_cost_less_than_strangers() -> None:
    rng = np.random.default_rng(1)
    one, others = rng.normal(size=1080), rng.normal(size=(100, 1080))
    clones, strangers = LargestScores(0), LargestScores(0)
    clones.add([fingerprint_of(one + 0.05 * other) for other in others])
    strangers.add([fingerprint_of(other) for other in others])
    of_clones, of_strangers = (
        reach_verdict(scored(0.1), Trials(101, 1e-3, largest=largest)).predicts for largest in (clones, strangers)
    )
    assert of_clones.z == of_strangers.z
    assert of_clones.hurdle < of_strangers.hurdle - 0.5
    assert of_clones.adjusted_p <= of_strangers.adjusted_p


def test_train_alone_decides_what_it_can() -> None:
    good = TrainFigures(payoff_z=5.0, net_z=1.0, coverage=0.9)
    policy = Policy()
    assert [g.gate for g in train_gates(good, policy)] == ["sanity", "predicts", "earns"]
    assert all(g.passed for g in train_gates(good, policy))
    # What it would be traded with is not known before there is a gate's exposure.
    assert [g.gate for g in train_gates(replace(good, net_z=float("nan")), policy)] == ["sanity", "predicts"]
    words = [g.words[0] for g in train_gates(replace(good, net_z=-1.0), policy) if not g.passed]
    assert words == ["it does not earn on train after costs (score -1.0): trade less"]
    assert not train_gates(replace(good, payoff_z=float("nan")), policy)[1].passed
