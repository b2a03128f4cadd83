"""Asking models for typed replies, through the official client, over any base URL.

How a server is asked is found out by trying, from strict to loose, and remembered for each model: a JSON schema, a JSON
object, plain text with the schema in the prompt; and by which name it knows the bound on a reply's tokens. Whatever
comes back is journalled before it is read. Which API carries it, `agent.llm.chat` or `agent.llm.responses`, is their
business.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import openai
from pydantic import BaseModel

from agent.knowledge.records import CallRecord, NewCall, request_hash
from agent.llm import chat, responses
from agent.llm.answer import Answer, Ask, Lost
from agent.llm.budget import Budget, Prices, Worst
from agent.llm.cassette import Cassette, Recorder
from agent.llm.forms import MODES, prompted, read_reply, repair_prompt, schema_of, spoken
from agent.llm.patience import Circuit, Patience, retry_after, wait
from agent.llm.server_errors import (
    hopeless,
    in_words,
    names_bound,
    never_sent,
    passes,
    refuses_form,
    too_long,
    without_key,
)
from market.errors import InputError, Rejection

Reply = TypeVar("Reply", bound=BaseModel)
ApiName = Literal["chat", "responses"]
# A reply longer than this was not asked for; what is kept of it ends here.
_LONGEST_REPLY = 200_000
# What of an unreadable reply is sent back with the wish for another.
_LONGEST_REPEATED = 8_000


@dataclass(frozen=True, slots=True)
class _Api:
    """How an API is asked, and by which names servers know its bound on a reply's tokens."""

    send: Callable[[openai.AsyncOpenAI, Ask], Awaitable[Answer]]
    bounds: tuple[str | None, ...]


_APIS = {"chat": _Api(chat.send, chat.BOUNDS), "responses": _Api(responses.send, responses.BOUNDS)}
# Key, role and request of the call that a task is making.
_ASKED: ContextVar[tuple[str, str, str]] = ContextVar("asked")


class Journal(Protocol):
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
        """Read what `said` wrote of an earlier run; None, and what is no longer known, is found out anew."""
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


