"""Data that grow keep their past: the dates of their split, the runs on them, and the gate fitted on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.knowledge.records import RunRecord
from agent.knowledge.run_config import RunConfig, read_rules
from agent.study.cutting import former_split, label_bars, split_of
from agent.study.gates import train_gate
from agent.study.moving_dates import move_dates, shown_dates
from agent.study.opening import RecordedRules, open_data
from agent.study.settings import BacktestSettings, Settings, SplitSettings
from agent.study.workspace import Workspace, init_workspace
from market.errors import InputError
from market.panel import Panel
from market.panel_store import save_panel
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.commands import as_json, refused

WHOLE = make_market(SynthSpec(bars=1600, assets=12)).panel
OLD = WHOLE.rows(0, 1200)


def store(workspace: Workspace, panel: Panel, name: str = "toy") -> None:
    save_panel(panel, workspace.data_path(name))


def begin(workspace: Workspace, name: str = "toy") -> RunRecord:
    """Begin a run, as every command does that records one."""
    opened = open_data(workspace, name)
    with workspace.knowledge() as knowledge:
        knowledge.register_dataset(opened.whole)
        return knowledge.create_run(opened.whole.id, RunConfig(data=name, rules=opened.recorded()), 1)


def repaired(panel: Panel) -> Panel:
    """The same data, one bar of train corrected."""
    close = panel["close"].copy()
    close[100, 3] *= 1.001
    return panel.with_fields({"close": close})


def joined(panel: Panel) -> Panel:
    return panel.with_fields({"sentiment": np.full(panel.shape, 0.5)})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with data on which no run has begun."""
    made = init_workspace(tmp_path / "w")
    store(made, OLD)
    return made


# Where data are cut


def test_the_embargo_is_what_a_label_needs() -> None:
    """Kept for 3 bars and traded at every 2nd, a decision at t is in targets to t+2, traded by t+3, paid by t+5."""
    settings = Settings(backtest=BacktestSettings(holding=3, rebalance=2))
    split, longest = split_of(WHOLE.rows(0, 1000), settings)
    assert label_bars(settings) == 5
    assert (split.train, split.validation, split.holdout) == (slice(0, 600), slice(605, 850), slice(855, 1000))
    assert split.train.stop - 1 + 5 < split.validation.start
    assert longest == 100
    plain, _ = split_of(WHOLE.rows(0, 1000), Settings())
    assert (plain.validation, plain.holdout) == (slice(602, 850), slice(852, 1000))


def test_a_longer_look_back_takes_no_bar_from_validation() -> None:
    short, long = (Settings(split=SplitSettings(max_lookback=bars)) for bars in (20, 400))
    assert split_of(OLD, short)[0] == split_of(OLD, long)[0]
    assert (split_of(OLD, short)[1], split_of(OLD, long)[1]) == (20, 400)


@pytest.mark.parametrize(
    ("move", "bars"),
    [
        (lambda: WHOLE, 1600),
        (lambda: repaired(OLD), 1200),
        (lambda: joined(WHOLE), 1600),
        (lambda: OLD.select(OLD.assets[:7]), 1200),
        (lambda: WHOLE.rows(300, 1600), 1300),
        (lambda: OLD, 1200),
        (lambda: replace(WHOLE, name="other"), 1600),
    ],
    ids=["update", "repair", "join", "assets", "dates", "copy", "rename"],
)
def test_every_move_keeps_the_dates(workspace: Workspace, move: Callable[[], Panel], bars: int) -> None:
    begin(workspace)
    then = open_data(workspace, "toy").split
    last = OLD.times[then.train.stop - 1], OLD.times[then.validation.stop - 1]
    store(workspace, move(), "moved")
    opened = open_data(workspace, "moved")
    now, times = opened.split, opened.whole.times
    assert (times[now.train.stop - 1], times[now.validation.stop - 1]) == last
    assert now.holdout.stop == bars
    # What is begun on it is begun at the same dates.
    begin(workspace, "moved")
    assert open_data(workspace, "moved").split == now


def test_shares_cut_until_a_run_begins_and_other_data_keep_their_own(workspace: Workspace) -> None:
    store(workspace, WHOLE, "more")
    assert open_data(workspace, "more").split.train == slice(0, 960)
    begin(workspace)
    assert open_data(workspace, "more").split.train == slice(0, 720)
    store(workspace, make_market(SynthSpec(bars=1600, assets=12, seed=99)).panel, "foreign")
    assert open_data(workspace, "foreign").split.train == slice(0, 960)


def test_the_loop_sees_the_same_bytes_after_an_update(tmp_path: Path) -> None:
    workspace = init_workspace(tmp_path / "w")
    # A universe of the most traded is by date: later bars do not change who was in it.
    (workspace.root / "alphaglow.toml").write_text("[universe]\ntop = 6\ndays = 5\nrefresh_days = 2\n")
    store(workspace, OLD)
    begin(workspace)
    then = open_data(workspace).study.panel
    store(workspace, WHOLE)
    now = open_data(workspace).study
    assert now.panel.id == then.id
    assert not now.panel.universe.all()


