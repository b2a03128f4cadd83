"""Extremes over a window: their size in blocks (see `kernels.sums`), their age from a monotonic queue."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.panel import FloatArray
from market.ranking import TIE

IntArray = NDArray[np.int64]


@njit(cache=True, error_model="numpy", nogil=True)
def lows(
    x: FloatArray,
    out: FloatArray,
    kept: FloatArray,
    lowest: FloatArray,
    run: FloatArray,
    clock: IntArray,
    sign: float,
) -> None:
    """Smallest (`sign` 1) or largest (-1) of the last d values.

    `kept` is (d + 1, N), its last row infinite; `run` (N,) counts finite values in a row.
    """
    rows, width = x.shape
    d = kept.shape[0] - 1
    for row in range(rows):
        place = clock[0]
        now, result = x[row], out[row]
        if place == 0:
            for back in range(d - 2, 0, -1):
                here, newer = kept[back], kept[back + 1]
                for i in range(width):
                    here[i] = here[i] if here[i] < newer[i] else newer[i]
            for i in range(width):
                lowest[i] = np.inf
        for i in range(width):
            run[i] = run[i] + 1.0 if now[i] == now[i] else 0.0
        raw, older = kept[place], kept[place + 1]
        for i in range(width):
            value = sign * now[i]
            # A NaN is never smaller: it is left to `run` to tell of it.
            value = value if value < np.inf else np.inf
            low = value if value < lowest[i] else lowest[i]
            lowest[i] = low
            raw[i] = value
            low = low if low < older[i] else older[i]
            result[i] = sign * low if run[i] >= d else np.nan
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def share_of_range(low: FloatArray, high: FloatArray, x: FloatArray, out: FloatArray) -> None:
    """(x - low) / (high - low); NaN where the two are equal."""
    a, b, v, result = low.ravel(), high.ravel(), x.ravel(), out.ravel()
    for i in range(len(v)):
        place = (v[i] - a[i]) / (b[i] - a[i])
        result[i] = place if abs(place) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def ages(
    x: FloatArray, out: FloatArray, values: FloatArray, bars: IntArray, ends: IntArray, clock: IntArray, sign: float
) -> None:
    """Bars since the smallest (`sign` 1) or largest (-1) of the last d values; the newest of those that tie with it.

    Values that a later one undercuts can no longer be the smallest: the others form a queue whose front is it. `values`
    and `bars` (N, d) are rings, `ends` (3, N) holds front, length, and the run of finite values. A value that ties with
    the smallest but is not in the queue has a newer one in it that ties too.
    """
    rows, width = x.shape
    d = values.shape[1]
    for i in range(width):
        front, length, run = ends[0, i], ends[1, i], ends[2, i]
        ring, when, bar = values[i], bars[i], clock[0]
        for row in range(rows):
            value = sign * x[row, i]
            if not abs(value) < np.inf:
                front, length, run = 0, 0, 0
                out[row, i] = np.nan
                bar += 1
                continue
            run += 1
            if length > 0 and when[front] <= bar - d:
                front = front + 1 if front + 1 < d else 0
                length -= 1
            back = front + length - 1
            back = back - d if back >= d else back
            while length > 0 and ring[back] >= value:
                back = back - 1 if back > 0 else d - 1
                length -= 1
            back = back + 1 if back + 1 < d else 0
            ring[back] = value
            when[back] = bar
            length += 1
            if run < d:
                out[row, i] = np.nan
            else:
                low = ring[front]
                newest = when[front]
                step = front
                for _ in range(length - 1):
                    step = step + 1 if step + 1 < d else 0
                    if ring[step] - low > TIE * max(abs(ring[step]), abs(low)):
                        break
                    newest = when[step]
                out[row, i] = bar - newest
            bar += 1
        ends[0, i], ends[1, i], ends[2, i] = front, length, run
    clock[0] += rows


@njit(cache=True, error_model="numpy", nogil=True)
def recent_ages(
    x: FloatArray, lowest: FloatArray, out: FloatArray, ring: FloatArray, work: FloatArray, clock: IntArray,
    sign: float,
) -> None:  # fmt: skip
    """Like `ages`, by looking at each value of a short window. `lowest` holds the window's extremes."""
    rows, width = x.shape
    d = ring.shape[0]
    bound, age = work[0], work[1]
    for row in range(rows):
        place = clock[0]
        now, low, mine = x[row], lowest[row], ring[place]
        for i in range(width):
            mine[i] = sign * now[i]
            bound[i] = sign * low[i] + TIE * abs(low[i])
            age[i] = d
        slot = 0
        while slot + 4 <= d:
            v, w, y, z = ring[slot], ring[slot + 1], ring[slot + 2], ring[slot + 3]
            first = _back(place, slot, d)
            second = _back(place, slot + 1, d)
            third = _back(place, slot + 2, d)
            fourth = _back(place, slot + 3, d)
            for i in range(width):
                top = bound[i]
                one = min(first if v[i] <= top else 1e9, second if w[i] <= top else 1e9)
                two = min(third if y[i] <= top else 1e9, fourth if z[i] <= top else 1e9)
                age[i] = min(age[i], min(one, two))
            slot += 4
        while slot < d:
            v = ring[slot]
            first = _back(place, slot, d)
            for i in range(width):
                age[i] = min(age[i], first if v[i] <= bound[i] else 1e9)
            slot += 1
        result = out[row]
        for i in range(width):
            result[i] = age[i] if low[i] == low[i] else np.nan
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def _back(place: int, slot: int, d: int) -> float:
    """How many bars ago a slot of a ring of d was written, now being at `place`."""
    return float(place - slot if slot <= place else place - slot + d)
