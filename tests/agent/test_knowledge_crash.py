"""Processes that compete, processes that die, disks that fill up."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import event

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt
from agent.knowledge.run_config import RunConfig
from market.errors import InputError
from tests import forked

PRELUDE = """
import sys
from agent.knowledge.records import NewAttempt, NewEvaluation, JudgeVerdict
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.score_documents import read_evidence, read_scorecard

def attempt(run, number, slot):
    return NewAttempt(
        run, number, slot, text="x" * 2000, stage="evidence",
        canonical=f"c{slot}", factor_id=f"factor:{slot:04x}",
        verdicts=tuple(JudgeVerdict(t, True, 5.0, "y" * 500) for t in range(3)),
        evaluation=NewEvaluation(read_scorecard({}), read_evidence({"verdict": "rejected"}), 0.01),
    )
"""


def run_script(argv: list[str]) -> None:
    sys.argv = argv
    exec(PRELUDE + argv[0], {})


def start(script: str, *argv: str) -> forked.Forked:
    return forked.start([script, *argv], function=run_script)


def make_run(path: Path, rounds: int = 1) -> str:
    with KnowledgeBase.open(path) as kb:
        connection = sqlite3.connect(path)
        connection.execute(
            'INSERT INTO datasets (panel_id, name, bars, assets, start, "end") VALUES (?, ?, 10, 2, ?, ?)',
            ("panel:1", "toy", "", ""),
        )
        connection.commit()
        connection.close()
        run = kb.create_run("panel:1", RunConfig(), 1)
        for number in range(1, rounds + 1):
            kb.start_round(run.id, number, {})
        return run.id


def test_two_writers_lose_and_double_nothing(tmp_path: Path) -> None:
    """Each writes its own round and both race for every slot of a third."""
    path = tmp_path / "k.db"
    run = make_run(path, rounds=3)
    script = """
path, run, own = sys.argv[1], sys.argv[2], int(sys.argv[3])
with KnowledgeBase.open(path) as kb:
    for slot in range(60):
        kb.record_attempt(attempt(run, own, slot))
        print(kb.record_attempt(attempt(run, 3, slot)))
"""
    writers = [start(script, str(path), run, str(own)) for own in (1, 2)]
    outcomes = [writer.communicate(timeout=300) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], outcomes
    ids = [[int(line) for line in out.split()] for out, _ in outcomes]
    assert ids[0] == ids[1], "both were given the id of the one row that was written"
    with KnowledgeBase.open(path) as kb:
        for number in (1, 2, 3):
            found = kb.attempts(run_id=run, round=number)
            assert sorted(a.slot for a in found) == list(range(60))
            assert all(len(a.verdicts) == 3 and a.evaluation is not None for a in found)


def test_several_processes_make_the_same_new_file(tmp_path: Path) -> None:
    path = tmp_path / "k.db"
    openers = [start("KnowledgeBase.open(sys.argv[1]).close()", str(path)) for _ in range(4)]
    outcomes = [opener.communicate(timeout=300) for opener in openers]
    assert [opener.returncode for opener in openers] == [0] * 4, outcomes
    with KnowledgeBase.open(path) as kb:
        assert kb.attempts() == []


@pytest.mark.parametrize("after", [3, 40])
def test_kill_9_loses_nothing_that_was_committed(tmp_path: Path, after: int) -> None:
    path = tmp_path / "k.db"
    run = make_run(path)
    script = """
with KnowledgeBase.open(sys.argv[1]) as kb:
    for slot in range(100000):
        kb.record_attempt(attempt(sys.argv[2], 1, slot))
        print(slot, flush=True)
"""
    writer = start(script, str(path), run)
    written = [int(writer.stdout.readline()) for _ in range(after)]
    os.kill(writer.pid, signal.SIGKILL)
    rest, _ = writer.communicate(timeout=300)
    written += [int(line) for line in rest.splitlines() if line]
    with KnowledgeBase.open(path) as kb:
        found = kb.attempts(run_id=run)
        assert [a.slot for a in found] == list(range(len(found)))
        assert len(written) <= len(found) <= len(written) + 1
        assert all(len(a.verdicts) == 3 and a.evaluation is not None for a in found), "whole or not at all"
        again = found[-1]
        assert kb.record_attempt(NewAttempt(run, 1, again.slot, "again", "parse")) == again.id
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_full_disk_is_one_line_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "k.db"
    run = make_run(path)
    with KnowledgeBase.open(path) as kb:
        kb.record_attempt(NewAttempt(run, 1, 0, "small", "parse"))

        @event.listens_for(kb._engine, "checkout")
        def no_room(connection: sqlite3.Connection, *_rest: object) -> None:
            connection.execute("PRAGMA max_page_count=1")

        with pytest.raises(InputError, match="disk is full") as caught:
            kb.record_attempt(NewAttempt(run, 1, 1, "x" * 5_000_000, "parse"))
        assert "\n" not in str(caught.value)
    with KnowledgeBase.open(path) as kb:
        assert [a.text for a in kb.attempts()] == ["small"]


def test_a_locked_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "k.db"
    run = make_run(path)
    monkeypatch.setattr("agent.knowledge.database.connection.BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with KnowledgeBase.open(path) as kb:
        assert kb.attempts() == [], "readers are not in a writer's way"
        with pytest.raises(InputError, match="locked"):
            kb.record_attempt(NewAttempt(run, 1, 0, "x", "parse"))
        holder.execute("ROLLBACK")
        kb.record_attempt(NewAttempt(run, 1, 0, "x", "parse"))
    holder.close()


READ_ONLY = """
import os
from market.errors import InputError

path, run, scratch = sys.argv[1:]
with KnowledgeBase.open(scratch) as kb:
    kb.attempts()
if os.geteuid() == 0:
    # The superuser may write anywhere, so somebody else asks; all modules are loaded by now.
    os.setgid(65534)
    os.setuid(65534)
try:
    with KnowledgeBase.open(path) as kb:
        kb.record_attempt(attempt(run, 1, 0))
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
@pytest.mark.parametrize("new", [True, False])
def test_a_read_only_folder_is_one_line(tmp_path: Path, new: bool) -> None:
    # pytest's own folder is closed to other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "k.db"
        run = "r0" if new else make_run(path)
        for part in (*folder.iterdir(), folder):
            part.chmod(0o555)
        process = start(READ_ONLY, str(path), run, str(tmp_path / "scratch.db"))
        out, err = process.communicate(timeout=300)
        folder.chmod(0o755)
        assert [part.name for part in folder.iterdir()] == ([] if new else ["k.db"])
    assert (process.returncode, err) == (0, "")
    assert len(out.splitlines()) == 1
    assert "cannot be opened" in out if new else "read-only" in out or "cannot be opened" in out
