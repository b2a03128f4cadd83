"""Fixtures every test may use; how tests are shared out among workers (`make test` starts one a core)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# One thread a process, set before NumPy, Numba and torch are imported: workers would take each other's cores.
# The programs that tests start inherit it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# The clock fails no example, and every run tries the same ones.
settings.register_profile("alphaglow", deadline=None, derandomize=True)
settings.load_profile("alphaglow")

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker a core that this process may use, at least two."""
    return max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """Compile the kernels into the cache on disk before workers start: each of them would compile all."""
    starts_workers = config.getoption("numprocesses", None) and not config.getoption("collectonly")
    if starts_workers and not hasattr(config, "workerinput"):
        subprocess.run([sys.executable, "-m", "agent", "warm"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a worker: keep tests that share a module's fixtures together, and begin with the longest."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        if _shares(item) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=_place)


def _shares(item: pytest.Item) -> bool:
    """Return whether a fixture of the test serves its whole module."""
    fixtures = getattr(item, "_fixtureinfo", None)
    found = fixtures.name2fixturedefs.values() if fixtures else ()
    return any(definition.scope == "module" for definitions in found for definition in definitions)


def _place(item: pytest.Item) -> int:
    """Return 0 for long tests, 1 for those of a group, 2 for the others: short ones fill the gaps at the end."""
    if item.get_closest_marker("slow") is not None:
        return 0
    return 1 if item.get_closest_marker("xdist_group") is not None else 2


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
