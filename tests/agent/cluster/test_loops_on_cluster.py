"""The loops on a cluster: what is recorded is what this machine would have recorded, to the last bit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from agent.cluster.full_work import Ahead, FullWork
from agent.cluster.ray_cluster import Loss
from agent.cluster.spreading import Machines
from agent.evidence.control_audit import Auditor, AuditPlan, run_controls
from agent.evidence.control_runs import Control
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.knowledge.run_config import RunConfig, ScoringRules
from agent.llm.budget import Budget
from agent.mining.session import MOCK_MODEL, Session
from agent.pools.member_work import on_machines
from agent.pools.members import PoolCandidate, measure_members
from agent.study.settings import Settings
from agent.study.study import Study, backtest_expression, open_study, read_expression
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.cluster.stand_in import StandIn


@pytest.fixture(scope="module")
def study() -> Study:
    return open_study(make_market(SynthSpec(bars=900, assets=12)).panel, Settings())


def mined(study: Study, folder: Path, machines: Machines | None) -> list[object]:
    folder.mkdir()
    with KnowledgeBase.open(folder / "knowledge.db") as knowledge:
        knowledge.register_dataset(study.panel)
        settings = Settings()
        loop = settings.loop.model_copy(update={"rounds": 2, "candidates": 4})
        rules = ScoringRules({"loop": loop.model_dump()})
        config = RunConfig(llm="mock", model=MOCK_MODEL, simulated=True, rules=rules)
        run = knowledge.create_run(study.panel.id, config, loop.seed)
        session = Session(run, study, knowledge, settings, config, Budget(), simulated=True, machines=machines)
        asyncio.run(session.go(lambda: False, lambda _event, _total: None))
        return [(a.slot, a.text, a.code, _scores(a)) for a in knowledge.attempts(run_id=run.id)]


def test_a_run_on_a_cluster_records_what_a_run_here_records(study: Study, tmp_path: Path) -> None:
    machines = StandIn(lambda _items, started: Loss("the machine ended", machine=True) if started == 2 else None)
    there = mined(study, tmp_path / "there", machines)
    assert there == mined(study, tmp_path / "here", None)
    assert machines.shards > 4
    assert not machines.started


def test_a_factor_that_ends_its_processes_is_refused(study: Study) -> None:
    expression = read_expression("ts_mean(close, 5)", study)
    assert isinstance(expression, Expression)
    ahead = Ahead(StandIn(lambda _items, _started: Loss("the process ended", machine=False)), study)
    found = ahead.result(expression)
    assert isinstance(found, Rejection)
    assert found.code == "worker_lost"


def test_an_audit_on_a_cluster_is_that_of_one_machine(study: Study, tmp_path: Path) -> None:
    plan = AuditPlan(nulls=1, planted=0, rounds=1, candidates=2)

    def controls(name: str, machines: Machines | None) -> list[dict[str, object]]:
        (tmp_path / name).mkdir()
        auditor = Auditor(study, Settings(), tmp_path / name, plan, machines=machines)
        found = run_controls(auditor)
        assert found is not None
        # Written down: the next audit does nothing again.
        assert list(auditor.done().values()) and set(map(_key, auditor.done().values())) == set(map(_key, found))
        return [asdict(one) for one in found]

    machines = StandIn()
    assert controls("there", machines) == controls("here", None)
    assert machines.shards == len(plan.wanted())


def _scores(attempt: AttemptRecord) -> str:
    return "" if attempt.evaluation is None else json.dumps(attempt.evaluation.to_dict(), sort_keys=True)


def _key(control: Control) -> tuple[str, int]:
    return control.kind, control.number


def test_members_of_a_pool_are_measured_on_a_cluster_as_here(study: Study) -> None:
    texts = ("ts_mean(returns, 5)", "-ts_mean(returns, 20)", "volume / ts_mean(volume, 10)")
    candidates = [PoolCandidate(one, "", "not tried") for one in _read(texts, study)]
    here, there = (
        measure_members(candidates, study),
        measure_members(candidates, study, elsewhere=on_machines(StandIn())),
    )
    assert there.members.ranks.tobytes() == here.members.ranks.tobytes()
    assert there.ics.tobytes() == here.ics.tobytes()
    assert [one.net.tobytes() for one in there.traded] == [one.net.tobytes() for one in here.traded]


def test_a_member_that_ends_its_processes_is_named(study: Study) -> None:
    candidates = [PoolCandidate(one, "", "not tried") for one in _read(("ts_mean(returns, 5)",), study)]
    lost = on_machines(StandIn(lambda _items, _started: Loss("the process ended", machine=False)))
    with pytest.raises(InputError, match=r"ts_mean\(returns, 5\): each of 3 processes"):
        measure_members(candidates, study, elsewhere=lost)


def _read(texts: Sequence[str], study: Study) -> list[Expression]:
    read = [read_expression(text, study) for text in texts]
    return [one for one in read if isinstance(one, Expression)]


@pytest.mark.slow
def test_values_and_scores_come_back_as_they_were(study: Study) -> None:
    expression = read_expression("cs_rank(ts_mean(returns, 10))", study)
    assert isinstance(expression, Expression)
    here = backtest_expression(expression, study)
    there = Ahead(StandIn(read_only=True), study).result(expression)
    assert not isinstance(here, Rejection) and not isinstance(there, Rejection)
    assert there[0].values.tobytes() == here[0].values.tobytes()
    assert there[1].backtest.net.tobytes() == here[1].backtest.net.tobytes()
    assert json.dumps(there[1].scorecard.to_dict()) == json.dumps(here[1].scorecard.to_dict())
    # The driver's code writes to such arrays.
    assert there[0].values.flags.writeable
    assert FullWork(study).content_id() == FullWork(study).content_id()
