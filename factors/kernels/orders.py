"""Ranks and quantiles over a window.

Short windows compare the newest value with each other one, many assets at a time, or are kept in order. For long ones
the last d - 1 values and the new ones are sorted once for a stretch of bars, and the window slides over that order as
a set of bits: entering and leaving is one bit, a rank is a count of bits, and the cost hardly depends on the window.
All give the same values, since ranks are whole numbers and quantiles are values of the window.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.panel import FloatArray
from market.ranking import TIE, ordered

RANK, QUANTILE = range(2)
_ONE = np.uint64(1)


@njit(cache=True, error_model="numpy", nogil=True)
def ranks(
    x: FloatArray, out: FloatArray, ring: FloatArray, run: FloatArray, work: FloatArray, clock: NDArray[np.int64]
) -> None:
    """Average rank of the newest value among the last d, over d, by comparing. `ring` (d, N), `work` (3, N)."""
    rows, width = x.shape
    d = ring.shape[0]
    low, high, below = work[0], work[1], work[2]
    for row in range(rows):
        place = clock[0]
        now = x[row]
        mine = ring[place]
        for i in range(width):
            value = now[i]
            mine[i] = value
            run[i] = run[i] + 1.0 if value == value else 0.0
            margin = TIE * abs(value)
            low[i] = value - margin
            high[i] = value + margin
            below[i] = 0.0
        age = 0
        while age + 4 <= d:
            a, b, c, e = ring[age], ring[age + 1], ring[age + 2], ring[age + 3]
            for i in range(width):
                floor, top = low[i], high[i]
                count = (1.0 if a[i] < floor else 0.0) + (1.0 if a[i] <= top else 0.0)
                count += (1.0 if b[i] < floor else 0.0) + (1.0 if b[i] <= top else 0.0)
                count += (1.0 if c[i] < floor else 0.0) + (1.0 if c[i] <= top else 0.0)
                count += (1.0 if e[i] < floor else 0.0) + (1.0 if e[i] <= top else 0.0)
                below[i] += count
            age += 4
        while age < d:
            a = ring[age]
            for i in range(width):
                below[i] += (1.0 if a[i] < low[i] else 0.0) + (1.0 if a[i] <= high[i] else 0.0)
            age += 1
        result = out[row]
        for i in range(width):
            result[i] = 0.5 * (below[i] + 1.0) / d if run[i] >= d else np.nan
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def side_by_side(x: FloatArray, ring: FloatArray, lines: FloatArray) -> None:
    """Lay the last d - 1 values and the new ones side by side, an asset a line.

    `ring` (d - 1, N) holds the older values, oldest first, and is moved on; `lines` are (N, d - 1 + rows).
    """
    rows, width = x.shape
    older = ring.shape[0]
    for i in range(width):
        for j in range(older):
            lines[i, j] = ring[j, i]
        for row in range(rows):
            lines[i, older + row] = x[row, i]
    for j in range(older):
        from_new = j + rows - older
        if from_new >= 0:
            for i in range(width):
                ring[j, i] = x[from_new, i]
        else:
            for i in range(width):
                ring[j, i] = ring[j + rows, i]


@njit(cache=True, error_model="numpy", nogil=True)
def slide(
    lines: FloatArray, keys: NDArray[np.int64], out: FloatArray, bits: int, d: int, level: float, mode: int
) -> None:
    """Rank of the newest, or linear quantile, of each window of `lines` (N, d - 1 + rows) by the order of `keys`."""
    width, length = lines.shape
    order = np.empty(length, dtype=np.int64)
    values = np.empty(length, dtype=np.float64)
    place = np.empty(length, dtype=np.int64)
    first = np.empty(length, dtype=np.int64)
    last = np.empty(length, dtype=np.int64)
    present = np.zeros((length >> 6) + 1, dtype=np.uint64)
    spot = level * (d - 1)
    lower = int(np.floor(spot))
    share = spot - lower
    for i in range(width):
        line = lines[i]
        count = ordered(line, keys[i], (1 << bits) - 1, order, values)
        for k in range(count):
            place[order[k]] = k
        if mode == RANK:
            _ties(values, count, first, last)
        present[:] = 0
        inside = 0
        for j in range(length):
            if j >= d and abs(line[j - d]) < np.inf:
                k = place[j - d]
                present[k >> 6] ^= _ONE << np.uint64(k & 63)
                inside -= 1
            if abs(line[j]) < np.inf:
                k = place[j]
                present[k >> 6] ^= _ONE << np.uint64(k & 63)
                inside += 1
            if j < d - 1:
                continue
            row = j - (d - 1)
            if inside < d:
                out[row, i] = np.nan
            elif mode == RANK:
                k = place[j]
                out[row, i] = 0.5 * (_below(present, first[k]) + _below(present, last[k] + 1) + 1.0) / d
            else:
                here = _select(present, lower)
                low = values[here]
                out[row, i] = low + share * (values[_following(present, here)] - low) if share > 0.0 else low


@njit(cache=True, error_model="numpy", nogil=True)
def _ties(values: FloatArray, count: int, first: NDArray[np.int64], last: NDArray[np.int64]) -> None:
    """For each of the ascending values, the first and the last that tie with it."""
    low = 0
    high = 0
    for k in range(count):
        margin = TIE * abs(values[k])
        while values[low] < values[k] - margin:
            low += 1
        high = max(high, k)
        while high + 1 < count and values[high + 1] <= values[k] + margin:
            high += 1
        first[k] = low
        last[k] = high


@njit(cache=True, error_model="numpy", nogil=True)
def _ones(word: np.uint64) -> int:
    """Return how many bits are set."""
    v = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
    v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((v * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, error_model="numpy", nogil=True)
def _below(present: NDArray[np.uint64], place: int) -> int:
    """Return how many bits are set before `place`."""
    word = place >> 6
    count = 0
    for k in range(word):
        count += _ones(present[k])
    return count + _ones(present[word] & ((_ONE << np.uint64(place & 63)) - _ONE))


@njit(cache=True, error_model="numpy", nogil=True)
def _select(present: NDArray[np.uint64], rank: int) -> int:
    """Return the place of the bit before which `rank` are set."""
    word = 0
    while True:
        count = _ones(present[word])
        if rank < count:
            break
        rank -= count
        word += 1
    bits = present[word]
    for _ in range(rank):
        bits &= bits - _ONE
    return (word << 6) + _ones((bits & (~bits + _ONE)) - _ONE)


@njit(cache=True, error_model="numpy", nogil=True)
def _following(present: NDArray[np.uint64], place: int) -> int:
    """Return the place of the next set bit; there is one."""
    word = (place + 1) >> 6
    bits = present[word] & ~((_ONE << np.uint64((place + 1) & 63)) - _ONE)
    while bits == 0:
        word += 1
        bits = present[word]
    return (word << 6) + _ones((bits & (~bits + _ONE)) - _ONE)


@njit(cache=True, error_model="numpy", nogil=True)
def short_quantiles(
    x: FloatArray,
    out: FloatArray,
    ring: FloatArray,
    ascending: FloatArray,
    run: FloatArray,
    work: FloatArray,
    clock: NDArray[np.int64],
    level: float,
) -> None:
    """Linear quantile of the last d values, kept in order: each bar one value leaves and one enters, in one sweep.

    `ring` is (d, N); `ascending` is (d + 1, N), its last row infinite. Both start infinite, and hold infinity for NaN.
    `work` is (3, N).
    """
    rows, width = x.shape
    d = ring.shape[0]
    entering, leaving, below = work[0], work[1], work[2]
    spot = level * (d - 1)
    lower = int(np.floor(spot))
    upper = min(lower + 1, d - 1)
    share = spot - lower
    for row in range(rows):
        place = clock[0]
        now, slot, result = x[row], ring[place], out[row]
        for i in range(width):
            value = now[i] if now[i] < np.inf else np.inf
            run[i] = run[i] + 1.0 if now[i] == now[i] else 0.0
            leaving[i] = slot[i]
            entering[i] = value
            slot[i] = value
            below[i] = -np.inf
        for k in range(d):
            here, above = ascending[k], ascending[k + 1]
            for i in range(width):
                value, new, old, next_one, last_one = here[i], entering[i], leaving[i], above[i], below[i]
                # What lies between the two moves up or down by one. All is computed, then chosen: no branches.
                larger = new if new > value else value
                rising = larger if larger < next_one else next_one
                smaller = new if new < value else value
                falling = smaller if smaller > last_one else last_one
                rising = value if value < old else rising
                falling = value if value > old else falling
                below[i] = value
                here[i] = rising if new >= old else falling
        low, high = ascending[lower], ascending[upper]
        for i in range(width):
            value = low[i] + share * (high[i] - low[i]) if share > 0.0 else low[i]
            result[i] = value if run[i] >= d else np.nan
        clock[0] = place + 1 if place < d - 1 else 0
