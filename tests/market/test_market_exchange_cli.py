"""`alphaglow data fetch` and `data update` as a user runs them, on the loopback: killed, stopped, taken up."""

from __future__ import annotations

import contextlib
import io
import json
import math
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.cli import main
from market.panel_store import load_panel
from tests.forked import start
from tests.market.exchange_data import HOUR, invented, recorded
from tests.market.exchange_jobs import BOTH, MARKET, NOW, START, assert_equals_source
from tests.market.exchange_server import EVERY_FAULT, Exchange, Faults, serving

SINCE = "2024-01-01"
SYMBOLS = "AAA/USDT,BBB/USDT,CCC/USDT,DDD/USDT"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "alphaglow.toml").write_text("")
    return tmp_path / "home"


def command(home: Path, *argv: str) -> list[str]:
    return ["-w", str(home), "data", *argv]


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def run(home: Path, *argv: str) -> Done:
    """Run the command line in this process: the same code, without a second start of Python."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["-w", str(home), "data", *argv])
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def fetching(server: Exchange, exchange: str, *more: str, symbols: str = SYMBOLS, since: str = SINCE) -> list[str]:
    chosen = ["--symbols", symbols, "--since", since, "--name", "x", "--base-url", server.url, "--unpaced"]
    return ["fetch", exchange, *chosen, *more]


@BOTH
def test_a_fetch_and_its_updates(exchange: str, home: Path) -> None:
    with serving(MARKET, START + 900 * HOUR + 2000) as server:
        done = run(home, *fetching(server, exchange, "--market", "swap", "--funding", "--json"))
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout)
        assert shown["bars"] == 900
        assert shown["fetch"]["requests"] == len(server.asked)
        assert {one["symbol"]: one["rows"]["ohlcv"] for one in shown["fetch"]["symbols"]}["CCC/USDT:USDT"] == 900 - 6
        server.clock = NOW
        asked = len(server.asked)
        done = run(home, "update", "x", "--unpaced")
        assert done.returncode == 0, done.stderr
        assert "2590 bars" in done.stdout.replace(",", "")
        assert "bars added for 4 of 4 symbols, up to 2024-04-17" in done.stdout
        # Bars and funding of four symbols, two pages each at most, and their ends asked for twice.
        assert len(server.asked) - asked < 35
        panel = load_panel(home / "data" / "x.parquet")
        assert_equals_source(panel, MARKET.swap, START, NOW)
        again = run(home, "update", "--json", "--unpaced")
        assert json.loads(again.stdout)["data"][0]["id"] == panel.id
        assert set(json.loads(again.stdout)["data"][0]["added"].values()) == {0}
        assert run(home, "update", "--unpaced").stdout.startswith("x: nothing new")


def test_the_first_words_are_checked(home: Path) -> None:
    with serving(MARKET, NOW) as server:
        for argv, says in [
            (fetching(server, "binance", "--since", "yesterday"), "is not a date"),
            (fetching(server, "binance", "--funding"), "--market swap"),
            (fetching(server, "binance", "--top", "3"), "say which symbols"),
            (fetching(server, "binance", symbols="XYZ/USDT"), "no spot market XYZ/USDT"),
            (fetching(server, "binance", "--since", "2031-01-01"), "no bar has closed"),
            (["update"], "no data set was fetched here"),
        ]:
            done = run(home, *argv)
            assert done.returncode == 2, (argv, done)
            assert says in done.stderr
            assert "\n" not in done.stderr.strip()


def test_a_data_set_from_elsewhere_is_not_written_over(home: Path) -> None:
    with serving(MARKET, NOW) as server:
        assert run(home, *fetching(server, "binance", symbols="AAA/USDT")).returncode == 0
        # The same place: taken up, with more symbols.
        assert run(home, *fetching(server, "binance", symbols="AAA/USDT,CCC/USDT")).returncode == 0
        done = run(home, *fetching(server, "bybit", symbols="AAA/USDT"))
        assert done.returncode == 2
        assert "--replace" in done.stderr
        assert run(home, *fetching(server, "bybit", "--replace", symbols="AAA/USDT")).returncode == 0


def test_two_fetches_do_not_write_to_one_store(home: Path) -> None:
    with serving(MARKET, NOW) as server:
        server.hold(0)
        first = start(command(home, *fetching(server, "binance")), quiet=True)
        assert server.wait_until_held(lambda: first.poll() is not None)
        done = run(home, *fetching(server, "binance"))
        assert done.returncode == 2
        assert "another fetch" in done.stderr
        server.hold(math.inf)
        assert first.wait() == 0


def test_ctrl_c_keeps_what_came(home: Path) -> None:
    with serving(MARKET, NOW) as server:
        server.hold(4)
        process = start(command(home, *fetching(server, "bybit", "--at-once", "1")))
        assert server.wait_until_held(lambda: process.poll() is not None)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
        assert process.returncode == 130
        assert "run the same command again" in said
        assert "Traceback" not in said
        assert list((home / "data" / "raw").rglob("*.parquet"))
        assert not (home / "data" / "x.parquet").exists()
        server.hold(math.inf)
        before = server.pages()
        assert run(home, *fetching(server, "bybit")).returncode == 0
        assert server.pages() - before < 16
    assert_equals_source(load_panel(home / "data" / "x.parquet"), MARKET.spot, START, NOW)


# Fifty kills were tried once, see docs/data.md.
@BOTH
@pytest.mark.parametrize(("most", "hours"), [(3, 3000), pytest.param(12, 9000, marks=pytest.mark.slow)])
def test_killed_many_times_on_the_way(exchange: str, home: Path, most: int, hours: int) -> None:
    rng = np.random.default_rng(5)
    traded = invented(START, hours)
    now = START + (hours - 1) * HOUR + HOUR // 2
    kills = 0
    with serving(traded, now, Faults(EVERY_FAULT, share=0.3, seed=7)) as server:
        more = ["--market", "swap", "--funding", "--at-once", "2", "--retries", "30"]
        argv = command(home, *fetching(server, exchange, *more))
        while True:
            server.hold(int(rng.integers(1, 4)) if kills < most else math.inf)
            process = start(argv, quiet=True)
            if kills == most:
                assert process.wait() == 0
                break
            assert server.wait_until_held(lambda process=process: process.poll() is not None), (
                "it ended before the kill"
            )
            if rng.random() < 0.5:
                # Killed while it reads or writes the next page, not only while it waits for it.
                server.hold(0)
            process.kill()
            process.wait()
            kills += 1
    assert kills == most
    panel = load_panel(home / "data" / "x.parquet")
    bars = assert_equals_source(panel, traded.swap, START, now)
    assert bars > 25_000 * hours // 9000
    for column, asset in enumerate(panel.assets):
        table = traded.funding[asset.partition("/")[0] + "USDT"]
        settled = table.values[table.stamps < now, 0].sum()
        assert np.nansum(panel["funding"][:, column]) == pytest.approx(settled, rel=1e-9)


def test_the_recorded_market_killed_on_the_way(shared_data: Path, home: Path) -> None:
    symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"]
    traded = recorded(shared_data, symbols, "2024-01-01", "2025-01-01")
    since, now = (int(pd.Timestamp(day, tz="UTC").timestamp() * 1000) for day in ("2024-01-01", "2025-01-01"))
    with serving(traded, now + 2000) as server:
        argv = fetching(
            server, "bybit", "--market", "swap", "--open-interest", symbols=",".join(symbols), since="2024-01-01"
        )
        for _ in range(5):
            server.hold(31)
            process = start(command(home, *argv), quiet=True)
            assert server.wait_until_held(lambda process=process: process.poll() is not None)
            process.kill()
            process.wait()
        server.hold(math.inf)
        assert run(home, *argv).returncode == 0
    panel = load_panel(home / "data" / "x.parquet")
    assert assert_equals_source(panel, traded.swap, since, now) == 4 * 366 * 24
    interest = traded.interest["BTCUSDT"]
    known = np.isfinite(panel["open_interest"][:, 0])
    np.testing.assert_array_equal(panel["open_interest"][known, 0], interest.values[:, 0])
