"""The knowledge base keeps what it is given, once, and finds it again."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import variance
from typing import Any

import numpy as np
import pytest

from agent.knowledge.claims import Claims
from agent.knowledge.database.connection import make_engine
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.library_records import NewLibraryEntry
from agent.knowledge.listing import factor_id_of
from agent.knowledge.records import (
    HoldoutRecord,
    JudgeVerdict,
    NewAttempt,
    NewCall,
    NewEvaluation,
    NewLesson,
    RunRecord,
)
from agent.knowledge.run_config import RunConfig, ScoringRules
from agent.knowledge.score_documents import read_evidence, read_scorecard
from agent.knowledge.tables.versions import scoring_code
from agent.llm.budget import Budget, Prices
from agent.llm.client import ModelName
from agent.mining.spending import count_spent
from backtest.luck import fingerprint_of
from factors.overlap import fingerprint
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError
from market.panel import OHLCV, Panel


def make_panel(level: float = 100.0, bars: int = 50) -> Panel:
    times = np.datetime64("2024-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "h")
    values = np.full((bars, 2), level)
    return Panel(times, ("AAA", "BBB"), dict.fromkeys(OHLCV, values), np.ones((bars, 2), bool), np.timedelta64(1, "h"))


@pytest.fixture
def kb(base: str) -> Iterator[KnowledgeBase]:
    with KnowledgeBase.open(base) as knowledge:
        yield knowledge


@pytest.fixture
def run(kb: KnowledgeBase) -> RunRecord:
    panel = make_panel()
    kb.register_dataset(panel)
    record = kb.create_run(panel.id, RunConfig(data="toy", llm="mock"), 5)
    kb.start_round(record.id, 1, {"round": 1})
    return record


def scored(sharpe: float | None, *, accepted: bool = False) -> NewEvaluation:
    verdict = "accepted" if accepted else "rejected"
    return NewEvaluation(
        read_scorecard({"train": {"rank_ic": 0.02, "sharpe_net": sharpe}}),
        read_evidence({"accepted": accepted, "verdict": verdict, "reasons": ("a", "b"), "dsr": np.float64(0.5)}),
        sharpe,
    )


def unstorable() -> NewEvaluation:
    """Return an evaluation that JSON cannot hold."""
    good = scored(0.1)
    return replace(good, scorecard=replace(good.scorecard, weighting=object()))  # type: ignore[arg-type]


def attempt(run: RunRecord, slot: int, **changes: object) -> NewAttempt:
    digits = f"{slot:016x}"
    base = NewAttempt(
        run_id=run.id,
        round=1,
        slot=slot,
        text=f"Close + {slot}",
        stage="evidence",
        canonical=f"close + {slot}",
        factor_id=f"factor:{digits}",
        name=f"idea {slot}",
        verdicts=(JudgeVerdict(1, False, 3.5, "too plain"), JudgeVerdict(2, True, 8, "better")),
        evaluation=scored(0.01 * slot),
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # field names are the test's own


def refused(run: RunRecord, slot: int) -> NewAttempt:
    return NewAttempt(run.id, 1, slot, "ts_meen((", "parse", code="unknown_operator", message="no\n  ^")


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


def test_lineage_by_id_text_and_name(kb: KnowledgeBase, run: RunRecord) -> None:
    # A text is known by its hash, which is its id.
    ids = ["factor:0000000000000001", factor_id_of("close + 2"), "factor:0000000000000003"]
    for slot, factor_id in enumerate(ids, start=1):
        kb.record_attempt(attempt(run, slot, factor_id=factor_id))
    named = ("0000000000000001", "close + 2", "idea 3", "nothing known", "factor:0000000000000001")
    kb.record_attempt(attempt(run, 4, parent_ids=named))
    child = kb.get_factor("0000000000000004")
    assert child.attempt.parent_ids == (*ids, "nothing known")
    assert [related.factor_id for related in child.parents] == ids
    for one in ids:
        assert [related.factor_id for related in kb.get_factor(one).children] == [child.factor_id]


def test_a_factor_is_found_by_the_beginning_of_its_id(kb: KnowledgeBase, run: RunRecord) -> None:
    kb.record_attempt(attempt(run, 1, factor_id="factor:abc1000000000000", evaluation=None, stage="novelty"))
    kb.record_attempt(attempt(run, 2, factor_id="factor:abd2000000000000"))
    scored_id = kb.record_attempt(attempt(run, 3, factor_id="factor:abc1000000000000"))
    kb.record_attempt(attempt(run, 4, factor_id="factor:abc1000000000000", evaluation=None, stage="novelty"))
    for what in ("abc", "factor:abc1", "factor:abc1000000000000"):
        found = kb.get_factor(what)
        assert (found.factor_id, found.attempt.id) == ("factor:abc1000000000000", scored_id)
        assert len(found.attempts) == 3
    for what, says in (
        ("ab", "several"),
        ("nope", "nope"),
        ("", "no factor"),
        ("factor:", "no factor"),
        ("%", "%"),
    ):
        with pytest.raises(InputError, match=says):
            kb.get_factor(what)


def test_a_published_factor_no_run_has_tried_is_named(kb: KnowledgeBase) -> None:
    entry = NewLibraryEntry("A1", "paper", "qlib", "$close", "translated", "close", "factor:feed000000000000")
    kb.library_add([entry])
    with pytest.raises(InputError, match="A1 of paper"):
        kb.get_factor("feed")


def test_runs_by_prefix(kb: KnowledgeBase, run: RunRecord) -> None:
    assert kb.get_run(run.id[:6]) == run
    assert kb.find_run("zzz") is None
    assert kb.find_run("") is None
    with pytest.raises(InputError, match=run.id):
        kb.get_run("zzz")
    kb.create_run(run.panel_id, RunConfig(data="toy", llm="mock"), 5)
    with pytest.raises(InputError, match="begins 2 runs"):
        kb.get_run("r")
    assert [r.id == run.id for r in kb.runs()] == [True, False]


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


def test_words_are_found_wherever_they_stand_and_ranked(kb: KnowledgeBase, run: RunRecord) -> None:
    said = [
        {"name": "volume surge", "rationale": "crowds"},
        {"name": "quiet", "rationale": "when volume dries up, volume tells"},
        {"text": "ts_mean(volume, 5)", "canonical": None, "factor_id": None, "message": "no ünit"},
        {"name": "other", "claims": Claims(mechanism="herding of crowds")},
    ]
    for slot, words in enumerate(said):
        kb.record_attempt(attempt(run, slot, **words))

    def slots(words: str, **options: Any) -> list[int]:
        return [found.attempt.slot for found in kb.search_text(words, **options)]

    assert slots("volume")[0] == 0, "a name says more than a reason or a text"
    assert set(slots("VOLUME")) == {0, 1, 2}
    assert slots("crowd herd") == [3], "the beginnings of words, wherever"
    assert slots("ts_mean(volume, 5)") == [2]
    assert slots("ünit") == [2]
    assert slots("volume", limit=1) == [0]
    assert slots("volume", panel_id="panel:other") == []
    assert set(slots("volume", panel_id=run.panel_id)) == {0, 1, 2}
    for hostile in ("'", '"', "NEAR(", "a OR b'", "*", ":*", "((", "", "\0", "name:volume -x", "x" * 50_000):
        assert slots(hostile) == [], hostile
    with pytest.raises(TypeError):
        kb.record_attempt(attempt(run, 9, name="volume", evaluation=unstorable()))
    assert len(slots("volume")) == 3, "words are written with their attempt, or not at all"


def test_what_shares_parts_is_found_the_most_alike_first(kb: KnowledgeBase, run: RunRecord) -> None:
    texts = [
        "cs_rank(ts_corr(close, volume, 10)) * ts_mean(returns, 5)",
        "ts_corr(close, volume, 10)",
        "ts_std(returns, 20)",
        "ts_mean(returns, 5) / ts_std(volume, 9)",
        "ts_corr(close, volume, 10) / close",
    ]
    for slot, text in enumerate(texts):
        kb.record_attempt(tried(run, slot, text, evaluation=None if slot == 3 else scored(0.1)))
    again = kb.record_attempt(tried(run, 9, texts[1]))
    found = kb.alike(parsed("cs_rank(ts_corr(close, volume, 10)) + ts_mean(returns, 5)"))
    shares = {one.attempt.canonical: (one.score, one.shared) for one in found}
    sizes = {text: fingerprint(parsed(text).root).size for text in texts}
    own = fingerprint(parsed("cs_rank(ts_corr(close, volume, 10)) + ts_mean(returns, 5)").root).size
    for text, part in (
        (texts[0], "cs_rank(ts_corr(close, volume, 10))"),
        (texts[1], "ts_corr(close, volume, 10)"),
        (texts[3], "ts_mean(returns, 5)"),
        (texts[4], "ts_corr(close, volume, 10)"),
    ):
        canonical = parsed(text).text
        assert shares.pop(canonical) == (fingerprint(parsed(part).root).size / max(own, sizes[text]), part)
    assert shares == {}, "what shares nothing is not alike"
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert again in {one.attempt.id for one in found}, "the newest score of a factor"
    assert len(kb.alike(parsed("ts_corr(close, volume, 10) + close"), limit=2)) == 2
    assert kb.alike(parsed("ts_corr(close, volume, 10)"), panel_id="panel:other") == []


def parsed(text: str) -> Expression:
    expression = parse(text)
    assert isinstance(expression, Expression), expression
    return expression


def tried(run: RunRecord, slot: int, text: str, **changes: object) -> NewAttempt:
    expression = parsed(text)
    return attempt(run, slot, canonical=expression.text, factor_id=expression.id, **changes)


def test_what_was_scored_is_found_again_by_itself_and_by_its_order(kb: KnowledgeBase, run: RunRecord) -> None:
    kb.record_attempt(tried(run, 1, "ts_mean(close, 5)", evaluation=None))
    second = kb.record_attempt(tried(run, 2, "cs_rank(ts_mean(close, 5))", evaluation=scored(0.01)))

    def twin(text: str, **options: object) -> int | None:
        found = kb.scored_twin(parsed(text), panel_id=run.panel_id, **{"ranks_alike": True, **options})  # type: ignore[arg-type]
        return found.id if found else None

    assert twin("cs_rank(ts_mean(close, 5))", ranks_alike=False) == second
    assert twin("2 * ts_sum(close, 5)") == second
    assert twin("2 * ts_sum(close, 5)", ranks_alike=False) is None
    assert twin("-ts_mean(close, 5)") is None, "the opposite order is another factor"
    assert twin("2 * ts_sum(close, 5)", until=second - 1) is None
    assert kb.scored_twin(parsed("ts_mean(close, 5)"), panel_id="panel:other", ranks_alike=True) is None


def test_novelty_against_everything_known(kb: KnowledgeBase, run: RunRecord) -> None:
    kb.record_attempt(tried(run, 1, "cs_rank(ts_corr(close, volume, 10)) * ts_mean(returns, 5)"))
    kb.record_attempt(tried(run, 2, "ts_std(returns, 20)"))
    latest = kb.index_factors()
    kb.record_attempt(tried(run, 3, "ts_corr(close, volume, 10)"))

    assert kb.novelty(parsed("ts_std(returns, 20)")).identical is not None
    alike = kb.novelty(parsed("1 - cs_rank(ts_std(returns, 20))"))
    assert alike.ranks_alike is not None
    assert alike.opposite
    assert kb.novelty(parsed("ts_std(returns, 30)")).same_shape is not None
    part = kb.novelty(parsed("ts_corr(close, volume, 10) / close")).overlap
    assert part is not None
    assert (part.text, part.size, part.factor.label) == ("ts_corr(close, volume, 10)", 4, "attempt 3")
    assert part.share == 4 / 6
    earlier = kb.novelty(parsed("ts_corr(close, volume, 10) / close"), until=latest).overlap
    assert earlier is not None
    assert earlier.factor.label == "attempt 1", "what became known later is left out"
    fresh = kb.novelty(parsed("ts_kurt(volume, 9)"))
    assert fresh.sentences() == ("nothing like it is known",)


def test_rows_of_older_versions_are_indexed_when_first_asked_for(kb: KnowledgeBase, run: RunRecord, base: str) -> None:
    kb.record_attempt(tried(run, 1, "ts_std(returns, 20)"))
    kb.record_attempt(attempt(run, 2, canonical="no_longer(a, word)", factor_id="factor:old"))
    engine = make_engine(kb.place)
    with engine.begin() as connection:
        for name in ("known_parts", "known_factors"):
            connection.exec_driver_sql(f"DELETE FROM {name}")
    engine.dispose()
    with KnowledgeBase.open(base) as opened:
        latest = opened.index_factors()
        assert latest >= 2
        assert opened.index_factors() == latest
        assert opened.novelty(parsed("ts_std(returns, 20)")).identical is not None


def call(key: str = "r1/s0/t1/writer/1", **changes: object) -> NewCall:
    base = NewCall(
        "",
        key,
        "writer",
        "mock",
        "json_schema",
        "h1",
        "{}",
        "reply",
        "ok",
        10,
        5,
        0.25,
        0.1,
        "2026-01-01T00:00:00Z",
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # field names are the test's own


def test_the_journal_answers_by_key(kb: KnowledgeBase, run: RunRecord) -> None:
    journal = kb.journal(run.id)
    assert journal.find("r1/s0/t1/writer/1") is None
    stored = journal.record(call())
    assert journal.find("r1/s0/t1/writer/1") == stored
    assert (stored.run_id, stored.response) == (run.id, "reply")
    assert journal.record(call()).id == stored.id, "the same call again is the same call"
    assert kb.journal(kb.create_run(run.panel_id, RunConfig(), 1).id).find("r1/s0/t1/writer/1") is None


def test_no_paid_call_is_lost_when_a_key_is_used_again(kb: KnowledgeBase, run: RunRecord) -> None:
    journal = kb.journal(run.id)
    for n in range(3):
        journal.record(call(request_hash=f"h{n}", response=f"reply {n}"))
    found = journal.find("r1/s0/t1/writer/1")
    assert found is not None
    assert found.response == "reply 2"
    assert [c.response for c in kb.calls(run.id)] == ["reply 0", "reply 1", "reply 2"]
    assert kb.calls_total(run.id).calls == 3


def test_a_call_that_got_no_answer_is_kept_and_never_found(kb: KnowledgeBase, run: RunRecord) -> None:
    journal = kb.journal(run.id)
    for _ in range(2):
        journal.lose("r1/s0/t1/writer/1", "writer", "m", "[]")
    assert journal.find("r1/s0/t1/writer/1") is None
    journal.record(call(request_hash="h2"))
    found = journal.find("r1/s0/t1/writer/1")
    assert found is not None
    assert found.response == "reply"
    assert [(c.key, c.status, c.prompt_tokens) for c in kb.calls(run.id)] == [
        ("r1/s0/t1/writer/1~1", "lost", None),
        ("r1/s0/t1/writer/1~2", "lost", None),
        ("r1/s0/t1/writer/1", "ok", 10),
    ]
    assert kb.calls_total(run.id).cost_usd is None
    # A session that goes on counts them at their worst, and not as answers.
    budget = Budget()
    count_spent(budget, kb.calls(run.id), [ModelName("m", Prices(1.0, 1.0))], 500)
    worst = budget.worst_of(2, 500, Prices(1.0, 1.0))
    assert (budget.calls, budget.lost, budget.uncounted) == (1, 2, 0)
    assert budget.tokens == 15 + 2 * (worst.prompt + worst.reply)
    assert budget.usd == pytest.approx(0.25 + 2 * worst.usd)


def test_an_unknown_cost_makes_the_total_unknown(kb: KnowledgeBase, run: RunRecord) -> None:
    assert kb.calls_total(run.id).cost_usd == 0.0
    kb.journal(run.id).record(call("a"))
    kb.journal(run.id).record(call("b"))
    assert kb.calls_total(run.id).cost_usd == 0.5
    kb.journal(run.id).record(call("c", cost_usd=None, prompt_tokens=None))
    totals = kb.calls_total(run.id)
    assert (totals.calls, totals.prompt_tokens, totals.completion_tokens, totals.cost_usd) == (
        3,
        20,
        15,
        None,
    )


def test_the_holdout_opens_once_per_factor_and_panel_unless_insisted(kb: KnowledgeBase, run: RunRecord) -> None:
    rules = ScoringRules({"backtest": {"fill": "open"}}, gate=False)

    def opened(sharpe: float, *, again: bool = False) -> HoldoutRecord:
        score = replace(scored(0.1).scorecard.train, sharpe_net=sharpe)
        return kb.record_holdout(
            "factor:1", run.panel_id, score, opened_by="me at home", rules=rules, version="1", again=again
        )

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
    assert first.rules_document["alphaglow"] == "1"
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
