"""Writes docs/files.md, every Python file with the first line of its docstring: `python -m tests.list_files`."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "files.md"
PACKAGES = ("alphaglow", "market", "factors", "flows", "backtest", "agent", "benchmarks", "examples")
HEAD = """# Every file

Written by `python -m tests.list_files` from the first line of each module's docstring; a test compares.
Do not edit it by hand.
"""


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring, without its full stop."""
    text = ast.get_docstring(_head(path.read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0].rstrip(".") if text else ""


def _head(text: str) -> ast.Module:
    """Parse a module up to the end of its first long string, which is nearly always its docstring; else all of it."""
    end = text.find('"""', text.find('"""') + 3)
    try:
        return ast.parse(text[: end + 3] if end > 0 else text)
    except SyntaxError:
        return ast.parse(text)


def listing(root: Path = ROOT) -> dict[str, str]:
    """Return each Python file of the packages, by its path from `root`, to what its docstring says first."""
    found = (path for package in PACKAGES for path in sorted((root / package).rglob("*.py")))
    return {path.relative_to(root).as_posix(): first_line(path) for path in found}


def as_page(files: dict[str, str]) -> str:
    """Return docs/files.md: a table for each folder."""
    lines = [HEAD]
    folder = ""
    for path, line in sorted(files.items(), key=lambda item: (item[0].rpartition("/")[0], item[0])):
        here = path.rpartition("/")[0]
        if here != folder:
            folder = here
            lines.append(f"\n## {folder}\n\n| file | what it is |\n|---|---|\n")
        lines.append(f"| `{path}` | {line.replace('|', chr(92) + '|')} |\n")
    return "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(as_page(listing()), encoding="utf-8")
