"""Kill -9 in the middle of a run, then resume: no attempt lost or doubled, no call paid for twice."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest


def alphaglow(home: Path, *argv: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "agent", *argv, "--json"], cwd=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return document


def make_home(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "agent", "init", str(folder)], check=True, capture_output=True)
    alphaglow(folder, "data", "synth", "--bars", "2500", "--name", "toy")
    return folder


def rows(home: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(home / "knowledge.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


ATTEMPTS = "select round, slot, text, canonical, stage, code from attempts order by round, slot"
CALLS = "select key, response from llm_calls order by key"


@pytest.mark.slow
@pytest.mark.parametrize("kill_after_attempts", [1, 6])
def test_killed_run_resumes_to_the_same_end(tmp_path: Path, kill_after_attempts: int) -> None:
    whole = make_home(tmp_path / "whole")
    alphaglow(whole, "mine", "--llm", "mock", "--rounds", "2", "--candidates", "5", "--seed", "5")

    killed = make_home(tmp_path / "killed")
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "mine", "--llm", "mock", "--rounds", "2", "--candidates", "5", "--seed", "5"],
        cwd=killed,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if rows(killed, "select count(*) from attempts")[0][0] >= kill_after_attempts:
            break
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = rows(killed, ATTEMPTS)
    assert kill_after_attempts <= len(before) < 10, "the kill came too late to test anything"
    paid = rows(killed, CALLS)

    (run,) = rows(killed, "select id from runs")[0]
    resumed = alphaglow(killed, "mine", "--resume", str(run))
    assert resumed["status"] == "finished"

    assert rows(killed, ATTEMPTS) == rows(whole, ATTEMPTS)
    assert rows(killed, ATTEMPTS)[: len(before)] == before
    assert rows(killed, CALLS) == rows(whole, CALLS)
    assert set(paid) <= set(rows(killed, CALLS))
