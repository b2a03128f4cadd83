"""Factors for a request: asked of a model one after the other, checked against the request, and scored on data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from agent.asking.answer_language import LANGUAGES, language_of, other_script
from agent.asking.model_access import AskedModel, ModelChoice, open_model, outcome_of
from agent.asking.replies import AskedFactor
from agent.asking.scored_answers import Came, Expected, score_answer
from agent.knowledge.claims import Claims
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.llm.facts import RequestFacts, TurnFacts
from agent.mining.brief import Turn
from agent.mining.briefing import describe_market
from agent.mining.constraints import TOPICS, Constraints
from agent.mining.factor_types import TYPES, type_named
from agent.mining.operator_lines import operator_lines
from agent.mining.replies import possible_expectations
from agent.mining.request import FactorRequest, bar_of, understand
from agent.mining.request_words import read_words
from agent.study.opening import OpenData, open_data
from agent.study.study import read_expression
from agent.study.workspace import Workspace
from agent.untrusted.prompt_files import render_prompt
from factors.parse import parse
from factors.plain_words import read_aloud
from factors.table import STANDARD_FIELDS, prompt_table
from factors.tree import Expression
from factors.writers.pandas_code import to_pandas
from market.errors import InputError, Rejection

PROMPTS = Path(__file__).resolve().parent / "prompts"
_DAY = np.timedelta64(1, "D")
# A proposal that breaks the request goes back once.
_TURNS = 2
MOST = 50


@dataclass(frozen=True)
class Answered:
    """One factor for a request.

    Attributes
    ----------
    text, canonical, factor, lookback
        The expression as the model wrote it and in canonical form, its id, and its look-back in bars.
    reading, code
        What it means in words, and a Python function that computes it: both written by machine from the expression.
    expected, came
        What the model expects of it, and what the backtest found; `came` is None without data.
    refused
        Why it could not be scored; empty where it was, or was not to be.
    """

    name: str
    text: str
    canonical: str
    factor: str
    lookback: int
    reading: str
    code: str
    rationale: str
    mechanism: str
    risk_factors: tuple[str, ...]
    expected: Expected
    notes: tuple[str, ...] = ()
    came: Came | None = None
    refused: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Refused:
    """What a model proposed that does not keep to the request, and why."""

    text: str
    reason: Rejection

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return {"text": self.text, **self.reason.to_dict()}


@dataclass(frozen=True)
class Answer:
    """What came of a request: factors, refusals, what the request was read as, and what it cost."""

    request: Constraints
    language: str
    notes: tuple[str, ...]
    factors: tuple[Answered, ...]
    refused: tuple[Refused, ...]
    outcome: str
    model: str
    simulated: bool
    data: str
    calls: int
    tokens: int
    usd: float

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        parts = {"factors": [one.to_dict() for one in self.factors], "refused": [one.to_dict() for one in self.refused]}
        rest = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in parts}
        return {**rest, "request": self.request.to_dict(), "notes": list(self.notes), **parts}


def propose_factors(
    workspace: Workspace,
    request: FactorRequest,
    choice: ModelChoice,
    *,
    data: str | None = None,
    count: int = 1,
    bar: str = "",
    note: Callable[[str], None] = lambda _text: None,
    stop: Callable[[], bool] = lambda: False,
) -> Answer:
    """Ask a model for `count` factors that keep to a request; with `data`, score each, which counts as a trial.

    Parameters
    ----------
    bar
        Without data: the size of a bar, such as ``1h``; empty: what the words say, else a day.

    Raises
    ------
    InputError
        For a request that says nothing, contradicts itself or names what the data lack, and where no model answers.
    """
    if not 1 <= count <= MOST:
        raise InputError(f"{count} factors cannot be asked for", f"ask for 1 to {MOST}")
    if data is None:
        asked = _without_data(request, bar, note)
        return _ask_all(workspace, asked, choice, count, None, stop)
    if bar:
        raise InputError("--bar is for a request without data", "the data say how long a bar is: leave one of them out")
    opened = open_data(workspace, data, note=note)
    asked = _with_data(request, opened, note)
    with workspace.knowledge() as knowledge:
        return _ask_all(workspace, asked, choice, count, (opened, knowledge), stop)


@dataclass(frozen=True, eq=False)
class _Asked:
    """A request that was understood, and what its expressions are read by."""

    constraints: Constraints
    notes: tuple[str, ...]
    fields: tuple[str, ...]
    bar: np.timedelta64
    market: str
    operators: str
    read: Callable[[str], Expression | Rejection]
    cross_section: bool = True
    data: str = ""

    @property
    def language(self) -> str:
        return language_of(self.constraints.context)


def _without_data(request: FactorRequest, bar: str, note: Callable[[str], None]) -> _Asked:
    said = read_words(request.text)
    size = bar_of(bar or said.bar or "1d")
    named = [name for one in request.fields for name in one.replace(" ", "").split(",")]
    # Without data, what a request is about is there.
    about = {*said.uses, type_named(request.kind), *named} & {*TOPICS} - {"volume"}
    fields = (*STANDARD_FIELDS, *sorted(about))
    found = understand(request, fields, size, bar_known=bool(bar or said.bar))
    for text in found.notes:
        note(text)
    usable = found.constraints.allowed(fields)

    def read(text: str) -> Expression | Rejection:
        return parse(text, fields=fields, bar=size)

    operators = prompt_table(found.constraints.longest or None, cross_section=True)
    return _Asked(found.constraints, found.notes, usable, size, "", operators, read)


def _with_data(request: FactorRequest, opened: OpenData, note: Callable[[str], None]) -> _Asked:
    study = opened.study
    found = understand(request, study.fields, study.panel.bar, longest=study.max_lookback)
    for text in found.notes:
        note(text)
    longest, across = found.constraints.longest or study.max_lookback, study.spec.is_cross_sectional

    def read(text: str) -> Expression | Rejection:
        return read_expression(text, study)

    usable = found.constraints.allowed(study.fields)
    operators = prompt_table(longest, cross_section=across)
    return _Asked(
        found.constraints, found.notes, usable, study.panel.bar, describe_market(study), operators, read, across,
        opened.name,
    )  # fmt: skip


def _ask_all(
    workspace: Workspace,
    asked: _Asked,
    choice: ModelChoice,
    count: int,
    scored_on: tuple[OpenData, KnowledgeBase] | None,
    stop: Callable[[], bool],
) -> Answer:
    model = open_model(workspace, choice, stop=stop)
    found: list[Answered] = []
    refused: list[Refused] = []

    async def ask() -> None:
        for _ in range(count):
            before = [one.canonical for one in found] + [one.text for one in refused]
            one = await _ask_one(model, asked, before)
            if isinstance(one, Refused):
                refused.append(one)
            else:
                found.append(one)

    outcome = outcome_of(model, ask)
    if scored_on is not None:
        found = [_scored(one, asked, model, scored_on) for one in found]
    budget = model.budget
    return Answer(
        asked.constraints, asked.language, asked.notes, tuple(found), tuple(refused), outcome, model.name,
        model.simulated, asked.data, budget.calls, budget.tokens, budget.usd,
    )  # fmt: skip


async def _ask_one(model: AskedModel, asked: _Asked, before: Sequence[str]) -> Answered | Refused:
    """Ask for one factor; what breaks the request goes back once, and is then refused with the reason."""
    turns: list[Turn] = []
    last = Refused("", Rejection("reply", "no_proposal", "the model proposed nothing that could be read"))
    for _ in range(_TURNS):
        system, user = _prompts(asked, before, turns)
        said = await model.speaker.ask(
            model.key(system, user), "proposer", system, user, AskedFactor, _facts(asked, before, turns)
        )
        if isinstance(said, Rejection):
            return Refused("", said)
        read = asked.read(said.expression)
        fault = read if isinstance(read, Rejection) else asked.constraints.fault(read) or _repeats(read, before)
        if fault is None and isinstance(read, Expression):
            return _answered(said, read, asked.language)
        assert fault is not None
        last = Refused(said.expression, fault)
        turns.append(Turn(said.expression, fault.with_hint()))
    return last


def _repeats(expression: Expression, before: Sequence[str]) -> Rejection | None:
    if expression.text not in before:
        return None
    return Rejection("request", "repeated", "the factor was proposed already", "propose another idea")


def _prompts(asked: _Asked, before: Sequence[str], turns: Sequence[Turn]) -> tuple[str, str]:
    system = render_prompt(PROMPTS, "asked_system.md", fields=asked.fields, operators=operator_lines(asked.operators))
    user = render_prompt(
        PROMPTS,
        "asked.md",
        asked=asked.constraints,
        market=asked.market,
        bar=_size_words(asked.bar),
        language=LANGUAGES[asked.language],
        before=before,
        turns=turns,
    )
    return system, user


def _facts(asked: _Asked, before: Sequence[str], turns: Sequence[Turn]) -> RequestFacts:
    return RequestFacts(
        asked=asked.constraints.facts(asked.fields),
        language=asked.language,
        words=asked.constraints.context,
        cross_section=asked.cross_section,
        before=tuple(before),
        turns=tuple(TurnFacts(turn.expression, turn.answer) for turn in turns),
    )


def _size_words(bar: np.timedelta64) -> str:
    minutes = float(bar / np.timedelta64(1, "m"))
    return f"{minutes / 1440:g} days" if minutes >= 1440 else f"{minutes:g} minutes"


def _expected(said: AskedFactor) -> tuple[Expected, list[str]]:
    """Return what a model expects, without figures that cannot be, and a note on each of those."""
    kept, notes = possible_expectations(said)
    holding = kept.get("holding")
    return Expected(kept.get("ic"), kept.get("turnover"), None if holding is None else round(holding)), notes


def _answered(said: AskedFactor, expression: Expression, language: str) -> Answered:
    reading = read_aloud(expression)
    expected, impossible = _expected(said)
    notes = [*expression.notes, *(f"warning: {text}" for text in expression.warnings), *impossible]
    if other_script(said.rationale, language):
        notes.append(f"the model did not answer in {LANGUAGES[language]}, the language of the request")
    return Answered(
        name=said.name,
        text=said.expression,
        canonical=expression.text,
        factor=expression.id,
        lookback=expression.lookback,
        reading=reading,
        code=to_pandas(expression, reading=reading),
        rationale=said.rationale,
        mechanism=said.mechanism,
        risk_factors=tuple(said.risk_factors),
        expected=expected,
        notes=tuple(notes),
    )


def _scored(one: Answered, asked: _Asked, model: AskedModel, scored_on: tuple[OpenData, KnowledgeBase]) -> Answered:
    expression = asked.read(one.text)
    assert isinstance(expression, Expression)
    kind = asked.constraints.kind
    claims = Claims(
        theme=TYPES[kind].theme if kind else "",
        model=model.name,
        mechanism=one.mechanism,
        horizon=one.expected.holding,
        fails_when="; ".join(one.risk_factors),
        other={"expected": one.expected.to_dict(), "request": asked.constraints.to_dict()},
    )
    came = score_answer(expression, one.text, (one.name, one.rationale), claims, *scored_on)
    return replace(one, refused=came.with_hint()) if isinstance(came, Rejection) else replace(one, came=came)
