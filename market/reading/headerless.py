"""Names for the columns of a table without a header, from what the columns hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from market.errors import InputError
from market.reading.bar_columns import newest_first, open_gap
from market.reading.layout import cell_kind
from market.reading.recipe import are_ordered_prices, is_amount, numeric_rows

# Rows that decide which of two columns is the open.
_ENOUGH = 20
# Orders of the four prices that sources use.
_ORDERS = (
    ("open", "high", "low", "close"), ("open", "close", "high", "low"), ("low", "high", "open", "close"),
    ("open", "low", "high", "close"), ("high", "low", "open", "close"), ("close", "high", "low", "open"),
)  # fmt: skip


def guess_names(rows: Sequence[Sequence[str]], path: Path) -> tuple[str, ...]:
    """Return a name for each column; what the rows do not decide is an `InputError` that shows how to name them."""
    width = len(rows[0])
    kinds = [_column_kind([row[n] for row in rows]) for n in range(width)]
    table = numeric_rows(rows)
    names = [f"column_{n + 1}" for n in range(width)]
    # Numbers are times in the first column, and in the second behind a ticker.
    firsts = {0} | ({1} if kinds[0] == "text" else set())
    place = next((n for n in range(width) if kinds[n] == "time" or (kinds[n] == "number" and n in firsts)), None)
    if place is None:
        raise _unnamed(path, width, "no column of times")
    names[place] = "ts"
    if place and kinds[place - 1] == "text":
        names[0] = "symbol"
    after = place + 1
    if after < width and (kinds[after] == "time" or _time_of_day(table[:, after], kinds[place], rows[0][after])):
        names[place], names[after] = "date", "time"
        after += 1
    fits = [
        (start, order)
        for start in range(after, min(after + 3, width - 3))
        for order in _ORDERS
        if are_ordered_prices([table[:, start + order.index(name)] for name in ("open", "high", "low", "close")])
    ]
    if not fits:
        raise _no_prices(path, width, width - after)
    start, order = _likeliest(fits, table, rows[0][place], rows[-1][place], path)
    if _swapped(table, start, order, rows[0][place], rows[-1][place]):
        order = tuple({"open": "close", "close": "open"}.get(name, name) for name in order)
    names[start : start + 4] = order
    prices = [table[:, start + order.index(name)] for name in ("open", "high", "low", "close")]
    rest = [n for n in range(start + 4, width) if np.isfinite(table[:, n]).any()]
    late = [n for n in rest if _is_later(table[:, n], table[:, place])]
    for n in late:
        names[n] = "close_time"
    rest = [n for n in rest if n not in late]
    for n in [n for n in rest if _is_between(table[:, n], prices)]:
        names[n] = "vwap"
        rest.remove(n)
    pairs = [(v, m) for v in rest for m in rest if v != m and is_amount(table[:, m], table[:, v], prices)]
    pairs = [pair for pair in pairs if (table[:, pair[0]] > 0).any()]
    if pairs:
        names[pairs[0][0]], names[pairs[0][1]] = "volume", "amount"
    elif rest:
        names[next((n for n in rest[1:] if _adds_up(table[:, rest[0]], table[:, n])), rest[0])] = "volume"
    return tuple(names)


def _likeliest(
    fits: Sequence[tuple[int, tuple[str, ...]]], table: np.ndarray, first: str, last: str, path: Path
) -> tuple[int, tuple[str, ...]]:
    """Return where prices begin and their order: of five columns, those in which a bar opens at the close before."""
    starts = dict(reversed(fits))
    if len(starts) == 1 or len(table) < _ENOUGH:
        return fits[0]
    gaps = {}
    for start, order in starts.items():
        opened, close = (table[:, start + order.index(name)] for name in ("open", "close"))
        backward = newest_first(first, last)
        gaps[start] = min(open_gap(opened, close, backward=backward), open_gap(close, opened, backward=backward))
    near, far = sorted(gaps, key=lambda start: gaps[start])[:2]
    if gaps[near] > 0.7 * gaps[far]:
        raise _unnamed(path, table.shape[1], "more than four columns could be the prices")
    return near, starts[near]


def _no_prices(path: Path, width: int, behind: int) -> InputError:
    if behind in (2, 3):
        return InputError(
            f"{path} has no header, and behind the time {behind} columns: trades or quotes, not bars?",
            "get bars from where it came; if each row is a bar, name the columns, such as --names ts,close,volume",
        )
    return _unnamed(path, width, "no four columns of prices, high and low around open and close")


def _swapped(table: np.ndarray, start: int, order: Sequence[str], first: str, last: str) -> bool:
    """Whether open and close change places: a bar opens near the close before it, the reverse lies far off."""
    if len(table) < _ENOUGH:
        return False
    opened, close = (table[:, start + order.index(name)] for name in ("open", "close"))
    backward = newest_first(first, last)
    return open_gap(close, opened, backward=backward) < 0.5 * open_gap(opened, close, backward=backward)


def _adds_up(sums: np.ndarray, parts: np.ndarray) -> bool:
    """Whether one column is the running sum of another."""
    steps = np.diff(sums)
    return len(steps) > 1 and bool((parts > 0).any()) and float(np.mean(np.isclose(steps, parts[1:]))) > 0.9


def _unnamed(path: Path, width: int, why: str) -> InputError:
    return InputError(
        f"{path} has no header, and {width} columns: {why}",
        "name them with --names, such as --names ts,open,high,low,close,volume, one name a column",
    )


def _column_kind(cells: Sequence[str]) -> str:
    kinds = {cell_kind(cell) for cell in cells} - {"blank"}
    return next(iter(kinds)) if len(kinds) == 1 else "text" if kinds else "blank"


def _time_of_day(column: np.ndarray, before: str, cell: str) -> bool:
    """Whether a column behind a date holds 093000 or 0930."""
    digits = cell.strip()
    if not digits.isdigit() or len(digits) not in (3, 4, 5, 6):
        return False
    known = column[np.isfinite(column)]
    unit = 10_000 if len(digits) > 4 else 100
    rest = (known % unit) / (unit / 100)
    return bool((known < 24 * unit).all() and (rest < 60).all() and (known % 1 == 0).all() and len(digits) in (4, 6))


def _is_later(column: np.ndarray, times: np.ndarray) -> bool:
    """Whether a column holds a second time, soon after the first."""
    with np.errstate(invalid="ignore"):
        return bool(
            np.isfinite(times).all()
            and (times > 1e8).all()
            and (column >= times).all()
            and (column < 1.05 * times).all()
        )


def _is_between(column: np.ndarray, prices: Sequence[np.ndarray]) -> bool:
    """Whether a column lies between low and high, and not on one of the prices throughout: a mean price, no volume."""
    known = np.isfinite(column) & np.isfinite(prices[1] + prices[2])
    inside = (column >= prices[2]) & (column <= prices[1])
    return bool(known.sum() > 1 and inside[known].mean() > 0.95 and (prices[1] > prices[2])[known].any())
