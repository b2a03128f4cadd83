"""Data that grow, as a user sees it: trials count on, and a holdout opens again for bars that came since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
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
