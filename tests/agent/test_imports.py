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
from agent.knowledge.listing import factor_id_of
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
# Runs one command after the other in one process, and says after each what it ended with and all that is imported.
_SCRIPT = """
import json, sys
from agent.cli.main import main
seen = []
for argv in json.loads(sys.argv[1]):
    code = 0
    try:
        main(argv)
    except SystemExit as end:
        code = end.code or 0
    seen.append([code, sorted(set(sys.modules))])
print(json.dumps(seen), file=sys.stderr)
"""


def run_all(commands: list[list[str]]) -> list[tuple[int, set[str]]]:
    """Run commands in one fresh process; return, for each, its exit code and all that was imported by then."""
    script = [sys.executable, "-c", _SCRIPT, json.dumps(commands)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    return [(code, set(modules)) for code, modules in json.loads(done.stderr.splitlines()[-1])]


def run(*args: str) -> tuple[int, set[str]]:
    """Run a command in a fresh process; return its exit code and all that it imported."""
    return run_all([list(args)])[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with one data set."""
    place = tmp_path_factory.mktemp("imports") / "ws"
    commands.prepare("init", str(place))
    commands.prepare("-w", str(place), "data", "synth", "--name", "s", "--bars", "1500", "--assets", "12")
    return place


# Each list is one process: a start costs a second. What a command may not import, no command before it may import
# either, so those that may import least come first.
_PROCESSES: list[list[tuple[list[str], int, set[str]]]] = [
    [
        (["data", "show", "--data", "nothing"], 2, _ALL | _REFUSAL | {"pydantic", "sqlite3"}),
        (["eval", "cs_rank(close", "--data", "s"], 2, _ALL | _REFUSAL | {"pydantic", "sqlite3"}),
        (["--help"], 0, _ALL | _REFUSAL | {"pydantic", "sqlite3"}),
        (["nonsense"], 2, _ALL | _REFUSAL | {"pydantic", "sqlite3"}),
        (["operators", "cs_rank"], 0, _ALL | _REFUSAL | {"pydantic", "sqlite3"}),
        (["mine", "--data", "s"], 2, _ALL | _REFUSAL | {"sqlite3"}),
        (["optimise", "close", "--data", "s"], 2, _ALL | _REFUSAL | {"sqlite3"}),
        (["eval", "cs_rank(clse)", "--data", "s"], 2, _ALL | _REFUSAL),
        (["report", "nothing"], 2, _ALL | _REFUSAL),
        (["kb", "list", "--run", "nothing"], 2, _ALL | _REFUSAL),
        (["kb", "list", "--all", "--json"], 0, _ALL | _REFUSAL),
        (["kb", "list"], 0, _ALL | _LOOP),
        (["kb", "list", "--library"], 0, _ALL | _LOOP),
        (["kb", "lessons"], 0, _ALL | _LOOP),
        (["kb", "search", "volume"], 0, _ALL | _LOOP),
        (["kb", "search", "--theme", "volume"], 0, _ALL | _LOOP),
        (["kb", "show", "nothing"], 2, _ALL | (_LOOP - {"numpy"})),
        (["kb", "judge"], 0, _ALL - {"sqlalchemy"} | {"scipy"}),
    ],
    [(["kb", "sql", "SELECT 1"], 0, _ALL | _LOOP | {"agent.knowledge.records"})],
    [
        (["data", "show", "--data", "s"], 0, _ALL - _FRAMES | {"asyncio"}),
        (["translate", "cs_rank(clse)"], 2, _MODELS | _STATISTICS | _DATABASE),
        (["eval", "cs_rank(close)", "--data", "s"], 0, _MODELS | _STATISTICS | {"alembic"}),
        (["holdout", "nothing", "--yes"], 2, _MODELS | _STATISTICS | {"alembic"}),
    ],
    # The mock asks by the client of a real server, which is imported with the first question.
    [
        (
            ["mine", "--data", "s", "--llm", "mock", "--rounds", "1", "--candidates", "1", "--no-gate"],
            0,
            _MODELS - {"openai"} | _STATISTICS | {"alembic", "scipy.optimize"},
        )
    ],
]


@pytest.mark.parametrize("commands", _PROCESSES, ids=["without data", "sql", "with data", "a run"])
def test_a_command_imports_only_what_it_uses(home: Path, commands: list[tuple[list[str], int, set[str]]]) -> None:
    found = run_all([["-w", str(home), *argv] for argv, _, _ in commands])
    for (argv, code, forbidden), (ended, modules) in zip(commands, found, strict=True):
        assert ended == code, argv
        assert not forbidden & modules, argv


def test_a_factor_is_shown_without_database_compiler_or_tables(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(capsys, "-w", str(home), "eval", "cs_rank(high)", "--data", "s")[0] == 0
    code, modules = run("-w", str(home), "kb", "show", factor_id_of("cs_rank(high)"))
    assert code == 0
    assert not (_ALL | {"scipy", "asyncio", "jinja2"}) & modules


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
    seen = run_all([[name, "--help"] for name in names])
    for name, (code, modules) in zip(names, seen, strict=True):
        allowed = {"numpy"} if name == "text" else set()
        assert not code, name
        assert not (_ALL | _REFUSAL | {"pydantic", "sqlite3"}) - allowed & modules, name


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

    def counted(text: str, *rest: Any, **how: Any) -> Any:
        texts.append(text)
        return plain(text, *rest, **how)

    monkeypatch.setattr(parsing, "_read", counted)
    for text in ("cs_rank(ts_mean(close, 2d))", "cs_rank(alpha101_012)"):
        texts.clear()
        with pytest.raises(SystemExit) as end:
            main(["-w", str(home), "eval", text, "--data", "s"])
        capsys.readouterr()
        assert end.value.code == 0
        assert texts.count(text) == 1


def test_a_field_that_only_an_old_manifest_names_is_refused_by_the_panel(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = home / "data"
    shutil.copy(data / "s.parquet", data / "older.parquet")
    manifest = json.loads((data / "s.json").read_text())
    (data / "older.json").write_text(json.dumps({**manifest, "fields": [*manifest["fields"], "ghost"]}))
    assert "ghost" in commands.refused(capsys, "-w", str(home), "eval", "cs_rank(ghost)", "--data", "older")
