"""A connection to any server that speaks OpenAI's API, through the official client.

Here alone is known what that client raises: which errors will pass, which say that a server does not know a form, and
all of them in words.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial

import httpx2
import openai

from agent.llm import chat, responses
from agent.llm.addresses import is_plain
from agent.llm.answer import Answer, Ask, Lost, without_key
from agent.llm.faults import CallFault
from agent.llm.patience import RetryRules
from agent.untrusted.showing import displayable
from market.errors import InputError

# What the client's own retries would take for passing: a request that timed out, or met another.
_PASSING_STATUS = (408, 409)
_BOUND_NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# How llama.cpp says, with status 500, that it does not know a form or cannot make a grammar of it.
_FORM_WORDS = ("response_format", "json_schema", "json_object", "grammar", "initialize samplers")
_CONTEXT_WORDS = ("context length", "context size", "context window", "context_length_exceeded", "exceed_context_size")


def _passes(error: Exception) -> bool:
    """Whether trying again may help."""
    if isinstance(error, openai.APIStatusError) and error.status_code in _PASSING_STATUS:
        return True
    transient = (openai.RateLimitError, openai.InternalServerError, openai.APIConnectionError, Lost)
    return isinstance(error, transient) and not _refuses_form(error)


def _hopeless(error: Exception) -> bool:
    """Whether trying again cannot help although it looks so: an exhausted quota is reported like a rate limit."""
    return isinstance(error, openai.RateLimitError) and error.code == "insufficient_quota"


def _refuses_form(error: Exception) -> bool:
    """Whether a server refuses the request as it is put, and may accept it put otherwise."""
    if isinstance(error, openai.InternalServerError):
        return any(word in str(error) for word in _FORM_WORDS)
    return isinstance(error, (openai.BadRequestError, openai.UnprocessableEntityError))


def _names_bound(error: Exception) -> bool:
    """Whether an error is about the name of the bound on a reply's tokens."""
    return any(name in str(error) for name in _BOUND_NAMES)


def _too_long(error: Exception) -> bool:
    """Whether prompt and reply are more than the model can hold; no other form would help."""
    return any(word in str(error).lower() for word in _CONTEXT_WORDS)


def _never_sent(error: openai.APIConnectionError) -> bool:
    """Whether a connection could not even be made."""
    return isinstance(error.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout))


def _said_by(error: openai.APIError | Lost, key: str) -> str:
    """Return what a server says of an error in one line, without the key and without what commands a terminal."""
    body = error.body if isinstance(error, openai.APIError) else None
    said = body.get("message") if isinstance(body, dict) else body
    text = said if isinstance(said, str) and said.strip() else str(error)
    # The key goes first: a text that is cut could end in a part of it.
    lines = displayable(without_key(text, key)).strip().splitlines()
    return lines[0][:200] if lines else "no reason given"


def retry_after(error: openai.APIError, now: datetime | None = None) -> float | None:
    """Return the seconds that a server asks to wait, by ``retry-after-ms`` or ``retry-after`` (seconds or a date)."""
    headers = error.response.headers if isinstance(error, openai.APIStatusError) else {}
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            return max(0.0, float(text) * unit)
        except ValueError:
            pass
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            continue
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
    return None


