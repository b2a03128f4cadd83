"""A source of pages from outside, in one file, is fetched, stopped, taken up again and updated as an exchange is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from market.bar_source import BarRequest, ExchangeOptions
from market.endpoints import Market
from market.exchange import Venue
from market.fetch import read_record
from market.paged_source import PagedSource, request_of
from market.sources import source_of
from market.spans import Span
from tests import forked
from tests.market.broker_source import HOUR, START, Broker
from tests.test_extending import distribution

SINCE = datetime(2024, 1, 1, tzinfo=UTC)


class Stopped(Broker):
    """Ctrl-C comes at the fourth request."""

    async def _send(self, market: Market, span: Span, limit: int) -> Sequence[Sequence[object]]:
        if len(self.asked) == 3:
            signal.raise_signal(signal.SIGINT)
            await asyncio.Event().wait()
        return await super()._send(market, span, limit)


def request(raw: Path, *symbols: str, **more: object) -> BarRequest:
    return BarRequest("broker", symbols, "1h", SINCE, None, raw, **more)  # type: ignore[arg-type]


def source(made: list[Broker], kind: type[Broker] = Broker) -> PagedSource:
    def connect(place: Venue, options: ExchangeOptions) -> Broker:
        made.append(kind(place, options))
        return made[-1]

    return PagedSource(connect)


def test_a_stopped_fetch_goes_on_where_it_was(tmp_path: Path) -> None:
    said: list[str] = []
    made: list[Broker] = []
    with pytest.raises(KeyboardInterrupt):
        source(made, Stopped).fetch(request(tmp_path / "a", "AAA", say=said.append))
    assert said == ["stopped; what was fetched is kept: run the same command again to go on"]
    ends: list[tuple[float, float]] = []
    found = source(made).fetch(
        request(tmp_path / "a", "AAA", progress=lambda done, total, what="": ends.append((done, total)))
    )
    # Thirty bars were there: two pages are left, and nothing is asked twice.
    assert made[1].asked[0][0] == START + 30 * HOUR
    assert ends[-1] == (18, 18)
    whole = source(made).fetch(request(tmp_path / "b", "AAA"))
    assert found.panel.id == whole.panel.id
    assert found.panel.shape == (48, 1)
    assert found.facts["requests"] == 2


def test_a_record_gives_the_request_of_an_update(tmp_path: Path) -> None:
    made: list[Broker] = []
    options = ExchangeOptions(top=(1, "USD"), at_once=2, retries=1)
    first = source(made).fetch(request(tmp_path, exchange=options))
    assert first.panel.assets == ("BBB",)
    (tmp_path / "x.json").write_text(json.dumps(first.record))
    job = read_record(tmp_path / "x.json")
    made.clear()
    later_broker = type("Later", (Broker,), {"hours": 60})
    update = request_of(job, tmp_path, ExchangeOptions(paced=False))
    assert (update.since, update.exchange.paced) == (SINCE, False)
    later = source(made, later_broker).fetch(update)
    assert later.panel.shape == (60, 1)
    assert made[0].asked[0][0] == START + 48 * HOUR
    np.testing.assert_array_equal(later.panel["close"][:48], first.panel["close"])


def test_any_other_name_is_an_exchange_of_ccxt() -> None:
    assert source_of("yahoo") is not source_of("binance")
    assert source_of("binance") is source_of("bybit")


def test_from_the_command_line_it_is_one_file_more(tmp_path: Path) -> None:
    text = Path(__file__).with_name("broker_source.py").read_text()
    site = distribution(
        tmp_path / "site", "gift", "[alphaglow.sources]\nbroker = gift_broker:broker\n", gift_broker=text
    )
    home = tmp_path / "w"
    home.mkdir()
    (home / "alphaglow.toml").write_text("")

    def run(*argv: str, hours: int = 48) -> tuple[int, str, str]:
        env = {**os.environ, "SITE": str(site), "BROKER_HOURS": str(hours)}
        going = forked.start(list(argv), cwd=home, env=env, function=forked.beside_site)
        out, err = going.communicate()
        return going.wait(), out, err

    code, out, err = run("data", "fetch", "broker", "--top", "2", "--quote", "USD", "--since", "2024-01-01", "--json")
    assert code == 0, err
    first = json.loads(out)
    assert (first["name"], first["fetch"]["requests"]) == ("broker-spot-1h", 10)
    code, _, err = run("data", "fetch", "broker", "--symbols", "AAA", "--timeframe", "1d", "--since", "2024-01-01")
    assert code == 2
    assert "hourly bars only" in err
    code, out, err = run("data", "update", "--json", hours=50)
    assert code == 0, err
    second = json.loads(out)["data"][0]
    assert second["fetch"]["requests"] == 2
    assert second["bars"] == first["bars"] + 2
    # And a signal asks it for what closed since.
    (home / "alphaglow.toml").write_text('[backtest]\nweighting = "timeseries"\n')
    code, out, err = run("signal", "-ts_returns(close, 3)", "--json", hours=53)
    assert code == 0, err
    newest = json.loads(out)
    assert newest["feed"] == "broker spot 1h (broker-spot-1h)"
    assert newest["time"][:16] == "2024-01-03T04:00"
