"""A search that varies what did well on train finds nothing where nothing is, and what is there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.confirmation import adjusted_for_all
from backtest.evidence import Trials
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
    came: list[tuple[float, FloatArray, FloatArray]] = []
    given, together = LargestScores(1, 200), False
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
            came.append((on_train.z, fingerprint, paid[TRAIN:]))
        scores.append(mean_test(noise[:TRAIN]).z)
        series.append(noise)
        given.add([fingerprint])
    return together, passes_at_the_end(came)


def passes_at_the_end(came: list[tuple[float, FloatArray, FloatArray]]) -> bool:
    """Whether validation confirms any of the best of each idea."""
    listed: list[tuple[float, FloatArray, FloatArray]] = []
    for one in sorted(came, key=lambda c: -c[0]):
        if all(abs(float(one[1] @ other[1])) < 0.7 for other in listed):
            listed.append(one)
    if not listed:
        return False
    found = np.array([mean_test(paid).z for _, _, paid in listed])
    adjusted, _ = adjusted_for_all(found, [print_ for _, print_, _ in listed], POLICY, 0)
    return bool((adjusted <= POLICY.level).any())


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
