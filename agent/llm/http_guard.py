"""The HTTP client for servers of models: bounded bodies, no redirects, and a proxy only where one is meant.

A body ends after `MOST_BYTES`, packed or unpacked, whatever its server announces. A redirect is never followed: a
prompt goes to the address that a person named, and to no other. Addresses of this machine are reached directly,
whatever proxy the environment names.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterable, AsyncIterator
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
import openai

from agent.llm.addresses import is_this_machine
from market.errors import InputError

# A reply of 100 000 tokens has half a megabyte.
MOST_BYTES = 16 * 2**20
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


class BodyFault(httpx2.RequestError):
    """A body that cannot be read as its server announced it; the message says what the server did."""


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends in a fault where it is too long, or packed otherwise than was asked for."""

    def __init__(self, stream: AsyncIterable[bytes], packing: str, most: int) -> None:
        self._stream, self._most = stream, most
        self._unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32) if packing in ("gzip", "deflate") else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for packed in self._stream:
            chunk = packed if self._unpacker is None else _unpacked(self._unpacker, packed, self._most - read)
            read += len(chunk)
            if read > self._most:
                raise BodyFault(f"sent a body without end (more than {self._most // 2**20} MB)")
            yield chunk
        if self._unpacker is not None and not self._unpacker.eof:
            raise BodyFault("sent a packed body that breaks off")

    async def aclose(self) -> None:
        """Let go of the connection."""
        if isinstance(self._stream, httpx2.AsyncByteStream):
            await self._stream.aclose()


def _unpacked(unpacker: zlib._Decompress, packed: bytes, room: int) -> bytes:
    """Unpack at most one byte more than there is room for."""
    try:
        return unpacker.decompress(packed, room + 1)
    except zlib.error as error:
        raise BodyFault("sent a packed body that is damaged") from error


async def bound_body(response: httpx2.Response) -> None:
    """Bound the body of a response before any of it is read; a hook of the client."""
    packing = response.headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("", "identity", "gzip", "deflate"):
        raise BodyFault(f"sent a body packed as {packing[:40]!r}, which was not asked for")
    # It is unpacked here, where its size is watched.
    if "content-encoding" in response.headers:
        del response.headers["content-encoding"]
    stream = response.stream
    assert isinstance(stream, AsyncIterable)
    response.stream = _Bounded(stream, packing, MOST_BYTES)


def guarded_client(base_url: str | None, transport: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
    """Return a client for one server; `transport` stands in for the network.

    Raises
    ------
    InputError
        Where the environment names a proxy that cannot be used.
    """
    if transport is None and base_url and is_this_machine(urlsplit(base_url).hostname or ""):
        # A client with a transport of its own asks no proxy.
        transport = httpx2.AsyncHTTPTransport(limits=openai.DEFAULT_CONNECTION_LIMITS)
    try:
        return httpx2.AsyncClient(
            transport=transport,
            limits=openai.DEFAULT_CONNECTION_LIMITS,
            follow_redirects=False,
            headers={"accept-encoding": "gzip"},
            event_hooks={"response": [bound_body]},
        )
    except ImportError as error:
        raise InputError(
            f"the environment names a SOCKS proxy ({_named_proxies()}), and the package for it is not here",
            "pip install socksio, unset the variable, or name the server in NO_PROXY",
        ) from error
    except (ValueError, httpx2.InvalidURL) as error:
        raise InputError(
            f"the environment names a proxy that is no address ({_named_proxies()})",
            "it looks like http://proxy.example:3128; correct or unset it",
        ) from error


def _named_proxies() -> str:
    """Return the variables that name a proxy; never their values, which may hold a password."""
    named = {name.upper() for name in os.environ if name.upper() in _PROXIES and os.environ[name]}
    return ", ".join(sorted(named)) or "of the system"


def proxy_for(url: str) -> str:
    """Return host and port of the proxy that an address is reached by; empty: none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_this_machine(host) or proxy_bypass(host):
        return ""
    known = getproxies()
    named = known.get(parts.scheme) or known.get("all") or ""
    return urlsplit(named if "://" in named else f"http://{named}").netloc.rpartition("@")[2] if named else ""
