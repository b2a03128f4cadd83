"""Two knowledge bases into one: nothing lost, nothing twice, and counts that do not depend on who took in whom."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.library_records import NewLibraryEntry
from agent.knowledge.records import NewAttempt, NewCall, NewEvaluation, NewLesson, request_hash
from agent.knowledge.remarks import Remark
from agent.knowledge.run_config import RunConfig, ScoringRules
from agent.knowledge.score_documents import read_evidence, read_flat, read_scorecard
from agent.knowledge.transfer.later_rows import join_histories
from agent.knowledge.transfer.merging import Merged
from agent.knowledge.transfer.read_only import borrowed
from agent.knowledge.transfer.table_rows import ExportedSource
from agent.knowledge.verifying import find_faults
from agent.knowledge.watch_records import WatchRecord, WatchState
from backtest.luck import fingerprint_of
from backtest.result_types import SegmentScore
from market.errors import InputError
from tests.agent.commands import as_json, refused, run
from tests.agent.knowledge_rows import make_panel, parsed

TEXTS = ["ts_mean(close, {})", "ts_std(returns, {})", "cs_rank(ts_corr(close, volume, {}))", "ts_kurt(volume, {})"]


def fill(place: str | Path, seed: int, attempts: int = 12) -> str:
    """Write a run of scored, refused and accepted attempts, with all that goes with one; return its id."""
    rng = np.random.default_rng(seed)
    # Few ideas that many attempts share: effective trials that merging must find again.
    ideas = np.random.default_rng(0).normal(size=(4, 600))
    panel = make_panel()
    with KnowledgeBase.open(place) as kb:
        kb.register_dataset(panel)
        one = kb.create_run(panel.id, RunConfig(data="toy", rules=ScoringRules({"backtest": {"fee_bp": 5.0}})), seed)
        kb.start_round(one.id, 1, {"goal": "find", "seed": seed})
        numbers = []
        for slot in range(attempts):
            expression = parsed(TEXTS[slot % 4].format(2 + seed + slot))
            kind = int(rng.integers(4))
            returns = ideas[kind] * rng.choice([-1, 1]) + rng.uniform(0.2, 1.8) * rng.normal(size=600)
            sharpe = float(rng.normal(0.0, 0.05))
            scored = NewEvaluation(
                read_scorecard({"train": {"rank_ic": sharpe}}),
                read_evidence({"verdict": "x", "accepted": slot == 3}),
                sharpe,
                fingerprint_of(returns),
            )
            new = NewAttempt(
                one.id, 1, slot, text=expression.text, stage="evidence", canonical=expression.text,
                factor_id=expression.id, name=f"idea {seed} {slot}", evaluation=scored,
            )  # fmt: skip
            if slot % 5 == 4:
                new = replace(new, canonical=None, factor_id=None, stage="parse", message="no", evaluation=None)
            numbers.append(kb.record_attempt(new))
        journal = kb.journal(one.id)
        for key in ("r1/s0/t1/writer/1", "r1/s1/t1/writer/1"):
            asked = json.dumps([{"role": "user", "content": f"{seed} {key}"}])
            answered = NewCall(
                "", key, "writer", "m", "text", request_hash("m", asked), asked, "said", "ok", 3, 4, 0.5, 1.0
            )
            journal.record(answered)
        journal.lose("r1/s0/t1/writer/1", "writer", "m", "[]")
        kb.finish_round(one.id, 1, [NewLesson("sign", f"lesson {seed}", tuple(numbers[2:4])), NewLesson("b", "other")])
        kb.set_run_status(one.id, "finished")
        kb.library_add([NewLibraryEntry(f"A{seed}", "paper", "qlib", "x", "translated", "open", "factor:feed")])
        score = read_flat(SegmentScore, {"sharpe_net": seed})
        kb.add_remark(Remark("factor:1", "note", f"seen at {seed}\nand again", "Ann"))
        kb.add_remark(Remark("factor:1", "tag", "carry", "Bob"))
        kb.keep_watches([watched("fresh", f"toy {seed}"), watched("fresh", "toy")])
        kb.keep_watches([watched("aging", f"toy {seed}")])
        who = f"somebody at {seed}"
        kb.record_holdout("factor:1", panel.id, score, opened_by=who, rules=ScoringRules(), again=True)
        return one.id


def watched(state: WatchState, data: str = "toy") -> WatchRecord:
    return WatchRecord(
        "factor:1", data, "panel:1", "factor", "slow", "earns", "2024-01-01T00:00:00Z", state,
        start="2024-01-02", end="2024-02-02", bars=32, figures={"net_came": 0.4, "net_low": None},
    )  # fmt: skip


def merge(into: str | Path, other: str | Path) -> Merged:
    with KnowledgeBase.open(into) as kb, borrowed(other) as lent, lent.as_source() as source:
        return kb.take_in(source)


@contextmanager
def opened(place: str | Path) -> Iterator[KnowledgeBase]:
    with KnowledgeBase.open(place) as kb:
        yield kb
        assert find_faults(kb) == []


def clusters(kb: KnowledgeBase) -> set[frozenset[tuple[str, int]]]:
    """Return the clusters, each as places of its attempts, which do not depend on ids."""
    with kb.lend() as connection:
        rows = connection.exec_driver_sql(
            "SELECT t.cluster, a.run_id, a.slot FROM trial_returns t JOIN attempts a ON a.id = t.attempt_id"
        ).fetchall()
    found: dict[int, set[tuple[str, int]]] = {}
    for cluster, run_id, slot in rows:
        found.setdefault(cluster, set()).add((run_id, slot))
    return {frozenset(cluster) for cluster in found.values()}


def test_two_bases_add_up_whichever_takes_in_the_other(tmp_path: Path, place: str) -> None:
    """On either kind of database, from a file."""
    left, right = tmp_path / "left.db", tmp_path / "right.db"
    runs = [fill(left, 1), fill(right, 2, attempts=20)]
    before = right.read_bytes()
    assert merge(place, left).added["attempts"] == 12
    added = merge(place, right).added
    assert right.read_bytes() == before, "the other one is left as it is"
    assert (added["attempts"], added["runs"], added["lessons"], added["calls"]) == (20, 1, 2, 3)
    merge(right, left)
    panel = make_panel().id
    with opened(place) as one, opened(right) as other:
        assert one.trials(panel) == other.trials(panel)
        assert clusters(one) == clusters(other)
        assert (one.trials(panel).count, one.trials(panel).evaluated) == (32, 26)
        ratios = [a.evaluation.sharpe_per_bar for a in one.attempts() if a.evaluation is not None]
        assert one.trials(panel).sharpe_variance == pytest.approx(np.var([r for r in ratios if r], ddof=1), rel=1e-9)
        for kb in (one, other):
            assert {record.id for record in kb.runs()} == set(runs)
            for run_id in runs:
                # What cites attempts by their ids cites the same ones.
                cited = kb.lessons(run_id=run_id)[0].evidence
                assert [a.slot for a in kb.attempts(run_id=run_id) if a.id in cited] == [2, 3]
            assert [x.opened_by for x in kb.holdout_openings("factor:1", panel)] == ["somebody at 1", "somebody at 2"]
            assert [x.number for x in kb.holdout_openings("factor:1", panel)] == [1, 2]
            assert kb.novelty(parsed("ts_mean(close, 4)")).identical is not None
            assert len(kb.search_text("idea")) == 30
            assert kb.calls_total(runs[0]).calls == 3
            assert kb.nearest_accepted(panel, fingerprint_of(np.random.default_rng(0).normal(size=(4, 600))[0])).text


def test_merging_again_adds_nothing(tmp_path: Path, place: str) -> None:
    other = tmp_path / "other.db"
    fill(place, 1)
    fill(other, 2)
    merge(place, other)
    with KnowledgeBase.open(place) as kb:
        before = kb.export()
    again = merge(place, other)
    assert again.sentence() == "nothing was new"
    with opened(place) as kb:
        assert kb.export() == before
        # What comes afterwards is clustered with all that was taken in.
        trials = kb.trials(make_panel().id)
    fill(place, 3)
    with opened(place) as kb:
        assert kb.trials(make_panel().id).count == trials.count + 12


def test_an_open_handle_sees_what_was_taken_in_by_another(tmp_path: Path) -> None:
    """It remembers sums of returns: those of before the merge must not be compared with what comes after it."""
    here, other = tmp_path / "here.db", tmp_path / "other.db"
    run_id = fill(here, 1)
    fill(other, 2)
    with KnowledgeBase.open(here) as kb:
        kb.start_round(run_id, 2, {})
        series = np.random.default_rng(0).normal(size=(4, 600))

        def record(slot: int) -> None:
            scored = NewEvaluation(read_scorecard({}), read_evidence({}), 0.1, fingerprint_of(series[slot]))
            kb.record_attempt(NewAttempt(run_id, 2, slot, "close", "evidence", evaluation=scored))

        record(0)
        merge(here, other)
        record(1)
        assert len(kb.attempts(panel_id=make_panel().id)) == 26
        assert find_faults(kb) == []


def test_an_export_read_back_is_the_same_export(tmp_path: Path, place: str) -> None:
    first = tmp_path / "first.db"
    fill(first, 1)
    fill(first, 2)
    with KnowledgeBase.open(first) as kb:
        text = kb.export()
    (tmp_path / "export.json").write_text(text)
    with opened(place) as kb:
        kb.take_in(ExportedSource(tmp_path / "export.json"))
        assert kb.export() == text
        assert kb.take_in(ExportedSource(tmp_path / "export.json")).sentence() == "nothing was new"


def test_an_export_of_the_revision_before_is_read(tmp_path: Path) -> None:
    """There the fingerprint of an attempt's returns has its older name."""
    fill(tmp_path / "k.db", 1)
    with KnowledgeBase.open(tmp_path / "k.db") as kb:
        text = kb.export()
    older = json.loads(text)
    older["revision"] = "0006"
    for attempt in older["attempts"]:
        if attempt["evaluation"] is not None:
            attempt["evaluation"]["sketch"] = attempt["evaluation"].pop("returns_fingerprint")
    (tmp_path / "older.json").write_text(json.dumps(older))
    with opened(tmp_path / "other.db") as kb:
        kb.take_in(ExportedSource(tmp_path / "older.json"))
        assert kb.export() == text


