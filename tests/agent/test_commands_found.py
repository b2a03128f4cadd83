"""Commands are found from their files and from other packages; their help is whole; typing errors are guessed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agent.cli.discovery import own_commands
from agent.cli.main import cli, main


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Walk the whole tree of commands and groups."""

    def walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            with click.Context(command, info_name=path) as context:
                for name in command.list_commands(context):
                    found = command.get_command(context, name)
                    assert found is not None
                    yield from walk(f"{path} {name}", found)

    return walk("alphaglow", cli)


@pytest.mark.parametrize(
    ("path", "command"), list(every_command()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_no_line_of_help_is_cut(path: str, command: click.Command) -> None:
    with click.Context(command, info_name=path, terminal_width=80, max_content_width=80) as context:
        text = command.get_help(context)
    listed = text.partition("Commands:\n")[2].splitlines()
    assert not [line for line in listed if line.endswith("...")]
    assert "…" not in text


def test_signal_shows_the_options_of_what_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["signal", "--help"])
    shown = capsys.readouterr().out
    for option in ("--pool", "--watch", "--replay-from", "--grace", "--json"):
        assert option in shown
    assert "ledger" in shown


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["evl"], "eval"),
        (["kb", "lineag"], "lineage"),
        (["data", "ftech"], "fetch"),
        (["kb", "list", "--jsn"], "--json"),
    ],
)
def test_a_mistyped_word_is_guessed(typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(typed)
    assert end.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1].lower()
    assert "did you mean" in message
    assert meant in message


def test_each_own_command_is_where_its_file_says() -> None:
    for entry in own_commands().values():
        assert entry.load().name is not None
        assert entry.help.endswith(".")


def test_a_package_outside_adds_a_command(tmp_path: Path) -> None:
    (tmp_path / "greeting.py").write_text(
        "import click\n\n@click.command()\n@click.argument('name')\ndef greet(name):\n"
        "    '''Greet NAME.'''\n    click.echo(f'good morning, {name}')\n"
    )
    described = tmp_path / "greetings-1.0.dist-info"
    described.mkdir()
    (described / "entry_points.txt").write_text(
        "[console_scripts]\nother = x:y\n\n[alphaglow.commands]\ngreet = greeting:greet\neval = greeting:greet\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        given = [sys.executable, "-m", "agent", *args]
        return subprocess.run(given, capture_output=True, text=True, check=False, env=environment)

    assert run("greet", "Ada").stdout == "good morning, Ada\n"
    shown = run("--help").stdout
    assert "greet" in shown
    assert "package greetings" in shown
    # What is ours stays ours.
    assert "Parse, evaluate and backtest" in shown
    assert "did you mean greet" in run("gret").stderr


def test_the_demo_does_not_take_a_workspace_that_may_be_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["-w", str(tmp_path / "mine"), "demo"])
    assert ended.value.code == 2
    assert "alphaglow demo --dir DIR" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()
