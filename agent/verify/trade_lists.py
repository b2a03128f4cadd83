"""Lists of trades, as backtest programs write them, as executions: a time, an asset, a signed size and a price."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from market.columns import find, plain_name
from market.errors import InputError
from market.reading.conventions import FileConventions
from market.reading.times import parse_times

# Names as `plain_name` writes them, without blanks; of vectorbt, backtesting.py, backtrader, freqtrade, exchanges.
_SIZE = ("size", "amount", "quantity", "qty", "shares", "units", "filled")
_PRICE = ("price", "avg_price", "fill_price", "rate")
_SIDE = ("side", "direction", "action")
_ENTRY = ("entrytime", "entry_timestamp", "entry_time", "open_date", "entry_date", "opened")
_EXIT = ("exittime", "exit_timestamp", "exit_time", "close_date", "exit_date", "closed")
_ENTRY_PRICE = ("entryprice", "avg_entry_price", "entry_price", "open_rate")
_EXIT_PRICE = ("exitprice", "avg_exit_price", "exit_price", "close_rate")
_SYMBOL = ("symbol", "pair", "ticker", "asset", "column", "instrument")
_SHORT = frozenset({"sell", "short", "s", "sold", "-1", "true"})
_LONG = frozenset({"buy", "long", "b", "bought", "1", "false"})


def are_trades(table: pd.DataFrame) -> bool:
    """Whether a table's columns are those of a list of trades: a size, and a price or an entry and an exit."""
    names = _named(table)
    if _one(names, _SIZE) is None:
        return False
    return _one(names, _PRICE) is not None or (_one(names, _ENTRY) is not None and _one(names, _EXIT) is not None)


def read_trades(
    table: pd.DataFrame, reading: FileConventions, where: Path, tell: Callable[[str], None]
) -> pd.DataFrame:
    """Return executions (``ts``, ``symbol``, ``size``, ``price``), ordered by time.

    A trade with an entry and an exit is two executions; one that is open still is its entry alone. Sizes are signed by
    a column of sides where there is one, else by themselves.

    Raises
    ------
    InputError
        For a table without sizes or times, sizes that are no numbers, sides that are not known, and rows that repeat.
    """
    names = _named(table)
    size = _one(names, _SIZE)
    if size is None:
        raise InputError(f"{where} has no column of sizes", f"it has {', '.join(map(str, table.columns[:15]))}")
    sizes = pd.to_numeric(table[size], errors="coerce")
    if sizes.isna().any():
        raise InputError(f"{where}: {int(sizes.isna().sum())} sizes are missing or text", f"see its column {size!r}")
    signed = sizes * _signs(table, names, where)
    symbol = _one(names, _SYMBOL)
    labels = pd.Series("", index=table.index) if symbol is None else table[symbol].astype(str)
    entry, leave = _one(names, _ENTRY), _one(names, _EXIT)
    if entry is not None and leave is not None:
        legs = [(entry, 1.0, _one(names, _ENTRY_PRICE)), (leave, -1.0, _one(names, _EXIT_PRICE))]
        tell(f"read as {len(table)} trades with entry and exit")
    else:
        stamp = find(table, "ts", reading.columns) or str(table.columns[0])
        legs = [(stamp, 1.0, _one(names, _PRICE))]
        tell(f"read as {len(table)} executions")
    parts = [_leg(table, (labels, signed * sign), leg, price, reading, where) for leg, sign, price in legs]
    rows = pd.concat(parts, ignore_index=True).dropna(subset=["ts"])
    if len(parts) == 1:
        again = table.duplicated()
        if again.any():
            raise InputError(f"{where}: {int(again.sum())} rows are written twice", "keep each execution once")
    ordered: pd.DataFrame = rows.sort_values("ts", kind="stable", ignore_index=True)
    return ordered


def _leg(
    table: pd.DataFrame,
    sized: tuple[pd.Series, pd.Series],
    stamp: str,
    price: str | None,
    reading: FileConventions,
    where: Path,
) -> pd.DataFrame:
    column = table[stamp]
    known = column.notna() & (column.astype(str).str.strip() != "")
    times = pd.Series(pd.NaT, index=table.index, dtype="datetime64[ns]")
    if known.any():
        read = parse_times(column[known], where, reading.zone or "UTC", reading.times)
        times[known] = (read.dt.tz_localize(None) if read.dt.tz is not None else read).to_numpy("datetime64[ns]")
    prices = np.full(len(table), np.nan) if price is None else pd.to_numeric(table[price], errors="coerce").to_numpy()
    return pd.DataFrame({"ts": times, "symbol": sized[0], "size": sized[1], "price": prices})


def _signs(table: pd.DataFrame, names: dict[str, str], where: Path) -> pd.Series:
    """Return 1 or -1 for each row, by a column of sides; 1 where there is none."""
    column = _one(names, (*_SIDE, "is_short"))
    if column is None or pd.api.types.is_float_dtype(table[column]):
        return pd.Series(1.0, index=table.index)
    words = table[column].astype(str).str.strip().str.lower()
    unknown = sorted(set(words) - _SHORT - _LONG)
    if unknown:
        raise InputError(f"{where}: {column!r} says {unknown[0]!r}", "write buy or sell, long or short")
    if (pd.to_numeric(table[_one(names, _SIZE)], errors="coerce") < 0).any():
        raise InputError(f"{where}: sizes are negative and {column!r} gives sides too", "say the side once")
    return words.isin(_SHORT).map({True: -1.0, False: 1.0})


def _named(table: pd.DataFrame) -> dict[str, str]:
    return {plain_name(name).replace(" ", "_"): str(name) for name in table.columns}


def _one(names: dict[str, str], wanted: tuple[str, ...]) -> str | None:
    return next((names[name] for name in wanted if name in names), None)
