"""`alphaglow data fetch` and `data update` as a user runs them, on the loopback: killed, stopped, taken up."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.cli import main
from market.panel_store import load_panel
from tests.market.exchange_book import HOUR, invented, recorded
from tests.market.exchange_server import EVERY_FAULT, Exchange, Faults, serving
from tests.market.test_market_exchange import BOOK, BOTH, NOW, START, assert_equals_source

SINCE = "2024-01-01"
SYMBOLS = "AAA/USDT,BBB/USDT,CCC/USDT,DDD/USDT"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "alphaglow.toml").write_text("")
    return tmp_path / "desk"


def command(desk: Path, *argv: str) -> list[str]:
    return [sys.executable, "-m", "agent", "-w", str(desk), "data", *argv]


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def run(desk: Path, *argv: str) -> Done:
    """Run the command line in this process: the same code, without a second start of Python."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["-w", str(desk), "data", *argv])
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def fetching(server: Exchange, exchange: str, *more: str, symbols: str = SYMBOLS, since: str = SINCE) -> list[str]:
    chosen = ["--symbols", symbols, "--since", since, "--name", "x", "--base-url", server.url, "--unpaced"]
    return ["fetch", exchange, *chosen, *more]


@BOTH
def test_a_fetch_and_its_updates(exchange: str, desk: Path) -> None:
    with serving(BOOK, START + 900 * HOUR + 2000) as server:
        done = run(desk, *fetching(server, exchange, "--market", "swap", "--funding", "--json"))
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["bars"] == 900
        assert told["fetch"]["requests"] == len(server.asked)
        assert {one["symbol"]: one["rows"]["ohlcv"] for one in told["fetch"]["symbols"]}["CCC/USDT:USDT"] == 900 - 6
        server.clock = NOW
        asked = len(server.asked)
        done = run(desk, "update", "x", "--unpaced")
        assert done.returncode == 0, done.stderr
        assert "2590 bars" in done.stdout.replace(",", "")
        # Bars and funding of four symbols, two pages each at most, and their ends asked for twice.
        assert len(server.asked) - asked < 35
        panel = load_panel(desk / "data" / "x.parquet")
        assert_equals_source(panel, BOOK.swap, START, NOW)
        again = run(desk, "update", "--json", "--unpaced")
        assert json.loads(again.stdout)["data"][0]["id"] == panel.id


def test_the_first_words_are_checked(desk: Path) -> None:
    with serving(BOOK, NOW) as server:
        for argv, says in [
            (fetching(server, "binance", "--since", "yesterday"), "is not a date"),
            (fetching(server, "binance", "--funding"), "--market swap"),
            (fetching(server, "binance", "--top", "3"), "say which symbols"),
            (fetching(server, "binance", symbols="XYZ/USDT"), "no spot market XYZ/USDT"),
            (fetching(server, "binance", "--since", "2031-01-01"), "no bar has closed"),
            (["update"], "no data set was fetched here"),
        ]:
            done = run(desk, *argv)
            assert done.returncode == 2, (argv, done)
            assert says in done.stderr
            assert "\n" not in done.stderr.strip()


def test_a_data_set_from_elsewhere_is_not_written_over(desk: Path) -> None:
    with serving(BOOK, NOW) as server:
        assert run(desk, *fetching(server, "binance", symbols="AAA/USDT")).returncode == 0
        # The same place: taken up, with more symbols.
        assert run(desk, *fetching(server, "binance", symbols="AAA/USDT,CCC/USDT")).returncode == 0
        done = run(desk, *fetching(server, "bybit", symbols="AAA/USDT"))
        assert done.returncode == 2
        assert "--replace" in done.stderr
        assert run(desk, *fetching(server, "bybit", "--replace", symbols="AAA/USDT")).returncode == 0


