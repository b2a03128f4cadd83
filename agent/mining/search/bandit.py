"""What to try next by what it earned: Thompson sampling over choices that have each won and lost so often.

Thompson 1933; Chapelle & Li 2011. What is newer counts for more, and a choice that costs more has to win more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from agent.knowledge.attempt_figures import earns_on_train, predicts_on_train
from agent.knowledge.records import AttemptRecord
from agent.mining.search.added import ADDS
from agent.mining.search.elites import Kind, elite_kind, merit

Choice = TypeVar("Choice", bound=str)
Odds = Mapping[str, tuple[float, float]]
# What was never tried is as good as what won once and lost once.
_PRIOR = 1.0
# What an attempt counts for, of what the one after it does: what worked long ago is worked out.
_DECAY = 0.99
# A factor that predicts on train without being sure is a part of a win, and more so if it earns its costs.
_EARNS, _PREDICTS = 0.5, 0.1
# What a variant of what is known already is worth, of what it would be if it added something.
PARTIAL = 0.3
# What an idea is worth for what was made of it, of what that was worth.
_DESCENT = 0.8


def reward(attempt: AttemptRecord) -> float:
    """Return what an attempt was worth, in [0, 1], by train alone: how surely it pays, and whether costs leave some."""
    if not predicts_on_train(attempt):
        return 0.0
    if not earns_on_train(attempt):
        return _PREDICTS
    return 1.0 if predicts_on_train(attempt, surely=True) else _EARNS


def rewards(
    attempts: Sequence[AttemptRecord],
    added: Mapping[int, float] | None = None,
    worth_of: Callable[[AttemptRecord], float] = reward,
) -> dict[int, float]:
    """Return what each attempt is worth, by id: its reward, in full if it added something when it came.

    A tenth variant of one idea passes as well as the first, and tells nothing. What a factor `added` to those before it
    says so (see `agent.mining.search.added`); where that is not known, whether it was the best of its kind. An idea
    that fails, and of which something good is made, is worth most of that: else new ideas, which seldom pass as they
    stand, would cease.
    """
    best: dict[Kind, float] = {}
    found = {}
    for attempt in attempts:
        worth, its = worth_of(attempt), merit(attempt)
        if worth > 0 and its is not None:
            kind = elite_kind(attempt)
            if added is not None and attempt.id in added:
                # What it adds is what it is worth, surely from `ADDS` on.
                worth = max(_PREDICTS, min(1.0, added[attempt.id] / ADDS)) * max(worth, _EARNS)
            else:
                worth *= 1.0 if its > best.get(kind, -np.inf) else PARTIAL
            best[kind] = max(its, best.get(kind, -np.inf))
        found[attempt.id] = worth
    return _credited(attempts, found)


def _credited(attempts: Sequence[AttemptRecord], worth: dict[int, float]) -> dict[int, float]:
    """Return worths with what descendants earned, the newest first, so that it reaches their forebears."""
    first = {a.canonical: a.id for a in reversed(attempts) if a.canonical}
    for attempt in reversed(attempts):
        for text in attempt.claims.parents:
            parent = first.get(text)
            if parent is not None and parent != attempt.id:
                worth[parent] = max(worth[parent], _DESCENT * worth[attempt.id])
    return worth


def odds(
    attempts: Sequence[AttemptRecord], worth: Mapping[int, float], trait: Callable[[AttemptRecord], str]
) -> dict[str, tuple[float, float]]:
    """Return how often each `trait` of attempts has won and lost; attempts without one do not count."""
    found: dict[str, tuple[float, float]] = {}
    for age, attempt in enumerate(reversed(attempts)):
        what = trait(attempt)
        if what and attempt.id in worth:
            won, lost = found.get(what, (0.0, 0.0))
            weight = _DECAY**age
            found[what] = won + weight * worth[attempt.id], lost + weight * (1.0 - worth[attempt.id])
    return found


def drawn(
    known: Odds, choices: Sequence[Choice], rng: np.random.Generator, costs: Mapping[str, float] | None = None
) -> Choice:
    """Draw one of `choices`: each as often as it may be the best, for what it costs."""
    samples = []
    for choice in choices:
        won, lost = known.get(choice, (0.0, 0.0))
        cost = 1.0 if costs is None else costs.get(choice, 1.0)
        samples.append(rng.beta(_PRIOR + won, _PRIOR + lost) / cost)
    return choices[int(np.argmax(samples))]
