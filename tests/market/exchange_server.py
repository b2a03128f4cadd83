"""A loopback server that speaks what alphaglow asks of Bybit's v5 and of Binance, with faults on request.

It serves recorded or invented bars by a clock of its own: bars that open after it are not there yet, and the one that
is open changes until it closes.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse
from zlib import crc32

import numpy as np

from tests.market.exchange_data import HOUR, ExchangeData, Table

LIMITS = {"kline": 1000, "klines": 1000, "history": 200, "fundingRate": 1000, "open-interest": 200}
LIMITS |= {"openInterestHist": 500}


@dataclass
class Faults:
    """How often a request for rows goes wrong, and how. A row is withheld, and a page
    wrong, at most once, so that asking again repairs it.

    Kinds: ``429 500 cut broken duplicate shuffle missing empty open overlap wrong``.
    """

    kinds: tuple[str, ...] = ()
    share: float = 0.3
    seed: int = 0


EVERY_FAULT = ("429", "500", "cut", "broken", "duplicate", "shuffle", "missing", "empty", "open", "overlap", "wrong")


class Exchange(ThreadingHTTPServer):
    """The server; `now` is its clock in ms (None: the machine's)."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, traded: ExchangeData, now: int | None, faults: Faults | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.traded, self.clock, self.faults = traded, now, faults or Faults()
        self.lock = threading.Lock()
        self.defects: list[BaseException] = []
        self.down_after: int | None = None
        self.asked: list[str] = []
        self.done: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.withheld: dict[str, set[int]] = defaultdict(set)
        self.wronged: set[str] = set()
        self.closed_until = 0.0
        self.early = 0
        self.retry_after = 0
        # Rows that opened within that many ms are not served yet.
        self.lag = 0
        self._allowed, self._waiting, self._holds = math.inf, 0, 0
        self._changed = threading.Condition()

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep what went wrong here for `serving` to raise; a client that was killed is nothing wrong."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.defects.append(error)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def now(self) -> int:
        return int(time.time() * 1000) if self.clock is None else self.clock

    def hold(self, more: float) -> None:
        """Answer the requests for rows that wait, and `more` of those to come; the next ones wait."""
        with self._changed:
            self._allowed, self._waiting, self._holds = more, 0, self._holds + 1
            self._changed.notify_all()

    def wait_until_held(self, ended: Callable[[], bool]) -> bool:
        """Wait until a request for rows waits, or the client has `ended`; return whether one waits."""
        with self._changed:
            while not self._waiting and not ended():
                self._changed.wait(0.05)
            return self._waiting > 0

    def admit(self) -> None:
        """Count a request for rows; where no more are allowed, wait for the next `hold`."""
        with self._changed:
            self._allowed -= 1
            if self._allowed >= 0:
                return
            self._waiting, mine = self._waiting + 1, self._holds
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._holds > mine)

    def pages(self) -> int:
        """How many requests for rows were made."""
        return sum(path.rpartition("/")[2] in LIMITS for path in self.asked)

    def fault(self, key: str) -> tuple[str | None, np.random.Generator]:
        """Draw what goes wrong with the next request of `key`."""
        with self.lock:
            self.counts[key] += 1
            rng = np.random.default_rng([self.faults.seed, crc32(key.encode()), self.counts[key]])
        kind = None
        if self.faults.kinds and rng.random() < self.faults.share:
            kind = str(rng.choice(self.faults.kinds))
            with self.lock:
                self.done[kind] += 1
        return kind, rng


class Refused(Exception):
    """An answer with a status of its own."""

    def __init__(self, status: int, body: dict[str, object]) -> None:
        self.status, self.body = status, body


