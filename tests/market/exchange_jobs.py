"""Fetches from the simulated exchange, and the comparison of what arrived with its source."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market.exchange import Client, Venue
from market.fetch import Fetched, Job, run
from market.panel import Panel
from tests.market.exchange_data import HOUR, Table, invented
from tests.market.exchange_server import Exchange

START = int(pd.Timestamp("2024-01-01", tz="UTC").timestamp() * 1000)
MARKET = invented(START)
# Half an hour into the 2 591st bar, as the server has it; this machine's clock is years away.
NOW = START + 2590 * HOUR + HOUR // 2
SYMBOLS = ("AAA/USDT", "BBB/USDT", "CCC/USDT", "DDD/USDT")
BOTH = pytest.mark.parametrize("exchange", ["bybit", "binance"])
FIELDS = ("open", "high", "low", "close", "volume", "amount")


def job(server: Exchange, exchange: str, market: str = "spot", **more: object) -> Job:
    source = Venue(exchange, market, server.url)  # type: ignore[arg-type]
    plain = Job(source, SYMBOLS, "1h", START - 1000 * HOUR)
    return replace(plain, **more)  # type: ignore[arg-type]


def fetch(wanted: Job, raw: Path, *, retries: int = 8, **options: object) -> list[Fetched]:
    async def go() -> list[Fetched]:
        rng = np.random.default_rng(0)
        async with Client(wanted.source, rng, paced=False, retries=retries, first_pause=0.005) as client:
            return await run(wanted, client, raw, lambda _done, _all: None, **options)  # type: ignore[arg-type]

    return asyncio.run(go())


def stamps(panel: Panel) -> np.ndarray:
    return panel.times.astype("datetime64[ms]").astype(np.int64)


def assert_equals_source(panel: Panel, tables: Mapping[str, Table], since: int, until: int) -> int:
    """The panel holds what the source has in [since, until): every bar, every value, and nothing else."""
    seen = 0
    for symbol, table in tables.items():
        there = (table.stamps >= since) & (table.stamps + HOUR <= until)
        column = next(i for i, asset in enumerate(panel.assets) if asset.startswith(symbol.removesuffix("USDT") + "/"))
        here = np.isfinite(panel["close"][:, column])
        np.testing.assert_array_equal(stamps(panel)[here], table.stamps[there])
        for k, name in enumerate(FIELDS):
            np.testing.assert_array_equal(panel[name][here, column], table.values[there, k])
            assert np.isnan(panel[name][~here, column]).all()
        np.testing.assert_array_equal(panel.universe[:, column], here)
        seen += int(there.sum())
    assert seen == int(np.isfinite(panel["close"]).sum())
    return seen
