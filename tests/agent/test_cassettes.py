"""Cassettes: a run recorded is a run replayed, attempt for attempt, without one call; budgets, and the bill."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewCall
from agent.llm.cassette import load_cassette, start_recording
from agent.mining.session import resume_run
from agent.mock import transport
from agent.study.workspace import Workspace
from tests.agent.commands import as_json, refused, run

MINE = ("mine", "--llm", "mock", "--rounds", "2", "--candidates", "4", "--no-gate")


def exchanged(home: Path, run_id: str) -> tuple[list[object], list[object]]:
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        attempts = [
            (a.round, a.slot, a.text, a.canonical, a.stage, a.evaluation and a.evaluation.scorecard_document)
            for a in kb.attempts(run_id=run_id)
        ]
        calls = sorted((c.key, c.request, c.response, c.prompt_tokens) for c in kb.calls(run_id))
    return attempts, calls  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ("", MINE),
        ("[loop]\nproposals = 3\narchive = false\n[backtest]\nfee_bp = 1.0\n", (*MINE, "--budget-calls", "300")),
        ("", ("optimise", "-ts_returns(close, 5)", *MINE[1:])),
    ],
    ids=["plain", "other rules", "optimise"],
)
def test_a_recorded_run_is_replayed_without_a_call(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    settings: str,
    asked: tuple[str, ...],
) -> None:
    (home / "alphaglow.toml").write_text(settings)
    first = as_json(capsys, *asked, "--record", "cassette.jsonl")
    # In a workspace that has not seen the run: what it knew would reach the writer.
    other = tmp_path / "other"
    run(capsys, "init", str(other))
    (other / "data" / "toy.parquet").write_bytes(next((home / "data").glob("*.parquet")).read_bytes())
    assert next((home / "data").glob("*.parquet")).stem == "toy"

    def refuse(*_: object) -> None:
        raise AssertionError("a replay asked the model")

    monkeypatch.setattr(transport, "answer", refuse)
    again = as_json(capsys, "-w", str(other), "mine", "--replay", "cassette.jsonl")
    assert again["status"] == "finished"
    assert exchanged(other, again["run"]) == exchanged(home, first["run"])
    assert again["prompt_tokens"] == first["prompt_tokens"]
    assert "cannot change on --replay" in refused(capsys, "mine", "--replay", "cassette.jsonl", "--rounds", "3")


def test_a_prompt_that_changed_is_shown_as_a_difference(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    as_json(capsys, *MINE, "--record", "cassette.jsonl")
    # The same workspace knows the first run now.
    said = refused(capsys, "mine", "--replay", "cassette.jsonl")
    assert "answers another prompt under r1/s" in said
    assert "--- recorded" in said
    assert "+" in said.split("+++ asked")[1]
    lines = Path("cassette.jsonl").read_text().splitlines()
    Path("short.jsonl").write_text("\n".join(lines[:1]) + "\n")
    assert "holds no call" in refused(capsys, "mine", "--replay", "short.jsonl")
    Path("none.jsonl").write_text("{}\n")
    assert "no cassette" in refused(capsys, "mine", "--replay", "none.jsonl")
    assert "cannot read" in refused(capsys, "mine", "--replay", "missing.jsonl")


def call(key: str, text: str = "answer") -> NewCall:
    return NewCall(
        "r",
        key,
        "writer",
        "m",
        "text",
        "h",
        json.dumps([{"role": "user", "content": "p"}]),
        text,
        "ok",
        1,
        1,
        None,
        0.1,
    )


def test_a_cassette_that_a_crash_cut_off_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "cassette.jsonl"
    recorder = start_recording(path, {"seed": 1})
    for k in range(3):
        recorder.write(call(f"k{k}"))
    path.write_bytes(path.read_bytes()[:-25])
    assert set(load_cassette(path).calls) == {"k0", "k1"}
    # The third was journalled, a fourth was not recorded at all.
    start_recording(path, {"seed": 1}, [call(f"k{k}") for k in range(4)]).write(call("k4"))
    assert set(load_cassette(path).calls) == {f"k{k}" for k in range(5)}
    assert len(path.read_text().splitlines()) == 6
    with pytest.raises(Exception, match="another run"):
        start_recording(path, {"seed": 2})


def test_a_stop_file_ends_the_run_after_saving(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("STOP").touch()
    stopped = as_json(capsys, *MINE)
    assert (stopped["status"], stopped["calls"]) == ("interrupted", 0)
    Path("STOP").unlink()
    resumed = as_json(capsys, "mine", "--resume", stopped["run"])
    assert (resumed["status"], resumed["attempts"]) == ("finished", 8)


def test_a_budget_ends_a_run_that_can_be_gone_on_with(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    short = as_json(capsys, *MINE, "--budget-tokens", "20000")
    assert short["status"] == "budget"
    assert short["prompt_tokens"] + short["completion_tokens"] <= 20_000
    rest = as_json(capsys, "mine", "--resume", short["run"], "--budget-tokens", "10000000")
    assert rest["status"] == "finished"
    bill = rest["bill"]
    assert {(line["round"], line["role"]) for line in bill} == {
        (1, "writer"),
        (1, "judge"),
        (2, "writer"),
        (2, "judge"),
    }
    assert sum(line["calls"] for line in bill) == rest["calls"]
    assert sum(line["prompt_tokens"] for line in bill) == rest["prompt_tokens"]
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        session = resume_run(Workspace(home), kb, short["run"])
        # What was spent before counts on, and the newest bounds are those of the run.
        assert session.budget.tokens == rest["prompt_tokens"] + rest["completion_tokens"]
        assert kb.known_modes("") == {"mock": "json_schema"}
        assert kb.known_modes("http://elsewhere") == {}


def test_either_api_makes_the_same_run_and_a_resumed_one_asks_as_before(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    # A writer reads how much of the budget is left. One candidate at a time: of several, a matter of time decides which
    # one the budget stops, and with it the numbers of attempts, which a judge reads.
    one_by_one = "[loop]\nconcurrency = 1\n"
    (home / "alphaglow.toml").write_text(one_by_one)
    by_chat = as_json(capsys, *MINE, "--budget-calls", "5")
    by_chat = as_json(capsys, "mine", "--resume", by_chat["run"], "--budget-calls", "500")
    run(capsys, "init", str(tmp_path / "other"))
    (tmp_path / "other" / "alphaglow.toml").write_text(one_by_one)
    (tmp_path / "other" / "data" / "toy.parquet").write_bytes((home / "data" / "toy.parquet").read_bytes())
    monkeypatch.chdir(tmp_path / "other")
    asked: list[str] = []
    real = transport.answer

    def listening(request: httpx2.Request, seed: int) -> httpx2.Response:
        asked.append(request.url.path)
        return real(request, seed)

    monkeypatch.setattr(transport, "answer", listening)
    first = as_json(capsys, *MINE, "--api", "responses", "--budget-calls", "5")
    # What the settings say today is not what the run recorded.
    assert "cannot change on --resume" in refused(capsys, "mine", "--resume", first["run"], "--api", "chat")
    rest = as_json(capsys, "mine", "--resume", first["run"], "--budget-calls", "500", "--record", "cassette.jsonl")
    assert set(asked) == {"/v1/responses"}
    assert exchanged(tmp_path / "other", rest["run"]) == exchanged(home, by_chat["run"])
    assert load_cassette(Path("cassette.jsonl")).config["api"] == "responses"
    with KnowledgeBase.open(Path("knowledge.db")) as kb:
        assert (kb.known_modes("", "responses"), kb.known_modes("")) == ({"mock": "json_schema"}, {})
