"""Draws of the largest score are kept for the next process: it reads no trial again, and finds the same to the bit."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.tables import effective_trials, related_trials
from agent.knowledge.tables.packed_returns import pack, unpacked
from agent.knowledge.transfer.read_only import borrowed
from backtest.max_test import LargestScores
from market.panel import FloatArray, Panel
from tests.agent.test_related_data import OLD, WHOLE, run_on, try_on

# Of one data set, and of two that are related, which are read in another way.
ONE, BOTH = (OLD,), (OLD, WHOLE)


@pytest.fixture(autouse=True)
def every_trial_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (effective_trials, related_trials):
        monkeypatch.setattr(module, "WORTH_STORING", 1)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many trials were drawn, call for call."""
    drawn: list[int] = []
    add = LargestScores.add

    def counting(self: LargestScores, fingerprints: Iterable[FloatArray]) -> None:
        rows = list(fingerprints)
        drawn.append(len(rows))
        add(self, rows)

    monkeypatch.setattr(LargestScores, "add", counting)
    return drawn


def _fill(path: Path, panels: tuple[Panel, ...], numbers: range) -> None:
    with KnowledgeBase.open(path) as kb:
        for panel in panels:
            try_on(kb, run_on(kb, panel), numbers)


def _asked(path: Path) -> LargestScores:
    """Ask as a process of its own does."""
    with KnowledgeBase.open(path) as kb:
        return kb.largest_scores(OLD.id)


def _draws_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.draws")


@pytest.mark.parametrize("panels", [ONE, BOTH])
def test_the_next_process_goes_on_where_the_last_one_stopped(
    tmp_path: Path, read: list[int], panels: tuple[Panel, ...]
) -> None:
    path = tmp_path / "k.db"
    _fill(path, panels, range(4))
    first = _asked(path)
    assert len(list(_draws_of(path).iterdir())) == 1
    assert sum(read) == 4
    read.clear()
    again = _asked(path)
    assert sum(read) == 0
    assert (again.count, again.largest.tolist()) == (first.count, first.largest.tolist())
    # What came since is added, and what was scored on related data before counts once.
    _fill(path, panels[-1:], range(2, 7))
    read.clear()
    grown = _asked(path)
    assert sum(read) == (3 if panels is BOTH else 5)
    shutil.rmtree(_draws_of(path))
    afresh = _asked(path)
    assert (grown.count, grown.largest.tolist()) == (afresh.count, afresh.largest.tolist())


@pytest.mark.parametrize("panels", [ONE, BOTH])
@pytest.mark.parametrize("change", ["other trials", "merged", "damaged", "another version"])
def test_draws_of_other_trials_are_not_taken(
    tmp_path: Path, change: str, panels: tuple[Panel, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "k.db", tmp_path / "other.db"
    _fill(path, panels, range(4))
    _fill(other, panels, range(4))
    before = _asked(path)
    (file,) = _draws_of(path).iterdir()
    if change == "other trials":
        with sqlite3.connect(path) as base:
            (packed,) = base.execute("SELECT fingerprint FROM trial_returns ORDER BY seq LIMIT 1").fetchone()
            swapped = pack(unpacked(packed)[::-1])
            base.execute("UPDATE trial_returns SET fingerprint = ? WHERE fingerprint = ?", (swapped, packed))
    elif change == "merged":
        with sqlite3.connect(path) as base:
            base.execute("UPDATE tallies SET epoch = epoch + 1")
            ends = base.execute("SELECT attempt_id, seq FROM trial_returns ORDER BY seq").fetchall()
            turned = [(seq, number) for (number, _), (_, seq) in zip(ends, reversed(ends), strict=True)]
            base.executemany("UPDATE trial_returns SET seq = ? WHERE attempt_id = ?", turned)
    elif change == "damaged":
        file.write_bytes(file.read_bytes()[:300])
    else:
        monkeypatch.setattr(LargestScores, "recipe", lambda _self: "another")
    found = _asked(path)
    shutil.rmtree(_draws_of(path))
    afresh = _asked(path)
    assert found.largest.tolist() == afresh.largest.tolist()
    if change in ("other trials", "merged"):
        assert found.largest.tolist() != before.largest.tolist()


def test_a_small_base_and_a_folder_that_may_not_be_written_have_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "k.db"
    _fill(path, ONE, range(4))
    # A file of that name is in the way: a folder cannot be made.
    _draws_of(path).write_text("")
    assert _asked(path).count == 4
    _draws_of(path).unlink()
    monkeypatch.setattr(effective_trials, "WORTH_STORING", 5)
    assert _asked(path).count == 4
    assert not _draws_of(path).exists()


def test_an_open_base_takes_the_trials_of_a_merge_in_their_order(tmp_path: Path) -> None:
    path, other = tmp_path / "k.db", tmp_path / "other.db"
    _fill(other, ONE, range(4))
    with KnowledgeBase.open(path) as kb:
        try_on(kb, run_on(kb, OLD), range(3, 8))
        assert kb.largest_scores(OLD.id).count == 5
        with borrowed(other) as lent, lent.as_source() as source:
            kb.take_in(source)
        merged = kb.largest_scores(OLD.id)
    shutil.rmtree(_draws_of(path))
    afresh = _asked(path)
    assert merged.count == afresh.count == 9
    assert merged.largest.tolist() == afresh.largest.tolist()
