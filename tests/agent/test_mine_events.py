"""`mine --json`: an event a line, as it goes; the last is the summary; who closes the pipe asks the run to stop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.common import json_line
from agent.cli.events import Lines
from agent.knowledge.knowledge_base import KnowledgeBase
from tests.agent.commands import as_json, run

MINE = ("mine", "--llm", "mock", "--rounds", "2", "--candidates", "3", "--no-gate")


def events_of(capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, Any]]:
    code, out, err = run(capsys, *argv, "--json")
    assert code == 0, err
    assert "\x1b" not in out
    return [json.loads(line) for line in out.splitlines()]


def test_a_run_is_shown_event_by_event(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = events_of(capsys, *MINE)
    kinds = [event["event"] for event in said]
    first, last = said[0], said[-1]
    assert (first["event"], first["candidates"], first["simulated"]) == ("run", 6, True)
    assert (last["event"], last["status"], last["run"]) == ("summary", "finished", first["run"])
    assert [event["round"] for event in said if event["event"] == "round"] == [1, 2]
    assert kinds.count("lessons") == 2
    assert kinds.index("call") < kinds.index("proposed") < kinds.index("attempt") < kinds.index("lessons")

    # What was said is what is kept, and adds up to the summary.
    calls = [event for event in said if event["event"] == "call"]
    assert len(calls) == last["calls"]
    assert sum(call["prompt_tokens"] for call in calls) == last["prompt_tokens"]
    assert {call["role"] for call in calls} == {"writer", "judge"}
    attempts = [event for event in said if event["event"] == "attempt"]
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        kept = kb.attempts(run_id=first["run"])
        keys = {call.key for call in kb.calls(first["run"])}
    assert keys == {call["key"] for call in calls}
    assert [(a["round"], a["slot"], a["attempt"], a["stage"], a["factor"]) for a in attempts] == [
        (a.round, a.slot, a.id, a.stage, a.factor_id) for a in kept
    ]
    for event, attempt in zip(attempts, kept, strict=True):
        if attempt.evaluation is None:
            assert event["figures"] is None
            assert event["code"]
        else:
            assert event["figures"]["rank_ic"] == attempt.evaluation.scorecard.train.rank_ic
            assert event["verdict"] == attempt.evaluation.evidence.verdict


def test_a_resumed_run_tells_only_what_is_new(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = events_of(capsys, *MINE, "--budget-calls", "5")
    rest = events_of(capsys, "mine", "--resume", first[0]["run"], "--budget-calls", "500")
    assert rest[0]["done"] == sum(event["event"] == "attempt" for event in first)
    keys = [event["key"] for event in first + rest if event["event"] == "call"]
    assert len(keys) == len(set(keys)) == rest[-1]["calls"]
    places = [(e["round"], e["slot"]) for e in first + rest if e["event"] == "attempt"]
    assert sorted(places) == [(r, s) for r in (1, 2) for s in range(3)]


def test_what_is_said_before_the_run_comes_after_its_line(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = events_of(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "1")
    assert [event["event"] for event in said[:2]] == ["run", "note"]
    assert "no gate for toy" in said[1]["text"]


def test_who_closes_the_pipe_asks_the_run_to_stop(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [sys.executable, "-m", "agent", *MINE, "--rounds", "200", "--json"]
    process = subprocess.Popen(argv, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    begun = json.loads(process.stdout.readline())
    assert begun["event"] == "run"
    # The line came while the run goes on.
    assert process.poll() is None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=300) == 0
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert f"mine --resume {begun['run']}" in err
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        assert kb.get_run(begun["run"]).status == "interrupted"
    rest = as_json(capsys, "mine", "--resume", begun["run"], "--rounds", "1")
    assert (rest["status"], rest["attempts"] >= 3) == ("finished", True)


def test_a_closed_stdout_is_a_wish_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    lines = Lines(warn=said.append)
    monkeypatch.setattr(sys, "stdout", None)
    lines.say("round", round=1)
    lines.say("round", round=2)
    assert lines.closed
    assert len(said) == 1


@given(st.text() | st.text(st.characters(max_codepoint=0x9F)) | st.text(st.characters(categories=["Cc", "Cf", "Cs"])))
def test_a_line_of_json_holds_nothing_that_commands_a_terminal(text: str) -> None:
    line = json_line({"it is": text})
    # Two half surrogates in a row are one character to JSON.
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert json.loads(line) == {"it is": whole}
    line.encode()
    assert len(line.splitlines()) == 1
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2066\u200f\u2028" for c in line)
