"""One policy for what goes wrong with a server: each fault has its sentence, no call is paid twice, none is silent."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from agent.knowledge.records import NewCall, request_hash
from agent.llm.addresses import warnings_about
from agent.llm.cassette import load_cassette, start_recording
from agent.llm.client import Halt, LanguageModel, ModelName, Speaking
from agent.llm.fault_words import broken
from agent.llm.faults import CallFault
from agent.llm.http_guard import guarded_client
from agent.llm.openai_connection import OpenAIConnection, connect_to, fault_of, retry_after
from agent.llm.patience import RetryRules
from agent.llm.prompt_room import PromptMeter, find_room
from agent.llm.server_keys import key_for
from agent.mining.replies import JudgeReply
from agent.study.settings import load_settings
from market.errors import InputError, Rejection
from tests.agent.test_llm_client import GOOD, MemoryJournal, Server, ask, completion, error, model_of


def guarded(server: Callable[[httpx2.Request], httpx2.Response], **options: Any) -> LanguageModel:
    """A model behind the client that real servers are asked by, with a transport in the network's place."""
    client = connect_to("http://server.invalid/v1", "sk-very-secret", httpx2.MockTransport(server))
    options = {
        "journal": MemoryJournal(), "patience": RetryRules(tries=2, first=0.0, cool_down=0.0), "reply_tokens": 500,
        **options,
    }  # fmt: skip
    budget = model_of(Server(GOOD)).budget
    return LanguageModel(OpenAIConnection(client), Speaking(models=[ModelName("m")], budget=budget, **options))


def body_sent(body: bytes, packing: str = "identity") -> Callable[[object], httpx2.Response]:
    """A reply whose body is on its way yet when it comes."""
    headers = {"content-encoding": packing}
    return lambda _asked: httpx2.Response(200, stream=httpx2.ByteStream(body), headers=headers)


def spoken_of(reply: object) -> str:
    server = Server(reply)
    with pytest.raises(InputError) as caught:
        ask(guarded(server))
    return str(caught.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": {"message": "bad key"}}),
        (402, {"error": {"message": "pay"}}),
        (403, {"error": {"message": "not you"}}),
        (404, {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}}),
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
        (400, {"error": {"message": "Your credit balance is too low to access the API"}}),
        (400, {"error": {"message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}),
        (200, {"error": {"message": "Insufficient credits", "code": 402}}),
    ],
)
def test_the_first_hopeless_answer_ends_the_calls_of_all(status: int, body: dict[str, Any]) -> None:
    server, halt = Server(httpx2.Response(status, json=body)), Halt()
    writer, judge = guarded(server, halt=halt), guarded(server, halt=halt)

    async def many() -> list[object]:
        asked = [model.ask(f"k{i}", "judge", "s", "u", JudgeReply) for i in range(8) for model in (writer, judge)]
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(many())
    assert all(isinstance(one, InputError) for one in found)
    # Writer and judge may each have one on its way when the first answer comes.
    assert len(server.asked) <= 2


def test_every_wait_is_said_as_it_begins() -> None:
    said: list[str] = []
    server = Server(error(503, "overloaded"), httpx2.ReadTimeout("slow"), GOOD)
    model = model_of(server, note=said.append)
    assert isinstance(ask(model), JudgeReply)
    assert len(said) == 2
    assert "overloaded (try 1 of 3, after" in said[0]
    assert "not billed" in said[0]
    assert "did not answer in time (try 2 of 3" in said[1]
    assert "may have been billed, at most 4," in said[1]


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (httpx2.Response(307, headers={"location": "http://elsewhere.invalid/v1"}), "redirects to http://elsewhere"),
        (httpx2.Response(200, text="<html><title>Sign in</title></html>"), "a web page ('Sign in')"),
        (httpx2.Response(200, text='data: {"choices": []}\n\n'), "a stream of events"),
        (httpx2.Response(200, text=""), "it is empty"),
        (body_sent(b"\x1f\x8bno", "gzip"), "damaged"),
        (body_sent(gzip.compress(b"{}")[:-4], "gzip"), "breaks off"),
        (body_sent(b"x", "br"), "packed as 'br'"),
        (body_sent(b"x" * 17_000_000), "without end"),
        (body_sent(gzip.compress(b"0" * 17_000_000), "gzip"), "without end"),
        (httpx2.Response(200, json={"choices": [], "error": {"message": "upstream", "code": 502}}), "upstream"),
        (httpx2.Response(200, json={"choices": [{"error": {"message": "busy", "code": 502}}]}), "busy"),
        (httpx2.Response(429, json={"error": {"message": "slow"}}, headers={"retry-after": "1e300"}), "asks to wait"),
    ],
)
def test_each_fault_of_a_body_has_its_sentence(reply: object, says: str) -> None:
    found = spoken_of(reply)
    assert says in found
    assert "\n" not in found


