"""The starter knowledge base: reproducible, honest about what could not be read, and usable as it is."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.transfer.read_only import borrowed
from agent.knowledge.transfer.starter import build_starter, starter_main
from agent.study.workspace import starter_path
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """Three small corpora in the published formats, one line of them malformed."""
    folder = tmp_path / "corpora"
    folder.mkdir()
    (folder / "worldquant_alpha101.txt").write_text(
        "Alpha#1: (-1 * correlation(rank(open), rank(volume), 10))\n"
        "#Alpha#2: rank(IndNeutralize(close, IndClass.sector))\n"
    )
    (folder / "gtja_alpha191.txt").write_text("Alpha1 MEAN(CLOSE,6)/CLOSE\nAlpha2 MEAN(HGIH,6)\nAlpha1 STD(CLOSE,6)\n")
    (folder / "qlib_alpha158.json").write_text(json.dumps({"KMID": "($close-$open)/$open"}))
    (folder / "README.md").write_text("not a corpus")
    return folder


def test_two_builds_are_the_same_bytes_and_hold_no_path(corpora: Path, tmp_path: Path) -> None:
    build_starter(corpora, tmp_path / "one.db")
    moved = tmp_path / "elsewhere"
    shutil.copytree(corpora, moved)
    build_starter(moved, tmp_path / "two.db")
    content = (tmp_path / "one.db").read_bytes()
    assert content == (tmp_path / "two.db").read_bytes()
    assert str(tmp_path).encode() not in content
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpora", "elsewhere", "one.db", "two.db"]


def test_it_holds_every_factor_with_its_source_and_no_score(corpora: Path, tmp_path: Path) -> None:
    out = tmp_path / "k.db"
    build_starter(corpora, out)
    connection = sqlite3.connect(out)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()
    with KnowledgeBase.open(out) as kb:
        entries = {(entry.dialect, entry.name): entry for entry in kb.library()}
        assert len(entries) == 6
        assert kb.attempts() == kb.lessons() == kb.runs() == []
    bad = entries["gtja", "Alpha2"]
    assert (bad.status, bad.canonical, bad.text) == ("refused", None, "MEAN(HGIH,6)")
    assert bad.message is not None
    assert "high" in bad.message.lower()
    assert entries["gtja", "Alpha1 (2)"].canonical == "ts_std(close, 6)"
    assert entries["worldquant", "Alpha#2"].status == "translated", "a panel may carry sectors"
    assert all(entry.source for entry in entries.values())


def test_refusals_are_one_line(corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="no corpora"):
        build_starter(tmp_path / "absent", tmp_path / "k.db")
    assert starter_main([str(corpora), str(tmp_path / "absent" / "k.db")]) == 2
    assert starter_main([str(corpora)]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 2)
    assert starter_main([str(corpora), str(tmp_path / "k.db")]) == 0
    assert "1 of 1 translated" in capsys.readouterr().out


def test_the_published_corpora(shared_corpora: Path, tmp_path: Path) -> None:
    entries = build_starter(shared_corpora, tmp_path / "k.db")
    assert len(entries) == 101 + 191 + 158
    translated = [entry for entry in entries if entry.status == "translated"]
    assert len(translated) >= 430
    for entry in translated:
        again = parse(entry.canonical or "", fields=(*_FIELDS,), dialect="native")
        assert isinstance(again, Expression), (entry.name, entry.canonical, again)
        assert (again.text, again.id) == (entry.canonical, entry.factor_id)
    for entry in entries:
        if entry.status == "refused":
            assert entry.message, entry.name


def test_the_starter_in_the_repository_is_the_one_these_corpora_make(shared_corpora: Path, tmp_path: Path) -> None:
    committed = Path(__file__).resolve().parents[2] / "knowledge.db"
    if not committed.is_file():
        pytest.skip("no knowledge.db here: run `make starter CORPORA=...`")
    build_starter(shared_corpora, tmp_path / "k.db")
    # A copy: opening a knowledge base turns on its write-ahead log, which would change the file.
    shutil.copyfile(committed, tmp_path / "committed.db")
    with (
        KnowledgeBase.open(tmp_path / "k.db") as fresh,
        KnowledgeBase.open(tmp_path / "committed.db") as kept,
    ):
        assert kept.library() == fresh.library(), "run `make starter CORPORA=...` again"


def test_a_new_base_holds_what_reading_every_factor_again_would_give(tmp_path: Path) -> None:
    starter = starter_path()
    with KnowledgeBase.open(tmp_path / "copied.db") as copied, KnowledgeBase.open(tmp_path / "read.db") as read:
        copied.library_copy(starter)
        # A second process, that was slower, changes nothing.
        copied.library_copy(starter)
        with borrowed(starter) as source:
            read.library_add(source.library())
        assert len(copied.library()) > 400
    assert rows_of(tmp_path / "copied.db") == rows_of(tmp_path / "read.db")


def rows_of(base: Path) -> list[list[tuple[object, ...]]]:
    with closing(sqlite3.connect(base)) as connection:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()
            for table in ("library", "known_factors", "known_parts")
        ]


_FIELDS = (
    *("open", "high", "low", "close", "volume", "vwap", "amount", "returns"),
    *("cap", "sector", "industry", "subindustry"),
)
