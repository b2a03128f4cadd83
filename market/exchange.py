"""One exchange, through ccxt: its markets, its clock, and requests that are made again when they fail."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

import numpy as np

from market.endpoints import BadPage, Endpoint, What, ccxt_bar_ms, ccxt_endpoint
from market.errors import InputError

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")
MarketType = Literal["spot", "swap"]

# Seconds before the first new try; doubled each time, and each time a random share of it, so that clients part.
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 30.0
# A ban may last for hours; nobody wants a command that sits it out.
_LONGEST_BAN = 900.0
# A page that is wrong three times over is wrong at the exchange.
_BAD_PAGES = 3
# What an exchange answers to everyone who asks this way; asking again changes nothing.
_FINAL = {"401": "wants credentials", "404": "has nothing at this address", "405": "does not answer there"} | {
    "410": "has nothing at this address any more",
    "451": "does not serve this place",
}
# Coins that stand for money: their prices against each other say nothing, so a ranking by trade leaves them out.
MONEY = frozenset(
    {"USDT", "USDC", "BUSD", "TUSD", "FDUSD", "DAI", "USDP", "USDE", "USD1", "RLUSD", "PYUSD", "USDD", "GUSD"}
    | {"EUR", "EURI", "AEUR", "GBP", "TRY", "BRL"}
)


class Unreachable(InputError):
    """An exchange that does not answer now, and may later."""


@dataclass(frozen=True, slots=True)
class Venue:
    """Where data come from.

    Attributes
    ----------
    exchange
        ccxt's name of it.
    market
        ``spot`` or ``swap`` (perpetuals settled in the quote currency).
    base_url
        Sends every request to another server, keeping the paths; None is the exchange's own.
    sandbox
        Ask the exchange's test network.
    """

    exchange: str
    market: MarketType = "spot"
    base_url: str | None = None
    sandbox: bool = False

    @property
    def folder(self) -> str:
        """A folder name of its own for each place that data come from: a test network's bars are other bars."""
        name = self.exchange + ("-sandbox" if self.sandbox else "")
        if self.base_url is not None:
            name += "@" + re.sub(r"[^\w.]+", "-", re.sub(r"^\w+://", "", self.base_url)).strip("-")
        return name


