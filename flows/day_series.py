"""The market day by day: its return, its range, and what of its past a forecast of the next day is made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flows.drawdown import market_moves
from market.errors import InputError
from market.panel import FloatArray, Panel, TimeArray

# Days over which ranges are averaged, as in HAR (Corsi 2009), and in which squares of returns lose half their weight.
WINDOWS, HALF_LIVES = (1, 5, 22), (3.0, 11.0, 44.0)
INPUTS = (
    *(f"log range over {days} days" for days in WINDOWS),
    *(f"log of squared returns, half-life {days:g} days" for days in HALF_LIVES),
    "return, in deviations",
    "return over 5 days, in deviations",
    "size of the return, in deviations",
)
_LEAST_RANGE = 1e-6


@dataclass(frozen=True, eq=False)
class DaySeries:
    """A market by day.

    Attributes
    ----------
    times
        (T,) dates of the days, all whole.
    returns, ranges
        (T,) log return of the mean asset, and log of its true range; of bars within a day, the root of summed squares.
    inputs
        (T, K) of `INPUTS`, known at the end of a day; NaN where there is not enough past.
    """

    times: TimeArray
    returns: FloatArray
    ranges: FloatArray
    inputs: FloatArray

    def first(self, days: int) -> DaySeries:
        """Return the first days."""
        return DaySeries(self.times[:days], self.returns[:days], self.ranges[:days], self.inputs[:days])


def market_days(panel: Panel) -> DaySeries:
    """Return the days of a panel's market; days of which bars are missing at either end are left out.

    Raises
    ------
    InputError
        Where a bar is longer than a day.
    """
    if panel.bars_per_year < _LEAST_BARS_PER_YEAR:
        raise InputError("the next day is forecast, and a bar of these data is longer than a day", "use daily bars")
    returns, ranges = market_moves(panel)
    dates = panel.times.astype("datetime64[D]")
    days, begin, count = np.unique(dates, return_index=True, return_counts=True)
    usual = int(np.median(count))
    logs, squares = np.log1p(np.nan_to_num(returns)), np.nan_to_num(ranges) ** 2
    moved, ranged = np.add.reduceat(logs, begin), np.sqrt(np.add.reduceat(squares, begin))
    # The newest day, and the first, may have just begun.
    whole = slice(int(count[0] < usual), len(days) - int(count[-1] < usual))
    # Before the first known return there is none.
    moved[:1] = 0.0
    ranged[0] = ranged[1] if len(ranged) > 1 else ranged[0]
    moved, ranged = moved[whole], np.log(ranged[whole] + _LEAST_RANGE)
    return DaySeries(days[whole], moved, ranged, day_inputs(moved, ranged))


def day_inputs(returns: FloatArray, ranges: FloatArray) -> FloatArray:
    """Return (T, K) `INPUTS` of log returns and log ranges (T,): of each day and those before it alone."""
    spread = np.exp(ranges)
    levels = [np.log(_trailing_mean(spread, days)) for days in WINDOWS]
    squares = [np.log(_fading_mean(returns**2, days) + _LEAST_RANGE**2) for days in HALF_LIVES]
    # In deviations of before the day: the day itself must not be its own measure.
    deviation = np.exp(0.5 * np.concatenate([[np.nan], squares[1][:-1]]))
    moves = [returns / deviation, 5.0 * _trailing_mean(returns, 5) / deviation, np.abs(returns) / deviation]
    found = np.stack([*levels, *squares, *moves], axis=1)
    found[: max(WINDOWS)] = np.nan
    return found


def _trailing_mean(values: FloatArray, days: int) -> FloatArray:
    """Return (T,) the mean of the last `days` values; NaN before there are that many."""
    out = np.full(len(values), np.nan)
    if len(values) >= days:
        out[days - 1 :] = np.lib.stride_tricks.sliding_window_view(values, days).mean(axis=1)
    return out


def _fading_mean(values: FloatArray, half_life: float) -> FloatArray:
    """Return (T,) the mean of values up to each day, whose weights halve every `half_life` days."""
    keep = 0.5 ** (1.0 / half_life)
    total, weight = 0.0, 0.0
    out = np.empty(len(values))
    for k, value in enumerate(values.tolist()):
        total, weight = keep * total + value, keep * weight + 1.0
        out[k] = total / weight
    return out


_LEAST_BARS_PER_YEAR = 200.0
