"""The plan of a round: what earned its keep is drawn more, and variety stays."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.knowledge.claims import Claims
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.mining.brief import Brief, writer_prompt
from agent.mining.inner_loop import by_machine
from agent.mining.search.bandit import reward, rewards
from agent.mining.search.elites import archive
from agent.mining.search.round_plan import plan_tasks
from agent.mining.search.tasks import OPERATIONS, Task
from agent.mining.search.themes import theme_of
from factors.overlap import Novelty
from factors.parse import parse
from factors.tree import Expression
from factors.variants import window_variants
from market.errors import Rejection
from tests.agent.commands import as_json
from tests.helpers import scored_attempt

FIELDS = ("open", "high", "low", "close", "volume", "amount", "returns")


def attempt(
    number: int,
    text: str = "ts_mean(volume, 5)",
    t: float = 0.0,
    verdict: str = "rejected",
    turnover: float = 0.1,
    earns: bool = True,
    **claims: object,
) -> AttemptRecord:
    train = {
        "rank_ic": t / 100,
        "ic_tstat": t,
        "payoff_z": t,
        "turnover": turnover,
        "sharpe_net": t / 2 if earns else -1.0,
    }
    return scored_attempt(number, text, {"train": train}, verdict, **claims)


def drawn(attempts: list[AttemptRecord], count: int = 400, seed: int = 0) -> tuple[Task, ...]:
    return plan_tasks(attempts, FIELDS, count, np.random.default_rng(seed))


def test_without_knowledge_there_are_only_new_ideas_of_all_themes_that_the_data_have() -> None:
    tasks = drawn([])
    assert {task.operation for task in tasks} == {"new"}
    themes = {task.theme for task in tasks}
    assert {"momentum", "reversal", "volume", "seasonality"} <= themes
    assert not {"funding", "open interest", "sentiment"} & themes
    assert "funding" in {t.theme for t in plan_tasks([], (*FIELDS, "funding"), 400, np.random.default_rng(0))}


def test_what_earned_its_keep_is_drawn_more_and_nothing_is_given_up() -> None:
    # Each is better than the one before it, so that each counts in full.
    won = [attempt(k, t=5 + k, verdict="promising", operation="new", theme="volume") for k in range(12)]
    lost = [attempt(50 + k, t=0, operation="new", theme="momentum") for k in range(12)]
    themes = Counter(task.theme for task in drawn([*lost, *won]) if task.operation == "new")
    assert themes["volume"] > 5 * themes["momentum"]
    assert len(themes) >= 5
    spent = [attempt(k, t=4, verdict="rejected", earns=False, operation="mutate") for k in range(30)]
    gained = [
        attempt(100 + k, f"ts_mean(volume, {5 + k})", 6, "accepted", 0.01 * k, operation="cross") for k in range(30)
    ]
    operations = Counter(task.operation for task in drawn([*spent, *gained]))
    assert operations["cross"] > 3 * operations["mutate"]
    assert set(operations) <= set(OPERATIONS)


def test_what_worked_long_ago_is_worked_out() -> None:
    old = [attempt(k, t=5 + k, verdict="promising", operation="new", theme="volume") for k in range(15)]
    since = [attempt(100 + k, operation="new", theme="volume") for k in range(60)]
    early, late = (
        np.mean([task.theme == "volume" for task in drawn(known, 1500) if task.operation == "new"])
        for known in (old, [*old, *since])
    )
    assert late < 0.5 * early


def test_the_archive_keeps_the_best_of_each_kind() -> None:
    fast, slow = "ts_mean(volume, 5)", "ts_mean(volume, 200)"
    kept = archive(
        [
            attempt(1, fast, t=4.0),
            attempt(2, fast, t=6.0),
            attempt(3, slow, t=1.5),
            attempt(4, "ts_std(returns, 5)", t=3.0),
            attempt(5, "ts_std(returns, 5)", t=-8.0),
            attempt(6, fast, t=5.0, turnover=0.9),
        ]
    )
    assert [a.id for a in kept] == [2, 6, 4, 3]
    # What does not predict beyond chance is built on only while there is little else.
    assert {p for task in drawn(kept) for p in task.parents} == {fast, "ts_std(returns, 5)"}
    few = [kept[0], kept[3]]
    assert {p for task in drawn(few) for p in task.parents} == {fast, slow}


def test_operations_get_the_parents_that_they_need() -> None:
    wrong = attempt(1, "ts_skew(returns, 9)", t=-7.0)
    long = attempt(2, "cs_rank(ts_mean(volume, 5) / ts_mean(volume, 50)) + cs_rank(ts_std(returns, 9))", t=5.0)
    short = attempt(3, "ts_std(returns, 9)", t=4.0)
    for task in drawn([wrong, long, short]):
        expected = {"new": 0, "cross": 2}.get(task.operation, 1)
        assert len(task.parents) == expected
        assert len(set(task.parents)) == expected
        if task.operation == "invert":
            assert task.parents == (wrong.canonical,)
        if task.operation == "simplify":
            assert task.parents == (long.canonical,)
        assert wrong.canonical not in task.parents or task.operation == "invert"
    assert {t.operation for t in drawn([short])} == {"new", "mutate", "windows"}


def test_what_predicts_the_wrong_way_is_turned_around_once() -> None:
    wrong = [attempt(k, f"ts_skew(returns, {k})", t=-5.0 - k) for k in range(5, 9)]
    alike = replace(wrong[0], id=50, canonical="cs_rank(ts_skew(returns, 5))")
    turned = attempt(60, "-ts_skew(returns, 6)", t=11.0, operation="invert", parents=["ts_skew(returns, 6)"])
    parents = Counter(p for task in drawn([*wrong, alike, turned]) if task.operation == "invert" for p in task.parents)
    assert parents == {"ts_skew(returns, 5)": 1, "ts_skew(returns, 7)": 1, "ts_skew(returns, 8)": 1}


def test_a_variant_of_what_is_there_is_worth_less_than_the_first() -> None:
    first, worse, better = (attempt(k, t=t, verdict="promising") for k, t in ((1, 5.0), (2, 4.0), (3, 6.0)))
    other = attempt(4, "ts_std(returns, 5)", t=3.5, verdict="promising")
    found = rewards([first, worse, better, other])
    assert found[1] == found[3] == found[4] == 1.0
    assert 0 < found[2] < 0.5


def test_an_idea_is_worth_what_is_made_of_it_and_new_ones_never_cease() -> None:
    idea = attempt(1, "ts_std(close, 9)", t=0.5, operation="new", theme="volatility")
    child = attempt(2, "ts_std(close, 18)", t=0.7, operation="mutate", parents=[idea.canonical])
    grandchild = attempt(
        3, "ts_std(close, 36)", t=9.0, verdict="promising", operation="mutate", parents=[child.canonical]
    )
    found = rewards([idea, child, grandchild])
    assert found[3] == 1.0
    assert found[2] == pytest.approx(0.8)
    assert found[1] == pytest.approx(0.64)
    # A circle of parents ends.
    loop = [replace(idea, claims=Claims(parents=(child.canonical or "",))), child]
    assert set(rewards(loop)) == {1, 2}
    spent = [attempt(k, f"ts_mean(volume, {k})", operation="new", theme="volume") for k in range(60)]
    gained = [attempt(100 + k, f"ts_std(volume, {k + 2})", 9 + k, "promising", operation="mutate") for k in range(60)]
    assert 0.25 < np.mean([task.operation == "new" for task in drawn([*spent, *gained])]) < 0.4


def test_rewards_and_themes() -> None:
    assert reward(attempt(1, t=1.0)) == 0.0
    assert 0 < reward(attempt(1, t=4.0, earns=False)) < reward(attempt(1, t=2.5)) < reward(attempt(1, t=4.0)) == 1.0
    # What validation said is not part of it.
    assert reward(attempt(1, t=4.0, verdict="accepted")) == reward(attempt(1, t=4.0, verdict="rejected"))
    assert reward(replace(attempt(1), evaluation=None)) == 0.0
    assert theme_of(attempt(1, "funding * 2")) == "funding"
    assert theme_of(attempt(1, "funding * 2", theme="reversal")) == "reversal"
    assert theme_of(attempt(1, "-ts_returns(close, 5)")) == "reversal"
    assert theme_of(attempt(1, "ts_returns(close, 5)")) == "momentum"
    assert theme_of(attempt(1, "ts_mean(abs(returns) / amount, 5)")) == "liquidity"


def test_the_writer_is_given_its_task_and_no_other() -> None:
    brief = Brief(
        1, "g", FIELDS, "ops", (), (), (), "market", tasks=(Task("new", "volume"), Task("cross", "", ("a", "b")))
    )
    again = Brief.from_dict(brief.to_dict())
    assert again == brief
    _, first = writer_prompt(again, [0])
    _, second = writer_prompt(again, [1])
    assert "Theme: volume (how much is traded" in first
    assert "Parent:" not in first
    assert "Parent: a\nParent: b" in second
    assert "Your task" not in writer_prompt(again, [2])[1]


def test_windows_are_tried_by_machine_until_one_is_new() -> None:
    parent = parse("ts_mean(volume, 10) / ts_mean(volume, 100)")
    assert isinstance(parent, Expression)
    texts = window_variants(parent.root, 150, np.random.default_rng(0))
    assert len(texts) == len(set(texts)) >= 10
    assert "ts_mean(volume, 5) / ts_mean(volume, 50)" in texts
    for text in texts:
        read = parse(text)
        assert isinstance(read, Expression)
        assert read.lookback <= 150
        assert read.text != parent.text
    asked: list[str] = []

    def look(expression: Expression) -> Novelty | Rejection:
        asked.append(expression.text)
        return Rejection("novelty", "duplicate", "was") if len(asked) < 4 else Novelty()

    task = Task("windows", parents=(parent.text,))
    found = by_machine(task, 150, [1, 2, 3], parse, look)
    assert found.expression is not None
    assert found.expression.text == asked[3]
    assert found.rejection is None
    again = by_machine(task, 150, [1, 2, 3], parse, lambda _: Novelty())
    assert again.expression is not None
    assert again.expression.text == asked[0]
    third = by_machine(task, 150, [1, 2, 3], parse, lambda _: Novelty(), skip=2)
    assert third.expression is not None
    assert third.expression.text == asked[2]
    none = by_machine(Task("windows", parents=("close - open",)), 150, [1], parse, look)
    assert none.rejection is not None
    assert none.rejection.code == "no_windows"


def test_a_run_records_what_each_candidate_was_asked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mined = as_json(capsys, "mine", "--llm", "mock", "--rounds", "3", "--candidates", "8", "--no-gate")
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        attempts = kb.attempts(run_id=mined["run"])
        calls = {call.key.split("/t")[0] for call in kb.calls(mined["run"])}
    assert all(a.claims.operation in OPERATIONS for a in attempts)
    assert all(a.claims.operation == "new" for a in attempts if a.round == 1)
    by_hand = {f"r{a.round}/s{a.slot}" for a in attempts if a.claims.operation == "windows"}
    # What the machine proposes takes no call, and is a trial all the same.
    assert not by_hand & calls
    assert len(attempts) == 24
    (home / "alphaglow.toml").write_text("[loop]\nsearch = false\n")
    free = as_json(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "3", "--no-gate")
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        assert not any(a.claims.operation for a in kb.attempts(run_id=free["run"]))