def test_a_copy_that_went_on_is_taken_in_and_one_that_went_elsewhere_is_refused(tmp_path: Path) -> None:
    base, ahead, apart = (tmp_path / name for name in ("base.db", "ahead.db", "apart.db"))
    run_id = fill(base, 1)
    for copy in (ahead, apart):
        copy.write_bytes(base.read_bytes())
    with KnowledgeBase.open(ahead) as kb:
        kb.start_round(run_id, 2, {"goal": "on"})
        kb.record_attempt(NewAttempt(run_id, 2, 0, "close", "parse"))
        kb.set_run_status(run_id, "interrupted")
    with KnowledgeBase.open(apart) as kb:
        kb.start_round(run_id, 2, {"goal": "elsewhere"})
    assert merge(base, ahead).added["attempts"] == 1
    assert merge(ahead, base).sentence() == "nothing was new"
    with opened(base) as kb:
        before = kb.export()
        assert kb.get_run(run_id).status == "interrupted"
    with pytest.raises(InputError, match=f"run {run_id} is in both.*the brief of round 2"):
        merge(base, apart)
    connection = sqlite3.connect(ahead)
    connection.execute("UPDATE attempts SET text = 'open' WHERE round = 2")
    connection.commit()
    connection.close()
    with pytest.raises(InputError, match="round 2, slot 0"):
        merge(base, ahead)
    with opened(base) as kb:
        assert kb.export() == before, "refused whole"


