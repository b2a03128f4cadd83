"""The README tells the truth: its commands exist, and its tree lists every file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli.main import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))


def commands() -> list[str]:
    found = re.findall(r"^alphaglow ([a-z]+(?: [a-z]+)?)", SHELL, re.MULTILINE)
    return sorted(set(found))


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_readme_exists(command: str) -> None:
    words = command.split()
    if words[0] not in ("data", "flow", "kb"):
        words = words[:1]
    result = CliRunner().invoke(cli, [*words, "--help"])
    assert result.exit_code == 0, result.output


def test_options_of_the_readme_exist() -> None:
    for line in re.findall(r"^alphaglow (.+?)(?:\s+#.*)?$", SHELL, re.MULTILINE):
        words = line.split()
        named = [word for word in words if word.startswith("--")]
        path = words[:2] if words[0] in ("data", "flow", "kb", "learn", "pool", "text") else words[:1]
        text = CliRunner().invoke(cli, [*path, "--help"]).output
        assert all(option in text for option in named), line


def test_the_tree_lists_every_python_file() -> None:
    tree = README[README.index("## The tree") :]
    folders = ("market", "factors", "flows", "backtest", "agent", "benchmarks")
    files = [p for folder in folders for p in (ROOT / folder).rglob("*.py") if p.name != "__init__.py"]
    missing = [p.name for p in files if not re.search(rf"^\s*{re.escape(p.name)}\s", tree, re.MULTILINE)]
    assert missing == []


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(
        re.search(rf"^{target}:", makefile, re.MULTILINE) for target in re.findall(r"^make (\w+)", SHELL, re.MULTILINE)
    )
