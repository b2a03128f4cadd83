"""Which data sets are the same market over again: a small sample of a panel's cells, and the share that two have.

A cell is one asset at one bar. Its content is the time, the bar size, and the last two returns from close to close of
the asset. Names of assets and of the data set are not part of it, nor is any price: a split or a dividend that scales
all earlier prices changes one or two cells of an asset. A cell is in the sample when the hash of its content is small
enough (a scaled MinHash: Broder 1997; Irber et al. 2022), so what two samples share estimates what the panels share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.errors import InputError
from market.panel import FloatArray, Panel

# Share of the smaller data set's bars from which on the trials of one count for the other.
RELATED_SHARE = 0.5
# Fewer common cells than this say nothing.
_LEAST_CELLS = 5
_MOST_CELLS = 65_536
# Step of the returns of daily bars; it shrinks with the square root of the bar, as returns do.
_STEP = 2e-4
_DAY_SECONDS = 86_400
_VERSION = b"L1"
# Cells that are turned at once.
_AT_ONCE = 1 << 24
_Hashes = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Signature:
    """A sample of a panel's cells.

    Attributes
    ----------
    halvings
        The sample holds the cells whose hash lies below 2^64 / 2^halvings.
    hashes
        (C,) uint64, ascending and distinct.
    """

    halvings: int
    hashes: _Hashes

    def to_bytes(self) -> bytes:
        """Return it as it is stored: version, halvings, hashes in little endian."""
        return _VERSION + bytes([self.halvings]) + self.hashes.astype("<u8").tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Signature:
        """Read what `to_bytes` wrote; anything else is an `InputError`."""
        head = len(_VERSION) + 1
        if len(stored) < head or not stored.startswith(_VERSION) or (len(stored) - head) % 8:
            raise InputError(
                "the signature of a data set cannot be read", "see what else is damaged: alphaglow kb verify"
            )
        return cls(stored[head - 1], np.frombuffer(stored[head:], dtype="<u8").astype(np.uint64))

    def within(self, halvings: int) -> _Hashes:
        """Return the hashes that a sample of that many halvings, no fewer than its own, would hold."""
        if halvings <= self.halvings:
            return self.hashes
        return self.hashes[: int(np.searchsorted(self.hashes, np.uint64(1 << (64 - halvings))))]


def signature(panel: Panel) -> Signature:
    """Return a sample of a panel's cells, at most 65 536; it does not depend on the order of assets.

    A cell counts when its close and the two finite closes of the asset before it are known, and the close moved.
    Returns are rounded to 2 bp of daily bars, less for shorter bars: prices stored in single precision, or scaled, give
    the same cells but for one in some hundred, and prices rounded to cents most of them.
    """
    known = np.isfinite(panel["close"]).sum()
    halvings = max(0, math.floor(math.log2(max(int(known), 1) / _MOST_CELLS)))
    hashes = np.unique(np.concatenate([np.empty(0, np.uint64), *_sampled_hashes(panel, halvings)]))
    while len(hashes) > _MOST_CELLS:
        halvings += 1
        hashes = Signature(halvings - 1, hashes).within(halvings)
    return Signature(halvings, hashes)


def shared_share(one: Signature, other: Signature) -> float:
    """Return the share of the smaller panel's cells that the other panel has too; NaN where too few are sampled."""
    return max(covered_share(one, other), covered_share(other, one))


def covered_share(one: Signature, other: Signature) -> float:
    """Return the share of the cells of `one` that `other` has too; NaN where either has fewer than 5 in the sample."""
    halvings = max(one.halvings, other.halvings)
    mine, theirs = one.within(halvings), other.within(halvings)
    if min(len(mine), len(theirs)) < _LEAST_CELLS:
        return math.nan
    return len(np.intersect1d(mine, theirs, assume_unique=True)) / len(mine)


def bar_seconds(panel: Panel) -> int:
    """Return the length of a bar in whole seconds."""
    return int(panel.bar / np.timedelta64(1, "s"))


def _sampled_hashes(panel: Panel, halvings: int) -> Iterator[_Hashes]:
    """Return the hashes of each asset's cells that lie in a sample of that many halvings."""
    seconds = bar_seconds(panel)
    step = _STEP * math.sqrt(seconds / _DAY_SECONDS)
    times = panel.times.astype("datetime64[s]").astype(np.int64).astype(np.uint64)
    places = _mixed(times ^ (np.uint64(seconds) << np.uint64(40)))
    largest = np.uint64((1 << (64 - halvings)) - 1)
    close = panel["close"]
    # Some assets at a time, each of which lies together then: a panel on disk is read by bars.
    several = max(1, _AT_ONCE // max(1, len(close)))
    blocks = (close[:, at : at + several].T for at in range(0, close.shape[1], several))
    assets = (prices for block in blocks for prices in np.ascontiguousarray(block))
    for prices in assets:
        rows = np.flatnonzero(np.isfinite(prices) & (prices > 0))
        hashes = _cell_hashes(prices[rows], places[rows], step)
        yield hashes[hashes <= largest]


def _cell_hashes(prices: FloatArray, places: _Hashes, step: float) -> _Hashes:
    """Return the hash of each cell of an asset that counts, from its known closes and the hashes of their times."""
    if len(prices) < 3:
        return np.empty(0, np.uint64)
    # A bad tick is no reason to overflow.
    steps = np.clip(np.rint((prices[1:] / prices[:-1] - 1.0) / step), -(2.0**40), 2.0**40).astype(np.int64)
    moved = steps[1:] != 0
    now, before = steps[1:][moved].astype(np.uint64), steps[:-1][moved].astype(np.uint64)
    content = (now * np.uint64(0x9E3779B97F4A7C15)) ^ (before * np.uint64(0xD6E8FEB86659FD93))
    return _mixed(places[2:][moved] ^ content)


def _mixed(values: _Hashes) -> _Hashes:
    """Return each number scrambled: the finalizer of SplitMix64 (Steele, Lea & Flood 2014)."""
    mixed = values ^ (values >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
