"""Bars of a panel put together to longer ones."""

from __future__ import annotations

import numpy as np

from market.errors import InputError
from market.panel import FloatArray, Panel, TimeArray

_DAY = np.timedelta64(1, "D").astype("timedelta64[ns]")
# Fields that add up over the bars; of any other the last value counts.
_SUMS = frozenset({"volume", "amount", "trades", "count", "funding", "taker_buy_volume", "taker_buy_amount"})
# Weeks begin on Monday; the epoch was a Thursday.
_MONDAY = np.timedelta64(4, "D").astype("timedelta64[ns]")


def resample(panel: Panel, bar: np.timedelta64) -> Panel:
    """Return the panel in bars of length `bar`: first open, highest high, lowest low, last close, sums of what adds up.

    A bar begins on the grid of its length in UTC, weeks on Monday, and holds what of it is there; the last one is left
    out unless the panel reaches its end. NaN is passed over; a bar of which all is missing stays missing. An asset is
    in the universe where it was at the last of the bars.

    Raises
    ------
    InputError
        For a length that is no whole number of bars, or that does not divide a day and is no number of days.
    """
    bar = bar.astype("timedelta64[ns]")
    if bar <= panel.bar or bar % panel.bar != np.timedelta64(0, "ns"):
        raise InputError(
            f"bars of {_hours(bar)} are no whole number of bars of {_hours(panel.bar)}", "choose a multiple"
        )
    if bar % _DAY and _DAY % bar:
        raise InputError(f"a day is no whole number of bars of {_hours(bar)}", "choose 2h, 4h, 6h, 8h, 12h, 1d, 7d")
    starts, first = _groups(panel, bar)
    if len(starts) < 2:
        raise InputError(f"the data have fewer than two whole bars of {_hours(bar)}", "choose a shorter bar")
    stop = first[-1]
    fields = {name: _together(name, values[:stop], first[:-1]) for name, values in panel.fields.items()}
    universe = panel.universe[first[1:] - 1]
    return Panel(starts, panel.assets, fields, universe, bar, panel.calendar, panel.name, panel.simulated)


def _groups(panel: Panel, bar: np.timedelta64) -> tuple[TimeArray, np.ndarray]:
    """Return the times of the longer bars, and at which row each begins, with the end of the last."""
    anchor = _MONDAY if bar % (7 * _DAY) == np.timedelta64(0, "ns") else np.timedelta64(0, "ns")
    size, shift = int(bar.astype(np.int64)), int(anchor.astype(np.int64))
    floors = (panel.times.astype(np.int64) - shift) // size * size + shift
    starts, first = np.unique(floors, return_index=True)
    first = np.append(first, len(floors))
    ends = int((panel.times[-1] + panel.bar).astype(np.int64))
    # An exchange's day ends with its session, and its week on Friday.
    closed = 2 * int(_DAY.astype(np.int64)) if bar == 7 * _DAY else size
    early = closed if panel.calendar == "exchange" and bar in (_DAY, 7 * _DAY) else 0
    whole = ends >= int(starts[-1]) + size - early
    if not whole:
        starts, first = starts[:-1], first[:-1]
    return starts.astype("datetime64[ns]"), first


def _together(name: str, values: FloatArray, first: np.ndarray) -> FloatArray:
    known = np.isfinite(values)
    seen = np.logical_or.reduceat(known, first, axis=0)
    if name in _SUMS:
        out: FloatArray = np.add.reduceat(np.where(known, values, 0.0), first, axis=0)
    elif name == "high":
        out = np.maximum.reduceat(np.where(known, values, -np.inf), first, axis=0)
    elif name == "low":
        out = np.minimum.reduceat(np.where(known, values, np.inf), first, axis=0)
    else:
        rows = np.where(known, np.arange(len(values))[:, None], len(values) if name == "open" else -1)
        pick = np.minimum.reduceat(rows, first, axis=0) if name == "open" else np.maximum.reduceat(rows, first, axis=0)
        out = np.take_along_axis(values, np.clip(pick, 0, len(values) - 1), axis=0)
    return np.where(seen, out, np.nan)


def _hours(bar: np.timedelta64) -> str:
    hours = float(bar / np.timedelta64(1, "h"))
    return f"{hours / 24:g} days" if hours >= 24 else f"{hours:g} hours" if hours >= 1 else f"{hours * 60:g} minutes"
