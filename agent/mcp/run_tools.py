"""Tools for runs of the loops: started with a budget, asked after by an id, stopped; they go on without a client."""

from __future__ import annotations

import json
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from agent.mcp.child_command import ask_to_stop, refusal, start_command
from agent.mcp.served import Served, data_arguments, refusing
from agent.mcp.train_view import HIDDEN, view_of_attempt
from market.errors import InputError

_SHOWN = 20
_RUNNING = 2


@dataclass(eq=False)
class _Started:
    process: subprocess.Popen[bytes]
    events: Path
    run: str = ""


@dataclass(eq=False)
class RunTools:
    """The runs that one server started."""

    served: Served
    started: dict[str, _Started] = field(default_factory=dict)

    async def start_run(
        self,
        data: str = "",
        rounds: int = 3,
        candidates: int = 4,
        usd: float | None = None,
        calls: int | None = None,
    ) -> dict[str, Any]:
        """Start the writer and judge loops on a data set and return an id at once; ask `run_status` after it.

        It needs a server that allows runs. `usd` and `calls` are reserved of the server's budget, all that is left of
        it where they are not said. The run goes on when you disconnect.
        """
        with refusing():
            if sum(one.process.poll() is None for one in self.started.values()) >= _RUNNING:
                raise InputError(f"{_RUNNING} runs are under way", "wait for one, or stop it")
            arguments = ["mine", *data_arguments(data)]
            options = self.served.spent.reserve(usd, calls)
            arguments += [
                "--rounds",
                str(max(1, min(rounds, 1_000))),
                "--candidates",
                str(max(1, min(candidates, 100))),
            ]
            key = secrets.token_hex(4)
            events = self.served.workspace.folder("runs") / f"mcp-{key}.jsonl"
            process = start_command(Path(self.served.workspace.root), [*arguments, *options], events)
            self.started[key] = _Started(process, events)
            return {"id": key, "reserved": options, "next": "run_status with this id"}

    async def run_status(self, id: str) -> dict[str, Any]:
        """Return how far a run is: its state, its newest event, and its attempts with figures of train.

        `id` is what `start_run` gave, or a run of the knowledge base.
        """
        with refusing():
            if id not in self.started:
                return await anyio.to_thread.run_sync(self._stored, id)
            return await anyio.to_thread.run_sync(self._status, self._run(id))

    async def stop_run(self, id: str) -> dict[str, Any]:
        """Ask a run to stop after the calls under way; what it found is kept, and it can be resumed."""
        with refusing():
            one = self._run(id)
            return {"id": id, "asked": ask_to_stop(one.process), "run": one.run}

    def _run(self, key: str) -> _Started:
        if key not in self.started:
            known = ", ".join(self.started) or "none was started here"
            raise InputError(f"no run {key!r}", f"ids: {known}")
        return self.started[key]

    def _status(self, one: _Started) -> dict[str, Any]:
        events = _events(one.events)
        one.run = one.run or next((str(event["run"]) for event in events if event.get("event") == "run"), "")
        code = one.process.poll()
        state = "running" if code is None else "ended" if code == 0 else "failed"
        found: dict[str, Any] = {"state": state, "run": one.run, "events": len(events), "hidden": HIDDEN}
        if state == "failed":
            said = one.events.with_suffix(".err").read_text(encoding="utf-8", errors="replace")
            found["why"] = refusal(said)
        last = events[-1] if events else {}
        found["now"] = {name: last[name] for name in ("event", "round", "role", "text") if name in last}
        return {**found, **self._attempts(one.run)} if one.run else found

    def _stored(self, run: str) -> dict[str, Any]:
        """Return what the knowledge base holds of a run that was not started here."""
        with self.served.workspace.knowledge() as knowledge:
            found = knowledge.get_run(run)
        return {"state": found.status, "run": found.id, "hidden": HIDDEN, **self._attempts(found.id)}

    def _attempts(self, run: str) -> dict[str, Any]:
        with self.served.workspace.knowledge() as knowledge:
            attempts = knowledge.attempts(run_id=run)
        return {"attempts": len(attempts), "newest": [view_of_attempt(one) for one in attempts[-_SHOWN:]]}


def _events(path: Path) -> list[dict[str, Any]]:
    """Return the events that a run has written; a line that is half there is left for the next time."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.endswith("}"):
            found.append(json.loads(line))
    return found
