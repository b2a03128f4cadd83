"""A claim on the bars of a panel: its times and assets found there, and at which close each row was known."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent.verify.claim import Claim
from backtest.market_rows import filled
from backtest.trading_rules import Fill
from market.errors import InputError
from market.panel import FloatArray, Panel

Known = Literal["close", "open"]
# Rows off the bars, as a share, that are left out with a note; more of them are refused.
_STRAY = 0.05
# Executions outside of the range of their bars, as a share, that rounding and feeds explain.
_ODD_PRICES = 0.05
# A row is kept for at most this many times the usual distance between rows.
_KEPT = 1.6


_FILLED: Mapping[Fill | None, str] = MappingProxyType(
    {
        "open": "by their prices trades are filled at the open of a bar",
        "close": "by their prices trades are filled at the close of a bar, which decided them: judged at the next fill",
        None: "trades state no prices",
    }
)


@dataclass(frozen=True, eq=False)
class Aligned:
    """A claim on a panel.

    Attributes
    ----------
    values
        (T, N) what was known at the close of each bar: signals, or weights as fractions of capital; NaN is no opinion.
    part
        The bars that it speaks of, from its first row to its last.
    is_signal
        Whether values are signals, which become positions by the trading rules, or are positions themselves.
    fill
        At which price of the next bar executions were made, where their prices show it.
    flaws
        What is wrong with it that makes its figures worthless, a sentence each.
    """

    values: FloatArray
    part: slice
    is_signal: bool
    notes: tuple[str, ...] = ()
    fill: Fill | None = None
    flaws: tuple[str, ...] = ()


def align(claim: Claim, panel: Panel, *, known: Known = "close", leverage: float = 1.0) -> Aligned:
    """Return signals, weights or trades on the bars of a panel.

    Parameters
    ----------
    known
        Whether a row was known at the close of its bar, or at its open already: then the decision is a bar earlier.
    leverage
        Of trades: the largest sum of sizes of positions is taken as this multiple of capital.

    Raises
    ------
    InputError
        Where times or assets are not those of the panel.
    """
    if claim.trades is not None:
        return _of_trades(claim, panel, leverage)
    columns, notes = _columns(claim.assets, panel)
    rows, inside, said = _rows(claim.times, panel)
    notes += said
    values = np.full(panel.shape, np.nan)
    kept = [k for k, column in enumerate(columns) if column >= 0]
    values[rows[:, None], np.array(columns)[kept]] = claim.values[inside[:, None], np.array(kept)]
    values, said = _kept_between(values, rows)
    notes += said
    first, last = int(rows[0]), int(rows[-1])
    if known == "open":
        values = np.vstack([values[1:], np.full((1, values.shape[1]), np.nan)])
        first, last = max(first - 1, 0), max(last - 1, 0)
    notes.append(f"a row is taken as known at the {known} of its bar, and traded after that (--known)")
    return Aligned(values, slice(first, last + 1), claim.kind == "signals", tuple(notes))


def is_matrix_of(columns: Sequence[str], assets: Sequence[str]) -> bool:
    """Whether a table's columns, after the first, are the assets of a claim: C or O are tickers then, no prices."""
    found = set(columns[1:]) & set(assets)
    return len(found) >= 2 and 2 * len(found) >= len(set(assets))


def _plain(name: str) -> str:
    return re.sub(r"[^A-Z0-9.]", "", name.upper().split(":")[0])


def _columns(assets: tuple[str, ...], panel: Panel) -> tuple[list[int], list[str]]:
    """Return the panel's column of each asset, -1 where it has none, and what was assumed."""
    exact = {name: k for k, name in enumerate(panel.assets)}
    loose: dict[str, int] = {}
    for k, name in enumerate(panel.assets):
        loose.setdefault(_plain(name), k)
    found = [exact.get(name, loose.get(_plain(name), -1)) for name in assets]
    missing = [name for name, column in zip(assets, found, strict=True) if column < 0]
    placed = [column for column in found if column >= 0]
    if len(set(placed)) < len(placed):
        twice = next(name for name, column in zip(assets, found, strict=True) if found.count(column) > 1)
        raise InputError(f"two columns are the asset {twice}", "keep one")
    if 2 * len(missing) > len(assets):
        close = difflib.get_close_matches(missing[0], panel.assets, n=2, cutoff=0.4)
        raise InputError(
            f"{len(missing)} of {len(assets)} assets are not in {panel.name}: {', '.join(missing[:4])}",
            f"it has {', '.join(close or panel.assets[:4])}: rename those of the file, or choose other data",
        )
    notes = [f"left out, as {panel.name} has no {', '.join(missing[:6])}"] if missing else []
    others = [a for a, column in zip(assets, found, strict=True) if column >= 0 and a not in exact]
    if others:
        notes.append(f"{others[0]} is taken as {panel.assets[found[assets.index(others[0])]]} (names without signs)")
    return found, notes