def test_an_asset_that_is_listed_later_makes_no_other_train_and_validation(workspace: Workspace) -> None:
    record = begin(workspace)
    then = open_data(workspace).study.panel
    fields = {name: np.column_stack([values, values[:, 0]]) for name, values in WHOLE.fields.items()}
    for values in fields.values():
        values[:1300, -1] = np.nan
    inside = np.column_stack([WHOLE.universe, np.arange(1600) >= 1300])
    grown = replace(WHOLE, assets=(*WHOLE.assets, "NEW"), fields=fields, universe=inside)
    store(workspace, grown)
    assert open_data(workspace).study.panel.id == then.id
    assert open_data(workspace, None, reopened(record)).study.panel.id == then.id
    assert open_data(workspace).whole.assets[-1] == "NEW"


def test_few_bars_before_the_holdout_are_shared_out_and_fewer_are_refused(workspace: Workspace) -> None:
    begin(workspace)
    end = open_data(workspace).split.validation.stop
    # All of train is cut off: train gets bars of validation, and the holdout begins where it did.
    store(workspace, OLD.rows(860, 1200), "late")
    late = open_data(workspace, "late").split
    assert late.validation.stop == end - 860
    assert late.train.stop >= 50
    assert late.validation.stop - late.validation.start == 50
    store(workspace, OLD.rows(960, 1200), "later")
    with pytest.raises(InputError, match=r"180 of 240 bars are the holdout of .*alphaglow data split"):
        _ = open_data(workspace, "later").study
    # Bars that end before the holdout have none.
    store(workspace, OLD.rows(0, 900), "early")
    early = open_data(workspace, "early").split
    assert early.holdout.start == early.holdout.stop
    assert early.validation.stop == 900


# Runs


FORMER_SHARES = "[split]\ntrain = 0.7\nvalidation = 0.15\n"


def as_formerly_written(workspace: Workspace) -> Workspace:
    """The workspace with the shares that earlier versions wrote down when they made one."""
    (workspace.root / "alphaglow.toml").write_text(FORMER_SHARES)
    return Workspace(workspace.root)


def reopened(run: RunRecord, *, strict: bool = True) -> RecordedRules:
    return RecordedRules.of_run(run, strict=strict)


@pytest.mark.parametrize("strict", [True, False])
def test_a_run_goes_on_when_its_data_have_grown(workspace: Workspace, strict: bool) -> None:
    record = begin(workspace)
    then = open_data(workspace).study
    store(workspace, joined(WHOLE))
    said: list[str] = []
    opened = open_data(workspace, None, reopened(record, strict=strict), note=said.append)
    assert opened.study.panel.id == then.panel.id
    assert opened.study.split.validation == then.split.validation
    # Its trials go on under the data that it was started on.
    assert opened.study.dataset == OLD.id
    assert said == [
        f"train and validation of toy are the bars that run {record.id} was started on; the 400 bars that came since "
        "are holdout; the fields joined since are left out: sentiment"
    ]


def test_a_run_is_refused_by_name_when_bars_that_it_saw_changed(workspace: Workspace) -> None:
    record = begin(workspace)
    store(workspace, repaired(WHOLE))
    with pytest.raises(InputError, match=f"bars of toy that run {record.id} has seen were changed.*start a new run"):
        _ = open_data(workspace, None, reopened(record)).study
    said: list[str] = []
    assert open_data(workspace, None, reopened(record, strict=False), note=said.append).study.dataset == OLD.id
    assert said == [f"bars of toy changed since run {record.id} was started: figures made now are not those of then"]
    store(workspace, make_market(SynthSpec(bars=1600, assets=12, seed=99)).panel)
    for strict in (True, False):
        with pytest.raises(InputError, match="they changed, or are other data"):
            _ = open_data(workspace, None, reopened(record, strict=strict)).study


def test_a_run_finds_its_data_under_another_name(workspace: Workspace) -> None:
    record = begin(workspace)
    workspace.data_path("toy").rename(workspace.data_path("renamed"))
    store(workspace, make_market(SynthSpec(bars=1600, assets=12, seed=99)).panel, "foreign")
    opened = open_data(workspace, None, reopened(record))
    assert opened.name == "renamed"
    assert opened.whole.id == OLD.id


def test_a_run_of_an_earlier_version_keeps_its_own_split(workspace: Workspace) -> None:
    workspace = as_formerly_written(workspace)
    record = begin(workspace)
    document = {name: value for name, value in record.config_document.items() if name != "cut"}
    earlier = replace(record, config_document=document)
    split = open_data(workspace, None, reopened(earlier)).split
    # 40 % of the 180 bars of validation, and 24.
    assert (split.embargo, split.validation) == (72 + 24, slice(840 + 96, 1020))
    store(workspace, WHOLE)
    assert open_data(workspace, None, reopened(earlier)).split.validation == split.validation
    store(workspace, repaired(WHOLE))
    with pytest.raises(InputError, match="were changed since"):
        _ = open_data(workspace, None, reopened(earlier)).study


