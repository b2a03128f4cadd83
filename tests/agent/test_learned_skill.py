"""Whether a learner is better than guessing: said when it is, and not of one that knows how often classes come."""

from __future__ import annotations

import numpy as np
import pytest

from agent.learned.channels import given_channels
from agent.learned.half_kelly import half_kelly, win_loss_ratio
from agent.learned.rivals import Boosting
from agent.learned.skill import judge_probabilities, judge_signal, skill_of
from agent.learned.targets import TargetSpec
from agent.learned.temperature import softmax
from agent.learned.walk import WalkPlan, walk_panel
from market.synthetic.demo_market import SynthSpec, make_market


def drawn(strength: float, seed: int = 0, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that lean to the class that comes by `strength`, and the classes."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, size=count, p=[0.25, 0.5, 0.25])
    logits = (
        np.log([0.25, 0.5, 0.25]) + strength * (labels[:, None] == np.arange(3)) + 0.3 * rng.normal(size=(count, 3))
    )
    return softmax(logits), labels


def test_a_learner_that_knows_something_is_better_than_guessing() -> None:
    folds = []
    for seed in range(3):
        said, labels = drawn(0.4, seed)
        folds.append({"skill": judge_probabilities(said, labels, labels.astype(float))})
    skill = skill_of(folds)
    assert skill is not None
    assert skill.better
    assert skill.sentence().startswith("Better than guessing")
    assert "ln 3 is 1.0986" in skill.sentence()
    assert np.sum(skill.confusion) == 12_000
    assert skill.accuracy == pytest.approx(np.trace(skill.confusion) / 12_000)
    assert skill.precision()[1] == pytest.approx(skill.confusion[1][1] / np.array(skill.confusion)[:, 1].sum())
    assert skill.direction is not None
    assert skill.direction > 0.5


def test_knowing_how_often_classes_come_is_guessing() -> None:
    _, labels = drawn(0.0)
    shares = np.tile([0.25, 0.5, 0.25], (len(labels), 1))
    rng = np.random.default_rng(1)
    noisy = softmax(np.log(shares) + 0.1 * rng.normal(size=shares.shape))
    skill = skill_of([{"skill": judge_probabilities(noisy, labels, labels.astype(float))}])
    assert skill is not None
    # Below ln 3, and no better than the shares.
    assert skill.log_loss is not None
    assert skill.log_loss < np.log(3)
    assert not skill.better
    assert skill.sentence().startswith("Not better than guessing")
    # Brier scores by hand: of the guess, the sum of the squared distances of (1/4, 1/2, 1/4) from what came.
    share = (labels == 1).mean()
    assert skill.guess_brier == pytest.approx(share * 0.375 + (1 - share) * 0.875, abs=0.01)


def test_a_learner_that_knows_whether_but_not_which_way_is_said_to() -> None:
    rng = np.random.default_rng(5)
    moves = rng.random(6000) < 0.5
    labels = np.where(moves, rng.choice([0, 2], size=6000), 1)
    # It sees whether something moves, and guesses the side.
    side = rng.choice([0, 2], size=6000)
    said = np.where(np.arange(3) == np.where(moves, side, 1)[:, None], 0.5, 0.25)
    skill = skill_of([{"skill": judge_probabilities(said, labels, labels.astype(float))}])
    assert skill is not None
    assert skill.better
    assert skill.direction_error == pytest.approx(0.5 / np.sqrt(moves.sum()), rel=0.5)
    assert "it knows whether something moves, not which way" in skill.direction_sentence()
    # One that sees the side is not spoken of so.
    seen = np.where(np.arange(3) == np.where(rng.random(6000) < 0.3, labels, side)[:, None], 0.5, 0.25)
    sided = skill_of([{"skill": judge_probabilities(seen, labels, labels.astype(float))}])
    assert sided is not None
    assert "better than guessing, 0.5." in sided.direction_sentence()


def test_half_kelly_is_half_of_what_lets_capital_grow_fastest() -> None:
    grid = np.linspace(0.0, 0.99, 100_000)
    for p, q, ratio in ((0.5, 0.3, 1.0), (0.4, 0.35, 1.5), (0.6, 0.1, 0.8)):
        growth = p * np.log1p(grid * ratio) + q * np.log1p(-grid)
        said = np.array([[q, 1 - p - q, p], [p, 1 - p - q, q]])
        long, short = half_kelly(said, ratio, 1.0)
        assert long == pytest.approx(0.5 * grid[growth.argmax()], abs=1e-4)
        assert short == -long
    assert half_kelly(np.array([[0.1, 0.1, 0.8]]), 1.0, 0.02)[0] == 0.02
    # Wins that pay too little are not taken, and where nothing moves nothing is.
    assert half_kelly(np.array([[0.4, 0.1, 0.5], [0.0, 1.0, 0.0]]), 0.5, 1.0).tolist() == [0.0, 0.0]


def test_wins_over_losses_are_of_the_side_that_is_called() -> None:
    said = np.tile([[0.2, 0.2, 0.6], [0.6, 0.2, 0.2]], (40, 1))
    returns = np.where(np.arange(80) % 4 < 2, 0.03, -0.01)
    # Long wins 3 of 4 or loses 1; short wins 1 where it falls, loses 3 where it rises.
    assert win_loss_ratio(said, returns) == pytest.approx(1.0)
    assert win_loss_ratio(said[::2], np.tile([0.03, -0.01], 40)[: len(said[::2])][:40]) == 1.0
    long = np.tile([[0.2, 0.2, 0.6]], (80, 1))
    assert win_loss_ratio(long, returns) == pytest.approx(3.0)


def test_signals_are_judged_by_how_they_go_with_what_came() -> None:
    rng = np.random.default_rng(2)
    labels = rng.normal(size=3000)
    good, blind = 0.3 * labels + rng.normal(size=3000), rng.normal(size=3000)
    good[:5] = np.nan
    for signal, better in ((good, True), (blind, False)):
        skill = skill_of([{"skill": judge_signal(signal, labels)}])
        assert skill is not None
        assert skill.better is better
        assert skill.confusion == ()
        assert "guessing is 0" in skill.sentence()


def test_folds_that_were_never_judged_say_nothing() -> None:
    assert skill_of([{"train": 5}]) is None
    assert skill_of([]) is None


def test_boosting_tells_probabilities_and_is_judged_by_log_loss() -> None:
    pytest.importorskip("sklearn")
    panel = make_market(SynthSpec(bars=900, assets=6)).panel
    features = given_channels(["returns", "rsi(close, 14)"])
    plan = WalkPlan(features, window=8, target=TargetSpec("barrier", horizon=6), folds=2, max_windows=1200)
    walked = walk_panel(panel, plan, Boosting(rounds=5))
    skill = skill_of(walked.facts)
    assert skill is not None
    assert skill.log_loss is not None
    assert 0.5 < skill.log_loss < 1.5
    assert 0.4 < float(str(skill.brier)) < 0.9
    assert np.sum(skill.confusion) > 1000
    assert "log loss" in skill.sentence()
