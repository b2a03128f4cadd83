"""`alphaglow eval` is a counted trial: what a person looked at had its chance to be lucky."""

from __future__ import annotations

import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from agent.cli.data_show import show_data
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import Inputs, RunConfig, ScoringRules
from agent.study.looking import look_at_factor
from agent.study.opening import open_data
from agent.study.study import read_expression
from agent.study.workspace import Workspace
from factors.tree import Expression
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.commands import as_json, refused, run

FIRST, SECOND = "-ts_mean(returns, 24)", "cs_rank(ts_mean(volume, 12) / ts_mean(volume, 96))"


def test_each_look_counts_and_a_repetition_does_not(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = as_json(capsys, "eval", FIRST)
    two = as_json(capsys, "eval", SECOND)
    assert (one["trials"], two["trials"]) == (1, 2)
    again = as_json(capsys, "eval", FIRST)
    assert again.pop("novelty") == [f"identical to a known factor: attempt {one['attempt']}"]
    one.pop("novelty")
    # What could be found is of now, among one trial more.
    assert again.pop("detectable")["trials"] == one.pop("detectable")["trials"] + 1
    # What to expect goes by what else was scored by then.
    assert again.pop("forward")["raw"] == one.pop("forward")["raw"]
    assert again == one
    # The same factor in other words is the same factor.
    assert as_json(capsys, "eval", "-1 * ts_mean(returns, 24)")["attempt"] == one["attempt"]
    refused(capsys, "eval", "ts_meen(returns, 24)")
    refused(capsys, "eval", "sign(close)")
    assert as_json(capsys, "eval", "ts_std(returns, 24)")["trials"] == 3
    listed = as_json(capsys, "kb", "list", "--all")
    assert [run["config"]["kind"] for run in listed["runs"]] == ["eval"]
    assert [attempt["slot"] for attempt in listed["attempts"]] == [0, 1, 2]
    code, out, _ = run(capsys, "eval", FIRST)
    assert code == 0
    assert "after 1 trial on these data" in out
    assert "no further trial" in out


def test_other_rules_are_another_trial_and_a_run_counts_what_people_looked_at(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = as_json(capsys, "eval", FIRST)
    monkeypatch.setenv("ALPHAGLOW_BACKTEST__HOLDING", "7")
    other = as_json(capsys, "eval", FIRST)
    assert other["trials"] == 2
    assert other["run"] != first["run"]
    mined = as_json(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "3", "--data", "toy")
    attempts = as_json(capsys, "kb", "list", "--run", mined["run"])["attempts"]
    assert attempts
    assert all(attempt["evaluation"]["evidence"]["trials"] >= 2 + 1 for attempt in attempts)
    assert "people evaluated" in refused(capsys, "mine", "--resume", first["run"])
    # What a run scored under the rules of now is known to eval, too.
    known = next(a for a in attempts if a["stage"] == "evidence")
    again = as_json(capsys, "eval", known["canonical"], "--no-gate")
    assert again["attempt"] == known["id"]
    assert again["evidence"]["predicts"]["z"] == known["evaluation"]["evidence"]["predicts"]["z"]


def test_a_look_without_a_record_shows_train_and_gives_no_verdict(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = as_json(capsys, "eval", FIRST, "--no-record")
    assert (seen["evidence"], seen["trials"], seen["recorded"]) == (None, None, False)
    assert "validation" not in seen["scorecard"]
    assert seen["scorecard"]["profiles"] is None
    code, out, _ = run(capsys, "eval", FIRST, "--no-record")
    assert code == 0
    assert "no verdict" in out
    assert not any(word in out for word in ("validation", "accepted", "rejected", "Admission"))
    assert as_json(capsys, "kb", "list")["attempts"] == []
    assert "validation" in refused(capsys, "eval", FIRST, "--no-record", "--ledger", "x.csv")
    # It was no trial: the first that is recorded is the first.
    recorded = as_json(capsys, "eval", FIRST)
    assert recorded["trials"] == 1
    assert recorded["scorecard"]["train"] == seen["scorecard"]["train"]


def test_an_accepted_look_is_a_known_factor(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The market's truth, which looks back too far for so short a market, in fewer bars.
    found = as_json(capsys, "eval", "cs_rank(ts_mean(volume, 24) / ts_mean(volume, 144))")
    verdict = found["evidence"]["verdict"]
    with Workspace(home).knowledge() as knowledge:
        (known,) = knowledge.factors_with_verdict(found["data"], [verdict])
    assert known.factor_id == found["factor"]
    code, out, _ = run(capsys, "report", found["run"])
    assert code == 0, out
    assert verdict in run(capsys, "kb", "show", found["factor"])[1]


def test_a_base_that_cannot_be_written_gives_one_clear_error_and_no_verdict(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_json(capsys, "eval", FIRST)
    other = sqlite3.connect(home / "knowledge.db", isolation_level=None, timeout=1)
    monkeypatch.setattr("agent.knowledge.database.connection.BUSY_SECONDS", 0.2)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert "locked" in refused(capsys, "eval", SECOND)
    finally:
        other.execute("ROLLBACK")
        other.close()


def _expression(text: str, workspace: Workspace) -> Expression:
    found = read_expression(text, open_data(workspace, "toy").study)
    assert isinstance(found, Expression)
    return found


def test_two_who_look_at_once_get_places_of_their_own(home: Path) -> None:
    workspace = Workspace(home)
    texts = [f"ts_mean(returns, {days})" for days in (5, 6, 7, 5)]
    expressions = [_expression(text, workspace) for text in texts]
    opened = open_data(workspace, "toy")
    assert opened.study.target is not None
    with workspace.knowledge() as one, workspace.knowledge() as two:
        barrier = threading.Barrier(2)

        def work(knowledge: KnowledgeBase, which: tuple[int, int]) -> None:
            barrier.wait()
            for number in which:
                look_at_factor(expressions[number], texts[number], opened, knowledge)

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(work, *args) for args in ((one, (0, 1)), (two, (3, 2)))]:
                done.result()
        attempts = one.attempts()
        assert sorted(attempt.slot for attempt in attempts) == [0, 1, 2]
        assert len(one.runs()) == 1
        assert one.trials(opened.study.dataset).evaluated == 3


def test_copies_in_which_people_went_on_apart_can_be_merged(home: Path, tmp_path: Path) -> None:
    workspace = Workspace(home)
    opened = open_data(workspace, "toy")

    def seen(knowledge: KnowledgeBase, days: int) -> None:
        text = f"ts_mean(returns, {days})"
        look_at_factor(_expression(text, workspace), text, opened, knowledge)

    with workspace.knowledge() as ours:
        seen(ours, 5)
    copy = tmp_path / "copy.db"
    copy.write_bytes((home / "knowledge.db").read_bytes())
    with workspace.knowledge() as ours, KnowledgeBase.open(copy) as theirs:
        for days in (6, 7):
            seen(ours, days)
        for days in (7, 8, 9):
            seen(theirs, days)
        with theirs.as_source() as source:
            ours.take_in(source)
        assert sorted(a.canonical or "" for a in ours.attempts()) == [f"ts_mean(returns, {d})" for d in range(5, 10)]
        assert len({a.slot for a in ours.attempts()}) == 5
        with theirs.as_source() as source:
            assert "nothing" in ours.take_in(source).sentence()
        assert ours.trials(opened.study.dataset).evaluated == 5


def test_a_gate_that_was_replaced_makes_another_trial(home: Path) -> None:
    workspace = Workspace(home)
    opened = open_data(workspace, "toy")
    expression = _expression(FIRST, workspace)
    with workspace.knowledge() as knowledge:
        look_at_factor(expression, FIRST, opened, knowledge)
        rules = replace(opened.recorded(), gate=False)
        panel = opened.study.dataset
        assert knowledge.scored_alike(expression.id, panel, rules) is not None
        replaced = replace(rules, inputs=Inputs(gate="sha256:other"))
        assert knowledge.scored_alike(expression.id, panel, replaced) is None
        assert knowledge.scored_alike(expression.id, panel, rules, learned=["learned_x"]) is None


def test_the_kind_of_run_is_read_as_it_was_written() -> None:
    from agent.knowledge.run_config import read_run_config

    config = RunConfig(kind="eval", data="toy", llm="none", rules=ScoringRules(gate=True))
    assert read_run_config(config.to_dict()) == config


def test_what_could_be_seen_is_said_before_and_after(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = as_json(capsys, "eval", FIRST)["detectable"]
    more = as_json(capsys, "eval", SECOND)["detectable"]
    assert (seen["trials"], more["trials"]) == (1, 2)
    assert more["sharpe"] > seen["sharpe"] > 0.0
    shown = as_json(capsys, "data", "show", "--data", "toy")["detectable"]
    alone = float(shown.split("Sharpe ratio of ")[1].split()[0])
    # Of the whole panel before the holdout, where eval leaves out the embargo.
    assert 0.8 * seen["sharpe"] < alone <= seen["sharpe"] + 0.05
    _, out, err = run(capsys, "mine", "--llm", "mock", "--rounds", "2", "--candidates", "2", "--data", "toy")
    # Two that people evaluated, and four to come.
    assert "among 6 trials" in out + err


def test_few_bars_are_no_test_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    whole = make_market(SynthSpec(bars=400)).panel
    show_data(whole.rows(0, 34), "short", as_json=True)
    assert "no test of a factor is possible" in json.loads(capsys.readouterr().out)["detectable"]
    show_data(whole.rows(0, 36), "longer", as_json=True)
    assert "finds a true Sharpe ratio" in json.loads(capsys.readouterr().out)["detectable"]
