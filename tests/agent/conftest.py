"""Knowledge bases on both kinds of database, and a workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.commands import run
from tests.agent.postgres import Server, start_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server of the tests' own; tests that need it skip, saying why, where there can be none."""
    yield from start_server()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new knowledge base may be made: a file, and then a database of a server."""
    if request.param == "sqlite":
        return str(tmp_path / "knowledge.db")
    server: Server = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a small simulated market, as current folder."""
    code, _, err = run(capsys, "init", str(tmp_path / "w"))
    assert code == 0, err
    monkeypatch.chdir(tmp_path / "w")
    code, _, err = run(capsys, "data", "synth", "--bars", "2500", "--name", "toy")
    assert code == 0, err
    return tmp_path / "w"
