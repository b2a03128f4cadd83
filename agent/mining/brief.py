"""The brief: all that the writer is given, and how prompts are rendered from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.llm.facts import (
    FactorFacts,
    FactorShown,
    JudgeFacts,
    LessonFacts,
    ProposalFacts,
    RoomFacts,
    TaskFacts,
    TurnFacts,
    Wanted,
    WriterFacts,
)
from agent.mining.constraints import Constraints
from agent.mining.operator_lines import operator_lines
from agent.mining.replies import Proposal
from agent.mining.search.room import room_sentence
from agent.mining.search.tasks import Task
from agent.untrusted.prompt_files import render_prompt
from agent.untrusted.quoting import as_shown
from factors.overlap import Novelty
from factors.plain_words import read_aloud
from factors.tree import Expression

# What each step keeps: what worked, what failed, what is crowded (room and blocks likewise), lessons, and what is
# related to a task.
_KEPT = ((4, 3, 6, 6, 3), (3, 2, 3, 4, 2), (2, 1, 0, 2, 1), (1, 0, 0, 1, 0), (0, 0, 0, 0, 0))
STEPS = len(_KEPT)
# From this step on, only the usual operators are named.
_FEW_OPERATORS = 3
PROMPTS = Path(__file__).resolve().parent / "prompts"


@dataclass(frozen=True)
class Example:
    """A known factor as a prompt shows it: train figures, and of validation the verdict's word alone.

    `rule` is the trading rule that was chosen for it, in words; empty where it was traded as all others.
    """

    text: str
    name: str
    metrics: Mapping[str, float]
    verdict: str
    reason: str
    rule: str = ""


@dataclass(frozen=True)
class Assignment:
    """One candidate of a round: its slot, its task if it has one, and what is known that bears on it."""

    slot: int
    task: Task | None = None
    related: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Forecast:
    """What is known of a proposal before it is scored.

    Attributes
    ----------
    related
        Scored factors that share the largest parts with it, as they were known when the round began.
    turnover, yearly_cost
        Share of the portfolio that it would trade a bar, and what that costs a year, on train; NaN where that is not
        known.
    rule, in_full
        The trading rule that is chosen for it on train, in words, and its turnover under that of the settings. Empty
        and NaN where all factors are traded alike.
    """

    novelty: Novelty = field(default_factory=Novelty)
    related: tuple[Example, ...] = ()
    turnover: float = float("nan")
    yearly_cost: float = float("nan")
    rule: str = ""
    in_full: float = float("nan")


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
    related factors
        What is known that bears on each task.
    crowded, left
        How much of each theme was tried; how much of the run and of its budget is left.
    taught
        The lessons as data, of those whose figures are known.
    longest
        The longest look-back of a factor, in bars; 0: not known.
    asked
        What each proposal has to keep to, because somebody asked for it.
    room
        How much of each theme is taken, by train alone.
    rules
        How the trading rule of each factor is chosen, in words; empty where all are traded alike.
    record
        How many factors pass on train, and how well the judge knew it.
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
    related: tuple[tuple[Example, ...], ...] = ()
    crowded: tuple[str, ...] = ()
    left: str = ""
    taught: tuple[LessonFacts, ...] = ()
    longest: int = 0
    asked: Constraints = field(default_factory=Constraints)
    room: tuple[RoomFacts, ...] = ()
    rules: str = ""
    record: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types, NaN as None."""
        raw = asdict(self)
        for room in raw["room"]:
            room.update({name: None for name, value in room.items() if value != value})
        return {**raw, "asked": self.asked.to_dict()}

    def task(self, slot: int) -> Task | None:
        """Return the task of a candidate; None where it has none."""
        return self.tasks[slot] if slot < len(self.tasks) else None

    def assignment(self, slot: int) -> Assignment:
        """Return what the writer is given of a candidate."""
        return Assignment(slot, self.task(slot), self.related[slot] if slot < len(self.related) else ())

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
            related=tuple(tuple(Example(**item) for item in items) for items in raw.get("related", raw.get("kin", ()))),
            crowded=tuple(raw.get("crowded", ())),
            left=raw.get("left", ""),
            taught=tuple(LessonFacts.from_dict(item) for item in raw.get("taught", ())),
            longest=raw.get("longest", 0),
            asked=Constraints.from_dict(raw.get("asked")),
            room=tuple(RoomFacts.from_dict(item) for item in raw.get("room", ())),
            rules=raw.get("rules", ""),
            record=raw.get("record", ""),
        )


@dataclass(frozen=True)
class Turn:
    """One exchange of the inner loop: what was proposed, what came back, and what the judge suggested if it spoke."""

    expression: str
    answer: str
    suggestion: str = ""


def render(template: str, **values: object) -> str:
    """Render a prompt file; a name that it lacks is an error, not an empty string."""
    return render_prompt(PROMPTS, template, **values)


