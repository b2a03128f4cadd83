"""The fault matrix: a local server that misbehaves in every way, behind the real client over real sockets.

Through Chat Completions and through Responses alike. For each fault: what came of the call, how many requests were
made, what was counted. None loses or double-counts.
"""

from __future__ import annotations

import asyncio
import json
import random
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import openai
import pytest

from agent.knowledge.run_config import Bounds
from agent.llm.budget import Budget, BudgetReached
from agent.llm.openai_connection import retry_after
from agent.llm.patience import Circuit, RetryRules
from agent.mining.replies import JudgeReply
from market.errors import InputError, Rejection
from tests.agent.scripted_server import (
    PRICES,
    Body,
    Handler,
    body_of,
    cut_off,
    drip,
    fault,
    nothing_in_it,
    play,
    reply,
    silence,
    spent,
)
from tests.agent.test_llm_client import GOOD

ANSWER = reply(body_of(GOOD))


@pytest.fixture(params=["chat", "responses"])
def api(request: pytest.FixtureRequest) -> str:
    """Each API in turn."""
    return str(request.param)


@pytest.mark.parametrize(
    ("name", "acts", "expected"),
    [
        ("rate limit", [fault("429 Too Many Requests")], (2, 1, 0)),
        ("rate limit, with its wait", [fault("429 Too Many Requests", retry_after="0")], (2, 1, 0)),
        ("server error", [fault("500 Internal Server Error")], (2, 1, 0)),
        ("timed out at the server", [fault("408 Request Timeout")], (2, 1, 0)),
        ("an error as an answer", [reply(b'{"error": {"message": "busy"}}')], (2, 1, 1)),
        ("nested too deeply", [reply(b"[" * 200_000)], (2, 1, 1)),
        ("overloaded", [fault("503 Service Unavailable", retry_after_ms="1")], (2, 1, 0)),
        ("reset in mid-body", [cut_off(body_of(GOOD))], (2, 1, 1)),
        ("truncated JSON", [reply(body_of(GOOD), less=40)], (2, 1, 1)),
        ("a page", [reply(b"<html>busy</html>", content_type="text/html")], (2, 1, 1)),
        ("no choices at all", [reply(b'{"object": "error"}')], (2, 1, 1)),
        ("thinking before it", [reply(body_of(f"<think>is it {{so}}?</think>\n{GOOD}"))], (1, 1, 0)),
        ("fences without end", [reply(body_of("```{" * 40_000))], (2, 2, 0)),
        ("fenced", [reply(body_of(f"```json\n{GOOD}\n```"))], (1, 1, 0)),
        ("wrong schema", [reply(body_of('{"accept": "perhaps"}'))], (2, 2, 0)),
        ("truncated reply", [reply(body_of(GOOD[:30], finish="length"))], (2, 2, 0)),
        ("empty choices", [reply(nothing_in_it)], (2, 2, 0)),
        ("null content", [reply(body_of(None))], (2, 2, 0)),
        ("Unicode junk", [reply(body_of("\ud800\u0000\u202e{]"))], (2, 2, 0)),
        ("five megabytes", [reply(body_of("x" * 5_000_000))], (2, 2, 0)),
        ("schema unsupported", [fault("400 Bad Request")], (2, 1, 0)),
        ("neither schema nor object", [fault("400 Bad Request"), fault("422 Unprocessable Entity")], (3, 1, 0)),
    ],
)
def test_a_fault_that_passes_costs_what_it_cost(
    api: str, name: str, acts: list[Handler], expected: tuple[int, int, int]
) -> None:
    outcome = play(*acts, ANSWER, api=api)
    assert isinstance(outcome.found, JudgeReply), f"{name}: {outcome.found}"
    assert spent(outcome) == expected
    for call in outcome.journal.calls.values():
        call.response.encode()
        assert len(call.response) <= 200_000


