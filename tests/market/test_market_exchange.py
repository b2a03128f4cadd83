"""Fetching through ccxt from a loopback server that speaks bybit's v5."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest

from market.errors import InputError
from market.exchange import fetch_ohlcv

HOUR = 3_600_000
START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
LISTED = {"BTCUSDT": ("BTC", 0), "ETHUSDT": ("ETH", 300)}


def market(symbol: str) -> dict[str, object]:
    base = LISTED[symbol][0]
    lots = {"basePrecision": "0.000001", "quotePrecision": "0.01", "minOrderQty": "0.0001", "maxOrderQty": "100"}
    return {
        "symbol": symbol,
        "baseCoin": base,
        "quoteCoin": "USDT",
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "none",
        "lotSizeFilter": {**lots, "minOrderAmt": "1", "maxOrderAmt": "100000"},
        "priceFilter": {"tickSize": "0.01"},
        "riskParameters": {"limitParameter": "0.05", "marketParameter": "0.05"},
    }


class Bybit(ThreadingHTTPServer):
    """Serves bars of which the last one is still open; fails once after `fail_after` requests for bars."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, list[str]]] = []
        self.fail_after: int | None = None
        self.last = int(datetime.now(UTC).timestamp() * 1000) // HOUR * HOUR


class Handler(BaseHTTPRequestHandler):
    server: Bybit

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        url = urlparse(self.path)
        query = parse_qs(url.query)
        if url.path.endswith("/instruments-info"):
            spot = query.get("category") == ["spot"]
            return self.reply(
                {"category": "spot", "list": [market(s) for s in LISTED] if spot else [], "nextPageCursor": ""}
            )
        if not url.path.endswith("/kline"):
            return self.reply({"list": []})
        if self.server.fail_after is not None and len(self.server.requests) >= self.server.fail_after:
            self.server.fail_after = None
            self.send_error(503)
            return None
        self.server.requests.append(query)
        symbol, start = query["symbol"][0], int(query["start"][0])
        first = START + LISTED[symbol][1] * HOUR
        end = min(int(query.get("end", [str(self.server.last)])[0]), self.server.last)
        times = list(range(max(start, first), end + 1, HOUR))[: int(query["limit"][0])]
        bars = [[str(t), *(f"{100 + (t // HOUR) % 7 + k}" for k in (0, 5, -5, 1)), "3", "300"] for t in times]
        return self.reply({"category": "spot", "symbol": symbol, "list": bars[::-1]})

    def reply(self, result: dict[str, object]) -> None:
        body = json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 0}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def bybit() -> Iterator[Bybit]:
    server = Bybit()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def url(server: Bybit) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


SINCE = datetime(2024, 1, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(hours=2500)


def test_pages_are_joined_and_later_listings_start_late(bybit: Bybit, tmp_path: Path) -> None:
    panel = fetch_ohlcv(
        "bybit", ["BTC/USDT", "ETH/USDT"], "1h", SINCE, UNTIL, cache_dir=tmp_path / "c", api_url=url(bybit)
    )
    assert panel.shape == (2500, 2)
    assert len(bybit.requests) >= 6
    assert np.isnan(panel["close"][:300, 1]).all()
    assert np.isfinite(panel["close"][300:]).all()
    assert not (tmp_path / "c").exists()


def test_a_broken_fetch_keeps_its_pages_and_goes_on(bybit: Bybit, tmp_path: Path) -> None:
    bybit.fail_after = 2
    with pytest.raises(InputError, match="again"):
        fetch_ohlcv("bybit", ["BTC/USDT"], "1h", SINCE, UNTIL, cache_dir=tmp_path / "c", api_url=url(bybit))
    asked = len(bybit.requests)
    panel = fetch_ohlcv("bybit", ["BTC/USDT"], "1h", SINCE, UNTIL, cache_dir=tmp_path / "c", api_url=url(bybit))
    assert panel.shape == (2500, 1)
    assert len(bybit.requests) == asked + 1
    assert int(bybit.requests[-1]["start"][0]) == START + 2000 * HOUR


def test_the_open_bar_is_dropped(bybit: Bybit, tmp_path: Path) -> None:
    since = datetime.now(UTC) - timedelta(hours=10)
    panel = fetch_ohlcv("bybit", ["BTC/USDT"], "1h", since, cache_dir=tmp_path / "c", api_url=url(bybit))
    newest = int(panel.times[-1].astype("datetime64[ms]").astype("int64"))
    assert newest in (bybit.last - HOUR, bybit.last)
    assert newest + HOUR <= datetime.now(UTC).timestamp() * 1000


@pytest.mark.parametrize(
    ("exchange", "symbol", "timeframe", "says"),
    [
        ("bybitt", "BTC/USDT", "1h", "bybit"),
        ("bybit", "BTC/XXX", "1h", "BTC/USDT"),
        ("bybit", "BTC/USDT", "7h", "timeframe"),
    ],
)
def test_unknown_names_are_refused_with_what_there_is(
    bybit: Bybit, tmp_path: Path, exchange: str, symbol: str, timeframe: str, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        fetch_ohlcv(exchange, [symbol], timeframe, SINCE, UNTIL, cache_dir=tmp_path / "c", api_url=url(bybit))


def test_an_unreachable_exchange_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reached") as caught:
        fetch_ohlcv("bybit", ["BTC/USDT"], "1h", SINCE, UNTIL, cache_dir=tmp_path / "c", api_url="http://127.0.0.1:9")
    assert "\n" not in str(caught.value)
