"""The page about the language tells the truth: its examples are read, and what it calls one factor is one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.study.blocks import library_blocks
from factors.parse import parse
from factors.table import OPERATORS
from factors.tree import Expression
from market.errors import Rejection
from tests.pages import ROOT, inline

PAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")


def block(kind: str) -> list[str]:
    found = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    return [line for text in found for line in text.splitlines()]


@pytest.mark.parametrize("text", [*block("factor"), *block("factor-same")])
def test_the_examples_are_read(text: str) -> None:
    found = parse(text)
    assert isinstance(found, Expression), found


def test_what_is_called_one_factor_is_one() -> None:
    found = [parse(text) for text in block("factor-same")]
    assert len(found) > 2
    assert len({one.id for one in found if isinstance(one, Expression)}) == 1


def test_operators_named_on_the_page_exist() -> None:
    named = set(re.findall(r"`((?:ts|cs|group|cum)_[a-z_]*[a-z])\b", PAGE))
    assert named - set(OPERATORS) == set()


# Letters that stand for arguments on the page, and what the page says is refused.
LETTERS = {"d": "5", "n": "6", "m": "2", "a": "0.5"}
REFUSED = {"std(x)", "shift(-1)", "df.sort_index(ascending=False).close", "1/0",
           "Greater($close, $open)"}  # fmt: skip
INLINE = sorted({text for text in inline(ROOT / "docs" / "language.md") if re.search(r"\w\(|[/+?]", text)})


def read(text: str) -> object:
    """Read an inline example, its letters replaced; whatever else it names is a field."""
    letters = {**LETTERS, "a": "(open < close)"} if "if_else" in text or "?" in text else LETTERS
    full = re.sub(r"\b[dnma]\b", lambda found: letters[found[0]], text)
    names = set(re.findall(r"\b[a-z_]\w*\b(?!\()", full))
    return parse(full, fields={"open", "high", "low", "close", "volume", "vwap", "amount", "returns", *names})


@pytest.mark.parametrize("text", INLINE)
def test_inline_examples_are_read_or_refused_as_the_page_says(text: str) -> None:
    assert isinstance(read(text), Rejection if text in REFUSED else Expression)


def test_what_the_page_calls_refused_is_on_it() -> None:
    assert set(INLINE) >= REFUSED


def test_names_of_known_factors_on_the_page_are_names(tmp_path: Path) -> None:
    named = {text for text in inline(ROOT / "docs" / "language.md") if re.fullmatch(r"[a-z]+\d+_\w+", text)}
    assert len(named) >= 2
    shutil.copy(ROOT / "knowledge.db", tmp_path / "knowledge.db")
    with KnowledgeBase.open(tmp_path / "knowledge.db") as knowledge:
        known = library_blocks(knowledge.library())
    assert named - set(known) == set()