def _in_words(error: openai.APIError | Lost, patience: RetryRules, *, url: str, model: str, said: str) -> InputError:
    """Return an error as what a person can do about it; `said` is what the server says of it, without the key."""
    match error:
        case Lost():
            return InputError(f"{url} sent {said}", "is it the right --base-url? then go on with mine --resume")
        case openai.AuthenticationError():
            return InputError(f"{url} rejected the key: {said}", "check OPENAI_API_KEY")
        case openai.PermissionDeniedError():
            return InputError(f"{url} does not permit this: {said}", "check the key's rights")
        case openai.NotFoundError():
            return InputError(
                f"{url} does not know model {model!r} or this path: {said}", "check --model, --base-url and --api"
            )
        case openai.RateLimitError():
            asked = retry_after(error)
            long = f" and asks to wait {asked:.0f} s" if asked is not None and asked > patience.asked else ""
            return InputError(
                f"{url} limits the rate or the quota{long}: {said}", "wait, then go on with mine --resume"
            )
        case openai.APITimeoutError():
            return InputError(f"{url} did not answer in time", "is the server up? then go on with mine --resume")
        case openai.APIConnectionError() if _never_sent(error):
            return InputError(f"{url} cannot be reached", "is the server up and --base-url right?")
        case openai.APIConnectionError():
            return InputError(f"{url} breaks off its replies: {said}", "go on later with mine --resume")
        case _ if _too_long(error):
            return InputError(
                f"prompt and reply are more than {model!r} can hold: {said}",
                "lower [llm] reply_tokens, or give the model a longer context",
            )
        case openai.BadRequestError() | openai.UnprocessableEntityError():
            return InputError(f"the server refused the request: {said}", "is --model right?")
        case openai.APIStatusError() if error.status_code < 500:
            return InputError(f"{url} refused with status {error.status_code}: {said}", "is the account in order?")
    return InputError(f"{url} failed: {said}", "go on later with mine --resume")


@dataclass(frozen=True, slots=True)
class _Api:
    """How an API is asked, and by which names servers know its bound on a reply's tokens."""

    send: Callable[[openai.AsyncOpenAI, Ask], Awaitable[Answer]]
    bounds: tuple[str | None, ...]


_APIS: Mapping[str, _Api] = {
    "chat": _Api(chat.send_chat, chat.BOUNDS),
    "responses": _Api(responses.send_response, responses.BOUNDS),
}


class OpenAIConnection:
    """A client of one server, asked by one of its APIs; the client makes no retries of its own."""

    def __init__(self, client: openai.AsyncOpenAI, api: str = "chat") -> None:
        self.client = client
        self._api = _APIS[api]

    @property
    def url(self) -> str:
        """The server's address."""
        return str(self.client.base_url)

    @property
    def secret(self) -> str:
        """The key."""
        return self.client.api_key

    @property
    def bounds(self) -> tuple[str | None, ...]:
        """Names of the bound on a reply's tokens."""
        return self._api.bounds

    async def send(self, ask: Ask) -> Answer:
        """Send one request and read the reply; the facts of what is asked stay here."""
        try:
            return await self._api.send(self.client, ask)
        except (openai.APIError, Lost) as error:
            # What is raised in an error's place: it may hold the key itself, and a traceback would show it.
            raise fault_of(error, url=self.url, model=ask.model, key=self.secret) from None

    async def close(self) -> None:
        """Close the client."""
        await self.client.close()


def fault_of(error: openai.APIError | Lost, *, url: str, model: str, key: str) -> CallFault:
    """Return what the client raised as what any provider raises."""
    words = partial(_in_words, error, url=url, model=model, said=_said_by(error, key))
    refused = isinstance(error, openai.APIStatusError) or (
        isinstance(error, openai.APIConnectionError) and _never_sent(error)
    )
    if _refuses_form(error):
        return CallFault(words, "final" if _too_long(error) else "form", billed=False, names_bound=_names_bound(error))
    return CallFault(
        words,
        "passing" if _passes(error) else "final",
        billed=not refused,
        hopeless=_hopeless(error),
        wait_s=None if isinstance(error, Lost) else retry_after(error),
    )


def connect_to(
    url: str, key: str, transport: httpx2.AsyncBaseTransport, *, timeout_s: float = 600.0
) -> openai.AsyncOpenAI:
    """Return a client whose requests go by `transport`, such as one that answers in this process."""
    http = httpx2.AsyncClient(transport=transport)
    return openai.AsyncOpenAI(base_url=url, api_key=key, timeout=timeout_s, max_retries=0, http_client=http)


def connect_openai(base_url: str | None, *, timeout_s: float) -> openai.AsyncOpenAI:
    """Return a client for any OpenAI-compatible server; a server named by URL may need no key."""
    key = os.environ.get("OPENAI_API_KEY", "").strip() or ("none" if base_url else None)
    if key is not None and not is_plain(key):
        raise InputError("the key in OPENAI_API_KEY holds what no key does", "was more copied than the key?")
    return openai.AsyncOpenAI(base_url=base_url, api_key=key, timeout=timeout_s, max_retries=0)
