"""Addresses of servers and names of models: refused where they are none, or hold a secret."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from market.errors import InputError

_LONGEST_NAME = 300


def check_server(base_url: str, models: tuple[str, ...]) -> None:
    """Refuse a base URL that is none or holds a secret, and names that no model has: a run records them all.

    What is refused is not repeated: it may be a password.
    """
    if base_url:
        try:
            parts = urlsplit(base_url)
            right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            right = False
        if not right or not is_plain(base_url):
            raise InputError("--base-url is no address of a server", "it looks like http://localhost:11434/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise InputError(
                "--base-url holds more than an address, and would be kept with the run",
                "set the key in an environment variable ([llm] key_env), and leave user, password and query out",
            )
    for name in models:
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise InputError("--model is no model's name", "ask the server which it has")


def is_plain(text: str) -> bool:
    """Whether a text can stand in a header or an address as it is."""
    return text.isascii() and text.isprintable() and " " not in text


def is_this_machine(host: str) -> bool:
    """Whether a host's name or number is a loopback address, or means every address of this machine."""
    if host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        number = ip_address(host)
    except ValueError:
        return False
    return number.is_loopback or number.is_unspecified


def warnings_about(base_url: str) -> tuple[str, ...]:
    """Say what a person should know of an address before the first prompt goes there."""
    parts = urlsplit(base_url)
    if parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
        return (
            f"{parts.hostname} is asked over http: prompts, replies and the key can be read on the way; "
            "use https where the server has it",
        )
    return ()
