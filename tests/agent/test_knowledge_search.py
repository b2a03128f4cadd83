"""What is in the knowledge base is found again: by id, by words, by parts and by what it has scored."""

from __future__ import annotations

from typing import Any

import pytest

from agent.knowledge.claims import Claims
from agent.knowledge.database.connection import make_engine
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.library_records import NewLibraryEntry
from agent.knowledge.listing import factor_id_of
from agent.knowledge.records import (
    RunRecord,
)
from agent.knowledge.run_config import RunConfig
from factors.overlap import fingerprint
from market.errors import InputError
from tests.agent.knowledge_rows import attempt, parsed, scored, tried, unstorable


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
