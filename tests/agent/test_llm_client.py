"""The client against servers of every temper, played by a transport behind the real openai client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import openai
import pytest

from agent.knowledge.records import CallRecord, NewCall
from agent.knowledge.run_config import Bounds
from agent.llm.budget import Budget, BudgetReached, Prices
from agent.llm.client import LanguageModel, ModelName, Speaking
from agent.llm.openai_connection import OpenAIConnection
from agent.llm.patience import RetryRules
from agent.mining.replies import JudgeReply
from market.errors import InputError, Rejection

GOOD = json.dumps({"decision": "accept", "score": 7, "critique": "fine", "suggestion": ""})


class MemoryJournal:
    """A journal in memory."""

    def __init__(self) -> None:
        self.calls: dict[str, CallRecord] = {}
        self.lost: list[tuple[str, str, str, str]] = []

    def find(self, key: str) -> CallRecord | None:
        return self.calls.get(key)

    def record(self, call: NewCall) -> CallRecord:
        self.calls[call.key] = CallRecord(**call.to_dict())  # type: ignore[arg-type]
        return self.calls[call.key]

    def lose(self, key: str, role: str, model: str, request: str) -> None:
        self.lost.append((key, role, model, request))


class Server:
    """Answers from a queue (the last answer repeats) and remembers what it was asked."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(json.loads(request.content))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer(self.asked[-1])
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx2.Response):
            return answer
        return completion(answer) if isinstance(answer, str) else httpx2.Response(200, json=answer)


def completion(text: str | None, finish: str = "stop", refusal: str | None = None) -> httpx2.Response:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }
    return httpx2.Response(200, json=body)


def error(status: int, message: str = "no") -> httpx2.Response:
    return httpx2.Response(status, json={"error": {"message": message, "type": "x", "code": None}})


def model_of(server: Callable[[httpx2.Request], httpx2.Response], **options: Any) -> LanguageModel:
    client = openai.AsyncOpenAI(
        base_url="http://server.invalid/v1",
        api_key="k",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(server)),
    )
    models = [ModelName("m", options.pop("prices", None)), *(ModelName(name) for name in options.pop("fallback", ()))]
    patience = RetryRules(tries=3, first=0.0, cool_down=0.0)
    options = {"budget": Budget(), "journal": MemoryJournal(), "patience": patience, "reply_tokens": 4000, **options}
    connection = OpenAIConnection(client, options.pop("api", "chat"))
    return LanguageModel(connection, Speaking(models=models, **options))


def ask(model: LanguageModel, key: str = "k", user: str = "judge this") -> JudgeReply | Rejection:
    return asyncio.run(model.ask(key, "judge", "system", user, JudgeReply))


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"Sure! Here you go:\n{GOOD}\nAnything else?",
        f"\n\n {GOOD} ",
    ],
)
def test_plain_fenced_and_chatty_replies_are_read(text: str) -> None:
    model = model_of(Server(text))
    reply = ask(model)
    assert isinstance(reply, JudgeReply)
    assert reply.score == 7
    assert len(model.journal.calls) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("no json at all", "no JSON"),
        ('{"decision": "accept", "score": 11, "critique": "", "suggestion": ""}', "score"),
        ('{"decision": "accept"}', "score"),
        (GOOD[:-9], "JSON"),
        ("", "no JSON"),
    ],
)
def test_one_repair_turn_says_what_was_wrong(bad: str, says: str) -> None:
    server = Server(bad, GOOD)
    assert isinstance(ask(model_of(server)), JudgeReply)
    assert says in server.asked[1]["messages"][-1]["content"]
    assert len(server.asked) == 2


def test_a_reply_that_stays_bad_is_data_not_an_exception() -> None:
    server = Server("nonsense")
    found = ask(model_of(server))
    assert isinstance(found, Rejection)
    assert (found.stage, found.code, len(server.asked)) == ("reply", "bad_json", 2)


def test_cut_off_twice_is_truncated() -> None:
    found = ask(model_of(Server(lambda _: completion(GOOD[:20], finish="length"))))
    assert isinstance(found, Rejection)
    assert found.code == "truncated"


def test_a_refusal_is_not_argued_with() -> None:
    server = Server(lambda _: completion(None, refusal="I cannot help with that"))
    found = ask(model_of(server))
    assert isinstance(found, Rejection)
    assert found.code == "refused"
    assert "cannot help" in found.message
    assert len(server.asked) == 1


def picky(*known: str | None) -> Callable[[dict[str, Any]], httpx2.Response]:
    def answer(asked: dict[str, Any]) -> httpx2.Response:
        kind = asked.get("response_format", {}).get("type")
        return completion(GOOD) if kind in known else error(400, f"response_format {kind} unknown")

    return answer


def test_a_server_without_schemas_is_found_out_once_and_remembered() -> None:
    server = Server(picky(None))
    model = model_of(server)
    assert isinstance(ask(model, "a"), JudgeReply)
    assert isinstance(ask(model, "b"), JudgeReply)
    kinds = [asked.get("response_format", {}).get("type") for asked in server.asked]
    assert kinds == ["json_schema", "json_object", None, None]
    # What the form cannot demand, the prompt asks for.
    assert "critique" in server.asked[-1]["messages"][-1]["content"]
    assert model.journal.calls["a/1"].mode == "text"  # type: ignore[attr-defined]


