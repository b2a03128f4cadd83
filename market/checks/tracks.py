"""What every check looks at: each asset's bars without the holes, and what the market did meanwhile."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.checks.finding import CheckLimits
from market.panel import FloatArray, Panel, TimeArray

# Median absolute deviation to standard deviation, for a normal.
_NORMAL = 1.4826


@dataclass(frozen=True, eq=False)
class Track:
    """One asset's n bars that have a close, holes left out.

    Attributes
    ----------
    rows
        (n,) rows of the panel.
    open, close, high, low
        (n,) log prices; a missing open is the close before.
    volume
        (n,), NaN where missing.
    excess_open, excess_close
        (n,) log prices less the market's path, the median asset's.
    sigma
        (n,) usual size of a bar's move around it: robust standard deviation, log.
    surge
        (n,) volume over the usual one around it; 1 where volume is missing.
    """

    asset: str
    rows: NDArray[np.intp]
    times: TimeArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    excess_open: FloatArray
    excess_close: FloatArray
    sigma: FloatArray
    surge: FloatArray


def tracks_of(panel: Panel, limits: CheckLimits) -> list[Track]:
    """Return a `Track` for each asset with at least two bars."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = {name: np.log(panel[name]) for name in ("open", "high", "low", "close")}
    for values in logs.values():
        values[~np.isfinite(values)] = np.nan
    at_open, at_close = _market_path(logs["open"], logs["close"])
    tracks = []
    for column, asset in enumerate(panel.assets):
        rows = np.flatnonzero(np.isfinite(logs["close"][:, column]))
        if len(rows) < 2:
            continue
        opened, high, low, close = (logs[name][rows, column] for name in ("open", "high", "low", "close"))
        before = np.concatenate([close[:1], close[:-1]])
        opened = np.where(np.isfinite(opened), opened, before)
        volume = panel["volume"][rows, column]
        moves = np.diff(close, prepend=np.nan)
        usual = _by_block(volume, limits.block)
        with np.errstate(invalid="ignore", divide="ignore"):
            surge = np.where(usual > 0, volume / usual, 1.0)
        tracks.append(
            Track(
                asset=asset,
                rows=rows,
                times=panel.times[rows],
                open=opened,
                high=high,
                low=low,
                close=close,
                volume=volume,
                excess_open=opened - at_open[rows],
                excess_close=close - at_close[rows],
                sigma=usual_move(moves, limits.block),
                surge=np.where(np.isfinite(surge), surge, 1.0),
            )
        )
    return tracks


def usual_move(moves: FloatArray, block: int) -> FloatArray:
    """Return (n,) the robust deviation of moves: of the block, and its neighbours, the largest.

    A coarse tick leaves most moves at zero; the deviation is never below half the mean size of all moves.
    """
    size = np.abs(moves)
    local = _NORMAL * _by_block(size, block)
    overall = float(np.nanmean(np.clip(size, None, 0.5))) if np.isfinite(size).any() else 0.0
    return np.maximum(local, max(0.6 * overall, 1e-6))


def _by_block(values: FloatArray, block: int) -> FloatArray:
    """Return (n,) the largest median of the block of each value and the two beside it."""
    count = max(1, len(values) // block)
    edges = np.linspace(0, len(values), count + 1).astype(int)
    medians = np.array([known_median(values[a:b]) for a, b in itertools.pairwise(edges)])
    padded = np.concatenate([medians[:1], medians, medians[-1:]])
    stacked = np.stack([padded[:-2], padded[1:-1], padded[2:]])
    largest = np.max(np.where(np.isfinite(stacked), stacked, -np.inf), axis=0)
    largest = np.where(np.isfinite(largest), largest, np.nan)
    return np.repeat(largest, np.diff(edges))


def known_median(values: FloatArray) -> float:
    """Return the median of the finite values, as `numpy.median` has it; NaN where there is none.

    Of a few hundred values NumPy's takes many times as long to begin as to sort, and a check asks for thousands.
    """
    known = np.sort(values[np.isfinite(values)])
    count = len(known)
    return float((known[(count - 1) // 2] + known[count // 2]) / 2) if count else np.nan


def _market_path(opened: FloatArray, close: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the median asset's log path at opens and closes, (T,) each; flat where fewer than five assets moved."""
    before = np.vstack([np.full((1, close.shape[1]), np.nan), close[:-1]])
    gap, move = row_medians(opened - before), row_medians(close - before)
    at_close = np.cumsum(move)
    return at_close - move + gap, at_close


def row_medians(values: FloatArray, least: int = 5) -> FloatArray:
    """Return (T,) medians over assets; 0 where fewer than `least` are known."""
    ranked = np.sort(values, axis=1)
    known = np.isfinite(ranked).sum(axis=1)
    row = np.arange(len(ranked))
    last = max(values.shape[1] - 1, 0)
    low = ranked[row, np.clip((known - 1) // 2, 0, last)]
    high = ranked[row, np.clip(known // 2, 0, last)]
    return np.where(known >= least, (low + high) / 2, 0.0)
