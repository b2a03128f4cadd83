"""A connection that is opened when it is first asked: a client of a server takes the better part of a second to import.

A round is planned and briefed before anybody is asked, and seeds of a run are scored without a model.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.llm.answer import Answer, Ask
from agent.llm.providers import Connection


class LateConnection:
    """What `connect` opens, once it is needed; `bounds` are known before."""

    def __init__(self, connect: Callable[[], Connection], bounds: tuple[str | None, ...]) -> None:
        self._connect = connect
        self._bounds = bounds
        self._opened: Connection | None = None

    def opened(self) -> Connection:
        """Return the connection, opened if it is not."""
        if self._opened is None:
            self._opened = self._connect()
        return self._opened

    @property
    def url(self) -> str:
        """The server's address."""
        return self.opened().url

    @property
    def secret(self) -> str:
        """The key."""
        return self.opened().secret

    @property
    def bounds(self) -> tuple[str | None, ...]:
        """Names of the bound on a reply's tokens."""
        return self._bounds

    async def send(self, ask: Ask) -> Answer:
        """Send one request and read the reply."""
        return await self.opened().send(ask)

    async def close(self) -> None:
        """Close what was opened."""
        if self._opened is not None:
            await self._opened.close()
