"""The plan of a round: an operation and a theme for each candidate, and the parents that it works on.

An operation (a new idea of some theme, or a change of known factors) and a theme are drawn by Thompson sampling;
parents come from an archive. A plan is a function of the knowledge base and the seed, and is stored with the round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from agent.knowledge.attempt_figures import (
    Figure,
    least_figure,
    or_none,
    or_zero,
    predicts_on_train,
    sharpe_gated,
    sharpe_net,
    train_of,
)
from agent.knowledge.records import AttemptRecord
from agent.mining.search.bandit import PARTIAL, drawn, odds, rewards
from agent.mining.search.elites import Prints, archive, best_of_all, merit, predicts, wrong_way
from agent.mining.search.tasks import OPERATIONS, Operation, Task
from agent.mining.search.themes import REFINEMENTS, theme_of, themes_of_fields
from factors.parse import parse
from factors.tree import Expression

# Of the candidates with a parent, this many take the best; the others any of the archive.
_GREEDY = 0.7
# New ideas of a round, once there is something to build on. It is not left to what operations earned: new ideas pass
# less often than variants of what passed, and without them a search stays where it began. While nothing that was tried
# is further from nothing than the best of as many without skill, variants would only follow luck.
_NEW, _NEW_AT_FIRST = 0.3, 0.75
_SURELY = 3.5
# Most of a round's candidates that only turn a factor around.
_TURNED = 0.25
_SIMPLE = 8
# Parents without an archive, and of a refinement.
_FEW = 12
_LINES = 3


@dataclass(frozen=True)
class Writers:
    """Models that may write, with what a candidate of each costs (relative to the cheapest); one: nothing to choose."""

    names: tuple[str, ...] = ()
    costs: Mapping[str, float] | None = None
    batch: int = 1


@dataclass(frozen=True)
class Measured:
    """What is known of attempts, by id, beside their records.

    Attributes
    ----------
    worth
        What each was worth; by default its reward without what it added.
    added
        What each adds to what is known: with it, the archive keeps what added most.
    prints
        Fingerprints of returns.
    """

    worth: Mapping[int, float] | None = None
    added: Mapping[int, float] | None = None
    prints: Prints | None = None


def plan_tasks(
    attempts: Sequence[AttemptRecord],
    fields: Iterable[str],
    count: int,
    rng: np.random.Generator,
    *,
    writers: Writers | None = None,
    varied: bool = True,
    measured: Measured | None = None,
) -> tuple[Task, ...]:
    """Return the tasks of a round from all attempts on its data, oldest first.

    First come factors that pay the other way: they are turned around by the machine, since a sign takes no idea.
    Without `varied`, parents are the best factors whatever their kind.
    """
    known = Measured() if measured is None else measured
    themes = themes_of_fields(frozenset(fields))
    elites = _worth_building_on(archive(attempts, known.added) if varied else best_of_all(attempts, _FEW))
    theme = {a.canonical or "": theme_of(a) for a in elites}
    pool, wrong = list(theme), wrong_way(attempts, known.prints)
    long = [text for text in pool if _size(text) > _SIMPLE]
    worth = rewards(attempts) if known.worth is None else known.worth
    operations = odds(attempts, worth, lambda a: a.claims.operation)
    ideas = odds(attempts, worth, lambda a: a.claims.theme)
    new = _NEW if any(abs(or_zero(train_of(a).payoff_z)) > _SURELY for a in attempts) else _NEW_AT_FIRST
    tasks = [Task("invert", parents=(text,)) for text in wrong[: max(1, round(_TURNED * count))]]
    while len(tasks) < count:
        enough = {"mutate": pool, "windows": pool, "cross": pool[1:], "simplify": long}
        open_to = [name for name in OPERATIONS if enough.get(name)]
        operation = drawn(operations, open_to, rng) if open_to and rng.random() >= new else "new"
        if operation == "new":
            tasks.append(Task("new", drawn(ideas, themes, rng)))
        else:
            parents = _parents(long if operation == "simplify" else pool, 2 if operation == "cross" else 1, rng)
            tasks.append(Task(operation, theme[parents[0]], parents))
    return _signed(tasks, attempts, worth, writers, rng)


def _worth_building_on(ranked: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return those that predict beyond chance and earn their costs; while there are few, the best few at all."""
    sound = [a for a in ranked if predicts_on_train(a) and (merit(a) or 0.0) > 0]
    return sound if len(sound) >= _LINES else list(ranked[:_LINES])


