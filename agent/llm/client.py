"""Asking a model for a typed reply, through the official client, over any base URL.

How a server is asked is found out by trying, from strict to loose, and remembered: a JSON schema, a JSON object,
plain text with the schema in the prompt. Whatever comes back is journalled before it is read.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import openai
from pydantic import BaseModel, ValidationError

from agent.knowledge.records import CallRecord, NewCall
from agent.llm.budget import Budget, Prices
from market.errors import InputError, Rejection

Reply = TypeVar("Reply", bound=BaseModel)
MODES = ("json_schema", "json_object", "text")
_PAUSES = (0.5, 2.0, 6.0)


class Journal(Protocol):
    """Where calls are kept, under their key, as they return."""

    def find(self, key: str) -> CallRecord | None:
        """Return the call journalled under `key`, if any."""

    def record(self, call: NewCall) -> CallRecord:
        """Keep a call; when this returns, it is safe."""


class LanguageModel:
    """One model behind one client.

    Parameters
    ----------
    client
        An async OpenAI client; retries are made here, so that each is counted.
    before_call
        Called right before each request; what it raises goes through (a wish to stop).
    """

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        model: str,
        budget: Budget,
        journal: Journal,
        prices: Prices | None = None,
        before_call: Callable[[], None] = lambda: None,
        pauses: Sequence[float] = _PAUSES,
    ) -> None:
        self.client = client
        self.model = model
        self.budget = budget
        self.journal = journal
        self.prices = prices
        self.before_call = before_call
        self.pauses = pauses
        self.mode = 0

    async def ask(self, key: str, role: str, system: str, user: str, reply: type[Reply]) -> Reply | Rejection:
        """Ask for a `reply`; one repair turn with the validation error follows an unreadable one.

        Returns a `Rejection` (stage ``reply``) when the model refuses, is cut short twice, or stays unreadable.

        Raises
        ------
        InputError
            When the server cannot be reached, rejects the key, or does not know the model.
        BudgetReached
            Before a call that would go past the budget.
        """
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        first = await self._call(f"{key}/1", role, messages, reply)
        read = read_reply(first, reply)
        if not isinstance(read, Rejection) or read.code == "refused":
            return read
        messages += [
            {"role": "assistant", "content": first.response or "(nothing)"},
            {"role": "user", "content": repair_prompt(read, reply)},
        ]
        return read_reply(await self._call(f"{key}/2", role, messages, reply), reply)

    async def _call(self, key: str, role: str, messages: list[dict[str, str]], reply: type[BaseModel]) -> CallRecord:
        request = json.dumps(messages, ensure_ascii=False)
        digest = hashlib.sha256(f"{self.model}\n{request}".encode()).hexdigest()[:32]
        known = self.journal.find(key)
        if known is not None:
            if known.request_hash != digest:
                raise InputError(
                    f"the reply journalled under {key} answers another prompt, so the run cannot be replayed",
                    "alphaglow or its prompts changed since the run started: start a new run",
                )
            if known.status != "error":
                return known
        started = time.perf_counter()
        mode, completion = await self._negotiated(messages, reply)
        call = self._journalled(key, role, mode, digest, request, completion, time.perf_counter() - started)
        return self.journal.record(call)

    def _journalled(
        self,
        key: str,
        role: str,
        mode: str,
        digest: str,
        request: str,
        completion: Any,  # noqa: ANN401 - a ChatCompletion
        latency: float,
    ) -> NewCall:
        usage = completion.usage
        tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
        cost = self.prices.cost(*tokens) if self.prices else None
        self.budget.settle(cost, priced=self.prices is not None)
        choice = completion.choices[0] if completion.choices else None
        text = (choice.message.content or "") if choice else ""
        refusal = getattr(choice.message, "refusal", None) if choice else None
        cut = choice is not None and choice.finish_reason == "length"
        filtered = choice is not None and choice.finish_reason == "content_filter"
        status = "refused" if refusal or filtered else "truncated" if cut else "ok"
        return NewCall(
            run_id="",
            key=key,
            role=role,
            model=self.model,
            mode=mode,
            request_hash=digest,
            request=request,
            response=refusal or text,
            status=status,
            prompt_tokens=tokens[0],
            completion_tokens=tokens[1],
            cost_usd=cost,
            latency_s=round(latency, 3),
        )

    async def _negotiated(self, messages: list[dict[str, str]], reply: type[BaseModel]) -> tuple[str, Any]:
        """Send in the strictest mode that the server is not known to refuse."""
        while True:
            mode = self.mode
            try:
                return MODES[mode], await self._patient(messages, reply, MODES[mode])
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if mode + 1 >= len(MODES):
                    raise InputError(f"the server refused the request: {_short(error)}", "is --model right?") from error
                # Others may have found out in the meantime; never go back.
                self.mode = max(self.mode, mode + 1)

    async def _patient(self, messages: list[dict[str, str]], reply: type[BaseModel], mode: str) -> Any:  # noqa: ANN401
        for pause in (*self.pauses, None):
            try:
                return await self._send(messages, reply, mode)
            except (openai.RateLimitError, openai.InternalServerError, openai.APIConnectionError) as error:
                if pause is None or _hopeless(error):
                    raise _in_words(error, str(self.client.base_url), self.model) from error
                await asyncio.sleep(pause)
            except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
                raise _in_words(error, str(self.client.base_url), self.model) from error
        raise AssertionError("the last try returns or raises")

    async def _send(self, messages: list[dict[str, str]], reply: type[BaseModel], mode: str) -> Any:  # noqa: ANN401
        self.before_call()
        self.budget.reserve()
        try:
            return await self.client.chat.completions.create(
                model=self.model,
                messages=_prompted(messages, reply) if mode == "text" else messages,  # type: ignore[arg-type]  # plain dicts
                **_format(mode, reply),
            )
        except BaseException:
            # Refused or lost on the way: no answer came, so nothing is counted.
            self.budget.release()
            raise


def _format(mode: str, reply: type[BaseModel]) -> dict[str, Any]:
    if mode == "json_schema":
        schema = {"name": reply.__name__, "schema": _strict(reply.model_json_schema()), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {"response_format": {"type": "json_object"}} if mode == "json_object" else {}


def _strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the bounds that strict mode does not know; pydantic checks them afterwards."""
    dropped = {"maxLength", "minLength", "minimum", "maximum", "title", "default"}
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: _strict(inner) for name, inner in value.items()}
        elif key not in dropped:
            kept[key] = _strict(value) if isinstance(value, dict) else value
    return kept


