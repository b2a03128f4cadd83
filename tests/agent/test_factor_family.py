"""The family of a factor, as its page shows it: three steps each way, bounded, and finite where it is no tree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.knowledge import looking_up
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt, RunRecord
from agent.knowledge.run_config import RunConfig
from agent.web.factor_family import Relative, find_family
from tests.agent.commands import run
from tests.agent.knowledge_rows import attempt, make_panel
from tests.agent.web_client import Browser, text_of


def named(number: int) -> str:
    return f"factor:{number:016x}"


def born(run: RunRecord, number: int, *parents: int) -> NewAttempt:
    return attempt(run, number, parent_ids=tuple(named(one) for one in parents))


def fill(place: str | Path, families: dict[int, tuple[int, ...]]) -> None:
    """Record factors, each by its number, with the numbers of its parents; parents stand before their children."""
    panel = make_panel()
    with KnowledgeBase.open(place) as kb:
        kb.register_dataset(panel)
        begun = kb.create_run(panel.id, RunConfig(data="toy"), 1)
        kb.start_round(begun.id, 1, {})
        for number, parents in families.items():
            kb.record_attempt(born(begun, number, *parents))


def shape(one: Relative) -> dict[int, object]:
    """Return a tree as the numbers of its factors; what stands at an earlier place is 'again'."""
    return {
        int((x.attempt.factor_id or "")[7:], 16): "again"
        if x.again
        else (shape(x) | ({-1: x.hidden} if x.hidden else {}))
        for x in one.further
    }


def family_of(place: str | Path, number: int) -> tuple[Relative, Relative]:
    with KnowledgeBase.open(place) as kb:
        return find_family(kb, kb.get_factor(named(number)).attempt)


def test_children_are_read_by_pages(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On either kind of database: of a parent with many, no more are read than a page."""
    monkeypatch.setattr(looking_up, "CHILDREN", 3)
    fill(place, {1: (), 2: (1,), 3: (1,), 4: (1,), 5: (1, 2), 6: (2,), 7: (1,)})
    with KnowledgeBase.open(place) as kb:
        pages = [kb.get_factor(named(1), first_child=first) for first in (0, 3, 9)]
        assert [[one.factor_id for one in page.children] for page in pages] == [
            [named(2), named(3), named(4)],
            [named(5), named(7)],
            [],
        ]
        assert [page.all_children for page in pages] == [5, 5, 5]
        assert [page.further_children for page in pages] == [2, 0, 0]
        few = kb.get_factor(named(2))
        assert (len(few.children), few.all_children, few.further_children) == (2, 2, 0)
        assert kb.get_factor(named(7)).all_children == 0


def test_further_children_are_said(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking_up, "CHILDREN", 2)
    fill(home / "knowledge.db", {1: (), 2: (1,), 3: (1,), 4: (1,), 5: (4,)})
    shown = run(capsys, "kb", "show", named(1))[1]
    assert shown.count("child: ") == 2
    assert "and 1 further children: --children-from 2" in shown
    rest = run(capsys, "kb", "show", named(1), "--children-from", "2")[1]
    assert f"child: {named(4)}" in rest
    assert "further" not in rest
    assert "and 1 further ones" in run(capsys, "kb", "lineage", named(1))[1]


def test_three_steps_each_way_and_each_factor_once(place: str) -> None:
    """On either kind of database. 4 and 5 have the same child, and that one is a grandchild's parent as well."""
    fill(place, {1: (), 2: (1,), 3: (2, 1), 4: (3,), 5: (3,), 6: (4, 5), 7: (6, 3), 8: (7,), 9: (8,)})
    above, below = family_of(place, 3)
    assert shape(above) == {2: {1: "again"}, 1: {}}
    assert shape(below) == {4: {6: {7: "again"}}, 5: {6: "again"}, 7: {8: {9: {}}}}
    above, below = family_of(place, 9)
    assert shape(above) == {8: {7: {6: {}, 3: {}}}}, "no fourth step"
    assert shape(below) == {}


def test_a_circle_ends(tmp_path: Path) -> None:
    """An attempt at a factor that is known may name its own grandchild."""
    place = tmp_path / "k.db"
    fill(place, {1: (), 2: (1,), 3: (2,)})
    with KnowledgeBase.open(place) as kb:
        run = kb.runs()[0]
        kb.record_attempt(replace(born(run, 1, 3), slot=90))
        kb.record_attempt(replace(born(run, 1, 1), slot=91))
    above, below = family_of(place, 1)
    assert shape(above) == {3: {2: {1: "again"}}}
    assert shape(below) == {2: {3: {1: "again"}}}


def test_a_large_litter_is_cut_and_counted(tmp_path: Path) -> None:
    place = tmp_path / "knowledge.db"
    litter = dict.fromkeys(range(10, 110), (1,))
    fill(place, {1: (), **litter, **dict.fromkeys(range(200, 209), (10,)), 300: (200,)})
    _, below = family_of(place, 1)
    assert (len(below.further), below.hidden) == (40, 60)
    assert below.further[0].attempt.factor_id == named(10), "the oldest first"
    assert (len(below.further[0].further), below.further[0].hidden) == (6, 3)
    assert shape(below.further[0].further[0]) == {300: {}}
    (tmp_path / "alphaglow.toml").touch()
    page = Browser(tmp_path).get(f"/factors/{named(1)}")
    assert page.status_code == 200
    for part in (
        "Nothing: a first idea",
        "idea 10",
        "and 60 more: alphaglow kb lineage",
        "idea 300",
        "and 3 more",
    ):
        assert part in text_of(page), part
    assert f'<a href="/factors/{named(10)}">and 3 more</a>' in page.text
    assert f'<a href="/factors/{named(300)}">idea 300</a>' in page.text
