"""Controls: markets in which nothing can be predicted, and markets in which it is known what can.

A control changes what signals are scored against, never what they are computed from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backtest.ic import centred_rows, forward_returns, rank_ic
from backtest.market_rows import filled
from backtest.trading_rules import Fill
from market.errors import InputError
from market.panel import FloatArray, Panel
from market.ranking import average_ranks

_PRICES = ("open", "high", "low", "close")
_START = 100.0


def block_order(length: int, block: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (length,) row numbers: blocks of `block` consecutive rows in random order, cut at a random place."""
    start = int(rng.integers(length))
    rows = np.roll(np.arange(length), -start)
    blocks = [rows[i : i + block] for i in range(0, length, block)]
    return np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])


def permuted(panel: Panel, block: int, rng: np.random.Generator) -> Panel:
    """Return the panel with its bars in another order: blocks of them, all assets together.

    Prices are chained again from each bar's own moves, so returns keep their size, their tails, their clusters within a
    block and what assets have in common; scored against it, a signal computed from the true panel predicts nothing.
    The universe stays as it was: it belongs to the signal.
    """
    order = block_order(len(panel.times), block, rng)
    close = filled(panel["close"])
    before = np.vstack([np.full((1, close.shape[1]), np.nan), close[:-1]])
    with np.errstate(all="ignore"):
        gap, through = panel["open"] / before, panel["close"] / panel["open"]
        shapes = {name: panel[name] / panel["open"] for name in ("high", "low")}
    gap = np.where(np.isfinite(gap), gap, 1.0)[order]
    traded = np.isfinite(panel["open"])[order]
    moved = np.where(np.isfinite(through), through, 1.0)[order]
    step = np.where(traded, gap * moved, 1.0)
    last = _START * np.cumprod(step, axis=0)
    opened = np.vstack([np.full((1, close.shape[1]), _START), last[:-1]]) * gap
    fields = {name: values[order] for name, values in panel.fields.items() if name not in _PRICES}
    fields["open"] = np.where(traded, opened, np.nan)
    fields["close"] = np.where(traded, last, np.nan)
    for name, shape in shapes.items():
        fields[name] = np.where(traded, opened * shape[order], np.nan)
    # What was traded in a bar stays the same amount of money.
    fields["volume"] = np.where(traded, (panel["volume"] * panel["close"])[order] / last, np.nan)
    return replace(panel, fields=fields)


@dataclass(frozen=True, eq=False)
class PlantedSignal:
    """A panel with a planted signal: its effect on a bar's return, in deviations of that bar, and what it measures."""

    panel: Panel
    strength: float
    rank_ic: float


def plant_signal(panel: Panel, values: FloatArray, rank_ic_wanted: float, fill: Fill = "open") -> PlantedSignal:
    """Return the panel with returns moved so that `values` (T, N) has the mean rank IC that is wanted.

    The return between the fills of t+1 and t+2 gains a multiple of the assets' standardised ranks by the signal at t,
    in units of the bar's deviation of returns. All else about prices stays as it was.

    Raises
    ------
    InputError
        When no multiple gives that IC.
    """
    signal = np.where(panel.universe, values, np.nan)
    forward = forward_returns(panel, 1, fill)
    ranks = centred_rows(average_ranks(signal))
    with np.errstate(all="ignore"):
        score = np.nan_to_num(ranks / _deviation(signal, ranks))
    spread = _deviation(forward, centred_rows(forward))

    def measured(strength: float) -> float:
        return _mean(rank_ic(signal, forward + strength * spread * score))

    low, high = -1.0, 1.0
    if not measured(low) < rank_ic_wanted < measured(high):
        raise InputError(f"a rank IC of {rank_ic_wanted:g} cannot be planted on this signal", "use another signal")
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if measured(middle) < rank_ic_wanted else (low, middle)
    strength = 0.5 * (low + high)
    with np.errstate(all="ignore"):
        lift = np.where(np.isfinite(forward), (1.0 + forward + strength * spread * score) / (1.0 + forward), 1.0)
    level = np.ones(panel.shape)
    level[2:] = np.cumprod(np.maximum(lift, 1e-3), axis=0)[:-2]
    fields = {name: panel[name] * level for name in _PRICES}
    moved = panel.with_fields(fields)
    return PlantedSignal(moved, strength, _mean(rank_ic(signal, forward_returns(moved, 1, fill))))


def _deviation(x: FloatArray, gap: FloatArray) -> FloatArray:
    """Return (T, 1) the deviation over each bar of values whose distances from the mean are known."""
    count = np.maximum(np.isfinite(x).sum(axis=1, keepdims=True), 1)
    spread: FloatArray = np.sqrt((gap**2).sum(axis=1, keepdims=True) / count)
    return spread


def _mean(series: FloatArray) -> float:
    known = series[np.isfinite(series)]
    return float(known.mean()) if len(known) else float("nan")
