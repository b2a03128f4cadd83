"""Knowledge bases on both kinds of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
