"""The quick paths to data: symbols of an exchange where a command needs bars, on the loopback."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from tests.agent.commands import refused, run
from tests.market.exchange_server import serving
from tests.market.test_market_exchange import MARKET, NOW
from tests.market.test_market_exchange_cli import home

__all__ = ["home"]


def days_since_2024() -> str:
    """Return how many days to ask for; asked when they are needed, since a day may begin while tests run."""
    return str((datetime.now(UTC) - datetime(2024, 1, 1, tzinfo=UTC)).days)


def test_eval_fetches_the_symbol_that_it_needs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-w", str(home), "eval", "-ts_mean(returns, 24)", "--symbol", "AAA/USDT", "--days", days_since_2024())
    with serving(MARKET, NOW) as server:
        code, out, err = run(capsys, *words, "--exchange", "bybit", "--base-url", server.url, "--json")
        assert code == 0, err
        assert "into the workspace as bybit-spot-1h-AAAUSDT" in err
        assert "2,590 bars added for 1 of 1 symbols" in err
        assert "traded alone" in err
        assert json.loads(out)["scorecard"]["weighting"] == "timeseries"
        again = run(capsys, *words, "--base-url", server.url)[2]
        assert "nothing new" in again
    assert (home / "data" / "bybit-spot-1h-AAAUSDT.parquet").is_file()
    place = ("-w", str(home), "eval", "close")
    assert "belong to --symbol" in refused(capsys, *place, "--days", "3")
    assert "in the place of --data" in refused(capsys, *place, "--symbol", "AAA/USDT", "--data", "x")


def test_a_fetch_of_days_into_a_file(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-w", str(home), "data", "fetch", "binance", "--symbol", "AAAUSDT", "--name", "x")
    file = tmp_path / "aaa.csv"
    with serving(MARKET, NOW) as server:
        more = ("--days", days_since_2024(), "--output", str(file), "--base-url", server.url, "--unpaced")
        code, _, err = run(capsys, *words, *more)
        assert code == 0, err
        assert "say --since" in refused(capsys, *words)
        assert "say --since" in refused(capsys, *words, "--since", "2024-01-01", "--days", "3")
    frame = pd.read_csv(file)
    assert list(frame.columns[:2]) == ["time", "asset"]
    assert len(frame) == 2590