@dataclass
class RequestCounts:
    """How many requests were made, and how many of them had to be made again."""

    requests: int = 0
    again: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class Client:
    """An exchange that is asked with patience; use as ``async with Client(...) as client``.

    Parameters
    ----------
    paced
        Keep to the exchange's rate limits (ccxt's own figures). Off only for a server of one's own.
    retries
        How often a failed request is made again, with pauses that double up to half a minute.
    rng
        Spreads the pauses.
    """

    def __init__(
        self,
        source: Venue,
        rng: np.random.Generator,
        *,
        paced: bool = True,
        retries: int = 8,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        import ccxt.async_support as ccxt

        self.source = source
        self.tally = RequestCounts()
        self._ccxt = ccxt
        self._rng = rng
        self._retries = retries
        self._first_pause = first_pause
        self._not_before = 0.0
        self._date: float | None = None
        self._ahead = 0.0
        self.exchange = self._make(paced)

    def _make(self, paced: bool) -> Any:  # noqa: ANN401 - ccxt is untyped
        name, ccxt = self.source.exchange, self._ccxt
        if name not in ccxt.exchanges:
            import difflib

            close = difflib.get_close_matches(name, ccxt.exchanges, n=3)
            raise InputError(f"ccxt knows no exchange {name!r}", f"did you mean {', '.join(close)}?" if close else "")
        kind = "spot" if self.source.market == "spot" else "linear"
        options: dict[str, object] = {"defaultType": self.source.market, "defaultSubType": "linear"}
        if issubclass(getattr(ccxt, name), (ccxt.binance, ccxt.bybit)):
            # Without this, ccxt loads the lists of every kind of market, options too.
            options["fetchMarkets"] = {"types": [kind]}
        exchange = getattr(ccxt, name)({"enableRateLimit": paced, "options": options})
        if self.source.sandbox:
            if not exchange.urls.get("test"):
                raise InputError(f"{name} has no test network that ccxt knows", "leave out --sandbox")
            exchange.set_sandbox_mode(True)
        if self.source.base_url is not None:
            exchange.urls["api"] = _redirect(exchange.urls["api"], _checked_url(self.source.base_url))
        exchange.ssl_context = _tls(exchange.cafile)
        exchange.on_rest_response = self._on_response
        exchange.parse_json = self._parse_json
        return exchange

    async def __aenter__(self) -> Client:
        """Load the markets and set the clock."""
        try:
            await self.ask("its list of markets", self._load)
            if self.exchange.has.get("fetchTime"):
                before = time.time()
                server = await self.ask("its time", self.exchange.fetch_time)
                self._ahead = server / 1000 - (before + time.time()) / 2
            elif self._date is not None:
                self._ahead = self._date
        except BaseException:
            await self.exchange.close()
            raise
        self._since = time.monotonic(), time.time() + self._ahead
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.exchange.close()

    async def _load(self) -> None:
        try:
            await self.exchange.load_markets(True)
        except (TypeError, KeyError, AttributeError, ValueError, IndexError) as error:
            raise BadPage(f"a list of markets that ccxt cannot read ({error})") from error
        if not self.exchange.markets:
            raise BadPage("an empty list of markets")

    async def server_time(self) -> int:
        """Ask the exchange for its time in ms; one that does not tell is taken to agree with `now`."""
        if self.exchange.has.get("fetchTime"):
            return int(await self.ask("its time", self.exchange.fetch_time))
        return self.now()

    def now(self) -> int:
        """Return the exchange's time in ms: whether a bar is closed is for its clock to say, not for ours."""
        monotonic, server = self._since
        return int((server + time.monotonic() - monotonic) * 1000)

    def _on_response(
        self,
        code: int,
        reason: str,
        url: str,
        method: str,
        headers: Mapping[str, str],
        body: str,
        *_request: object,
    ) -> str:
        self.tally.requests += 1
        lowered = {key.lower(): value for key, value in headers.items()}
        if "date" in lowered and self._date is None:
            self._date = parsedate_to_datetime(lowered["date"]).timestamp() - time.time()
        wait = lowered.get("retry-after", "")
        if code in (418, 429, 503) and wait.isdigit():
            # A limit is counted by address: all tasks of this client wait.
            self._not_before = max(self._not_before, time.monotonic() + int(wait))
        # Said here for every exchange: some bodies of a refusal look like an error of another kind to ccxt.
        if code in (418, 429):
            raise self._ccxt.RateLimitExceeded(f"{method} {url} {code} {reason}")
        if code >= 500:
            raise self._ccxt.ExchangeNotAvailable(f"{method} {url} {code} {reason}")
        if code == 200 and not body.strip():
            raise self._ccxt.ExchangeNotAvailable("an empty answer")
        return body.strip()

    def _parse_json(self, text: str) -> object:
        if not text.startswith(("{", "[")):
            return None
        try:
            return self.exchange.on_json_response(text)
        except ValueError as error:
            # ccxt takes this for text, and an empty list of bars for the result.
            raise self._ccxt.ExchangeNotAvailable("an answer that was cut short") from error

    async def ask(self, what: str, request: Callable[[], Awaitable[T]]) -> T:
        """Return what `request` returns, made again while the trouble looks like passing.

        Raises
        ------
        InputError
            In words: for what asking again does not repair, and when the patience is used up.
        """
        import aiohttp

        ccxt, name = self._ccxt, self.source.exchange
        wrong = 0
        for attempt in range(self._retries + 1):
            await self._turn()
            try:
                return await request()
            except ccxt.AuthenticationError as error:
                raise InputError(f"{name} wants credentials: {_short(error)}") from error
            except ccxt.OperationFailed as error:
                trouble: Exception = error
                _refuse_final(name, error)
            except ccxt.NotSupported as error:
                raise InputError(f"{name} does not offer {what}: {_short(error)}") from error
            except ccxt.ExchangeError as error:
                trouble = error
                # A connection that breaks within an answer arrives as a plain ExchangeError.
                if not isinstance(error.__cause__, aiohttp.ClientError):
                    raise InputError(f"{name} refused {what}: {_short(error)}") from error
            except BadPage as error:
                trouble = error
                wrong += 1
                if wrong >= _BAD_PAGES:
                    break
            if (task := asyncio.current_task()) is not None and task.cancelling():
                # Ctrl-C came with the trouble, and was taken for it.
                raise asyncio.CancelledError from trouble
            self.tally.again += 1
            kind = type(trouble).__name__
            self.tally.reasons[kind] = self.tally.reasons.get(kind, 0) + 1
            pause = min(_LONGEST_PAUSE, self._first_pause * 2**attempt)
            await asyncio.sleep(pause * float(self._rng.uniform(0.5, 1.0)))
        if isinstance(trouble, BadPage):
            raise InputError(
                f"{name} sent, {wrong} times over, {trouble}",
                "leave the symbol out, or fetch only what lies before or after that time",
            ) from trouble
        raise Unreachable(
            f"{name} cannot be reached for {what}: {_short(trouble)}",
            "what was fetched is kept; run the same command again",
        ) from trouble

    async def _turn(self) -> None:
        wait = self._not_before - time.monotonic()
        if wait > _LONGEST_BAN:
            raise Unreachable(
                f"{self.source.exchange} wants no request for {wait / 60:.0f} minutes",
                "what was fetched is kept; run the same command again after that",
            )
        if wait > 0:
            await asyncio.sleep(wait)

    def bar_ms(self, timeframe: str) -> int:
        """Return the length of a bar in ms; a timeframe that the exchange lacks is an `InputError`."""
        return ccxt_bar_ms(self.exchange, timeframe)

    def endpoint(self, what: What, timeframe: str) -> Endpoint:
        """Return how the exchange is asked for `what` in bars of `timeframe`; see `market.endpoints.ccxt_endpoint`."""
        return ccxt_endpoint(self.exchange, self.source.market, what, timeframe)

    def market_of(self, symbol: str) -> dict[str, Any]:
        """Return ccxt's description of `symbol`: BTC/USDT, BTC/USDT:USDT, or the exchange's own name, BTCUSDT."""
        markets = self.exchange.markets
        named = [markets[name] for name in (symbol, f"{symbol}:{symbol.rpartition('/')[2]}") if name in markets]
        found = [market for market in [*named, *self.exchange.markets_by_id.get(symbol, [])] if self._ours(market)]
        if found:
            return dict(found[0])
        base = symbol.partition("/")[0]
        like = [name for name, market in markets.items() if self._ours(market) and name.partition("/")[0] == base][:8]
        kind = "spot market" if self.source.market == "spot" else "perpetual settled in its quote currency"
        raise InputError(f"{self.source.exchange} has no {kind} {symbol}", f"it has {', '.join(like)}" if like else "")

    def _ours(self, market: Mapping[str, Any]) -> bool:
        return bool(market["spot"]) if self.source.market == "spot" else bool(market["swap"] and market["linear"])

    async def top(self, count: int, quote: str) -> list[str]:
        """Return the `count` symbols with the most money traded in the last day, coins that stand for money left out.

        Raises
        ------
        InputError
            When the exchange has no such list, or no market in `quote`.
        """
        tickers = await self.ask("its list of prices", lambda: self.exchange.fetch_tickers())
        money = {}
        for symbol, ticker in tickers.items():
            market = self.exchange.markets.get(symbol)
            if market is None or not self._ours(market) or market["quote"] != quote or market["base"] in MONEY:
                continue
            if market.get("active") is not False:
                money[symbol] = float(ticker.get("quoteVolume") or 0.0)
        if not money:
            raise InputError(f"{self.source.exchange} trades nothing in {quote} ({self.source.market})")
        return sorted(money, key=lambda symbol: (-money[symbol], symbol))[:count]


def _refuse_final(name: str, error: Exception) -> None:
    found = re.search(r"https?://\S+ (\d{3}) ", str(error))
    if found and found[1] in _FINAL:
        raise InputError(f"{name} {_FINAL[found[1]]} (HTTP {found[1]})", "is the address right?") from error


@cache
def _tls(certificates: str) -> ssl.SSLContext:
    """Return what connections are encrypted by, read once: ccxt would read some 150 certificates for each client."""
    import ssl

    return ssl.create_default_context(cafile=certificates)


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(f"--base-url {url!r} is no address", "write http://127.0.0.1:8080 or https://mirror.example")
    return url.rstrip("/")


def _redirect(urls: object, base: str) -> object:
    """Return ccxt's addresses with `base` in the place of scheme and host, paths kept."""
    if isinstance(urls, dict):
        return {key: _redirect(value, base) for key, value in urls.items()}
    return base + urlsplit(str(urls)).path


def _short(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def names(symbols: Sequence[str]) -> str:
    """Return at most eight symbols as text."""
    return ", ".join(symbols[:8]) + (f" and {len(symbols) - 8} more" if len(symbols) > 8 else "")
