"""Windows of channels: what a model reads at one asset and bar, normalised by what was known when it was trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatGrid = NDArray[np.float32]
Places = NDArray[np.int64]

# A normalised channel beyond this many deviations says no more.
_CLIP = 5.0
# At the newest bar at least this share of channels must be known: else there is nothing to tell.
LEAST_KNOWN = 0.5
# Of a normal distribution, a deviation is this many median absolute deviations.
_MAD = 1.4826


@dataclass(frozen=True, eq=False)
class Scaling:
    """What channels are normalised by: (C,) medians and robust deviations of training rows, pooled over assets."""

    centre: FloatGrid
    width: FloatGrid

    @classmethod
    def of(cls, values: FloatGrid, known: NDArray[np.bool_]) -> Scaling:
        """Measure (N, T, C) values where (N, T) says; a channel never known there is centred on 0.

        The width is the median absolute deviation, made comparable with a normal's deviation; where more than half of
        the values are one, the standard deviation; where all are, 1.
        """
        count = values.shape[2]
        centre, width = np.zeros(count, np.float32), np.ones(count, np.float32)
        for channel in range(count):
            seen = values[:, :, channel][known]
            seen = seen[np.isfinite(seen)].astype(np.float64)
            if not len(seen):
                continue
            centre[channel] = np.median(seen)
            spread = float(_MAD * np.median(np.abs(seen - np.median(seen)))) or float(seen.std())
            width[channel] = spread if spread > 0 else 1.0
        return cls(centre, width)

    def applied(self, values: FloatGrid) -> FloatGrid:
        """Return (N, T, C + 1): channels in deviations, clipped at 5, 0 where unknown; last, the share known."""
        scaled = (values - self.centre) / self.width
        known = np.isfinite(scaled)
        out = np.empty((*values.shape[:2], values.shape[2] + 1), np.float32)
        out[:, :, :-1] = np.where(known, np.clip(scaled, -_CLIP, _CLIP), 0.0)
        out[:, :, -1] = known.mean(axis=2)
        return out


@dataclass(frozen=True, eq=False)
class Windows:
    """Many windows of one grid of channels, each ending at a place; they are cut out when asked for.

    Attributes
    ----------
    grid
        (N, T, C) normalised channels without NaN; the last one is the share of channels known.
    assets, bars
        (M,) where each window ends: column and row of the panel. A model that reads other things (texts) finds
        them by these.
    length
        Bars of a window. One that would begin before the first bar is padded on the left with zeros, so that the
        newest bar is always its last.
    """

    grid: FloatGrid
    assets: Places
    bars: Places
    length: int

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.bars)

    @property
    def channels(self) -> int:
        """Channels of a window, the share known included."""
        return int(self.grid.shape[2])

    def take(self, rows: Places | slice) -> Windows:
        """Return some of them."""
        return Windows(self.grid, self.assets[rows], self.bars[rows], self.length)

    def values(self, rows: Places | slice = slice(None)) -> FloatGrid:
        """Return (B, C, length) windows, oldest bar first."""
        assets, bars = self.assets[rows], self.bars[rows]
        steps = bars[:, None] + np.arange(1 - self.length, 1)
        out: FloatGrid = self.grid[assets[:, None], np.maximum(steps, 0)]
        out[steps < 0] = 0.0
        return out.transpose(0, 2, 1)

    def newest(self) -> FloatGrid:
        """Return (M, C) channels of the newest bar alone: what a model of rows reads."""
        out: FloatGrid = self.grid[self.assets, self.bars]
        return out

    def batches(self, size: int) -> Iterator[FloatGrid]:
        """Yield the windows in their order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self.values(slice(start, start + size))


def seen_places(values: FloatGrid, universe: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (T, N) where a model may say something: in the universe, half of the channels known at the bar."""
    known: NDArray[np.bool_] = np.isfinite(values).mean(axis=2).T >= LEAST_KNOWN
    return known & universe
