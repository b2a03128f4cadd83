"""A client of the web application in this process: requests by name of a page, without a server."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import urlencode

import httpx2

from agent.study.workspace import Workspace
from agent.web.guard import Access
from agent.web.site import make_app


class Browser:
    """What a browser at the address of the server would send; forms come from the page that they stand on."""

    def __init__(self, home: Path, access: Access | None = None) -> None:
        self.access = access or Access()
        self.app = make_app(Workspace(home), self.access)
        self.host = "127.0.0.1:8765"

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: str = "") -> httpx2.Response:
        """Send one request."""

        async def go() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self.app)
            async with httpx2.AsyncClient(transport=transport, base_url=f"http://{self.host}") as client:
                return await client.request(method, path, headers=headers, content=body.encode())

        return asyncio.run(go())

    def get(self, path: str, **headers: str) -> httpx2.Response:
        """Ask for a page."""
        return self.ask("GET", path, headers)

    def post(self, path: str, **fields: str) -> httpx2.Response:
        """Send a form as the page has it."""
        return self.ask(
            "POST",
            path,
            {"origin": f"http://{self.host}", "content-type": "application/x-www-form-urlencoded"},
            urlencode({"form_token": self.access.form_token, **fields}),
        )


def text_of(answer: httpx2.Response) -> str:
    """Return what a page says, without its markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))
