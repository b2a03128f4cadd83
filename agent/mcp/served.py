"""What the tools of a server share: the workspace, what may still be used, and how a refusal reaches the client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from mcp.server.mcpserver.exceptions import ToolError

from agent.mcp.allowance import Spent
from agent.mcp.child_command import run_command
from agent.study.workspace import Workspace
from agent.untrusted.showing import displayable
from market.errors import InputError

# Commands at once; a client that floods waits, and is refused beyond the second number.
_AT_ONCE, _WAITING = 2, 8


@dataclass(eq=False)
class Served:
    """A workspace as one server offers it."""

    workspace: Workspace
    spent: Spent
    limiter: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_AT_ONCE))
    waiting: int = 0

    async def command(self, arguments: Sequence[str], *, stdin: bytes = b"") -> Any:  # noqa: ANN401 - JSON
        """Run a command of this program, few at once, and return its document; see `run_command`."""
        if self.waiting >= _AT_ONCE + _WAITING:
            raise InputError(f"{self.waiting} calls are under way", "wait for an answer before the next call")
        self.waiting += 1
        try:
            async with self.limiter:
                return await run_command(Path(self.workspace.root), arguments, stdin=stdin)
        finally:
            self.waiting -= 1


@contextmanager
def refusing() -> Iterator[None]:
    """Turn bad input into what a client reads: the message, its caret and its hint."""
    try:
        yield
    except InputError as error:
        raise ToolError(displayable(str(error))) from error


def data_arguments(data: str | None) -> list[str]:
    """Return ``--data`` where a data set is named; a name is never taken for an option."""
    if not data:
        return []
    if data.startswith("-") or "/" in data or "\\" in data:
        raise InputError(f"{data!r} is no name of a data set", "name one of the workspace")
    return ["--data", data]


def text_argument(text: str) -> list[str]:
    """Return a factor as the last argument of a command, whatever sign it begins with."""
    return ["--", text]
