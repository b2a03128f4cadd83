"""How long a signal lasts, on markets where it is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.decay import decay_of
from backtest.result_types import Profile
from backtest.rule_words import decay_sentence
from market.panel import FloatArray
from market.ranking import average_ranks


def lasting(keep: float, seed: int, bars: int = 3000, assets: int = 30) -> FloatArray:
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(bars, assets))
    for t in range(1, bars):
        signal[t] = keep * signal[t - 1] + math.sqrt(1 - keep**2) * signal[t]
    return signal


@pytest.mark.parametrize("half_life", [2.0, 10.0, 40.0])
def test_the_half_life_of_a_signal_is_found(half_life: float) -> None:
    signal = lasting(0.5 ** (1 / half_life), 1)
    _, found = decay_of(average_ranks(signal), np.zeros(signal.shape, np.float32), slice(0, len(signal)))
    # Correlations of ranks are a little below those of normal values.
    assert found == pytest.approx(half_life, rel=0.15)


def test_a_payoff_at_one_age_is_seen_at_that_age_alone() -> None:
    signal = lasting(0.0, 2)
    ranks = average_ranks(signal)
    risk = np.random.default_rng(3).normal(size=signal.shape)
    risk[4:] += 0.5 * signal[:-4]
    points, half_life = decay_of(ranks, risk.astype(np.float32), slice(0, len(signal)))
    paid = {point.lag: point for point in points}
    assert paid[4].z > 8
    assert all(abs(point.z) < 4 for lag, point in paid.items() if lag != 4)
    assert half_life < 1
    # By hand, at one bar: rank weights of four bars ago on the returns of now.
    weights = ranks - ranks.mean(axis=1, keepdims=True)
    weights /= np.abs(weights).sum(axis=1, keepdims=True)
    hand = (weights[:-6] * risk[4:-2]).sum(axis=1).mean()
    assert paid[4].payoff == pytest.approx(hand, rel=1e-5)


def test_nothing_beyond_the_segment_is_read_and_what_stands_still_lasts() -> None:
    signal, risk = lasting(0.9, 4, 800), np.zeros((800, 30), np.float32)
    one = decay_of(average_ranks(signal), risk, slice(100, 500))
    changed = np.where(np.arange(800)[:, None] >= 498, -signal, signal)
    two = decay_of(
        average_ranks(changed), np.where(np.arange(800)[:, None] >= 498, 9, risk).astype(np.float32), slice(100, 500)
    )
    assert one[1] == two[1]
    assert [point.payoff for point in one[0]] == [point.payoff for point in two[0]]
    still = np.tile(np.arange(30.0), (800, 1))
    points, half_life = decay_of(average_ranks(still), risk, slice(0, 800))
    assert math.isinf(half_life)
    profile = Profile((), (), (), (), {}, decay=points, half_life=half_life)
    assert "more than half alike after 128 bars" in decay_sentence(profile)
