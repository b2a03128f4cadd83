"""Hypotheses from a note: each rests on a sentence that is in the text, and has expressions that can be scored."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from agent.asking.answer_language import LANGUAGES, language_of
from agent.asking.model_access import AskedModel, ModelChoice, open_model, outcome_of
from agent.asking.note_text import NoteText, is_order
from agent.asking.replies import NoteHypotheses, NoteHypothesis
from agent.asking.scored_answers import Came, score_answer
from agent.knowledge.claims import Claims
from agent.llm.facts import NoteFacts
from agent.mining.operator_lines import operator_lines
from agent.study.opening import OpenData, open_data
from agent.study.study import read_expression
from agent.study.workspace import Workspace
from agent.untrusted.prompt_files import render_prompt
from agent.untrusted.quoting import one_line
from factors.parse import parse
from factors.plain_words import read_aloud
from factors.table import STANDARD_FIELDS, prompt_table
from factors.tree import Expression
from market.errors import InputError, Rejection

PROMPTS = Path(__file__).resolve().parent / "prompts"
# Characters of the text in one call, and the shortest sentence that a hypothesis may rest on.
_PART, _LEAST_QUOTE = 6_000, 15
_TURNS = 2
MOST = 50


@dataclass(frozen=True)
class Tried:
    """One expression of a hypothesis: read, or refused with the reason; scored where there are data."""

    text: str
    canonical: str = ""
    factor: str = ""
    reading: str = ""
    refused: str = ""
    came: Came | None = None


@dataclass(frozen=True)
class Drawn:
    """A hypothesis, the sentence of the text that it rests on, its line there (from 1), and its expressions."""

    hypothesis: str
    quote: str
    line: int
    expressions: tuple[Tried, ...]


@dataclass(frozen=True)
class Ideas:
    """What came of a note; `refused` says of each hypothesis that fell out why."""

    note: str
    language: str
    orders: tuple[int, ...]
    hypotheses: tuple[Drawn, ...]
    refused: tuple[str, ...]
    outcome: str
    model: str
    simulated: bool
    data: str
    calls: int
    tokens: int
    usd: float

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class _Reading:
    """How expressions are read: fields, bar, operators, and the data where there are any."""

    fields: tuple[str, ...]
    bar: str
    operators: str
    read: Callable[[str], Expression | Rejection]
    opened: OpenData | None = None


def ideas_of(
    workspace: Workspace,
    note: NoteText,
    choice: ModelChoice,
    *,
    data: str | None = None,
    most: int = 5,
    tell: Callable[[str], None] = lambda _text: None,
    stop: Callable[[], bool] = lambda: False,
) -> Ideas:
    """Ask a model for at most `most` hypotheses of a note; with `data`, score their expressions, each a counted trial.

    Raises
    ------
    InputError
        Where no model answers, or the data cannot be opened.
    """
    if note.orders:
        lines = ", ".join(map(str, note.orders[:5]))
        tell(f"{note.name} holds what reads like orders to a model (line {lines}): nothing will rest on them")
    reading = _reading(workspace, data, tell)
    model = open_model(workspace, choice, stop=stop)
    found: list[Drawn] = []
    refused: list[str] = []

    async def ask() -> None:
        for part in parts_of(note.text):
            if len(found) >= most:
                break
            drawn, faults = await _ask_part(model, reading, note, part, most - len(found))
            found.extend(one for one in drawn if one.quote not in {known.quote for known in found})
            refused.extend(faults)

    outcome = outcome_of(model, ask)
    if reading.opened is not None:
        found = _scored(workspace, note, found, reading, model)
    budget = model.budget
    return Ideas(
        note.name, language_of(note.text), note.orders, tuple(found), tuple(refused), outcome, model.name,
        model.simulated, "" if reading.opened is None else reading.opened.name, budget.calls, budget.tokens, budget.usd,
    )  # fmt: skip


def parts_of(text: str) -> list[str]:
    """Return a text in parts of a prompt's size, cut between paragraphs where that is possible."""
    parts: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        for start in range(0, max(1, len(paragraph)), _PART):
            piece = paragraph[start : start + _PART]
            if parts and len(parts[-1]) + len(piece) + 2 <= _PART:
                parts[-1] += f"\n\n{piece}"
            else:
                parts.append(piece)
    return [part for part in parts if part.strip()]


def line_of(quote: str, text: str) -> int:
    """Return the line, from 1, at which a quoted sentence begins in a text; 0 where it is not there.

    Spaces, line breaks, dashes, quotation marks and letters' case may differ.
    """
    plain, places = _plain(text)
    wanted = _plain(quote)[0]
    at = plain.find(wanted) if len(wanted) >= _LEAST_QUOTE else -1
    return 0 if at < 0 else text.count("\n", 0, places[at]) + 1