def plan_refinements(
    start: str,
    attempts: Sequence[AttemptRecord],
    line: Sequence[AttemptRecord],
    count: int,
    rng: np.random.Generator,
    *,
    gated: bool = False,
    writers: Writers | None = None,
) -> tuple[Task, ...]:
    """Return the tasks of a round that improves a given factor.

    Parameters
    ----------
    attempts
        All on the data, oldest first: the given factor may have been scored by any run.
    line
        Those of the run: what came of the given factor so far.
    gated
        Whether what a factor earns behind the gate is what counts.
    """
    figure = sharpe_gated if gated else sharpe_net
    known = [a for a in attempts if a.canonical == start and a.evaluation is not None][:1]
    scored = [a for a in line if a.evaluation is not None and a.canonical]
    best = sorted([*known, *scored], key=lambda a: (-least_figure(a, figure), a.id))
    pool = list(dict.fromkeys([a.canonical or "" for a in best][:_LINES])) or [start]
    worth = _gains(line, best, figure)
    respects = odds(line, worth, lambda a: a.claims.theme)
    operations = odds(line, worth, lambda a: a.claims.operation)
    tasks: list[Task] = []
    if not known:
        tasks.append(Task("given", parents=(start,)))
    elif not predicts(known[0]) and not any(a.claims.operation == "invert" for a in line):
        tasks.append(Task("invert", parents=(start,)))
    while len(tasks) < count:
        parent = _parents(pool, 1, rng)[0]
        choices: list[Operation] = ["refine", "windows"]
        if _size(parent) > _SIMPLE:
            choices.append("simplify")
        operation = drawn(operations, choices, rng)
        theme = drawn(respects, list(REFINEMENTS), rng) if operation == "refine" else ""
        tasks.append(Task(operation, theme, (parent,)))
    return _signed(tasks, line, worth, writers, rng)


def _gains(line: Sequence[AttemptRecord], known: Sequence[AttemptRecord], figure: Figure) -> dict[int, float]:
    """Return what each candidate of a line was worth, by id: 1 if it earns more on train than its parent did."""
    figures = {a.canonical: or_none(figure(train_of(a))) for a in known}
    found = {}
    for attempt in line:
        parents = [figures.get(text) for text in attempt.claims.parents]
        before = max((p for p in parents if p is not None), default=-np.inf)
        mine = or_none(figure(train_of(attempt)))
        found[attempt.id] = 0.0 if mine is None else 1.0 if mine > before else PARTIAL * float(mine > 0)
    return found


def _signed(
    tasks: Sequence[Task],
    attempts: Sequence[AttemptRecord],
    worth: Mapping[int, float],
    writers: Writers | None,
    rng: np.random.Generator,
) -> tuple[Task, ...]:
    """Say who writes each task, where there is a choice: candidates of one call have one writer."""
    if writers is None or len(writers.names) < 2:
        return tuple(tasks)
    record = odds(attempts, worth, lambda a: a.claims.model)
    count = -(-len(tasks) // writers.batch)
    chosen = [drawn(record, writers.names, rng, writers.costs) for _ in range(count)]
    return tuple(
        task if task.by_machine else replace(task, model=chosen[k // writers.batch]) for k, task in enumerate(tasks)
    )


@lru_cache(maxsize=1_000)
def _size(text: str | None) -> int:
    read = parse(text or "", fields=None)
    return read.size if isinstance(read, Expression) else 0


def _parents(pool: Sequence[str], count: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Draw texts from those of a pool, whose best come first."""
    chosen: list[str] = []
    while len(chosen) < min(count, len(pool)):
        left = [text for text in pool if text not in chosen]
        if rng.random() < _GREEDY:
            # The better a factor did, the likelier it is the one to build on.
            weights = 1.0 / (1.0 + np.arange(len(left)))
            chosen.append(left[int(rng.choice(len(left), p=weights / weights.sum()))])
        else:
            chosen.append(left[int(rng.integers(len(left)))])
    return tuple(chosen)
