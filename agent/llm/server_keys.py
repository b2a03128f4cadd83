"""Which key goes to which server: the one that a person meant for it, and to a server without one, none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from agent.llm.addresses import is_plain
from market.errors import InputError

OPENAI_KEY, OPENAI_URL = "OPENAI_API_KEY", "OPENAI_BASE_URL"
# What is sent where a server gets no key: the client insists on some text.
NO_KEY = "none"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ServerKey:
    """A key, and the environment variable that it is read from; both empty where the server gets none."""

    variable: str = ""
    value: str = ""


def key_for(
    base_url: str, key_env: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
) -> ServerKey:
    """Return the key of a server.

    Parameters
    ----------
    base_url
        Its address; empty: OpenAI's.
    key_env
        Address to the name of the environment variable with its key: ``[llm] key_env``. The longest address that the
        server's begins with decides.

    Raises
    ------
    InputError
        Where the variable that is meant for a server is not set, or holds what no key does.

    Notes
    -----
    OPENAI_API_KEY goes to OpenAI, to the address in OPENAI_BASE_URL (both stand in the same environment), and to where
    `key_env` names it: not to a server that a settings file, or a run of somebody else, happens to name.
    """
    known = os.environ if environment is None else environment
    variable = _variable(base_url, key_env or {}, known.get(OPENAI_URL, ""))
    if not variable:
        return ServerKey()
    value = known.get(variable, "").strip()
    if not value:
        if variable == OPENAI_KEY and base_url and not _is_openai(urlsplit(base_url)):
            return ServerKey()
        raise InputError(
            f"no key: the environment variable {variable} is not set",
            "set it, name a local server with --base-url, or try --llm mock",
        )
    if not is_plain(value):
        raise InputError(f"the key in {variable} holds what no key does", "was more copied than the key?")
    return ServerKey(variable, value)


def _variable(base_url: str, key_env: Mapping[str, str], environment_url: str) -> str:
    server = urlsplit(base_url or "https://api.openai.com/v1")
    meant = [address for address in key_env if _begins(server, urlsplit(address))]
    if meant:
        return key_env[max(meant, key=len)]
    own = _is_openai(server) or (environment_url != "" and _begins(server, urlsplit(environment_url)))
    return OPENAI_KEY if own else ""


def _is_openai(server: SplitResult) -> bool:
    host = (server.hostname or "").lower()
    return server.scheme == "https" and (host == "openai.com" or host.endswith(".openai.com"))


def _begins(server: SplitResult, address: SplitResult) -> bool:
    """Whether a server's address begins with another: same scheme, host and port, and a path at or below its path."""
    if _origin(server) != _origin(address):
        return False
    path, above = server.path.rstrip("/") + "/", address.path.rstrip("/") + "/"
    return path.startswith(above)


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    scheme = parts.scheme.lower()
    try:
        port = parts.port or _PORTS.get(scheme, 0)
    except ValueError:
        port = -1
    return scheme, (parts.hostname or "").lower(), port
