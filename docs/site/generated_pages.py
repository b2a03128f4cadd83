"""Pages of the site that are made from the code and from files outside `docs`, so that they cannot go stale.

mkdocs calls `on_files` and `on_page_markdown` (its hooks) while it builds.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
# Pages of the site that are files or folders elsewhere in the repository.
_ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples": "examples.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository into links of the site; what is no page there is shown without a link."""
    del config, files
    return site_links(markdown, page.file.src_uri)


def site_links(markdown: str, page: str) -> str:
    """Return a page's text with links that work on the site.

    Parameters
    ----------
    markdown : str
        Text of a page. Its links are relative to where its source stands in the repository.
    page : str
        Its name on the site, such as ``"howto/costs.md"``.
    """
    source = next((name for name, target in _ELSEWHERE.items() if target == page), f"docs/{page}")
    up = "../" * page.count("/")

    def moved(found: re.Match[str]) -> str:
        start, target, end = found.groups()
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        path = _resolved(Path(source).parent / target)
        if path in _ELSEWHERE:
            return f"{start}{up}{_ELSEWHERE[path]}{end}"
        return f"{start}{up}{path.removeprefix('docs/')}{end}" if path.startswith("docs/") else "]"

    linked = re.sub(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)((?:#[^)\s]*)?)\)", lambda one: _without(one, moved), markdown)
    return re.sub(r"(!\[[^\]]*)(\]\()(docs/)", rf"\1\2{up}", linked)


def _without(found: re.Match[str], moved: Callable[[re.Match[str]], str]) -> str:
    inner = _LINK.search(found[0])
    assert inner is not None
    target = moved(inner)
    return found[1] if target == "]" else f"[{found[1]}{target}"


def _resolved(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def examples_page() -> str:
    """Return the examples with their code, each under the first line of its docstring."""
    parts = [
        "# Examples\n\nEach is a file of `examples/` and a notebook of `examples/notebooks/`; the tests run them.\n"
    ]
    for path in sorted((ROOT / "examples").glob("[a-z]*.py")):
        text = path.read_text(encoding="utf-8")
        about = ast.get_docstring(ast.parse(text)) or ""
        parts.append(f"## {path.stem.replace('_', ' ').capitalize()}\n\n{about}\n\n```python\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def commands_page() -> str:
    """Return every command with what its `--help` says."""
    from agent.cli.main import cli

    parts = ["# Command line\n\nWhat `alphaglow COMMAND --help` prints, for every command.\n"]
    for names, command in commands(cli):
        context = click.Context(command, info_name=f"alphaglow {' '.join(names)}")
        parts.append(f"{'#' * (1 + len(names))} `{' '.join(names)}`\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def commands(group: click.Group, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command below `group` with its words, a group before its commands."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield (*names, name), found
        if isinstance(found, click.Group):
            yield from commands(found, (*names, name))


def operators_page() -> str:
    """Return every operator with what `alphaglow operators NAME` prints, by family."""
    from factors.table import OPERATORS, describe

    families: dict[str, list[str]] = {}
    for name, operator in OPERATORS.items():
        families.setdefault(operator.family, []).append(name)
    parts = [f"# Operators\n\n{len(OPERATORS)} operators, as `alphaglow operators NAME` explains them.\n"]
    for family, names in families.items():
        parts.append(f"## {family.capitalize()}\n")
        parts += [f"### `{name}`\n\n```text\n{describe(name)}\n```\n" for name in names]
    return "\n".join(parts)


def python_page() -> str:
    """Return the public names of `alphaglow`, each to be replaced by its docstring."""
    import alphaglow

    homes = {name: getattr(alphaglow, name) for name in alphaglow.__all__ if name != "__version__"}
    parts = ["# Python\n\n`import alphaglow as ag`; every name below is one of `ag`.\n"]
    parts += [
        f"::: {one.__module__}.{one.__qualname__}\n    options:\n      heading: ag.{name}\n      toc_label: {name}\n"
        for name, one in homes.items()
    ]
    return "\n".join(parts)


def knowledge_page() -> str:
    """Return the tables and columns of the knowledge base."""
    from sqlalchemy.dialects import sqlite

    from agent.knowledge.database.schema import HEAD, Base

    parts = [f'# Knowledge base\n\nRevision {HEAD}. `alphaglow kb sql "select …"` reads it.\n']
    owners = {mapper.local_table.name: mapper.class_ for mapper in Base.registry.mappers}  # type: ignore[attr-defined]
    for table in Base.metadata.sorted_tables:
        about = " ".join((owners[table.name].__doc__ or "").split()) if table.name in owners else ""
        parts.append(f"## `{table.name}`\n\n{about}\n\n| column | type | null | refers to |\n|---|---|---|---|")
        for column in table.columns:
            refers = ", ".join(f"`{key.target_fullname}`" for key in column.foreign_keys)
            kind = column.type.compile(dialect=sqlite.dialect()).lower()
            parts.append(f"| `{column.name}` | {kind} | {'yes' if column.nullable else ''} | {refers} |")
        parts.append("")
    return "\n".join(parts)


def _file(name: str) -> Callable[[], str]:
    return lambda: (ROOT / name).read_text(encoding="utf-8")


PAGES: Mapping[str, Callable[[], str]] = {
    "index.md": _file("README.md"),
    "changes.md": _file("CHANGELOG.md"),
    "contributing.md": _file("CONTRIBUTING.md"),
    "examples.md": examples_page,
    "reference/commands.md": commands_page,
    "reference/operators.md": operators_page,
    "reference/python.md": python_page,
    "reference/knowledge-base.md": knowledge_page,
}
