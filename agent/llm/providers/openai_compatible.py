"""The provider `openai`: any server that speaks OpenAI's API; `agent.llm.openai_connection` speaks with it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from agent.llm.providers import Connection, ProviderAddress
from agent.llm.server_keys import key_for


@dataclass(frozen=True)
class OpenAIProvider:
    """Any server that speaks OpenAI's API; its key is read from the environment variable that is meant for it."""

    name: str = "openai"
    model: str = ""
    simulated: bool = False

    def address(self, asked: str) -> str:
        """Return the address that was asked for, else that of the environment variable OPENAI_BASE_URL."""
        return asked or os.environ.get("OPENAI_BASE_URL", "")

    def check(self, place: ProviderAddress) -> None:
        """Refuse a server whose key is not set; one that no key is meant for may need none."""
        key_for(place.base_url, place.key_env)

    def connect(self, place: ProviderAddress) -> Connection:
        """Return a connection to the place's server, by the API that it names."""
        # The client costs half a second to import: who only asks what a provider needs, does not pay for it.
        from agent.llm.openai_connection import OpenAIConnection, connect_openai

        key = key_for(place.base_url, place.key_env)
        client = connect_openai(place.base_url or None, timeout_s=place.timeout_s, key=key)
        return OpenAIConnection(client, "responses" if place.api == "responses" else "chat", key.variable)


PROVIDER = OpenAIProvider()
