"""What each command imports: a library that a command does not use would cost seconds at every call."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from agent.cli.discovery import own_commands
from agent.cli.main import cli, main
from tests.agent import commands

_MODELS = {"torch", "openai", "ccxt"}
_STATISTICS = {"scipy.stats"}
_DATABASE = {"sqlalchemy", "alembic"}
_TABLES = {"pandas"}
_COMPILER = {"numba"}
_FRAMES = {"pyarrow"}
_ALL = _MODELS | _STATISTICS | _DATABASE | _TABLES | _COMPILER | _FRAMES
_LOOP = {"numpy", "asyncio", "jinja2"}
# What only says a line on stderr draws no table either.
_REFUSAL = _LOOP | {"rich"}
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
_HELPS = """
import json, sys
from agent.cli.main import main
seen = []
for name in sys.argv[1:]:
    code = 0
    try:
        main([name, "--help"])
    except SystemExit as end:
        code = end.code
    seen.append([name, [code, sorted(set(sys.modules))]])
print(json.dumps(seen), file=sys.stderr)
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
        (["--help"], 0, _ALL | _REFUSAL | {"pydantic"}),
        (["nonsense"], 2, _ALL | _REFUSAL | {"pydantic"}),
        (["kb", "sql", "SELECT 1"], 0, _ALL | _LOOP | {"agent.knowledge.records"}),
        (["kb", "list"], 0, _ALL | _LOOP),
        (["kb", "list", "--all", "--json"], 0, _ALL | _REFUSAL),
        (["kb", "list", "--library"], 0, _ALL | _LOOP),
        (["kb", "list", "--run", "nothing"], 2, _ALL | _REFUSAL),
        (["kb", "judge"], 0, _ALL - {"sqlalchemy"}),
        (["data", "show", "--data", "s"], 0, _ALL - _FRAMES | {"asyncio"}),
        (["data", "show", "--data", "nothing"], 2, _ALL | _REFUSAL | {"pydantic", "sqlite3"}),
        (["eval", "cs_rank(clse)", "--data", "s"], 2, _ALL | _REFUSAL),
        (["eval", "cs_rank(close", "--data", "s"], 2, _ALL | _REFUSAL | {"pydantic", "sqlite3"}),
        (["eval", "cs_rank(close)", "--data", "s"], 0, _MODELS | _STATISTICS | {"alembic"}),
        (["mine", "--data", "s"], 2, _ALL | _REFUSAL | {"sqlite3"}),
        (["optimise", "close", "--data", "s"], 2, _ALL | _REFUSAL | {"sqlite3"}),
        (["operators", "cs_rank"], 0, _ALL | _REFUSAL | {"pydantic"}),
        (["translate", "cs_rank(clse)"], 2, _MODELS | _STATISTICS | _DATABASE),
        (["report", "nothing"], 2, _ALL | _REFUSAL),
        (["holdout", "nothing", "--yes"], 2, _MODELS | _STATISTICS | {"alembic"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_only_what_it_uses(home: Path, command: list[str], code: int, forbidden: set[str]) -> None:
    ended, modules = run("-w", str(home), *command)
    assert ended == code
    assert not forbidden & modules


def _paths(group: click.Group, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return every command and subcommand, as it is typed."""
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found.append((*before, name))
        if isinstance(command, click.Group):
            found += _paths(command, (*before, name))
    return found


def test_the_help_of_a_command_imports_nothing_that_only_its_work_needs() -> None:
    # All helps in one process, in which each may be the first to import what it should not; `text`, whose texts are
    # read with NumPy by all that it does, comes last.
    names = sorted(own_commands(), key=lambda name: name == "text")
    done = subprocess.run([sys.executable, "-c", _HELPS, *names], capture_output=True, text=True, check=False)
    seen = dict(json.loads(done.stderr.splitlines()[-1]))
    assert list(seen) == names
    for name, (code, modules) in seen.items():
        allowed = {"numpy"} if name == "text" else set()
        assert not code, name
        assert not (_ALL | _REFUSAL | {"pydantic", "sqlite3"}) - allowed & set(modules), name


def test_no_help_is_cut_or_wider_than_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(cli, click.Group)
    for path in [(), *_paths(cli)]:
        with pytest.raises(SystemExit):
            main([*path, "--help"])
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80, path
        assert not any("…" in line for line in lines), path
        # Three dots at a line's end say that click cut a sentence; in a usage, that an argument may be repeated.
        assert not any(re.search(r"\w\.\.\.$", line) for line in lines[1:]), path


def test_a_name_of_a_published_factor_passes_the_early_check(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("cs_rank(alpha101_012)", "ts_mean(close, 2d)"):
        assert commands.run(capsys, "-w", str(home), "eval", text, "--data", "s")[0] == 0


def test_an_early_reading_says_what_the_late_one_would(home: Path) -> None:
    from agent.study.early_check import read_early
    from agent.study.study import open_study, read_expression
    from agent.study.workspace import Workspace
    from factors.tree import Expression
    from market.errors import Rejection

    workspace = Workspace(home)
    path = workspace.resolve_data("s")
    study = open_study(workspace.load_panel("s"), workspace.settings)
    for text in ("cs_rank(clse)", "rank(close", "ts_mean(close)", "nonsense(close)", "close +", "cs_rank(sector)"):
        early = read_early(text, workspace, path)
        assert isinstance(early, Rejection), text
        assert early == read_expression(text, study), text
    for text in ("cs_rank(close)", "ts_mean(close, 3h)", "adv20 / volume"):
        early = read_early(text, workspace, path)
        assert isinstance(early, Expression), text
        assert early == read_expression(text, study), text


def test_eval_reads_a_text_once(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from factors import parse as parsing

    texts: list[str] = []
    plain = parsing._read

    def counted(text: str, *rest: Any) -> Any:
        texts.append(text)
        return plain(text, *rest)

    monkeypatch.setattr(parsing, "_read", counted)
    for text in ("cs_rank(ts_mean(close, 2d))", "cs_rank(alpha101_012)"):
        texts.clear()
        with pytest.raises(SystemExit) as end:
            main(["-w", str(home), "eval", text, "--data", "s"])
        capsys.readouterr()
        assert end.value.code == 0
        assert texts.count(text) == 1


def test_a_field_that_only_an_old_manifest_names_is_refused_by_the_panel(home: Path) -> None:
    data = home / "data"
    shutil.copy(data / "s.parquet", data / "older.parquet")
    manifest = json.loads((data / "s.json").read_text())
    (data / "older.json").write_text(json.dumps({**manifest, "fields": [*manifest["fields"], "ghost"]}))
    assert run("-w", str(home), "eval", "cs_rank(ghost)", "--data", "older")[0] == 2
