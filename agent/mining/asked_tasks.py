"""The plan of a round whose factors have to keep to a request: parents that do, and new ideas of the asked type."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache

from agent.knowledge.records import AttemptRecord
from agent.mining.constraints import Constraints
from agent.mining.factor_types import TYPES
from agent.mining.search.tasks import Task
from factors.parse import parse
from factors.tree import Expression


def keeping(asked: Constraints, attempts: Sequence[AttemptRecord], fields: Collection[str]) -> Sequence[AttemptRecord]:
    """Return the attempts whose factors keep to a request: what breaks it is nothing to build on."""
    if not asked:
        return attempts
    known = tuple(fields)
    return [a for a in attempts if a.canonical is not None and _keeps(asked, a.canonical, known)]


@lru_cache(maxsize=20_000)
def _keeps(asked: Constraints, text: str, fields: tuple[str, ...]) -> bool:
    read = parse(text, fields=fields, dialect="native")
    return isinstance(read, Expression) and asked.fault(read) is None


def of_kind(asked: Constraints, tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Return tasks whose new ideas are of the asked type."""
    if not asked.kind:
        return tuple(tasks)
    theme = TYPES[asked.kind].theme
    return tuple(replace(task, theme=theme) if task.operation == "new" else task for task in tasks)
