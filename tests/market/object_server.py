"""A server on this machine that speaks S3, and that throttles, loses parts or refuses as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

BUCKET = "prices"
KEY, SECRET = "AKIATESTTESTTESTTEST", "a-secret-that-is-never-printed"


@dataclass
class ObjectServer:
    """The server; `faults` maps a part of a path to the answers that are given instead, one after the other."""

    endpoint: str = ""
    faults: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    client: Any = None

    def put(self, folder: Path, under: str) -> None:
        """Store the files of a folder."""
        for file in folder.iterdir():
            self.client.put_object(Bucket=BUCKET, Key=f"{under}/{file.name}", Body=file.read_bytes())

    def wrapped(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """Return the application with the faults before it."""

        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            path = environ["PATH_INFO"]
            self.asked.append((environ["REQUEST_METHOD"], path))
            for part, left in self.faults.items():
                if part in path and left:
                    status, code = left.pop(0)
                    start(status, [("Content-Type", "application/xml")])
                    said = f"<Error><Code>{code}</Code><Message>about {KEY} {SECRET}</Message></Error>"
                    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else said.encode()]
            return app(environ, start)

        return answer


@contextmanager
def object_server(patch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """Run the server on loopback, with a bucket and with its credentials in the environment."""
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto.server")
    serving = pytest.importorskip("werkzeug.serving")
    found = ObjectServer()
    app = found.wrapped(moto.DomainDispatcherApplication(moto.create_backend_app))
    server = serving.make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.endpoint = f"http://127.0.0.1:{server.server_port}"
    for name, value in (
        ("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", found.endpoint), ("AWS_EC2_METADATA_DISABLED", "true"), ("NO_PROXY", "127.0.0.1"),
    ):  # fmt: skip
        patch.setenv(name, value)
    found.client = boto3.client("s3", endpoint_url=found.endpoint)
    found.client.create_bucket(Bucket=BUCKET)
    try:
        yield found
    finally:
        server.shutdown()
        thread.join(30)
