"""The page about the language tells the truth: its examples are read, and what it calls one factor is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from factors.parse import parse
from factors.table import OPERATORS
from factors.tree import Expression

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "language.md").read_text(encoding="utf-8")


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
