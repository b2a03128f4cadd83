"""Scorecards and verdicts: published numbers, what validation may tell, and what luck looks like."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from agent.knowledge.score_documents import read_scorecard
from backtest.confirmation import Shortlisted, TestedBefore, confirm
from backtest.discovery import TrialScores
from backtest.evidence import Trials, deflated_sharpe, expected_max_sharpe, probabilistic_sharpe, reach_verdict
from backtest.ic import forward_returns
from backtest.policy import Policy
from backtest.result_types import Evidence
from backtest.scorecard import Scored, score_signal
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from market.panel import FloatArray, Panel
from market.split import Split, loop_panel, make_split
from tests.helpers import random_panel


@pytest.fixture(scope="module")
def panel() -> Panel:
    return random_panel(1200, 12, 3)


@pytest.fixture(scope="module")
def split() -> Split:
    return make_split(1200, embargo=20)


def scored(values: FloatArray, panel: Panel, split: Split, gate: FloatArray | None = None) -> Scored:
    loop = loop_panel(panel, split)
    gate = None if gate is None else gate[: len(loop.times)]
    target = prepare_target(loop, BacktestSpec())
    found = score_signal(values[: len(loop.times)], target, split, gate=gate, rng=np.random.default_rng(0))
    assert isinstance(found, Scored)
    return found


def foresight(panel: Panel, noise: float) -> FloatArray:
    future = np.nan_to_num(forward_returns(panel, 1))
    return future + noise * np.random.default_rng(4).normal(size=panel.shape)


def test_deflated_sharpe_of_the_published_example() -> None:
    # Bailey & López de Prado (2014), the numerical example: SR 2.5 a year, 1250 days, 100 trials of variance 1/2.
    per_day = 2.5 / math.sqrt(250)
    found = deflated_sharpe(per_day, 1250, -3.0, 10.0, Trials(100, 0.5 / 250))
    assert found == pytest.approx(0.9004, abs=5e-5)
    assert expected_max_sharpe(Trials(100, 0.5 / 250)) == pytest.approx(0.1132, abs=5e-5)


def test_more_trials_deflate_more() -> None:
    values = [deflated_sharpe(0.1, 1000, 0, 3, Trials(n, 0.001)) for n in (1, 2, 10, 100, 10_000)]
    assert values == sorted(values, reverse=True)
    assert values[0] == probabilistic_sharpe(0.1, 0.0, 1000, 0, 3)


def test_the_expected_maximum_is_that_of_simulated_luck() -> None:
    draws = np.random.default_rng(0).normal(0, 0.03, (20_000, 50)).max(axis=1).mean()
    assert expected_max_sharpe(Trials(50, 0.03**2)) == pytest.approx(draws, rel=0.02)


def test_noise_is_not_accepted_and_foresight_is(panel: Panel, split: Split) -> None:
    verdicts = [
        reach_verdict(
            scored(np.random.default_rng(seed).normal(size=panel.shape), panel, split), Trials(20, 1e-3)
        ).verdict
        for seed in range(10)
    ]
    assert verdicts == ["rejected"] * 10
    evidence = reach_verdict(scored(foresight(panel, 0.003), panel, split), Trials(20, 1e-3))
    assert evidence.verdict == "accepted"
    assert any("IC" in audit for audit in evidence.audits)


def test_the_same_factor_falls_when_it_was_the_thousandth_try(panel: Panel, split: Split) -> None:
    result = scored(foresight(panel, 0.08), panel, split)
    few, many = (reach_verdict(result, Trials(n, 0.01)) for n in (2, 10**7))
    assert many.dsr < few.dsr
    assert few.predicts.z == many.predicts.z
    assert few.predicts.adjusted_p < many.predicts.adjusted_p
    assert (few.verdict, many.verdict) == ("accepted", "promising")


def at_the_end(result: Scored, before: TestedBefore | None = None) -> Evidence:
    """Return the evidence of a factor that a search found by itself, after validation was asked."""
    on_train = reach_verdict(result, Trials(20, 1e-3), aimed=True)
    assert (on_train.verdict, on_train.predicts.decided_on) == ("untested", "train")
    assert not on_train.accepted
    shortlist = [Shortlisted(result, on_train, np.eye(8)[0])]
    return confirm(shortlist, before or TestedBefore(), Policy())[0]


def test_a_search_that_train_led_is_tested_on_validation(panel: Panel, split: Split) -> None:
    """What a search makes of luck on train passes on all bars together, and not on validation."""
    seen = foresight(panel, 0.02)
    lucky = np.random.default_rng(5).normal(size=panel.shape)
    lucky[split.train] = seen[split.train]
    together = reach_verdict(scored(lucky, panel, split), Trials(20, 1e-3))
    assert together.predicts.adjusted_p < 0.01
    apart = at_the_end(scored(lucky, panel, split))
    assert apart.verdict == "rejected"
    assert apart.predicts.decided_on == "validation"
    assert "validation does not confirm" in "; ".join(apart.reasons)


def test_what_is_there_on_validation_too_is_admitted_whoever_led(panel: Panel, split: Split) -> None:
    found = at_the_end(scored(foresight(panel, 0.02), panel, split))
    assert found.accepted, found.reasons
    assert (found.predicts.decided_on, found.predicts.among) == ("validation", 1)
    assert found.predicts.bars == pytest.approx(split.validation.stop - split.validation.start, abs=5)


def test_what_train_does_not_show_never_comes_to_validation(panel: Panel, split: Split) -> None:
    values = np.random.default_rng(8).normal(size=panel.shape)
    values[split.validation] = foresight(panel, 0.02)[split.validation]
    found = reach_verdict(scored(values, panel, split), Trials(20, 1e-3), aimed=True)
    assert found.verdict == "rejected"
    assert found.predicts.decided_on == "train"


def test_what_validation_tested_before_makes_it_harder_to_pass(panel: Panel, split: Split) -> None:
    result = scored(foresight(panel, 0.05), panel, split)
    alone = at_the_end(result)
    zeros = np.zeros(6)
    before = TestedBefore(TrialScores(zeros, zeros), list(np.eye(8)[1:7]))
    among = at_the_end(result, before)
    assert (alone.predicts.among, among.predicts.among) == (1, 7)
    assert alone.predicts.hurdle < among.predicts.hurdle
    assert alone.predicts.z == among.predicts.z
    assert alone.predicts.adjusted_p <= among.predicts.adjusted_p


def test_a_wrong_sign_says_so(panel: Panel, split: Split) -> None:
    evidence = reach_verdict(scored(-foresight(panel, 0.003), panel, split), Trials(5, 1e-3))
    assert "negate" in evidence.reasons[0]


def test_reasons_hold_no_figure_of_validation(panel: Panel, split: Split) -> None:
    for noise in (0.002, 0.02, 0.2):
        result = scored(foresight(panel, noise), panel, split)
        words = " ".join([*reach_verdict(result, Trials(7, 1e-3)).reasons])
        assert set(re.findall(r"\d+\.?\d*", words)) <= {"7", f"{abs(result.scorecard.train.payoff_z):.1f}"}


def test_scores_do_not_read_past_their_segment(panel: Panel, split: Split) -> None:
    values = foresight(panel, 0.01)
    loop = loop_panel(panel, split)
    assert len(loop.times) == split.validation.stop
    card = scored(values, panel, split).scorecard
    late = {name: np.vstack([v[: split.train.stop], v[split.train.stop :] * 3]) for name, v in panel.fields.items()}
    assert scored(values, panel.with_fields(late), split).scorecard.train.to_dict() == card.train.to_dict()


def test_the_gate_is_shown_beside_its_placebos(panel: Panel, split: Split) -> None:
    gate = (np.random.default_rng(9).random(panel.shape) > 0.1).astype(float)
    card = scored(foresight(panel, 0.02), panel, split, gate).scorecard
    for part in (card.train, card.validation):
        assert math.isfinite(part.sharpe_gated)
        assert math.isfinite(part.sharpe_vol_gated)
        assert math.isfinite(part.sharpe_random_gated)
        assert 0 <= part.shift_percentile <= 1
        assert part.mean_exposure < 1


def test_a_scorecard_survives_json(panel: Panel, split: Split) -> None:
    card = scored(foresight(panel, 0.02), panel, split).scorecard
    text = json.dumps(card.to_dict(), allow_nan=False)
    assert read_scorecard(json.loads(text)).to_dict() == card.to_dict()
    assert "holdout" not in text
