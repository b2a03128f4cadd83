"""Yahoo Finance through the real yfinance, behind a session that answers by itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from market.bar_source import BarRequest
from market.errors import InputError
from market.yahoo import YahooBars, fetch_yahoo

yfinance = pytest.importorskip("yfinance", reason="Yahoo: yfinance (the extra `yahoo`) is not installed")
requests = pytest.importorskip("requests")

# yfinance's own way with pandas, which the newest pandas calls outdated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:yfinance")

DAYS = pd.bdate_range("2024-01-02", periods=60, tz="America/New_York")
OPENS = DAYS + pd.Timedelta("9h30min")
# A split of two for one on the 30th session, a dividend of 1 on the 40th, which a holder of day 39 is paid.
SPLIT, PAID = 30, 40
RAW = np.where(np.arange(60) < SPLIT, 200.0, 100.0) + np.arange(60)


def chart(ticker: str, params: dict[str, str], now: float) -> dict[str, Any]:
    stamps = np.array([int(moment.timestamp()) for moment in OPENS])
    close = np.where(np.arange(60) < SPLIT, RAW / 2, RAW)
    factor = np.where(np.arange(60) < PAID, 1 - 1 / close[PAID - 1], 1.0)
    shares = np.where(np.arange(60) < SPLIT, 2000.0, 1000.0)
    start, end = float(params.get("period1", 0)), float(params.get("period2", 9e9))
    kept = (stamps >= start) & (stamps < end) & (stamps <= now)
    last = int(stamps[stamps <= now][-1])
    period = {"timezone": "EST", "start": last, "end": last + 23_400, "gmtoffset": -18_000}
    meta = {"currency": "USD", "symbol": ticker, "exchangeTimezoneName": "America/New_York", "timezone": "EST"}
    meta |= {"instrumentType": "EQUITY", "gmtoffset": -18_000, "priceHint": 2, "dataGranularity": "1d", "range": ""}
    meta |= {"currentTradingPeriod": {"pre": period, "regular": period, "post": period}, "regularMarketTime": last}
    meta |= {"validRanges": ["1d", "max"], "firstTradeDate": int(stamps[0]), "regularMarketPrice": 1.0}
    columns = {"open": close - 0.5, "high": close + 1, "low": close - 1, "close": close, "volume": shares}
    quote = {name: values[kept].tolist() for name, values in columns.items()}
    split = {"date": int(stamps[SPLIT]), "numerator": 2, "denominator": 1, "splitRatio": "2:1"}
    events = {"splits": {str(stamps[SPLIT]): split}}
    events |= {"dividends": {str(stamps[PAID]): {"amount": 1.0, "date": int(stamps[PAID])}}}
    result = {"meta": meta, "timestamp": stamps[kept].tolist(), "events": events}
    result["indicators"] = {"quote": [quote], "adjclose": [{"adjclose": (close * factor)[kept].tolist()}]}
    return {"chart": {"result": [result], "error": None}}


class Yahoo(requests.adapters.BaseAdapter):
    """Answers every address; knows only AAA. Its clock stands a week after the last bar unless set."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.now = now

    def send(self, request: Any, **_options: Any) -> Any:
        from urllib.parse import parse_qsl, urlsplit

        url = urlsplit(request.url)
        answer = requests.Response()
        answer.status_code, answer.request, answer.url = 200, request, request.url
        if "/v8/finance/chart/" in url.path:
            ticker = url.path.rpartition("/")[2]
            body: Any = chart(ticker, dict(parse_qsl(url.query)), self.now)
            if ticker != "AAA":
                answer.status_code = 404
                error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
                body = {"chart": {"result": None, "error": error}}
            answer._content = json.dumps(body).encode()
        else:
            answer._content = b"crumb"
        return answer

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all: yfinance keeps what it opened first, also where a later call names another folder."""
    return tmp_path_factory.mktemp("yahoo")


def fetch(cache: Path, tickers: tuple[str, ...] = ("AAA",), now: float | None = None, **options: Any) -> YahooBars:
    session = requests.Session()
    adapter = Yahoo(now if now is not None else OPENS[-1].timestamp() + 7 * 86_400)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    until, interval = options.pop("until", None), options.pop("interval", "1d")
    request = BarRequest("yahoo", tickers, interval, datetime(2024, 1, 1, tzinfo=UTC), until, cache)
    return fetch_yahoo(request, **{"adjust": "splits", "session": session, **options})


def test_prices_as_traded_have_the_split_in_them(cache: Path) -> None:
    found = fetch(cache, adjust="none")
    np.testing.assert_allclose(found.panel["close"][:, 0], RAW)
    np.testing.assert_allclose(found.panel["volume"][:, 0], 1000.0)
    assert found.splits == {"AAA": [(str(DAYS[SPLIT])[:10], 2.0)]}
    assert found.dividends == {"AAA": [(str(DAYS[PAID])[:10], 1.0)]}
    # A split after the last bar asked for is in Yahoo's prices all the same.
    early = fetch(cache, adjust="none", until=datetime(2024, 1, 20, tzinfo=UTC))
    np.testing.assert_allclose(early.panel["close"][:, 0], RAW[: early.panel.shape[0]])
    assert early.panel.shape[0] == 14
    assert "neither splits nor dividends" in found.panel.name


def test_split_adjusted_prices_are_as_yahoo_states_them(cache: Path) -> None:
    found = fetch(cache)
    np.testing.assert_allclose(found.panel["close"][:, 0], np.where(np.arange(60) < SPLIT, RAW / 2, RAW))
    # Dates are the exchange's; a trading day is a bar.
    assert [str(moment)[:10] for moment in found.panel.times] == [str(day)[:10] for day in DAYS]
    assert (found.panel.calendar, found.panel.bars_per_year) == ("exchange", 252)


def test_fully_adjusted_returns_hold_the_dividend(cache: Path) -> None:
    traded, all_in = fetch(cache, adjust="none").panel, fetch(cache, adjust="all").panel
    close, whole = traded["close"][:, 0], all_in["close"][:, 0]
    # The usual rule: the day's return is reckoned from the close before it less the dividend.
    expected = close[PAID] / (close[PAID - 1] - 1.0)
    assert whole[PAID] / whole[PAID - 1] == pytest.approx(expected)
    assert whole[-1] == pytest.approx(close[-1])
    # Money is money, whatever the adjustment.
    np.testing.assert_allclose(all_in["amount"], traded["close"] * traded["volume"])
    for name in ("open", "high", "low"):
        np.testing.assert_allclose(all_in[name] / all_in["close"], traded[name] / traded["close"])


def test_the_session_under_way_is_left_out(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noon = OPENS[50].timestamp() + 9000
    monkeypatch.setattr("market.yahoo.time.time", lambda: noon)
    assert fetch(cache, now=noon).panel.shape[0] == 50
    evening = OPENS[50].timestamp() + 30_000
    monkeypatch.setattr("market.yahoo.time.time", lambda: evening)
    assert fetch(cache, now=evening).panel.shape[0] == 51


def test_an_unknown_ticker_is_named(cache: Path) -> None:
    with pytest.raises(InputError, match="ZZZ"):
        fetch(cache, tickers=("AAA", "ZZZ"))


def test_without_yfinance_the_extra_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yfinance", None)
    with pytest.raises(InputError, match=r"alphaglow\[yahoo\]"):
        fetch(cache)
