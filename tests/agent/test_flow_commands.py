"""The flow's commands from end to end on a simulated market: figures, pages, files, and what they refuse."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.study.study import open_study
from agent.study.workspace import Workspace
from flows.checkpoint import load_gate
from tests.agent.commands import as_json, prepare, refused

SETTINGS = """
[gate]
epochs = 2
max_rows = 4000
steps = 1
hidden = 8
[backtest]
fee_bp = 0.0
slippage_bp = 0.0
"""


@pytest.fixture(scope="module")
def with_gate(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a fitted gate; tests change copies of it."""
    folder = tmp_path_factory.mktemp("fitted") / "w"
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


def test_every_command_tells_a_machine_and_draws_a_page(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backtest = as_json(capsys, "flow", "backtest", "-ts_returns(close, 5)", "--shifts", "20")
    portfolios = {row["portfolio"] for row in backtest["values"]}
    own = {"the market", "direction, fitted", "direction, first", "reversal of the unusual"}
    assert portfolios == own | {"-ts_returns(close, 5)"}
    assert 0 < backtest["usual"][0]["in_distribution_ratio"] <= 1
    assert 0 <= backtest["usual"][0]["avg_confidence"] <= 1
    assert all(0 < row["p_value"] <= 1 and 0 <= row["exposure"] <= 1 for row in backtest["values"])
    signal = as_json(capsys, "flow", "signal")
    assert {row["signal"] for row in signal["signals"]} <= {"long", "short", "no trade"}
    assert signal["regime"] is None
    assert signal["gate"]["measure"] == "drawdown"
    assert 0 < signal["gate"]["expected_drawdown"] < 0.5
    assert {len(row["latents"]) for row in signal["signals"]} == {16}
    named = signal["signals"][0]["asset"]
    assert [row["asset"] for row in as_json(capsys, "flow", "signal", "--symbol", named)["signals"]] == [named]
    assert "no asset 'XYZ'" in refused(capsys, "flow", "signal", "--symbol", "XYZ")
    regimes = as_json(capsys, "flow", "regimes", "--method", "features", "--method", "hmm", "--count", "3")
    assert abs(sum(row["share"] for row in regimes["regimes"]) - 1) < 1e-9
    np.testing.assert_allclose(np.sum(regimes["transition"], axis=1), 1.0)
    assert as_json(capsys, "flow", "signal", "--direction", "first")["regime"] in {
        row["regime"] for row in regimes["regimes"]
    }
    scenarios = as_json(capsys, "flow", "scenarios", "--num", "200", "--steps", "5", "--out", "paths.csv")
    assert len(scenarios["paths"]["p50"]) == 5
    written = pd.read_csv("paths.csv")
    assert len(written) == 1000
    assert list(written.columns[:3]) == ["path", "step", "return_1"]
    risk = as_json(capsys, "flow", "risk", "--neighbours", "200", "--level", "0.975", "--level", "0.95")
    assert {key for row in risk["now"] for key in row if key.startswith("var_")} == {"var_0.95", "var_0.975"}
    assert all(row["var_0.975"] >= row["var_0.95"] for row in risk["now"])
    assert {row["method"] for row in risk["now"]} >= {"nearest latents", "all dates", "flow, unconditional"}
    assert all(row["cvar_0.95"] >= row["var_0.95"] for row in risk["now"])
    for made in (backtest, signal, regimes, scenarios, risk):
        page = Path(made["page"]).read_text(encoding="utf-8")
        assert "simulated" in page.lower()
        assert "nan" not in page.lower().replace("finance", "")
    for made in (backtest, regimes, scenarios, risk):
        assert "<svg" in Path(made["page"]).read_text(encoding="utf-8")


def test_regimes_that_were_found_are_regimes_of_scorecards(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = as_json(capsys, "flow", "regimes", "--method", "features", "--count", "2")
    workspace = Workspace(fitted)
    name = workspace.data_names()[0]
    study = open_study(workspace.load_panel(name), workspace.settings, gate_path=fitted / "models" / f"{name}.gate.npz")
    names = {f"flow: {row['regime']}" for row in made["regimes"]}
    assert names <= set(study.target.regimes)
    again = as_json(capsys, "flow", "regimes", "--method", "features", "--count", "2")
    assert again["regimes"] == made["regimes"]


def test_the_same_command_draws_the_same(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (as_json(capsys, "flow", "scenarios", "--num", "150", "--steps", "3") for _ in range(2))
    assert one == two
    other = as_json(capsys, "flow", "scenarios", "--num", "150", "--steps", "3", "--seed", "99")
    assert other["paths"] != one["paths"]


def test_an_ensemble_with_dated_refits_by_option(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = as_json(capsys, "flow", "fit", "--members", "2", "--refit-days", "20")
    assert made["members"] == 2
    assert made["fits"] >= 2
    gate = load_gate(Path(made["checkpoint"]))
    assert all(fit.since is not None and fit.calibrated[1] < fit.since for fit in gate.fits)
    backtest = as_json(capsys, "flow", "backtest", "--shifts", "10", "close - open")
    assert backtest["from"][:10] == made["fitted_for_bars_since"][0][:10]


def test_what_cannot_be_done_is_refused_and_said(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "above 0" in refused(capsys, "flow", "scenarios", "--temperature", "0")
    assert "no asset 'DOGE'" in refused(capsys, "flow", "scenarios", "--asset", "DOGE")
    assert "no asset 'DOGE'" in refused(capsys, "flow", "risk", "--asset", "DOGE")
    assert "clos" in refused(capsys, "flow", "risk", "clos * 2")
    assert "cannot write" in refused(capsys, "flow", "scenarios", "--out", "no/such/folder/x.csv")
    (fitted / "alphaglow.toml").write_text(SETTINGS.replace("epochs", 'features = ["returns", "close / open"]\nepochs'))
    assert "other features" in refused(capsys, "flow", "eval")
    checkpoint = next((fitted / "models").glob("*.gate.npz"))
    checkpoint.write_bytes(b"PK")
    assert "not a gate" in refused(capsys, "flow", "signal")
    checkpoint.unlink()
    assert "alphaglow flow fit" in refused(capsys, "flow", "regimes")
