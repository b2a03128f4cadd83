"""A command of this program as a child process: its document, or its refusal; a call that is cancelled ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio

from market.errors import InputError

# Exit codes with a document: well, and a claim that is not shown.
_ANSWERED = (0, 3)
_LONGEST_REFUSAL = 4_000


def command_line(root: Path, arguments: Sequence[str]) -> list[str]:
    """Return how this program is started on a workspace, with ``--json`` before what is no option."""
    place = arguments.index("--") if "--" in arguments else len(arguments)
    asked = [*arguments[:place], "--json", *arguments[place:]]
    return [sys.executable, "-m", "agent", "--workspace", str(root), *asked]


async def run_command(root: Path, arguments: Sequence[str], *, stdin: bytes = b"", seconds: float = 600.0) -> Any:  # noqa: ANN401
    """Run a command with ``--json`` and return its document.

    Its output is read here, so that nothing of it reaches the stream that the protocol speaks on. A call that is
    cancelled, or takes longer than `seconds`, ends the command.

    Raises
    ------
    InputError
        With what the command said, caret and hint as a person would see them.
    """
    line = command_line(root, arguments)
    found: subprocess.CompletedProcess[bytes] | None = None
    with anyio.move_on_after(seconds):
        found = await anyio.run_process(line, input=stdin, check=False, start_new_session=True)
    if found is None:
        raise InputError(f"it took longer than {seconds:.0f} seconds and was stopped", "ask for less at once")
    if found.returncode not in _ANSWERED:
        raise InputError(refusal(found.stderr.decode("utf-8", "replace")))
    lines = found.stdout.decode("utf-8").splitlines()
    return json.loads(lines[-1]) if lines else {}


def refusal(said: str) -> str:
    """Return what a command said that ended badly, without its progress and its name."""
    marked = said.rfind("alphaglow: ")
    text = said[marked + len("alphaglow: ") :] if marked >= 0 else said
    return text.strip()[-_LONGEST_REFUSAL:] or "the command ended without a word"


def start_command(root: Path, arguments: Sequence[str], events: Path) -> subprocess.Popen[bytes]:
    """Start a command that goes on by itself, its JSON lines written to a file; it is not ended with this process."""
    with events.open("wb") as out, events.with_suffix(".err").open("wb") as err:
        return subprocess.Popen(
            command_line(root, arguments),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


def ask_to_stop(process: subprocess.Popen[bytes]) -> bool:
    """Ask a started command to stop after the calls under way; False where it has ended."""
    if process.poll() is not None:
        return False
    process.send_signal(signal.SIGINT)
    return True
