"""`flow forecast` from end to end, and what `flow signal` keeps beside the gate."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from agent.cli.main import main
from agent.flow import direction_study
from agent.flow.opened import OpenFlow, open_flow
from agent.flow.signal_history import SignalHistory, history_path
from agent.study.workspace import Workspace
from flows.direction import Kind
from market.panel import Panel
from market.panel_store import save_panel
from tests.agent.commands import as_json, prepare, refused
from tests.helpers import make_panel, random_panel

SETTINGS = "[gate]\nepochs = 1\nmax_rows = 2000\nsteps = 1\nhidden = 8\n"


def daily_panel(days: int) -> Panel:
    return make_panel(dict(random_panel(days, 4, seed=8).fields), "D")


@pytest.fixture
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with 480 days of four assets, as current folder."""
    folder = tmp_path / "w"
    prepare("init", str(folder))
    save_panel(daily_panel(480), folder / "data" / "days.parquet")
    monkeypatch.chdir(folder)
    return folder


def test_a_forecast_says_the_next_day_and_what_it_is_worth(days: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = as_json(capsys, "flow", "forecast")
    names = ["conditional flow", "GARCH(1,1), t", "HAR, t", "quantile regression", "unconditional flow"]
    assert [row["method"] for row in made["forecasts"]] == names
    assert made["time"][:10] == str(daily_panel(480).times[-1])[:10]
    assert made["days_scored"] > 100
    for row in made["forecasts"]:
        assert row["low_5"] < row["median"] < row["high_95"]
        assert 0 <= row["chance"]["worst 1 %"] <= row["chance"]["worst 5 %"] < 0.5
    # Returns are independent and of one law: the mean of four is half as wide as one, and no method knows more.
    assert made["forecasts"][0]["low_5"] == pytest.approx(-1.645 * 0.005, rel=0.3)
    own = next(row for row in made["differences"] if row["method"] == names[0])
    assert own["crps_gap"] == 0
    others = [row for row in made["differences"] if row["method"] != names[0]]
    assert max(abs(row["crps_gap"]) for row in others) < 0.1
    page = Path(made["page"]).read_text(encoding="utf-8")
    assert "conditional flow" in page
    assert "<svg" in page
    assert as_json(capsys, "flow", "forecast") == made


def test_no_day_after_validation_moves_the_scores(days: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = as_json(capsys, "flow", "forecast")
    panel = daily_panel(480)
    fields = {name: values.copy() for name, values in panel.fields.items()}
    for name in ("open", "high", "low", "close"):
        # The last 30 days are of the holdout, and get ten times as wild.
        wild = 1.0 + 0.1 * np.sin(np.arange(30))[:, None]
        fields[name][-30:] *= wild
    save_panel(make_panel(fields, "D"), days / "data" / "days.parquet")
    after = as_json(capsys, "flow", "forecast")
    assert after["scores"] == before["scores"]
    assert after["tails"] == before["tails"]
    assert after["forecasts"] != before["forecasts"]


def test_too_few_days_for_a_forecast_are_refused(days: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_panel(daily_panel(200), days / "data" / "days.parquet")
    assert "200 bars are too few" in refused(capsys, "flow", "forecast")


@pytest.fixture(scope="module")
def with_gate(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signal") / "w"
    shutil.copytree(prepared, folder)
    (folder / "alphaglow.toml").write_text(SETTINGS)
    prepare("-w", str(folder), "flow", "fit")
    return folder


@pytest.fixture
def fitted(with_gate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "w"
    shutil.copytree(with_gate, folder)
    monkeypatch.chdir(folder)
    return folder


def made_again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the direction of each history that is made."""
    made: list[str] = []
    past = direction_study._past

    def counted(opened: OpenFlow, kind: Kind) -> SignalHistory:
        made.append(kind)
        return past(opened, kind)

    monkeypatch.setattr(direction_study, "_past", counted)
    return made


def test_a_fit_keeps_what_the_first_signal_needs_and_the_answer_is_the_same(
    fitted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = made_again(monkeypatch)
    kept = as_json(capsys, "flow", "signal")
    assert made == []
    file = history_path(fitted / "models" / "toy.gate.npz", "fitted")
    file.unlink()
    assert as_json(capsys, "flow", "signal") == kept
    assert made == ["fitted"]
    # Another direction is another history.
    as_json(capsys, "flow", "signal", "--direction", "first")
    assert made == ["fitted", "first"]


@pytest.mark.parametrize("damage", ["cut", "text", "other rules", "other gate"])
def test_a_history_that_is_not_of_this_gate_is_made_again(
    fitted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    file = history_path(fitted / "models" / "toy.gate.npz", "fitted")
    kept = as_json(capsys, "flow", "signal")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[: len(file.read_bytes()) // 2])
    elif damage == "text":
        file.write_text("no archive")
    elif damage == "other rules":
        (fitted / "alphaglow.toml").write_text(SETTINGS + "[backtest]\nfee_bp = 40.0\n")
    else:
        (fitted / "alphaglow.toml").write_text(SETTINGS.replace("hidden = 8", "hidden = 9"))
        monkeypatch.setattr("agent.cli.flow._prepare_signal", lambda *_: None)
        with pytest.raises(SystemExit):
            main(["flow", "fit"])
    made = made_again(monkeypatch)
    again = as_json(capsys, "flow", "signal")
    assert made == ["fitted"]
    assert (again == kept) == (damage in ("cut", "text"))
    as_json(capsys, "flow", "signal")
    assert made == ["fitted"]


def test_a_folder_that_cannot_be_written_to_keeps_nothing_and_says_the_same(
    fitted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = as_json(capsys, "flow", "signal")
    file = history_path(fitted / "models" / "toy.gate.npz", "fitted")
    file.unlink()
    file.mkdir()
    made = made_again(monkeypatch)
    assert as_json(capsys, "flow", "signal") == kept
    assert as_json(capsys, "flow", "signal") == kept
    assert made == ["fitted", "fitted"]


def test_states_that_are_known_already_are_judged_the_same(fitted: Path) -> None:
    opened = open_flow(Workspace(fitted), None)
    states = opened.density.states(opened.whole)
    np.testing.assert_array_equal(
        opened.gate.log_likelihood(opened.whole, states), opened.gate.log_likelihood(opened.whole)
    )
