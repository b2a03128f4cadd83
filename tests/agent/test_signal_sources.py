"""`alphaglow signal sources`: news, price and volume become one signal, from files, in one command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.study.workspace import Workspace
from tests.agent.commands import as_json, refused, run


@pytest.fixture
def news(home: Path) -> Path:
    """Good news of the first asset and bad news of the second, over the last part of the toy market."""
    panel = Workspace(home).load_panel("toy")
    rows = [
        (panel.times[bar] + np.timedelta64(7, "m"), f"{word} of {asset}, part {bar}", asset)
        for bar in range(len(panel.times) // 4, len(panel.times) - 1, 6)
        for word, asset in (("Great gains and a rally", panel.assets[0]), ("Hack, fraud and losses", panel.assets[1]))
    ]
    frame = pd.DataFrame(rows, columns=["ts", "title", "assets"])
    frame["ts"] = frame["ts"].astype(str) + "Z"
    frame.to_csv(home / "headlines.csv", index=False)
    return home


def test_news_price_and_volume_are_one_signal_with_its_reasons(news: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = Workspace(news).load_panel("toy").assets[:2]
    asked = ("signal", "sources", "--data", "toy", "--texts", "headlines.csv")
    code, out, err = run(capsys, *asked, "--symbol", good)
    assert code == 0, err
    assert out.splitlines()[0].startswith((f"{good}: BUY", f"{good}: SELL", f"{good}: HOLD"))
    assert "confidence" in out
    assert "news of the last 3 days is better than that of the average asset" in out
    assert "its price did" in out
    assert "its volume" in out
    assert f"Great gains and a rally of {good}" in out
    for step in ("text import", "text score", "text join"):
        assert f"$ alphaglow {step}" in err
    code, out, err = run(capsys, *asked, "--symbol", bad)
    assert code == 0, err
    assert "news of the last 3 days is worse than that of the average asset" in out
    assert "$ alphaglow" not in err
    row = as_json(capsys, *asked, "--symbol", bad)
    assert row["asset"] == bad
    assert len(row["reasons"]) == 3
    assert set(row["confidence"]) >= {"share", "error"}


def test_what_is_missing_is_named(news: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("signal", "sources", "--data", "toy")
    assert "--texts NAME|FILE" in refused(capsys, *asked)
    assert "there is no file nothing.csv" in refused(capsys, *asked, "--texts", "nothing.csv")
    assert "no asset 'NOPE'" in refused(capsys, *asked, "--texts", "headlines.csv", "--symbol", "NOPE")
