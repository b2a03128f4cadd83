"""The mock server: an HTTP transport that answers by either API, so that the real client is on the path.

A request holds what a real server would get. The facts that its messages put in words reach the mock beside it, in
this process, by `asking`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict

import httpx2
import numpy as np

from agent.llm.answer import Answer, Ask
from agent.llm.facts import JudgeFacts, NoteFacts, ReaderFacts, RepairFacts, RequestFacts
from agent.llm.openai_connection import OpenAIConnection, connect_to
from agent.mock.former_words import in_former_words
from agent.mock.judge import judge_reply
from agent.mock.news_reader import reader_reply
from agent.mock.note_reader import note_reply
from agent.mock.proposer import proposer_reply
from agent.mock.seed_text import seed_messages
from agent.mock.writer import writer_reply

# What the task that makes a request asks.
_ASK: ContextVar[Ask] = ContextVar("ask")
Answering = Callable[[httpx2.Request, int], httpx2.Response]


@contextmanager
def asking(ask: Ask) -> Iterator[None]:
    """Give what is asked to the mock, for the requests made within."""
    token = _ASK.set(ask)
    try:
        yield
    finally:
        _ASK.reset(token)


def asked() -> Ask:
    """Return what is asked by the request that is being answered."""
    return _ASK.get()


def answer(request: httpx2.Request, seed: int) -> httpx2.Response:
    """Answer one request. The reply is a function of `seed` and the facts of what is asked, of no wording."""
    body = json.loads(request.content)
    messages = body["messages"] if "messages" in body else body["input"]
    ask = asked()
    facts, repairing = ask.facts, ask.repair is not None
    if facts is None:
        return httpx2.Response(400, json={"error": {"message": "the simulated model was given no facts"}})
    then, repair = in_former_words(facts), in_former_words(ask.repair)
    if isinstance(then, (RequestFacts, NoteFacts)):
        seeded: object = _plain(then, repair)
    else:
        seeded = seed_messages(then, repair)
    digest = hashlib.sha256(json.dumps(seeded, sort_keys=True).encode()).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
    if isinstance(facts, RequestFacts):
        text = proposer_reply(facts, rng, repairing=repairing)
    elif isinstance(facts, NoteFacts):
        text = note_reply(facts, rng, repairing=repairing)
    elif isinstance(facts, JudgeFacts):
        text = judge_reply(facts)
    elif isinstance(facts, ReaderFacts):
        text = reader_reply(facts, rng, repairing=repairing)
    else:
        text = writer_reply(facts, rng, repairing=repairing)
    prompt = sum(len(message["content"]) for message in messages) // 4
    if "input" in body:
        return httpx2.Response(200, json=_response(body["model"], text, prompt))
    return httpx2.Response(
        200,
        json={
            "id": f"mock-{digest.hex()[:12]}",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": len(text) // 4,
                "total_tokens": prompt + len(text) // 4,
            },
        },
    )


def _plain(facts: RequestFacts | NoteFacts, repair: RepairFacts | None) -> list[object]:
    """Return what is asked outside of the loops as plain JSON types, to seed the draws by."""
    return [type(facts).__name__, asdict(facts), None if repair is None else asdict(repair)]


def _response(model: str, text: str, prompt: int) -> dict[str, object]:
    """Return what the Responses API answers."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "object": "response",
        "status": "completed",
        "model": model,
        "output": [{"type": "message", "role": "assistant", "status": "completed", "content": content}],
        "usage": {
            "input_tokens": prompt,
            "output_tokens": len(text) // 4,
            "total_tokens": prompt + len(text) // 4,
        },
    }


class MockConnection(OpenAIConnection):
    """The real client over a transport that answers in this process."""

    async def send(self, ask: Ask) -> Answer:
        """Send a request as to a real server, with its facts beside it."""
        with asking(ask):
            return await super().send(ask)


def connect_mock(seed: int, api: str = "chat", answering: Answering | None = None) -> MockConnection:
    """Return a connection whose every request is answered in this process, by `answer` unless another is given."""

    def reply(request: httpx2.Request) -> httpx2.Response:
        return (answering or answer)(request, seed)

    transport = httpx2.MockTransport(reply)
    return MockConnection(connect_to("http://mock.invalid/v1", "mock", transport), api)
