"""The one way to a server of OpenAI's API: its client, which speaks Chat Completions and Responses.

Here alone it is known what that client raises; `agent.llm.fault_words` sorts it and says it in words.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2
import openai

from agent.llm import chat, responses
from agent.llm.answer import Answer, Ask, Lost, without_key
from agent.llm.fault_words import SCHEMA_WORDS, Said, broken, sort_of, waits_too_long, words_of
from agent.llm.faults import CallFault
from agent.llm.http_guard import guarded_client
from agent.llm.patience import RetryRules
from agent.llm.server_context import asked_context
from agent.llm.server_keys import NO_KEY, OPENAI_KEY, ServerKey, key_for
from agent.untrusted.showing import displayable
from market.errors import InputError

_BOUND_NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# No server means a longer wait than this, whatever it says.
_LONGEST_WAIT = 366 * 86_400.0


def _words_said(error: openai.APIError | Lost, key: str) -> str:
    """Return what a server says of an error in one line, without the key and without what commands a terminal."""
    body = error.body if isinstance(error, openai.APIError) else None
    said = body.get("message") if isinstance(body, dict) else body
    text = said if isinstance(said, str) and said.strip() else str(error)
    if isinstance(error, openai.APIConnectionError) and str(error.__cause__ or ""):
        text = str(error.__cause__)
    # The key goes first: a text that is cut could end in a part of it.
    lines = displayable(without_key(text, key)).strip().splitlines()
    return lines[0][:200] if lines else "no reason given"


def _said(error: openai.APIStatusError | Lost, words: str) -> Said:
    """Return an error of the client, or one inside of a reply, as what was said."""
    if isinstance(error, Lost):
        return Said(error.status, error.code.lower(), words)
    code = " ".join(str(part) for part in (error.code, error.type) if part).lower()
    return Said(error.status_code, code, words, displayable(error.response.headers.get("location", ""))[:200])


def retry_after(error: openai.APIError, now: datetime | None = None) -> float | None:
    """Return the seconds that a server asks to wait, by ``retry-after-ms`` or ``retry-after`` (seconds or a date)."""
    headers = error.response.headers if isinstance(error, openai.APIStatusError) else {}
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            seconds = _until(text, now or datetime.now(UTC))
        if math.isfinite(seconds):
            return min(max(0.0, seconds), _LONGEST_WAIT)
    return None


def _until(text: str, now: datetime) -> float:
    """Return the seconds until a date; NaN for what is none, or lies beyond any calendar."""
    try:
        at = parsedate_to_datetime(text)
        return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return math.nan


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
    """A client of one server, asked by one of its APIs; the client makes no retries of its own.

    `variable` is the environment variable of its key, as messages name it; empty: it gets none.
    """

    def __init__(self, client: openai.AsyncOpenAI, api: str = "chat", variable: str = OPENAI_KEY) -> None:
        self.client = client
        self.variable = variable
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
            found = fault_of(error, url=self.url, model=ask.model, key=self.secret, variable=self.variable)
            if isinstance(found, Answer):
                return found
            raise found from None
        except (httpx2.InvalidURL, UnicodeError):
            raise CallFault(InputError(f"{self.url} is no address that can be asked", "is --base-url right?")) from None

    async def context_tokens(self, model: str) -> int | None:
        """Return how many tokens of prompt and reply the server says that a model holds; None: it does not say."""
        headers = {name: value for name, value in self.client.auth_headers.items() if isinstance(value, str)}
        return await asked_context(self.client._client, f"{self.url.rstrip('/')}/models", headers, model)

    async def close(self) -> None:
        """Close the client."""
        await self.client.close()


def fault_of(
    error: openai.APIError | Lost, *, url: str, model: str, key: str, variable: str = OPENAI_KEY
) -> CallFault | Answer:
    """Return what the client raised as what any provider raises; a filter's refusal is an answer."""
    said = _words_said(error, key)
    if isinstance(error, openai.APITimeoutError) and not isinstance(error.__cause__, httpx2.ConnectTimeout):
        late = InputError(f"{url} did not answer in time", "is the server up? then go on with mine --resume")
        return CallFault(late, "passing")
    if isinstance(error, openai.APIConnectionError):
        found = broken(error, url, said)
        return CallFault(found.words, "passing", billed=not found.unsent, address=found.address)
    if not isinstance(error, (openai.APIStatusError, Lost)):
        return CallFault(InputError(f"{url} failed: {said}", "go on later with mine --resume"), "passing")
    what = _said(error, said)
    sort = sort_of(what)
    wait = None if isinstance(error, Lost) else retry_after(error)
    if isinstance(error, Lost) and not what.status and sort == "busy":
        hint = "is it the right --base-url? then go on with mine --resume"
        return CallFault(InputError(f"{url} sent {said}", hint), "passing")
    if sort == "refused":
        return Answer("", refusal=said)

    def words(patience: RetryRules) -> InputError:
        asked = wait if waits_too_long(wait, patience) else None
        return words_of(what, sort, url=url, model=model, variable=variable, wait=asked)

    if sort in ("form", "long"):
        text = str(error)
        return CallFault(
            words,
            "form" if sort == "form" else "long",
            billed=False,
            names_bound=any(name in text for name in _BOUND_NAMES),
            names_schema=SCHEMA_WORDS.search(text.lower()) is not None,
        )
    passing = sort in ("rate", "busy")
    return CallFault(words, "passing" if passing else "final", billed=isinstance(error, Lost), wait_s=wait)


def connect_to(
    url: str, key: str, transport: httpx2.AsyncBaseTransport, *, timeout_s: float = 600.0
) -> openai.AsyncOpenAI:
    """Return a client whose requests go by `transport`, such as one that answers in this process."""
    http = guarded_client(url, transport)
    return openai.AsyncOpenAI(base_url=url, api_key=key, timeout=timeout_s, max_retries=0, http_client=http)


def connect_openai(base_url: str | None, *, timeout_s: float, key: ServerKey | None = None) -> openai.AsyncOpenAI:
    """Return a client for any OpenAI-compatible server, with the key that is meant for it."""
    meant = key_for(base_url or "") if key is None else key
    http = guarded_client(base_url)
    value = meant.value or NO_KEY
    client = openai.AsyncOpenAI(base_url=base_url, api_key=value, timeout=timeout_s, max_retries=0, http_client=http)
    if meant.variable != OPENAI_KEY:
        # The names of an account at OpenAI, which the client takes from the environment, concern nobody else.
        client.organization = client.project = None
    return client