def writer_prompt(brief: Brief, slots: Sequence[int], turns: Sequence[Turn] = (), step: int = 0) -> tuple[str, str]:
    """Return the writer's system and user prompts for one candidate, or for several that are new.

    `turns` are what became of the one candidate so far; each `step` up to `STEPS` leaves out more of what matters
    least. The system prompt, and what the round has in common, come first and are the same in every call, so that a
    server that remembers how a prompt begins reads it once.
    """
    brief, turns = shortened(brief, step), turns[-max(1, 4 - step) :] if step else turns
    wanted = [brief.assignment(slot) for slot in slots]
    field = "close" if "close" in brief.fields or not brief.fields else as_shown(brief.fields[0])
    table = operator_lines(brief.operators, others=step < _FEW_OPERATORS, meanings=step < STEPS)
    return render("writer_system.md", brief=brief, operators=table, field=field), render(
        "writer.md", brief=brief, wanted=wanted, turns=turns, room=[room_sentence(one) for one in brief.room]
    )


def shortened(brief: Brief, step: int) -> Brief:
    """Return a brief with the least of each list left out: what worked stays longest, what is crowded goes first."""
    if not step:
        return brief
    successes, failures, others, lessons, related = _KEPT[min(step, STEPS) - 1]
    return replace(
        brief,
        successes=brief.successes[:successes],
        failures=brief.failures[:failures],
        crowded=brief.crowded[:others],
        room=brief.room[:others],
        blocks=dict(list(brief.blocks.items())[:others]),
        lessons=brief.lessons[:lessons],
        related=tuple(examples[:related] for examples in brief.related),
    )


def judge_prompt(
    brief: Brief, expression: Expression, proposal: Proposal, forecast: Forecast | None = None, step: int = 0
) -> tuple[str, str]:
    """Return the judge's system and user prompts on one proposal, with all that is known before it is scored.

    Each `step` up to `STEPS` leaves out more of what matters least.
    """
    brief, forecast = shortened(brief, step), forecast or Forecast()
    if step:
        forecast = replace(forecast, related=forecast.related[: _KEPT[min(step, STEPS) - 1][-1]])
    user = render(
        "judge.md",
        brief=brief,
        factor=expression,
        reading=read_aloud(expression),
        proposal=proposal,
        forecast=forecast,
        novelty=forecast.novelty.sentences(),
    )
    return render("judge_system.md"), user


def writer_facts(brief: Brief, slots: Sequence[int], turns: Sequence[Turn] = ()) -> WriterFacts:
    """Return as data what `writer_prompt` says."""
    taught = {lesson.text: lesson for lesson in brief.taught}
    return WriterFacts(
        round=brief.round,
        goal=brief.goal,
        market=brief.market,
        longest=brief.longest,
        fields=brief.fields,
        blocks=brief.blocks,
        operators=brief.operators,
        successes=_shown(brief.successes),
        failures=_shown(brief.failures),
        crowded=brief.crowded,
        lessons=tuple(taught.get(text, LessonFacts("", text)) for text in brief.lessons),
        left=brief.left,
        wanted=tuple(_wanted(brief.assignment(slot)) for slot in slots),
        turns=tuple(TurnFacts(turn.expression, turn.answer, turn.suggestion) for turn in turns),
        asked=brief.asked.facts(brief.fields) if brief.asked else None,
        room=brief.room,
        rules=brief.rules,
    )


def judge_facts(
    brief: Brief, expression: Expression, proposal: Proposal, forecast: Forecast | None = None
) -> JudgeFacts:
    """Return as data what `judge_prompt` says."""
    forecast = forecast or Forecast()
    novelty = forecast.novelty
    return JudgeFacts(
        market=brief.market,
        factor=FactorFacts(
            expression.text,
            expression.lookback,
            str(expression.dimension),
            expression.size,
            tuple(expression.warnings),
            tuple(expression.notes),
        ),
        proposal=ProposalFacts(
            proposal.name, proposal.rationale, proposal.mechanism, proposal.horizon, proposal.fails_when
        ),
        reading=read_aloud(expression),
        novelty=novelty.sentences(),
        copied=novelty.identical is not None or (novelty.ranks_alike is not None and not novelty.opposite),
        related=_shown(forecast.related),
        successes=_shown(brief.successes),
        turnover=forecast.turnover,
        yearly_cost=forecast.yearly_cost,
        rule=forecast.rule,
        in_full=forecast.in_full,
    )


def _shown(examples: Sequence[Example]) -> tuple[FactorShown, ...]:
    return tuple(FactorShown(one.text, one.verdict, one.metrics, one.reason, one.rule) for one in examples)


def _wanted(one: Assignment) -> Wanted:
    task = one.task
    said = None if task is None else TaskFacts(task.operation, task.theme, task.about, task.words, task.parents)
    return Wanted(one.slot, said, _shown(one.related))
