"""Data larger than memory from the command line: imported in pieces, screened in passes, with the figures of memory."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.commands import as_json, prepare, refused, run

_MANY = ("cs_rank(ts_mean(returns, 5))", "ts_std(returns, 20)", "ts_std(returns, 30)", "ts_mean(returns, 48)")


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
    shutil.copyfile(root / "knowledge.db", root / "empty.db")
    prepare("data", "import", str(csv), "--name", "whole")
    monkeypatch.setenv("ALPHAGLOW_DATA__WHOLE_GB", "0.0001")
    # What is given up by the clock hangs on what else the machine does.
    monkeypatch.setenv("ALPHAGLOW_LOOP__MAX_SECONDS", "3600")
    return root


def _attempts(root: Path, run_id: str, base: str = "knowledge.db") -> list[AttemptRecord]:
    with KnowledgeBase.open(str(root / base)) as knowledge:
        return sorted(knowledge.attempts(run_id=run_id), key=lambda one: one.slot)


def _figures(root: Path, run_id: str) -> list[tuple[object, ...]]:
    scores = [one.evaluation.scorecard.train for one in _attempts(root, run_id) if one.evaluation is not None]
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
    # Under another name the data are found by their content.
    for ending in ("panel", "json"):
        (workspace / "data" / f"pieces.{ending}").rename(workspace / "data" / f"moved.{ending}")
    assert as_json(capsys, "screen", "--resume", in_passes["run"])["run"] == in_passes["run"]


def test_the_best_are_scored_in_full_as_in_memory_where_there_is_room(
    csv: Path, workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, "data", "import", str(csv), "--name", "pieces")[0] == 0
    listed = workspace / "factors.txt"
    listed.write_text("\n".join(_MANY))
    found = []
    for number, name in enumerate(("pieces", "whole")):
        summary = as_json(capsys, "screen", str(listed), "--data", name, "--keep", "1")
        found.append(_attempts(workspace, summary["run"]))
        # The next begins as if nothing had been tried before.
        (workspace / "knowledge.db").rename(workspace / f"{number}.db")
        (workspace / "knowledge.db").write_bytes((workspace / "empty.db").read_bytes())
    in_full = [[one for one in attempts if one.stage == "evidence" and one.evaluation] for attempts in found]
    assert len(in_full[0]) == len(in_full[1]) == 1
    for one, other in zip(*in_full, strict=True):
        assert one.evaluation is not None
        assert other.evaluation is not None
        assert one.canonical == other.canonical
        assert repr(one.evaluation.scorecard) == repr(other.evaluation.scorecard)
        assert repr(one.evaluation.evidence) == repr(other.evaluation.evidence)
    monkeypatch.setattr("agent.study.large_scorecards._ARRAYS", 10**6)
    code, _, said = run(capsys, "screen", str(listed), "--data", "pieces", "--keep", "1")
    assert code == 0
    assert "nothing will be scored in full: scorecards of these data need about" in said


def test_other_commands_find_data_that_are_stored_by_field(
    csv: Path, workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, said = run(capsys, "data", "import", str(csv), "--name", "pieces")
    assert code == 0, said
    (workspace / "data" / "whole.parquet").unlink()
    by_path = as_json(capsys, "data", "check", str(workspace / "data" / "pieces.panel"))
    assert as_json(capsys, "data", "check") == by_path == as_json(capsys, "data", "check", "pieces")
    assert by_path["reports"][0]["bars"] == 900 * 12
    shown = as_json(capsys, "signal", "-ts_mean(returns, 5)", "--data", "pieces")
    assert run(capsys, "data", "import", str(csv), "--name", "pieces", "--replace")[0] == 0
    monkeypatch.setenv("ALPHAGLOW_DATA__WHOLE_GB", "1")
    assert run(capsys, "data", "import", str(csv), "--name", "pieces", "--replace")[0] == 0
    assert as_json(capsys, "signal", "-ts_mean(returns, 5)", "--data", "pieces") == shown


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
