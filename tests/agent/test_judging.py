"""The judge compared with what came: skill, forecasts, what is kept of them, and going without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from agent.knowledge.records import AttemptRecord, JudgeVerdict
from agent.mining.judge_skill import LEAST, judge_skill
from tests.agent.commands import as_json, run
from tests.helpers import scored_attempt


def attempt(number: int, score: float, passes: float | None, ic: float, verdict: str) -> AttemptRecord:
    scores = {"novelty": score, "cost": 5.0} | ({} if passes is None else {"passes": passes})
    early = JudgeVerdict(1, False, 0.0, "no", {"novelty": 0.0})
    verdicts = (early, JudgeVerdict(2, True, score, "yes", scores))
    train = {"rank_ic": ic, "payoff_z": 150.0 * ic, "sharpe_net": ic}
    return scored_attempt(number, "x", {"train": train}, verdict, verdicts=verdicts)


def test_a_judge_that_knows_differs_from_one_that_does_not() -> None:
    rng = np.random.default_rng(0)
    ics = rng.normal(0.02, 0.02, size=60)
    knows = [
        attempt(k, 5 + 100 * ic, float(150.0 * ic >= 2.0), ic, "promising" if ic > 0.02 else "rejected")
        for k, ic in enumerate(ics)
    ]
    found = judge_skill(knows)
    assert found.skilled is True
    assert found.correlation == pytest.approx(1.0)
    assert found.brier == 0.0
    assert found.brier_base == pytest.approx(found.passed * (1 - found.passed))
    assert found.by_axis["novelty"] == pytest.approx(1.0)
    assert np.isnan(found.by_axis["cost"])
    guesses = rng.uniform(0, 10, size=60)
    blind = [attempt(k, guess, 0.5, ic, "rejected") for k, (guess, ic) in enumerate(zip(guesses, ics, strict=True))]
    found = judge_skill(blind)
    assert found.skilled is False
    expected = spearmanr(guesses, ics)
    assert (found.correlation, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.brier == pytest.approx(0.25)
    assert "--no-judge" in found.sentence()
    # A judge that is wrong on purpose has no skill either.
    assert judge_skill([attempt(k, -ic * 100, None, ic, "rejected") for k, ic in enumerate(ics)]).skilled is False


def test_too_few_say_nothing() -> None:
    few = [attempt(k, float(k), None, 0.01 * k, "rejected") for k in range(LEAST - 1)]
    found = judge_skill(few)
    assert found.skilled is None
    assert str(LEAST) in found.sentence()
    assert (found.forecasts, judge_skill([]).scored) == (0, 0)


def test_what_is_claimed_and_scored_is_kept_and_shown(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mined = as_json(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "8", "--no-gate")
    factor = mined["factors"][0]["factor"]
    shown = as_json(capsys, "kb", "show", factor)["attempt"]
    assert set(shown["claims"]) >= {"mechanism", "horizon", "fails_when"}
    last = shown["verdicts"][-1]
    assert set(last["scores"]) == {"novelty", "mechanism", "testability", "cost", "overfitting", "passes"}
    _, out, _ = run(capsys, "kb", "show", factor)
    assert "fails when: Simulated" in out
    skill = as_json(capsys, "kb", "judge", mined["run"])
    assert skill["scored"] == skill["forecasts"] == mined["evaluated"]
    code, out, _ = run(capsys, "kb", "judge")
    assert code == 0
    assert "Only what it let through was scored" in out


def test_without_a_judge_half_the_calls_are_made(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = ("mine", "--llm", "mock", "--rounds", "1", "--candidates", "5", "--no-gate")
    alone = as_json(capsys, *plain, "--no-judge")
    assert {line["role"] for line in alone["bill"]} == {"writer"}
    assert alone["evaluated"] >= 3
    assert as_json(capsys, "kb", "judge", alone["run"])["scored"] == 0
