"""Runs that the web application started: each a process of its own that writes its events into a file."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.study.workspace import Workspace
from market.errors import InputError

_NAME = re.compile(r"^ui-[0-9]{14}-[0-9]{1,10}$")
_NAMED_SECONDS = 10.0


@dataclass(frozen=True)
class StartedRun:
    """A process that mines, known by the name of the file that its events go to."""

    name: str
    events: Path
    errors: Path
    pid: int

    def alive(self) -> bool:
        """Whether the process is there still: not one that ended and left its number to another."""
        return _command_of(self.pid) != "" and self.name in _command_of(self.pid)

    def lines(self, start: int = 0) -> Iterator[tuple[int, str]]:
        """Yield each whole line after byte `start`, with the byte at which the next one begins."""
        try:
            with self.events.open("rb") as file:
                file.seek(start)
                for line in file:
                    if not line.endswith(b"\n"):
                        return
                    start += len(line)
                    yield start, line.decode("utf-8", "replace").rstrip("\n")
        except FileNotFoundError:
            return

    def run_id(self) -> str:
        """Return the id of the run in the knowledge base; empty before it is known."""
        for _, line in self.lines():
            event = json.loads(line)
            if event.get("event") == "run":
                return str(event["run"])
        return ""

    def last_words(self) -> str:
        """Return the end of what it said on stderr: why it ended, where it ended badly."""
        try:
            text = self.errors.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        said = [line.strip() for line in text.splitlines() if line.strip()]
        return "\n".join(said[-6:])


def _command_of(pid: int) -> str:
    """Return the command line of a process; empty where there is none, or it has ended and nobody asked for its end."""
    if hasattr(os, "WNOHANG"):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        pass
    if Path("/proc/self").exists():
        return ""
    # Without /proc: what `ps` says.
    found = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def start_process(workspace: Workspace, arguments: Sequence[str]) -> StartedRun:
    """Start `alphaglow mine --json` with these arguments; it goes on when the server and the browser are closed.

    Raises
    ------
    InputError
        Where a run that was started here is under way, or the file STOP is there still.
    """
    busy = under_way(workspace)
    if busy is not None:
        raise InputError(f"{busy.name} is under way", "stop it first, or wait for its end")
    stop = workspace.root / "STOP"
    stop.unlink(missing_ok=True)
    folder = workspace.folder("runs")
    name = f"ui-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}-{os.getpid()}"
    while (folder / f"{name}.jsonl").exists():
        time.sleep(0.2)
        name = f"ui-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}-{os.getpid()}"
    events, errors = folder / f"{name}.jsonl", folder / f"{name}.err"
    # The name in the command line tells the process apart from another that gets its number later.
    command = [sys.executable, "-X", f"alphaglow_run={name}", "-m", "agent", "-w", str(workspace.root)]
    with events.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(
            [*command, *arguments, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=workspace.root,
            start_new_session=True,
        )
    (folder / f"{name}.pid").write_text(str(process.pid))
    started = StartedRun(name, events, errors, process.pid)
    # For some milliseconds, more on a busy machine, a new process shows no command line: a page drawn then would say
    # that nothing is under way, and would wait for the events of no run.
    end = time.monotonic() + _NAMED_SECONDS
    while process.poll() is None and not started.alive() and time.monotonic() < end:
        time.sleep(0.005)
    # The process outlives this object, which is what is wanted; its end is asked for by `_command_of`.
    process.returncode = 0
    return started


def started_runs(workspace: Workspace) -> list[StartedRun]:
    """Return the runs that were started here, newest first."""
    found = []
    for path in sorted((workspace.root / "runs").glob("ui-*.jsonl"), reverse=True):
        one = started_run(workspace, path.stem)
        if one is not None:
            found.append(one)
    return found


def started_run(workspace: Workspace, name: str) -> StartedRun | None:
    """Return the run of this name; None where there is none. A name never leads out of the folder of runs."""
    if not _NAME.match(name):
        return None
    folder = workspace.root / "runs"
    try:
        pid = int((folder / f"{name}.pid").read_text())
    except (OSError, ValueError):
        return None
    return StartedRun(name, folder / f"{name}.jsonl", folder / f"{name}.err", pid)


def under_way(workspace: Workspace) -> StartedRun | None:
    """Return the run that is under way, if one that was started here is."""
    return next((one for one in started_runs(workspace)[:5] if one.alive()), None)


def ask_to_stop(workspace: Workspace) -> None:
    """Ask every run of the workspace to stop after the calls under way, by the file STOP."""
    (workspace.root / "STOP").touch()


def clear_stop(workspace: Workspace) -> None:
    """Remove the file STOP once nothing that was started here is under way."""
    if under_way(workspace) is None:
        (workspace.root / "STOP").unlink(missing_ok=True)
