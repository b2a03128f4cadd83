"""What the loopback exchange knows: bars, funding and open interest, recorded or invented."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

HOUR = 3_600_000


@dataclass
class Table:
    """Rows of one symbol: (n,) times in ms and (n, k) values, and the same values as they go over the wire."""

    stamps: np.ndarray
    values: np.ndarray
    text: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.text = [[repr(float(x)) for x in row] for row in self.values]


@dataclass
class ExchangeData:
    """What the exchange knows: bars (open, high, low, close, volume, turnover), funding and open interest."""

    spot: dict[str, Table] = field(default_factory=dict)
    swap: dict[str, Table] = field(default_factory=dict)
    funding: dict[str, Table] = field(default_factory=dict)
    interest: dict[str, Table] = field(default_factory=dict)
    dead: frozenset[str] = frozenset()


def _tables(path: Path, columns: list[str], symbols: list[str], since: str, until: str) -> dict[str, Table]:
    frame = pd.read_parquet(path, filters=[("symbol", "in", symbols)])
    frame = frame[(frame.ts >= pd.Timestamp(since, tz="UTC")) & (frame.ts < pd.Timestamp(until, tz="UTC"))]
    tables = {}
    for symbol, own in frame.groupby("symbol", observed=True):
        values = own[columns].to_numpy(dtype=np.float64)
        if "volume" in columns:
            # The recording lacks the turnover; any number of its own will do to see that it arrives.
            values = np.column_stack([values, values[:, 4] * (values[:, 1] + values[:, 2]) / 2])
        tables[str(symbol)] = Table(
            own.ts.dt.tz_localize(None).to_numpy().astype("datetime64[ms]").astype(np.int64), values
        )
    return tables


def recorded(data: Path, symbols: list[str], since: str, until: str, *, dead: tuple[str, ...] = ()) -> ExchangeData:
    """The data of the recorded hours in [since, until)."""
    bars = ["open", "high", "low", "close", "volume"]
    return ExchangeData(
        _tables(data / "crypto_spot_1h.parquet", bars, symbols, since, until),
        _tables(data / "crypto_perp_1h.parquet", bars, symbols, since, until),
        _tables(data / "crypto_funding_binance.parquet", ["funding_rate"], symbols, since, until),
        _tables(data / "crypto_open_interest_bybit_1h.parquet", ["open_interest"], symbols, since, until),
        frozenset(dead),
    )


def invented(start: int, bars: int = 2600, seed: int = 0) -> ExchangeData:
    """Data of four symbols: AAA whole, BBB listed late, CCC with holes, DDD that ends early."""
    rng = np.random.default_rng(seed)
    traded = ExchangeData(dead=frozenset({"DDDUSDT"}))
    lives = {"AAAUSDT": (0, bars), "BBBUSDT": (bars // 5, bars), "CCCUSDT": (0, bars), "DDDUSDT": (0, bars // 2)}
    for symbol, (first, last) in lives.items():
        stamps = start + HOUR * np.arange(first, last)
        if symbol == "CCCUSDT":
            stamps = np.delete(stamps, [*range(50, 53), 400, *range(700, 702), 1500])
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(stamps)))).round(4)
        opened = np.concatenate([[100.0], close[:-1]])
        high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
        volume = rng.exponential(50, len(stamps)).round(3)
        table = Table(stamps, np.column_stack([opened, high, low, close, volume, volume * (high + low) / 2]))
        traded.spot[symbol] = table
        traded.swap[symbol] = table
        due = stamps[stamps % (8 * HOUR) == 0]
        traded.funding[symbol] = Table(due, rng.normal(1e-4, 1e-4, (len(due), 1)))
        traded.interest[symbol] = Table(stamps, rng.exponential(1e5, (len(stamps), 1)))
    return traded