class Handler(BaseHTTPRequestHandler):
    server: Exchange
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        url = urlparse(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        with self.server.lock:
            self.server.asked.append(url.path)
            if time.monotonic() < self.server.closed_until:
                self.server.early += 1
        if not url.path.startswith(("/v5/market/", "/api/v3/", "/fapi/v1/", "/futures/data/")):
            return self.reply(404, None)
        rows = url.path.rpartition("/")[2] in LIMITS
        key = f"{url.path} {query.get('symbol')}"
        kind, rng = self.server.fault(key) if rows else (None, np.random.default_rng(0))
        if rows:
            self.server.admit()
        if rows and self.server.down_after is not None and self.server.pages() > self.server.down_after:
            return self.reply(503, None)
        if kind == "429" and url.path.startswith("/v5/") and rng.random() < 0.5:
            return self.reply(200, {"retCode": 10006, "retMsg": "Too many visits!", "result": {}, "time": 0})
        if kind == "429":
            wait = self.server.retry_after
            self.server.closed_until = time.monotonic() + wait - 0.05
            return self.reply(429, {"code": -1003, "msg": "Too many requests."}, {"Retry-After": str(wait)})
        if kind == "500":
            return self.reply(int(rng.choice([500, 502, 503])), None)
        try:
            answer = self.bybit(url.path, query, kind, rng) if url.path.startswith("/v5/") else None
            answer = answer if answer is not None else self.binance(url.path, query, kind, rng)
        except Refused as error:
            return self.reply(error.status, error.body)
        return self.reply(200, answer, kind=kind)

    def reply(
        self, status: int, answer: object, headers: dict[str, str] | None = None, kind: str | None = None
    ) -> None:
        body = b"<html>upstream is down</html>" if answer is None else json.dumps(answer).encode()
        length = len(body)
        if kind == "cut":
            body = body[: length // 2]
            length = len(body)
        if kind == "broken":
            body = body[: length // 2]
        lines = [f"HTTP/1.1 {status} Something", f"Date: {formatdate(self.server.now / 1000, usegmt=True)}"]
        lines += [f"Content-Type: {'text/html' if answer is None else 'application/json'}", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        try:
            self.wfile.write("\r\n".join([*lines, "", ""]).encode() + body)
        except OSError:
            # The client was killed in the meantime.
            self.close_connection = True
        if kind == "broken":
            self.close_connection = True

    # What both have in common.

    def rows(
        self,
        table: Table | None,
        query: dict[str, str],
        kind: str | None,
        rng: np.random.Generator,
        names: tuple[str, str],
    ) -> list[int]:
        """Which rows of the table answer the query, oldest first, as the fault has it."""
        if table is None:
            return []
        now, most = self.server.now, 2**62
        start, end = int(query.get(names[0], 0)), min(int(query.get(names[1], most)), now - self.server.lag)
        low, high = np.searchsorted(table.stamps, [start, end + 1])
        found = list(range(int(low), int(high)))
        limit = min(int(query.get("limit", 200)), LIMITS[urlparse(self.path).path.rpartition("/")[2]])
        newest = self.path.startswith("/v5/") or names[0] not in query
        found = found[-limit:] if newest else found[:limit]
        key = f"{urlparse(self.path).path} {query.get('symbol')}"
        if kind in ("missing", "empty") and found:
            with self.server.lock:
                withheld = self.server.withheld[key]
                fresh = [i for i in found if i not in withheld]
                count = len(fresh) if kind == "empty" else min(len(fresh), int(rng.integers(1, 6)))
                if kind == "missing" or len(fresh) == len(found):
                    gone = {int(i) for i in rng.choice(fresh, count, replace=False)} if fresh else set()
                    if fresh and rng.random() < 0.5:
                        gone.add(fresh[-1])
                    withheld |= gone
                    found = [i for i in found if i not in gone]
        if kind == "overlap" and found:
            found = [*range(max(0, found[0] - 7), found[0]), *found]
        if kind == "open":
            found += [i for i in range(found[-1] + 1, len(table.stamps)) if table.stamps[i] <= now][:3] if found else []
        if kind == "duplicate" and found:
            found += [int(i) for i in rng.choice(found, min(9, len(found)), replace=False)]
            found.sort()
        if kind == "shuffle":
            found = [int(i) for i in rng.permutation(found)]
        return found

    def bars(
        self,
        table: Table | None,
        query: dict[str, str],
        kind: str | None,
        rng: np.random.Generator,
        names: tuple[str, str],
    ) -> list[tuple[int, list[str]]]:
        rows = []
        for i in self.rows(table, query, kind, rng, names):
            assert table is not None
            stamp, cells = int(table.stamps[i]), table.text[i]
            if stamp + HOUR > self.server.now:
                # Still open: it has had one trade.
                cells = [cells[0]] * 4 + ["0.001", "0.1"]
            rows.append((stamp, cells))
        page = f"{query.get('symbol')} {rows[0][0]}" if rows else ""
        if kind == "wrong" and rows and page not in self.server.wronged:
            self.server.wronged.add(page)
            at = int(rng.integers(len(rows)))
            stamp, cells = rows[at]
            bad = [["0.0", *cells[1:]], [cells[0], cells[2], cells[1], *cells[3:]], ["NaN", *cells[1:]]]
            rows[at] = (stamp + 1, cells) if rng.random() < 0.3 else (stamp, bad[int(rng.integers(3))])
        return rows

    # Bybit v5.

    def bybit(self, path: str, query: dict[str, str], kind: str | None, rng: np.random.Generator) -> object:
        traded, swap = self.server.traded, query.get("category") == "linear"
        tables = traded.swap if swap else traded.spot
        name, symbol = path.removeprefix("/v5/market/"), query.get("symbol", "")
        result: dict[str, object]
        if name == "time":
            result = {"timeSecond": str(self.server.now // 1000), "timeNano": str(self.server.now * 1_000_000)}
        elif name == "instruments-info":
            shown = {} if query.get("status") else tables
            result = {"category": query["category"], "list": [bybit_market(s, t, swap) for s, t in shown.items()]}
            result["nextPageCursor"] = ""
        elif name == "tickers":
            result = {"category": query["category"], "list": [bybit_ticker(s, t) for s, t in tables.items()]}
        elif symbol not in tables:
            return {"retCode": 10001, "retMsg": "params error: symbol invalid", "result": {}, "time": self.server.now}
        elif name == "kline":
            if query["interval"] != "60":
                return {"retCode": 10001, "retMsg": "params error: no such interval", "result": {}, "time": 0}
            if "end" not in query and "start" in query:
                query["end"] = str(int(query["start"]) + (int(query["limit"]) - 1) * HOUR)
            bars = self.bars(tables[symbol], query, kind, rng, ("start", "end"))
            result = {"category": query["category"], "symbol": symbol, "list": [[str(t), *c] for t, c in bars[::-1]]}
        else:
            table = (traded.funding if name == "funding/history" else traded.interest).get(symbol)
            rows = self.rows(table, query, kind, rng, ("startTime", "endTime"))[::-1]
            keys = (
                ("fundingRateTimestamp", "fundingRate") if name == "funding/history" else ("timestamp", "openInterest")
            )
            listed = [{"symbol": symbol, keys[0]: str(int(table.stamps[i])), keys[1]: table.text[i][0]} for i in rows]  # type: ignore[union-attr]
            result = {"category": "linear", "symbol": symbol, "list": listed, "nextPageCursor": ""}
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.server.now}

    # Binance, spot and futures.

    def binance(self, path: str, query: dict[str, str], kind: str | None, rng: np.random.Generator) -> object:
        traded, swap = self.server.traded, not path.startswith("/api/")
        tables = traded.swap if swap else traded.spot
        name, symbol = path.rpartition("/")[2], query.get("symbol", "")
        if name == "time":
            return {"serverTime": self.server.now}
        if name == "exchangeInfo":
            listed = [binance_market(s, t, swap, s in traded.dead) for s, t in tables.items()]
            return {"timezone": "UTC", "serverTime": self.server.now, "rateLimits": [], "symbols": listed}
        if name == "24hr":
            return [binance_ticker(s, t) for s, t in tables.items()]
        if symbol not in tables:
            raise Refused(400, {"code": -1121, "msg": "Invalid symbol."})
        if name == "klines":
            if query["interval"] != "1h":
                raise Refused(400, {"code": -1120, "msg": "Invalid interval."})
            bars = self.bars(tables[symbol], query, kind, rng, ("startTime", "endTime"))
            return [[t, *c[:5], t + HOUR - 1, c[5], 7, "0", "0", "0"] for t, c in bars]
        table = (traded.funding if name == "fundingRate" else traded.interest).get(symbol)
        month = 30 * 24 * HOUR
        if name == "openInterestHist" and int(query["startTime"]) < self.server.now - month:
            raise Refused(400, {"code": -1130, "msg": "parameter 'startTime' is invalid."})
        if table is None:
            return []
        rows = self.rows(table, query, kind, rng, ("startTime", "endTime"))
        if name == "fundingRate":
            # As Binance does, some milliseconds after the hour.
            return [
                {"symbol": symbol, "fundingTime": int(table.stamps[i]) + i % 9, "fundingRate": table.text[i][0]}
                for i in rows
            ]
        return [
            {
                "symbol": symbol,
                "timestamp": int(table.stamps[i]),
                "sumOpenInterest": table.text[i][0],
                "sumOpenInterestValue": "1.5",
            }
            for i in rows
        ]


def bybit_market(symbol: str, table: Table, swap: bool) -> dict[str, object]:
    base = symbol.removesuffix("USDT")
    lots = {"basePrecision": "0.000001", "quotePrecision": "0.01", "minOrderQty": "0.001", "maxOrderQty": "100"}
    common = {"symbol": symbol, "baseCoin": base, "quoteCoin": "USDT", "status": "Trading"}
    if not swap:
        lots |= {"minOrderAmt": "1", "maxOrderAmt": "100000"}
        return {**common, "marginTrading": "none", "lotSizeFilter": lots, "priceFilter": {"tickSize": "0.01"}}
    launched = str(int(table.stamps[0])) if len(table.stamps) else "0"
    return {
        **common,
        "contractType": "LinearPerpetual",
        "launchTime": launched,
        "deliveryTime": "0",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
        "lotSizeFilter": {"maxOrderQty": "1190.000", "minOrderQty": "0.001", "qtyStep": "0.001"},
        "fundingInterval": "480",
        "settleCoin": "USDT",
    }


def bybit_ticker(symbol: str, table: Table) -> dict[str, object]:
    last = table.text[-1]
    return {"symbol": symbol, "lastPrice": last[3], "turnover24h": last[5], "volume24h": last[4]}


def binance_market(symbol: str, table: Table, swap: bool, dead: bool) -> dict[str, object]:
    base = symbol.removesuffix("USDT")
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "9000", "stepSize": "0.001"},
    ]
    market: dict[str, object] = {"symbol": symbol, "status": "TRADING", "baseAsset": base, "quoteAsset": "USDT"}
    market |= {"filters": filters, "baseAssetPrecision": 8, "quotePrecision": 8}
    if swap:
        market |= {"contractType": "PERPETUAL", "marginAsset": "USDT", "deliveryDate": 4133404800000}
        market |= {"onboardDate": int(table.stamps[0]), "status": "SETTLING" if dead else "TRADING"}
    else:
        market |= {"isSpotTradingAllowed": True, "permissions": ["SPOT"], "status": "BREAK" if dead else "TRADING"}
    return market


def binance_ticker(symbol: str, table: Table) -> dict[str, object]:
    last = table.text[-1]
    return {"symbol": symbol, "lastPrice": last[3], "volume": last[4], "quoteVolume": last[5]}


@contextmanager
def serving(traded: ExchangeData, now: int | None = None, faults: Faults | None = None) -> Iterator[Exchange]:
    """Serve `traded` on a free port of the loopback."""
    server = Exchange(traded, now, faults)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.hold(math.inf)
        server.shutdown()
        server.server_close()
        thread.join()
    assert not server.defects, server.defects[0]
