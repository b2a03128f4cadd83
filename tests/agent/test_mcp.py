"""The server of the Model Context Protocol, asked by the official client: in this process, over stdio and over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters

from agent.mcp import child_command
from agent.mcp.allowance import Allowance
from agent.mcp.model_server import build_server
from agent.study.workspace import Workspace
from tests.agent.commands import run

_FACTOR = "-ts_mean(returns, 24)"


def talk(server: Any, session: Callable[[Client], Awaitable[None]]) -> None:
    """Run a session of the official client with a server."""

    async def go() -> None:
        async with Client(server, read_timeout_seconds=180) as client:
            await session(client)

    asyncio.run(go())


async def document(client: Client, tool: str, **arguments: object) -> Any:
    """Return what a tool answers."""
    found = await client.call_tool(tool, dict(arguments))
    assert not found.is_error, found.content
    return json.loads(found.content[0].text)  # type: ignore[union-attr]


async def error(client: Client, tool: str, **arguments: object) -> str:
    """Return what a tool refuses with."""
    found = await client.call_tool(tool, dict(arguments))
    assert found.is_error
    return str(found.content[0].text)  # type: ignore[union-attr]


def test_the_language_is_read_and_refusals_carry_caret_and_hint(home: Path) -> None:
    async def session(client: Client) -> None:
        assert "did you mean ts_mean" in await error(client, "operators", name="ts_men")
        said = await error(client, "translate", text="rank(ts_mean(clse, 5))")
        lines = said.splitlines()
        assert lines[2].index("^") == lines[1].index("clse")
        assert "did you mean close?" in said
        read = await document(client, "translate", text="rank(delta(close, 5))", target="latex")
        assert read["text"] == "cs_rank(ts_delta(close, 5))"
        assert "operators" in await document(client, "operators")
        assert "what is to be found" in await error(client, "kb_search")
        assert "no name of a data set" in await error(client, "data_check", data="--repair")
        assert "cs_rank" in (await client.read_resource("alphaglow://docs/language")).contents[0].text  # type: ignore[union-attr]
        prompt = await client.get_prompt("judge", {"data": "toy", "expression": _FACTOR})
        assert _FACTOR in prompt.messages[0].content.text  # type: ignore[union-attr]

    talk(build_server(Workspace(home), Allowance()), session)


def test_a_server_is_read_only_unless_runs_are_allowed_with_a_budget(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def session(client: Client) -> None:
        assert "read-only" in await error(client, "start_run", data="toy")
        assert "read-only" in await error(client, "propose", request="momentum")
        assert "0 are left of 0" in await error(client, "evaluate", text=_FACTOR, data="toy")

    talk(build_server(Workspace(home), Allowance(evaluations=0)), session)
    code, out, err = run(capsys, "mcp", "--allow-runs")
    assert (code, out) == (2, "")
    assert "needs a budget" in err


def _numbers(value: object) -> set[float]:
    """Return every figure of a JSON document that is no count."""
    if isinstance(value, float):
        return {value} if value != int(value) else set()
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(_numbers, parts))


def test_an_evaluation_is_a_trial_and_shows_nothing_of_validation(home: Path) -> None:
    workspace = Workspace(home)
    answers: list[Any] = []

    async def session(client: Client) -> None:
        found = await document(client, "evaluate", text=_FACTOR, data="toy")
        assert found["trials"] == 1
        assert found["train"]["payoff_z"] is not None
        answers.extend([found, await document(client, "kb_show", factor=found["factor"])])
        answers.append(await document(client, "kb_search", like="ts_mean(returns, 24)"))
        assert answers[-1]["found"][0]["factor"] == found["factor"]
        assert "did you mean close?" in await error(client, "evaluate", text="ts_mean(clse, 5)", data="toy")

    talk(build_server(workspace, Allowance()), session)
    with workspace.knowledge() as knowledge:
        attempts = knowledge.attempts()
    assert [one.text for one in attempts] == [_FACTOR]
    scored = attempts[0].evaluation
    assert scored is not None
    card, evidence = scored.scorecard.to_dict(), scored.evidence.to_dict()
    hidden = _numbers(card["validation"]) | _numbers([evidence["predicts"], evidence["earns"], evidence["dsr"]])
    assert len(hidden) > 10
    assert not (hidden - _numbers(card["train"])) & _numbers(answers)
    assert "verdict" not in answers[0]


def test_a_claim_is_verified_on_the_bars_of_train(home: Path) -> None:
    from market.panel_store import load_panel

    panel = load_panel(home / "data" / "toy.parquet")
    rows = [
        f"{str(time)[:16]},{asset},{(7 * t + 5 * k) % 11}"
        for t, time in enumerate(panel.times)
        for k, asset in enumerate(panel.assets)
    ]
    table = "ts,symbol,score\n" + "\n".join(rows)

    async def session(client: Client) -> None:
        found = await document(client, "verify", csv=table, data="toy", trials=3)
        assert found["shown"] is False
        assert found["end"] < str(panel.times[int(0.71 * len(panel.times))])

    talk(build_server(Workspace(home), Allowance()), session)


def test_a_run_is_started_with_its_part_of_the_budget_and_asked_after(home: Path) -> None:
    async def session(client: Client) -> None:
        begun = await document(client, "start_run", data="toy", rounds=1, candidates=1, calls=20)
        assert begun["reserved"][:2] == ["--budget-calls", "20"]
        assert "10 are left" in await error(client, "start_run", data="toy", calls=11)
        for _ in range(600):
            status = await document(client, "run_status", id=begun["id"])
            if status["state"] != "running":
                break
            await asyncio.sleep(0.3)
        assert status["state"] == "ended"
        assert status["attempts"] == 1
        assert (await document(client, "stop_run", id=begun["id"]))["asked"] is False
        assert (await document(client, "run_status", id=status["run"]))["attempts"] == 1
        assert "no run" in await error(client, "stop_run", id="other")

    talk(build_server(Workspace(home), Allowance(runs=True, calls=30, llm="mock")), session)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "ALPHAGLOW_"))}


def test_over_stdio_nothing_but_the_protocol_is_on_stdout(home: Path) -> None:
    command = ["-m", "agent", "-w", str(home), "mcp"]

    async def session(client: Client) -> None:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"evaluate", "translate", "kb_search", "start_run", "verify", "signal_now"} <= names
        assert (await document(client, "translate", text="-close"))["text"] == "-close"

    talk(StdioServerParameters(command=sys.executable, args=command, env=_environment()), session)
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    check = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "operators", "arguments": {}}}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    sent = "".join(json.dumps(one) + "\n" for one in (hello, ready, check))
    with subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=_environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(sent)
        process.stdin.flush()
        answered = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.stdin.close()
        rest = process.stdout.read()
    assert [one["id"] for one in answered] == [1, 2]
    assert rest == ""


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    """A server over HTTP, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "agent", "-w", str(home), "mcp", "--http", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=_environment()) as process:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
        process.terminate()


