"""Asking models for typed replies, whoever provides them.

How a server is asked is found out by trying, from strict to loose, and remembered for each model: a JSON schema, a JSON
object, plain text with the schema in the prompt; and by which name it knows the bound on a reply's tokens. Whatever
comes back is journalled before it is read. Who carries it is a provider's business (`agent.llm.providers`).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel

from agent.knowledge.records import CallRecord, NewCall, request_hash
from agent.llm.answer import Answer, Ask, without_key
from agent.llm.budget import Budget, Prices, Worst
from agent.llm.cassette import Cassette, Recorder
from agent.llm.facts import AskFacts, Facts, RepairFacts
from agent.llm.faults import CallFault
from agent.llm.forms import MODES, prompted, read_reply, repair_prompt, schema_of, spoken
from agent.llm.patience import Circuit, RetryRules, wait
from agent.llm.providers import Connection
from market.errors import InputError, Rejection

Reply = TypeVar("Reply", bound=BaseModel)
ApiName = Literal["chat", "responses"]
# A reply longer than this was not asked for; what is kept of it ends here.
_LONGEST_REPLY = 200_000
# What of an unreadable reply is sent back with the wish for another.
_LONGEST_REPEATED = 8_000


# Key, role and request of the call that a task is making.
_ASKED: ContextVar[tuple[str, str, str]] = ContextVar("asked")


class CallStore(Protocol):
    """Where calls are kept, under their key, as they return."""

    def find(self, key: str) -> CallRecord | None:
        """Return the call journalled under `key`, if any."""

    def record(self, call: NewCall) -> CallRecord:
        """Keep a call; when this returns, it is safe."""

    def lose(self, key: str, role: str, model: str, request: str) -> None:
        """Keep a call that was sent and got no answer: it may have been billed, and `find` does not find it."""


@dataclass(frozen=True)
class ModelName:
    """A model as its server knows it, and what it costs; None: unknown."""

    name: str
    prices: Prices | None = None


@dataclass
class _Manner:
    """How a model is asked: indices into MODES and the API's bounds, which only ever rise.

    Until a reply has shown that the server accepts it, requests go one at a time: what is refused is refused once.
    """

    mode: int = 0
    bound: int = 0
    proven: bool = False
    first: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def known(cls, said: str | None, bounds: Sequence[str | None]) -> _Manner:
        """Read what `said` wrote of an earlier run; None, and what is no longer known, is found out again."""
        mode, _, bound = (said or "").partition(" ")
        names = [str(name) for name in bounds]
        if mode not in MODES or (bound or names[0]) not in names:
            return cls()
        return cls(MODES.index(mode), names.index(bound or names[0]), proven=True)

    def said(self, bounds: Sequence[str | None]) -> str:
        """Return the manner in words that the journal keeps: ``json_object``, ``json_schema max_tokens``."""
        return MODES[self.mode] + (f" {bounds[self.bound]}" if self.bound else "")


@dataclass(frozen=True, slots=True)
class _Answered:
    model: ModelName
    manner: str
    answer: Answer
    worst: Worst


@dataclass(frozen=True)
class _Question:
    """The messages of a call, the form of its reply, and what they say as data."""

    messages: list[dict[str, str]]
    reply: type[BaseModel]
    facts: Facts | AskFacts | None
    repair: RepairFacts | None = None


@dataclass(frozen=True, eq=False)
class Speaking:
    """How models are asked.

    Attributes
    ----------
    models
        The first is asked until it cannot answer any more (unknown, out of quota, down for good), then the next.
    reply_tokens
        The most tokens of a reply: what the budget expects of each call under way.
    before_call
        Called right before each request and while waiting; what it raises goes through (a wish to stop).
    replay
        A cassette that answers in the server's place: no call is made.
    record
        Where each exchange is written, before its reply is used.
    deadline_s
        Seconds for one request, however slowly its reply drips in.
    modes
        The manner that a server is known to accept from earlier runs, by model.
    on_call
        Called with each exchange once it is journalled; not with one that was journalled before.
    note
        Called with what a person should know, in one line.
    seed
        Of the pauses between tries: no result depends on it.
    """

    models: Sequence[ModelName]
    budget: Budget
    journal: CallStore
    reply_tokens: int
    patience: RetryRules
    before_call: Callable[[], None] = lambda: None
    replay: Cassette | None = None
    record: Recorder | None = None
    deadline_s: float = 600.0
    modes: Mapping[str, str] = field(default_factory=dict)
    note: Callable[[str], None] = lambda _text: None
    on_call: Callable[[NewCall], None] = lambda _call: None
    seed: int = 0


class LanguageModel:
    """A chain of models behind one connection: the next is asked when one can no longer answer.

    Parameters
    ----------
    connection
        A way to a server that makes no retries of its own; they are made here, so that each is counted.
    speaking
        Which models are asked, and how.
    """

    def __init__(self, connection: Connection, speaking: Speaking) -> None:
        self.connection = connection
        self.speaking = speaking
        self.models = tuple(speaking.models)
        self.budget = speaking.budget
        self.journal = speaking.journal
        self.circuit = Circuit(speaking.patience)
        self.current = 0
        known = speaking.modes
        self.manners = {m.name: _Manner.known(known.get(m.name), connection.bounds) for m in self.models}
        # Of pauses alone: no result depends on it.
        self._jitter = random.Random(speaking.seed)

    async def ask(
        self,
        key: str,
        role: str,
        system: str,
        user: str,
        reply: type[Reply],
        facts: Facts | AskFacts | None = None,
    ) -> Reply | Rejection:
        """Ask for a `reply`; one repair turn with the validation error follows an unreadable one.

        `facts` are what the prompts say, as data: they reach a model in this process, and never a server.
        Returns a `Rejection` (stage ``reply``) when the model refuses, is cut short twice, or stays unreadable.

        Raises
        ------
        InputError
            When no server can be reached, the key is rejected, or no model is known.
        BudgetReached
            Before a call that could go past the budget.
        """
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        first = await self._call(f"{key}/1", role, _Question(messages, reply, facts))
        read = read_reply(first, reply)
        if not isinstance(read, Rejection) or read.code == "refused":
            return read
        repeated = spoken(first.response)[:_LONGEST_REPEATED] or "(nothing)"
        messages = [
            *messages,
            {"role": "assistant", "content": repeated},
            {"role": "user", "content": repair_prompt(read, reply)},
        ]
        repair = RepairFacts(repeated, read.message, tuple(reply.model_fields))
        second = await self._call(f"{key}/2", role, _Question(messages, reply, facts, repair))
        return read_reply(second, reply)

    async def _call(self, key: str, role: str, question: _Question) -> CallRecord:
        request = json.dumps(question.messages, ensure_ascii=False)
        known = self.journal.find(key)
        if known is not None:
            if known.request_hash != request_hash(known.model, request):
                raise InputError(
                    f"the reply journalled under {key} answers another prompt, so the run cannot be replayed",
                    "alphaglow or its prompts changed since the run started: start a new run",
                )
            if known.status != "error":
                return known
        if self.speaking.replay is not None:
            call = self.speaking.replay.find(key, request)
        else:
            started = time.perf_counter()
            _ASKED.set((key, role, request))
            answered = await self._chain(question)
            call = self._settled(key, role, request, answered, time.perf_counter() - started)
        kept = self.journal.record(call)
        if self.speaking.record is not None:
            self.speaking.record.write(call)
        self.speaking.on_call(call)
        return kept

    async def _chain(self, question: _Question) -> _Answered:
        """Ask the current model; when it can no longer answer, go on with the next one, for good."""
        while True:
            place = self.current
            try:
                return await self._negotiated(self.models[place], question)
            except InputError as error:
                if place + 1 >= len(self.models):
                    raise
                if self.current == place:
                    self.current += 1
                    self.circuit.succeeded()
                    self.speaking.note(f"{error}; going on with {self.models[self.current].name}")

    async def _negotiated(self, model: ModelName, question: _Question) -> _Answered:
        """Send in the strictest manner that the server is not known to refuse."""
        manner = self.manners[model.name]
        if not manner.proven:
            async with manner.first:
                if not manner.proven:
                    return await self._found_out(model, manner, question)
        return await self._found_out(model, manner, question)

    async def _found_out(self, model: ModelName, manner: _Manner, question: _Question) -> _Answered:
        bounds = self.connection.bounds
        while True:
            mode, bound, said = manner.mode, manner.bound, manner.said(bounds)
            try:
                answer, worst = await self._patient(model, self._put(model, question, MODES[mode], bounds[bound]))
            except CallFault as fault:
                # Others may have found out in the meantime; never go back.
                if fault.names_bound and bound + 1 < len(bounds):
                    manner.bound = max(manner.bound, bound + 1)
                elif mode + 1 < len(MODES):
                    manner.mode = max(manner.mode, mode + 1)
                else:
                    raise fault.words(self.speaking.patience) from None
                continue
            manner.proven = True
            if (answer.completion_tokens or 0) > self.speaking.reply_tokens and bound + 1 < len(bounds) - 1:
                # The server passed over the bound in silence: it may know it by another name.
                manner.bound = max(manner.bound, bound + 1)
            return _Answered(model, said, answer, worst)

    def _put(self, model: ModelName, question: _Question, mode: str, bound: str | None) -> Ask:
        messages = question.messages
        return Ask(
            model=model.name,
            messages=prompted(messages, question.reply) if mode == "text" else messages,
            mode=mode,
            schema=schema_of(question.reply),
            bound=bound,
            reply_tokens=self.speaking.reply_tokens,
            facts=question.facts,
            repair=question.repair,
        )

    async def _patient(self, model: ModelName, ask: Ask) -> tuple[Answer, Worst]:
        """Try until there is an answer; raises `CallFault` for a form that is refused, else `InputError`."""
        failures, patience, interrupted = 0, self.speaking.patience, self.speaking.before_call
        while True:
            try:
                async with self.circuit.passage(interrupted):
                    found = await self._send(model, ask)
                self.circuit.succeeded()
                return found
            except CallFault as fault:
                if fault.kind == "form":
                    raise
                if fault.kind == "final":
                    raise fault.words(patience) from None
                failures += 1
                self.circuit.failed()
                asked = fault.wait_s or 0.0
                if fault.hopeless or failures >= patience.tries or asked > patience.asked:
                    raise fault.words(patience) from None
                await wait(max(asked, patience.pause(failures, self._jitter)), interrupted)

    async def _send(self, model: ModelName, ask: Ask) -> tuple[Answer, Worst]:
        self.speaking.before_call()
        worst = self.budget.worst_of(_size(ask.messages), ask.reply_tokens, model.prices)
        self.budget.reserve(worst)
        deadline = self.speaking.deadline_s
        try:
            async with asyncio.timeout(deadline):
                return await self.connection.send(ask), worst
        except CallFault as fault:
            # What a server refused, or never got, costs nothing; what broke or fell silent may have been billed.
            self._lose(model, worst) if fault.billed else self.budget.release(worst)
            raise
        except TimeoutError:
            self._lose(model, worst)
            raise CallFault(
                InputError(
                    f"{self.connection.url} sent no whole reply within {deadline:g} s",
                    "is it the right --base-url? then go on with mine --resume",
                ),
                "passing",
            ) from None
        except BaseException:
            self._lose(model, worst)
            raise

    def _lose(self, model: ModelName, worst: Worst) -> None:
        """Count a call that was sent and got no answer, and keep that it was, for a session that resumes this one."""
        self.budget.lose(worst)
        key, role, request = _ASKED.get()
        self.journal.lose(key, role, model.name, request)

    def _settled(self, key: str, role: str, request: str, answered: _Answered, latency: float) -> NewCall:
        model, answer = answered.model, answered.answer
        tokens = (answer.prompt_tokens, answer.completion_tokens)
        cost = model.prices.cost(*tokens, answer.cached_tokens) if model.prices else None
        self.budget.settle(answered.worst, len(request.encode()), tokens[0], tokens[1], cost)
        # A server may repeat the key that it was sent, and what it says is kept and shown.
        text = without_key(answer.refusal or answer.text, self.connection.secret)
        cut = answer.cut or len(text) > _LONGEST_REPLY
        return NewCall(
            run_id="",
            key=key,
            role=role,
            model=model.name,
            mode=answered.manner,
            request_hash=request_hash(model.name, request),
            request=request,
            # A lone surrogate is no text that a file could hold.
            response=text[:_LONGEST_REPLY].encode("utf-8", "replace").decode(),
            status="refused" if answer.refusal else "truncated" if cut else "ok",
            prompt_tokens=tokens[0],
            completion_tokens=tokens[1],
            cost_usd=cost,
            latency_s=round(latency, 3),
        )


def _size(messages: Sequence[Any]) -> int:
    return sum(len(message["content"].encode()) + 16 for message in messages)
