"""A search that varies what did well on train finds nothing where nothing is, and what is there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.evidence import Aim, Trials
from backtest.luck import fingerprint_of
from backtest.max_test import LargestScores
from backtest.mean_test import mean_test
from backtest.policy import Policy
from market.panel import FloatArray

TRAIN, VALIDATION, TRIALS, FIRST = 500, 120, 40, 10
POLICY, NONE = Policy(), np.empty(0)


def searched(rng: np.random.Generator, skill: float = 0.0) -> tuple[bool, bool]:
    """Return whether anything passes one test on all bars, and whether anything passes on train and then validation.

    Three of four trials vary one of the three best so far; with skill, so does each trial share the same edge a bar.
    """
    scores: list[float] = []
    series: list[FloatArray] = []
    given, came = LargestScores(1, 200), LargestScores(2, 200)
    together = apart = False
    for number in range(TRIALS):
        noise = rng.normal(size=TRAIN + VALIDATION)
        if number >= FIRST and rng.random() < 0.75:
            parent = series[int(rng.choice(np.argsort(scores)[-3:]))]
            noise = 0.85 * parent + math.sqrt(1.0 - 0.85**2) * noise
        trials = Trials(TRIALS, 1e-3, 0, given)
        paid = noise + skill
        together = together or trials.test(paid, POLICY, NONE).adjusted_p <= POLICY.level
        on_train = trials.test(paid[:TRAIN], POLICY, NONE)
        fingerprint = fingerprint_of(noise[:TRAIN])
        if number >= FIRST and on_train.adjusted_p <= POLICY.level:
            before = Trials(came.count, 1e-3, 0, came)
            family = Aim(lambda before=before: before, number, TRIALS - 1 - number).on_validation()
            apart = apart or family.test(paid[TRAIN:], POLICY, NONE).adjusted_p <= POLICY.level
            came.add([fingerprint])
        scores.append(mean_test(noise[:TRAIN]).z)
        series.append(noise)
        given.add([fingerprint])
    return together, apart


@pytest.mark.parametrize("runs", [16, pytest.param(40, marks=pytest.mark.slow)])
def test_a_search_by_train_passes_one_test_by_luck_and_not_the_second(runs: int) -> None:
    rng = np.random.default_rng(3)
    found = np.array([searched(rng) for _ in range(runs)])
    together, apart = found.mean(axis=0)
    assert together > 0.15
    assert apart <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def test_a_search_by_train_that_finds_skill_passes_both() -> None:
    rng = np.random.default_rng(4)
    # A score of 6.7 on train, and of 3.3 on validation.
    found = np.array([searched(rng, skill=0.3) for _ in range(8)])
    assert found[:, 1].mean() >= 0.75
