"""`ag.Workspace`: it records what the commands record, and its runs may begin inside an event loop."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import numpy as np
import pytest

import alphaglow as ag
from tests.agent.commands import as_json

TEXT = "-ts_mean(returns, 24)"


def test_the_library_and_the_command_give_one_set_of_figures(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unrecorded = as_json(capsys, "eval", TEXT, "--no-record")
    result = ag.evaluate(ag.panel("toy"), TEXT)
    assert result.scorecard.to_dict() | {"validation": None} == unrecorded["scorecard"] | {"validation": None}
    workspace = ag.Workspace()
    recorded = workspace.evaluate(TEXT)
    printed = as_json(capsys, "eval", TEXT)
    assert recorded.scorecard.to_dict() == printed["scorecard"]
    assert recorded.evidence.to_dict() == printed["evidence"]
    assert recorded.attempt is not None
    assert recorded.attempt.id == printed["attempt"]
    # The same series, from the first bar of train to the last of validation.
    split = recorded.study.split
    mine = recorded.returns()
    validation = mine.loc[str(recorded.panel.times[split.validation.start + 1]) :]  # type: ignore[misc]
    mean, deviation = float(validation.mean()), float(validation.std())
    sharpe = mean / deviation * math.sqrt(recorded.panel.bars_per_year)
    assert sharpe == pytest.approx(recorded.summary().loc["sharpe_net", "validation"])


def test_a_trial_is_counted_once_and_sweeps_count_each_point(home: Path) -> None:
    workspace = ag.Workspace(home)
    first = workspace.evaluate(TEXT)
    assert workspace.evaluate(ag.factor(TEXT)).attempt == first.attempt
    found = workspace.sweep("-ts_mean(returns, {w})", w=[24, 36, 9_999])
    assert found.frame["refused"].str.contains("looks back 9999").tolist() == [False, False, True]
    factors = workspace.factors()
    assert sorted(factors["text"]) == [TEXT, "-ts_mean(returns, 36)"]
    assert int(workspace.sql("SELECT count(*) AS n FROM attempts")["n"].iloc[0]) == 2
    assert workspace.runs["kind"].tolist() == ["eval"]
    with pytest.raises(ag.InputError, match=r"ag\.evaluate"):
        workspace.evaluate(np.zeros((2, 2)))  # type: ignore[arg-type]
    with pytest.raises(ag.FactorError, match="did you mean"):
        workspace.evaluate("ts_meen(close, 3)")
    assert workspace.evaluate("alpha101_042").factor is not None
    assert "<table" in workspace._repr_html_()
    page = first.report(home / "page.html").read_text(encoding="utf-8")
    assert "Validation" in page


def test_runs_begin_inside_a_running_loop(home: Path) -> None:
    workspace = ag.Workspace()

    async def cell() -> ag.Run:
        proposed = workspace.propose("reversal over 5 days, with volume")
        assert proposed["text"].notna().all()
        return workspace.mine(rounds=1, candidates=2, gate=False, progress=False)

    run = asyncio.run(cell())
    assert run.outcome == "finished"
    assert len(run.attempts) == 2
    more = workspace.resume(run, rounds=2)
    assert (more.id, len(more.attempts)) == (run.id, 4)
    assert workspace.run(run.id[:6]).id == run.id
    assert run.report(home / "run.html").exists()
    assert "Run(" in run._repr_html_()
    assert list(run.lessons.columns)[:3] == ["run_id", "round", "kind"]
    with pytest.raises(ag.InputError, match="mine has no option 'round'"):
        workspace.mine(round=1)


def test_screens_and_data_sets(home: Path) -> None:
    workspace = ag.Workspace.create(home / "inner")
    assert workspace.data.empty
    panel = ag.panel("toy", workspace=home)
    assert workspace.add(panel, "again").panel("again").id == panel.id
    assert workspace.data.loc["again", "bars"] == len(panel.times)
    with pytest.raises(ag.InputError, match="already a data set"):
        workspace.add(panel, "again")
    run = workspace.screen([TEXT, "ts_std(returns, 10)", "nonsense("], keep=1)
    assert run.outcome == "finished"
    assert sorted(run.attempts["text"]) == sorted([TEXT, "ts_std(returns, 10)", "nonsense("])
    with pytest.raises(ag.InputError, match="one of the two"):
        workspace.screen()
    assert len(workspace.library) > 100
    assert workspace.pools.empty


def test_a_flow_in_memory_gates_a_result(home: Path) -> None:
    panel = ag.panel("toy").rows(0, 900)
    flow = ag.Flow.fit(panel, epochs=1, members=1, refit_days=0, steps=1, hidden=4, max_rows=500)
    gate = flow.gate
    assert gate.shape == flow.panel.shape
    assert gate.min().min() >= 0
    assert gate.max().max() <= 1
    plain, gated = ag.evaluate(panel, TEXT), ag.evaluate(panel, TEXT, flow=flow)
    assert gated.scorecard.train.sharpe_net == plain.scorecard.train.sharpe_net
    assert gated.scorecard.train.sharpe_gated != plain.scorecard.train.sharpe_net
    assert "sharpe_gated" in gated.summary().index
    assert "sharpe_gated" not in plain.summary().index
    drawn = flow.scenarios(count=20, steps=2)
    assert {"History / drawn", "Joint shocks", "Paths from the newest state"} <= {
        title.split(",")[0] for title in drawn.tables
    }
    assert "<table" in drawn._repr_html_()
    with pytest.raises(ag.InputError, match="no setting of the gate 'epoch'"):
        ag.Flow.fit(panel, epoch=1)
    with pytest.raises(ag.InputError, match="no flow for 'toy'"):
        ag.Workspace().flow()