def test_remarks_and_what_was_watched_come_along_in_order_of_time(tmp_path: Path, place: str) -> None:
    fill(tmp_path / "other.db", 2)
    with KnowledgeBase.open(tmp_path / "other.db") as kb:
        kb.add_remark(Remark("factor:1", "accept", "it paid", "Ann"))
        older = json.loads(kb.export())
    for line in older["remarks"]:
        line["created"] = "2020-01-01T00:00:00Z"
    for line in older["watches"]:
        line["checked"], line["start"] = "2020-01-01T00:00:00Z", "2019-12-01"
    (tmp_path / "older.json").write_text(json.dumps(older))
    fill(place, 1)
    with opened(place) as kb:
        kb.add_remark(Remark("factor:1", "retire", "it pays no more", "Bob"))
        kb.keep_watches([watched("failing", "toy 2")])
        assert kb.watched_from("factor:1", "panel:1") == "2024-01-02"
        added = kb.take_in(ExportedSource(tmp_path / "older.json")).added
        # The tag is there already; of one state that both saw, the first bar is the earlier one.
        assert (added["remarks"], added["states of what is watched"]) == (2, 3)
        assert kb.decisions(["factor:1"]) == {"factor:1": "retire"}, "the newest, not what came last"
        assert [x.kind for x in kb.remarks("factor:1")] == ["note", "accept", "note", "tag", "retire"]
        assert kb.watched_from("factor:1", "panel:1") == "2019-12-01"
        history = {x.data: x.state for x in kb.watches()}
        assert history == {"toy": "fresh", "toy 1": "aging", "toy 2": "failing"}
        on_two = [x for x in kb.watch_history("factor:1") if x.data == "toy 2"]
        assert [x.state for x in on_two] == ["fresh", "aging", "failing"]
        assert kb.take_in(ExportedSource(tmp_path / "older.json")).sentence() == "nothing was new"