def test_data_that_grew_since_an_earlier_version_are_cut_where_its_runs_were(workspace: Workspace) -> None:
    with workspace.knowledge() as knowledge:
        knowledge.register_dataset(OLD)
        knowledge.create_run(OLD.id, RunConfig(data="toy"), 1)
    workspace = as_formerly_written(workspace)
    assert open_data(workspace).split.train.stop == 840
    store(workspace, WHOLE)
    for text in (FORMER_SHARES, ""):
        (workspace.root / "alphaglow.toml").write_text(text)
        split = open_data(Workspace(workspace.root)).split
        assert (split.train.stop, split.validation.stop) == (840, 1020)
    assert shown_dates(workspace, WHOLE)["fixed_by"] == "the runs of an earlier version"


def test_where_data_were_cut_is_read_as_it_was_written(workspace: Workspace) -> None:
    rules = open_data(workspace).recorded()
    assert read_rules(json.loads(json.dumps(rules.to_dict()))) == rules
    assert former_split(OLD, Settings()).embargo == 96


# Moving the dates


def test_dates_are_shown_and_moved_but_not_over_bars_that_were_looked_at(workspace: Workspace) -> None:
    assert shown_dates(workspace, OLD)["fixed_by"] is None
    record = begin(workspace)
    store(workspace, WHOLE)
    shown = shown_dates(workspace, WHOLE)
    assert shown["fixed_by"] == record.id
    assert shown["train"] == [str(WHOLE.times[row])[:16] for row in (0, 719)]
    assert shown["holdout"] == [str(WHOLE.times[row])[:16] for row in (1022, 1599)]
    assert shown["forward"] == [str(WHOLE.times[row])[:16] for row in (1200, 1599)]
    with workspace.knowledge() as knowledge:
        with pytest.raises(InputError, match="cannot be holdout again"):
            move_dates(workspace, knowledge, WHOLE, None, WHOLE.times[1000])
        with pytest.raises(InputError, match="the holdout would keep 20 bars"):
            move_dates(workspace, knowledge, WHOLE, None, WHOLE.times[1580])
        move_dates(workspace, knowledge, WHOLE, WHOLE.times[1120], WHOLE.times[1360])
    split = open_data(workspace).split
    assert (split.train.stop, split.validation.stop) == (1120, 1360)
    assert "data split of" in str(shown_dates(workspace, WHOLE)["fixed_by"])
    # The run keeps its own.
    assert open_data(workspace, None, reopened(record)).split.train.stop == 720


def test_other_shares_are_named_where_a_run_begins(workspace: Workspace) -> None:
    begin(workspace)
    said: list[str] = []
    store(workspace, WHOLE)
    open_data(workspace, note=said.append).say_dates()
    assert not said
    (workspace.root / "alphaglow.toml").write_text("[split]\ntrain = 0.5\nvalidation = 0.2\n")
    open_data(Workspace(workspace.root), note=said.append).say_dates()
    assert len(said) == 1
    assert f"it would be {str(OLD.times[600])[:16]} and {str(OLD.times[840])[:16]}" in said[0]


def test_the_command_shows_and_moves_the_dates(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = as_json(capsys, "data", "split", "toy")
    assert before["fixed_by"] is None
    assert as_json(capsys, "data", "show")["split"] == before
    assert "is not a date" in refused(capsys, "data", "split", "toy", "--validation-until", "soon")
    assert "train would keep 24 bars" in refused(capsys, "data", "split", "toy", "--train-until", "2024-01-02")
    moved = as_json(capsys, "data", "split", "toy", "--train-until", "2024-02-01")
    assert moved["train"][1] == "2024-01-31T23:00"
    assert moved["holdout"] == before["holdout"]
    assert "data split of" in moved["fixed_by"]


# The gate


def test_a_gate_stays_valid_and_says_when_it_is_due(workspace: Workspace) -> None:
    (workspace.root / "alphaglow.toml").write_text(
        "[gate]\nneutral = true\nepochs = 1\nmax_rows = 2000\nsteps = 1\nhidden = 8\n"
    )
    workspace = Workspace(workspace.root)
    train_gate(OLD, workspace, "toy")
    begin(workspace)

    def said(panel: Panel) -> list[str]:
        notes: list[str] = []
        store(workspace, panel)
        assert open_data(workspace, note=notes.append).study.exposures is not None
        return notes

    assert said(OLD) == []
    assert said(WHOLE.rows(0, 1300)) == []
    assert [note.split(":")[0] for note in said(WHOLE)] == [
        "the data have 33% more bars than when the gate toy.gate.npz was fitted"
    ]
    for other in (repaired(WHOLE), joined(OLD)):
        (note,) = said(other)
        assert "toy.gate.npz was fitted on 1200 bars before" in note
        assert note.endswith("it is due: alphaglow flow fit")
    with workspace.knowledge() as knowledge:
        move_dates(workspace, knowledge, WHOLE, WHOLE.times[900], WHOLE.times[1300])
    (note,) = said(WHOLE)
    assert f"was fitted on bars up to {str(OLD.times[1019])[:16]}" in note
    store(workspace, make_market(SynthSpec(bars=1600, assets=12, seed=99)).panel)
    with pytest.raises(InputError, match="was trained on other data"):
        _ = open_data(workspace).study
