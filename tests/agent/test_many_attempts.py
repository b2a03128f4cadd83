"""A base of many attempts: made as the program makes it, recalled in part, listed by the page."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.knowledge.attempt_figures import factor_order
from agent.knowledge.file_listing import FileListing
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.packed_json import StoredDocument, pack_json
from agent.knowledge.paging import attempt_pages, best_scored, count_attempts, newest_unscored, newest_with_theme
from agent.knowledge.records import NewLesson
from agent.knowledge.run_config import RunConfig
from agent.knowledge.tables import chosen_attempts
from agent.knowledge.verifying import find_faults
from agent.mining.search.elites import merit
from agent.mining.search.themes import is_theme, theme_of
from benchmarks.knowledge import make_panel
from benchmarks.knowledge_rows import ROUND, Variants, fill, ideas_of
from market.errors import InputError

SIZE = 300


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "knowledge.db"
    with KnowledgeBase.open(path) as knowledge:
        fill(knowledge, make_panel(), SIZE)
    return path


@pytest.fixture
def knowledge(filled: Path, tmp_path: Path) -> Iterator[KnowledgeBase]:
    with KnowledgeBase.open(shutil.copy(filled, tmp_path / "knowledge.db")) as opened:
        yield opened


def tables_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of each table, without times and without the ids of runs, which hold times."""
    found = {}
    scored = ("evaluations", "trial_returns", "known_factors", "known_parts", "tallies")
    with closing(sqlite3.connect(path)) as base:
        for name in ("attempts", "attempt_parents", "verdicts", *scored):
            columns = [row[1] for row in base.execute(f"PRAGMA table_info({name})")]
            kept = [column for column in columns if column not in ("created", "run_id")]
            found[name] = sorted(base.execute(f"SELECT {', '.join(kept)} FROM {name}").fetchall(), key=repr)
        base.execute("CREATE VIRTUAL TABLE temp.said USING fts5vocab(main, attempt_words, instance)")
        found["words"] = sorted(base.execute("SELECT * FROM temp.said").fetchall())
    return found


