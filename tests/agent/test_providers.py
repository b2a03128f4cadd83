"""Providers of models: one from outside the packages mines end to end, and names that lead nowhere are refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.attempt_tables import run_summary
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import RunConfig, read_run_config
from agent.llm.providers import Provider, own_providers, provider_named
from agent.llm.providers.late import LateConnection
from agent.llm.providers.nothing import NoConnection
from market.errors import InputError
from market.plugins import _scan
from tests.agent.commands import as_json, refused, run

DUMMY = """
import json

from agent.llm.answer import Answer

ASKED = []


class Connection:
    url = "dummy"
    secret = ""
    bounds = (None,)

    async def send(self, ask):
        ASKED.append((ask.schema["name"], ask.model, ask.bound))
        if ask.schema["name"] == "JudgeReply":
            verdict = {"decision": "accept", "score": 8, "critique": "", "suggestion": ""}
            return Answer(json.dumps(verdict), None, False, 50, 5)
        text = f"cs_rank(ts_returns(close, {4 + 3 * len(ASKED)}))"
        said = {"name": "dummy", "expression": text, "rationale": "none", "parents": []}
        return Answer(json.dumps(said), None, False, 50, 5)

    async def close(self):
        ASKED.append("closed")


class Dummy:
    name = "dummy"
    model = "parrot"
    simulated = False

    def address(self, asked):
        return ""

    def check(self, place):
        pass

    def connect(self, place):
        return Connection()


PROVIDER = Dummy()
"""


@pytest.fixture
def dummy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution that is installed beside the packages: a provider, and one that cannot be loaded."""
    site = tmp_path / "site"
    info = site / "dummy_models-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "dummy_models.py").write_text(DUMMY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dummy-models\nVersion: 1.0\n")
    points = "dummy = dummy_models:PROVIDER\nbroken = dummy_models:NOTHING\nhalf = dummy_models:ASKED\n"
    (info / "entry_points.txt").write_text(f"[alphaglow.providers]\n{points}")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "dummy_models", raising=False)
    return site


def test_a_provider_from_outside_mines_end_to_end(
    home: Path,
    dummy: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = ("mine", "--llm", "dummy", "--rounds", "1", "--candidates", "2", "--no-gate")
    done = as_json(capsys, *mine, "--budget-tokens", "1000000")
    assert (done["status"], done["attempts"]) == ("finished", 2)
    asked = sys.modules["dummy_models"].ASKED
    assert ("Proposal", "parrot", None) in asked
    assert ("JudgeReply", "parrot", None) in asked
    assert asked[-1] == "closed"
    with KnowledgeBase.open(home / "knowledge.db") as knowledge:
        config = knowledge.get_run(done["run"]).config
        assert (config.llm, config.model, config.base_url) == ("dummy", "parrot", "")
        assert any(attempt.evaluation is not None for attempt in knowledge.attempts(run_id=done["run"]))
    more = as_json(capsys, "mine", "--resume", done["run"], "--rounds", "2")
    assert (more["status"], more["attempts"]) == ("finished", 4)
    # It is no simulated model: what it costs must be bounded.
    assert "nothing bounds what the run may cost" in refused(capsys, *mine)


def test_a_name_that_leads_nowhere_is_refused_with_the_names_that_there_are(
    home: Path,
    dummy: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = refused(capsys, "mine", "--llm", "dumy")
    assert "'dumy' is no provider of models; there are: broken, dummy, half, mock, openai" in " ".join(said.split())
    with pytest.raises(InputError, match=r"'broken' .* cannot be loaded"):
        provider_named("broken")
    with pytest.raises(InputError, match="lacks what a provider has"):
        provider_named("half")


def test_a_provider_from_outside_takes_no_built_in_name(
    home: Path, dummy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = dummy / "dummy_models-1.0.dist-info" / "entry_points.txt"
    for name in ("openai", "mock"):
        info.write_text(f"[alphaglow.providers]\n{name} = dummy_models:PROVIDER\n")
        _scan.cache_clear()
        said = " ".join(refused(capsys, "mine", "--llm", name, "--model", "x").split())
        assert f"providers {name!r} of the installed distribution dummy_models: alphaglow has one of the same" in said
        assert "pip uninstall dummy_models" in said


def test_a_run_of_a_simulated_provider_is_marked_as_the_mocks_are(
    home: Path, dummy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dummy / "dummy_models.py").write_text(DUMMY.replace("simulated = False", "simulated = True"))
    assert run(capsys, "mine", "--llm", "dummy", "--rounds", "1", "--candidates", "2", "--no-gate")[0] == 0
    with KnowledgeBase.open(home / "knowledge.db") as knowledge:
        made = knowledge.runs()[-1]
        factor = next(a.factor_id for a in knowledge.attempts(run_id=made.id) if a.evaluation is not None)
        assert (made.simulated, made.config.simulated) == (True, True)
        assert run_summary(knowledge, made.id, "finished")["cost"] == "none (simulated)"
    for what in (made.id, str(factor)):
        page = Path(as_json(capsys, "report", what)["report"]).read_text(encoding="utf-8")
        assert "Simulated language model" in page


def test_older_runs_are_read_as_simulated_by_their_provider() -> None:
    assert read_run_config({"llm": "mock"}).simulated
    assert not read_run_config({"llm": "openai"}).simulated
    assert not read_run_config({"llm": "none"}).simulated


def test_what_a_provider_said_of_itself_is_read_as_it_was_recorded() -> None:
    for simulated in (True, False):
        config = RunConfig(llm="outside", simulated=simulated)
        assert read_run_config(config.to_dict()) == config


def test_the_providers_of_these_packages_keep_the_protocol() -> None:
    assert set(own_providers()) == {"openai"}
    assert isinstance(provider_named("openai"), Provider)
    assert (provider_named("mock").simulated, provider_named("mock").model) == (True, "mock")


def test_only_a_provider_imports_a_client() -> None:
    # One process for all: a start costs a second.
    modules = ["agent.knowledge.knowledge_base", "agent.cli.kb", "agent.llm.client", "agent.mining.session"]
    code = (
        f"import importlib, sys\nfor name in {modules}:\n    importlib.import_module(name)\n"
        "    assert not {'openai', 'httpx2'} & set(sys.modules), name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_one_file_knows_the_client_of_openai() -> None:
    root = Path(__file__).resolve().parents[2] / "agent"
    holders = [p.relative_to(root).as_posix() for p in root.rglob("*.py") if "openai.A" in p.read_text("utf-8")]
    allowed = {"llm/openai_connection.py", "llm/chat.py", "llm/responses.py"}
    assert set(holders) == allowed


def test_a_connection_is_opened_when_it_is_first_asked() -> None:
    opened: list[NoConnection] = []

    def connect() -> NoConnection:
        opened.append(NoConnection())
        return opened[-1]

    late = LateConnection(connect, ("max_tokens", None))
    assert late.bounds == ("max_tokens", None)
    asyncio.run(late.close())
    assert not opened
    assert late.url == late.url == NoConnection().url
    assert len(opened) == 1
