"""Replies are read as people would read them, in whatever form a server gives them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.knowledge.records import NewCall, request_hash
from agent.llm.answer import Answer
from agent.llm.forms import read_reply
from agent.mining.replies import JudgeReply, Proposal, Proposals
from market.errors import Rejection
from tests.agent.test_llm_client import GOOD, MemoryJournal, Server, ask, completion, model_of

WRITTEN = {"rationale": "r", "name": "n", "expression": "-ts_returns(close, 5)", "parents": []}


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": 10**30, "completion_tokens": 5}, {"prompt_tokens": 0, "completion_tokens": 0}]
)
def test_counts_that_are_none_are_unknown(usage: dict[str, int]) -> None:
    body = json.loads(completion(GOOD).content)
    model = model_of(Server({**body, "usage": usage}))
    assert isinstance(ask(model), JudgeReply)
    assert model.journal.calls["k/1"].prompt_tokens is None  # type: ignore[attr-defined]
    assert model.budget.uncounted == 1
    assert model.budget.tokens > 4000


def reply_of(text: str, reply: type[Any]) -> Any:
    request = "[]"
    call = NewCall("", "k", "r", "m", "json_schema", request_hash("m", request), request, text, "ok", 1, 1, 0.0, 0.0)
    return read_reply(MemoryJournal().record(call), reply)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(WRITTEN)[:-1] + ",}",
        str(WRITTEN),
        json.dumps({"factor": WRITTEN}),
        json.dumps({"factors": [WRITTEN]}),
        json.dumps({"name": "propose", "arguments": json.dumps(WRITTEN)}),
        f"{json.dumps(WRITTEN)}\nHere {{close}} stands for the price.",
        f"The form {{name, expression}} is kept:\n```json\n{json.dumps(WRITTEN)}\n```",
        "{rationale: 'It\\'s the coin\\'s turn', name: 'n', expression: '-ts_returns(close, 5)', parents: [],}",
        '{"rationale": "two\nlines", "name": "n", "expression": "-ts_returns(close, 5)", // so\n "parents": []}',
    ],
)
def test_replies_are_read_as_people_would(text: str) -> None:
    found = reply_of(text, Proposal)
    assert isinstance(found, Proposal), found
    assert found.expression == "-ts_returns(close, 5)"


def test_one_proposal_stands_for_a_list_of_one_and_junk_for_nothing() -> None:
    found = reply_of(json.dumps(WRITTEN), Proposals)
    assert isinstance(found, Proposals)
    assert len(found.proposals) == 1
    for junk in ("{" * 5000, "{'a': " * 300, '{"rationale": "x" "name": "y"}', "{'name': 'n", "{}", "[]", "{1: 2}"):
        assert isinstance(reply_of(junk, Proposal), Rejection)


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "tool_calls": [{"function": {"name": "x", "arguments": GOOD}}]},
        {"content": " ", "function_call": {"name": "x", "arguments": GOOD}},
        {"content": "", "reasoning_content": f"Let me think.\n```json\n{GOOD}\n```\nYes."},
    ],
)
def test_a_reply_may_come_as_a_call_of_a_tool_or_in_reasoning(message: dict[str, Any]) -> None:
    model = model_of(Server({"choices": [{"message": message, "finish_reason": "stop"}]}))
    assert isinstance(ask(model), JudgeReply)


def test_a_real_answer_keeps_what_the_cache_had() -> None:
    body = json.loads(completion(GOOD).content)
    body["usage"]["prompt_tokens_details"] = {"cached_tokens": 750}
    model = model_of(Server(body))
    ask(model)
    assert model.budget.cache_sentence() == "the server had read 750 of 1,000 prompt tokens before (75%)"
    assert Answer("x").cached_tokens is None
