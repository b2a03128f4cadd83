"""Who may ask the web application, and what a browser may do with its pages: hosts, tokens, forms and policies."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
COOKIE = "alphaglow_token"
# Everything comes from this server; nothing is written into a page that a browser would run.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# A written report holds its own style sheet, and no script at all.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes
    ----------
    hosts
        Names by which the server may be asked, without a port: other names are a page elsewhere that points here.
    token
        What a browser has to show, once in the address and then as a cookie; empty on loopback: nothing.
    read_only
        Whether nothing may be started, stopped or written.
    form_token
        A secret of this process that every form carries.
    """

    hosts: tuple[str, ...] = LOOPBACK
    token: str = ""
    read_only: bool = False
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class Guard:
    """Middleware: refuses what may not ask, and sends the headers that keep pages from doing more than they should."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a refusal."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        shown = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        keep = bool(self.access.token) and secrets.compare_digest(shown.encode(), self.access.token.encode())

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                for name, value in _HEADERS.items():
                    if name.encode() not in present:
                        message["headers"].append((name.encode(), value.encode()))
                if keep:
                    cookie = f"{COOKIE}={self.access.token}; HttpOnly; SameSite=Strict; Path=/"
                    message["headers"].append((b"set-cookie", cookie.encode()))
            await send(message)

        await self.app(scope, receive, sending)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if _without_port(host) not in self.access.hosts:
            return 421, f"this server does not answer to {host[:100]!r}: open the address that it printed"
        if self.access.token and not self._known(scope, headers):
            return 401, "this server wants its token: open the address that it printed, token and all"
        if scope["method"] in ("GET", "HEAD"):
            return None
        if self.access.read_only:
            return 403, "this server only shows: start it without --read-only to change things"
        origin = headers.get("origin") or headers.get("referer", "")
        if urlsplit(origin).netloc != host:
            return 403, "this form was not sent from a page of this server"
        return None

    def _known(self, scope: Scope, headers: dict[str, str]) -> bool:
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            return False
        query = parse_qs(scope["query_string"].decode("latin-1"))
        shown = [*query.get("token", []), *(cookies[COOKIE].value for _ in range(COOKIE in cookies))]
        return any(secrets.compare_digest(one.encode(), self.access.token.encode()) for one in shown)


def _without_port(host: str) -> str:
    """Return a host without its port; an address of version 6 keeps its brackets."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.rpartition(":")[0] if ":" in host else host


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    headers += [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
