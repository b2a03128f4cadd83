"""What the pages say that can be checked: their commands, code blocks and inline code."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import click

from agent.cli.main import cli

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
# docs/files.md is generated from docstrings, and has a test of its own.
PAGES = sorted(
    page
    for page in [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    if page.exists() and page != ROOT / "docs" / "files.md"
)
_FENCED = re.compile(r"^```(\S*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: Path, kind: str) -> list[str]:
    """Return the code blocks of one kind; "" is a block without a language."""
    return [code for language, code in _FENCED.findall(page.read_text(encoding="utf-8")) if language == kind]


@cache
def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def inline(page: Path) -> list[str]:
    """Return what stands between backticks, outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def command_lines(text: str) -> list[str]:
    """Return the `alphaglow` commands of a shell block, without prompts, comments and pipes."""
    found = []
    for line in text.splitlines():
        for part in re.split(r"\s&&\s", line):
            if part.startswith("alphaglow "):
                found.append(shlex.join(_until_the_pipe(shlex.split(part, comments=True))))
    return found


def _until_the_pipe(words: list[str]) -> list[str]:
    stops = [index for index, word in enumerate(words) if word in ("|", ">", "&")]
    return words[: stops[0]] if stops else words


def parse_command(line: str) -> click.Command:
    """Let click read a command line as it would before running it: names, options, choices, arguments.

    Raises
    ------
    click.ClickException
        Where a user would see an error.
    """
    words = shlex.split(line)[1:]
    command: click.Command = cli
    parent: click.Context | None = None
    name: str | None = "alphaglow"
    while True:
        context = command.make_context(name, list(words), parent=parent)
        if not isinstance(command, click.Group):
            return command
        rest = [*context._protected_args, *context.args]
        name, found, words = command.resolve_command(context, rest)
        assert found is not None
        command, parent = found, context
