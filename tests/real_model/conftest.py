"""A server of a real model for the tests of this folder, which `make real-model` runs and nothing else collects."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# The Python of an environment with the model: `make real-model` names it.
PYTHON = os.environ.get("REAL_MODEL_PYTHON", "")
collect_ignore_glob = [] if PYTHON else ["test_*.py"]
SERVE = Path(__file__).with_name("serve.py")


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """Serve the model; gives the address for ``--base-url``."""
    started = [PYTHON, str(SERVE), *options]
    # Leaving the block closes its input, at which it ends, and waits for it.
    pipe = subprocess.PIPE
    with subprocess.Popen(started, stdin=pipe, stdout=pipe, stderr=sys.stderr, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:"), "the server of the real model did not start"
            yield f"{address}/v1"
        finally:
            process.stdin.close()


@pytest.fixture(scope="session")
def real_model() -> Iterator[str]:
    """The address of a server of the real model that holds 4 096 tokens."""
    given = os.environ.get("REAL_MODEL_URL", "")
    if given:
        yield given
        return
    with serving("--context", "4096") as address:
        yield address
