"""Improving a given factor: what is tried, what is built upon, how sure the gain is; several writers, many a call."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.mining.optimising import Improvement, improvement
from agent.mining.search.round_plan import Writers, plan_refinements, plan_tasks
from agent.mining.search.tasks import Task
from agent.mining.search.themes import REFINEMENTS
from agent.study.study import open_study
from agent.study.workspace import Workspace
from backtest.ic import newey_west_t
from tests.agent.commands import as_json, refused
from tests.agent.test_search import FIELDS, attempt
from tests.helpers import scored_attempt

START = "-ts_returns(close, 5)"


def scored(number: int, text: str, net: float, t: float = 3.0, **claims: object) -> AttemptRecord:
    train = {"rank_ic": t / 100, "ic_tstat": t, "turnover": 0.1, "sharpe_net": net}
    return scored_attempt(number, text, {"train": train}, **claims)


def refined(attempts: list[AttemptRecord], line: list[AttemptRecord], count: int = 300) -> tuple[Task, ...]:
    return plan_refinements(START, attempts, line, count, np.random.default_rng(0))


def test_the_given_factor_is_scored_first_and_only_once() -> None:
    tasks = refined([], [])
    assert tasks[0] == Task("given", parents=(START,))
    assert all(task.parents == (START,) for task in tasks)
    assert {task.operation for task in tasks[1:]} == {"refine", "windows"}
    assert {task.theme for task in tasks if task.operation == "refine"} == set(REFINEMENTS)
    known = scored(1, START, 1.0)
    assert "given" not in {task.operation for task in refined([known], [])}


def test_a_given_factor_that_predicts_the_wrong_way_is_turned_around_first() -> None:
    wrong = scored(1, START, -1.0, t=-6.0)
    assert refined([wrong], [])[0] == Task("invert", parents=(START,))
    turned = scored(2, "ts_returns(close, 5)", 1.0, operation="invert", parents=[START])
    assert "invert" not in {task.operation for task in refined([wrong, turned], [turned])}


def test_the_best_of_the_line_is_built_upon_and_what_gains_is_tried_more() -> None:
    start = scored(1, START, 1.0)
    line = []
    for k in range(12):
        line.append(scored(10 + k, f"a{k}", 1.2, operation="refine", theme="smooth", parents=[START]))
        line.append(scored(40 + k, f"b{k}", -0.5, operation="refine", theme="confirm", parents=[START]))
    line.append(scored(99, "best", 3.0, operation="refine", theme="smooth", parents=[START]))
    tasks = refined([start, *line], line)
    parents = Counter(task.parents[0] for task in tasks)
    assert parents.most_common(1)[0][0] == "best"
    assert not any(text.startswith("b") and text != "best" for text in parents)
    themes = Counter(task.theme for task in tasks if task.operation == "refine")
    assert themes["smooth"] > 3 * themes["confirm"]


def test_the_writer_that_earns_its_cost_writes_more_and_a_call_has_one_writer() -> None:
    good = [attempt(k, f"ts_mean(volume, {k + 2})", 5, "promising", model="good") for k in range(20)]
    poor = [attempt(50 + k, f"ts_std(close, {k + 2})", 0.1, model="poor") for k in range(20)]
    known = [*good, *poor]

    def writers(costs: dict[str, float] | None, batch: int = 1) -> list[str]:
        found = plan_tasks(
            known, FIELDS, 300, np.random.default_rng(0), writers=Writers(("good", "poor"), costs, batch)
        )
        return [task.model for task in found if not task.by_machine]

    assert Counter(writers(None))["good"] > 200
    dear = Counter(writers({"good": 400.0, "poor": 1.0}))
    assert dear["poor"] > dear["good"]
    tasks = plan_tasks(known, FIELDS, 12, np.random.default_rng(1), writers=Writers(("good", "poor"), None, 4))
    for start in range(0, 12, 4):
        assert len({t.model for t in tasks[start : start + 4] if not t.by_machine}) <= 1
    assert {t.model for t in plan_tasks(known, FIELDS, 9, np.random.default_rng(0))} == {""}


def test_without_an_archive_the_best_are_parents_whatever_their_kind() -> None:
    known = [attempt(k, f"ts_mean(volume, {k})", t=5.0 + k / 10) for k in range(3, 9)]
    kinds, best = (
        {p for task in plan_tasks(known, FIELDS, 300, np.random.default_rng(0), varied=varied) for p in task.parents}
        for varied in (True, False)
    )
    assert kinds == {"ts_mean(volume, 8)"}
    assert len(best) == 6


def test_a_journey_from_a_factor_to_its_improvement(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("optimise", START, "--llm", "mock", "--rounds", "2", "--candidates", "5", "--no-gate")
    found = as_json(capsys, *asked)
    gain = found["improvement"]
    assert gain["given"]["canonical"] == START
    assert gain["given"]["claims"]["operation"] == "given"
    # The trail has every try in its order: what was changed, why, how it was traded, and what came of it.
    trail = gain["trail"]
    assert len(trail) == 10
    assert (trail[0]["change"], trail[0]["factor"], trail[0]["best"]) == ("given", START, True)
    assert [step["iteration"] for step in trail[1:]] == [1] * 4 + [2] * 5
    assert all(step["change"] and step["why"] and step["verdict"] for step in trail)
    assert all(step["rule"] for step in trail if step["sharpe_net"] is not None)
    bests = [step["sharpe_net"] for step in trail if step["best"]]
    assert bests == sorted(bests)
    assert bests[-1] == max(step["sharpe_net"] for step in trail if step["sharpe_net"] is not None)
    nets = [a["evaluation"]["scorecard"]["train"]["sharpe_net"] for a in gain["tried"]]
    assert nets == sorted(nets, reverse=True)
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        attempts = kb.attempts(run_id=found["run"])
        assert len(attempts) == 10
        workspace = Workspace(home)
        study = open_study(workspace.load_panel(None), workspace.settings)
        again = improvement(found["run"], START, study, kb)
        assert (again.best is None) == (nets[0] <= gain["given"]["evaluation"]["scorecard"]["train"]["sharpe_net"])
        if again.best is not None:
            assert again.p_value == pytest.approx(gain["p_value"])
            assert again.p_value <= 1
            assert np.isfinite(newey_west_t(np.random.default_rng(0).normal(size=50)))
        known = kb.get_factor(gain["given"]["factor_id"]).factor_id
    # The second time, by its id: it is known and not scored again.
    other = as_json(capsys, "optimise", known[7:17], "--llm", "mock", "--rounds", "1", "--candidates", "3", "--no-gate")
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        assert not any(a.claims.operation == "given" for a in kb.attempts(run_id=other["run"]))
        assert len(kb.attempts(run_id=other["run"])) == 3
    went_on = as_json(capsys, "optimise", "--resume", other["run"], "--rounds", "2")
    assert went_on["attempts"] == 6


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (("optimise", "--llm", "mock"), "which factor?"),
        (("optimise", "ts_meen(close, 5)", "--llm", "mock"), "did you mean ts_mean"),
        (("optimise", "0123456789abcdef", "--llm", "mock"), "no factor"),
        (("optimise", "close", "--resume", "r1"), "cannot change on --resume"),
    ],
)
def test_what_cannot_be_improved_is_refused(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    asked: tuple[str, ...],
    answer: str,
) -> None:
    assert answer in refused(capsys, *asked)


def test_several_proposals_a_call_make_the_same_attempts_with_fewer_calls(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (home / "alphaglow.toml").write_text("[loop]\nproposals = 4\n")
    mined = as_json(capsys, "mine", "--llm", "mock", "--rounds", "2", "--candidates", "6", "--no-gate")
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        keys = [call.key for call in kb.calls(mined["run"])]
        attempts = kb.attempts(run_id=mined["run"])
    assert len(attempts) == 12
    assert "r1/s0-3/t1/writer/1" in keys
    assert "r1/s4-5/t1/writer/1" in keys
    assert not any(key.endswith("s0/t1/writer/1") for key in keys)
    first = [key for key in keys if "/t1/writer/1" in key and key.startswith("r1/")]
    assert len(first) == 2


def test_what_is_rejected_is_not_praised() -> None:
    def one(number: int, net: float, verdict: str) -> AttemptRecord:
        train = {"sharpe_net": net, "sharpe_error": 0.6}
        return scored_attempt(number, "close", {"train": train}, verdict)

    best = Improvement(one(1, -2.0, "rejected"), one(2, -1.25, "rejected"), (one(2, -1.25, "rejected"),), 1.0, 0.4)
    said = best.sentence()
    assert said.startswith(
        "the best of 1 is rejected: it loses on train after costs, with a net Sharpe ratio of -1.25 (error 0.60)"
    )
    assert "the given factor is rejected: it loses" in said
    assert said.endswith("luck explains it as well")
    assert "earns" not in said
    sure = replace(best, best=one(3, 2.5, "promising"), p_value=0.01).sentence()
    assert "promising: it earns on train after costs, with a net Sharpe ratio of +2.50 (error 0.60)" in sure
    none = replace(best, best=None, tried=()).sentence()
    assert "nets more on train than the given factor, rejected: it loses" in none