def test_a_schema_goes_out_with_bounds_and_without_them_where_they_are_refused() -> None:
    def answer(asked: dict[str, Any]) -> httpx2.Response:
        known = "maxLength" not in json.dumps(asked)
        return completion(GOOD) if known else error(400, "Invalid schema: 'maxLength' is not permitted.")

    server = Server(answer)
    model = model_of(server)
    ask(model, "a")
    ask(model, "b")
    first, *others = (asked["response_format"]["json_schema"] for asked in server.asked)
    assert first["schema"]["properties"]["critique"]["maxLength"] <= 500
    assert [schema["schema"] == others[0]["schema"] for schema in others] == [True, True]
    assert model.journal.calls["b/1"].mode == "json_schema_plain"  # type: ignore[attr-defined]
    schema = others[0]
    assert schema["strict"] is True
    assert schema["schema"]["additionalProperties"] is False
    assert not {"maximum", "maxLength"} & set(json.dumps(schema).split('"'))
    # A model commits in the order of the fields.
    fields = list(first["schema"]["properties"])
    assert fields.index("critique") < fields.index("score") < fields.index("decision")
    assert set(schema["schema"]["required"]) == set(JudgeReply.model_fields)
    assert "null" in json.dumps(schema["schema"]["properties"]["passes"])


@pytest.mark.parametrize(
    ("status", "says"),
    [(401, "key"), (403, "rights"), (404, "--model"), (429, "resume"), (500, "resume"), (400, "--model")],
)
def test_what_only_a_person_can_repair_is_said_in_a_line(status: int, says: str) -> None:
    model = model_of(Server(lambda _: error(status, "because")))
    with pytest.raises(InputError, match=says) as caught:
        ask(model)
    assert "because" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (model.budget.calls, model.budget.under_way) == (0, [])


def test_an_unreachable_server_is_named() -> None:
    with pytest.raises(InputError, match=r"server\.invalid.*reached"):
        ask(model_of(Server(httpx2.ConnectError("refused"))))


def test_a_passing_fault_is_waited_out() -> None:
    server = Server(lambda _: error(429), lambda _: error(503), GOOD)
    assert isinstance(ask(model_of(server)), JudgeReply)
    assert len(server.asked) == 3


def test_no_call_is_made_past_the_budget_of_calls() -> None:
    server = Server("nonsense")
    model = model_of(server, budget=Budget(Bounds(calls=3)))
    ask(model, "a")
    with pytest.raises(BudgetReached, match="3 calls"):
        ask(model, "b")
    assert len(server.asked) == 3
    assert len(model.journal.calls) == 3  # type: ignore[attr-defined]


def test_no_call_is_made_that_would_go_past_the_dollars() -> None:
    # 1000 tokens in and 100 out at 1 and 10 dollars a million: 0.002 a call.
    server = Server(GOOD)
    model = model_of(server, budget=Budget(Bounds(usd=0.005)), prices=Prices(1.0, 10.0), reply_tokens=100)
    ask(model, "a")
    ask(model, "b")
    with pytest.raises(BudgetReached, match="spent"):
        ask(model, "c")
    assert model.budget.usd == pytest.approx(0.004)
    assert model.journal.calls["a/1"].cost_usd == pytest.approx(0.002)  # type: ignore[attr-defined]


def test_calls_side_by_side_keep_the_budget() -> None:
    server = Server(GOOD)
    model = model_of(server, budget=Budget(Bounds(calls=4)))

    async def many() -> list[object]:
        asked = (model.ask(f"k{i}", "judge", "s", "u", JudgeReply) for i in range(10))
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(many())
    assert sum(isinstance(f, JudgeReply) for f in found) == len(server.asked) == 4
    assert sum(isinstance(f, BudgetReached) for f in found) == 6


def test_a_model_without_a_price_has_an_unknown_cost() -> None:
    model = model_of(Server(GOOD))
    ask(model)
    assert model.journal.calls["k/1"].cost_usd is None  # type: ignore[attr-defined]


def test_what_was_paid_for_is_replayed_without_a_server() -> None:
    journal = MemoryJournal()
    ask(model_of(Server("bad", GOOD), journal=journal))
    again = model_of(Server(httpx2.ConnectError("down")), journal=journal, budget=Budget(Bounds(calls=0)))
    assert isinstance(ask(again), JudgeReply)


def test_a_reply_to_another_prompt_is_not_replayed_silently() -> None:
    journal = MemoryJournal()
    ask(model_of(Server(GOOD), journal=journal))
    with pytest.raises(InputError, match="another prompt"):
        ask(model_of(Server(GOOD), journal=journal), user="something else")


def test_a_wish_to_stop_comes_before_the_call() -> None:
    server = Server(GOOD)

    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        ask(model_of(server, before_call=stop))
    assert server.asked == []


def test_a_journalled_call_holds_prompt_reply_and_tokens() -> None:
    model = model_of(Server(GOOD))
    ask(model)
    call = model.journal.calls["k/1"]  # type: ignore[attr-defined]
    assert json.loads(call.request)[1]["content"] == "judge this"
    assert (call.response, call.prompt_tokens, call.completion_tokens, call.status) == (GOOD, 1000, 100, "ok")
    assert replace(call, key="other").key == "other"
