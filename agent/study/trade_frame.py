"""The trades of a backtest as a table with dates, and their figures by segment: in money where a capital is set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from agent.study.study import Study
from backtest.run import Backtest
from backtest.trade_figures import TradeFigures, trade_figures
from backtest.trade_list import TradeList, trades_of
from market.errors import InputError
from market.panel import FloatArray


@dataclass(frozen=True, eq=False)
class TradeTable:
    """Trades with their dates, newest last, and figures by segment.

    Attributes
    ----------
    frame
        One row a trade; see `framed_trades`.
    figures
        By segment. A trade belongs to the segment in which it was opened; train ends with train, as if no later bar
        were known.
    capital
        What was there at first; amounts are money. 0: amounts are fractions of the capital of their bars.
    bars_per_year
        Of the panel.
    """

    frame: pd.DataFrame
    figures: Mapping[str, TradeFigures]
    capital: float
    bars_per_year: float


def table_of_trades(traded: Backtest, study: Study, *, validation: bool = True) -> TradeTable:
    """Return the trades of a study's train, and of its validation where that is shown."""
    split, capital = study.split, traded.spec.costs.capital
    parts = ("train", "validation") if validation else ("train",)
    figures = {}
    for name in parts:
        part: slice = getattr(split, name)
        stop = part.stop - 2
        found = _trades(traded, study, stop, capital)
        figures[name] = trade_figures(found, stop, found.opened >= part.start)
    return TradeTable(framed_trades(found, study, stop), figures, capital, study.panel.bars_per_year)


def framed_trades(found: TradeList, study: Study, stop: int) -> pd.DataFrame:
    """Return one row a trade, entry and exit at the bar of their fill; a missing exit is a position still there."""
    times = study.panel.times[1 : stop + 1]
    closes = np.append(times, np.datetime64("NaT", "ns"))
    return pd.DataFrame(
        {
            "asset": np.array(study.panel.assets, dtype=object)[found.asset],
            "side": np.where(found.side > 0, "long", "short"),
            "entry": times[found.opened],
            "exit": closes[found.closed],
            "bars": found.closed - found.opened,
            "size": found.size,
            "gross": found.gross,
            "cost": found.cost,
            "net": found.net,
        }
    )


def wealth_before(traded: Backtest, stop: int, capital: float) -> FloatArray:
    """Return (stop,) money just before each fill, from `capital` on; what is earned is traded with, too."""
    growth = np.maximum(1.0 + np.nan_to_num(traded.net[:stop]), 0.0)
    return capital * np.concatenate([[1.0], np.cumprod(growth)[:-1]]) if stop > 0 else np.zeros(0)


def write_trades(table: TradeTable, path: Path) -> None:
    """Write the trades as CSV or Parquet, one row each.

    Raises
    ------
    InputError
        When the file cannot be written, or is neither CSV nor Parquet.
    """
    write_table(table.frame, path)


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV or Parquet, whichever its name says; a name that says neither is an `InputError`."""
    try:
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        elif path.suffix == ".parquet":
            frame.to_parquet(path, index=False)
        else:
            raise InputError(f"{path} is neither .csv nor .parquet", "give the file one of these endings")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}", "choose a place you may write") from error


def _trades(traded: Backtest, study: Study, stop: int, capital: float) -> TradeList:
    wealth = wealth_before(traded, stop, capital) if capital > 0 else None
    return trades_of(traded, study.target.market, study.panel.bars_per_year, stop, wealth)
