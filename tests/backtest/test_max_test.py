"""The test of the best of many: its hurdle depends on how trials go together, and on nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from backtest.luck import fingerprint_of, q_values
from backtest.max_test import LargestScores, step_down_p
from backtest.mean_test import mean_test, one_sided_p
from market.panel import FloatArray

BARS = 500


def _prints(returns: FloatArray) -> list[FloatArray]:
    return [fingerprint_of(column) for column in returns.T]


def _largest(returns: FloatArray, seed: int = 0) -> LargestScores:
    largest = LargestScores(seed)
    largest.add(_prints(returns))
    return largest


def _noise(columns: int, seed: int = 1, bars: int = BARS) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((bars, columns))


@pytest.mark.parametrize("trials", [1, 10, 100, 1_000])
def test_independent_trials_have_the_hurdle_of_sidak(trials: int) -> None:
    hurdle = _largest(_noise(trials)).hurdle(0.05)
    assert hurdle == pytest.approx(float(ndtri(0.95 ** (1.0 / trials))), abs=0.12)


def test_clones_count_as_few() -> None:
    blocks = np.repeat(_noise(5), 20, axis=1) + 0.05 * _noise(100, seed=2)
    assert _largest(blocks).hurdle(0.05) < _largest(_noise(100)).hurdle(0.05) - 0.4
    assert _largest(blocks).effective() < 15


def test_skill_among_the_trials_does_not_raise_the_hurdle() -> None:
    noise = _noise(100)
    skilled = noise.copy()
    skilled[:, :30] += 0.3
    assert _largest(skilled).hurdle(0.05) == pytest.approx(_largest(noise).hurdle(0.05), abs=1e-3)


def test_a_trial_and_its_negation_are_both_counted() -> None:
    noise = _noise(1)
    both = _largest(np.hstack([noise, -noise])).hurdle(0.05)
    assert both == pytest.approx(float(ndtri(0.975)), abs=0.1)


def test_trials_one_by_one_give_what_all_at_once_give() -> None:
    noise = _noise(75)
    single = LargestScores(0)
    for fingerprint in _prints(noise):
        single.add([fingerprint])
    assert single.count == 75
    # To the last bit: how often somebody asked in between does not show.
    np.testing.assert_array_equal(single.largest, _largest(noise).largest)
    parts = LargestScores(0)
    prints = _prints(noise)
    for some in (prints[:7], prints[7:40], prints[40:]):
        parts = parts.copy()
        parts.add(some)
    np.testing.assert_array_equal(parts.largest, single.largest)
    assert single.hurdle(0.05) == pytest.approx(float(ndtri(0.95 ** (1 / 75))), abs=0.15)


def test_what_never_moves_is_no_trial() -> None:
    largest = LargestScores(0)
    largest.add([np.zeros(0), fingerprint_of(np.zeros(200))])
    assert largest.count == 0
    assert largest.adjusted_p(2.0) == pytest.approx(one_sided_p(2.0))


def test_trials_still_to_come_raise_the_hurdle() -> None:
    largest = _largest(_noise(10))
    assert largest.hurdle(0.05, more=90) == pytest.approx(_largest(_noise(100)).hurdle(0.05), abs=0.15)


@settings(max_examples=25)
@given(st.floats(-2.0, 12.0), st.integers(1, 80))
def test_the_adjusted_p_lies_between_that_of_one_trial_and_bonferroni(z: float, trials: int) -> None:
    found = _largest(_noise(trials)).adjusted_p(z)
    alone = one_sided_p(z)
    assert alone <= found <= min(1.0, trials * alone) + 1e-12


def test_adjusted_p_and_hurdle_agree() -> None:
    largest = _largest(_noise(50))
    hurdle = largest.hurdle(0.05)
    assert largest.adjusted_p(hurdle + 0.05) < 0.05 < largest.adjusted_p(hurdle - 0.05)
    assert math.isnan(largest.adjusted_p(float("nan")))


@pytest.mark.parametrize(
    "kind", ["fat", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("independent", "clones"))]
)
def test_the_best_of_a_hundred_passes_as_often_as_stated(kind: str) -> None:
    passed, runs = 0, 60
    for run in range(runs):
        rng = np.random.default_rng([run, 4])
        if kind == "clones":
            returns = np.repeat(rng.standard_normal((250, 5)), 20, axis=1) + 0.05 * rng.standard_normal((250, 100))
        else:
            returns = rng.standard_t(4, (250, 100)) if kind == "fat" else rng.standard_normal((250, 100))
        best = max(mean_test(column).z for column in returns.T)
        passed += _largest(returns, seed=run).adjusted_p(best) <= 0.05
    assert passed / runs <= 0.05 + 2.0 * math.sqrt(0.05 * 0.95 / runs)


def test_stepping_down_finds_what_pays_and_nothing_else() -> None:
    returns = _noise(50)
    returns[:, :3] += 0.35
    scores = np.array([mean_test(column).z for column in returns.T])
    found = step_down_p(scores, _prints(returns)) <= 0.05
    assert found[:3].all()
    assert not found[3:].any()


def test_stepping_down_is_what_its_definition_says() -> None:
    returns = _noise(120, seed=5)
    returns[:, :6] += np.linspace(0.1, 0.3, 6)
    scores, prints = np.array([mean_test(column).z for column in returns.T]), _prints(returns)
    # Hurdle after hurdle, drawn again among the rest until nothing more is found.
    found = np.zeros(len(scores), dtype=bool)
    while True:
        rest = LargestScores(0)
        rest.add([prints[k] for k in np.flatnonzero(~found)])
        new = ~found & (scores > rest.hurdle(0.05))
        if not new.any():
            break
        found |= new
    p = step_down_p(scores, prints)
    clear = np.abs(p - 0.05) > 0.02
    np.testing.assert_array_equal((p <= 0.05)[clear], found[clear])
    # Never below one trial alone, nor above Bonferroni; the better the score, the smaller.
    alone = np.array([one_sided_p(float(z)) for z in scores])
    able = alone <= 0.05
    assert ((alone <= p) & (p <= np.minimum(1.0, 120 * alone)))[able].all()
    assert (np.diff(p[able][np.argsort(-scores[able])]) >= 0.0).all()
    # It finds whatever one test among all finds.
    largest = _largest(returns)
    single = np.array([largest.adjusted_p(float(z)) for z in scores])
    assert (p[able] <= single[able] + 0.02).all()


def test_trials_without_known_returns_count_as_independent_in_stepping_down() -> None:
    scores = np.array([2.0, 0.3, float("nan"), 3.2])
    few = step_down_p(scores, [np.zeros(0)] * 4)
    many = step_down_p(scores, [np.zeros(0)] * 4, more=400)
    assert (few <= 0.05).tolist() == [False, False, False, True]
    assert few[0] < many[0]
    assert math.isnan(few[2])
    assert many[3] > 0.05


def test_q_values_under_dependence_are_those_of_scipy() -> None:
    from scipy.stats import false_discovery_control

    p = np.random.default_rng(0).random(40) ** 3
    expected = false_discovery_control(p, method="by")
    assert q_values(np.insert(p, 5, np.nan), dependent=True)[np.arange(41) != 5] == pytest.approx(expected)
    assert np.isnan(q_values(np.array([np.nan]), dependent=True)).all()
