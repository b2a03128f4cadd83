"""The audit: runs on markets whose truth is known, stopped and gone on with, and questions to admitted factors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.evidence.control_audit import Auditor, AuditPlan, check_factors, run_audit
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt
from agent.knowledge.run_config import RunConfig
from agent.study.scoring import evaluate_expression, evaluation_of
from agent.study.settings import Settings
from agent.study.study import Study, open_study, read_expression
from factors.tree import Expression
from market.errors import Rejection
from market.synthetic.demo_market import TRUTH, SynthSpec, make_market
from tests.agent.commands import as_json, refused

PLAN = AuditPlan(permuted=2, planted=1, sizes=(0.08,), rounds=1, candidates=4, gates=5)


@pytest.fixture(scope="module")
def study() -> Study:
    return open_study(make_market(SynthSpec(bars=3000)).panel, Settings())


def test_an_audit_is_resumed_without_doing_anything_twice(study: Study, tmp_path: Path) -> None:
    shown: list[str] = []
    auditor = Auditor(study, Settings(), tmp_path, PLAN, stop=lambda: len(shown) >= 2, show=shown.append)
    with KnowledgeBase.open(tmp_path / "knowledge.db") as knowledge:
        assert run_audit(auditor, knowledge) is None
        assert len(shown) == 2
        # A crash in the middle of a line loses that line only.
        with auditor.journal.open("a") as file:
            file.write('{"kind": "pla')
        again: list[str] = []
        found = run_audit(replace(auditor, stop=lambda: False, show=again.append), knowledge)
        assert found is not None
        assert again.count("done before") == 2
        # What came after the crash is written down as well.
        assert len(auditor.done()) == 3
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        straight = run_audit(replace(auditor, folder=fresh, stop=lambda: False, show=lambda _: None), knowledge)
        assert straight is not None
        assert straight.controls == found.controls
        # Controls are no trials on the data.
        assert knowledge.trials(study.dataset).count == 0
    assert not list(tmp_path.glob("audit-*.db*"))
    summary = found.summary()
    assert summary["permuted_runs"] == 2
    assert summary["attempts_each"] == 4
    planted = summary["planted"]
    assert isinstance(planted, dict)
    gates = planted["0.08"]["gates_passed_when_given"]
    assert gates["predicts"] == 1.0


def test_admitted_factors_are_put_to_the_question(study: Study, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    gated = replace(study, exposures=(rng.random(study.panel.shape) > 0.1).astype(float))
    expression = read_expression(TRUTH, study)
    assert isinstance(expression, Expression)
    with KnowledgeBase.open(tmp_path / "knowledge.db") as knowledge:
        knowledge.register_dataset(replace(study.panel))
        study_here = replace(gated, dataset=study.panel.id)
        run = knowledge.create_run(study.panel.id, RunConfig(), 1)
        knowledge.start_round(run.id, 1, {})
        scoring = evaluate_expression(expression, study_here, knowledge)
        assert not isinstance(scoring, Rejection)
        evaluation = replace(evaluation_of(scoring), evidence=replace(scoring.evidence, accepted=True))
        knowledge.record_attempt(
            NewAttempt(
                run_id=run.id,
                round=1,
                slot=0,
                text=TRUTH,
                canonical=expression.text,
                factor_id=expression.id,
                stage="evidence",
                evaluation=evaluation,
            )
        )
        (check,) = check_factors(study_here, knowledge, gates=10, seed=1)
    assert check.causal
    # A slow signal loses little by coming a bar late.
    assert 0.5 * check.rank_ic < check.rank_ic_late < check.rank_ic
    assert check.gate_beats is not None
    assert 0 <= check.gate_beats <= 1


def test_the_command(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--permuted", "1", "--planted", "1", "--sizes", "0.1", "--rounds", "1", "--candidates", "3")
    found = as_json(capsys, "audit", *options)
    assert found["false_admissions"] in (0.0, 1.0)
    assert len(found["runs"]) == 2
    assert "between 0 and 0.5" in refused(capsys, "audit", "--sizes", "0.7")
