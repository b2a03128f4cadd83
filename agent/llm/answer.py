"""What an API is asked and what it answers, whichever API it is; and how a body is read that may hold anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent.llm.facts import AskFacts, Facts, RepairFacts

# What is shorter is no secret, such as the "ollama" that stands in for a key.
_SHORTEST_KEY = 8


class Lost(Exception):
    """A call was sent, and what came back, if anything, is no answer."""


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
        raise Lost(f"a reply that is no JSON: {str(error)[:100]}") from error
    if isinstance(body, dict) and isinstance(body.get(holds), list):
        return body
    why = text_at(body, "error", "message") or text_at(body, "message") or text_at(body, "error")
    raise Lost(f"a reply that holds no {holds}" + (f": {why}" if why else ""))


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
    """Return the count under a path; None where there is none, or what is there is no count."""
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def without_key(text: str, key: str) -> str:
    """Return `text` with the key, which a server may repeat, taken out."""
    return text.replace(key, "***") if len(key) >= _SHORTEST_KEY else text
