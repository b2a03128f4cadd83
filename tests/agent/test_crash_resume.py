"""Kill -9 in the middle of a run, then resume: no attempt lost or doubled, no call paid for twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from agent.knowledge.records import NewAttempt
from tests.forked import run, start


def alphaglow(home: Path, *argv: str) -> dict[str, object]:
    code, out, err = run([*argv, "--json"], cwd=home)
    assert code == 0, err
    document: dict[str, object] = json.loads(out.splitlines()[-1])
    return document


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with data and no run yet; tests copy it."""
    folder = tmp_path_factory.mktemp("crash") / "home"
    assert run(["init", str(folder)])[0] == 0
    alphaglow(folder, "data", "synth", "--bars", "2500", "--name", "toy")
    return folder


@pytest.fixture(scope="module")
def whole(home: Path) -> Path:
    """The same run, never killed."""
    folder = home.with_name("whole")
    shutil.copytree(home, folder)
    alphaglow(folder, *MINE)
    return folder


def rows(home: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(home / "knowledge.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def mine_until(argv: list[str]) -> None:
    """Run a command line that kills itself, as `kill -9` does, once this many attempts are recorded."""
    from agent.cli import main
    from agent.knowledge.knowledge_base import KnowledgeBase

    left, argv = int(argv[0]), argv[1:]
    record = KnowledgeBase.record_attempt

    def record_and_die(self: KnowledgeBase, attempt: NewAttempt) -> int:
        nonlocal left
        number = record(self, attempt)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    KnowledgeBase.record_attempt = record_and_die  # type: ignore[method-assign]  # in a process of its own
    main(argv)


MINE = ("mine", "--llm", "mock", "--rounds", "2", "--candidates", "5", "--seed", "5")
ATTEMPTS = "select round, slot, text, canonical, stage, code from attempts order by round, slot"
CALLS = "select key, response from llm_calls order by key"


@pytest.mark.parametrize("kill_after_attempts", [1, 6])
def test_killed_run_resumes_to_the_same_end(tmp_path: Path, home: Path, whole: Path, kill_after_attempts: int) -> None:
    killed = tmp_path / "killed"
    shutil.copytree(home, killed)
    process = start([str(kill_after_attempts), *MINE, "--json"], cwd=killed, quiet=True, function=mine_until)
    assert process.wait() == -signal.SIGKILL, "the run ended before the kill"
    before = rows(killed, ATTEMPTS)
    assert len(before) == kill_after_attempts
    paid = rows(killed, CALLS)

    (name,) = rows(killed, "select id from runs")[0]
    resumed = alphaglow(killed, "mine", "--resume", str(name))
    assert resumed["status"] == "finished"

    assert rows(killed, ATTEMPTS) == rows(whole, ATTEMPTS)
    assert rows(killed, ATTEMPTS)[: len(before)] == before
    assert rows(killed, CALLS) == rows(whole, CALLS)
    assert set(paid) <= set(rows(killed, CALLS))


def test_a_worker_that_is_killed_loses_its_run_to_another(tmp_path: Path, home: Path, whole: Path) -> None:
    queued = tmp_path / "queued"
    shutil.copytree(home, queued)
    asked = alphaglow(queued, *MINE, "--queue")
    assert asked["waiting"] == 1
    assert rows(queued, ATTEMPTS) == [], "who asks does no work"
    process = start(["6", "worker", "--name", "first", "--once"], cwd=queued, quiet=True, function=mine_until)
    assert process.wait() == -signal.SIGKILL
    assert len(rows(queued, ATTEMPTS)) == 6
    code, _, err = run(["mine", "--resume", str(asked["run"])], cwd=queued)
    assert (code, "the worker first has run" in err) == (2, True), "its lease has not ended"
    # Nothing is to be done as long as the lease lasts; then another worker goes on.
    assert run(["worker", "--once", "--name", "second"], cwd=queued)[0] == 0
    assert len(rows(queued, ATTEMPTS)) == 6
    with sqlite3.connect(queued / "knowledge.db") as base:
        base.execute("update queued_runs set lease = '2020-01-01T00:00:00.000000Z'")
    base.close()
    assert run(["worker", "--once", "--name", "second"], cwd=queued)[0] == 0
    assert rows(queued, ATTEMPTS) == rows(whole, ATTEMPTS)
    assert rows(queued, CALLS) == rows(whole, CALLS)
    assert rows(queued, "select worker, message from queued_runs where ended is not null") == [("second", "")]
