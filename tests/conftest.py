"""Fixtures every test may use; how tests are shared out among workers (`make test` starts one a core)."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadGroupScheduling
    from xdist.workermanage import WorkerController

    from market.panel import Panel

# One thread a process, set before NumPy, Numba and torch are imported: workers would take each other's cores.
# The programs that tests start inherit it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def _choose_memory() -> None:
    """Put temporary folders into memory where it has room for them: on a disk, each commit waits for the disk."""
    memory, about = Path("/dev/shm"), Path("/proc/meminfo")
    if not (memory.is_dir() and os.access(memory, os.W_OK) and about.is_file()):
        return
    there = os.statvfs(memory)
    free = next((int(line.split()[1]) for line in about.read_text().splitlines() if line.startswith("MemAvailable")), 0)
    # A run needs less than 1 GB there, and its workers some 6 GB; tests load libraries that they compile.
    if there.f_bavail * there.f_frsize > 3e9 and free * 1024 > 9e9 and not there.f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


_choose_memory()
# Libraries and tests are a million objects that stay: the collector would walk through them again and again.
gc.disable()

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# The clock fails no example, and every run tries the same ones.
settings.register_profile("alphaglow", deadline=None, derandomize=True)
settings.load_profile("alphaglow")

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(__file__).resolve().parents[2] / "shared"
_WARM = (
    "from factors.warm_engine import warm_up; warm_up()",
    "from backtest.warm_backtest import warm_backtest; warm_backtest()",
)
# Where the workers write the group of each test.
GROUPS = pytest.StashKey[Path]()
# CPU seconds, about, of the tests that take longest, by function, and of groups, by file: these begin first, so that no
# worker has a long one left at the end. Only the order hangs on them: a number that is out of date fails nothing.
SECONDS = {
    # All that forks programs; all else that needs PostgreSQL.
    "forked": 120,
    "postgres": 60,
    "test_signal_decisions": 35,
    "test_flows_gate": 35,
    "test_opening": 35,
    "test_flow_commands": 20,
    "test_flows_scenarios": 16,
    "test_gate_mine_report_kb": 16,
    "test_learned_finds": 15,
    "test_audit": 12,
    "test_thousands_of_broken_texts_are_each_an_answer": 13,
    "test_market_checks": 13,
    "test_imports": 12,
    "test_knowledge_looking": 4,
    "test_real_coins_scrambled_pay_nothing": 10,
    "test_market_cases": 5,
    "test_the_best_of_a_hundred_passes_as_often_as_stated": 9,
    "test_worldquant_peer": 8,
    "test_a_run_records_what_each_candidate_was_asked": 8,
    "test_with_feedback_validation_steers_and_admits_nothing": 7,
    "test_market_hints": 5,
    "test_windows_of_all_lengths_in_one_call": 5,
    "test_flows_training": 5,
    "test_pandas_by_models": 4,
    "test_published_factors_have_values_on_equities_and_see_no_future": 5,
    "test_a_search_by_train_passes_one_test_by_luck_and_not_the_second": 5,
    "test_on_drawn_blocks_nothing_is_found": 5,
}


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker a core that this process may use, at least two."""
    return max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """Compile the kernels into the cache on disk before workers start: each of them would compile all."""
    if not hasattr(config, "workerinput"):
        config.stash[GROUPS] = Path(tempfile.mkdtemp()) / "groups.json"
        config.add_cleanup(lambda: shutil.rmtree(config.stash[GROUPS].parent))
    # A job in the background inherits that Ctrl-C is ignored; tests that press it would wait for ever.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    starts_workers = config.getoption("numprocesses", None) and not config.getoption("collectonly")
    if starts_workers and not hasattr(config, "workerinput"):
        # Two halves at once, as `alphaglow warm` does them one after the other.
        halves = [subprocess.Popen([sys.executable, "-c", half], cwd=ROOT) for half in _WARM]
        ended = [half.wait() for half in halves]
        if any(ended):
            raise pytest.UsageError("the kernels do not compile; `python -m agent warm` says why")


