"""The audit: runs on markets whose truth is known, stopped and gone on with, and questions to admitted factors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.evidence.control_audit import Auditor, AuditPlan, audit_plan, run_audit
from agent.evidence.factor_checks import check_factors
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt
from agent.knowledge.run_config import RunConfig
from agent.study.scoring import evaluate_expression, evaluation_of
from agent.study.settings import Settings
from agent.study.study import Study, open_study, read_expression
from factors.tree import Expression
from market.errors import Rejection
from market.synthetic.demo_market import TRUTH, SynthSpec, make_market
from tests.agent.commands import as_json, refused, run

PLAN = AuditPlan(nulls=1, planted=1, strengths=(12.0,), rounds=1, candidates=3, gates=5)


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
        # What audits of earlier versions wrote is of other controls.
        with auditor.journal.open("a") as file:
            file.write('\n{"kind": "planted", "number": 0, "size": 12.0, "best_dsr": 0.5}\n')
        again: list[str] = []
        found = run_audit(replace(auditor, stop=lambda: False, show=again.append), knowledge)
        assert found is not None
        assert again.count("done before") == 2
        # What came after the crash is written down as well.
        assert len(auditor.done()) == 5
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        straight = run_audit(replace(auditor, folder=fresh, stop=lambda: False, show=lambda _: None), knowledge)
        assert straight is not None
        assert straight.controls == found.controls
        # Controls are no trials on the data.
        assert knowledge.trials(study.dataset).count == 0
    assert not list(tmp_path.glob("audit-*.db*"))
    summary = found.summary()
    assert summary["null_runs"] == 4
    assert summary["attempts_each"] == 3
    nulls, planted = summary["nulls"], summary["planted"]
    assert isinstance(nulls, dict)
    assert isinstance(planted, dict)
    assert list(nulls) == ["history", "bars", "signs", "blocks"]
    # One run of each kind says nearly nothing, and the interval says so.
    said = nulls["bars"]["false_admissions"]
    assert (said["count"], said["cases"], said["low"], said["high"]) == (0, 1, 0.0, pytest.approx(0.95))
    # What is as strong as this is seen when it is given to the tests.
    assert planted["12"]["gates_passed_when_given"]["predicts"]["share"] == 1.0


def test_more_runs_go_on_in_the_same_journal_and_other_rules_in_another(study: Study, tmp_path: Path) -> None:
    auditor = Auditor(study, Settings(), tmp_path, PLAN)
    more = replace(auditor, plan=replace(PLAN, nulls=9, planted=7, strengths=(3.0,), gates=0))
    assert more.journal == auditor.journal
    for plan in (replace(PLAN, rounds=2), replace(PLAN, candidates=5), replace(PLAN, seed=1)):
        assert replace(auditor, plan=plan).journal != auditor.journal


def test_quick_is_a_smaller_plan_that_options_override() -> None:
    loop = Settings().loop
    whole, quick = audit_plan(loop), audit_plan(loop, quick=True, nulls=None, planted=3)
    assert len(quick.wanted()) < len(whole.wanted())
    assert (quick.nulls, quick.planted) == (5, 3)


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
    options = ("--nulls", "1", "--planted", "0", "--rounds", "1", "--candidates", "2")
    found = as_json(capsys, "audit", *options)
    assert found["false_admissions"]["cases"] == 4
    assert len(found["runs"]) == 4
    # The same again is read from the journal; for people, with its interval.
    code, out, err = run(capsys, "audit", *options)
    assert code == 0, err
    assert "0 of 4: at most 53 %, 95 %" in out
    assert "between 0 and 30" in refused(capsys, "audit", "--strengths", "70")
    assert "no numbers" in refused(capsys, "audit", "--strengths", "strong")
