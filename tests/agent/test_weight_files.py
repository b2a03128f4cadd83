"""`alphaglow export --to weights-csv|nautilus|lean`: target weights of each bar as a file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.study.workspace import Workspace
from tests.agent.commands import as_json, refused, run

FACTOR = "-ts_returns(close, 5)"


def written(capsys: pytest.CaptureFixture[str], form: str, *more: str) -> pd.DataFrame:
    code, out, err = run(capsys, "export", FACTOR, "--to", form, *more)
    assert code == 0, err
    return pd.read_csv(io.StringIO(out))


def test_the_newest_row_is_what_a_signal_says(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = written(capsys, "weights-csv").set_index("time")
    document = as_json(capsys, "signal", FACTOR)
    assert wide.index[-1] == document["closed"]
    assert len(wide) == len(Workspace(home).load_panel("toy").times)
    newest = {row["asset"]: row["weight"] for row in document["weights"]}
    assert wide.iloc[-1][list(newest)].to_numpy() == pytest.approx(list(newest.values()), abs=1e-9)
    assert wide.iloc[-1].abs().sum() == pytest.approx(document["gross"])


def test_rows_of_changes_give_the_same_weights(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = written(capsys, "weights-csv").set_index("time")
    times = pd.to_datetime(wide.index)
    other = written(capsys, "nautilus", "--venue", "BYBIT")
    assert (other["ts_event"] == other["ts_init"]).all()
    assert other["instrument_id"].str.endswith(".BYBIT").all()
    other["symbol"] = other["instrument_id"].str.removesuffix(".BYBIT")
    other["time"] = pd.to_datetime(other["ts_event"], unit="ns", utc=True)
    lean = written(capsys, "lean").rename(columns={"weight": "target_weight"})
    lean["time"] = pd.to_datetime(lean["time"], format="%Y%m%d %H:%M:%S", utc=True)
    for rows in (other, lean):
        changes = rows.pivot_table(index="time", columns="symbol", values="target_weight")
        again = changes.reindex(times).ffill().fillna(0.0)[list(wide.columns)]
        assert np.abs(again.to_numpy() - wide.to_numpy()).max() < 1e-9


def test_a_file_is_named_and_what_is_missing_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "weights.csv"
    found = as_json(capsys, "export", FACTOR, "--to", "lean", "-o", str(file))
    assert found["file"] == str(file)
    assert file.read_text(encoding="utf-8").startswith("time,symbol,weight\n")
    assert "what should be exported" in refused(capsys, "export", "--to", "lean")
