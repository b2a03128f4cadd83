"""What was admitted is watched on the bars since: states, their history, and what is used up by looking."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.evidence.earned_later import verdict_calibration
from agent.evidence.watching import is_stale, watch
from agent.knowledge.remarks import Remark
from agent.knowledge.watch_records import WatchRecord
from agent.mcp.allowance import Allowance, Spent
from agent.mcp.reading_tools import ReadingTools
from agent.mcp.served import Served
from agent.study.workspace import Workspace, init_workspace
from market.panel import Panel
from market.panel_store import save_panel
from market.synthetic.demo_market import TRUTH, SynthSpec, make_market
from tests.agent.commands import as_json, prepare, refused, run
from tests.agent.web_client import Browser, text_of

WHOLE = make_market(SynthSpec(bars=9000, assets=16)).panel
OLD = 3000
END = datetime.fromisoformat(str(WHOLE.times[-1])[:19]).replace(tzinfo=UTC) + timedelta(hours=1)


def without_skill(panel: Panel, since: int) -> Panel:
    """The same market, whose volumes belong to other assets from a bar on: what was planted in them is gone."""
    volume = panel["volume"].copy()
    volume[since:] = np.roll(volume[since:], 5, axis=1)
    return panel.with_fields({"volume": volume})


def store(home: Path, panel: Panel) -> None:
    save_panel(panel, Workspace(home).data_path("toy"))


@pytest.fixture(scope="module")
def admitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the planted factor was accepted on the first bars."""
    home = tmp_path_factory.mktemp("watching") / "w"
    init_workspace(home)
    store(home, WHOLE.rows(0, OLD))
    for text in (TRUTH, "-ts_mean(returns, 24)", "ts_std(returns, 48)"):
        prepare("-w", str(home), "eval", text, "--data", "toy")
    return home


