"""Sentiment, relevance and event of texts by a language model: in batches, each text paid for once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from agent.llm.budget import BudgetReached, StopRequested
from agent.llm.client import LanguageModel
from agent.llm.facts import ReaderFacts, TextFacts
from agent.llm.forms import read_reply
from agent.texts.call_journal import TextJournal, stem
from agent.texts.scores import EVENTS, Event, Scores, text_hashes
from agent.texts.text_novelty import measure_novelty
from agent.untrusted.quoting import quoted
from market.documents import Documents
from market.errors import InputError, Rejection

# With the prompt, or what a reply may say, this rises: what was read before is then read again.
VERSION = 1
_PROMPT = Path(__file__).resolve().parent / "prompts" / "reader_system.md"
_LONGEST_TITLE, _LONGEST_BODY = 300, 600
_MOST_NAMED = 8
# How often what a reply left out is asked for.
_ROUNDS = 2
Outcome = Literal["finished", "stopped", "budget"]


class TextReading(BaseModel):
    """What a model says of one text."""

    model_config = ConfigDict(extra="forbid")

    text: int = Field(description="the text's number")
    sentiment: float = Field(ge=-1, le=1, description="for the price: -1 very bad, 0 neutral, 1 very good")
    relevance: float = Field(ge=0, le=1, description="how much it is about its assets and bears on their price")
    event: Event = Field(description="the one that fits best")


class Readings(BaseModel):
    """The readings of a batch."""

    model_config = ConfigDict(extra="forbid")

    readings: list[TextReading] = Field(max_length=200, description="one for each text, in order")


@dataclass(frozen=True)
class Read:
    """How a session of reading ended.

    Attributes
    ----------
    known
        Readings by the text's hash; `text` is the number that it had in its batch.
    bought, before
        Texts read in this session, and those that had been read earlier.
    """

    known: Mapping[str, TextReading]
    bought: int
    before: int
    outcome: Outcome
    refused: int


def known_readings(journal: TextJournal, model: str) -> dict[str, TextReading]:
    """Return what the journalled calls of this model and prompt say, by text."""
    found: dict[str, TextReading] = {}
    prefix = _prefix(model)
    for key, call in journal.calls.items():
        if key.startswith(prefix):
            reply = read_reply(call, Readings)
            if not isinstance(reply, Rejection):
                found.update(_by_text(reply, journal.read[stem(key)]))
    return found


def unread(documents: Documents, journal: TextJournal, model: str) -> list[int]:
    """Return the texts that are about an asset and were not read by this model before; each text once."""
    hashes, known = text_hashes(documents), known_readings(journal, model)
    wanted = {hashes[k]: k for k in reversed(range(len(documents))) if documents.assets[k]}
    return sorted(place for text, place in wanted.items() if text not in known)


async def score_texts(
    documents: Documents,
    speaker: LanguageModel,
    journal: TextJournal,
    *,
    batch: int,
    at_once: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Read:
    """Read the texts that are about an asset and were not read before, `batch` a call and `at_once` calls at a time.

    A reply that leaves texts out, or cannot be read, is asked for again once, in smaller batches; what is left then
    stays unread. A budget that is reached, or a wish to stop, ends the session with what it has.
    """
    model = speaker.models[0].name
    hashes = text_hashes(documents)
    reader = _Reader(documents, hashes, speaker, journal)
    wanted = {hashes[k]: k for k in reversed(range(len(documents))) if documents.assets[k]}
    known = {text: one for text, one in known_readings(journal, model).items() if text in wanted}
    before = len(known)
    places = sorted(wanted.values())
    refused = 0
    outcome: Outcome = "finished"
    for turn in range(_ROUNDS):
        left = [k for k in places if hashes[k] not in known]
        size = batch if turn == 0 else max(1, batch // 4)
        batches = [left[n : n + size] for n in range(0, len(left), size)]
        progress(len(known), len(places))
        found, outcome = await _read_batches(
            reader, batches, turn, at_once, lambda more: progress(len(known) + more, len(places))
        )
        refused = sum(isinstance(one, Rejection) for one in found)
        for one in found:
            if not isinstance(one, Rejection):
                known.update(one)
        if outcome != "finished" or len(known) == len(places):
            break
    return Read(known, len(known) - before, before, outcome, refused)


@dataclass(frozen=True, eq=False)
class _Reader:
    """Who reads which texts, and where the calls are journalled."""

    documents: Documents
    hashes: Sequence[str]
    speaker: LanguageModel
    journal: TextJournal

    async def read(self, places: Sequence[int], turn: int) -> dict[str, TextReading] | Rejection:
        """Return what one call says of the texts at `places`, by text."""
        texts = [self.hashes[k] for k in places]
        key = hashlib.sha256(" ".join([str(turn), *texts]).encode()).hexdigest()[:24]
        key = _prefix(self.speaker.models[0].name) + key
        self.journal.expect(key, texts)
        system = _PROMPT.read_text(encoding="utf-8").replace("{{ events }}", ", ".join(EVENTS))
        prompt, facts = batch_prompt(self.documents, places), reader_facts(self.documents, places)
        reply = await self.speaker.ask(key, "reader", system, prompt, Readings, facts)
        return reply if isinstance(reply, Rejection) else _by_text(reply, texts)


async def _read_batches(
    reader: _Reader,
    batches: Sequence[Sequence[int]],
    turn: int,
    at_once: int,
    progress: Callable[[int], None],
) -> tuple[list[dict[str, TextReading] | Rejection], Outcome]:
    found: list[dict[str, TextReading] | Rejection] = []
    halted: list[BudgetReached | StopRequested | InputError] = []
    queue: Iterator[Sequence[int]] = iter(batches)

    async def work() -> None:
        # One iterator for all workers: each batch is taken once.
        for places in queue:
            if halted:
                return
            try:
                found.append(await reader.read(places, turn))
            except (BudgetReached, StopRequested, InputError) as halt:
                halted.append(halt)
                return
            progress(sum(len(one) for one in found if isinstance(one, dict)))

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(batches))):
            group.create_task(work())
    broken = next((halt for halt in halted if isinstance(halt, InputError)), None)
    if broken is not None:
        raise broken
    ended: Outcome = "finished"
    if halted:
        ended = "budget" if any(isinstance(halt, BudgetReached) for halt in halted) else "stopped"
    return found, ended


def reader_facts(documents: Documents, places: Sequence[int]) -> ReaderFacts:
    """Return the texts of a batch as data: numbered, each cut to what a prompt shows of it; no time, no source."""
    texts = []
    for number, k in enumerate(places, start=1):
        assets = documents.assets[k]
        about = ", ".join(quoted(one, 40) for one in assets[:_MOST_NAMED])
        more = f" and {len(assets) - _MOST_NAMED} more" if len(assets) > _MOST_NAMED else ""
        title, body = quoted(documents.title[k], _LONGEST_TITLE)[1:-1], quoted(documents.body[k], _LONGEST_BODY)[1:-1]
        texts.append(TextFacts(number, title, body if documents.body[k] else "", f"{about}{more}"))
    return ReaderFacts(tuple(texts), tuple(EVENTS))


def batch_prompt(documents: Documents, places: Sequence[int]) -> str:
    """Return the texts of a batch as a prompt holds them: numbered, each in one line, quoted."""
    lines = [f"There are {len(places)} texts."]
    for place, one in zip(places, reader_facts(documents, places).texts, strict=True):
        body = f"«{one.body}»" if documents.body[place] else "(nothing more)"
        lines.append(f"{one.number}. about {one.about}: «{one.title}» {body}")
    return "\n".join(lines)


def _by_text(reply: Readings, texts: Sequence[str]) -> dict[str, TextReading]:
    """Return readings by text; a number that was not asked for is passed over, and of two the first counts."""
    found: dict[str, TextReading] = {}
    for one in reply.readings:
        if 1 <= one.text <= len(texts):
            found.setdefault(texts[one.text - 1], one)
    return found


def _prefix(model: str) -> str:
    return f"read/{VERSION}/{model}/"


def score_by_readings(documents: Documents, known: Mapping[str, TextReading], model: str) -> Scores:
    """Return the scores of texts that were read; NaN and no event for the others. Novelty is measured, not asked."""
    hashes = text_hashes(documents)
    read = [known.get(text) for text in hashes]
    return Scores(
        texts=hashes,
        sentiment=np.array([np.nan if one is None else one.sentiment for one in read], dtype=np.float64),
        relevance=np.array([np.nan if one is None else one.relevance for one in read], dtype=np.float64),
        novelty=measure_novelty(documents),
        event=tuple("" if one is None else one.event for one in read),
        by=f"llm/{VERSION}:{model}",
    )
