"""Value at risk of ten portfolios on three markets: exceptions as often as meant, and not one after the other.

    python -m benchmarks.risk [--quick] [--json FILE]

Forecasts of the next bar from a portfolio's own past (`backtest.portfolio_risk`), beside its past returns as they were
(historical simulation), on bars that no choice was made on: the validation part of each data set, at 95 % and 99 %. A
case passes when Kupiec's and Christoffersen's tests both have p >= 0.05, expected shortfall when Acerbi and Szekely's
second test has. `--quick` reads the S&P alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from agent.flow.risk_now import activity_of, close_returns, day_slots
from backtest.portfolio_risk import History, forecast_risk
from backtest.risk_tests import check_risk
from backtest.trading_rules import BacktestSpec
from backtest.weights import target_weights
from factors.engine import evaluate_all
from factors.parse import parse
from factors.table import STANDARD_FIELDS
from factors.tree import Expression
from market.files import import_files
from market.panel import FloatArray, Panel
from market.split import make_split

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# Each with the assets that are held alone.
MARKETS = {
    "S&P 500, daily": ("equity_sp500_1d_2013_2018.parquet", ("AAPL", "AMZN", "JPM")),
    "perpetuals, hourly": ("crypto_perp_1h.parquet", ("BTCUSDT", "ETHUSDT", "SOLUSDT")),
    "coins, hourly": ("crypto_spot_1h.parquet", ("BTCUSDT", "ETHUSDT", "SOLUSDT")),
}
FACTORS = {
    "momentum": "ts_returns(close, 24)",
    "reversal": "-returns",
    "reversal of 3": "-ts_returns(close, 3)",
    "low volatility": "-ts_std(returns, 48)",
    "illiquidity": "ts_mean(abs(returns) / (volume * close), 48)",
    "volume": "volume / ts_mean(volume, 48)",
}
LEVELS = (0.05, 0.01)
DRAWS, PAST = 200, 1_500
MONTHS = 12


def portfolios(panel: Panel, alone: tuple[str, ...], returns: FloatArray) -> dict[str, FloatArray]:
    """Return (T,) returns of ten portfolios at each bar, before costs; NaN without a position."""
    count = np.maximum(panel.universe.sum(axis=1, keepdims=True), 1)
    weights = {"the market": panel.universe / count}
    for asset in alone:
        only = np.zeros(panel.shape)
        only[:, panel.assets.index(asset)] = panel.universe[:, panel.assets.index(asset)]
        weights[asset] = only
    expressions = []
    for text in FACTORS.values():
        read = parse(text, fields=(*STANDARD_FIELDS, *panel.fields), bar=panel.bar)
        assert isinstance(read, Expression), read
        expressions.append(read)
    for name, signal in zip(FACTORS, evaluate_all(expressions, panel), strict=True):
        weights[name] = target_weights(np.where(panel.universe, signal.values, np.nan), BacktestSpec())
    return {name: _returns(held, returns) for name, held in weights.items()}


def _returns(weights: FloatArray, returns: FloatArray) -> FloatArray:
    out = np.full(len(weights), np.nan)
    active = np.abs(weights[:-1]).sum(axis=1) > 0
    out[1:] = np.where(active, (weights[:-1] * np.nan_to_num(returns[1:])).sum(axis=1), np.nan)
    return out


def historical(returns: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
    """Return scenarios (R, S): the last returns before each row, as they came."""
    known = np.where(np.isfinite(returns), returns, 0.0)
    count = min(PAST, int(rows[0]))
    windows = np.lib.stride_tricks.sliding_window_view(known, count)
    return windows[rows - count]


def measure(name: str, file: str, alone: tuple[str, ...]) -> list[dict[str, object]]:
    """Return a row for each portfolio, method and level of one market."""
    panel = import_files([DATA / file], name=name, repair=file.startswith("equity"))
    returns = close_returns(panel)
    activity, slots = activity_of(returns), day_slots(panel)[:-1]
    part = make_split(len(panel.times), embargo=48).validation
    found: list[dict[str, object]] = []
    for portfolio, series in portfolios(panel, alone, returns).items():
        rows = np.arange(part.start, part.stop)
        rows = rows[np.isfinite(series[rows])]
        every = max(1, round(panel.bars_per_year / MONTHS))
        begun = time.process_time()
        own = forecast_risk(History(series, activity, slots), rows, every).scenarios()
        seconds = time.process_time() - begun
        for method, scenarios in (("own past, filtered", own), ("past returns", historical(series, rows))):
            for level in LEVELS:
                tested = check_risk(series[rows], scenarios, level, np.random.default_rng(0), draws=DRAWS)
                passed = min(tested.kupiec, tested.christoffersen) >= 0.05
                found.append(
                    {
                        "market": name,
                        "portfolio": portfolio,
                        "method": method,
                        **vars(tested),
                        "passed": passed,
                        "shortfall_passed": tested.shortfall_p >= 0.05,
                        "seconds": seconds,
                    }
                )
    return found


def main() -> None:
    """Measure, and print how many of twenty cases pass on each market."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the S&P alone")
    parser.add_argument("--json", type=Path, help="write all figures")
    options = parser.parse_args()
    found: list[dict[str, object]] = []
    table = Table("market", "method", "both tests", "Kupiec", "Christoffersen", "ES", "failed")
    for name, (file, alone) in list(MARKETS.items())[: 1 if options.quick else None]:
        rows = measure(name, file, alone)
        found += rows
        for method in dict.fromkeys(str(row["method"]) for row in rows):
            own = [row for row in rows if row["method"] == method]
            single = [sum(float(str(row[key])) >= 0.05 for row in own) for key in ("kupiec", "christoffersen")]
            totals = [
                sum(bool(row["passed"]) for row in own),
                *single,
                sum(bool(row["shortfall_passed"]) for row in own),
            ]
            failed = ", ".join(
                f"{row['portfolio']} {1 - float(str(row['level'])):.0%}" for row in own if not row["passed"]
            )
            table.add_row(name, method, *(f"{total} of {len(own)}" for total in totals), failed)
    Console().print(table)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1, default=float), encoding="utf-8")


if __name__ == "__main__":
    main()