@pytest.mark.parametrize(
    ("here", "there", "both"),
    [
        # A copy that was looked at later: its state was seen for longer.
        ("fresh1", "fresh3", "fresh3"),
        ("fresh3", "fresh1 aging2", "fresh1 aging2 fresh3"),
        ("fresh1", "fresh2 aging5 failing7", "fresh2 aging5 failing7"),
        ("fresh1 aging6", "fresh3 aging4", "fresh3 aging6"),
        ("", "fresh1 aging1 fresh1", "fresh1 aging1 fresh1"),
    ],
)
def test_two_histories_of_watching_are_one(here: str, there: str, both: str) -> None:
    def lines(said: str) -> list[dict[str, object]]:
        rest = {"stale": False, "panel_id": "p", "verdict": "earns", "start": ""}
        return [{"state": word[:-1], "checked": word[-1], **rest} for word in said.split()]

    assert join_histories(lines(here), lines(there)) == lines(both)
    assert join_histories(lines(both), lines(there)) == lines(both), "again adds nothing"
    assert join_histories(lines(there), lines(here)) == lines(both), "whichever takes in the other"


def test_an_export_without_remarks_and_watching_is_read(tmp_path: Path) -> None:
    fill(tmp_path / "k.db", 1)
    with KnowledgeBase.open(tmp_path / "k.db") as kb:
        older = json.loads(kb.export())
    del older["remarks"], older["watches"]
    (tmp_path / "older.json").write_text(json.dumps({**older, "revision": "0012"}))
    with opened(tmp_path / "other.db") as kb:
        assert kb.take_in(ExportedSource(tmp_path / "older.json")).added["attempts"] == 12
        assert (kb.remarks("factor:1"), kb.watches()) == ([], [])


def test_what_is_no_export_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    with KnowledgeBase.open(tmp_path / "k.db") as kb:
        whole = json.loads(kb.export())
        for document in (
            "{",
            "[]",
            "{}",
            {**whole, "revision": "0001"},
            {**whole, "runs": [{"id": 1}]},
            {**whole, "calls": 3},
            {**whole, "remarks": [{"factor_id": "f", "kind": "love", "text": "x", "author": "a", "created": "c"}]},
            {**whole, "remarks": [{"factor_id": "f", "kind": "note", "text": 3, "author": "a", "created": "c"}]},
            {**whole, "watches": [{"subject": "f"}]},
        ):
            path.write_text(document if isinstance(document, str) else json.dumps(document))
            with pytest.raises(InputError) as caught:
                kb.take_in(ExportedSource(path))
            assert "\n" not in str(caught.value)
        assert kb.runs() == []


def test_the_commands(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home / "knowledge.db", 1)
    fill(tmp_path / "other.db", 2)
    assert run(capsys, "kb", "export", "-o", "all.json")[0] == 0
    added = as_json(capsys, "kb", "merge", str(tmp_path / "other.db"))["added"]
    assert (added["attempts"], added["runs"], added["published factors"]) == (12, 1, 1)
    assert run(capsys, "kb", "import", "all.json")[1].strip() == "nothing was new"
    assert "there is no knowledge base" in refused(capsys, "kb", "merge", "absent.db")
    assert "cannot be reached" in refused(capsys, "kb", "import", "postgresql://me:word@127.0.0.1:1/kb")
    assert "not a database" in refused(capsys, "kb", "merge", "alphaglow.toml")
    code, _, err = run(capsys, "init", str(tmp_path / "second"))
    assert code == 0, err
    assert run(capsys, "-w", str(tmp_path / "second"), "kb", "merge", str(home))[1].startswith("added")
    assert as_json(capsys, "-w", str(tmp_path / "second"), "kb", "verify") == {"faults": []}
