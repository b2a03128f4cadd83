"""What an API is asked and what it answers, whichever API it is; and how a body is read that may hold anything."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent.llm.facts import AskFacts, Facts, RepairFacts

# What is shorter is no secret, such as the "ollama" that stands in for a key.
_SHORTEST_KEY = 8


# A server that counts more tokens than this in one call does not count.
_MOST_TOKENS = 100_000_000
_PAGE_TITLE = re.compile(r"<title[^>]*>([^<]{1,80})", re.IGNORECASE)


class Lost(Exception):
    """A call was sent, and what came back, if anything, is no answer.

    `status` and `code` are those of an error that the server reports inside of a reply that says it is one.
    """

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes
    ----------
    mode
        One of `agent.llm.forms.MODES`; ``text`` asks for no form, the messages do.
    schema
        Name, JSON schema and strictness of the reply.
    bound, reply_tokens
        The name by which the server knows the bound on a reply's tokens (None: none is sent), and the bound.
    facts, repair
        What the messages say, as data: for a model in this process. No provider sends them to a server.
    """

    model: str
    messages: Sequence[Mapping[str, str]]
    mode: str
    schema: Mapping[str, Any]
    bound: str | None
    reply_tokens: int
    facts: Facts | AskFacts | None = None
    repair: RepairFacts | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply: its text, or why there is none; whether it was cut off; tokens, None where the server is silent.

    `cached_tokens` are those of `prompt_tokens` that the server had read before.
    """

    text: str
    refusal: str | None = None
    cut: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None


class RawReply(Protocol):
    """A reply of the client before it is parsed."""

    @property
    def content(self) -> bytes:
        """The body."""


def body_of(raw: RawReply, holds: str) -> dict[str, Any]:
    """Return a reply's body, which must be an object with a list under `holds`; else raises `Lost`."""
    try:
        body = json.loads(raw.content)
    except (ValueError, RecursionError) as error:
        raise Lost(f"a reply that is no JSON: {_instead(raw.content) or str(error)[:100]}") from error
    inside = at(body, "error")
    if isinstance(body, dict) and isinstance(body.get(holds), list) and not (inside and not body[holds]):
        # Some servers pass on what befell a provider of theirs as a choice.
        inside = at(body, holds, 0, "error")
        if not isinstance(inside, dict):
            return body
    raise lost_for(inside or body, f"a reply that holds no {holds}")


def lost_for(error: object, what: str) -> Lost:
    """Return an error that lies inside of a reply as `Lost`, with its status and code where it has them."""
    code = at(error, "code")
    status = code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600 else 0
    why = text_at(error, "message") or text_at(error, "detail") or (error if isinstance(error, str) else "")
    words = code if isinstance(code, str) else text_at(error, "type") or text_at(error, "status")
    return Lost(what + (f": {why}" if why else ""), status, words)


def _instead(content: bytes) -> str:
    """Say what a body is that is no JSON: a page, or a stream of events."""
    begins = content[:4000].decode("utf-8", "replace").lstrip("\ufeff \r\n\t")
    if begins.startswith("<"):
        title = _PAGE_TITLE.search(begins)
        return "a web page" + (f" ({title[1].strip()!r})" if title else "") + ", so /v1 may be missing in the address"
    if begins.startswith(("data:", "event:", ":")):
        return "a stream of events, which was not asked for"
    return "" if begins else "it is empty"


def at(value: object, *path: str | int) -> object:
    """Return what lies under a path of keys and places; None where there is nothing."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step] if step < len(value) else None
        else:
            return None
    return value


def text_at(value: object, *path: str | int) -> str:
    """Return the text under a path; empty where there is none."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def count_at(value: object, *path: str | int) -> int | None:
    """Return the count under a path; None where there is none, or what is there is no count of a call's tokens."""
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= _MOST_TOKENS else None


def usage_at(usage: object, prompt: str, reply: str) -> tuple[int | None, int | None, int | None]:
    """Return what a server says of a call's tokens: of the prompt, of the reply, and of the prompt from its cache.

    No prompt has 0 tokens: a server that says so has not counted, and what it says of the reply is worth no more.
    """
    sent, said = count_at(usage, prompt), count_at(usage, reply)
    if not sent:
        return None, said or None, None
    return sent, said, count_at(usage, f"{prompt}_details", "cached_tokens")


def without_key(text: str, key: str) -> str:
    """Return `text` with the key, which a server may repeat, taken out."""
    return text.replace(key, "***") if len(key) >= _SHORTEST_KEY else text