@pytest.mark.parametrize(
    ("name", "act", "says", "requests"),
    [
        ("wrong key", fault("401 Unauthorized"), "check OPENAI_API_KEY", 1),
        ("forbidden", fault("403 Forbidden"), "rights", 1),
        ("unknown model", fault("404 Not Found"), "--model", 1),
        ("no quota", fault("429 Too Many Requests", "insufficient_quota"), "quota", 1),
        ("an hour's wait", fault("429 Too Many Requests", retry_after="3600"), "asks to wait 3600 s", 1),
        ("unpaid", fault("402 Payment Required"), "account", 1),
        (
            "a prompt too long",
            reply(b'{"error": {"message": "This model\'s maximum context length is 99"}}', "400 Bad Request"),
            "reply_tokens",
            1,
        ),
        ("down for good", fault("503 Service Unavailable"), "go on later", 3),
        ("always cut off", cut_off(body_of(GOOD)), "breaks off", 3),
        ("never JSON", reply(b"{"), "no JSON", 3),
        ("refused in every form", fault("400 Bad Request"), "is --model right", 3),
    ],
)
def test_a_fault_that_stays_ends_in_words(api: str, name: str, act: Handler, says: str, requests: int) -> None:
    outcome = play(act, api=api)
    assert isinstance(outcome.found, InputError), name
    assert says in str(outcome.found)
    assert "sk-very-secret" not in str(outcome.found)
    assert len(outcome.server.asked) == requests
    assert outcome.journal.calls == {}
    spent(outcome)


@pytest.mark.parametrize("before", [0, 180, 192, 199])
def test_a_key_that_the_server_repeats_is_not_shown(api: str, before: int) -> None:
    # Wherever the message is cut, no part of the key is left.
    text = "x" * before + " Incorrect API key: sk-very-secret\x1b[31m"
    body = json.dumps({"error": {"message": text, "code": None}}).encode()
    outcome = play(reply(body, "401 Unauthorized"), api=api)
    assert isinstance(outcome.found, InputError)
    assert "sk-v" not in str(outcome.found)
    assert "sk-v" not in "".join(traceback.format_exception(outcome.found))
    assert "\x1b" not in str(outcome.found)
    assert ("***" in str(outcome.found)) == (before == 0)


def test_a_key_in_a_reply_is_neither_kept_nor_shown(api: str) -> None:
    echo = GOOD.replace("fine", "fine, sk-very-secret")
    outcome = play(reply(body_of(echo)), api=api)
    assert isinstance(outcome.found, JudgeReply)
    assert outcome.found.critique == "fine, ***"
    assert "sk-very-secret" not in outcome.journal.calls["k0/1"].response


@pytest.mark.parametrize("act", [silence(70), drip(100)], ids=["silence", "a drip"])
def test_time_runs_out_for_a_server_that_is_silent_or_drips(api: str, act: Handler) -> None:
    outcome = play(act, ANSWER, timeout=60.0, deadline_s=90.0, api=api)
    assert isinstance(outcome.found, JudgeReply)
    assert spent(outcome) == (2, 1, 1)


def test_missing_usage_is_unknown_in_the_record_and_the_worst_in_the_budget(api: str) -> None:
    outcome = play(reply(body_of(GOOD, usage=False)), api=api)
    assert outcome.journal.calls["k0/1"].cost_usd is None
    assert outcome.journal.calls["k0/1"].prompt_tokens is None
    assert outcome.model.budget.uncounted == 1
    assert outcome.model.budget.usd >= 500 * 10 / 1e6


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (body_of(None, refusal="no"), "no"),
        (body_of("some of it", finish="content_filter"), "some of it"),
        (body_of(None, finish="content_filter"), "withheld"),
    ],
    ids=["refused", "filtered", "filtered whole"],
)
def test_a_refusal_is_data(api: str, said: Body, words: str) -> None:
    outcome = play(reply(said), api=api)
    assert isinstance(outcome.found, Rejection)
    assert (outcome.found.code, words in outcome.found.message) == ("refused", True)
    assert spent(outcome) == (1, 1, 0)


