"""The provider `mock`: a simulated model in this process, for demonstrations and tests."""

from __future__ import annotations

from dataclasses import dataclass

from agent.llm import chat, responses
from agent.llm.providers import Connection, ProviderAddress
from agent.llm.providers.late import LateConnection


@dataclass(frozen=True)
class MockProvider:
    """Answers by the facts of what is asked; the same seed gives the same replies."""

    name: str = "mock"
    model: str = "mock"
    simulated: bool = True

    def address(self, asked: str) -> str:
        """Return no address: whichever was asked for, no server is reached."""
        del asked
        return ""

    def check(self, place: ProviderAddress) -> None:
        """Refuse nothing."""

    def connect(self, place: ProviderAddress) -> Connection:
        """Return a connection to the simulated model of the place's seed."""

        def connect() -> Connection:
            # With it the client of a real server is imported, which is on the path.
            from agent.mock.transport import connect_mock

            return connect_mock(place.seed, place.api)

        return LateConnection(connect, responses.BOUNDS if place.api == "responses" else chat.BOUNDS)


PROVIDER = MockProvider()
