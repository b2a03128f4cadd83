"""A server of `alphaglow ui` of its own process, and the browser that looks at it: for tests and for benchmarks."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox"]
# Of every test that looks at pages in a real browser.
BROWSER_MARKS = [
    pytest.mark.slow,
    pytest.mark.usefixtures("browser_swept"),
    pytest.mark.skipif(
        CHROMIUM is None and "ALPHAGLOW_REQUIRE_CHROMIUM" not in os.environ, reason="no Chromium is installed here"
    ),
]


@contextmanager
def served(workspace: Path) -> Iterator[tuple[str, int]]:
    """Start a server on a free port; yield its address, without a slash at its end, and its process id.

    Raises
    ------
    RuntimeError
        With its first words, where it does not start.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "agent", "-w", str(workspace), "ui", "--port", str(port)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            if f"http://127.0.0.1:{port}/" not in (said := server.stderr.readline()):
                raise RuntimeError(f"the server did not start: {said}")
            yield f"http://127.0.0.1:{port}", server.pid
        finally:
            server.terminate()
            server.wait(30)
