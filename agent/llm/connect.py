"""Clients: a real server's, and the mock's."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import httpx2
import openai

from market.errors import InputError

_LONGEST_NAME = 300


def connect_openai(base_url: str | None, *, timeout_s: float) -> openai.AsyncOpenAI:
    """Return a client for any OpenAI-compatible server; a server named by URL may need no key."""
    key = os.environ.get("OPENAI_API_KEY", "").strip() or ("none" if base_url else None)
    if key is not None and not _plain(key):
        raise InputError("the key in OPENAI_API_KEY holds what no key does", "was more copied than the key?")
    return openai.AsyncOpenAI(base_url=base_url, api_key=key, timeout=timeout_s, max_retries=0)


def check_server(base_url: str, models: tuple[str, ...]) -> None:
    """Refuse a base URL that is none or holds a secret, and names that no model has: a run records them all.

    What is refused is not repeated: it may be a password.
    """
    if base_url:
        try:
            parts = urlsplit(base_url)
            right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            right = False
        if not right or not _plain(base_url):
            raise InputError("--base-url is no address of a server", "it looks like http://localhost:11434/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise InputError(
                "--base-url holds more than an address, and would be kept with the run",
                "set the key in the environment variable OPENAI_API_KEY, and leave user, password and query out",
            )
    for name in models:
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise InputError("--model is no model's name", "ask the server which it has")


def _plain(text: str) -> bool:
    """Whether a text can stand in a header or an address as it is."""
    return text.isascii() and text.isprintable() and " " not in text


def connect_nothing() -> openai.AsyncOpenAI:
    """Return a client that reaches no server: a replay asks none."""

    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError(f"a replay made a call: {request.url}")

    return openai.AsyncOpenAI(
        base_url="http://replay.invalid/v1",
        api_key="replay",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(refuse)),
    )
