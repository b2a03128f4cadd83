"""Data that grow, as a user sees it: trials count on, and a holdout opens again for bars that came since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import RunConfig
from agent.study.learned_fields import store_field
from agent.study.opening import open_data
from agent.study.workspace import Workspace
from market.panel import Panel
from market.panel_store import load_panel, save_panel
from tests.agent.commands import as_json, refused, run


def test_data_that_grow_keep_their_past(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "data" / "toy.parquet"
    whole = replace(load_panel(path), name="toy")
    save_panel(whole.rows(0, 2300), path)
    mined = as_json(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "4", "--data", "toy")
    assert mined["attempts"] == 4
    with KnowledgeBase.open(home / "knowledge.db") as knowledge:
        scored = [attempt for attempt in knowledge.attempts() if attempt.evaluation is not None]
        factor = str(scored[0].factor_id)
    first = as_json(capsys, "holdout", factor, "--yes", "--data", "toy")
    assert (first["number"], first["forward"]) == (1, False)

    # Ten bars more: trials count, the holdout stays shut.
    save_panel(whole.rows(0, 2310), path)
    code, _, err = run(capsys, "eval", "ts_mean(close, 7)", "--data", "toy")
    assert (code, "(4 trials): they count here too" in err) == (0, True)
    assert "10 new bars since; 30 are needed" in refused(capsys, "holdout", factor, "--yes", "--data", "toy")

    # More, and under other names: the bars that came since are opened, and only those.
    renamed = replace(whole, assets=tuple(f"{name}-USD" for name in whole.assets))
    save_panel(renamed, home / "data" / "copy.parquet")
    said = as_json(capsys, "eval", "ts_mean(close, 7)", "--data", "copy")
    assert said["trials"] == len(scored) + 1
    assert [(one["data"], one["trials"]) for one in said["related"]] == [("toy", 1), ("toy", 4)]
    forward = as_json(capsys, "holdout", factor, "--yes", "--data", "copy")
    assert (forward["number"], forward["forward"]) == (2, True)
    assert forward["start"] > first["end"]
    _, out, _ = run(capsys, "kb", "show", factor)
    assert "opened forward (time 2)" in " ".join(out.split())


LEARNED = "learned_ridge_0123abcd"


def _learn(home: Path) -> None:
    """Leave behind what `alphaglow learn ridge` does, as far as its field goes."""
    workspace = Workspace(home)
    opened = open_data(workspace, "toy", gate=False, learned=False)
    workspace.folder("learned")
    values = np.random.default_rng(1).standard_normal(opened.study.panel.shape)
    store_field(workspace.learned, LEARNED, opened.study.panel, values, {})
    with workspace.knowledge() as knowledge:
        knowledge.register_dataset(opened.whole)
        config = RunConfig(
            kind="learn", data="toy", learned_field=LEARNED, llm="none", model="ridge", rules=opened.recorded()
        )
        knowledge.set_run_status(knowledge.create_run(opened.whole.id, config, 0).id, "finished")


def _repaired(panel: Panel) -> Panel:
    close = panel["close"].copy()
    close[100, 0] *= 1.001
    return replace(panel, fields={**panel.fields, "close": close})


def test_a_learned_factor_that_no_longer_fits_its_data_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "data" / "toy.parquet"
    whole = replace(load_panel(path), name="toy")
    _learn(home)
    code, _, err = run(capsys, "eval", LEARNED, "--data", "toy")
    assert (code, "left out" in err) == (0, False)
    save_panel(_repaired(whole), path)
    said = f"{LEARNED} is left out: learned on toy before its bars changed"
    for argv in (["eval", "ts_mean(close, 7)"], ["mine", "--llm", "mock", "--rounds", "1", "--candidates", "1"]):
        code, _, err = run(capsys, *argv, "--data", "toy")
        assert (code, said in " ".join(err.split())) == (0, True), err
        assert "alphaglow learn ridge --data toy" in " ".join(err.split())
    # Asked for by name, it is unknown, and the reason stands before the refusal.
    assert said in " ".join(refused(capsys, "eval", LEARNED, "--data", "toy").split())
