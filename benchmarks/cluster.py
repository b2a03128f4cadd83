"""Scoring on a Ray cluster of simulated machines beside threads: equal bits, each shard once, time, memory.

`python -m benchmarks.cluster [--quick] [--count N]`: a head and three machines of one processor, all on this one. First
without losses, for time and memory; then with machines taken away at random moments, each replaced. Efficiency is
processor time: what threads took over what all processes of the cluster took, since simulated machines share the cores.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from agent.cluster.cluster_scorer import ClusterScorer
from agent.cluster.local_scorers import ThreadScorer
from agent.cluster.quick_work import QuickWork, Scored
from agent.cluster.ray_cluster import RayCluster, joined
from agent.mining.screening import draw_texts, quick_work
from agent.study.settings import Settings
from agent.study.study import open_study, read_expression
from benchmarks.simulated_machines import SimulatedMachines
from factors.tree import Expression
from market.errors import Rejection
from market.synthetic.demo_market import SynthSpec, make_market

MACHINES, STORE = 3, 400_000_000


@dataclass(frozen=True)
class Plan:
    """How much: expressions, bars and assets, expressions of a shard, machines taken away."""

    count: int
    bars: int
    assets: int
    shard: int
    taken: int


QUICK, WHOLE = Plan(600, 3_000, 30, 20, 3), Plan(100_000, 17_520, 50, 500, 3)


@dataclass(frozen=True, eq=False)
class Trial:
    """What is scored, what threads found, the processor seconds that took, and where files of shards are kept."""

    plan: Plan
    expressions: list[Expression]
    work: QuickWork
    wanted: Sequence[Scored]
    by_threads: float
    folder: Path


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--count", type=int)
    asked = parser.parse_args()
    plan = QUICK if asked.quick else WHOLE
    plan = replace(plan, count=asked.count or plan.count)
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    # Ray starts many processes of Python, and each would compile all that it imports.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    root = str(Path(__file__).resolve().parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    study = open_study(make_market(SynthSpec(bars=plan.bars, assets=plan.assets)).panel, Settings())
    read = (read_expression(text, study) for text in draw_texts(study, plan.count, 5))
    expressions = [one for one in read if isinstance(one, Expression)]
    work = quick_work(study)
    work.prepare()
    size = sum(values.nbytes for values in study.panel.fields.values()) / 1e6
    print(f"{len(expressions)} expressions on {plan.bars} bars of {plan.assets} assets, {size:.0f} MB of fields")
    begun, used = time.perf_counter(), time.process_time()
    wanted = list(ThreadScorer(2).run(expressions, work, lambda: False))
    by_threads = time.process_time() - used
    print(f"two threads: {time.perf_counter() - begun:.1f} s, {by_threads:.1f} s of processors")
    with tempfile.TemporaryDirectory(prefix="alphaglow-cluster-") as folder:
        _on_cluster(Trial(plan, expressions, work, wanted, by_threads, Path(folder)))


def _on_cluster(trial: Trial) -> None:
    simulated = SimulatedMachines(MACHINES, STORE)
    try:
        with joined("auto") as machines:
            # Processes start, load what is compiled, and get the data.
            list(_scored(trial, machines, "first", 2, trial.expressions[:12]))
            _without_losses(trial, machines)
            _with_losses(trial, machines, simulated)
    finally:
        simulated.close()


def _scored(
    trial: Trial,
    machines: RayCluster,
    run: str,
    size: int,
    expressions: list[Expression],
    said: list[str] | None = None,
) -> Iterator[Scored]:
    scorer = ClusterScorer(machines, trial.folder, run, size, ([] if said is None else said).append)
    return scorer.run(expressions, trial.work, lambda: False)


def _without_losses(trial: Trial, machines: RayCluster) -> None:
    """Print time, processor time and memory."""
    before, mine, begun = _processors(), time.process_time(), time.perf_counter()
    most, looking, found = 0.0, 0.0, []
    for one in _scored(trial, machines, "whole", trial.plan.shard, trial.expressions):
        found.append(one)
        if len(found) % trial.plan.shard == 1:
            # Looking at every process takes as long as scoring some expressions: no work of the cluster.
            looked = time.process_time()
            most = max(most, _memory())
            looking += time.process_time() - looked
    wall = time.perf_counter() - begun
    mine = time.process_time() - mine - looking
    scoring, others = (now - then for now, then in zip(_processors(), before, strict=True))
    used = mine + scoring + others
    _report(trial, "whole", found)
    print(f"cluster: {wall:.1f} s, {used:.1f} s of processors: efficiency {trial.by_threads / used:.0%}")
    print(f"of that {scoring:.1f} s in processes that score, {others:.1f} s in Ray's own, {mine:.1f} s here")
    print(f"without Ray's own, which there is four times here: {trial.by_threads / (mine + scoring):.0%}")
    print(f"largest process that scores: {most / 1e6:.0f} MB of its own; a machine has the data once beside it")


def _with_losses(trial: Trial, machines: RayCluster, simulated: SimulatedMachines) -> None:
    """Take machines away at random moments, put others in their place, and print what came."""
    rng, plan = np.random.default_rng(1), trial.plan
    moments = set(rng.integers(plan.shard, len(trial.expressions) * 3 // 4, plan.taken).tolist())
    said: list[str] = []
    found = []
    for one in _scored(trial, machines, "losses", plan.shard, trial.expressions, said):
        found.append(one)
        if len(found) in moments:
            simulated.replace(int(rng.integers(MACHINES)))
    print(f"{len(moments)} machines taken away: {said[0]}")
    _report(trial, "losses", found)


def _report(trial: Trial, run: str, found: Sequence[Scored]) -> None:
    """Print how many answers differ by a bit, and how often expressions are written down."""
    apart = sum(not _equal(one, other) for one, other in zip(found, trial.wanted, strict=True))
    ids = [one for path in sorted((trial.folder / f"shards-{run}").glob("*.npz")) for one in _ids(path)]
    print(f"{run}: {len(found)} answers, {apart} differ; written down {len(ids)}, of them once {len(set(ids))}")


def _equal(one: Scored, other: Scored) -> bool:
    a, b = one[1], other[1]
    if one[0].id != other[0].id or isinstance(a, Rejection) or isinstance(b, Rejection):
        return one[0].id == other[0].id and a == b
    same = np.array(astuple(a.quick)).tobytes() == np.array(astuple(b.quick)).tobytes()
    return same and a.fingerprint.tobytes() == b.fingerprint.tobytes()


def _ids(path: Path) -> list[str]:
    from market.array_file import read_archive

    ids: list[str] = read_archive(path, "shard", "")[0]["ids"]
    return ids


def _processors() -> tuple[float, float]:
    """Return the processor seconds of the cluster's processes that score, and of its others."""
    scoring = others = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times, scores = process.cpu_times(), "ray::" in " ".join(process.cmdline())
        except psutil.Error:
            continue
        if scores:
            scoring += times.user + times.system
        else:
            others += times.user + times.system
    return scoring, others


def _memory() -> float:
    """Return the most memory that a process which computes has for itself, in bytes."""
    found = [0.0]
    for process in psutil.Process().children(recursive=True):
        try:
            if "ray::" in " ".join(process.cmdline()):
                found.append(float(process.memory_full_info().uss))
        except psutil.Error:
            continue
    return max(found)


if __name__ == "__main__":
    main()
