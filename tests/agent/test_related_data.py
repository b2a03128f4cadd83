"""Data that grow keep their past: what was tried on a data set counts for those that share its bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import variance

import numpy as np
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt, NewEvaluation
from agent.knowledge.run_config import RunConfig, ScoringRules
from agent.knowledge.score_documents import read_evidence, read_flat, read_scorecard
from agent.knowledge.verifying import find_faults
from agent.study.lineage_notes import meet_data
from backtest.luck import fingerprint_of
from backtest.result_types import SegmentScore
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError
from market.panel import Panel
from tests.helpers import random_panel

WHOLE = replace(random_panel(500, 12, seed=8), name="spot")
OLD = replace(WHOLE.rows(0, 480), name="spot")
RETURNS = np.random.default_rng(0).normal(size=(8, 400))


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[KnowledgeBase]:
    with KnowledgeBase.open(tmp_path / "k.db") as knowledge:
        yield knowledge


def repaired(panel: Panel) -> Panel:
    close = panel["close"].copy()
    close[50:60, 3] = np.nan
    return panel.with_fields({"close": close})


MOVES: dict[str, Callable[[Panel], Panel]] = {
    "grown": lambda panel: WHOLE,
    "repaired": repaired,
    "funding joined": lambda panel: panel.with_fields({"funding": np.full(panel.shape, 1e-4)}),
    "some assets": lambda panel: panel.select(panel.assets[2:9]),
    "some dates": lambda panel: panel.rows(100, 420),
    "symbols renamed": lambda panel: replace(panel, assets=tuple(f"{name}/USDT" for name in panel.assets)),
    "universe changed": lambda panel: replace(panel, universe=panel.universe & (np.arange(12) > 2)),
}


def factor(number: int) -> str:
    return f"ts_mean(close, {number + 2})"


def run_on(kb: KnowledgeBase, panel: Panel, **rules: object) -> str:
    kb.register_dataset(panel)
    run = kb.create_run(panel.id, RunConfig(data="spot", llm="mock", rules=ScoringRules({"backtest": rules})), 1)
    kb.start_round(run.id, 1, {})
    return run.id


def try_on(kb: KnowledgeBase, run: str, numbers: range, *, accepted: bool = False) -> None:
    for slot, number in enumerate(numbers):
        expression = parse(factor(number))
        assert isinstance(expression, Expression)
        result = NewEvaluation(
            read_scorecard({"train": {"rank_ic": 0.02}}),
            read_evidence({"accepted": accepted, "verdict": "accepted" if accepted else "rejected"}),
            0.01 * number,
            fingerprint_of(RETURNS[number]),
        )
        kb.record_attempt(
            NewAttempt(run, 1, slot, expression.text, "evidence", expression.text, expression.id, evaluation=result)
        )


@pytest.mark.parametrize("move", MOVES)
def test_trials_count_whatever_became_of_the_data(kb: KnowledgeBase, move: str) -> None:
    try_on(kb, run_on(kb, OLD), range(5), accepted=True)
    before = kb.largest_scores(OLD.id)
    moved = MOVES[move](OLD)
    assert moved.id != OLD.id
    assert kb.trials(moved.id).count == 0, "of a data set that nobody has opened nothing is known"
    kb.register_dataset(moved)
    assert [one.panel_id for one in kb.related(moved.id)] == [moved.id, OLD.id]
    assert kb.related(moved.id)[1].share > 0.9
    assert kb.trials(moved.id) == kb.trials(OLD.id)
    assert kb.largest_scores(moved.id).count == before.count == 5
    near = kb.nearest_accepted(moved.id, fingerprint_of(RETURNS[3]))
    assert (near.text, near.correlation) == (factor(3), pytest.approx(1.0, abs=1e-2))
    assert [one.canonical for one in kb.accepted(moved.id)] == [factor(n) for n in range(5)]
    assert len(kb.attempts(panel_id=moved.id, related="all")) == 5
    assert kb.attempts(panel_id=moved.id) == []


def test_a_factor_that_is_scored_again_under_the_same_rules_is_one_trial(kb: KnowledgeBase) -> None:
    try_on(kb, run_on(kb, OLD), range(5))
    grown = run_on(kb, WHOLE)
    try_on(kb, grown, range(3, 7))
    for panel in (OLD, WHOLE):
        counted = kb.trials(panel.id)
        assert (counted.count, counted.evaluated, counted.effective) == (7, 7, 7)
        assert counted.sharpe_variance == pytest.approx(variance([0.01 * n for n in range(7)]))
        assert kb.largest_scores(panel.id).count == 7
    # Other rules are a trial of their own, though not one more chance: its returns go with those of before.
    try_on(kb, run_on(kb, WHOLE, holding=5), range(1))
    counted = kb.trials(OLD.id)
    assert (counted.count, counted.evaluated, counted.effective) == (8, 8, 7)
    # Asked while they come in or once at the end, the count is the same.
    with KnowledgeBase.open(kb.place.path or "") as other:
        assert other.trials(OLD.id) == counted
        assert np.array_equal(other.largest_scores(OLD.id).largest, kb.largest_scores(OLD.id).largest)
        assert find_faults(other) == []


def test_every_question_is_answered_on_a_server_as_in_a_file(place: str) -> None:
    with KnowledgeBase.open(place) as kb:
        try_on(kb, run_on(kb, OLD), range(5), accepted=True)
        try_on(kb, run_on(kb, WHOLE), range(3, 7))
        assert (kb.trials(OLD.id).count, kb.largest_scores(WHOLE.id).count) == (7, 7)
        assert len(kb.accepted(WHOLE.id)) == len(kb.factors_with_verdict(WHOLE.id, ("accepted",))) == 5
        assert kb.nearest_accepted(WHOLE.id, fingerprint_of(RETURNS[3])).text == factor(3)
        assert len(kb.attempts(panel_id=WHOLE.id, related="earlier")) == 9
        expression = parse(factor(1))
        assert isinstance(expression, Expression)
        assert kb.scored_twin(expression, panel_id=WHOLE.id, ranks_alike=True) is None
        twin = kb.scored_twin(expression, panel_id=WHOLE.id, ranks_alike=True, covered=0.9)
        assert twin is not None
        assert twin.panel_id == OLD.id
        assert kb.lessons(panel_id=WHOLE.id, related="all") == kb.pools(WHOLE.id, related="all") == []
        check_openings(kb)


def test_an_unrelated_market_does_not_count(kb: KnowledgeBase) -> None:
    try_on(kb, run_on(kb, OLD), range(5))
    other = replace(random_panel(480, 12, seed=9), name="spot")
    kb.register_dataset(other)
    assert len(kb.related(other.id)) == 1
    assert kb.trials(other.id).count == 0
    assert kb.nearest_accepted(other.id, fingerprint_of(RETURNS[3])).text == ""


def test_halves_of_time_are_related_to_the_whole_and_not_to_each_other(kb: KnowledgeBase) -> None:
    first, second = WHOLE.rows(0, 250), WHOLE.rows(250, 500)
    try_on(kb, run_on(kb, first), range(3))
    try_on(kb, run_on(kb, second), range(3, 5))
    kb.register_dataset(WHOLE)
    counts = [kb.trials(panel.id).count for panel in (first, second, WHOLE)]
    assert counts == [3, 2, 5]
    # What was train in the second half is validation in the whole: it must not steer what is proposed.
    assert len(kb.attempts(panel_id=WHOLE.id, related="earlier")) == 3


def test_a_note_says_what_counts(kb: KnowledgeBase) -> None:
    try_on(kb, run_on(kb, OLD), range(2))
    said: list[str] = []
    (found,) = meet_data(kb, WHOLE, said.append)
    assert found.trials == 2
    assert said == [
        "spot shares 96 % of its bars with the spot that ended at 2024-01-20 (2 trials): they count here too"
    ]
    said.clear()
    meet_data(kb, replace(MOVES["some assets"](OLD), name="few"), said.append)
    assert said == ["few shares 100 % of its bars with spot (2 trials): they count here too"]
    said.clear()
    small = replace(WHOLE.select(WHOLE.assets[:3]), name="small")
    try_on(kb, run_on(kb, small), range(1))
    meet_data(kb, WHOLE, said.append)
    assert "spot has 100 % of the bars of small (1 trial): they count here too" in said


def test_what_an_earlier_version_registered_is_known_by_name_and_beginning(kb: KnowledgeBase) -> None:
    try_on(kb, run_on(kb, OLD), range(3))
    forget_signatures(kb)
    for unlike in (replace(MOVES["some assets"](WHOLE), name="other"), WHOLE.rows(5, 500)):
        kb.register_dataset(unlike)
        assert kb.trials(unlike.id).count == 0
    said: list[str] = []
    meet_data(kb, WHOLE, said.append)
    assert kb.trials(WHOLE.id).count == 3
    assert said == [
        "by its name and its first bar, spot grew out of the spot that ended at 2024-01-20 (3 trials): "
        "they count here too"
    ]
    # Once its bars are seen, they decide.
    kb.register_dataset(OLD)
    assert kb.related(WHOLE.id)[1].share > 0.9
    assert kb.trials(MOVES["some dates"](OLD).id).count == 0
    assert {one.panel_id for one in kb.related(OLD.id)} >= {WHOLE.id, WHOLE.rows(5, 500).id}


def forget_signatures(kb: KnowledgeBase) -> None:
    with kb._writing() as session:
        session.connection().exec_driver_sql("UPDATE datasets SET signature = NULL, bar = NULL")
        session.connection().exec_driver_sql("DELETE FROM related_datasets")


def test_merged_bases_find_what_their_data_have_in_common(kb: KnowledgeBase, tmp_path: Path) -> None:
    from agent.knowledge.transfer.table_rows import ExportedSource

    try_on(kb, run_on(kb, OLD), range(4))
    with KnowledgeBase.open(tmp_path / "other.db") as other:
        try_on(other, run_on(other, WHOLE), range(2, 6))
        other.record_holdout("factor:1", WHOLE.id, SCORE, opened_by="a", rules=ScoringRules(), span=("2024-01-20", "b"))
        exported = tmp_path / "export.json"
        exported.write_text(other.export())
        with other.as_source() as source:
            kb.take_in(source)
        assert kb.trials(OLD.id).count == kb.trials(WHOLE.id).count == 6
        (opening,) = kb.holdout_openings("factor:1", OLD.id)
        assert (opening.start, opening.end) == ("2024-01-20", "b")
    with KnowledgeBase.open(tmp_path / "third.db") as third:
        try_on(third, run_on(third, OLD), range(4))
        third.take_in(ExportedSource(exported))
        assert third.trials(OLD.id).count == 6
        assert third.take_in(ExportedSource(exported)).sentence() == "nothing was new"


SCORE = read_flat(SegmentScore, {"sharpe_net": 1.0})


def check_openings(kb: KnowledgeBase) -> None:
    """Bars that were seen stay seen, on whichever related data set; bars after them are fresh."""
    for panel in (OLD, WHOLE):
        kb.register_dataset(panel)
    seen = ("2024-01-18T00:00:00Z", "2024-01-20T23:00:00Z")
    kb.record_holdout("factor:1", OLD.id, SCORE, opened_by="a", rules=ScoringRules(), span=seen)
    assert kb.seen_until("factor:1", WHOLE.id) == seen[1]
    assert kb.seen_until("factor:2", WHOLE.id) is None
    with pytest.raises(InputError, match="on the data spot"):
        kb.require_unopened("factor:1", WHOLE.id)
    overlapping = ("2024-01-20T23:00:00Z", "2024-01-21T20:00:00Z")
    with pytest.raises(InputError, match="opens once"):
        kb.record_holdout("factor:1", WHOLE.id, SCORE, opened_by="a", rules=ScoringRules(), span=overlapping)
    fresh = ("2024-01-21T00:00:00Z", "2024-01-21T20:00:00Z")
    forward = kb.record_holdout("factor:1", WHOLE.id, SCORE, opened_by="a", rules=ScoringRules(), span=fresh)
    assert (forward.forward, forward.number) == (True, 2)
    assert "forward (time 2)" in forward.sentence()
    assert "2024-01-21T20:00:00Z" in forward.sentence()
    again = kb.record_holdout("factor:1", OLD.id, SCORE, opened_by="a", rules=ScoringRules(), span=seen, again=True)
    assert (again.forward, again.number) == (False, 3)
    assert [(x.number, x.data) for x in kb.holdout_openings("factor:1", WHOLE.id)] == [
        (1, "spot"),
        (2, ""),
        (3, "spot"),
    ]


def test_an_opening_without_dates_showed_all_of_its_data(kb: KnowledgeBase) -> None:
    for panel in (OLD, WHOLE):
        kb.register_dataset(panel)
    kb.record_holdout("factor:1", OLD.id, SCORE, opened_by="a", rules=ScoringRules())
    assert kb.seen_until("factor:1", WHOLE.id) == "2024-01-20T23:00:00Z"
    # Earlier versions have the dates in the result.
    dated = replace(SCORE, start="2024-01-10T02:00", end="2024-01-12T03:00")
    kb.record_holdout("factor:2", OLD.id, dated, opened_by="a", rules=ScoringRules())
    assert kb.seen_until("factor:2", WHOLE.id) == "2024-01-12T03:00:00Z"