def caused(cause: Exception, outer: type[Exception] = httpx2.ConnectError) -> openai.APIConnectionError:
    request = httpx2.Request("POST", "http://s.invalid/v1")
    failed = openai.APIConnectionError(request=request)
    failed.__cause__ = outer("it failed")
    failed.__cause__.__cause__ = cause
    return failed


def test_each_fault_of_the_network_has_its_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    untrusted = ssl.SSLCertVerificationError("x")
    untrusted.verify_message = "self-signed certificate"
    url = "https://s.invalid/v1"
    assert "DNS" in str(broken(caused(socket.gaierror(-2, "Name or service not known")), url, "").words)
    assert "nothing listens" in str(broken(caused(ConnectionRefusedError(111, "refused")), url, "").words)
    assert "self-signed" in str(broken(caused(untrusted), url, "").words)
    assert "http:// and not https://" in str(broken(caused(ssl.SSLError(1, "WRONG_VERSION_NUMBER")), url, "").words)
    short = httpx2.RemoteProtocolError(
        "peer closed connection without sending complete message body (received 3 bytes)"
    )
    assert "shorter than it announced" in str(broken(caused(short), url, "").words)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:password@proxy.invalid:3128")
    refused = str(broken(caused(httpx2.ProxyError("407")), url, "407").words)
    assert "proxy.invalid:3128" in refused
    assert "password" not in refused


def test_a_wrong_address_is_tried_once_and_a_server_that_answered_before_is_waited_for() -> None:
    lost = httpx2.ConnectError("no")
    lost.__cause__ = socket.gaierror(-2, "Name or service not known")
    server = Server(lost)
    with pytest.raises(InputError, match="DNS"):
        ask(model_of(server))
    assert len(server.asked) == 1
    server = Server(GOOD, lost, GOOD)
    model = model_of(server)
    assert isinstance(ask(model, "a"), JudgeReply)
    assert isinstance(ask(model, "b"), JudgeReply)


LONG = [
    "This model's maximum context length is 8192 tokens. However, you requested 9000",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "Input is too long for requested model.",
    "Please reduce the length of the messages or completion.",
    "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
    "the request exceeds the available context size, try increasing it",
    "`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000",
    "too many tokens: size limit exceeded",
]


@pytest.mark.parametrize("words", LONG)
def test_a_prompt_that_is_too_long_is_sent_again_with_less_in_it(words: str) -> None:
    def answer(asked: dict[str, Any]) -> httpx2.Response:
        return completion(GOOD) if len(asked["messages"][1]["content"]) < 100 else error(400, words)

    server, said = Server(answer), []
    model = model_of(server, note=said.append)
    steps = {1: ("s", "x" * 200), 2: ("s", "x" * 50)}
    for key in ("a", "b"):
        found = asyncio.run(model.ask(key, "judge", "s", "x" * 400, JudgeReply, shorter=steps.get))
        assert isinstance(found, JudgeReply)
    # The second call knows what the model holds, and what was asked is found again by it.
    assert [len(asked["messages"][1]["content"]) for asked in server.asked] == [400, 200, 50, 50]
    assert len(said) == 2
    again = asyncio.run(model.ask("a", "judge", "s", "x" * 400, JudgeReply, shorter=steps.get))
    assert isinstance(again, JudgeReply)
    assert len(server.asked) == 4


