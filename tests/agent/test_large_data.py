"""Data larger than memory from the command line: imported in pieces, screened in passes, with the figures of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.commands import as_json, prepare, refused, run


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of bars, asset by asset."""
    path = tmp_path_factory.mktemp("file") / "bars.csv"
    frame = make_market(SynthSpec(bars=900)).panel.to_frame().reset_index()
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def workspace(csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace with the same bars twice: whole, and in pieces."""
    root = tmp_path / "ws"
    prepare("init", str(root))
    monkeypatch.chdir(root)
    prepare("data", "import", str(csv), "--name", "whole")
    monkeypatch.setenv("ALPHAGLOW_DATA__WHOLE_GB", "0.0001")
    return root


def _figures(root: Path, run_id: str) -> list[tuple[object, ...]]:
    with KnowledgeBase.open(str(root / "knowledge.db")) as knowledge:
        attempts = sorted(knowledge.attempts(run_id=run_id), key=lambda one: one.slot)
    scores = [one.evaluation.scorecard.train for one in attempts if one.evaluation is not None]
    return [(one.rank_ic, one.payoff_z, one.sharpe_net, one.turnover) for one in scores]


def test_a_large_file_is_imported_in_pieces_and_screened_in_passes(
    csv: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = run(capsys, "data", "import", str(csv), "--name", "pieces")
    assert code == 0, said
    assert "read in pieces and stored by field" in said
    shown = as_json(capsys, "data", "show", "--data", "pieces")
    assert shown["id"] == as_json(capsys, "data", "show", "--data", "whole")["id"]
    assert (workspace / "data" / "pieces.panel" / "close.arrow").is_file()
    listed = workspace / "factors.txt"
    listed.write_text("cs_rank(ts_mean(returns, 5))\nts_ema(close, 9) / close\n-ts_std(returns, 20)\nvolume +\n")
    in_passes = as_json(capsys, "screen", str(listed), "--data", "pieces", "--keep", "0")
    # The same data under another name: a workspace of its own, so that nothing counts as tried before.
    (workspace / "knowledge.db").rename(workspace / "first.db")
    in_memory = as_json(capsys, "screen", str(listed), "--data", "whole", "--keep", "0")
    assert in_passes["attempts"] == in_memory["attempts"] == 4
    expected = _figures(workspace, in_memory["run"])
    (workspace / "knowledge.db").rename(workspace / "second.db")
    (workspace / "first.db").rename(workspace / "knowledge.db")
    assert _figures(workspace, in_passes["run"]) == expected
    assert len(expected) == 3
    assert not list((workspace / "runs").glob("shards-*")), "a finished run keeps nothing beside it"


def test_what_cannot_be_done_with_large_data_is_said(
    csv: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--repair is not for files that are read in pieces" in refused(
        capsys, "data", "import", str(csv), "--repair", "--name", "x"
    )
    assert "there is already a data set 'whole'" in refused(capsys, "data", "import", str(csv), "--name", "whole")
    code, _, said = run(capsys, "data", "import", str(csv), "--name", "whole", "--replace")
    assert code == 0, said
    assert not (workspace / "data" / "whole.parquet").exists(), "the whole file was replaced by the folder"
    assert as_json(capsys, "data", "list")["data"] == ["whole"]
    assert "stored by field" in refused(capsys, "screen", "--random", "3", "--data", "whole", "--cluster", "local")
    (workspace / "data" / "whole.panel" / "high.arrow").unlink()
    assert "high.arrow is missing" in refused(capsys, "screen", "--random", "3")
