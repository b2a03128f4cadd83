"""A PostgreSQL server of the tests' own, in a temporary folder; none of it outlives them."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase

PASSWORD = "s3cret-word"
# Set by .ci/run where a server could be installed: then its tests may not be skipped.
REQUIRED = bool(os.environ.get("ALPHAGLOW_REQUIRE_POSTGRES"))
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
}


@dataclass(frozen=True)
class Server:
    """A running server: databases are made on it, by way of its socket; over TCP it asks for a password."""

    folder: Path
    port: int

    def url(self, name: str) -> str:
        """Return the URL of a database, by way of the socket, which asks for no password."""
        return f"postgresql://postgres@/{name}?host={self.folder}&port={self.port}"

    def tcp(self, name: str, user: str = "postgres", password: str = PASSWORD) -> str:
        """Return the URL of a database over TCP."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{name}"

    def execute(self, text: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the superuser; return its rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self, template: str = "template1") -> str:
        """Make an empty database, or a copy of another, to which nobody is connected; return its URL."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    @cached_property
    def migrated(self) -> str:
        """The name of a database that holds an empty knowledge base: to copy it costs less than to migrate."""
        url = self.new_database()
        KnowledgeBase.open(url).close()
        return url.removeprefix("postgresql://postgres@/").partition("?")[0]


def _binaries() -> Path | None:
    """Return the folder of the newest server installed."""
    found = shutil.which("initdb")
    if found and shutil.which("postgres"):
        return Path(found).resolve().parent
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    places += Path("/usr/local/pgsql/bin").glob("initdb")
    return places[-1].parent if places else None


def _lacking(reason: str) -> None:
    if REQUIRED:
        pytest.fail(f"PostgreSQL is required here: {reason}")
    pytest.skip(f"PostgreSQL: {reason}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server() -> Iterator[Server]:
    """Start a server, lend it, stop it; skip, saying why, where there can be none."""
    try:
        importlib.import_module("psycopg")
    except ImportError:
        _lacking("its driver is not installed (pip install psycopg)")
    binaries = _binaries()
    if binaries is None:
        _lacking("no server is installed (no initdb in PATH or /usr/lib/postgresql)")
    assert binaries is not None
    # It refuses to run as root: there, the user that its package made runs it.
    who: dict[str, object] = {}
    # A database is a thousand files, which a disk takes half a minute to delete for all tests.
    folder = Path(tempfile.mkdtemp(prefix="alphaglow-pg-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    if os.geteuid() == 0:
        try:
            shutil.chown(folder, "postgres", "postgres")
        except LookupError:
            _lacking("there is no user postgres, and it does not run as root")
        who = {"user": "postgres", "group": "postgres", "extra_groups": []}
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    server = Server(folder, _free_port())
    try:
        made = subprocess.run(
            [
                str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-E", "UTF8", "--no-locale",
                "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}", "--no-sync",
            ],
            cwd=folder, capture_output=True, text=True, check=False, **who,  # type: ignore[call-overload]
        )  # fmt: skip
        if made.returncode:
            _lacking(f"initdb fails: {made.stderr.strip()[-300:]}")
        options = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(folder / "data"), "-k", str(folder), "-p", str(server.port)]
                + options,
                cwd=folder, stdout=log, stderr=log, **who,  # type: ignore[call-overload]
            )  # fmt: skip
        try:
            _await(server, process)
            yield server
        finally:
            # Fast: it waits for no client.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(server: Server, process: subprocess.Popen[bytes]) -> None:
    import psycopg

    # It answers, or it ends by itself; the count only stops a test run that nobody watches.
    for _ in range(6000):
        if process.poll() is not None:
            break
        try:
            server.execute("SELECT 1")
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    _lacking(f"the server does not start: {(server.folder / 'log').read_text()[-300:]}")