def test_a_prompt_that_stays_too_long_is_refused_in_words() -> None:
    server = Server(error(400, LONG[0]))
    with pytest.raises(InputError, match="prompt_tokens"):
        ask(model_of(server))
    assert len(server.asked) == 1


def test_a_prompt_keeps_to_its_room_and_a_server_that_cuts_it_is_noticed() -> None:
    said: list[str] = []
    server = Server(completion(GOOD))
    model = model_of(server, prompt_tokens=1000, note=said.append)
    steps = {1: ("s", "x" * 6000), 2: ("s", "x" * 2500)}
    asyncio.run(model.ask("a", "judge", "s", "x" * 9000, JudgeReply, shorter=steps.get))
    assert [len(asked["messages"][1]["content"]) for asked in server.asked] == [2500]
    model = model_of(server, note=said.append)
    for key in ("a", "b"):
        asyncio.run(model.ask(key, "judge", "s", "x" * 20_000, JudgeReply))
    assert [("cut it" in one) for one in said] == [True]
    # A server that counts only what it had not read before has cut nothing.
    meter = PromptMeter(None)
    assert meter.counted(20_000, 6_000, None) == []
    assert meter.counted(20_100, 50, None) == []


def test_the_room_is_what_the_server_says_of_its_model() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == "/v1/models"
        models = [{"id": "other", "max_model_len": 9000}, {"id": "m", "meta": {"n_ctx_train": 8192, "n_ctx": 4096}}]
        return httpx2.Response(200, json={"data": models})

    def room_of(server: Callable[[httpx2.Request], httpx2.Response], wish: int = 0) -> object:
        client = connect_to("http://server.invalid/v1", "k", httpx2.MockTransport(server))
        return asyncio.run(find_room(OpenAIConnection(client), ["m"], wish, 4000, lambda _text: None))

    assert room_of(answer) == type(room_of(answer))(4096 - 1365, 1365)  # type: ignore[call-arg]
    assert room_of(answer, 700) == type(room_of(answer))(700, 4000)  # type: ignore[call-arg]
    for nothing in (httpx2.Response(404), httpx2.Response(200, text="<html>"), httpx2.Response(200, json=[1])):
        assert room_of(lambda _request, said=nothing: said) == type(room_of(answer))(None, 4000)  # type: ignore[call-arg,misc]


def test_a_filter_that_refuses_is_an_answer() -> None:
    said = {
        "error": {"message": "The response was filtered by our content management policy", "code": "content_filter"}
    }
    found = ask(guarded(Server(httpx2.Response(400, json=said))))
    assert isinstance(found, Rejection)
    assert found.code == "refused"


def test_an_odd_refusal_lowers_no_form_and_a_lowered_form_is_tried_again() -> None:
    strict: list[bool] = []

    def answer(asked: dict[str, Any]) -> httpx2.Response:
        strict.append("response_format" in asked and asked["response_format"]["type"] == "json_schema")
        user = asked["messages"][1]["content"]
        return error(400, "no") if strict[-1] and user in ("odd", "early") else completion(GOOD)

    model = model_of(Server(answer))
    for number, user in enumerate(("fine", "odd", "fine")):
        ask(model, f"a{number}", user)
    assert strict == [True, True, False, True]
    strict.clear()
    model = model_of(Server(answer))
    ask(model, "b0", "early")
    for number in range(1, 28):
        ask(model, f"b{number}", "fine")
    assert strict[:3] == [True, False, False]
    assert strict[-1], "the strict form is used again once it is accepted"


@pytest.mark.parametrize(
    "text", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "nan", "inf", "1e999", "-5e400", "x"]
)
def test_a_wait_that_is_none_is_not_believed(text: str) -> None:
    response = httpx2.Response(429, headers={"retry-after": text}, request=httpx2.Request("POST", "http://x"))
    assert (
        retry_after(openai.RateLimitError("x", response=response, body=None), datetime(2026, 1, 1, tzinfo=UTC)) is None
    )


