"""Ray itself: one process of it in every run of the suite; in slow ones simulated machines, one of them taken away."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.cluster import ray_cluster
from agent.cluster.cluster_scorer import ClusterScorer
from agent.cluster.local_scorers import ThreadScorer
from agent.cluster.quick_work import QuickOutcome, QuickWork
from agent.cluster.ray_cluster import joined
from agent.mining.screening import draw_texts, quick_work
from agent.study.settings import Settings
from agent.study.study import Study, open_study, read_expression
from benchmarks.simulated_machines import SimulatedMachines
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.commands import refused

ray = pytest.importorskip("ray", reason='a cluster needs Ray: pip install "alphaglow[cluster]"')
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def simulated() -> Iterator[SimulatedMachines]:
    """A head that is a machine of one processor too: to start it costs more than all that is asked of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        # Ray starts many processes of Python, and each would compile all that it imports.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        # Processes of Ray find alphaglow, and these tests, where this one does.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        machines = SimulatedMachines(0, head=1)
        yield machines
        machines.close()


@pytest.fixture
def cluster_there(simulated: SimulatedMachines) -> SimulatedMachines:
    """The same, and this process is connected to it."""
    simulated.connect()
    return simulated


@pytest.fixture(scope="module")
def study() -> Study:
    return open_study(make_market(SynthSpec(bars=600, assets=12)).panel, Settings())


def some(study: Study, count: int) -> list[Expression]:
    read = (read_expression(text, study) for text in draw_texts(study, count, 1))
    return [one for one in read if isinstance(one, Expression)]


class PoisonedWork(QuickWork):
    """Quick scores where one expression ends its process, as one does that takes all memory."""

    def content_id(self) -> str:
        # A process keeps the work that it has by this id.
        return f"poisoned:{super().content_id()}"

    def do(self, expression: Expression, /) -> QuickOutcome | Rejection:
        if expression.text == "ts_mean(close, 7)":
            os._exit(1)
        return super().do(expression)


def require_equal(found: list[Any], wanted: list[Any]) -> None:
    for (_, one), (_, other) in zip(found, wanted, strict=True):
        if isinstance(other, Rejection):
            assert one == other
        else:
            assert repr(one.quick) == repr(other.quick)
            assert one.fingerprint.tobytes() == other.fingerprint.tobytes()


@pytest.mark.filterwarnings("ignore")
def test_a_process_of_ray_answers_as_threads_do_and_is_left_at_the_end(
    cluster_there: SimulatedMachines, study: Study, tmp_path: Path
) -> None:
    expressions, work = some(study, 12), quick_work(study)
    with joined("auto") as cluster:
        # The head, and what the other test added to it.
        assert cluster.processors() == len(cluster.machines()) == 1 + len(cluster_there.nodes)
        found = list(ClusterScorer(cluster, tmp_path, "run:1", 6).run(expressions, work, lambda: False))
    # Joined before, and so not left.
    assert ray.is_initialized()
    require_equal(found, list(ThreadScorer().run(expressions, work, lambda: False)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_machine_is_taken_away_and_another_comes(
    cluster_there: SimulatedMachines, study: Study, tmp_path: Path
) -> None:
    cluster_there.grow(2)
    poison = read_expression("ts_mean(close, 7)", study)
    assert isinstance(poison, Expression)
    expressions, work = some(study, 120), quick_work(study)
    expressions.insert(40, poison)
    poisoned = PoisonedWork(**work.__dict__)
    said: list[str] = []
    with joined("auto") as cluster:
        assert len(cluster.machines()) == 3
        found = []
        scorer = ClusterScorer(cluster, tmp_path, "run:1", 10, said.append)
        for one in scorer.run(expressions, poisoned, lambda: False):
            found.append(one)
            if len(found) == 20:
                cluster_there.replace(0)
    refusal = found[40][1]
    assert isinstance(refusal, Rejection) and refusal.code == "worker_lost"
    wanted = list(ThreadScorer(2).run(expressions, work, lambda: False))
    wanted[40] = (wanted[40][0], replace(refusal))
    require_equal(found, wanted)
    assert "1 given up" in said[0]


def test_without_ray_the_extra_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent.study.workspace import init_workspace

    init_workspace(tmp_path / "w")
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _name: None)
    said = refused(capsys, "--workspace", str(tmp_path / "w"), "screen", "--random", "5", "--cluster", "auto")
    assert 'pip install "alphaglow[cluster]"' in said
    said = refused(capsys, "--workspace", str(tmp_path / "w"), "screen", "--random", "5", "--cluster", "somewhere")
    assert "'somewhere' is no address of a cluster" in said


def test_where_nobody_listens_is_said_at_once() -> None:
    ray.shutdown()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"ray://127.0.0.1:{port}", f"127.0.0.1:{port}"):
        with pytest.raises(InputError, match="no cluster answers at"), joined(address):
            pass
