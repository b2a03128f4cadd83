"""What the choice among correlated rules adds to luck: exact where it is known, of stated size where it is drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.mean_test import one_sided_p
from backtest.rule_test import best_of_p, chosen_score


@pytest.mark.parametrize("z", [-1.0, 0.5, 1.645, 3.0, 5.0, 7.5])
def test_the_best_of_independent_and_of_equal_scores(z: float) -> None:
    alone = one_sided_p(z)
    assert best_of_p(z, np.eye(8)) == pytest.approx(1.0 - (1.0 - alone) ** 8, rel=0.02)
    assert best_of_p(z, np.ones((8, 8))) == pytest.approx(alone, rel=1e-6)
    assert best_of_p(z, np.ones((1, 1))) == alone


def test_the_best_of_two_correlated_scores_is_what_draws_say() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(size=400_000)
    second = 0.8 * first + 0.6 * rng.normal(size=400_000)
    share = float((np.maximum(first, second) > 2.0).mean())
    assert best_of_p(2.0, np.array([[1.0, 0.8], [0.8, 1.0]])) == pytest.approx(share, rel=0.03)


def test_a_chosen_score_is_lowered_more_by_rules_that_differ_more() -> None:
    near = chosen_score(4.0, np.full((8, 8), 0.95) + 0.05 * np.eye(8))
    far = chosen_score(4.0, np.full((8, 8), 0.3) + 0.7 * np.eye(8))
    assert 3.4 < far < near < 3.95
    assert chosen_score(12.0, np.eye(8)) < 12.0
    assert math.isnan(chosen_score(float("nan"), np.eye(3)))


def test_choosing_on_train_keeps_the_size_of_a_test_on_train_and_validation() -> None:
    """Eight rules without skill, correlated as rates of a signal are; train is five parts of six, and chooses."""
    rng = np.random.default_rng(2)
    place = np.arange(8.0)
    correlation = 0.8 ** np.abs(place[:, None] - place)
    root = np.linalg.cholesky(correlation)
    passed = plain = 0
    for _ in range(1500):
        train, validation = root @ rng.normal(size=8), root @ rng.normal(size=8)
        best = int(train.argmax())
        z = math.sqrt(5 / 6) * train[best] + math.sqrt(1 / 6) * validation[best]
        plain += z > 1.645
        passed += chosen_score(z, correlation) > 1.645
    # Without the allowance it would pass three times as often as stated.
    assert plain / 1500 > 0.12
    assert 0.025 < passed / 1500 < 0.062
