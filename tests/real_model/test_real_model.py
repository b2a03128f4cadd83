"""A small real model behind the real client: it proposes, repairs, judges, is too slow, and is gone on with.

`make real-model` serves SmolLM2-135M on the loopback address. What it writes is poor, and its form has to hold all the
same: what mocks never do, such as replies without end and prompts that are too long, it does by itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.llm.client import LanguageModel, ModelName, Speaking
from agent.llm.openai_connection import OpenAIConnection, connect_openai
from agent.llm.patience import RetryRules
from agent.llm.prompt_room import Room, find_room
from agent.llm.providers import Connection
from agent.mining.brief import Brief, judge_prompt, writer_prompt
from agent.mining.inner_loop import Agents, propose
from agent.mining.replies import JudgeReply, Proposal
from factors.parse import parse
from factors.table import prompt_table
from factors.tree import Expression
from market.errors import InputError, Rejection
from tests.agent.test_llm_client import MemoryJournal, Server, model_of

pytestmark = pytest.mark.real_model
FIELDS = ("open", "high", "low", "close", "volume", "returns")
# Few operators, so that the tests take minutes on one core that has other work.
TABLE = "\n".join(line for line in prompt_table(500).split("\n") if line.startswith(("  ts_mean", "  ts_z", "  cs_r")))
BRIEF = Brief(1, "Find a factor that pays.", FIELDS, TABLE, (), (), (), "20 assets, daily bars.")
# On a machine with other work, a reply takes minutes.
PATIENT_S = 1800.0


def speaker(address: str, **options: Any) -> LanguageModel:
    client = connect_openai(address, timeout_s=options.pop("timeout_s", PATIENT_S))
    options = {"journal": MemoryJournal(), "reply_tokens": 400, "patience": RetryRules(tries=2, first=0.0), **options}
    budget = model_of(Server("")).budget
    speech = Speaking(
        models=[ModelName("smollm2")], budget=budget, deadline_s=options.pop("deadline_s", PATIENT_S), **options
    )
    return LanguageModel(OpenAIConnection(client), speech)


def run(connection: Connection, asked: Coroutine[object, object, Any]) -> Any:
    """Wait for what was asked, and let go of the connection in the same loop."""

    async def whole() -> Any:
        try:
            return await asked
        finally:
            await connection.close()

    return asyncio.run(whole())


def test_it_proposes_in_the_form_that_is_asked_for_and_remembers_how_prompts_begin(real_model: str) -> None:
    # Little is in the prompt, so that the test takes half a minute and not five.
    model = speaker(real_model, prompt_tokens=900)

    async def two() -> list[object]:
        steps = [writer_prompt(BRIEF, [slot], step=5) for slot in (0, 1)]
        return [await model.ask(f"k{k}", "writer", *prompts, Proposal) for k, prompts in enumerate(steps)]

    found = run(model.connection, two())
    assert all(isinstance(one, Proposal) for one in found), found
    calls = model.journal.calls  # type: ignore[attr-defined]
    assert list(calls) == ["k0/1", "k1/1"], "each was read at the first try"
    assert {call.mode.split()[0] for call in calls.values()} == {"json_schema"}
    assert all(call.status == "ok" and len(call.response) < 2500 for call in calls.values())
    # The model commits in this order.
    assert calls["k0/1"].response.index('"rationale"') < calls["k0/1"].response.index('"expression"')
    assert model.budget.cached > 0.5 * model.budget.prompts_counted / 2


def test_what_is_cut_off_is_asked_for_again_once(real_model: str) -> None:
    model = speaker(real_model, reply_tokens=12)
    found = run(model.connection, model.ask("k", "writer", "Answer in JSON.", "Propose a factor of close.", Proposal))
    assert isinstance(found, Rejection)
    assert found.code == "truncated"
    calls = model.journal.calls  # type: ignore[attr-defined]
    assert [(key, call.status) for key, call in calls.items()] == [("k/1", "truncated"), ("k/2", "truncated")]
    assert "cut off" in calls["k/2"].request


def test_it_judges_within_the_scale(real_model: str) -> None:
    expression = parse("-ts_zscore(ts_returns(close, 5), 20)")
    assert isinstance(expression, Expression)
    proposal = Proposal(name="n", expression=expression.text, rationale="fallen assets recover", parents=[])
    prompts = judge_prompt(BRIEF, expression, proposal)
    model = speaker(real_model)
    found = run(model.connection, model.ask("k", "judge", *prompts, JudgeReply))
    if isinstance(found, Rejection):
        # The scale is no part of a grammar: a figure beyond it is asked for again, and then given up.
        assert found.code == "bad_reply"
        assert len(model.journal.calls) == 2  # type: ignore[attr-defined]
    else:
        assert 0 <= found.score <= 10


def test_a_reply_that_takes_too_long_is_given_up_and_every_wait_is_said(real_model: str) -> None:
    said: list[str] = []
    model = speaker(real_model, deadline_s=0.2, note=said.append)
    with pytest.raises(InputError, match="no whole reply within"):
        run(model.connection, model.ask("k", "writer", "Answer in JSON.", "Propose a factor. " * 40, Proposal))
    assert len(said) == 1
    assert "try 1 of 2" in said[0]
    assert (model.budget.calls, model.budget.lost) == (0, 2)


def test_its_server_says_what_it_holds_and_the_inner_loop_keeps_to_it(real_model: str) -> None:
    connection = OpenAIConnection(connect_openai(real_model, timeout_s=60))
    room = run(connection, find_room(connection, ["smollm2"], 0, 400, lambda _text: None))
    assert room == Room(4096 - 400, 400)
    # A prompt that is more than it holds is refused by the server, and sent again with less.
    said: list[str] = []
    model = speaker(real_model, note=said.append)
    steps = {1: ("Answer in JSON.", "Propose a factor of close.")}
    long = "Propose a factor of close, open, high and low. " * 600
    found = run(model.connection, model.ask("k", "writer", "Answer in JSON.", long, Proposal, shorter=steps.get))
    assert isinstance(found, (Proposal, Rejection))
    assert "asked again with less" in said[0]
    writer = speaker(real_model, prompt_tokens=900)
    ended = run(writer.connection, propose(Agents({"m": writer}, None), BRIEF, 0, max_turns=1, check=parse))
    assert ended.expression is not None or ended.rejection is not None


def test_a_run_that_is_killed_goes_on_without_paying_twice(real_model: str, tmp_path: Path) -> None:
    def alphaglow(*argv: str) -> list[str]:
        return [sys.executable, "-m", "agent", "-w", str(tmp_path), *argv]

    subprocess.run(alphaglow("init", str(tmp_path)), check=True, capture_output=True)
    subprocess.run(alphaglow("data", "synth", "--bars", "1500", "--assets", "12"), check=True, capture_output=True)
    asked = ("mine", "--llm", "openai", "--model", "smollm2", "--base-url", real_model, "--no-gate", "--no-judge")
    sizes = ("--rounds", "1", "--candidates", "2", "--budget-tokens", "1000000")
    settings = {
        "ALPHAGLOW_LOOP__TURNS": "1", "ALPHAGLOW_LOOP__CONCURRENCY": "1", "ALPHAGLOW_LLM__REPLY_TOKENS": "300",
        "ALPHAGLOW_LLM__PROMPT_TOKENS": "1200", "ALPHAGLOW_LLM__TIMEOUT_S": str(PATIENT_S),
    }  # fmt: skip
    environment = {**os.environ, **settings}
    process = subprocess.Popen(alphaglow(*asked, *sizes), env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + PATIENT_S
    while not kept(tmp_path) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = kept(tmp_path)
    assert before, "nothing was journalled before it was killed"
    run_id = before[0][0]
    subprocess.run(alphaglow("mine", "--resume", run_id), check=True, env=environment, capture_output=True)
    after = kept(tmp_path)
    assert after[: len(before)] == before
    assert len({key for _run, key, _response in after}) == len(after)
    assert {key.split("/")[1] for _run, key, _response in after} == {"s0", "s1"}


def kept(folder: Path) -> list[tuple[str, str, str]]:
    """The calls that the workspace's knowledge base holds, as another program reads them."""
    base = folder / "knowledge.db"
    if not base.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{base}?mode=ro", uri=True)) as connection:
            query = "select run_id, key, response from llm_calls where status != 'lost' order by id"
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []
