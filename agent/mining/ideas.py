"""Distinct ideas: attempts whose train returns go together, as one observation, and what they are made of."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import fmean

from agent.knowledge.attempt_figures import net_score, train_of
from agent.knowledge.records import AttemptRecord
from agent.knowledge.stored_returns import StoredReturns

# Ingredients that share this much of the ideas that either of them is in are one comparison.
_ALIKE = 0.8
_CALL = re.compile(r"([a-z_][a-z0-9_]*)\(")
_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_STRUCTURAL = frozenset(
    {"add", "sub", "mul", "div", "neg", "abs", "sign", "max", "min", "cs_rank", "cs_zscore", "cs_demean", "cs_scale"}
)


@dataclass(frozen=True)
class Idea:
    """Attempts that are one distinct idea, oldest first: all have a net score on train and a payoff's."""

    members: tuple[AttemptRecord, ...]

    @property
    def first(self) -> AttemptRecord:
        """The attempt by which the idea is known."""
        return self.members[0]

    @cached_property
    def best(self) -> AttemptRecord:
        """The member with the highest net score on train."""
        return max(self.members, key=lambda a: (net_score(train_of(a)), -a.id))

    @property
    def payoff(self) -> float:
        """The payoff's score of its best member."""
        return train_of(self.best).payoff_z

    @cached_property
    def score(self) -> float:
        """Mean net score; a factor and its negation are one idea, of which the side that pays counts."""
        paying = [a for a in self.members if train_of(a).payoff_z > 0]
        return fmean(net_score(train_of(a)) for a in paying or self.members)

    @cached_property
    def words(self) -> frozenset[str]:
        """Operators and fields that most of its members are made of."""
        counts: dict[str, int] = defaultdict(int)
        for member in self.members:
            for word in idea_words(member.canonical or ""):
                counts[word] += 1
        return frozenset(word for word, count in counts.items() if 2 * count > len(self.members))


@dataclass(frozen=True)
class Ingredient:
    """Words that occur in the same ideas, or nearly, and the ideas that the first of them is in, by first attempt."""

    words: tuple[str, ...]
    ideas: frozenset[int]
    always: bool

    def said(self) -> str:
        """Name the words, and say where they go together."""
        named = [f"`{word}`" for word in self.words]
        if len(named) == 1:
            return named[0]
        return f"{', '.join(named[:-1])} and {named[-1]}, {'always' if self.always else 'nearly always'} together,"


def distinct_ideas(attempts: Sequence[AttemptRecord], returns: StoredReturns) -> list[Idea]:
    """Return the distinct ideas among attempts with a payoff on train, the oldest first."""
    groups: dict[int, list[AttemptRecord]] = defaultdict(list)
    for attempt in attempts:
        train = train_of(attempt)
        if math.isfinite(train.payoff_z) and math.isfinite(net_score(train)):
            groups[returns.cluster(attempt.id)].append(attempt)
    return [Idea(tuple(group)) for group in groups.values()]


def ingredients(ideas: Sequence[Idea]) -> list[Ingredient]:
    """Return what ideas are made of; words that occur in the same ideas, or nearly the same, are one ingredient."""
    holders: dict[str, set[int]] = defaultdict(set)
    for idea in ideas:
        for word in idea.words:
            holders[word].add(idea.first.id)
    groups: list[list[str]] = []
    for word in sorted(holders, key=lambda name: (-len(holders[name]), name)):
        home = next((g for g in groups if _alike(holders[g[0]], holders[word])), None)
        if home is None:
            groups.append([word])
        else:
            home.append(word)
    return [
        Ingredient(tuple(group), frozenset(holders[group[0]]), all(holders[w] == holders[group[0]] for w in group))
        for group in groups
    ]


def _alike(one: set[int], other: set[int]) -> bool:
    return len(one & other) >= _ALIKE * len(one | other)


@lru_cache(maxsize=8_192)
def idea_words(text: str) -> frozenset[str]:
    """Return the operators and fields of a factor; what only joins or ranks is none."""
    called = set(_CALL.findall(text))
    return frozenset((called - _STRUCTURAL) | (set(_WORD.findall(text)) - called))
