"""The README tells the truth: its length, its commands, its links and its tree of folders."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.list_files import PACKAGES, PAGE, as_page, listing
from tests.pages import PAGES, README, ROOT, prose

TEXT = README.read_text(encoding="utf-8")


@cache
def files() -> dict[str, str]:
    """Return every file and its line; the tests of this module read them once."""
    return listing()


def folders_of_the_tree() -> set[str]:
    """Return the folders of the README's tree as paths: two spaces of indentation are one level."""
    block = TEXT[TEXT.index("## The tree") :].split("```")[1]
    found, path = set(), []
    for line in block.strip().splitlines():
        indent, name = re.match(r"( *)(\w+)/", line).groups()  # type: ignore[union-attr]
        path = [*path[: len(indent) // 2], name]
        found.add("/".join(path))
    return found


def test_the_readme_is_short() -> None:
    assert len(TEXT.splitlines()) <= 170


def test_the_tree_names_every_folder_and_no_other() -> None:
    folders = {path.rpartition("/")[0] for path in files()}
    # Folders without Python (prompts, pages) are left out.
    assert folders_of_the_tree() == folders | {"tests", "docs"}


def test_the_list_of_files_is_what_the_docstrings_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_page(files()), "out of date: run `python -m tests.list_files`"


def test_every_file_says_what_it_is() -> None:
    assert [path for path, line in files().items() if not line] == []
    assert {path.split("/")[0] for path in files()} == set(PACKAGES)


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", TEXT, re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]+`", "", prose(page))
    links = re.findall(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)", text)
    for path, anchor in links:
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{path}#{anchor}"
