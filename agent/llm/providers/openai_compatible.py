"""The provider `openai`: any server that speaks OpenAI's API; `agent.llm.openai_connection` speaks with it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from agent.llm.providers import Connection, ProviderAddress
from market.errors import InputError


@dataclass(frozen=True)
class OpenAIProvider:
    """Any server that speaks OpenAI's API; the key is read from the environment variable OPENAI_API_KEY."""

    name: str = "openai"
    model: str = ""
    simulated: bool = False

    def address(self, asked: str) -> str:
        """Return the address that was asked for, else that of the environment variable OPENAI_BASE_URL."""
        return asked or os.environ.get("OPENAI_BASE_URL", "")

    def check(self, place: ProviderAddress) -> None:
        """Refuse OpenAI's own server without a key; another server may need none."""
        if not place.base_url and not os.environ.get("OPENAI_API_KEY"):
            raise InputError(
                "no key: the environment variable OPENAI_API_KEY is not set",
                "set it, name a local server with --base-url, or try --llm mock",
            )

    def connect(self, place: ProviderAddress) -> Connection:
        """Return a connection to the place's server, by the API that it names."""
        # The client costs half a second to import: who only asks what a provider needs, does not pay for it.
        from agent.llm.openai_connection import OpenAIConnection, connect_openai

        client = connect_openai(place.base_url or None, timeout_s=place.timeout_s)
        return OpenAIConnection(client, "responses" if place.api == "responses" else "chat")


PROVIDER = OpenAIProvider()
