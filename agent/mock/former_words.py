"""Today's sentences in the words that the mock's draws were seeded by when it was made.

A sentence of a verdict or of the market that is reworded gets a pair here, and every run of the mock stays as it was.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

# Of each what it says today, and what it said. What a stored base holds in the former words is left as it is.
_PAIRS = (
    ("what it pays on train does not differ from chance", "what it pays on train cannot be told from nothing"),
    (" (trading a tenth of the capital every bar costs ", " (trading a tenth of the book every bar costs "),
)
Said = TypeVar("Said")


def in_former_words(said: Said) -> Said:
    """Return text, or facts that hold text, with each sentence of today as it was."""
    found: Any = said
    match found:
        case str():
            for today, then in _PAIRS:
                found = found.replace(today, then)
        case tuple():
            found = tuple(in_former_words(one) for one in found)
        case dict():
            found = {name: in_former_words(one) for name, one in found.items()}
        case _ if is_dataclass(found) and not isinstance(found, type):
            found = replace(found, **{one.name: in_former_words(getattr(found, one.name)) for one in fields(found)})
    return found  # type: ignore[no-any-return]