def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker where to write which tests belong together."""
    node.workerinput["groups"] = str(node.config.stash[GROUPS])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadGroupScheduling | None:
    """Keep groups together by what the workers wrote.

    xdist carries a group in the test's id, which it can no longer change from pytest 9.2 on: every test went its own
    way, without a word (https://github.com/pytest-dev/pytest-xdist/issues/1386).
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    class Scheduling(LoadGroupScheduling):
        groups: dict[str, str] | None = None

        def _split_scope(self, nodeid: str) -> str:
            if self.groups is None:
                self.groups = json.loads(config.stash[GROUPS].read_text())
            return self.groups.get(nodeid, nodeid)

    return Scheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a worker: keep tests that share something costly together, and begin with the longest."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        if item.get_closest_marker("xdist_group") is None and (group := _group(item)):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (-_seconds(item), _place(item)))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Say which tests belong together; then the collector looks only at what tests make, not at every 700 objects."""
    if hasattr(session.config, "workerinput"):
        marks = ((item.nodeid, item.get_closest_marker("xdist_group")) for item in session.items)
        path = Path(session.config.workerinput["groups"])
        # Every worker writes the same; none may read half of it.
        part = path.with_name(session.config.workerinput["workerid"])
        part.write_text(json.dumps({name: mark.args[0] for name, mark in marks if mark}))
        part.replace(path)
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


def _group(item: pytest.Item) -> str:
    """Return the name of those that a test is run with, by the same worker; "" where any worker may run it alone.

    The process that programs are forked from and a PostgreSQL server cost seconds to start: one worker has the first,
    and the other one may have the second, so that neither waits for the other at the end.
    """
    called = getattr(item, "callspec", None)
    # A parameter may be an array, which is equal to nothing as a whole.
    given = [value for value in called.params.values() if isinstance(value, str)] if called else []
    on_postgres = "postgres" in getattr(item, "fixturenames", ()) or "postgresql" in given
    if _forks(getattr(item, "module", None)):
        return "forked"
    if on_postgres:
        return "postgres"
    return item.path.stem if _shares(item) else ""


@cache
def _forks(module: ModuleType | None) -> bool:
    """Return whether a module's tests fork programs from a server process."""
    names = vars(module).values() if module else ()
    return any("tests.forked" in (getattr(thing, "__name__", ""), getattr(thing, "__module__", "")) for thing in names)


def _shares(item: pytest.Item) -> bool:
    """Return whether a fixture of the test serves its whole module."""
    fixtures = getattr(item, "_fixtureinfo", None)
    found = fixtures.name2fixturedefs.items() if fixtures else ()
    return any(one.scope == "module" for name, several in found if name != "swept" for one in several)


def _seconds(item: pytest.Item) -> int:
    """Return how long a test, or the group that it belongs to, is known to take; 0 for all that are short."""
    group = item.get_closest_marker("xdist_group")
    return SECONDS.get(group.args[0] if group else getattr(item, "originalname", item.name), 0)


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
def coins_by_hour(shared_data: Path) -> Panel:
    """The recorded hours of 68 coins, read and checked once a worker; nobody writes to it."""
    from market.files import import_files

    return import_files([shared_data / "crypto_spot_1h.parquet"])


@pytest.fixture(scope="session")
def shared_corpora() -> Path:
    """Folder of published factor expressions; tests that need it skip where it is absent."""
    return _shared("corpora")


@pytest.fixture(autouse=True)
def no_real_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach a paid service by way of the developer's environment."""
    for name in [key for key in os.environ if key.startswith(("OPENAI_", "ALPHAGLOW_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module", autouse=True)
def swept() -> Iterator[None]:
    """Collect what the tests of a module left behind at its end: what is open still fails there, and no later test."""
    yield
    gc.collect()
    # What is left is kept by somebody: the next sweep looks at what is new.
    gc.freeze()
