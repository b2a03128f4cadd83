"""The verdict in one sentence: both tests, their numbers with errors, and no advice where nothing is seen."""

from __future__ import annotations

from dataclasses import replace

from backtest.policy import train_words
from backtest.result_types import Evidence, Scorecard, SegmentScore
from backtest.result_types import Tested as MeanOf
from backtest.scorecard import unscored_segment
from backtest.verdict_words import verdict_sentence
from tests.helpers import random_panel

PANEL = random_panel(60, 12)
SEEN = MeanOf(800, 0.031, 0.009, 3.4, 0.0003, 0.02, 2.9)
UNSEEN = MeanOf(800, -0.00012, 0.0001, -1.2, 0.88, 1.0, 2.9)


def card(tstat: float = 1.0, weighting: str = "rank") -> Scorecard:
    train: SegmentScore = replace(unscored_segment(PANEL, slice(0, 40)), ic_tstat=tstat)
    return Scorecard(train, train, 365.0, weighting, 1, 10.0)


def evidence(predicts: MeanOf, earns: MeanOf) -> Evidence:
    return Evidence(False, "rejected", (), 0.1, 0.1, 25, predicts=predicts, earns=earns)


def test_both_tests_are_said_with_numbers_and_errors() -> None:
    said = verdict_sentence(evidence(SEEN, UNSEEN), card())
    assert said == (
        "predicts: pays 3.10 ± 0.90 % of an asset's deviation a bar before costs (score 3.4, p 0.02 among 25 trials); "
        "does not earn: nets -1.2 ± 1.0 bp a bar (score -1.2, p 1 among 25 trials)"
    )
    alone = verdict_sentence(evidence(replace(SEEN, mean=0.0003, error=0.0001), UNSEEN), card(weighting="timeseries"))
    assert "pays 3.0 ± 1.0 bp a bar before costs" in alone


def test_a_factor_that_ranks_and_does_not_pay_is_called_that() -> None:
    assert verdict_sentence(evidence(UNSEEN, UNSEEN), card(6.0)).endswith("; ranks, not money")
    assert "ranks" not in verdict_sentence(evidence(UNSEEN, UNSEEN), card(2.0))
    assert "ranks" not in verdict_sentence(evidence(SEEN, SEEN), card(6.0))


def test_what_was_not_tested_is_not_judged() -> None:
    few = MeanOf(12, 0.1, float("nan"), float("nan"), float("nan"), float("nan"), 2.0)
    assert "12 bars are too few" in verdict_sentence(evidence(few, few), card())
    assert verdict_sentence(Evidence(True, "accepted", (), 0.9, 0.9, 3), card()) == ""


def test_below_two_standard_errors_nothing_is_advised() -> None:
    for z in (-1.9, -0.27, 0.0, 1.9):
        assert "negate" not in train_words(z)
        assert "other way" not in verdict_sentence(evidence(replace(UNSEEN, z=z), UNSEEN), card())
    assert "predicts the other way" in verdict_sentence(evidence(replace(UNSEEN, z=-3.0), UNSEEN), card())
