"""Commands that change data keep their past: `data update`, `data funding` and `data import --repair`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.agent.commands import as_json, refused, run
from tests.market.exchange_data import HOUR
from tests.market.exchange_jobs import MARKET, NOW, START
from tests.market.exchange_server import Exchange, serving

FACTOR = "ts_mean(returns, 5)"
SYMBOLS = "AAA/USDT,BBB/USDT,CCC/USDT,DDD/USDT"
# The dates at which data are cut, and what counts on them.
Past = tuple[list[object], int]


@pytest.fixture
def server() -> Iterator[Exchange]:
    """An exchange on the loopback, 2 000 hours after its first bar."""
    with serving(MARKET, START + 2000 * HOUR + 2000) as found:
        yield found


@pytest.fixture
def first(home: Path, server: Exchange, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Past:
    """Data `x` from an exchange, on which two factors were tried and one has seen the holdout."""
    # Of four assets there is no cross-section.
    monkeypatch.setenv("ALPHAGLOW_BACKTEST__WEIGHTING", "timeseries")
    asked = ["--symbols", SYMBOLS, "--since", "2024-01-01", "--name", "x", "--base-url", server.url, "--unpaced"]
    assert run(capsys, "data", "fetch", "binance", "--market", "swap", *asked)[0] == 0
    assert as_json(capsys, "eval", FACTOR, "--data", "x")["trials"] == 1
    assert as_json(capsys, "eval", "ts_std(returns, 20)", "--data", "x")["trials"] == 2
    seen = as_json(capsys, "holdout", _factor(capsys, "x"), "--yes", "--data", "x")
    assert (seen["number"], seen["forward"]) == (1, False)
    # Shown again, the first one has the verdict of then; on changed data it is judged again, among two.
    return _dates(capsys, "x"), 2


def _factor(capsys: pytest.CaptureFixture[str], data: str) -> str:
    return str(as_json(capsys, "eval", FACTOR, "--data", data)["factor"])


def _dates(capsys: pytest.CaptureFixture[str], data: str) -> list[object]:
    cut = as_json(capsys, "data", "split", data)
    return [cut["train"], cut["validation"], cut["holdout"][0]]


def _past(capsys: pytest.CaptureFixture[str], data: str) -> Past:
    # A factor that was scored before is no further trial.
    return _dates(capsys, data), as_json(capsys, "eval", FACTOR, "--data", data)["trials"]


def test_an_update_keeps_trials_dates_and_openings(
    first: Past, server: Exchange, capsys: pytest.CaptureFixture[str]
) -> None:
    server.clock = NOW
    assert run(capsys, "data", "update", "x", "--unpaced")[0] == 0
    assert _past(capsys, "x") == first
    factor = _factor(capsys, "x")
    # Bars that came since are fresh, and open once.
    opened = as_json(capsys, "holdout", factor, "--yes", "--data", "x")
    assert (opened["number"], opened["forward"]) == (2, True)
    assert "was opened" in refused(capsys, "holdout", factor, "--yes", "--data", "x")
    assert as_json(capsys, "eval", "ts_mean(close, 7)", "--data", "x")["trials"] == 3


def test_an_update_watches_what_was_admitted_and_its_forward_bars_are_used(
    first: Past, server: Exchange, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect("knowledge.db")) as base, base:
        base.execute("UPDATE evaluations SET verdict = 'promising' WHERE attempt_id = 1")
    server.clock = NOW
    (found,) = as_json(capsys, "data", "update", "x", "--unpaced")["watched"]
    (one,) = found["watched"]
    assert (one["data"], one["verdict"], one["bars"] > 30) == ("x", "promising", True)
    assert one["state"] in ("fresh", "aging", "failing")
    assert one["start"] > first[0][2]
    # The bars that came would open once, had nobody looked.
    assert "was opened" in refused(capsys, "holdout", _factor(capsys, "x"), "--yes", "--data", "x")


def test_joined_funding_keeps_trials_dates_and_openings(
    first: Past, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        pd.DataFrame({"ts": pd.to_datetime(one.stamps, unit="ms", utc=True), "symbol": f"{name[:3]}/USDT:USDT"}).assign(
            funding_rate=one.values[:, 0]
        )
        for name, one in MARKET.funding.items()
    ]
    pd.concat(rows).to_parquet(tmp_path / "funding.parquet")
    code, _, err = run(capsys, "data", "funding", str(tmp_path / "funding.parquet"), "--data", "x", "--name", "paid")
    assert code == 0, err
    assert _past(capsys, "paid") == first
    assert "was opened" in refused(capsys, "holdout", _factor(capsys, "paid"), "--yes", "--data", "paid")
    assert as_json(capsys, "eval", "ts_mean(funding_rate, 24)", "--data", "paid")["trials"] == 3


def test_a_repaired_import_of_the_same_bars_keeps_trials_dates_and_openings(
    first: Past, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for name, one in MARKET.swap.items():
        known = one.stamps < START + 2000 * HOUR
        bars = pd.DataFrame(one.values[known, :5], columns=["open", "high", "low", "close", "volume"])
        rows.append(bars.assign(ts=pd.to_datetime(one.stamps[known], unit="ms", utc=True), symbol=name))
    # One bar whose low lies above its high.
    rows[0].loc[100, ["high", "low"]] = rows[0].loc[100, ["low", "high"]].to_numpy() * np.array([0.9, 1.1])
    pd.concat(rows).to_parquet(tmp_path / "own.parquet")
    argv = ["data", "import", str(tmp_path / "own.parquet"), "--name", "own", "--calendar", "continuous"]
    assert "--repair" in refused(capsys, *argv)
    code, _, err = run(capsys, *argv, "--repair")
    assert code == 0, err
    assert _past(capsys, "own") == first
    assert "was opened" in refused(capsys, "holdout", _factor(capsys, "own"), "--yes", "--data", "own")
    assert as_json(capsys, "eval", "ts_mean(close, 7)", "--data", "own")["trials"] == 3
