"""A server that acts by a script, asked through the real client over a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai
import pytest

from agent.knowledge.run_config import Bounds
from agent.llm.budget import Budget, BudgetReached, Prices
from agent.llm.client import LanguageModel, ModelName, Speaking
from agent.llm.openai_connection import OpenAIConnection
from agent.llm.patience import RetryRules
from agent.mining.replies import JudgeReply
from market.errors import InputError
from tests.agent.test_llm_client import MemoryJournal

PRICES = Prices(1.0, 10.0)
Handler = Callable[[asyncio.StreamWriter, dict[str, Any]], Awaitable[None]]
Body = Callable[[dict[str, Any]], bytes]


def body_of(text: str | None, *, usage: bool = True, finish: str = "stop", refusal: str | None = None) -> Body:
    """What a server answers, by the API that it is asked by."""

    def chat() -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": refusal}
        document: dict[str, Any] = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        }
        if usage:
            document["usage"] = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
        return document

    def responses() -> dict[str, Any]:
        said = {"type": "refusal", "refusal": refusal} if refusal else {"type": "output_text", "text": text or ""}
        why = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish)
        document: dict[str, Any] = {
            "id": "x",
            "object": "response",
            "status": "incomplete" if why else "completed",
            "incomplete_details": {"reason": why} if why else None,
            "output": [
                {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm {"}]},
                {"type": "message", "role": "assistant", "content": [said] if text is not None or refusal else []},
            ],
        }
        if usage:
            document["usage"] = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
        return document

    return lambda asked: json.dumps(responses() if "input" in asked else chat()).encode()


def nothing_in_it(asked: dict[str, Any]) -> bytes:
    """A whole reply with no choice, or no output."""
    document = json.loads(body_of("")(asked))
    return json.dumps({**document, "output" if "input" in asked else "choices": []}).encode()


def reply(said: Body | bytes = b"", status: str = "200 OK", less: int = 0, **headers: str) -> Handler:
    """Answer so; without the last `less` bytes."""

    async def write(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
        body = said if isinstance(said, bytes) else said(asked)
        body = body[: len(body) - less]
        lines = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
        for name, value in headers.items():
            lines[name.replace("_", "-")] = value
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)
        await writer.drain()

    return write


def fault(status: str, code: str | None = None, **headers: str) -> Handler:
    return reply(json.dumps({"error": {"message": "because", "type": "x", "code": code}}).encode(), status, **headers)


def cut_off(said: Body) -> Handler:
    async def write(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
        body = said(asked)
        writer.write(
            f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        )
        writer.write(body[: len(body) // 2])
        await writer.drain()
        writer.transport.abort()

    return write


class SkippingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock servers put forward: the client's minutes of waiting pass at once, on any machine."""

    skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped

    async def skip(self, seconds: int) -> None:
        """Let time pass in steps of a second, with a turn of everyone between them."""
        for _ in range(seconds):
            self.skipped += 1.0
            await asyncio.sleep(0)


def skipping() -> SkippingLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    return loop


def drip(seconds: int) -> Handler:
    """One byte a second: no read of the client's waits long, and the reply is never whole."""

    async def write(writer: asyncio.StreamWriter, _asked: dict[str, Any]) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n")
        for _ in range(seconds):
            writer.write(b" ")
            await writer.drain()
            await skipping().skip(1)

    return write


def silence(seconds: int) -> Handler:
    async def wait(_writer: asyncio.StreamWriter, _asked: dict[str, Any]) -> None:
        await skipping().skip(seconds)
        await asyncio.Event().wait()

    return wait


@dataclass
class Scripted:
    """A server that acts by a script (its last act repeats), and remembers what it was asked."""

    acts: list[Handler]
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(int(v.split(":")[1]) for v in head.lower().split("\r\n") if v.startswith("content-length"))
            self.asked.append(json.loads(await reader.readexactly(length)))
            act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
            await act(writer, self.asked[-1])
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()


@dataclass(frozen=True)
class Outcome:
    found: object
    server: Scripted
    model: LanguageModel
    journal: MemoryJournal


def play(*acts: Handler, asks: int = 1, models: tuple[str, ...] = ("m",), **options: Any) -> Outcome:
    """Ask a scripted server through the real client, over a socket."""

    async def go() -> Outcome:
        scripted = Scripted(list(acts))
        server = await asyncio.start_server(scripted, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        journal = MemoryJournal()
        client = openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{port}/v1",
            api_key="sk-very-secret",
            max_retries=0,
            timeout=options.pop("timeout", 60.0),
            # The server speaks plain HTTP: certificates take long to read.
            http_client=httpx2.AsyncClient(trust_env=False, verify=False),
        )
        patience = options.pop("patience", RetryRules(tries=3, first=0.0, cool_down=0.0))
        connection = OpenAIConnection(client, options.pop("api", "chat"))
        speaking = Speaking(
            models=[ModelName(name, PRICES) for name in models],
            budget=options.pop("budget", Budget(Bounds(usd=1.0))),
            journal=journal,
            reply_tokens=500,
            patience=patience,
            **options,
        )
        model = LanguageModel(connection, speaking)
        found: object = None
        try:
            for k in range(asks):
                found = await model.ask(f"k{k}", "judge", "system", "judge this", JudgeReply)
        except (InputError, BudgetReached) as error:
            found = error
        finally:
            await client.close()
            server.close()
        return Outcome(found, scripted, model, journal)

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(go())


def spent(outcome: Outcome) -> tuple[int, int, int]:
    """Return requests that reached the server, answered calls, and calls that were lost."""
    budget = outcome.model.budget
    assert budget.under_way == []
    assert len(outcome.journal.calls) == budget.calls
    assert len(outcome.journal.lost) == budget.lost, "a session that resumes must know of each"
    recorded = sum(call.cost_usd or 0.0 for call in outcome.journal.calls.values())
    if not budget.lost and not budget.uncounted:
        assert budget.usd == pytest.approx(recorded)
    else:
        assert budget.usd > recorded
    return len(outcome.server.asked), budget.calls, budget.lost