def test_a_key_goes_only_to_the_server_that_it_is_meant_for() -> None:
    known = {"OPENAI_API_KEY": "sk-openai", "GROQ_API_KEY": "gsk"}
    meant = {"https://api.groq.com": "GROQ_API_KEY", "http://box:8000/v1": "OPENAI_API_KEY"}
    for url, value in (
        ("", "sk-openai"),
        ("https://eu.api.openai.com/v1", "sk-openai"),
        ("http://api.openai.com/v1", ""),
        ("https://api.openai.com.evil.invalid/v1", ""),
        ("https://notopenai.com/v1", ""),
        ("http://localhost:11434/v1", ""),
        ("https://api.groq.com/openai/v1", "gsk"),
        ("https://api.groq.com:8443/openai/v1", ""),
        ("http://box:8000/v1/", "sk-openai"),
        ("http://box:8000/v10", ""),
    ):
        assert key_for(url, meant, known).value == value, url
    own = {**known, "OPENAI_BASE_URL": "http://proxy.invalid/v1"}
    assert key_for("http://proxy.invalid/v1", {}, own).value == "sk-openai"
    with pytest.raises(InputError, match="GROQ_API_KEY is not set"):
        key_for("https://api.groq.com/openai/v1", meant, {})
    found = fault_of(
        openai.AuthenticationError(
            "no", response=httpx2.Response(401, request=httpx2.Request("POST", "http://x")), body=None
        ),
        url="http://x", model="m", key="none", variable="",
    )  # fmt: skip
    assert isinstance(found, CallFault)
    assert "key_env" in str(found.words(RetryRules(tries=1)))


def test_a_key_in_the_settings_is_refused_unseen(tmp_path: Path) -> None:
    path = tmp_path / "alphaglow.toml"
    path.write_text('[llm]\nkey_env = { "https://api.groq.com" = "sk-1234567890" }\n')
    with pytest.raises(InputError, match="holds no key itself") as caught:
        load_settings(path, {})
    assert "sk-1234" not in str(caught.value)


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:password@proxy.invalid:1080")
    with pytest.raises(InputError, match="socksio") as caught:
        guarded_client("https://api.openai.com/v1")
    assert "password" not in str(caught.value)
    # This machine is reached directly, whatever is set.
    asyncio.run(guarded_client("http://127.0.0.1:8080/v1").aclose())
    asyncio.run(guarded_client("http://localhost:8080/v1").aclose())
    monkeypatch.setenv("ALL_PROXY", "ftp://proxy.invalid")
    with pytest.raises(InputError, match="no address"):
        guarded_client("https://api.openai.com/v1")


def test_plain_http_to_another_machine_is_warned_of() -> None:
    assert "http" in warnings_about("http://box.example:8000/v1")[0]
    for url in ("https://box.example/v1", "http://localhost:1/v1", "http://127.0.0.1/v1", "http://[::1]:8/v1", ""):
        assert warnings_about(url) == ()


def test_a_cassette_survives_every_character_and_a_line_cut_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    recorder = start_recording(path, {"llm": "x"})
    odd = "a\u2028b\u2029c\x85d\x1ce\x0bf\u20ac"
    for number in range(2):
        request = json.dumps([{"role": "user", "content": odd}], ensure_ascii=False)
        call = NewCall(
            "", f"k{number}", "r", "m", "text", request_hash("m", request), request, odd, "ok", 1, 1, None, 0.0
        )
        recorder.write(call)
    assert [call["response"] for call in load_cassette(path).calls.values()] == [odd, odd]
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(last, len(whole), 7):
        path.write_bytes(whole[:cut])
        assert "k0" in load_cassette(path).calls
    path.write_bytes(whole[:-1])
    again = start_recording(path, {"llm": "x"})
    again.write(call)
    assert list(load_cassette(path).calls) == ["k0", "k1"]