def test_the_bound_on_a_reply_goes_by_the_name_that_the_server_knows() -> None:
    def pick(asked: dict[str, Any]) -> Handler:
        if "max_completion_tokens" in asked:
            said = {"error": {"message": "Unrecognized request argument: max_completion_tokens", "code": None}}
            return reply(json.dumps(said).encode(), "400 Bad Request")
        return ANSWER

    async def act(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
        await pick(asked)(writer, asked)

    outcome = play(act, asks=2)
    assert isinstance(outcome.found, JudgeReply)
    assert [("max_tokens" in a, a["response_format"]["type"]) for a in outcome.server.asked] == [
        (False, "json_schema"),
        (True, "json_schema"),
        (True, "json_schema"),
    ]


def test_the_next_model_is_asked_when_one_can_no_longer_answer() -> None:
    async def act(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
        await (fault("404 Not Found") if asked["model"] == "old" else ANSWER)(writer, asked)

    said: list[str] = []
    outcome = play(act, asks=2, models=("old", "new"), note=said.append)
    assert isinstance(outcome.found, JudgeReply)
    assert [a["model"] for a in outcome.server.asked] == ["old", "new", "new"]
    assert {call.model for call in outcome.journal.calls.values()} == {"new"}
    assert "going on with new" in said[0]
    spent(outcome)


def test_calls_under_way_are_counted_at_their_worst() -> None:
    # Each call may take 500 reply tokens at 10 dollars a million: half a cent, and a little for its prompt.
    async def go() -> tuple[int, float]:
        budget = Budget(Bounds(usd=0.0175))
        one = budget.worst_of(400, 500, PRICES)
        for _ in range(3):
            budget.reserve(one)
        with pytest.raises(BudgetReached, match=r"\$0\.0175"):
            budget.reserve(one)
        budget.settle(one, 400, 100, 50, PRICES.cost(100, 50))
        budget.reserve(one)
        return len(budget.under_way), budget.usd

    flying, usd = asyncio.run(go())
    assert flying == 3
    assert usd == pytest.approx(0.0006)


def test_bounds_of_tokens_and_time() -> None:
    now = [0.0]
    budget = Budget(Bounds(tokens=1300, seconds=60), clock=lambda: now[0])
    worst = budget.worst_of(200, 500, None)
    budget.reserve(worst)
    budget.reserve(worst)
    with pytest.raises(BudgetReached, match="1300 tokens"):
        budget.reserve(worst)
    budget.release(worst)
    budget.lose(worst)
    assert (budget.tokens, budget.lost) == (601, 1)
    now[0] = 61.0
    with pytest.raises(BudgetReached, match="60 seconds"):
        budget.reserve(worst)


def test_a_server_that_counts_more_tokens_than_bytes_allow_is_believed() -> None:
    budget = Budget()
    worst = budget.worst_of(1000, 10, None)
    budget.reserve(worst)
    budget.settle(worst, 1000, 900, 5, None)
    assert budget.worst_of(1000, 10, None).prompt >= 900


def test_retry_after_is_read_as_seconds_milliseconds_or_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def said(**headers: str) -> float | None:
        response = httpx2.Response(
            429,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            request=httpx2.Request("POST", "http://x"),
        )
        return retry_after(openai.RateLimitError("x", response=response, body=None), now)

    assert said(retry_after="7") == 7.0
    assert said(retry_after_ms="250", retry_after="9") == 0.25
    assert said(retry_after=format_datetime(now + timedelta(seconds=90), usegmt=True)) == 90.0
    assert said(retry_after=format_datetime(now - timedelta(seconds=90), usegmt=True)) == 0.0
    assert said(retry_after="soon") is None
    assert said() is None


def test_pauses_grow_and_do_not_coincide() -> None:
    patience, rng = RetryRules(tries=6, first=1.0, longest=10.0), random.Random(1)
    pauses = [patience.pause(k, rng) for k in range(1, 8)]
    for k, pause in enumerate(pauses):
        assert 0.5 * min(10.0, 2.0**k) <= pause <= min(10.0, 2.0**k)
    assert patience.pause(1, random.Random(2)) != patience.pause(1, random.Random(3))


def test_a_circuit_holds_calls_back_and_lets_one_go_first() -> None:
    async def go() -> tuple[int, list[int]]:
        circuit = Circuit(RetryRules(tries=6, threshold=3, cool_down=0.15))
        for _ in range(3):
            circuit.failed()
        inside, most = 0, []

        async def call() -> None:
            nonlocal inside
            async with circuit.passage(lambda: None):
                inside += 1
                most.append(inside)
                await asyncio.sleep(0.01)
                inside -= 1
                circuit.succeeded()

        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(call() for _ in range(4)))
        assert asyncio.get_running_loop().time() - started >= 0.15
        return circuit.opened, most

    opened, most = asyncio.run(go())
    assert opened == 1
    assert max(most) == 1


def test_a_wish_to_stop_is_heard_while_waiting() -> None:
    class Stop(Exception):
        pass

    async def go() -> float:
        from agent.llm.patience import wait

        asked = iter([False, True])
        started = asyncio.get_running_loop().time()

        def interrupted() -> None:
            if next(asked):
                raise Stop

        with pytest.raises(Stop):
            await wait(30.0, interrupted)
        return asyncio.get_running_loop().time() - started

    assert asyncio.run(go()) < 2.0
