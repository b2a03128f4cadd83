"""The provider of a replay: it reaches no server, and whoever asks it has a defect."""

from __future__ import annotations

from dataclasses import dataclass

from agent.llm.answer import Answer, Ask


@dataclass(frozen=True)
class NoConnection:
    """A connection that must not be used."""

    url: str = "http://replay.invalid/v1"
    secret: str = ""
    bounds: tuple[str | None, ...] = (None,)

    async def send(self, ask: Ask) -> Answer:
        """Fail: a replay answers from its cassette."""
        raise AssertionError(f"a replay made a call: {ask.model}")

    async def close(self) -> None:
        """Do nothing."""