def _rows(times: NDArray[np.datetime64], panel: Panel) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return panel rows, the claim's rows that lie on them, and what was left out."""
    within = (times >= panel.times[0]) & (times <= panel.times[-1])
    if not within.any():
        raise InputError(
            f"no row lies within {panel.name}: rows are of {_date(times[0])} to {_date(times[-1])}, bars of "
            f"{_date(panel.times[0])} to {_date(panel.times[-1])}",
            "choose other data, or correct the dates",
        )
    place = np.searchsorted(panel.times, times)
    on = within & (panel.times[np.minimum(place, len(panel.times) - 1)] == times)
    stray = np.flatnonzero(within & ~on)
    if len(stray) > _STRAY * within.sum():
        first = str(times[stray[0]])[:16].replace("T", " ")
        raise InputError(
            f"{len(stray)} of {int(within.sum())} rows lie on no bar of {panel.name}, the first at {first}",
            "times are those at which bars open, in UTC: say --zone, or write the times of the bars",
        )
    notes = [f"{len(stray)} rows on no bar are left out, the first {_date(times[stray[0]])}"] if len(stray) else []
    outside = int((~within).sum())
    if outside:
        notes.append(f"{outside} rows before the first bar or after the last are not judged")
    kept = np.flatnonzero(on)
    return place[kept], kept, notes


def _kept_between(values: FloatArray, rows: NDArray[np.int64]) -> tuple[FloatArray, list[str]]:
    """Carry each row on to the next where rows are usually more than a bar apart."""
    steps = np.diff(rows)
    usual = int(np.median(steps)) if len(steps) else 1
    if usual <= 1:
        return values, []
    out, longest = values.copy(), int(_KEPT * usual)
    for start, stop in zip(rows, [*rows[1:], rows[-1] + usual], strict=True):
        out[start : min(stop, start + longest, len(out))] = values[start]
    return out, [f"a row stands for about {usual} bars: it is kept until the next"]


def _of_trades(claim: Claim, panel: Panel, leverage: float) -> Aligned:
    """Return the positions that executions lead to, as fractions of the most capital that they ever bound."""
    trades = claim.trades
    assert trades is not None
    names = tuple(dict.fromkeys(trades["symbol"]))
    if names == ("",) or (len(names) == 1 and len(panel.assets) == 1):
        if len(panel.assets) != 1:
            raise InputError("the trades name no asset, and the data have several", "say which: --assets NAME")
        columns: dict[str, int] = {names[0]: 0}
        notes: list[str] = []
    else:
        found, notes = _columns(names, panel)
        columns = dict(zip(names, found, strict=True))
    times = trades["ts"].to_numpy(dtype="datetime64[ns]")
    column = np.array([columns[name] for name in trades["symbol"]])
    bars = np.searchsorted(panel.times, times, side="right") - 1
    # What lies after the end of the last bar is on no bar.
    use = (column >= 0) & (bars >= 0) & (times < panel.times[-1] + panel.bar)
    if not use.any():
        raise InputError(
            f"no trade lies within {panel.name}, whose bars are of {_date(panel.times[0])} to {_date(panel.times[-1])}",
            "choose other data, or correct the dates",
        )
    if not use.all():
        notes.append(f"{int((~use).sum())} of {len(use)} executions are not on the data's bars and assets: left out")
    price, size = (trades[name].to_numpy(dtype=float)[use] for name in ("price", "size"))
    bars, column, exact = bars[use], column[use], (times == panel.times[np.maximum(bars, 0)])[use]
    fill = _filled_at(price, panel["open"][bars, column], panel["close"][bars, column])
    # What was filled at a bar's open was decided by the close before; all else, by the close of its bar at the latest.
    decided = np.where(exact & (fill == "open"), bars - 1, bars)
    units = np.zeros(panel.shape)
    np.add.at(units, (np.maximum(decided, 0), column), size)
    notional = np.cumsum(units, axis=0) * np.nan_to_num(filled(panel["close"]))
    gross = np.abs(notional).sum(axis=1)
    capital = float(gross.max()) / leverage
    if not capital > 0:
        raise InputError("the trades lead to no position", "see the sizes and sides of the file")
    notes.append(f"capital is taken as {capital:,.6g}, the most that positions ever bound")
    notes.append(_FILLED[fill])
    part = slice(max(int(decided.min()), 0), min(int(decided.max()) + 1, len(panel.times)))
    flaws = _odd_prices(price, panel["low"][bars, column], panel["high"][bars, column])
    return Aligned(notional / capital, part, False, tuple(notes), fill, flaws)


def _filled_at(price: FloatArray, opened: FloatArray, close: FloatArray) -> Fill | None:
    known = np.isfinite(price) & np.isfinite(opened) & np.isfinite(close)
    if not known.any():
        return None
    to_open, to_close = (np.abs(price / x - 1.0)[known] for x in (opened, close))
    return "open" if float(np.median(to_open)) <= float(np.median(to_close)) else "close"


def _odd_prices(price: FloatArray, low: FloatArray, high: FloatArray) -> tuple[str, ...]:
    known = np.isfinite(price) & np.isfinite(low) & np.isfinite(high)
    odd = known & ((price < low * 0.999) | (price > high * 1.001))
    if odd.sum() <= _ODD_PRICES * max(int(known.sum()), 1):
        return ()
    return (f"{int(odd.sum())} of {int(known.sum())} executions have a price that their bar never had",)


def _date(time: np.datetime64) -> str:
    return str(time)[:10]
