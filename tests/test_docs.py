"""Documentation runs: Python on the pages does what it says, commands are commands, expressions are expressions."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from agent.cli.main import cli
from tests.pages import PAGES, ROOT, blocks, command_lines, inline, parse_command


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


CODE = [
    pytest.param(code, id=f"{named(page)}-{number}")
    for page in PAGES
    for number, code in enumerate(blocks(page, "python"))
]
COMMANDS = sorted(
    {line for page in PAGES for kind in ("sh", "") for block in blocks(page, kind) for line in command_lines(block)}
)
INLINE = sorted({text for page in PAGES for text in inline(page) if re.match(r"alphaglow [a-z]", text)})
OPTIONS = sorted({text for page in PAGES for text in inline(page) if re.fullmatch(r"--[a-z][a-z-]*(?: [^`]*)?", text)})
# Values that an option takes are written `--to pandas|polars`: each is tried.
_ALTERNATIVES = re.compile(r"(?<= )[\w-]+(?:\|[\w-]+)+")


@pytest.mark.parametrize("code", CODE)
def test_python_on_the_pages_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "page", "exec"), {"__name__": "page"})
    # Every page's code prints what it found.
    assert capsys.readouterr().out.strip()


@pytest.fixture
def any_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that a page names need not be there."""
    monkeypatch.setattr(click.Path, "convert", lambda _self, value, _param, _ctx: value)


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.usefixtures("any_file")
def test_commands_on_the_pages_are_commands(line: str) -> None:
    parse_command(line)


@pytest.mark.parametrize("line", INLINE)
@pytest.mark.usefixtures("any_file")
def test_commands_in_the_text_are_commands(line: str) -> None:
    # In running text a command may be named without its arguments, or with an option's value left open.
    choices = _ALTERNATIVES.findall(line) or [""]
    for choice in choices[0].split("|"):
        tried = line.replace(choices[0], choice) if choice else line
        try:
            parse_command(command_lines(tried)[0])
        except click.MissingParameter:
            pass
        except click.NoArgsIsHelpError:
            pass


def options_of(command: click.Command) -> set[str]:
    """Return the options of a command and of all below it."""
    own = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            own |= options_of(found) if found else set()
    return own


def test_options_in_the_text_are_options() -> None:
    benchmarks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.py"))
    known = options_of(cli) | {"--help", "--version"} | set(re.findall(r'"(--[a-z-]+)"', benchmarks))
    assert [text for text in OPTIONS if text.split()[0] not in known] == []
