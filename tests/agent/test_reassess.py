"""`alphaglow kb reassess`: verdicts of now, among all trials up to now, beside those of then."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.cli.main import main
from agent.evidence import reassessing
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.packed_json import pack_json, unpack_json
from agent.knowledge.records import NewAttempt, NewEvaluation
from agent.knowledge.run_config import RunConfig
from agent.knowledge.transfer.table_rows import ExportedSource
from agent.pools.members import choose_members
from agent.study.opening import open_data
from agent.study.scoring import evaluate_expression, evaluation_of
from agent.study.study import Scoring, read_expression
from agent.study.workspace import Workspace
from backtest.result_types import Evidence, Scorecard
from factors.tree import Expression
from tests import forked
from tests.agent.commands import as_json, refused, run

FACTOR = "cs_rank(ts_mean(volume, 12) / ts_mean(volume, 96))"


def _grow(workspace: Workspace, others: int, z: float) -> str:
    """Record one factor as accepted after one trial with a score of `z`, and then trials of nothing."""
    opened = open_data(workspace, "toy")
    with workspace.knowledge() as knowledge:
        knowledge.register_dataset(opened.whole)
        expression = read_expression(FACTOR, opened.study)
        assert isinstance(expression, Expression)
        scoring = evaluate_expression(expression, opened.study, knowledge)
        assert isinstance(scoring, Scoring)
        run_id = knowledge.create_run(opened.whole.id, RunConfig(data="toy", rules=opened.recorded()), 0).id
        knowledge.start_round(run_id, 1, {})
        old = evaluation_of(scoring)
        tests = {name: replace(getattr(old.evidence, name), z=z, adjusted_p=0.03) for name in ("predicts", "earns")}
        gates = tuple(replace(gate, passed=True) for gate in old.evidence.gates)
        evidence = replace(old.evidence, accepted=True, verdict="accepted", trials=1, gates=gates, **tests)
        place = {"run_id": run_id, "round": 1, "text": FACTOR, "stage": "evidence"}
        first = NewAttempt(
            **place,
            slot=0,
            canonical=expression.text,
            factor_id=expression.id,
            evaluation=replace(old, evidence=evidence),
        )
        knowledge.record_attempt(first)
        knowledge.record_attempts([_nothing(place, k, old.scorecard) for k in range(1, others + 1)])
    return expression.id


def _nothing(place: dict[str, object], k: int, card: Scorecard) -> NewAttempt:
    print_ = np.random.default_rng(k).standard_normal(512)
    rejected = Evidence(False, "rejected", ("nothing",), 0.0, 0.0, 1)
    scored = NewEvaluation(card, rejected, 0.0, print_ / np.linalg.norm(print_))
    named = {**place, "text": f"nothing {k}", "stage": "screen"}
    return NewAttempt(
        **named, slot=k, canonical=f"ts_mean(close, {k})", factor_id=f"factor:{k:016x}", evaluation=scored
    )


def test_what_was_accepted_among_few_is_judged_among_all_and_both_are_shown(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    factor = _grow(Workspace(home), 120, 2.2)
    before = as_json(capsys, "kb", "list", "--all")
    found = as_json(capsys, "kb", "reassess", "--data", "toy")
    (one,) = found["factors"]
    assert (found["trials"], one["factor"]) == (121, factor)
    assert (one["then"], one["trials_then"], one["now"]) == ("accepted", 1, "rejected")
    assert one["predicts"]["z"] == pytest.approx(2.2)
    assert one["predicts"]["p"] > 0.5
    # What was recorded stands, and no trial was spent.
    assert as_json(capsys, "kb", "list", "--all") == before
    listed = run(capsys, "kb", "list")[1]
    assert "accepted, now" in listed
    assert "among 121 trials: rejected" in run(capsys, "kb", "show", factor)[1]
    opened = open_data(Workspace(home), "toy")
    with Workspace(home).knowledge() as knowledge:
        (member,) = choose_members(opened.study, knowledge)
    assert member.verdict == "accepted, now rejected"
    _, out, _ = run(capsys, "kb", "reassess")
    assert "1 accepted then and not now" in out
    assert "among all 121 trials" in out.lower()


def test_a_factor_far_above_the_hurdle_stays_accepted_under_either_control(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _grow(Workspace(home), 60, 6.0)
    (one,) = as_json(capsys, "kb", "reassess")["factors"]
    assert one["now"] == "accepted"
    monkeypatch.setenv("ALPHAGLOW_ADMISSION__CONTROL", "fdr")
    found = as_json(capsys, "kb", "reassess")
    assert (found["control"], found["factors"][0]["now"]) == ("fdr", "accepted")
    assert "luck on average" in run(capsys, "kb", "reassess")[1]


def know_documents(base: sqlite3.Connection) -> None:
    """Let SQL read and pack stored documents."""
    base.create_function("read", 1, lambda packed: json.dumps(unpack_json(packed)))
    base.create_function("packed", 1, lambda text: pack_json(json.loads(text)))


def test_an_earlier_policy_is_scored_again_once_and_its_verdict_stands(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = as_json(capsys, "eval", FACTOR)
    with sqlite3.connect(home / "knowledge.db") as base:
        know_documents(base)
        (config,) = base.execute("SELECT config FROM runs").fetchone()
        admission = {"gates": ["train_ic", "dsr"], "min_ic_t": 2.0, "min_dsr": 0.95}
        base.execute("UPDATE runs SET config = ?", [json.dumps({**json.loads(config), "admission": admission})])
        base.execute(
            "UPDATE evaluations SET accepted = 1, predicts_z = NULL, earns_z = NULL, "
            "verdict = 'accepted', "
            "evidence = packed(json_set(json_remove(read(evidence), '$.predicts', '$.earns'), '$.verdict', 'accepted'))"
        )
    for _ in range(2):
        (one,) = as_json(capsys, "kb", "reassess")["factors"]
        assert one["then"] == "accepted"
        assert one["now"] in ("accepted", "promising", "rejected")
        for test in ("predicts", "earns"):
            assert one[test]["z"] == pytest.approx(seen["evidence"][test]["z"])
    (attempt,) = as_json(capsys, "kb", "list")["attempts"]
    assert attempt["evaluation"]["evidence"]["verdict"] == "accepted"
    assert "predicts" not in attempt["evaluation"]["evidence"]


def test_nothing_to_reassess_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing was scored" in refused(capsys, "kb", "reassess")


def test_a_false_discovery_rate_is_asked_of_all_scores_and_said_and_no_second_trial(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["ts_mean(returns, 5)", "ts_std(returns, 20)", FACTOR]
    strict = [as_json(capsys, "eval", text)["evidence"] for text in texts]
    monkeypatch.setenv("ALPHAGLOW_ADMISSION__CONTROL", "fdr")
    loose = as_json(capsys, "eval", FACTOR)
    # The same score under another policy: judged again, and counted once.
    assert (loose["trials"], loose["attempt"]) == (3, 3)
    assert loose["evidence"]["predicts"]["z"] == strict[2]["predicts"]["z"]
    assert loose["evidence"]["predicts"]["control"] == "fdr"
    assert "luck on average" in str(loose["evidence"]["gates"])

    from backtest.luck import q_values

    p = np.array([one["predicts"]["p"] for one in strict])
    assert loose["evidence"]["predicts"]["adjusted_p"] == pytest.approx(q_values(p, dependent=True)[2])


def test_verdicts_given_again_go_with_exports_and_merges_and_the_newest_stands(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _grow(Workspace(home), 20, 2.2)
    as_json(capsys, "kb", "reassess")
    assert run(capsys, "kb", "export", "-o", str(tmp_path / "export.json"))[0] == 0
    other = tmp_path / "other.db"
    with KnowledgeBase.open(other) as there, Workspace(home).knowledge() as here:
        assert there.take_in(ExportedSource(tmp_path / "export.json")).added["verdicts given again"] == 1
        assert list(there.later_verdicts().values()) == list(here.later_verdicts().values())
        assert there.take_in(ExportedSource(tmp_path / "export.json")).sentence() == "nothing was new"
        (verdict,) = there.later_verdicts().values()
    with sqlite3.connect(other) as base:
        base.execute("UPDATE reassessments SET created = '9' || created, trials = 77")
    # The other one's is newer now: it comes here, and what was here does not go there.
    assert "1 verdicts given again" in run(capsys, "kb", "merge", str(other))[1]
    assert run(capsys, "kb", "import", str(tmp_path / "export.json"))[1].strip() == "nothing was new"
    with Workspace(home).knowledge() as here:
        (newest,) = here.later_verdicts().values()
    assert (verdict.trials, newest.trials, newest.verdict) == (21, 77, verdict.verdict)


def test_stopped_in_the_middle_it_keeps_what_was_scored_again_and_goes_on(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("ts_mean(returns, 5)", "ts_std(returns, 20)", FACTOR):
        as_json(capsys, "eval", text)
    with sqlite3.connect(home / "knowledge.db") as base:
        know_documents(base)
        base.execute(
            "UPDATE evaluations SET predicts_z = NULL, earns_z = NULL, "
            "evidence = packed(json_remove(read(evidence), '$.predicts', '$.earns'))"
        )
    scored: list[str] = []

    def scoring(expression: Expression, *given: Any, **named: Any) -> Any:
        if len(scored) == 2 and "stopped" not in scored:
            scored.append("stopped")
            raise KeyboardInterrupt
        scored.append(expression.text)
        return evaluate_expression(expression, *given, **named)

    monkeypatch.setattr(reassessing, "evaluate_expression", scoring)
    before = as_json(capsys, "kb", "list", "--all")
    code, out, err = run(capsys, "kb", "reassess")
    assert (code, out, err.strip().splitlines()[-1]) == (130, "", "alphaglow: stopped")
    assert as_json(capsys, "kb", "list", "--all") == before
    found = as_json(capsys, "kb", "reassess")
    assert found["trials"] == 3
    assert all(one["now"] is not None for one in found["factors"])
    # Each was scored once: two before the stop, one after it.
    assert scored.index("stopped") == 2
    assert len(set(scored)) == len(scored) == 4
    uninterrupted = as_json(capsys, "kb", "reassess")
    assert (uninterrupted, len(scored)) == (found, 4)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_on_a_read_only_knowledge_base_it_is_one_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json(capsys, "eval", FACTOR)
    # pytest's own folder is closed to other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "ws"
        shutil.copytree(home, folder)
        for part in (*folder.rglob("*"), folder, Path(name)):
            part.chmod(0o555 if part.is_dir() else 0o444)
        before = (folder / "knowledge.db").read_bytes()
        going = forked.start(["-w", str(folder), "kb", "reassess"], cwd=Path("/"), function=_as_nobody)
        out, err = going.communicate()
        assert (folder / "knowledge.db").read_bytes() == before
        for part in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
            part.chmod(0o755)
    assert (going.returncode, out) == (2, "")
    assert "read-only" in err
    assert len(err.strip().splitlines()) == 1


def _as_nobody(argv: list[str]) -> None:
    if os.geteuid() == 0:
        # The superuser may write anywhere.
        os.setgid(65534)
        os.setuid(65534)
    main(argv)
