"""From a frame in one of the shapes that people write to a `Claim`: wide or long, of signals, weights or returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agent.verify.claim import Claim, Kind, refuse_unusable
from agent.verify.trade_lists import are_trades, read_trades
from market.columns import find, plain_name
from market.errors import InputError
from market.files import pandas_frame
from market.reading.conventions import FileConventions
from market.reading.times import parse_times
from market.table_files import read_table

# Names of columns that decide what a table holds, as `plain_name` writes them.
WEIGHT_NAMES = ("weight", "weights", "target_weight", "target_weights", "target", "position", "positions", "w")
SIGNAL_NAMES = ("signal", "signals", "score", "factor", "alpha", "pred", "prediction", "predictions", "forecast")
RETURN_NAMES = ("returns", "return", "ret", "rets", "strategy_return", "daily_return", "net_return", "pnl_pct")
EQUITY_NAMES = ("equity", "nav", "portfolio_value", "account_value", "balance", "value")
# Sizes of a row that no weights have, and those that weights have at most.
_CLEARLY_SIGNALS = 3.0
# What programs call a series that has no name.
_UNNAMED = ("0", "group", "none", "unnamed: 1")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class ReadingAs:
    """How a claim is to be read, where its table does not say.

    Attributes
    ----------
    kind
        What the values are; None is found out by names, and asked for where they do not decide it.
    column
        The column of a long table that holds the values; empty is found by its name.
    leverage
        Largest sum of the sizes of a row of weights, as a multiple of capital.
    file
        How the file's text, times and columns are written.
    now
        No row may be later than this; None is the machine's clock.
    """

    kind: Kind | None = None
    column: str = ""
    leverage: float = 1.0
    file: FileConventions = field(default_factory=FileConventions)
    now: np.datetime64 | None = None


def read_claim_file(path: Path, reading: ReadingAs) -> Claim:
    """Read a CSV, Parquet or other table; see `read_claim`."""
    file, text = reading.file, reading.file.text
    if text.header is None and not text.names and _begins_with_a_comma(path):
        # A series of pandas is written with a header that looks like a row of data: ",0".
        file = replace(file, text=replace(text, header=True, skip=0))
    return read_claim(read_table(path, file), reading, path)


def _begins_with_a_comma(path: Path) -> bool:
    try:
        with path.open("rb") as opened:
            return opened.read(1) == b","
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "is it there, and may you read it?") from error


def read_claim(frame: Any, reading: ReadingAs, where: Path = Path("the frame")) -> Claim:  # noqa: ANN401 - any frame
    """Return what a frame of pandas, Polars or Arrow, or a series of pandas, claims.

    Understood are: one column an asset (wide); a time, an asset and a value (long; qlib's predictions); one series of
    returns or of equity; executions, or trades with entry and exit (backtrader, vectorbt, backtesting.py, freqtrade).

    Raises
    ------
    InputError
        For what cannot be read or judged; a sentence each.
    """
    if isinstance(frame, pd.Series):
        frame = frame.to_frame(frame.name if frame.name is not None else "returns")
    table, notes = _flat(pandas_frame(frame), where), list[str]()
    if reading.kind == "trades" or (reading.kind is None and are_trades(table)):
        trades = read_trades(table, reading.file, where, notes.append)
        claim = Claim("trades", np.array([], "datetime64[ns]"), (), np.zeros((0, 0)), tuple(notes), trades)
    else:
        claim = _valued(table, reading, where, notes)
    now = np.datetime64("now", "ns") if reading.now is None else reading.now
    refuse_unusable(claim, str(where), leverage=reading.leverage, now=now)
    return claim


def _flat(frame: pd.DataFrame, where: Path) -> pd.DataFrame:
    """Return a frame with one header row: of several, the level whose names all differ."""
    if not isinstance(frame.columns, pd.MultiIndex):
        return frame
    for level in reversed(range(frame.columns.nlevels)):
        names = [str(column[level]) or str(column[0]) for column in frame.columns]
        if len(set(names)) == len(names):
            return frame.set_axis(names, axis=1)
    raise InputError(f"{where} has {frame.columns.nlevels} header rows", "write one column an asset, with one header")


def _valued(table: pd.DataFrame, reading: ReadingAs, where: Path, notes: list[str]) -> Claim:
    """Read a table of values at times: long, a series, or wide."""
    mapping = reading.file.columns
    stamp = find(table, "ts", mapping) or str(table.columns[0])
    if "ts" not in mapping and pd.api.types.is_float_dtype(table[stamp]):
        # A ticker may be called T.
        stamp = str(table.columns[0])
    symbol = find(table, "symbol", mapping)
    if symbol is not None and pd.api.types.is_numeric_dtype(table[symbol]) and "symbol" not in mapping:
        symbol = None
    times = _times(table[stamp], reading, where, notes.append)
    rest = [str(c) for c in table.columns if c not in (stamp, symbol)]
    table = table.set_axis([str(c) for c in table.columns], axis=1)
    if not rest:
        raise InputError(f"{where} has times and no values", f"it has {', '.join(map(str, table.columns))}")
    if symbol is not None:
        return _long(table, times, symbol, rest, reading, where, notes)
    series = _series(table, rest, reading, notes)
    if series is not None:
        return _returns(times, series, where, notes)
    return _wide(table[rest], times, reading, where, notes)


def _times(column: pd.Series, reading: ReadingAs, where: Path, tell: Tell) -> pd.Series:
    if pd.api.types.is_float_dtype(column) or (pd.api.types.is_integer_dtype(column) and column.abs().max() < 1e6):
        raise InputError(f"{where}: the column {column.name!r} holds no times", "name it: --column ts=COLUMN")
    found: pd.Series = parse_times(column, where, reading.file.zone or "UTC", reading.file.times, tell)
    return found.dt.tz_localize(None) if found.dt.tz is not None else found


def _numbers(column: pd.Series, where: Path) -> pd.Series:
    try:
        return pd.to_numeric(column).astype(float)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{where}: the column {column.name!r} holds text", "numbers only; leave a gap empty"
        ) from error


def _kind_by_name(name: str) -> Kind | None:
    plain = plain_name(name).replace(" ", "_")
    if plain in WEIGHT_NAMES:
        return "weights"
    return "signals" if plain in SIGNAL_NAMES else None


def _long(
    table: pd.DataFrame,
    times: pd.Series,
    symbol: str,
    rest: list[str],
    reading: ReadingAs,
    where: Path,
    notes: list[str],
) -> Claim:
    """Read a row a time and asset."""
    named = [name for name in rest if _kind_by_name(name) is not None]
    column = reading.column or (named[0] if len(named) == 1 else rest[0] if len(rest) == 1 else "")
    if column not in rest:
        said = f"has no column {column!r}" if column else "has several columns of values"
        raise InputError(f"{where} {said}", f"say which holds them: --values COLUMN, of {', '.join(rest[:12])}")
    values = _numbers(table[column], where)
    rows = pd.DataFrame({"ts": times, "symbol": table[symbol].astype(str), "value": values})
    again = rows.duplicated(["ts", "symbol"])
    if again.any():
        first = rows[again].iloc[0]
        raise InputError(
            f"{where}: {int(again.sum())} rows repeat a time and asset, the first {first['symbol']} at {first['ts']}",
            "keep one row for each time and asset",
        )
    matrix = rows.pivot(index="ts", columns="symbol", values="value").sort_index()
    kind = reading.kind or _kind_by_name(column) or _kind_by_size(matrix, where, notes)
    return _claim(kind, matrix, notes)


def _series(table: pd.DataFrame, rest: list[str], reading: ReadingAs, notes: list[str]) -> pd.Series | None:
    """Return the one series of returns that a table has, or None: then its columns are assets."""
    if reading.kind not in (None, "returns"):
        return None
    names = {plain_name(name).replace(" ", "_"): name for name in rest}
    if reading.column in rest:
        return table[reading.column]
    found = next((names[name] for name in RETURN_NAMES if name in names), None)
    if found is not None:
        if "cost" in names and "turnover" in names:
            notes.append(f"returns are {found} less {names['cost']}, as qlib reports them")
            return table[found] - table[names["cost"]]
        return table[found]
    equity = next((names[name] for name in EQUITY_NAMES if name in names), None)
    if equity is not None:
        notes.append(f"returns are the changes of {equity}")
        return table[equity].pct_change().fillna(0.0)
    if len(rest) > 1 or (reading.kind is None and names.keys().isdisjoint(_UNNAMED)):
        return None
    one = pd.to_numeric(table[rest[0]], errors="coerce")
    if reading.kind is None and float(one.min()) > 0.0:
        notes.append("one column above 0 that names no asset: read as equity")
        return one.pct_change().fillna(0.0).rename("returns")
    notes.append("one column that names no asset: read as returns")
    return table[rest[0]]


def _returns(times: pd.Series, series: pd.Series, where: Path, notes: list[str]) -> Claim:
    values = _numbers(series, where)
    _refuse_repeats(times, where)
    frame = pd.DataFrame({str(series.name): values.to_numpy()}, index=pd.DatetimeIndex(times)).sort_index()
    return _claim("returns", frame, notes)


def _wide(frame: pd.DataFrame, times: pd.Series, reading: ReadingAs, where: Path, notes: list[str]) -> Claim:
    if reading.kind == "returns":
        raise InputError(
            f"{where} has {frame.shape[1]} columns, returns are one series",
            f"say which: --values COLUMN, of {', '.join(map(str, frame.columns[:12]))}",
        )
    _refuse_repeats(times, where)
    if not frame.columns.is_unique:
        raise InputError(f"{where}: two columns are named {frame.columns[frame.columns.duplicated()][0]}", "keep one")
    columns = {str(name): _numbers(frame[name], where).to_numpy() for name in frame.columns}
    matrix = pd.DataFrame(columns, index=pd.DatetimeIndex(times)).sort_index()
    if "cash" in matrix and reading.kind in (None, "weights"):
        notes.append("a column of cash: values are money in positions, divided by the whole of a row")
        shares = matrix.div(matrix.sum(axis=1), axis=0).drop(columns="cash")
        return _claim("weights", shares, notes)
    by_name = {kind for part in where.stem.lower().replace("-", "_").split("_") if (kind := _kind_by_name(part))}
    kind = reading.kind or (by_name.pop() if len(by_name) == 1 else _kind_by_size(matrix, where, notes))
    return _claim(kind, matrix, notes)


def _refuse_repeats(times: pd.Series, where: Path) -> None:
    again = times.duplicated()
    if again.any():
        raise InputError(
            f"{where}: {int(again.sum())} rows repeat a time, the first {times[again].iloc[0]}", "keep one row a time"
        )


def _kind_by_size(matrix: pd.DataFrame, where: Path, notes: list[str]) -> Kind:
    """Return what values are that no name decides: too large for weights, or else the reader is asked."""
    sizes = matrix.abs().sum(axis=1)
    if float(sizes.median()) > _CLEARLY_SIGNALS:
        notes.append(f"the sizes of a row add up to {sizes.median():.3g}: read as signals (else say --kind weights)")
        return "signals"
    raise InputError(f"{where}: signals or weights? its names do not say", "say --kind signals or --kind weights")


def _claim(kind: Kind, matrix: pd.DataFrame, notes: list[str]) -> Claim:
    notes.append(f"read as {kind}: {len(matrix)} times, {matrix.shape[1]} column{'s' if matrix.shape[1] > 1 else ''}")
    times = matrix.index.to_numpy(dtype="datetime64[ns]")
    return Claim(kind, times, tuple(map(str, matrix.columns)), matrix.to_numpy(dtype=float), tuple(notes))