def test_the_generator_writes_what_the_program_writes(tmp_path: Path) -> None:
    count, panel = 60, make_panel()
    with KnowledgeBase.open(tmp_path / "made.db") as made:
        fill(made, panel, count)
    with KnowledgeBase.open(tmp_path / "recorded.db") as recorded:
        recorded.register_dataset(panel)
        run = recorded.create_run(panel.id, RunConfig(data=panel.name or "toy"), 0)
        variants = Variants(0, ideas_of(count))
        for number in range(count):
            if number % ROUND == 0:
                recorded.start_round(run.id, number // ROUND, {})
            recorded.record_attempt(variants.draw(run.id, number).attempt)
        assert find_faults(recorded) == []
    assert tables_of(tmp_path / "made.db") == tables_of(tmp_path / "recorded.db")


def test_few_attempts_are_recalled_whole(knowledge: KnowledgeBase) -> None:
    panel = make_panel().id
    known = knowledge.recalled(panel)
    assert known.attempts == knowledge.attempts(panel_id=panel) == known.typical
    assert (known.is_whole, known.total) == (True, SIZE)
    assert [a.id for a in knowledge.recalled(panel, until=40).attempts] == list(range(1, 41))


def test_of_many_attempts_the_newest_the_best_and_a_sample_are_recalled(
    knowledge: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"_NEWEST": 20, "_BEST": 12, "_LOWEST": 5, "_SAMPLE": 30}
    for name, value in sizes.items():
        monkeypatch.setattr(chosen_attempts, name, value)
    panel = make_panel().id
    known = knowledge.recalled(panel, whole=100)
    ids = [attempt.id for attempt in known.attempts]
    assert (known.is_whole, known.total) == (False, SIZE)
    assert ids == sorted(set(ids))
    assert len(ids) <= sum(sizes.values())
    assert set(range(SIZE - 19, SIZE + 1)) <= {a.id for a in known.typical}
    # The sample has something of every part of the base.
    assert all(any(start < a.id <= start + 50 for a in known.typical) for start in range(0, SIZE, 50))
    everything = knowledge.attempts(panel_id=panel)
    best = max(everything, key=lambda a: merit(a) or -9.0)
    assert best.id in ids
    clusters = knowledge.clusters_among(panel, ids)
    chosen = [clusters[a.id] for a in known.attempts if a.id not in {t.id for t in known.typical}]
    assert max(chosen.count(cluster) for cluster in chosen) <= 5
    # A resumed round recalls what it began with, whatever came since.
    then = knowledge.recalled(panel, until=200, whole=100)
    assert then.total == 200
    assert max(a.id for a in then.attempts) == 200
    variants, run = Variants(5, 8), knowledge.runs()[0].id
    knowledge.start_round(run, 90, {})
    knowledge.record_attempts([variants.draw(run, 90 * ROUND + k).attempt for k in range(8)])
    again = knowledge.recalled(panel, until=200, whole=100)
    assert (again.attempts, again.typical) == (then.attempts, then.typical)


def test_the_file_alone_answers_as_the_open_base_does(
    knowledge: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert knowledge.place.path is not None
    panel, file = make_panel().id, FileListing(knowledge.place.path)
    run = knowledge.runs()[0].id
    knowledge.finish_round(run, 1, [NewLesson("theme", "volume tells", (1, 2)), NewLesson("sign", "it pays", (3,))])
    child = next(a for a in knowledge.attempts() if a.parent_ids and a.parent_ids != (a.factor_id,))
    assert child.factor_id is not None
    assert file.get_factor(child.factor_id) == knowledge.get_factor(child.factor_id)
    assert file.get_factor(child.factor_id).parents
    assert (found := file.search_text("idea crowds", limit=20)) == knowledge.search_text("idea crowds", limit=20)
    assert len(found) == 20
    assert [one.text for one in file.newest_lessons(None, 5)] == ["volume tells", "it pays"]
    assert file.newest_lessons(run, None) == knowledge.lessons(run_id=run, limit=None)
    assert file.typical_attempts(panel) == knowledge.typical_attempts(panel)
    monkeypatch.setattr(chosen_attempts, "WHOLE", 100)
    monkeypatch.setattr(chosen_attempts, "_NEWEST", 20)
    monkeypatch.setattr(chosen_attempts, "_SAMPLE", 30)
    assert file.typical_attempts(panel) == knowledge.typical_attempts(panel)
    assert len(file.typical_attempts(panel)) < SIZE


def test_a_page_lists_what_the_whole_would(knowledge: KnowledgeBase) -> None:
    attempts = knowledge.attempts()
    scored = [a for a in attempts if a.evaluation is not None]
    full = sorted((a for a in scored if a.stage != "screen"), key=factor_order)
    (run,) = knowledge.runs()
    with knowledge.asking() as ask:
        assert best_scored(ask, 10) == full[:10]
        assert best_scored(ask, SIZE) == best_scored(ask, SIZE, run.id) == full
        assert best_scored(ask, SIZE, screened=True) == sorted(scored, key=factor_order)
        assert count_attempts(ask) == count_attempts(ask, run.id) == (SIZE, len(scored) - len(full))
        assert [a for page in attempt_pages(ask) for a in page] == attempts
        assert [a for page in attempt_pages(ask, run.id, scored=True) for a in page] == [a for a in scored if a in full]
        themed = [a for a in reversed(attempts) if theme_of(a) == "volatility"]
        assert newest_with_theme(ask, lambda text, said: is_theme("volatility", text, said), 7) == themed[:7]


def test_both_kinds_of_database_choose_and_list_alike(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_NEWEST", "_BEST", "_LOWEST", "_SAMPLE"):
        monkeypatch.setattr(chosen_attempts, name, 6)
    panel = make_panel().id
    with KnowledgeBase.open(base) as opened:
        fill(opened, make_panel(), 48)
        known = opened.recalled(panel, whole=20)
        assert known.total == 48
        assert {a.id for a in known.attempts} > {a.id for a in known.typical} > set(range(43, 49))
        assert opened.recalled(panel, until=30, whole=20).attempts[-1].id == opened.newest_attempt(panel) - 18 == 30
        scored = sorted((a for a in opened.attempts() if a.evaluation is not None), key=factor_order)
        with opened.asking() as ask:
            assert best_scored(ask, 48, screened=True) == scored
            assert len(newest_unscored(ask, 48)) == 48 - len(scored)
            assert len(newest_with_theme(ask, lambda _text, said: "theme" in said, 2)) == 2
        accepted = [a.id for a in scored if a.evaluation is not None and a.evaluation.accepted]
        assert [a.id for a in opened.admitted(panel)] == sorted(accepted)
        (run,) = opened.runs()
        assert opened.slots(run.id, 2) == set(range(8))
        assert opened.count_attempts(run.id) == 48
        assert {a.id for a in opened.with_verdict(run.id, "rejected")} == {a.id for a in scored} - set(accepted)
        assert [a.canonical for a in opened.attempts_at(scored[0].canonical or "", panel)] == [scored[0].canonical]
        assert opened.data_of(scored[0].factor_id or "") == {panel}
        assert find_faults(opened) == []


def test_a_stored_document_is_what_was_stored_or_says_that_it_is_damaged() -> None:
    document = {"train": {"net_z": -1.5, "start": "ä"}, "profiles": None}
    packed = pack_json(document)
    stored = StoredDocument(packed)
    assert stored == document
    assert (dict(stored), stored["profiles"], len(stored)) == (document, None, 2)
    for damaged in (packed[:-1], packed[:9] + b"!" + packed[10:], b"", b"{}", pack_json([1])):
        with pytest.raises(InputError, match="kb verify"):
            StoredDocument(damaged).read()