def test_over_http_it_answers_on_this_machine_and_to_no_other_name(
    address: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def session(client: Client) -> None:
        assert (await document(client, "translate", text="-close"))["text"] == "-close"

    talk(address, session)
    strange = urllib.request.Request(
        address, data=b"{}", headers={"Host": "evil.example", "Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(strange, timeout=30)
    assert refused.value.code in (400, 403, 421)
    refused.value.close()
    port = address.split(":")[2].split("/")[0]
    code, out, err = run(capsys, "mcp", "--http", "--port", port)
    assert (code, out) == (2, "")
    assert "is taken" in err


def test_a_call_that_is_cancelled_ends_its_process_and_a_flood_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = home / "pids"
    pids.mkdir()
    program = f"import os, pathlib, time; pathlib.Path({str(pids)!r}, str(os.getpid())).touch(); time.sleep(300)"
    monkeypatch.setattr(child_command, "command_line", lambda _root, _arguments: [sys.executable, "-c", program])

    def running() -> int:
        return sum(Path(f"/proc/{one.name}").exists() for one in pids.iterdir())

    async def until_none_runs() -> None:
        with anyio.fail_after(60):
            while running():
                await anyio.sleep(0.05)

    async def session(client: Client) -> None:
        with anyio.move_on_after(60) as cancelled:
            async with anyio.create_task_group() as calls:
                calls.start_soon(client.call_tool, "evaluate", {"text": _FACTOR})
                while not running():
                    await anyio.sleep(0.05)
                cancelled.cancel()
        assert list(pids.iterdir())
        await until_none_runs()
        refused: list[str] = []

        async def ask() -> None:
            refused.append(await error(client, "data_check", data="toy"))

        with anyio.move_on_after(60) as flood:
            async with anyio.create_task_group() as calls:
                for _ in range(11):
                    calls.start_soon(ask)
                # One that is cancelled while it starts leaves its pipes open: asyncio's own, and no part of this test.
                before, same = -1, 0
                while not refused or same < 20:
                    await anyio.sleep(0.05)
                    before, same = running(), same + 1 if running() == before else 0
                flood.cancel()
        await until_none_runs()
        assert len(refused) == 1
        assert "calls are under way" in refused[0]

    talk(build_server(Workspace(home), Allowance()), session)