def _prompted(messages: list[dict[str, str]], reply: type[BaseModel]) -> list[dict[str, str]]:
    form = json.dumps(_strict(reply.model_json_schema())["properties"])
    asked = f"\n\nAnswer with one JSON object and nothing else. Its fields: {form}"
    return [*messages[:-1], {**messages[-1], "content": messages[-1]["content"] + asked}]


def repair_prompt(fault: Rejection, reply: type[BaseModel]) -> str:
    """Return the turn that asks for the reply again."""
    fields = ", ".join(reply.model_fields)
    return (
        f"That could not be read: {fault.message} Answer again with one JSON object of exactly these fields: {fields}."
    )


def read_reply(call: CallRecord, reply: type[Reply]) -> Reply | Rejection:
    """Read a journalled reply: plain, fenced or with chatter around it; else say what is wrong."""
    if call.status == "refused":
        return Rejection("reply", "refused", f"the model refused: {call.response[:300]}", "rephrase the goal")
    for candidate in _candidates(call.response):
        try:
            return reply.model_validate_json(candidate)
        except ValidationError as error:
            problem = error
    if call.status == "truncated":
        return Rejection("reply", "truncated", "the reply was cut off before its end.", "answer more briefly")
    if "{" not in call.response:
        return Rejection("reply", "bad_json", "the reply holds no JSON object.", "answer with JSON alone")
    first = problem.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the object"
    code = "bad_json" if first["type"] == "json_invalid" else "bad_reply"
    return Rejection("reply", code, f"{where}: {first['msg']}.", "answer with the asked fields alone")


def _candidates(text: str) -> list[str]:
    """Return what may be the JSON in a reply, likeliest first; there is always at least one."""
    fenced = re.findall(r"```(?:json)?\s*(\{.*?\})\s*```", text, re.DOTALL)
    start, end = text.find("{"), text.rfind("}")
    embedded = [text[start : end + 1]] if 0 <= start < end else []
    return [text.strip(), *fenced, *embedded]


def _short(error: openai.APIError) -> str:
    body = error.body
    told = body.get("message") if isinstance(body, dict) else None
    return str(told or error.message).splitlines()[0][:200]


def _hopeless(error: openai.APIError) -> bool:
    """Whether trying again cannot help: an exhausted quota is reported like a rate limit."""
    return isinstance(error, openai.RateLimitError) and error.code == "insufficient_quota"


def _in_words(error: openai.APIError, url: str, model: str) -> InputError:
    match error:
        case openai.AuthenticationError():
            return InputError(f"{url} rejected the key: {_short(error)}", "check OPENAI_API_KEY")
        case openai.PermissionDeniedError():
            return InputError(f"{url} does not permit this: {_short(error)}", "check the key's rights")
        case openai.NotFoundError():
            return InputError(
                f"{url} does not know model {model!r} or this path: {_short(error)}", "check --model and --base-url"
            )
        case openai.RateLimitError():
            return InputError(
                f"{url} limits the rate or the quota: {_short(error)}", "wait, then go on with mine --resume"
            )
        case openai.APITimeoutError():
            return InputError(f"{url} did not answer in time", "is the server up? then go on with mine --resume")
        case openai.APIConnectionError():
            return InputError(f"{url} cannot be reached", "is the server up and --base-url right?")
    return InputError(f"{url} failed: {_short(error)}", "go on later with mine --resume")
