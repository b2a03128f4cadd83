"""Named building blocks: known factors that may be used in new expressions like fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from factors.table import GROUP_FIELDS, MARKET_FIELDS, NAMED_GROUPS, OPERATORS, STANDARD_FIELDS

if TYPE_CHECKING:
    from agent.knowledge.library_records import NewLibraryEntry
    from agent.knowledge.listing import Listing
    from agent.knowledge.records import AttemptRecord

_LIBRARIES: Mapping[str, str] = {"worldquant": "alpha101", "gtja": "alpha191", "qlib": "alpha158"}
_TAKEN = frozenset({*STANDARD_FIELDS, *MARKET_FIELDS, *GROUP_FIELDS, *NAMED_GROUPS})
_SHORT_ID = 8


def is_accepted(attempt: AttemptRecord) -> bool:
    """Whether the admission policy let a factor in."""
    return attempt.evaluation is not None and attempt.evaluation.accepted


def blocks_of(
    attempts: Iterable[AttemptRecord],
    fields: Iterable[str],
    chosen: Callable[[AttemptRecord], bool] = is_accepted,
) -> dict[str, str]:
    """Return name to text of every chosen factor: by the name its writer gave, and as ``f_`` with 8 digits of its id.

    A name that is taken, by a field, an operator or an older factor, gets _2, _3 ... behind it.
    """
    taken = _TAKEN | set(OPERATORS) | set(fields)
    found: dict[str, str] = {}
    known: set[str] = set()
    for attempt in attempts:
        if attempt.canonical is None or not chosen(attempt):
            continue
        if attempt.factor_id is None or attempt.factor_id in known:
            continue
        known.add(attempt.factor_id)
        found[_free(slug(attempt.name), taken | set(found))] = attempt.canonical
        found[f"f_{attempt.factor_id.removeprefix('factor:')[:_SHORT_ID]}"] = attempt.canonical
    return found


def library_blocks(entries: Iterable[NewLibraryEntry]) -> dict[str, str]:
    """Return name to text of the published factors: alpha101_042, alpha191_007, alpha158_kmid."""
    found = {}
    for entry in entries:
        if entry.canonical is None:
            continue
        number = re.fullmatch(r"Alpha#?(\d+)(?: \((\d+)\))?", entry.name)
        tail = f"{int(number[1]):03d}" + (f"_{number[2]}" if number[2] else "") if number else slug(entry.name)
        found[f"{_LIBRARIES.get(entry.dialect, slug(entry.source))}_{tail}"] = entry.canonical
    return found


def all_blocks(knowledge: Listing, panel_id: str, fields: Iterable[str]) -> dict[str, str]:
    """Return every name that may stand for a known factor on a panel."""
    return {**library_blocks(knowledge.library()), **blocks_of(knowledge.accepted(panel_id), fields)}


class LateBlocks(Mapping[str, str]):
    """Names of known factors that are looked up when the first one is asked for.

    Parameters
    ----------
    load
        Returns name to text; called at most once.
    """

    def __init__(self, load: Callable[[], Mapping[str, str]]) -> None:
        self._load = load

    @cached_property
    def _found(self) -> Mapping[str, str]:
        return self._load()

    def __getitem__(self, name: str) -> str:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def slug(name: str) -> str:
    """Return a name as the language can write it: small letters, digits and underscores."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40]
    return plain if plain and plain[0].isalpha() else f"factor_{plain}".rstrip("_")


def _free(name: str, taken: set[str] | frozenset[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free
