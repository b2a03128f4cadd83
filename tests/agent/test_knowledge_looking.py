"""Looking into a knowledge base: SQL that cannot write, words, lineage, and checks that find what was tampered with."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.mining.replies import Proposal
from tests.agent.commands import as_json, prepare, refused, run


@pytest.fixture(scope="module")
def whole(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which a run was mined; tests change copies of it."""
    folder = tmp_path_factory.mktemp("looking") / "w"
    shutil.copytree(prepared, folder)
    prepare("-w", str(folder), "mine", "--llm", "mock", "--rounds", "3", "--candidates", "6", "--no-gate")
    return folder


@pytest.fixture
def mined(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The run, as it is listed, in the knowledge base of the current folder."""
    folder = tmp_path / "w"
    shutil.copytree(whole, folder)
    monkeypatch.chdir(folder)
    with KnowledgeBase.open(folder / "knowledge.db") as knowledge:
        (run,) = knowledge.runs()
        return {"run": run.id, "calls": len(knowledge.calls(run.id))}


def test_sql_reads_and_cannot_write(mined: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    counted = as_json(capsys, "kb", "sql", "SELECT count(*) AS n FROM attempts")
    assert counted == {"columns": ["n"], "rows": [[18]], "cut": False}
    assert as_json(capsys, "kb", "sql", "SELECT id FROM attempts", "--limit", "5")["cut"] is True
    assert "attempts" in as_json(capsys, "kb", "sql")
    words = as_json(capsys, "kb", "sql", "SELECT count(*) FROM attempt_words WHERE attempt_words MATCH 'simul*'")
    assert words["rows"][0][0] > 0
    before = Path("knowledge.db").read_bytes()
    for text in (
        "DELETE FROM attempts",
        "UPDATE runs SET seed = 1",
        "DROP TABLE lessons",
        "ATTACH DATABASE 'other.db' AS other",
        "PRAGMA journal_mode = DELETE",
        "INSERT INTO lessons DEFAULT VALUES",
        "SELECT 1; DROP TABLE lessons",
        "SELECT writefile('x', 'y')",
        "VACUUM INTO 'copy.db'",
        "nonsense",
        "SELECT * FROM no_such_table",
    ):
        assert "SQL:" in refused(capsys, "kb", "sql", text), text
    assert Path("knowledge.db").read_bytes() == before
    assert not Path("other.db").exists()
    assert not Path("copy.db").exists()


def test_words_and_lineage(mined: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "kb", "search", "simulated", "amount")
    assert found
    assert all("amount" in str(a).lower() for a in found)
    assert [a["match"] for a in found] == sorted((a["match"] for a in found), reverse=True)
    assert as_json(capsys, "kb", "search", "no-such-word") == []
    assert "what is to be found" in refused(capsys, "kb", "search")
    everything = as_json(capsys, "kb", "list", "--all")["attempts"]
    theme = next(a["claims"]["theme"] for a in everything if a["claims"].get("theme"))
    by_theme = {a["id"] for a in as_json(capsys, "kb", "search", "--theme", theme)}
    assert by_theme >= {a["id"] for a in everything if a["claims"].get("theme") == theme}
    assert len(by_theme) < len(everything)
    assert "there are momentum" in refused(capsys, "kb", "search", "--theme", "astrology")
    some = next(a for a in everything if a["evaluation"])
    related = as_json(capsys, "kb", "search", "--like", some["factor_id"])
    assert all(a["shared"] in a["canonical"] and a["factor_id"] != some["factor_id"] for a in related)
    listed = as_json(capsys, "kb", "list")["attempts"]
    child = next(a for a in listed if a["parent_ids"])
    tree = as_json(capsys, "kb", "lineage", child["factor_id"])
    parents = {related["factor"] for related in tree["built_on"]}
    assert parents
    assert parents <= set(child["parent_ids"])
    back = as_json(capsys, "kb", "lineage", next(iter(parents)))
    assert child["factor_id"] in {related["factor"] for related in back["led_to"]}
    code, out, _ = run(capsys, "kb", "lineage", child["factor_id"])
    assert code == 0
    assert "built on" in out


def test_prompts_and_replies_are_read_again(mined: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    every = as_json(capsys, "kb", "calls", str(mined["run"]))
    assert len(every) == mined["calls"]
    with sqlite3.connect("knowledge.db") as connection:
        stored = connection.execute("SELECT sum(length(request) + length(response)) FROM llm_calls").fetchone()[0]
    assert stored < 0.5 * sum(len(call["request"]) + len(call["response"]) for call in every)
    code, out, _ = run(capsys, "kb", "calls", str(mined["run"]), "--key", every[0]["key"])
    assert code == 0
    for said in (*(m["content"].splitlines()[0] for m in json.loads(every[0]["request"])), every[0]["response"]):
        assert said in out
    assert "holds no call" in refused(capsys, "kb", "calls", str(mined["run"]), "--key", "r9/s9")


def test_what_was_tampered_with_is_found(mined: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "kb", "verify") == {"faults": []}
    with sqlite3.connect("knowledge.db") as connection:
        (changed,) = connection.execute("SELECT min(id) FROM attempts WHERE factor_id IS NOT NULL").fetchone()
        connection.execute("UPDATE attempts SET canonical = 'cs_rank(close)' WHERE id = ?", (changed,))
        connection.execute("UPDATE llm_calls SET request = ? WHERE id = 2", (zlib.compress(b"[]"),))
        connection.execute("UPDATE tallies SET attempts = attempts + 1, effective_trials = effective_trials + 1")
        connection.execute(
            "UPDATE trial_returns SET cluster = -1 WHERE attempt_id = (SELECT max(cluster) FROM trial_returns)"
        )
        connection.execute("DELETE FROM attempt_words_docsize WHERE id = 4")
        connection.execute("UPDATE trial_returns SET likeness = 1 WHERE attempt_id = :changed", {"changed": changed})
        connection.execute("INSERT INTO attempt_parents VALUES ('factor:ff', 1)")
        connection.execute("INSERT INTO verdicts (attempt_id, turn, accept, score, critique) VALUES (999, 1, 1, 1, '')")
    code, out, _ = run(capsys, "kb", "verify")
    assert code == 1
    assert f"attempt {changed}: cs_rank(close) is factor:" in out
    assert "its prompt is not the one that was asked" in out
    assert "of verdicts points at a row of attempts" in out
    assert "attempts of its trials is kept as 19, and counted as 18" in out
    assert "effective_trials of its trials is kept as" in out
    assert "its cluster is kept as attempt -1" in out
    assert "parents of attempts are indexed, and there are" in out
    assert "are not found under the number that is kept (1)" in out
    assert "the words of 17 attempts are indexed, and there are 18" in out
    with sqlite3.connect("knowledge.db") as connection:
        connection.execute("UPDATE llm_calls SET response = 'plain' WHERE id = 2")
    code, out, _ = run(capsys, "kb", "verify")
    assert code == 1
    assert "a reply that cannot be read" in out
    assert "a reply that cannot be read" in refused(capsys, "kb", "calls", str(mined["run"]))


def test_what_a_model_writes_commands_no_terminal() -> None:
    said = Proposal(name="a\x1b[2Jb", expression="close\x07", rationale="x\u202ey", parents=["\x9b1m"])
    assert "\x1b" not in said.name
    assert "\x07" not in said.expression
    assert "\u202e" not in said.rationale
    assert "\x9b" not in said.parents[0]
