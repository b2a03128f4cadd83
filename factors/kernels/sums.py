"""Sums, means, products and fading averages over a window, at a cost that does not depend on the window.

Time is cut into blocks as long as the window. A window is the end of one block and the start of the next: sums from
the end of the old block backwards, kept, plus a sum that grows with the new block (van Herk 1992; Gil & Werman 1993).
Nothing is ever subtracted, so there is no drift, and a NaN is gone once it has left the window. Means are sums of
distances from the new block's first value, which lies in every window of the block: equal values have exactly
themselves as their mean.

What is kept has d + 1 rows: raw values of the new block as far as it has come, then sums of the old block from there to
its end, then the sum of nothing. Before there is an old block they are NaN.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.panel import FloatArray


@njit(cache=True, error_model="numpy", nogil=True)
def totals(x: FloatArray, out: FloatArray, kept: FloatArray, total: FloatArray, clock: NDArray[np.int64]) -> None:
    """Sum of the last d values. `kept` is (d + 1, N), its last row 0; `total` is (N,)."""
    rows, width = x.shape
    d = kept.shape[0] - 1
    for row in range(rows):
        place = clock[0]
        now, result = x[row], out[row]
        if place == 0:
            for back in range(d - 2, 0, -1):
                here, newer = kept[back], kept[back + 1]
                for i in range(width):
                    here[i] += newer[i]
            for i in range(width):
                total[i] = 0.0
        raw, older = kept[place], kept[place + 1]
        for i in range(width):
            part = total[i] + now[i]
            total[i] = part
            raw[i] = now[i]
            whole = part + older[i]
            result[i] = whole if abs(whole) < np.inf else np.nan
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def means(
    x: FloatArray,
    out: FloatArray,
    kept: FloatArray,
    pivot: FloatArray,
    total: FloatArray,
    clock: NDArray[np.int64],
    share: FloatArray,
) -> None:
    """Mean of the last d values. `kept` is (d + 1, N), its last row 0; `share` holds 1 / d."""
    rows, width = x.shape
    d = kept.shape[0] - 1
    part_of = share[0]
    for row in range(rows):
        place = clock[0]
        now, result = x[row], out[row]
        if place == 0:
            for i in range(width):
                pivot[i] = now[i]
                total[i] = 0.0
            for back in range(d - 1, 0, -1):
                here, newer = kept[back], kept[back + 1]
                for i in range(width):
                    here[i] = (here[i] - pivot[i]) + newer[i]
        raw, older = kept[place], kept[place + 1]
        for i in range(width):
            part = total[i] + (now[i] - pivot[i])
            total[i] = part
            raw[i] = now[i]
            mean = pivot[i] + (part + older[i]) * part_of
            result[i] = mean if abs(mean) < np.inf else np.nan
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def products(x: FloatArray, out: FloatArray, kept: FloatArray, total: FloatArray, clock: NDArray[np.int64]) -> None:
    """Product of the last d values. `kept` is (d + 1, N), its last row 1."""
    rows, width = x.shape
    d = kept.shape[0] - 1
    for row in range(rows):
        place = clock[0]
        now, result = x[row], out[row]
        if place == 0:
            for back in range(d - 2, 0, -1):
                here, newer = kept[back], kept[back + 1]
                for i in range(width):
                    here[i] *= newer[i]
            for i in range(width):
                total[i] = 1.0
        raw, older = kept[place], kept[place + 1]
        for i in range(width):
            part = total[i] * now[i]
            total[i] = part
            raw[i] = now[i]
            whole = part * older[i]
            result[i] = whole if abs(whole) < np.inf else np.nan
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def fading(
    x: FloatArray,
    out: FloatArray,
    kept: FloatArray,
    pivot: FloatArray,
    total: FloatArray,
    clock: NDArray[np.int64],
    powers: FloatArray,
    norm: FloatArray,
) -> None:
    """Mean of the last d values with weights a^0, a^1, .. from the newest on.

    `kept` is (d + 1, N), its last row 0; `powers` (d + 1,) holds a^i, `norm` one over their sum without the last.
    """
    rows, width = x.shape
    d = kept.shape[0] - 1
    a = powers[1]
    scale = norm[0]
    for row in range(rows):
        place = clock[0]
        now, result = x[row], out[row]
        if place == 0:
            for i in range(width):
                pivot[i] = now[i]
                total[i] = 0.0
            for back in range(d - 1, 0, -1):
                here, newer = kept[back], kept[back + 1]
                weight = powers[d - 1 - back]
                for i in range(width):
                    here[i] = (here[i] - pivot[i]) * weight + newer[i]
        raw, older = kept[place], kept[place + 1]
        weight = powers[place + 1]
        for i in range(width):
            part = total[i] * a + (now[i] - pivot[i])
            total[i] = part
            raw[i] = now[i]
            mean = pivot[i] + (part + older[i] * weight) * scale
            result[i] = mean if abs(mean) < np.inf else np.nan
        clock[0] = place + 1 if place < d - 1 else 0
