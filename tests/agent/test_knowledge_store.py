"""The knowledge base keeps what it is given, once, and finds it again."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import variance

import numpy as np
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import (
    HoldoutRecord,
    NewLesson,
    RunRecord,
)
from agent.knowledge.run_config import RunConfig, ScoringRules
from agent.knowledge.tables.versions import scoring_code
from backtest.luck import fingerprint_of
from market.errors import InputError
from tests.agent.knowledge_rows import attempt, make_panel, refused, scored, unstorable
from tests.agent.test_knowledge_calls import call


def test_an_attempt_comes_back_whole(kb: KnowledgeBase, run: RunRecord) -> None:
    number = kb.record_attempt(attempt(run, 3))
    (back,) = kb.attempts(run_id=run.id)
    assert (back.id, back.panel_id, back.slot, back.text) == (number, run.panel_id, 3, "Close + 3")
    assert [(v.turn, v.accept, v.score) for v in back.verdicts] == [(1, False, 3.5), (2, True, 8.0)]
    assert back.evaluation is not None
    assert back.evaluation.scorecard_document["validation"]["rank_ic"] is None, "NaN is stored as null"
    assert back.evaluation.evidence.to_dict() == scored(0.03).evidence.to_dict()
    json.dumps(back.to_dict(), allow_nan=False)


def test_an_unparsable_attempt_is_kept_and_counted(kb: KnowledgeBase, run: RunRecord) -> None:
    kb.record_attempt(refused(run, 0))
    (back,) = kb.attempts(round=1)
    assert (back.text, back.canonical, back.code, back.evaluation) == (
        "ts_meen((",
        None,
        "unknown_operator",
        None,
    )
    assert kb.trials(run.panel_id).count == 1


def test_the_first_attempt_at_a_place_wins(kb: KnowledgeBase, run: RunRecord) -> None:
    first = kb.record_attempt(attempt(run, 1))
    assert kb.record_attempt(attempt(run, 1, text="another", verdicts=(), evaluation=None)) == first
    (back,) = kb.attempts()
    assert back.text == "Close + 1"
    assert len(back.verdicts) == 2


def test_a_failed_attempt_leaves_nothing(kb: KnowledgeBase, run: RunRecord) -> None:
    with pytest.raises(TypeError):
        kb.record_attempt(attempt(run, 1, evaluation=unstorable()))
    assert kb.attempts() == []
    assert kb.record_attempt(attempt(run, 1)) == kb.attempts()[0].id


def test_trials_count_every_run_on_the_panel_and_no_other(kb: KnowledgeBase, run: RunRecord) -> None:
    assert kb.trials(run.panel_id).sharpe_variance == pytest.approx(1 / 50), "nothing scored: estimation error"
    other = make_panel(7.0)
    kb.register_dataset(other)
    second = kb.create_run(run.panel_id, RunConfig(), 6)
    foreign = kb.create_run(other.id, RunConfig(), 6)
    for record in (second, foreign):
        kb.start_round(record.id, 1, {})
    sharpes = [0.01, 0.03, -0.02]
    kb.record_attempt(attempt(run, 1, evaluation=scored(sharpes[0])))
    kb.record_attempt(attempt(run, 2, evaluation=scored(sharpes[1])))
    kb.record_attempt(attempt(run, 3, evaluation=scored(float("nan"))))
    kb.record_attempt(refused(run, 4))
    kb.record_attempt(attempt(second, 1, evaluation=scored(sharpes[2])))
    kb.record_attempt(attempt(foreign, 1, evaluation=scored(9.0)))
    counted = kb.trials(run.panel_id)
    assert (counted.count, counted.evaluated) == (5, 3)
    assert counted.sharpe_variance == pytest.approx(variance(sharpes), rel=1e-12)
    assert kb.trials("panel:unknown") == type(counted)(0, 0.0, 0)


def test_run_status_and_stop_time(kb: KnowledgeBase, run: RunRecord) -> None:
    assert (run.status, run.finished) == ("running", None)
    kb.set_run_status(run.id, "interrupted")
    assert kb.get_run(run.id).finished is not None
    kb.set_run_status(run.id, "running")
    assert kb.get_run(run.id).finished is None


def test_a_round_keeps_its_first_brief_and_its_key_order(kb: KnowledgeBase, run: RunRecord) -> None:
    asked = []

    def brief() -> dict[str, object]:
        asked.append(1)
        return {"z": 1, "a": (1, math.inf)}

    first = kb.start_round(run.id, 2, brief)
    again = kb.start_round(run.id, 2, brief)
    assert first == again
    assert list(first.brief.items()) == [("z", 1), ("a", [1, None])]
    assert len(asked) == 1


def test_finishing_twice_adds_no_lesson(kb: KnowledgeBase, run: RunRecord) -> None:
    number = kb.record_attempt(attempt(run, 1))
    taught = [NewLesson("sign", "first", (number,)), NewLesson("costs", "second")]
    kb.finish_round(run.id, 1, taught)
    kb.finish_round(run.id, 1, taught)
    kb.start_round(run.id, 2, {})
    kb.finish_round(run.id, 2, [NewLesson("gate", "third"), NewLesson("gate", "fourth")])
    assert [x.text for x in kb.lessons(run_id=run.id)] == ["third", "fourth", "first", "second"]
    assert [x.text for x in kb.lessons(panel_id=run.panel_id, limit=3)] == ["third", "fourth", "first"]
    assert kb.lessons(panel_id="panel:other") == []
    assert kb.lessons()[2].evidence == (number,)
    assert kb.start_round(run.id, 1, {}).status == "finished"


def test_evaluations_are_known_by_factor_data_rules_and_code(kb: KnowledgeBase, run: RunRecord) -> None:
    rules = ScoringRules({"backtest": {"fee_bp": 1.0}, "loop": {"seed": 1}})
    other = kb.create_run(run.panel_id, RunConfig(rules=rules), 1)
    same = kb.create_run(run.panel_id, RunConfig(rules=rules.with_loop({"seed": 2})), 2)
    for one in (run, other, same):
        kb.start_round(one.id, 1, {})
        kb.record_attempt(attempt(one, 1))
    first, second, third = (a.evaluation for a in kb.evaluated("factor:0000000000000001", run.panel_id))
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.code == second.code == third.code == scoring_code()
    assert first.rules != second.rules == third.rules, "the loop's settings decide no score"
    found = kb.evaluated("factor:0000000000000001", run.panel_id, rules=second.rules, code=second.code)
    assert [a.run_id for a in found] == [other.id, same.id]
    assert kb.evaluated("factor:0000000000000001", run.panel_id, code="code:other") == []
    assert kb.evaluated("factor:0000000000000001", "panel:other") == []


def test_the_holdout_opens_once_per_factor_and_panel_unless_insisted(kb: KnowledgeBase, run: RunRecord) -> None:
    rules = ScoringRules({"backtest": {"fill": "open"}}, gate=False)

    def opened(sharpe: float, *, again: bool = False) -> HoldoutRecord:
        score = replace(scored(0.1).scorecard.train, sharpe_net=sharpe)
        return kb.record_holdout("factor:1", run.panel_id, score, opened_by="me at home", rules=rules, again=again)

    kb.require_unopened("factor:1", run.panel_id)
    opened(float("nan"))
    with pytest.raises(InputError, match="opened"):
        kb.require_unopened("factor:1", run.panel_id)
    with pytest.raises(InputError, match="--again"):
        opened(2.0)
    (first,) = kb.holdout_openings("factor:1", run.panel_id)
    assert (first.opened_by, first.rules) == ("me at home", rules)
    assert np.isnan(first.score.sharpe_net)
    assert first.score.rank_ic == 0.02
    assert first.rules_document["alphaglow"] == version("alphaglow")
    assert first.result_document["sharpe_net"] is None
    opened(2.0, again=True)
    assert [x.number for x in kb.holdout_openings("factor:1", run.panel_id)] == [1, 2]
    assert "again" in kb.holdout_openings("factor:1", run.panel_id)[1].sentence()
    kb.require_unopened("factor:1", "panel:other")
    kb.require_unopened("factor:2", run.panel_id)


def test_trials_that_go_together_are_one_effective_trial(kb: KnowledgeBase, run: RunRecord) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(3, 5000))
    # The same returns twice, its negation, a noisy copy; then two others; then one that never moves.
    returns = [base[0], 2 * base[0], -base[0], base[0] + 0.3 * rng.normal(size=5000), base[1], base[2], np.zeros(5000)]
    for slot, series in enumerate(returns):
        evaluation = replace(scored(0.1, accepted=slot == 4), returns_fingerprint=fingerprint_of(series))
        kb.record_attempt(
            attempt(run, slot, evaluation=evaluation, factor_id=f"factor:{slot}", canonical=f"close + {slot}")
        )
    counted = kb.trials(run.panel_id)
    assert (counted.count, counted.effective) == (7, 3)
    near = kb.nearest_accepted(run.panel_id, fingerprint_of(0.8 * base[1] + 0.6 * base[0]))
    assert near.correlation == pytest.approx(0.8, abs=0.1)
    assert near.text == "close + 4"
    assert np.isnan(kb.nearest_accepted(run.panel_id, fingerprint_of(base[1]), but="factor:4").correlation)


def test_effective_trials_are_the_same_however_they_are_recorded(tmp_path: Path) -> None:
    series = np.random.default_rng(1).normal(size=(40, 600))
    series[20:] = series[:20] + 0.9 * series[20:]
    counts = []
    for together in (False, True):
        with KnowledgeBase.open(tmp_path / f"{together}.db") as knowledge:
            panel = make_panel()
            knowledge.register_dataset(panel)
            record = knowledge.create_run(panel.id, RunConfig(), 1)
            knowledge.start_round(record.id, 1, {})
            new = [
                attempt(record, k, evaluation=replace(scored(0.1), returns_fingerprint=fingerprint_of(x)))
                for k, x in enumerate(series)
            ]
            knowledge.record_attempts(new) if together else [knowledge.record_attempt(x) for x in new]
            counts.append(knowledge.trials(panel.id).effective)
    assert counts[0] == counts[1] < 40


def test_datasets_are_known_by_content(kb: KnowledgeBase) -> None:
    first = kb.register_dataset(make_panel())
    again = kb.register_dataset(replace(make_panel(), name="renamed"))
    assert first == again
    assert (first.bars, first.assets, first.start, first.end) == (
        50, 2, "2024-01-01T00:00:00Z", "2024-01-03T01:00:00Z",
    )  # fmt: skip


def test_exports_hold_every_attempt(kb: KnowledgeBase, run: RunRecord) -> None:
    assert kb.export("csv").startswith("id,run_id,")
    kb.record_attempt(attempt(run, 1))
    kb.record_attempt(refused(run, 2))
    kb.journal(run.id).record(call())
    document = json.loads(kb.export("json"))
    assert [a["slot"] for a in document["attempts"]] == [1, 2]
    assert document["runs"][0]["calls"]["calls"] == 1
    rows = list(csv.DictReader(io.StringIO(kb.export("csv"))))
    assert [row["message"] for row in rows] == ["", "no\n  ^"]
    assert (rows[0]["train_rank_ic"], rows[0]["validation_rank_ic"], rows[1]["train_rank_ic"]) == (
        "0.02",
        "",
        "",
    )


def test_text_survives_as_written(kb: KnowledgeBase, run: RunRecord) -> None:
    text = "rank(收盘) '\"; drop table attempts; -- \u2028\n🙂"
    kb.record_attempt(attempt(run, 1, text=text, canonical=None, factor_id=None, message=text, code="syntax"))
    (back,) = kb.attempts()
    assert (back.text, back.message) == (text, text)
    assert json.loads(kb.export("json"))["attempts"][0]["text"] == text


def test_two_handles_see_each_other(kb: KnowledgeBase, run: RunRecord, base: str) -> None:
    with KnowledgeBase.open(base) as other:
        kb.record_attempt(attempt(run, 1))
        assert len(other.attempts()) == 1
        other.record_attempt(attempt(run, 2))
    assert len(kb.attempts()) == 2