def test_two_fetches_do_not_write_to_one_store(desk: Path) -> None:
    with serving(BOOK, NOW, latency=0.4) as server:
        first = subprocess.Popen(command(desk, *fetching(server, "binance")), stdout=subprocess.DEVNULL)
        _wait(lambda: server.pages() > 0)
        done = run(desk, *fetching(server, "binance"))
        assert done.returncode == 2
        assert "another fetch" in done.stderr
        assert first.wait(60) == 0


def test_ctrl_c_keeps_what_came(desk: Path) -> None:
    with serving(BOOK, NOW, latency=0.2) as server:
        argv = command(desk, *fetching(server, "bybit", "--at-once", "1"))
        process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        _wait(lambda: server.pages() >= 4)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "run the same command again" in said
        assert "Traceback" not in said
        assert list((desk / "data" / "raw").rglob("*.parquet"))
        assert not (desk / "data" / "x.parquet").exists()
        server.latency = 0.0
        before = server.pages()
        assert run(desk, *fetching(server, "bybit")).returncode == 0
        assert server.pages() - before < 16
    assert_equals_source(load_panel(desk / "data" / "x.parquet"), BOOK.spot, START, NOW)


def _wait(ready: object, seconds: float = 30.0) -> None:
    assert callable(ready)
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.002)


# Each start of the program takes seconds: fifty were tried once, and are stated in docs/data.md.
KILLS = 12


@pytest.mark.slow
@BOTH
def test_killed_many_times_on_the_way(exchange: str, desk: Path) -> None:
    rng = np.random.default_rng(5)
    book = invented(START, 9000)
    now = START + 8999 * HOUR + HOUR // 2
    kills = 0
    with serving(book, now, Faults(EVERY_FAULT, share=0.3, seed=7), latency=0.01) as server:
        more = ["--market", "swap", "--funding", "--at-once", "2", "--retries", "30"]
        argv = command(desk, *fetching(server, exchange, *more))
        while True:
            process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seen, stop_after = server.pages(), int(rng.integers(1, 4))
            while kills < KILLS and process.poll() is None and server.pages() - seen < stop_after:
                time.sleep(0.001)
            if kills < KILLS and process.poll() is None:
                time.sleep(float(rng.uniform(0, 0.02)))
                process.kill()
                kills += 1
            if process.wait(120) == 0:
                break
    assert kills == KILLS
    panel = load_panel(desk / "data" / "x.parquet")
    bars = assert_equals_source(panel, book.swap, START, now)
    assert bars > 25_000
    for column, asset in enumerate(panel.assets):
        table = book.funding[asset.partition("/")[0] + "USDT"]
        settled = table.values[table.stamps < now, 0].sum()
        assert np.nansum(panel["funding"][:, column]) == pytest.approx(settled, rel=1e-9)


@pytest.mark.slow
def test_the_recorded_market_killed_on_the_way(shared_data: Path, desk: Path) -> None:
    symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"]
    book = recorded(shared_data, symbols, "2023-01-01", "2025-01-01")
    since, now = (int(pd.Timestamp(day, tz="UTC").timestamp() * 1000) for day in ("2023-01-01", "2025-01-01"))
    with serving(book, now + 2000, latency=0.02) as server:
        argv = fetching(
            server, "bybit", "--market", "swap", "--open-interest", symbols=",".join(symbols), since="2023-01-01"
        )
        for _ in range(5):
            process = subprocess.Popen(command(desk, *argv), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seen = server.pages()
            _wait(lambda seen=seen: server.pages() - seen > 30)
            process.kill()
            process.wait()
        assert run(desk, *argv).returncode == 0
    panel = load_panel(desk / "data" / "x.parquet")
    assert assert_equals_source(panel, book.swap, since, now) == 4 * 731 * 24
    interest = book.interest["BTCUSDT"]
    known = np.isfinite(panel["open_interest"][:, 0])
    np.testing.assert_array_equal(panel["open_interest"][known, 0], interest.values[:, 0])
