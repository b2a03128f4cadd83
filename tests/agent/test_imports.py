"""What each command imports: a library that a command does not use would cost seconds at every call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent import commands

_MODELS = {"torch", "openai", "ccxt"}
_STATISTICS = {"scipy.stats"}
_DATABASE = {"sqlalchemy", "alembic"}
_TABLES = {"pandas"}
_COMPILER = {"numba"}
_FRAMES = {"pyarrow"}
_ALL = _MODELS | _STATISTICS | _DATABASE | _TABLES | _COMPILER | _FRAMES
_SCRIPT = """
import json, sys
from agent.cli.main import main
code = 0
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(json.dumps([code, sorted(set(sys.modules))]), file=sys.stderr)
"""


def run(*args: str) -> tuple[int, set[str]]:
    """Run a command in a fresh process; return its exit code and all that it imported."""
    done = subprocess.run([sys.executable, "-c", _SCRIPT, *args], capture_output=True, text=True, check=False)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    return code or 0, set(modules)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with one data set."""
    place = tmp_path_factory.mktemp("imports") / "ws"
    assert run("init", str(place))[0] == 0
    made = run("-w", str(place), "data", "synth", "--name", "s", "--bars", "1500", "--assets", "12")
    assert made[0] == 0
    return place


@pytest.mark.parametrize(
    ("command", "code", "forbidden"),
    [
        (["--help"], 0, _ALL | {"numpy", "rich", "pydantic"}),
        (["nonsense"], 2, _ALL | {"numpy", "rich", "pydantic"}),
        (["kb", "sql", "SELECT 1"], 0, _ALL),
        (["kb", "list"], 0, _ALL - {"sqlalchemy"}),
        (["kb", "judge"], 0, _ALL - {"sqlalchemy"}),
        (["data", "show", "--data", "s"], 0, _ALL - _FRAMES),
        (["eval", "cs_rank(clse)", "--data", "s"], 2, _ALL),
        (["eval", "cs_rank(close", "--data", "s"], 2, _ALL),
        (["eval", "cs_rank(close)", "--data", "s"], 0, _MODELS | _STATISTICS | {"alembic"}),
        (["mine", "--data", "s"], 2, _ALL),
        (["optimise", "close", "--data", "s"], 2, _ALL),
        (["operators", "cs_rank"], 0, _ALL),
        (["report", "nothing"], 2, _MODELS | _STATISTICS | {"alembic"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_only_what_it_uses(home: Path, command: list[str], code: int, forbidden: set[str]) -> None:
    ended, modules = run("-w", str(home), *command)
    assert ended == code
    assert not forbidden & modules


def test_a_name_of_a_published_factor_passes_the_early_check(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("cs_rank(alpha101_012)", "ts_mean(close, 2d)"):
        assert commands.run(capsys, "-w", str(home), "eval", text, "--data", "s")[0] == 0


def test_an_early_refusal_says_what_the_late_one_would(home: Path) -> None:
    from agent.study.early_check import refuse_early
    from agent.study.study import open_study, read_expression
    from agent.study.workspace import Workspace
    from market.errors import Rejection

    workspace = Workspace(home)
    path = workspace.resolve_data("s")
    study = open_study(workspace.load_panel("s"), workspace.settings)
    for text in ("cs_rank(clse)", "rank(close", "ts_mean(close)", "nonsense(close)", "close +", "cs_rank(sector)"):
        early = refuse_early(text, path, workspace.knowledge_place, workspace.learned)
        assert isinstance(early, Rejection), text
        assert early == read_expression(text, study), text
    for text in ("cs_rank(close)", "alpha101_012", "ts_mean(close, 3h)", "learned_nothing + close"):
        early = refuse_early(text, path, "postgresql://nobody@nowhere/x", workspace.learned)
        assert early is None, text
