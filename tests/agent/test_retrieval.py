"""What bears on a task or a proposal is found: by theme, by descent, by shared parts; and shown to writer and judge."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord, EvaluationRecord, RunRecord
from agent.mining.briefing import write_brief
from agent.mining.forecast import Forecaster
from agent.mining.retrieval import AttemptIndex, crowded, example_of
from agent.mining.search.tasks import Task
from agent.study.settings import Settings
from agent.study.study import backtest_expression, open_study, read_expression, turnover_of
from agent.study.workspace import Workspace
from factors import batch
from factors.tree import Expression
from market.errors import Rejection
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.commands import as_json
from tests.agent.test_search import attempt


def attempt_index() -> AttemptIndex:
    return AttemptIndex(
        [
            attempt(1, "ts_mean(volume, 5) / ts_mean(volume, 50)", 4.0),
            attempt(2, "cs_rank(ts_mean(volume, 5) / ts_mean(volume, 50))", 5.0, parents=["ts_mean(volume, 5)"]),
            attempt(3, "ts_std(returns, 9)", -2.0),
            attempt(4, "ts_std(returns, 9) / close", 1.0),
            attempt(5, "ts_mean(volume, 5)", 2.0),
            replace(attempt(6, "ts_mean(volume, 5) + 1"), evaluation=None),
        ]
    )


def ids(found: list[AttemptRecord]) -> list[int]:
    return [a.id for a in found]


def test_the_largest_shared_part_comes_first_and_the_factor_itself_is_left_out() -> None:
    text = "ts_rank(ts_mean(volume, 5) / ts_mean(volume, 50), 9)"
    assert ids(attempt_index().near(text)) == [1, 2, 5]
    assert ids(attempt_index().near("ts_mean(volume, 5)")) == [1, 2]
    assert ids(attempt_index().near("ts_std(returns, 9) * volume")) == [3, 4]
    assert attempt_index().near("ts_skew(close, 7)") == []
    assert attempt_index().near("no such ((") == []


def test_a_task_is_shown_its_parents_children_or_of_the_best_and_worst_of_its_theme() -> None:
    assert ids(attempt_index().for_task(Task("mutate", "", ("ts_mean(volume, 5)",)))) == [2, 1]
    assert ids(attempt_index().for_task(Task("new", "volatility"))) == [4, 3]
    assert ids(attempt_index().for_task(Task("new", "volume"), 2)) == [2, 5]
    assert attempt_index().for_task(Task("new", "seasonality")) == []


def test_examples_hold_what_train_says_and_of_validation_nothing() -> None:
    scored = replace(
        attempt(1, t=4.0),
        evaluation=EvaluationRecord(
            {"train": {"rank_ic": 0.04, "sharpe_net": 1.5}, "validation": {"rank_ic": 0.777, "sharpe_net": 8.88}},
            {"verdict": "promising", "reasons": ["train is good"], "dsr": 0.123},
            0.1,
            False,
        ),
    )
    shown = str(example_of(scored))
    assert "0.04" in shown
    assert not any(secret in shown for secret in ("promising", "train is good", "0.777", "8.88", "0.123"))


def test_what_is_crowded_is_counted() -> None:
    known = [attempt(k, "ts_mean(volume, 5)", 4 if k < 2 else 1) for k in range(5)]
    known += [attempt(9, "ts_std(returns, 9)"), replace(attempt(10, "ts_std(returns, 8)"), evaluation=None)]
    assert crowded(known) == ("volume: 5 scored, 2 passed", "volatility: 1 scored, 0 passed")


def test_turnover_is_forecast_before_scoring_as_the_backtest_finds_it() -> None:
    panel = make_market(SynthSpec(assets=20, bars=4000, seed=4)).panel
    # The forecast is of trading in full: a rule of its own, which is chosen by a backtest, trades less.
    study = open_study(
        panel, Settings.model_validate({"backtest": {"rule": "as set"}, "split": {"train": 0.7, "validation": 0.15}})
    )
    for text in ("cs_rank(ts_returns(close, 5))", "ts_mean(volume, 24) / ts_mean(volume, 120)"):
        factor = read_expression(text, study)
        assert isinstance(factor, Expression)
        turnover = turnover_of(factor, study)
        found = backtest_expression(factor, study)
        assert not isinstance(found, Rejection)
        assert turnover == pytest.approx(found[1].scorecard.train.turnover, rel=0.15)
        cut = study.recent.times
        assert cut[-1] == study.panel.times[study.split.train.stop - 1]
        whole = np.nanmean(found[1].backtest.turnover[study.split.train.stop - 250 : study.split.train.stop - 2])
        assert turnover == pytest.approx(whole, rel=0.02)


def test_turnover_is_forecast_the_same_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(make_market(SynthSpec(assets=12, bars=1500, seed=4)).panel, Settings())
    factor = read_expression("cs_rank(ts_returns(close, 5))", study)
    assert isinstance(factor, Expression)
    quiet = turnover_of(factor, study)
    hours = itertools.count(0.0, 3600.0)
    monkeypatch.setattr(batch, "time", SimpleNamespace(perf_counter=lambda: next(hours)))
    assert turnover_of(factor, study) == quiet
    # Scoring, which would take more than its time, is given up.
    refused = backtest_expression(factor, study)
    assert isinstance(refused, Rejection)
    assert refused.code == "too_slow"


def test_a_brief_says_what_was_tried_what_is_left_and_what_bears_on_each_task(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mined = as_json(
        capsys,
        "mine",
        "--llm",
        "mock",
        "--rounds",
        "3",
        "--candidates",
        "6",
        "--no-gate",
        "--budget-calls",
        "500",
        "--seed",
        "11",
    )
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        calls = kb.calls(mined["run"])
        run = kb.get_run(mined["run"])
        prompts = [c.request for c in calls if c.key.startswith("r3/") and c.role == "writer"]
        later = [c.request for c in calls if not c.key.startswith("r1/") and c.role == "writer"]
        judged = [c.request for c in calls if c.role == "judge"]
        first = [c.request for c in calls if c.key.startswith("r1/") and c.role == "writer"]
    assert all("of 500 calls" in p and "1 of 3 rounds, 6 candidates" in p for p in prompts)
    assert any("# What is crowded" in p for p in prompts)
    assert any("Known already of this" in p for p in later)
    assert any("# Room left beside what was found" in p for p in later)
    assert all("500 of 500 calls" in p and "What is crowded" not in p for p in first)
    assert all("Turnover: about" in p for p in judged)
    assert any("net_z" in p.split("# What is known of its kind")[1].split("# The best")[0] for p in judged)
    assert isinstance(run, RunRecord)


def test_a_brief_says_what_a_pool_trades_already_where_validation_steers(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_json(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "3", "--no-gate")
    texts = ("cs_rank(ts_mean(volume, 24) / ts_mean(volume, 96))", "-ts_returns(close, 24)")
    asked = [part for text in texts for part in ("--factors", text)]
    as_json(capsys, "pool", "fit", "--name", "first", "--method", "equal", *asked)
    asked = ("mine", "--llm", "mock", "--rounds", "1", "--candidates", "3", "--no-gate", "--seed")
    prompts = []
    for seed, feedback in (("9", "train"), ("10", "validation")):
        (home / "alphaglow.toml").write_text(f'[loop]\nfeedback = "{feedback}"\n')
        mined = as_json(capsys, *asked, seed)
        with KnowledgeBase.open(home / "knowledge.db") as kb:
            prompts.append([c.request for c in kb.calls(mined["run"]) if c.role == "writer"])
    # A fitted pool holds what validation let through.
    assert prompts[0]
    assert not any("a pool of" in prompt for prompt in prompts[0])
    assert prompts[1]
    assert all("a pool of 2 factors is kept already" in prompt for prompt in prompts[1])


def test_without_memory_neither_brief_nor_judge_is_shown_what_was_tried(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (home / "alphaglow.toml").write_text("[loop]\nmemory = false\n")
    mined = as_json(capsys, "mine", "--llm", "mock", "--rounds", "2", "--candidates", "6", "--no-gate")
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        asked = [c.request for c in kb.calls(mined["run"]) if c.key.startswith("r2/")]
    assert asked
    assert not any("; net_z" in text for text in asked)


def test_a_resumed_round_looks_at_the_knowledge_base_as_it_was(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mined = as_json(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "4", "--no-gate")
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        run = kb.get_run(mined["run"])
        known = kb.attempts(panel_id=run.panel_id)
        workspace = Workspace(home)
        study = open_study(workspace.load_panel(None), workspace.settings)
        brief = write_brief(study, kb, run, 2)
        assert brief.attempts_until == known[-1].id
        scored = [a for a in known if a.evaluation is not None]
        early = replace(brief, attempts_until=scored[0].id - 1)
        factor = read_expression(scored[0].canonical or "", study)
        assert isinstance(factor, Expression)
        assert isinstance(Forecaster(study, kb, brief, AttemptIndex(known)).novelty(factor), Rejection)
        assert not isinstance(Forecaster(study, kb, early, AttemptIndex([])).novelty(factor), Rejection)
