"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared(folder: str) -> Path:
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f"real data: no shared/{folder} folder beside this checkout")
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recorded market data; tests that need it skip where it is absent."""
    return _shared("data")


@pytest.fixture(scope="session")
def shared_corpora() -> Path:
    """Folder of published factor expressions; tests that need it skip where it is absent."""
    return _shared("corpora")


@pytest.fixture(autouse=True)
def no_real_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach a paid service by way of the developer's environment."""
    for name in [key for key in os.environ if key.startswith(("OPENAI_", "ALPHAGLOW_"))]:
        monkeypatch.delenv(name)
