"""Knowledge bases on both kinds of database, with a run in them, and a workspace."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import pytest
from sqlalchemy import Engine

from agent.knowledge.database import transactions
from agent.knowledge.database.location import BaseLocation
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import RunRecord
from agent.knowledge.run_config import RunConfig
from tests.agent.commands import prepare
from tests.agent.knowledge_rows import make_panel
from tests.agent.postgres import Server, start_server


@pytest.fixture(scope="session", autouse=True)
def migrated_once() -> Iterator[None]:
    """In this process a new file is a copy of one that was migrated: some hundred tests make one.

    What is there already, what is on a server, and what other processes make is migrated as ever.
    """
    really, one_at_a_time = transactions.migrate, Lock()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        template = Path(folder) / "knowledge.db"

        def migrate(engine: Engine, place: BaseLocation) -> bool:
            path = place.path
            with one_at_a_time:
                if path is None or path.exists() or not os.access(path.parent, os.W_OK):
                    return really(engine, place)
                if template.exists():
                    shutil.copyfile(template, path)
                    return True
                is_new = really(engine, place)
                engine.dispose()
                shutil.copyfile(path, template)
                return is_new

        patch.setattr(transactions, "migrate", migrate)
        yield


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


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with an empty knowledge base: to copy it costs less than to migrate."""
    path = tmp_path_factory.mktemp("empty") / "knowledge.db"
    KnowledgeBase.open(path).close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def base(request: pytest.FixtureRequest, empty_file: Path, tmp_path: Path) -> str:
    """Where an empty knowledge base is: in a file, and then on a server."""
    if request.param == "sqlite":
        return str(shutil.copy(empty_file, tmp_path / "knowledge.db"))
    server: Server = request.getfixturevalue("postgres")
    return server.new_database(server.migrated)


@pytest.fixture
def kb(base: str) -> Iterator[KnowledgeBase]:
    """A knowledge base, open and empty."""
    with KnowledgeBase.open(base) as knowledge:
        yield knowledge


@pytest.fixture
def run(kb: KnowledgeBase) -> RunRecord:
    """A run on a small panel, in its first round."""
    panel = make_panel()
    kb.register_dataset(panel)
    record = kb.create_run(panel.id, RunConfig(data="toy", llm="mock"), 5)
    kb.start_round(record.id, 1, {"round": 1})
    return record


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a small simulated market, made once; tests change copies of it."""
    folder = tmp_path_factory.mktemp("prepared") / "w"
    prepare("init", str(folder))
    prepare("-w", str(folder), "data", "synth", "--bars", "2500", "--name", "toy")
    return folder


@pytest.fixture
def home(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a small simulated market, as current folder."""
    folder = tmp_path / "w"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def browser_swept() -> Iterator[None]:
    """Collect what the browser's driver leaves open here, so that no later test is blamed for it.

    Its name is its own: one that is called `swept` would take the place of the sweep that every module has, and search
    all objects after each test.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
