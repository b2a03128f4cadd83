"""Real panels and common factors for the benchmarks of size and power."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from rich.console import Console

from agent.mock.grammar import compose
from backtest.ic import forward_returns
from backtest.nulls import NULLS
from backtest.payoff import rank_payoffs, risk_returns
from factors.parse import parse
from factors.table import STANDARD_FIELDS
from factors.tree import Expression
from market.files import import_files
from market.panel import Calendar, FloatArray, Panel
from market.universe import liquid_universe

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# Factors whose scores are known to go wrong where a null or a statistic is not right.
NAMED = ("-ts_std(returns, 30)", "ts_mean(close * volume, 20)")
# File, calendar, most traded assets kept in the universe (0: all), last bars taken (0: all).
MARKETS: dict[str, tuple[str, Calendar, int, int]] = {
    "coins, daily": ("crypto_spot_1d.parquet", "continuous", 50, 0),
    "S&P 500, daily": ("equity_sp500_1d_2013_2018.parquet", "exchange", 0, 0),
    "coins, hourly": ("crypto_spot_1h.parquet", "continuous", 0, 6_000),
    "perpetuals, daily": ("crypto_perp_1d.parquet", "continuous", 0, 0),
}


def open_panel(title: str, data: Path) -> Panel:
    """Import one of the markets."""
    file, calendar, top, bars = MARKETS[title]
    panel = import_files([data / file], calendar=calendar, repair=True, name=title)
    if bars:
        panel = panel.rows(len(panel.times) - bars, len(panel.times))
    return liquid_universe(panel, top=top) if top else panel


def factors_of(panel: Panel, count: int, seed: int = 0) -> list[Expression]:
    """Return the named factors and further ones of common ideas, `count` in all."""
    rng = np.random.default_rng(seed)
    texts = dict.fromkeys(NAMED)
    while len(texts) < count:
        texts[compose(rng, 120)[1]] = None
    found = [parse(text, fields=STANDARD_FIELDS, bar=panel.bar) for text in texts]
    return [one for one in found if isinstance(one, Expression)]


@dataclass(frozen=True, eq=False)
class PayingMarket:
    """A panel that signals are scored against, and the rows that are scored."""

    panel: Panel
    part: slice

    @cached_property
    def forward(self) -> FloatArray:
        """(T, N) returns between fills."""
        return forward_returns(self.panel, 1)

    @cached_property
    def _risk(self) -> np.ndarray:
        return risk_returns(self.panel, self.forward)

    def masked(self, values: FloatArray) -> FloatArray:
        """Return values within the universe."""
        return np.where(self.panel.universe, values, np.nan)

    def payoffs(self, values: FloatArray) -> FloatArray:
        """Return the payoffs of a signal (T, N) on the scored rows."""
        return rank_payoffs(self.masked(values), self.forward, self._risk)[self.part]


def market_of(panel: Panel) -> PayingMarket:
    """Return a panel to score against; the last two bars pay nothing."""
    return PayingMarket(panel, slice(0, len(panel.times) - 2))


Tables = Callable[[argparse.Namespace, Console], object]


def run_tables(
    name: str, doc: str | None, argv: Sequence[str] | None, sizes: dict[str, tuple[int, int]], tables: dict[str, Tables]
) -> None:
    """Parse the options of a benchmark of size or power, print its tables, and one JSON line.

    `sizes` holds repetitions of drawn returns and panels of real markets, ``quick`` and ``full``; `tables` are
    ``drawn`` and ``real``.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=list(tables), help="This table alone.")
    parser.add_argument("--market", choices=list(MARKETS), action="append", help="Real: this market alone.")
    parser.add_argument("--repetitions", type=int, help="Drawn: repetitions.")
    parser.add_argument("--trials", type=int, action="append", help="Drawn: cells of this many trials alone.")
    parser.add_argument("--bars", type=int, action="append", help="Drawn: cells of this many bars alone.")
    parser.add_argument("--null", choices=list(NULLS), action="append", help="Noise, real: this kind alone.")
    parser.add_argument("--panels", type=int, help="Real: panels of each kind.")
    parser.add_argument("--factors", type=int, help="Real: common factors.")
    parser.add_argument("--data", type=Path, default=DATA)
    args = parser.parse_args(argv)
    repetitions, panels = sizes["quick" if args.quick else "full"]
    args.repetitions, args.panels = args.repetitions or repetitions, args.panels or panels
    args.factors = args.factors or (12 if args.quick else 24)
    args.market = args.market or (["coins, daily"] if args.quick else list(MARKETS))
    console = Console(width=150)
    figures: dict[str, object] = {"benchmark": name, "panels": args.panels, "repetitions": args.repetitions}
    for kind, table in tables.items():
        if args.only not in (None, kind):
            continue
        if kind == "real" and not args.data.is_dir():
            console.print(f"no folder {args.data}: the tables of real markets are left out")
            continue
        figures[kind] = table(args, console)
    print(json.dumps(figures))
