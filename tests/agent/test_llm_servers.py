"""Servers as their documentation and their users describe them: what each is asked, and that it is asked once.

OpenAI, Ollama, llama.cpp and vLLM over a real socket; what was found out is remembered in the knowledge base.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import RunConfig
from agent.llm.answer import Lost
from agent.llm.budget import Prices
from agent.llm.chat import read_chat
from agent.llm.responses import read_response
from agent.mining.replies import JudgeReply
from tests.agent.scripted_server import Handler, body_of, play, reply
from tests.agent.test_llm_client import GOOD, completion, error, model_of
from tests.agent.test_llm_client import Server as Transport
from tests.helpers import random_panel


def kind(asked: dict[str, Any]) -> str | None:
    return asked.get("response_format", {}).get("type")


def says(document: dict[str, Any], status: str = "200 OK") -> Handler:
    return reply(json.dumps(document).encode(), status)


def message(finish: str = "stop", usage: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    said = {"role": "assistant", **fields}
    document = {"object": "chat.completion", "choices": [{"index": 0, "finish_reason": finish, "message": said}]}
    return {**document, "usage": usage or {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}}


async def ollama(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
    """It passes over what it does not know, `max_completion_tokens` among it, and leaves thinking in the text."""
    long = 100 if "max_tokens" in asked else 2_000
    usage = {"prompt_tokens": 1000, "completion_tokens": long, "total_tokens": 1000 + long}
    text = f'<think>\nThey want {{"accept": false}}, or not?\n</think>\n\n{GOOD}'
    await says(message(content=text, usage=usage))(writer, asked)


async def llama_cpp(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
    """It refuses a schema that it does not know, or cannot make a grammar of, with status 500, like a fault."""
    if kind(asked) == "json_schema":
        because = 'response_format type must be one of "text" or "json_object", but got: json_schema'
        refused = {"error": {"code": 500, "message": because, "type": "server_error"}}
        await says(refused, "500 Internal Server Error")(writer, asked)
        return
    await says(message(content=GOOD, reasoning_content="Let me see."))(writer, asked)


async def vllm(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
    """An error is not nested; the reply to a schema comes as reasoning, and `content` is null."""
    if "max_completion_tokens" in asked:
        because = "[{'type': 'extra_forbidden', 'loc': ('body', 'max_completion_tokens'), 'msg': 'Extra inputs'}]"
        refused = {"object": "error", "message": because, "type": "BadRequestError", "param": None, "code": 400}
        await says(refused, "400 Bad Request")(writer, asked)
        return
    await says(message(content=None, reasoning_content=GOOD, tool_calls=[]))(writer, asked)


async def lm_studio(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
    """An error is a text, and it knows a schema or nothing."""
    if kind(asked) is not None:
        await says({"error": "'response_format.type' must be 'text'"}, "400 Bad Request")(writer, asked)
        return
    await says(message(content=GOOD, usage={}))(writer, asked)


SERVERS = [
    ("ollama", ollama, 3, "json_schema max_tokens", ["json_schema"] * 3),
    ("llama.cpp", llama_cpp, 4, "json_object", ["json_schema"] + ["json_object"] * 3),
    ("vLLM", vllm, 4, "json_schema max_tokens", ["json_schema"] * 4),
    ("LM Studio", lm_studio, 5, "text", ["json_schema", "json_object", None, None, None]),
]


@pytest.mark.parametrize(("name", "server", "requests", "manner", "kinds"), SERVERS, ids=[s[0] for s in SERVERS])
def test_a_server_is_found_out_once_and_remembered_across_runs(
    tmp_path: Path, name: str, server: Handler, requests: int, manner: str, kinds: list[str | None]
) -> None:
    url = "http://a.server/v1"
    first = play(server, asks=3)
    assert isinstance(first.found, JudgeReply), first.found
    assert (len(first.server.asked), [kind(asked) for asked in first.server.asked]) == (requests, kinds)
    assert list(first.journal.calls.values())[-1].mode == manner
    for asked in first.server.asked:
        # Models that reason refuse these.
        assert not {"temperature", "seed", "top_p"} & set(asked)

    with KnowledgeBase.open(tmp_path / "k.db") as kb:
        panel = random_panel()
        kb.register_dataset(panel)
        run = kb.create_run(panel.id, RunConfig(base_url=url, llm="openai"), 1)
        for call in first.journal.calls.values():
            kb.journal(run.id).record(call)
        known = kb.known_modes(url)
        assert known == {"m": manner}
        assert kb.known_modes(url, "responses") == {}

    second = play(server, asks=2, modes=known)
    assert isinstance(second.found, JudgeReply)
    assert [kind(asked) for asked in second.server.asked] == kinds[-2:]
    assert len(second.server.asked) == 2


def test_calls_side_by_side_find_a_server_out_once() -> None:
    def answer(asked: dict[str, Any]) -> Any:
        return completion(GOOD) if kind(asked) == "json_object" else error(400, "no json_schema here")

    server = Transport(answer)
    model = model_of(server)

    async def many() -> None:
        await asyncio.gather(*(model.ask(f"k{i}", "judge", "s", "u", JudgeReply) for i in range(6)))

    asyncio.run(many())
    assert [kind(asked) for asked in server.asked] == ["json_schema"] + ["json_object"] * 6


def test_responses_are_asked_for_in_their_own_words_and_nothing_is_kept() -> None:
    async def picky(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
        form = asked.get("text", {}).get("format", {}).get("type")
        if form == "json_schema":
            await says({"error": {"message": "text.format: no"}}, "400 Bad Request")(writer, asked)
            return
        await reply(body_of(GOOD))(writer, asked)

    outcome = play(picky, asks=2, api="responses")
    assert isinstance(outcome.found, JudgeReply)
    strict, loose, again = outcome.server.asked
    assert strict["text"]["format"]["strict"] is True
    assert set(strict["text"]["format"]["schema"]["required"]) == set(JudgeReply.model_fields)
    assert [one["text"]["format"]["type"] for one in (loose, again)] == ["json_object", "json_object"]
    for asked in outcome.server.asked:
        assert (asked["store"], asked["max_output_tokens"]) == (False, 500)
        assert [one["role"] for one in asked["input"]] == ["system", "user"]
        assert not {"messages", "response_format", "temperature", "seed", "previous_response_id"} & set(asked)
    assert outcome.model.budget.usd == pytest.approx(2 * (1000 * 1 + 100 * 10) / 1e6)


@pytest.mark.parametrize("status", ["failed", "in_progress"])
def test_a_response_that_is_none_yet_is_lost(status: str) -> None:
    with pytest.raises(Lost, match=f"{status}: overloaded"):
        read_response({"status": status, "output": [], "error": {"code": "server_error", "message": "overloaded"}})


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "load", "abort", None, 7])
def test_other_reasons_to_finish_are_no_cut(finish: object) -> None:
    document = message(content=GOOD)
    document["choices"][0]["finish_reason"] = finish
    assert not read_chat(document).cut


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"),
        ({"content": None, "reasoning": "first I think of {"}, ""),
        ({"content": "", "reasoning": GOOD}, GOOD),
        ({"content": {"odd": 1}}, ""),
        ({}, ""),
    ],
)
def test_texts_in_odd_places(fields: dict[str, Any], text: str) -> None:
    assert read_chat(message(**fields)).text == text


@pytest.mark.parametrize("usage", [None, [], {"prompt_tokens": "12"}, {"prompt_tokens": -1}, {"prompt_tokens": True}])
def test_odd_usage_is_unknown(usage: object) -> None:
    document = {**message(content=GOOD), "usage": usage}
    assert read_chat(document).prompt_tokens is None


def test_cached_tokens_cost_what_they_cost() -> None:
    prices = Prices(1.0, 10.0, 0.25)
    assert prices.cost(1000, 100, 800) == pytest.approx((200 * 1 + 800 * 0.25 + 100 * 10) / 1e6)
    assert prices.cost(1000, 100, 5000) == pytest.approx((1000 * 0.25 + 100 * 10) / 1e6)
    assert prices.cost(1000, 100, None) == pytest.approx(prices.cost(1000, 100))
    assert prices.cost(None, 100, 800) is None
    # Without a price of their own, they cost no less than the bill will say.
    assert Prices(1.0, 10.0).cost(1000, 100, 800) == pytest.approx(2000 / 1e6)
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 800}}
    assert read_chat(message(content=GOOD, usage=usage)).cached_tokens == 800
    usage = {"input_tokens": 1000, "output_tokens": 100, "input_tokens_details": {"cached_tokens": 800}}
    assert read_response({"status": "completed", "output": [], "usage": usage}).cached_tokens == 800
    server = Transport(lambda _: completion(GOOD))
    model = model_of(server, prices=prices)
    asyncio.run(model.ask("k", "judge", "s", "u", JudgeReply))
    assert model.budget.usd == pytest.approx(0.002)
