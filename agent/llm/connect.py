"""Clients: a real server's, and the mock's."""

from __future__ import annotations

import os

import httpx2
import openai


def connect_openai(base_url: str | None, *, timeout_s: float) -> openai.AsyncOpenAI:
    """Return a client for any OpenAI-compatible server; a server named by URL may need no key."""
    key = os.environ.get("OPENAI_API_KEY") or ("none" if base_url else None)
    return openai.AsyncOpenAI(base_url=base_url, api_key=key, timeout=timeout_s, max_retries=0)


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


def connect_mock(seed: int) -> openai.AsyncOpenAI:
    """Return a client whose every request is answered by the mock, in this process."""
    from agent.mock.transport import answer

    transport = httpx2.MockTransport(lambda request: answer(request, seed))
    return openai.AsyncOpenAI(
        base_url="http://mock.invalid/v1",
        api_key="mock",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=transport),
    )
