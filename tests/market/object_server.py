"""A server on this machine that speaks as much of S3 as reading needs, and that throttles or refuses as a test says.

Libraries that play the whole of S3 ask for an older python-dateutil than pandas does.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

BUCKET = "prices"
KEY, SECRET = "AKIATESTTESTTESTTEST", "a-secret-that-is-never-printed"
_DATE = "2026-01-01T00:00:00.000Z"


@dataclass
class ObjectServer:
    """The server; `faults` maps a part of a path to the answers that are given instead, one after the other."""

    endpoint: str = ""
    faults: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)

    def put(self, folder: Path, under: str) -> None:
        """Store the files of a folder."""
        for file in folder.iterdir():
            self.objects[f"{under}/{file.name}"] = file.read_bytes()


class _Answers(BaseHTTPRequestHandler):
    """One request after the other of a connection."""

    protocol_version = "HTTP/1.1"
    store: ObjectServer

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.store.asked.append((self.command, path))
        for part, left in self.store.faults.items():
            if part in path and left:
                status, code = left.pop(0)
                self._refuse(int(status.split()[0]), code)
                return
        _, bucket, key = [*path.split("/", 2), ""][:3]
        if bucket != BUCKET:
            self._refuse(404, "NoSuchBucket")
        elif key:
            self._send_object(key)
        elif "list-type" in parts.query:
            self._list({name: values[0] for name, values in parse_qs(parts.query).items()})
        else:
            self._send(HTTPStatus.OK, b"")

    def _send_object(self, key: str) -> None:
        body = self.store.objects.get(key)
        if body is None:
            self._refuse(404, "NoSuchKey")
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self._send(HTTPStatus.OK, body)
            return
        start, stop = int(wanted[1]), min(int(wanted[2] or len(body)) + 1, len(body))
        if start >= len(body):
            self._refuse(416, "InvalidRange")
            return
        self._send(
            HTTPStatus.PARTIAL_CONTENT, body[start:stop], ("Content-Range", f"bytes {start}-{stop - 1}/{len(body)}")
        )

    def _list(self, asked: dict[str, str]) -> None:
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        rows, folders = [], set()
        for key, body in sorted(self.store.objects.items()):
            if not key.startswith(prefix):
                continue
            head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if cut:
                folders.add(prefix + head + cut)
                continue
            rows.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(body)}</Size><LastModified>{_DATE}</LastModified>"
                f"<ETag>&quot;{len(body):x}&quot;</ETag><StorageClass>STANDARD</StorageClass></Contents>"
            )
        rows += [f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in sorted(folders)]
        said = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(rows)}</KeyCount><MaxKeys>1000</MaxKeys>"
            f"<IsTruncated>false</IsTruncated>{''.join(rows)}</ListBucketResult>"
        )
        self._send(HTTPStatus.OK, said.encode(), ("Content-Type", "application/xml"))

    def _refuse(self, status: int, code: str) -> None:
        said = f"<Error><Code>{code}</Code><Message>about {KEY} {SECRET}</Message></Error>"
        self._send(status, said.encode(), ("Content-Type", "application/xml"))

    def _send(self, status: int, body: bytes, *more: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Length", str(len(body))),
            ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
            *more,
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def object_server(patch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """Run the server on loopback, with a bucket and with its credentials in the environment."""
    found = ObjectServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"store": found}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    found.endpoint = f"http://127.0.0.1:{server.server_port}"
    for name, value in (
        ("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", found.endpoint), ("AWS_EC2_METADATA_DISABLED", "true"), ("NO_PROXY", "127.0.0.1"),
    ):  # fmt: skip
        patch.setenv(name, value)
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)
