"""Windows in which a synthetic market is not itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from market.panel import FloatArray
from market.synthetic.market_spec import MarketSpec, Window

_DEAD = 0.05


@dataclass(frozen=True, eq=False)
class Effects:
    """What windows do to volatility and volume (multiples), correlation (NaN: the regime's) and moves (added).

    All broadcast to (T, N).
    """

    volatility: FloatArray
    volume: FloatArray
    correlation: FloatArray
    shock: FloatArray


def place_windows(spec: MarketSpec, rng: np.random.Generator) -> tuple[Window, ...]:
    """Return the windows of all anomalies: none touches another, each in an equal stretch of time."""
    total = sum(anomaly.count for anomaly in spec.anomalies)
    if not total:
        return ()
    stretch = spec.bars // total
    slots = iter(rng.permutation(total))
    out = []
    for anomaly in spec.anomalies:
        for _ in range(anomaly.count):
            slot = int(next(slots))
            length = min(anomaly.bars, max(1, stretch - 2))
            first = slot * stretch + 1 + int(rng.integers(0, max(1, stretch - length - 1)))
            number = max(1, round(anomaly.share * spec.assets))
            columns = np.sort(rng.permutation(spec.assets)[:number])
            out.append(Window(anomaly.kind, first, first + length, tuple(int(one) for one in columns)))
    return tuple(sorted(out, key=lambda window: window.start))


def effects_of(spec: MarketSpec, windows: Sequence[Window], rng: np.random.Generator) -> Effects:
    """Return what the windows do before and to the returns."""
    if not windows:
        one, none, zero = np.ones((1, 1)), np.full((1, 1), np.nan), np.zeros((1, 1))
        return Effects(one, one, none, zero)
    shape = (spec.bars, spec.assets)
    volatility, volume = np.ones(shape), np.ones(shape)
    correlation, shock = np.full(shape, np.nan), np.zeros(shape)
    sizes = {anomaly.kind: spec.size_of(anomaly) for anomaly in spec.anomalies}
    for window in windows:
        rows, columns = slice(window.start, window.stop), list(window.columns)
        size = sizes[window.kind]
        if window.kind == "burst":
            volatility[rows, columns] *= size
            volume[rows, columns] *= np.sqrt(size)
        elif window.kind == "dead":
            volatility[rows, columns] *= _DEAD
            volume[rows, columns] *= _DEAD
        elif window.kind == "decoupling":
            correlation[rows, columns] = 0.0
        elif window.kind == "herding":
            correlation[rows, columns] = 0.97
        elif window.kind == "volume_surge":
            volume[rows, columns] *= size
        elif window.kind == "flash_crash":
            _crash(shock, volume, window, size, rng)
    return Effects(volatility, volume, correlation, shock)


def _crash(shock: FloatArray, volume: FloatArray, window: Window, size: float, rng: np.random.Generator) -> None:
    """Fall over the first third of the window, take back four fifths over the rest; volume is ten-fold."""
    length = window.stop - window.start
    down = max(1, length // 3)
    depth = np.log1p(-min(size, 0.95)) * rng.uniform(0.8, 1.2, len(window.columns))
    columns = list(window.columns)
    shock[window.start : window.start + down, columns] += depth / down
    if length > down:
        shock[window.start + down : window.stop, columns] -= 0.8 * depth / (length - down)
    volume[window.start : window.stop, columns] *= 10.0


def hold_still(fields: dict[str, FloatArray], windows: Sequence[Window]) -> None:
    """Freeze volumes and prices, in place, where a window says so; after it, prices are where they were going."""
    for window in windows:
        rows, columns = slice(window.start, window.stop), list(window.columns)
        if window.kind == "stuck_volume":
            fields["volume"][rows, columns] = fields["volume"][window.start, columns]
        elif window.kind == "stale":
            last = fields["close"][max(window.start - 1, 0), columns]
            for name in ("open", "high", "low", "close"):
                fields[name][rows, columns] = last


def blank_bars(fields: dict[str, FloatArray], windows: Sequence[Window]) -> None:
    """Leave out, in place, the bars of halts."""
    for window in windows:
        if window.kind == "halt":
            for values in fields.values():
                values[window.start : window.stop, list(window.columns)] = np.nan
