"""Spreading over a cluster: the answers of threads to the last bit, each once, whoever is lost, stopped or changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.cluster.cluster_scorer import ClusterScorer
from agent.cluster.local_scorers import ThreadScorer
from agent.cluster.quick_work import QuickOutcome, QuickWork, Scored
from agent.cluster.ray_cluster import Loss
from agent.mining.screening import draw_texts, quick_work
from agent.study.settings import Settings
from agent.study.study import Study, open_study, read_expression
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.cluster.stand_in import StandIn

FOR_ITS_PROCESS, FOR_ITS_MACHINE = Loss("the process ended", machine=False), Loss("the machine ended", machine=True)


@pytest.fixture(scope="module")
def study() -> Study:
    return open_study(make_market(SynthSpec(bars=600, assets=12)).panel, Settings())


@pytest.fixture(scope="module")
def work(study: Study) -> QuickWork:
    return quick_work(study)


@pytest.fixture(scope="module")
def expressions(study: Study) -> list[Expression]:
    read = (read_expression(text, study) for text in draw_texts(study, 40, 1))
    return [one for one in read if isinstance(one, Expression)]


@pytest.fixture(scope="module")
def by_threads(work: QuickWork, expressions: list[Expression]) -> list[Scored]:
    return list(ThreadScorer(2).run(expressions, work, lambda: False))


def require_equal(found: Sequence[Scored], wanted: Sequence[Scored]) -> None:
    assert [expression.id for expression, _ in found] == [expression.id for expression, _ in wanted]
    for (_, one), (_, other) in zip(found, wanted, strict=True):
        if isinstance(one, Rejection) or isinstance(other, Rejection):
            assert one == other
            continue
        assert np.array(astuple(one.quick)).tobytes() == np.array(astuple(other.quick)).tobytes()
        assert one.fingerprint.tobytes() == other.fingerprint.tobytes()


def spread(
    machines: StandIn, folder: Path, work: QuickWork, expressions: Sequence[Expression], **options: Any
) -> tuple[list[Scored], str]:
    said: list[str] = []
    stop: Callable[[], bool] = options.pop("stop", lambda: False)
    scorer = ClusterScorer(machines, folder, "run:1", options.pop("size", 8), said.append)
    return list(scorer.run(expressions, work, stop)), " ".join(said)


def test_answers_are_those_of_threads(
    work: QuickWork, expressions: list[Expression], by_threads: list[Scored], tmp_path: Path
) -> None:
    found, said = spread(StandIn(read_only=True), tmp_path, work, expressions)
    require_equal(found, by_threads)
    assert sum(isinstance(one, QuickOutcome) for _, one in found) > 30
    assert said == "5 shards came from the cluster"


def test_work_that_was_done_here_can_still_be_sent(
    study: Study, expressions: list[Expression], by_threads: list[Scored], tmp_path: Path
) -> None:
    used = quick_work(study)
    used.do(expressions[0])
    require_equal(spread(StandIn(), tmp_path, used, expressions[:8])[0], by_threads[:8])


def test_what_was_lost_with_a_machine_is_done_again(
    work: QuickWork, expressions: list[Expression], by_threads: list[Scored], tmp_path: Path
) -> None:
    machines = StandIn(lambda _items, started: FOR_ITS_MACHINE if started in (1, 2, 4) else None)
    found, said = spread(machines, tmp_path, work, expressions)
    require_equal(found, by_threads)
    assert machines.shards == 8
    assert "3 for their machine and 0 for their process" in said


def test_an_expression_that_ends_each_process_is_refused_and_no_other(
    work: QuickWork, expressions: list[Expression], by_threads: list[Scored], tmp_path: Path
) -> None:
    poison = expressions[11].id
    machines = StandIn(lambda items, _: FOR_ITS_PROCESS if poison in {one.id for one in items} else None)
    found, said = spread(machines, tmp_path, work, expressions)
    refused = found[11][1]
    assert isinstance(refused, Rejection)
    assert (refused.stage, refused.code) == ("evaluate", "worker_lost")
    assert "too much time or memory" in refused.message
    others = [k for k in range(len(found)) if k != 11]
    require_equal([found[k] for k in others], [by_threads[k] for k in others])
    assert "1 given up" in said


def test_stopped_and_gone_on_with_nothing_is_done_twice(
    work: QuickWork, expressions: list[Expression], by_threads: list[Scored], tmp_path: Path
) -> None:
    first = StandIn()
    came, _ = spread(first, tmp_path, work, expressions, stop=lambda: first.shards - len(first.started) >= 3)
    assert len(came) < len(expressions)
    # What was under way is ended, and does not go on in the cluster.
    assert sorted(first.ended) == sorted(first.started)
    second = StandIn()
    found, said = spread(second, tmp_path, work, expressions, size=5)
    require_equal(found, by_threads)
    assert "24 answers were there from before" in said
    assert second.shards == 4
    third = StandIn()
    require_equal(spread(third, tmp_path, work, expressions)[0], by_threads)
    assert third.shards == 0


def test_other_data_or_rules_find_nothing_of_before(
    work: QuickWork, expressions: list[Expression], study: Study, tmp_path: Path
) -> None:
    spread(StandIn(), tmp_path, work, expressions[:8])
    other = replace(study, spec=replace(study.spec, holding=study.spec.holding + 1))
    machines = StandIn()
    spread(machines, tmp_path, quick_work(other), expressions[:8])
    assert machines.shards == 1


def test_data_that_changed_on_the_way_are_refused(
    work: QuickWork, expressions: list[Expression], tmp_path: Path
) -> None:
    class Faulty(StandIn):
        def share(self, work: QuickWork) -> QuickWork:
            fields = {**work.panel.fields, "close": work.panel["close"] * 1.0001}
            changed = replace(work.panel, fields=fields)
            # A copy remembers the id that it was sent with.
            changed.__dict__["id"] = work.panel.id
            return super().share(replace(work, panel=changed))

    with pytest.raises(InputError, match="are not those that were sent"):
        spread(Faulty(), tmp_path, work, expressions)


def test_a_machine_with_other_versions_is_refused(
    work: QuickWork, expressions: list[Expression], tmp_path: Path
) -> None:
    machines = StandIn()
    machines.facts["numba"] = "0.1"
    with pytest.raises(InputError, match=r"differs: numba \S+ \(here 0\.1\)"):
        spread(machines, tmp_path, work, expressions)


def test_without_machines_it_waits_and_then_says_so(work: QuickWork, expressions: list[Expression]) -> None:
    from agent.cluster.spreading import Spreading

    spreading = Spreading(StandIn(processors=0), work, 8, patience=0.0)
    with pytest.raises(InputError, match="has had no machine"):
        list(spreading.run(expressions))


def test_a_file_of_a_shard_that_is_broken_is_named(
    work: QuickWork, expressions: list[Expression], tmp_path: Path
) -> None:
    spread(StandIn(), tmp_path, work, expressions[:8])
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="delete it"):
        spread(StandIn(), tmp_path, work, expressions[:8])
