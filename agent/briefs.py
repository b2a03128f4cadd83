"""The brief: all that the writer is told, and how prompts are rendered from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from agent.replies import Proposal
from agent.search import Task
from agent.told import indented, one_line, told
from factors.novelty import Novelty
from factors.reading import read_aloud
from factors.tree import Expression

PROMPTS = Path(__file__).resolve().parent / "prompts"


@dataclass(frozen=True)
class Example:
    """A known factor as a prompt shows it: train figures, and of validation the verdict's word alone."""

    text: str
    name: str
    metrics: Mapping[str, float]
    verdict: str
    reason: str


@dataclass(frozen=True)
class Brief:
    """What the writer of a round works from; stored with the round, so that a resumed run asks the same.

    Attributes
    ----------
    blocks
        Accepted factors that may be used by name: name to text.
    known, attempts_until
        How far the knowledge base reached when the round began: the newest indexed factor and attempt.
    tasks
        What each candidate is to be, by slot; none where the writer chooses for itself.
    """

    round: int
    goal: str
    fields: tuple[str, ...]
    operators: str
    successes: tuple[Example, ...]
    failures: tuple[Example, ...]
    lessons: tuple[str, ...]
    market: str
    blocks: Mapping[str, str] = field(default_factory=dict)
    known: int = 0
    attempts_until: int = 0
    tasks: tuple[Task, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return asdict(self)

    def task(self, slot: str) -> Task | None:
        """Return the task of a candidate (``r1/s0``); None where it has none."""
        if not self.tasks:
            return None
        number = int(slot.rsplit("/s", 1)[1])
        return self.tasks[number] if number < len(self.tasks) else None

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Brief:
        """Read what `to_dict` wrote."""
        return cls(
            round=raw["round"],
            goal=raw["goal"],
            fields=tuple(raw["fields"]),
            operators=raw["operators"],
            successes=tuple(Example(**item) for item in raw["successes"]),
            failures=tuple(Example(**item) for item in raw["failures"]),
            lessons=tuple(raw["lessons"]),
            market=raw["market"],
            blocks=raw.get("blocks", {}),
            known=raw.get("known", 0),
            attempts_until=raw.get("attempts_until", 0),
            tasks=tuple(Task.from_dict(task) for task in raw.get("tasks", ())),
        )


@dataclass(frozen=True)
class Turn:
    """One exchange of the inner loop: what was proposed, and what came back."""

    expression: str
    answer: str


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PROMPTS),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Prompts are text for a model, not HTML; nothing here is shown in a page.
        autoescape=False,
    )
    environment.filters.update(told=told, one_line=one_line, indented=indented)
    return environment


def render(template: str, **values: object) -> str:
    """Render a prompt file; a name that it lacks is an error, not an empty string."""
    return _templates().get_template(template).render(**values).strip()


def writer_prompt(brief: Brief, slot: str, turns: Sequence[Turn]) -> tuple[str, str]:
    """Return the writer's system and user prompts. `slot` tells candidates of a round apart."""
    task = brief.task(slot)
    return render("writer_system.md", brief=brief), render("writer.md", brief=brief, slot=slot, turns=turns, task=task)


def judge_prompt(
    brief: Brief,
    expression: Expression,
    proposal: Proposal,
    novelty: Novelty | None = None,
) -> tuple[str, str]:
    """Return the judge's system and user prompts on one proposal, with all that can be read from its tree."""
    user = render(
        "judge.md",
        brief=brief,
        factor=expression,
        reading=read_aloud(expression),
        proposal=proposal,
        novelty=novelty.sentences() if novelty is not None else (),
    )
    return render("judge_system.md"), user
