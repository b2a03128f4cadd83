"""False discovery rate: which share of what is admitted may be luck, and that it finds what is there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from backtest.discovery import discoveries, discovery_hurdle, discovery_q
from backtest.luck import q_values

LEVEL = 0.05


def test_one_at_a_time_says_what_all_at_once_say() -> None:
    scores = np.random.default_rng(0).standard_normal(60) + np.where(np.arange(60) < 8, 4.0, 0.0)
    whole = q_values(ndtr(-scores), dependent=True)
    np.testing.assert_allclose(discoveries(scores, 60), whole, rtol=1e-9)
    one = [discovery_q(float(scores[k]), np.delete(scores, k), 60) for k in range(60)]
    np.testing.assert_allclose(one, whole, rtol=1e-9)


@pytest.mark.parametrize("trials", [1, 40, 300])
def test_the_hurdle_parts_what_passes_from_what_does_not(trials: int) -> None:
    others = np.random.default_rng(trials).standard_normal(trials - 1) + np.where(np.arange(trials - 1) < 6, 5.0, 0.0)
    hurdle = discovery_hurdle(others, trials, LEVEL)
    assert discovery_q(hurdle + 1e-6, others, trials) <= LEVEL
    assert discovery_q(hurdle - 1e-3, others, trials) > LEVEL
    if trials == 1:
        assert hurdle == pytest.approx(float(ndtri(0.95)))


def test_what_is_not_known_can_only_raise_the_rate() -> None:
    others = np.array([3.0, 1.0, np.nan])
    assert discovery_q(3.5, others, 4) >= discovery_q(3.5, np.array([3.0, 1.0]), 3)
    assert discovery_q(3.5, others, 40) > discovery_q(3.5, others, 4)
    assert math.isnan(discovery_q(float("nan"), others, 4))


@pytest.mark.parametrize("common", [0.0, 0.6], ids=["independent", "correlated"])
def test_the_share_of_luck_in_what_is_admitted_is_as_stated_and_what_is_there_is_found(common: float) -> None:
    """300 knowledge bases of 200 trials, a tenth of them with a score of 4.5 on average."""
    rng = np.random.default_rng(int(10 * common))
    skilled = np.arange(200) < 20
    shares, found, strict = [], [], []
    for _ in range(300):
        noise = rng.standard_normal(200) * math.sqrt(1 - common) + rng.standard_normal() * math.sqrt(common)
        scores = noise + np.where(skilled, 4.5, 0.0)
        admitted = discoveries(scores, 200) <= LEVEL
        shares.append((admitted & ~skilled).sum() / max(1, admitted.sum()))
        found.append(admitted[skilled].mean())
        strict.append((scores[skilled] > ndtri(1 - LEVEL / 200)).mean())
    assert np.mean(shares) <= LEVEL + 2 * np.std(shares) / math.sqrt(len(shares))
    # More than the bound on any false admission at all finds.
    assert np.mean(found) > np.mean(strict) > 0.5
