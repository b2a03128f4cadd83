"""Asking models for typed replies, through the official client, over any base URL.

How a server is asked is found out by trying, from strict to loose, and remembered for each model: a JSON schema, a JSON
object, plain text with the schema in the prompt; and by which name it knows the bound on a reply's tokens. Whatever
comes back is journalled before it is read.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import openai
from pydantic import BaseModel

from agent.knowledge.records import CallRecord, NewCall, request_hash
from agent.llm.budget import Budget, Prices, Worst
from agent.llm.cassette import Cassette, Recorder
from agent.llm.forms import MODES, format_of, prompted, read_reply, repair_prompt
from agent.llm.patience import Circuit, Patience, retry_after, wait
from market.errors import InputError, Rejection

Reply = TypeVar("Reply", bound=BaseModel)
# Names that servers know the bound on a reply's tokens by; None: by none.
LIMITS = ("max_completion_tokens", "max_tokens", None)
# A reply longer than this was not asked for; what is kept of it ends here.
_LONGEST_REPLY = 200_000
# What of an unreadable reply is sent back with the wish for another.
_LONGEST_REPEATED = 8_000
_HOPELESS = (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError)


class Lost(Exception):
    """A call was sent, and what came back, if anything, is no answer."""


# Key, role and request of the call that a task is making.
_ASKED: ContextVar[tuple[str, str, str]] = ContextVar("asked")
_TRANSIENT = (openai.RateLimitError, openai.InternalServerError, openai.APIConnectionError, Lost)


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
    """How a model is asked: indices into MODES and LIMITS, which only ever rise."""

    mode: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class _Answered:
    model: ModelName
    mode: str
    completion: Any
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
        seed: int = 0,
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
        self.current = 0
        self.circuit = Circuit(self.patience)
        known = modes or {}
        self.manners = {m.name: _Manner(MODES.index(known[m.name]) if m.name in known else 0) for m in self.models}
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
            {"role": "assistant", "content": first.response[:_LONGEST_REPEATED] or "(nothing)"},
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
        while True:
            mode, limit = manner.mode, manner.limit
            sent = prompted(messages, reply) if MODES[mode] == "text" else messages
            options = format_of(MODES[mode], reply)
            name = LIMITS[limit]
            if name is not None:
                options[name] = self.reply_tokens
            try:
                completion, worst = await self._patient(model, sent, options)
                return _Answered(model, MODES[mode], completion, worst)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                about_limit = "max_tokens" in str(error) or "max_completion_tokens" in str(error)
                if about_limit and limit + 1 < len(LIMITS):
                    # Others may have found out in the meantime; never go back.
                    manner.limit = max(manner.limit, limit + 1)
                elif mode + 1 < len(MODES):
                    manner.mode = max(manner.mode, mode + 1)
                else:
                    raise InputError(
                        f"the server refused the request: {self._short(error)}", "is --model right?"
                    ) from error

    async def _patient(
        self, model: ModelName, messages: list[dict[str, str]], options: dict[str, Any]
    ) -> tuple[Any, Worst]:
        failures = 0
        while True:
            try:
                async with self.circuit.passage(self.before_call):
                    found = await self._send(model, messages, options)
                self.circuit.succeeded()
                return found
            except _TRANSIENT as error:
                failures += 1
                self.circuit.failed()
                asked = retry_after(error) if isinstance(error, openai.APIError) else None
                if _hopeless(error) or failures >= self.patience.tries or (asked or 0.0) > self.patience.asked:
                    raise self._in_words(error, model.name, asked) from error
                await wait(max(asked or 0.0, self.patience.pause(failures, self._jitter)), self.before_call)
            except _HOPELESS as error:
                raise self._in_words(error, model.name, None) from error

    async def _send(
        self, model: ModelName, messages: list[dict[str, str]], options: dict[str, Any]
    ) -> tuple[Any, Worst]:
        self.before_call()
        worst = self.budget.worst_of(_size(messages), self.reply_tokens, model.prices)
        self.budget.reserve(worst)
        try:
            async with asyncio.timeout(self.deadline_s):
                completion = await self.client.chat.completions.create(
                    model=model.name,
                    messages=messages,  # type: ignore[arg-type]  # plain dicts
                    **options,
                )
        except openai.APIStatusError:
            self.budget.release(worst)
            raise
        except openai.APIConnectionError as error:
            # A connection that was refused took no prompt; one that broke or fell silent may have been billed for it.
            self.budget.release(worst) if _never_sent(error) else self._lose(model, worst)
            raise
        except TimeoutError as error:
            self._lose(model, worst)
            raise Lost(f"no whole reply within {self.deadline_s:g} s") from error
        except (ValueError, openai.APIResponseValidationError) as error:
            self._lose(model, worst)
            raise Lost(f"a reply that is no JSON: {str(error)[:100]}") from error
        except BaseException:
            self._lose(model, worst)
            raise
        if getattr(completion, "choices", None) is None:
            self._lose(model, worst)
            raise Lost("a reply that is no chat completion")
        return completion, worst

    def _lose(self, model: ModelName, worst: Worst) -> None:
        """Count a call that was sent and got no answer, and keep that it was, for a session that resumes this one."""
        self.budget.lose(worst)
        key, role, request = _ASKED.get()
        self.journal.lose(key, role, model.name, request)

    def _settled(self, key: str, role: str, request: str, answered: _Answered, latency: float) -> NewCall:
        completion, model = answered.completion, answered.model
        usage = completion.usage
        tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
        cost = model.prices.cost(*tokens) if model.prices else None
        self.budget.settle(answered.worst, len(request.encode()), tokens[0], tokens[1], cost)
        choice = completion.choices[0] if completion.choices else None
        text = (choice.message.content or "") if choice and choice.message else ""
        refusal = getattr(choice.message, "refusal", None) if choice else None
        cut = (choice is not None and choice.finish_reason == "length") or len(text) > _LONGEST_REPLY
        filtered = choice is not None and choice.finish_reason == "content_filter"
        status = "refused" if refusal or filtered else "truncated" if cut else "ok"
        return NewCall(
            run_id="",
            key=key,
            role=role,
            model=model.name,
            mode=answered.mode,
            request_hash=request_hash(model.name, request),
            request=request,
            # A lone surrogate is no text that a file could hold.
            response=(refusal or text)[:_LONGEST_REPLY].encode("utf-8", "replace").decode(),
            status=status,
            prompt_tokens=tokens[0],
            completion_tokens=tokens[1],
            cost_usd=cost,
            latency_s=round(latency, 3),
        )

    def _short(self, error: openai.APIError) -> str:
        body = error.body
        told = body.get("message") if isinstance(body, dict) else None
        text = str(told or error.message).splitlines()[0][:200] if str(told or error.message) else "no reason given"
        key = self.client.api_key
        return text.replace(key, "***") if len(key) > 4 else text

    def _in_words(self, error: openai.APIError | Lost, model: str, asked: float | None) -> InputError:
        url = str(self.client.base_url)
        if isinstance(error, Lost):
            return InputError(f"{url} sent {error}", "is it the right --base-url? then go on with mine --resume")
        match error:
            case openai.AuthenticationError():
                return InputError(f"{url} rejected the key: {self._short(error)}", "check OPENAI_API_KEY")
            case openai.PermissionDeniedError():
                return InputError(f"{url} does not permit this: {self._short(error)}", "check the key's rights")
            case openai.NotFoundError():
                return InputError(
                    f"{url} does not know model {model!r} or this path: {self._short(error)}",
                    "check --model and --base-url",
                )
            case openai.RateLimitError():
                long = f" and asks to wait {asked:.0f} s" if asked is not None and asked > self.patience.asked else ""
                return InputError(
                    f"{url} limits the rate or the quota{long}: {self._short(error)}",
                    "wait, then go on with mine --resume",
                )
            case openai.APITimeoutError():
                return InputError(f"{url} did not answer in time", "is the server up? then go on with mine --resume")
            case openai.APIConnectionError() if _never_sent(error):
                return InputError(f"{url} cannot be reached", "is the server up and --base-url right?")
            case openai.APIConnectionError():
                return InputError(
                    f"{url} breaks off its replies: {self._short(error)}", "go on later with mine --resume"
                )
        return InputError(f"{url} failed: {self._short(error)}", "go on later with mine --resume")


def _size(messages: Sequence[dict[str, str]]) -> int:
    return sum(len(message["content"].encode()) + 16 for message in messages)


def _never_sent(error: openai.APIConnectionError) -> bool:
    """Whether a connection could not even be made."""
    import httpx2

    return isinstance(error.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout))


def _hopeless(error: Exception) -> bool:
    """Whether trying again cannot help: an exhausted quota is reported like a rate limit."""
    return isinstance(error, openai.RateLimitError) and error.code == "insufficient_quota"