def _plain(text: str) -> tuple[str, list[int]]:
    """Return the letters and figures of a text, and where each stands in it."""
    kept = [(c, place) for place, character in enumerate(text) if character.isalnum() for c in character.casefold()]
    return "".join(c for c, _ in kept), [place for _, place in kept]


def _reading(workspace: Workspace, data: str | None, tell: Callable[[str], None]) -> _Reading:
    if data is None:
        return _Reading(STANDARD_FIELDS, "any length", prompt_table(), lambda text: parse(text, fields=STANDARD_FIELDS))
    opened = open_data(workspace, data, note=tell)
    study = opened.study
    minutes = float(study.panel.bar / np.timedelta64(1, "m"))
    operators = prompt_table(study.max_lookback, cross_section=study.spec.is_cross_sectional)
    return _Reading(study.fields, f"{minutes:g} minutes", operators, lambda text: read_expression(text, study), opened)


async def _ask_part(
    model: AskedModel, reading: _Reading, note: NoteText, part: str, most: int
) -> tuple[list[Drawn], list[str]]:
    """Ask for the hypotheses of one part; what is refused of them goes back once."""
    faults: list[str] = []
    best: list[Drawn] = []
    for _ in range(_TURNS):
        system, user = _prompts(reading, part, most, faults)
        facts = NoteFacts(part, reading.fields, most, language_of(part), tuple(faults))
        said = await model.speaker.ask(model.key(system, user), "note_reader", system, user, NoteHypotheses, facts)
        if isinstance(said, Rejection):
            return best, [*faults, said.one_line()]
        drawn = [_drawn(one, note, reading) for one in said.hypotheses[:most]]
        kept = [one for one in drawn if isinstance(one, Drawn)]
        faults = [one for one in drawn if isinstance(one, str)]
        best = [*best, *(one for one in kept if one.quote not in {known.quote for known in best})][:most]
        if not faults:
            break
    return best, faults


def _prompts(reading: _Reading, part: str, most: int, faults: Sequence[str]) -> tuple[str, str]:
    system = render_prompt(
        PROMPTS,
        "note_system.md",
        fields=reading.fields,
        operators=operator_lines(reading.operators),
        most=most,
        language=LANGUAGES[language_of(part)],
    )
    # Each line of the text stands behind a sign, so that none can pass for a line of the prompt.
    lines = "\n".join(f"> {one_line(line)}" for line in part.split("\n") if line.strip())
    return system, render_prompt(PROMPTS, "note.md", bar=reading.bar, turns=faults, lines=lines)


def _drawn(said: NoteHypothesis, note: NoteText, reading: _Reading) -> Drawn | str:
    """Return a hypothesis whose sentence is in the text and that has an expression, or why it is refused."""
    line = line_of(said.quote, note.text)
    if not line:
        return f"the sentence {one_line(said.quote, 200)!r} is not in the text: copy one word for word"
    if is_order(said.quote):
        return f"line {line} reads like an order to a model: no hypothesis rests on it"
    tried = []
    for text in said.expressions[:3]:
        read = reading.read(text)
        if isinstance(read, Rejection):
            tried.append(Tried(text, refused=read.with_hint()))
        elif read.text not in {one.canonical for one in tried}:
            tried.append(Tried(text, read.text, read.id, read_aloud(read)))
    if not any(one.canonical for one in tried):
        why = tried[0].refused if tried else "it has none"
        return f"no expression of the hypothesis at line {line} can be read: {why}"
    return Drawn(said.hypothesis, said.quote.strip(), line, tuple(tried))


def _scored(
    workspace: Workspace, note: NoteText, found: Sequence[Drawn], reading: _Reading, model: AskedModel
) -> list[Drawn]:
    """Score every expression that could be read; each is a counted trial that keeps what it rests on."""
    opened = reading.opened
    assert opened is not None
    scored = []
    with workspace.knowledge() as knowledge:
        for drawn in found:
            about = {"note": note.name, "line": drawn.line, "quote": drawn.quote}
            claims = Claims(model=model.name, other={"rests_on": about})
            tried = []
            for one in drawn.expressions:
                read = reading.read(one.text)
                if isinstance(read, Rejection):
                    tried.append(one)
                    continue
                name = f"{note.name}, line {drawn.line}"
                came = score_answer(read, one.text, (name, drawn.hypothesis), claims, opened, knowledge)
                if isinstance(came, Rejection):
                    tried.append(replace(one, refused=came.with_hint()))
                else:
                    tried.append(replace(one, came=came))
            scored.append(replace(drawn, expressions=tuple(tried)))
    return scored


def require_most(most: int) -> None:
    """Refuse a number of hypotheses that cannot be asked for."""
    if not 1 <= most <= MOST:
        raise InputError(f"{most} hypotheses cannot be asked for", f"ask for 1 to {MOST}")