class LanguageModel:
    """A chain of models behind one client: the next is asked when one can no longer answer.

    Parameters
    ----------
    client
        An async OpenAI client that makes no retries of its own; they are made here, so that each is counted.
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
    api
        Which of the client's APIs is used.
    on_call
        Told of each exchange once it is journalled; not of one that was journalled before.
    """

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        models: Sequence[ModelName],
        budget: Budget,
        journal: Journal,
        reply_tokens: int = 4000,
        before_call: Callable[[], None] = lambda: None,
        patience: Patience | None = None,
        replay: Cassette | None = None,
        record: Recorder | None = None,
        deadline_s: float = 600.0,
        modes: dict[str, str] | None = None,
        note: Callable[[str], None] = lambda _text: None,
        on_call: Callable[[NewCall], None] = lambda _call: None,
        seed: int = 0,
        api: ApiName = "chat",
    ) -> None:
        self.client = client
        self.models = tuple(models)
        self.budget = budget
        self.journal = journal
        self.reply_tokens = reply_tokens
        self.before_call = before_call
        self.patience = patience or Patience()
        self.replay = replay
        self.record = record
        self.deadline_s = deadline_s
        self.note = note
        self.on_call = on_call
        self.api = _APIS[api]
        self.current = 0
        self.circuit = Circuit(self.patience)
        known = modes or {}
        self.manners = {m.name: _Manner.known(known.get(m.name), self.api.bounds) for m in self.models}
        # Of pauses alone: no result depends on it.
        self._jitter = random.Random(seed)

    async def ask(self, key: str, role: str, system: str, user: str, reply: type[Reply]) -> Reply | Rejection:
        """Ask for a `reply`; one repair turn with the validation error follows an unreadable one.

        Returns a `Rejection` (stage ``reply``) when the model refuses, is cut short twice, or stays unreadable.

        Raises
        ------
        InputError
            When no server can be reached, the key is rejected, or no model is known.
        BudgetReached
            Before a call that could go past the budget.
        """
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        first = await self._call(f"{key}/1", role, messages, reply)
        read = read_reply(first, reply)
        if not isinstance(read, Rejection) or read.code == "refused":
            return read
        messages += [
            {"role": "assistant", "content": spoken(first.response)[:_LONGEST_REPEATED] or "(nothing)"},
            {"role": "user", "content": repair_prompt(read, reply)},
        ]
        return read_reply(await self._call(f"{key}/2", role, messages, reply), reply)

    async def _call(self, key: str, role: str, messages: list[dict[str, str]], reply: type[BaseModel]) -> CallRecord:
        request = json.dumps(messages, ensure_ascii=False)
        known = self.journal.find(key)
        if known is not None:
            if known.request_hash != request_hash(known.model, request):
                raise InputError(
                    f"the reply journalled under {key} answers another prompt, so the run cannot be replayed",
                    "alphaglow or its prompts changed since the run started: start a new run",
                )
            if known.status != "error":
                return known
        if self.replay is not None:
            call = self.replay.find(key, request)
        else:
            started = time.perf_counter()
            _ASKED.set((key, role, request))
            answered = await self._chain(messages, reply)
            call = self._settled(key, role, request, answered, time.perf_counter() - started)
        kept = self.journal.record(call)
        if self.record is not None:
            self.record.write(call)
        self.on_call(call)
        return kept

    async def _chain(self, messages: list[dict[str, str]], reply: type[BaseModel]) -> _Answered:
        """Ask the current model; when it can no longer answer, go on with the next one, for good."""
        while True:
            place = self.current
            try:
                return await self._negotiated(self.models[place], messages, reply)
            except InputError as error:
                if place + 1 >= len(self.models):
                    raise
                if self.current == place:
                    self.current += 1
                    self.circuit.succeeded()
                    self.note(f"{error}; going on with {self.models[self.current].name}")

    async def _negotiated(self, model: ModelName, messages: list[dict[str, str]], reply: type[BaseModel]) -> _Answered:
        """Send in the strictest manner that the server is not known to refuse."""
        manner = self.manners[model.name]
        if not manner.proven:
            async with manner.first:
                if not manner.proven:
                    return await self._found_out(model, manner, messages, reply)
        return await self._found_out(model, manner, messages, reply)

    async def _found_out(
        self, model: ModelName, manner: _Manner, messages: list[dict[str, str]], reply: type[BaseModel]
    ) -> _Answered:
        bounds = self.api.bounds
        while True:
            mode, bound, said = manner.mode, manner.bound, manner.said(bounds)
            sent = prompted(messages, reply) if MODES[mode] == "text" else messages
            ask = Ask(model.name, sent, MODES[mode], schema_of(reply), bounds[bound], self.reply_tokens)
            try:
                answer, worst = await self._patient(model, ask)
            except openai.APIStatusError as error:
                # Others may have found out in the meantime; never go back.
                if too_long(error) or not refuses_form(error):
                    raise self._in_words(error, model.name) from None
                if names_bound(error) and bound + 1 < len(bounds):
                    manner.bound = max(manner.bound, bound + 1)
                elif mode + 1 < len(MODES):
                    manner.mode = max(manner.mode, mode + 1)
                else:
                    raise self._in_words(error, model.name) from None
                continue
            manner.proven = True
            if (answer.completion_tokens or 0) > self.reply_tokens and bound + 1 < len(bounds) - 1:
                # The server passed over the bound in silence: it may know it by another name.
                manner.bound = max(manner.bound, bound + 1)
            return _Answered(model, said, answer, worst)

    async def _patient(self, model: ModelName, ask: Ask) -> tuple[Answer, Worst]:
        failures = 0
        while True:
            try:
                async with self.circuit.passage(self.before_call):
                    found = await self._send(model, ask)
                self.circuit.succeeded()
                return found
            except (openai.APIError, Lost) as error:
                if refuses_form(error):
                    raise
                if not passes(error):
                    raise self._in_words(error, model.name) from None
                failures += 1
                self.circuit.failed()
                asked = retry_after(error) if isinstance(error, openai.APIError) else None
                if hopeless(error) or failures >= self.patience.tries or (asked or 0.0) > self.patience.asked:
                    raise self._in_words(error, model.name, asked) from None
                await wait(max(asked or 0.0, self.patience.pause(failures, self._jitter)), self.before_call)

    async def _send(self, model: ModelName, ask: Ask) -> tuple[Answer, Worst]:
        self.before_call()
        worst = self.budget.worst_of(_size(ask.messages), self.reply_tokens, model.prices)
        self.budget.reserve(worst)
        try:
            async with asyncio.timeout(self.deadline_s):
                return await self.api.send(self.client, ask), worst
        except openai.APIStatusError:
            self.budget.release(worst)
            raise
        except openai.APIConnectionError as error:
            # A connection that was refused took no prompt; one that broke or fell silent may have been billed for it.
            self.budget.release(worst) if never_sent(error) else self._lose(model, worst)
            raise
        except TimeoutError as error:
            self._lose(model, worst)
            raise Lost(f"no whole reply within {self.deadline_s:g} s") from error
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
        text = without_key(answer.refusal or answer.text, self.client.api_key)
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

    def _in_words(self, error: openai.APIError | Lost, model: str, asked: float | None = None) -> InputError:
        """Return what is raised in an error's place: it may hold the key itself, and a traceback would tell it."""
        url, key = str(self.client.base_url), self.client.api_key
        return in_words(error, url=url, model=model, key=key, patience=self.patience, asked=asked)


def _size(messages: Sequence[Any]) -> int:
    return sum(len(message["content"].encode()) + 16 for message in messages)
