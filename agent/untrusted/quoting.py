"""Telling a model what models, people and files wrote, so that it stays data.

Three rules hold for every prompt. No quoted text begins a line: it is flattened into one, or each of its lines is
indented. Prose is quoted in « and », which cannot be closed from within; a factor of the language may stand bare. And
what a chat template would take for the end of a turn is broken up.
"""

from __future__ import annotations

import re
from functools import lru_cache

from agent.untrusted.showing import displayable
from factors.dimensions import FIELD_DIMENSIONS
from factors.parse import parse
from factors.table import GROUP_FIELDS
from factors.tree import Expression

# The longest text that is quoted whole; a rationale is asked for in two or three sentences.
LONGEST = 1500
# The longest that the language reads.
_LONGEST_FACTOR = 1800
_MOST_LINES = 12
_WORD = re.compile(r"[\w./:-]{1,40}")
# The beginnings of <|im_end|>, <s>, </s>, <think>, <start_of_turn>, <<SYS>>, [INST] and their related factors.
_TOKEN = re.compile(r"<(?=[|/<!\w\uff5c])|\[(?=/?[A-Z_]{3,}\])")
_FIELDS = (*FIELD_DIMENSIONS, *GROUP_FIELDS)
_QUOTES = str.maketrans("«»", "‹›")


def one_line(text: str, longest: int = LONGEST) -> str:
    """Return `text` in one line of at most this many characters, without what cannot be seen or ends a turn."""
    flat = " ".join(_TOKEN.sub("‹", displayable(text)).split())
    return flat if len(flat) <= longest else f"{flat[: longest - 2]} …"


def quoted(text: str, longest: int = LONGEST) -> str:
    """Return `text` in one line, in quotes that it cannot close."""
    return f"«{one_line(text, longest).translate(_QUOTES)}»"


@lru_cache(maxsize=4_096)
def as_shown(text: str) -> str:
    """Return `text` as a prompt may hold it within a line: a factor or one plain word bare, all else quoted."""
    flat = one_line(text, _LONGEST_FACTOR)
    if _WORD.fullmatch(flat) or isinstance(parse(flat, dialect="native", fields=_FIELDS), Expression):
        return flat
    return quoted(text)


def indented(text: str) -> str:
    """Return `text` with each line four spaces in, so that a caret stays under what it points at."""
    lines = [line for line in _TOKEN.sub("‹", displayable(text)).split("\n") if line.strip()]
    shown = [line if len(line) <= LONGEST else f"{line[: LONGEST - 2]} …" for line in lines[:_MOST_LINES]]
    return "\n".join(f"    {line}" for line in shown or ["(nothing)"])