@pytest.fixture
def home(admitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import shutil

    folder = tmp_path / "w"
    shutil.copytree(admitted, folder)
    monkeypatch.chdir(folder)
    return folder


def looked(home: Path, now: datetime = END) -> WatchRecord:
    """Watch, and return what was found of the one factor that was admitted."""
    workspace = Workspace(home)
    with workspace.knowledge() as knowledge:
        (found,) = watch(workspace, knowledge, now=now).records
        return next(one for one in knowledge.watches() if one.subject == found.subject)


def test_one_that_pays_stays_fresh_on_new_bars_alone(home: Path) -> None:
    nothing = looked(home)
    assert (nothing.state, nothing.bars, nothing.start, nothing.verdict) == ("fresh", 0, "", "accepted")
    store(home, WHOLE)
    found = looked(home)
    assert (found.state, found.why, found.kind) == ("fresh", "", "factor")
    # The first bar that is paid, and the last, are bars that came since.
    assert (found.start, found.end) == (f"{str(WHOLE.times[OLD])[:19]}Z", f"{str(WHOLE.times[-1])[:19]}Z")
    assert found.bars == len(WHOLE.times) - OLD - 1
    low, came = found.figure("payoff_low"), found.figure("payoff_came")
    assert low is not None
    assert came is not None
    assert came > low > 0


def test_what_came_before_the_admission_is_not_seen_and_what_comes_changes_no_band(home: Path) -> None:
    store(home, WHOLE)
    alive = looked(home)
    store(home, without_skill(WHOLE, OLD))
    dead = looked(home)
    for name in ("payoff_expected", "payoff_low", "net_low", "net_high"):
        assert alive.figures[name] == dead.figures[name]
    assert (dead.figure("payoff_came") or 0.0) < 0.3 * (alive.figure("payoff_came") or 0.0)


def test_one_that_dies_is_noticed_and_its_history_is_kept(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dead = without_skill(WHOLE, 4500)
    for bars in (4000, 4000, 9000):
        store(home, dead.rows(0, bars))
        last = looked(home)
    assert last.state in ("aging", "failing")
    assert "pays less" in last.why
    # It says about when it began.
    since = np.datetime64(last.why.split("since about ")[-1][:10])
    assert abs((since - WHOLE.times[4500]) / np.timedelta64(1, "D")) < 45
    history = as_json(capsys, "watch", "--history", last.subject)
    # Looked at twice on the same bars: one line.
    assert [one["state"] for one in history] == ["fresh", last.state]
    _, out, _ = run(capsys, "kb", "show", last.subject)
    assert out.count("Watched at") == 2
    assert len(as_json(capsys, "kb", "show", last.subject)["watched"]) == 2
    # A model is shown the state, and no figure of these bars.
    tools = ReadingTools(Served(Workspace(home), Spent(Allowance())))
    (row,) = tools.watched()["watched"]
    assert (row["what"], row["state"]) == (last.subject, last.state)
    assert all(isinstance(value, str) for value in row.values())
    page = text_of(Browser(home).get("/watch"))
    assert last.why in page
    assert "should have" in page
    assert last.why in text_of(Browser(home).get(f"/watch/{last.subject}"))
    assert "Since its admission" in Browser(home).get(f"/factors/{last.subject}").text


def test_looking_spends_no_trial_and_uses_the_forward_bars(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(home, WHOLE)
    workspace = Workspace(home)
    with workspace.knowledge() as knowledge:
        before = len(knowledge.attempts())
        panel = knowledge.register_dataset(WHOLE).panel_id
    found = looked(home)
    with workspace.knowledge() as knowledge:
        assert len(knowledge.attempts()) == before
        assert knowledge.watched_from(found.subject, panel) == found.start
    # The holdout is what was sealed at its admission: watched bars are none.
    opening = as_json(capsys, "holdout", found.subject, "--data", "toy", "--yes")
    assert opening["end"] < found.start
    said = refused(capsys, "holdout", found.subject, "--data", "toy", "--yes")
    assert "opened" in said


def test_a_pool_is_watched_under_its_own_rules(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--data", "toy", "-f", TRUTH, "-f", "-ts_mean(returns, 24)", "--method", "equal", "--name", "pair")
    assert run(capsys, "pool", "fit", *asked)[0] == 0
    with closing(sqlite3.connect("knowledge.db")) as base, base:
        base.execute("UPDATE pools SET evidence = json_set(evidence, '$.verdict', 'promising')")
    store(home, WHOLE)
    pool = next(one for one in as_json(capsys, "watch", "--data", "toy")["watched"] if one["kind"] == "pool")
    assert (pool["name"], pool["verdict"]) == ("pair", "promising")
    assert pool["state"] in ("fresh", "aging", "failing")
    assert (pool["bars"], pool["start"]) == (len(WHOLE.times) - OLD - 1, f"{str(WHOLE.times[OLD])[:19]}Z")
    (line,) = as_json(capsys, "watch", "--history", "pair")
    assert line["subject"] == pool["subject"]
    assert "The pool" in text_of(Browser(home).get(f"/watch/{pool['subject']}"))


def test_what_cannot_be_watched_says_why_and_a_retired_one_is_left_out(home: Path) -> None:
    workspace = Workspace(home)
    workspace.data_path("toy").rename(workspace.data_path("toy").with_name("other.txt"))
    gone = looked(home)
    assert gone.word == "not watched"
    assert "toy" in gone.why
    with workspace.knowledge() as knowledge:
        knowledge.add_remark(Remark(gone.subject, "retire", "too slow", "Ann"))
        assert watch(workspace, knowledge).records == ()


@pytest.mark.parametrize(
    ("late", "calendar", "stale"),
    [(1, "continuous", False), (5, "continuous", True), (5, "exchange", False), (24 * 7, "exchange", True)],
)
def test_data_are_stale_when_bars_are_missing_by_now(late: int, calendar: str, stale: bool) -> None:
    panel = replace(WHOLE.rows(0, 500), calendar=calendar)  # type: ignore[arg-type]
    closed = datetime.fromisoformat(str(panel.times[-1])[:19]).replace(tzinfo=UTC) + timedelta(hours=1)
    assert is_stale(panel, closed + timedelta(hours=late)) is stale


def test_stale_data_say_nothing_of_now(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert looked(home, END + timedelta(days=9)).word == "stale data"
    code, out, _ = run(capsys, "watch")
    assert code == 0
    assert "stale data (fresh to" in " ".join(out.split())


def record(state: str, month: int, came: float, **more: object) -> WatchRecord:
    figures = {"net_came": came, "net_expected": 1.0, "net_low": 0.0, "net_high": 2.0, "net_error": 0.5}
    one = WatchRecord(
        f"factor:{month}{came}", "toy", "panel:1", "factor", "", "accepted", f"2025-{month:02d}-01", "fresh"
    )
    return replace(one, state=state, bars=100, figures=figures, **more)  # type: ignore[arg-type]


def test_verdicts_are_calibrated_by_what_came() -> None:
    records = [record("fresh", 1, 0.8), record("failing", 1, -2.0), record("fresh", 2, 1.2)]
    records.append(replace(record("fresh", 2, 9.0, verdict="promising"), bars=3))
    found = verdict_calibration(records)
    assert [(one.month, one.verdict, one.admitted, one.watched, one.earned) for one in found.groups] == [
        ("2025-01", "accepted", 2, 2, 1),
        ("2025-02", "accepted", 1, 1, 1),
        ("2025-02", "promising", 1, 0, 0),
    ]
    accepted, promising = found.overall
    # By a band of 1 give or take 0.61, and an error of 0.5, each earned with a chance of 0.90.
    assert accepted.should == pytest.approx(3 * 0.8977, abs=0.01)
    assert (accepted.failing, promising.to_dict()["came"]) == (1, None)
    assert "Of 3 accepted ones" in found.sentence()
    assert "promising" not in found.sentence()
    assert "not known" in verdict_calibration([]).sentence()


@pytest.mark.parametrize("kind", ["cron", "systemd"])
def test_a_schedule_is_printed_and_none_is_written(
    home: Path, kind: str, capsys: pytest.CaptureFixture[str], snapshot_of: Callable[[Path], set[str]]
) -> None:
    before = snapshot_of(home)
    code, out, _ = run(capsys, "watch", "--schedule", kind)
    assert (code, snapshot_of(home)) == (0, before)
    assert f"{sys.executable} -m agent -w {home.resolve()} data update" in out


@pytest.fixture
def snapshot_of() -> Callable[[Path], set[str]]:
    return lambda folder: {str(path) for path in folder.rglob("*")}


def test_nothing_admitted_is_said_and_an_unwatched_factor_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    init_workspace(tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "empty")
    code, out, _ = run(capsys, "watch")
    assert (code, "nothing to watch" in out) == (0, True)
    assert as_json(capsys, "kb", "calibration")["overall"] == []
    assert "no data set" in refused(capsys, "watch", "--data", "none")
