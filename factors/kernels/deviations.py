"""Statistics that need each value of the window afresh: mean deviation, and central moments above the fourth."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.panel import FloatArray


@njit(cache=True, error_model="numpy", nogil=True)
def deviations(
    x: FloatArray,
    mean: FloatArray,
    out: FloatArray,
    ring: FloatArray,
    work: FloatArray,
    clock: NDArray[np.int64],
    order: int,
) -> None:
    """Mean of |x - mean|, or of (x - mean)^order where `order` is above 0, over the last d values.

    `mean` holds the window means of `x`, NaN where a window is not full. `ring` is (d, N).
    """
    rows, width = x.shape
    d = ring.shape[0]
    for row in range(rows):
        place = clock[0]
        now = x[row]
        middle = mean[row]
        mine = ring[place]
        for i in range(width):
            mine[i] = now[i]
            work[i] = 0.0
        for age in range(d):
            older = ring[age]
            if order == 0:
                for i in range(width):
                    work[i] += abs(older[i] - middle[i])
            else:
                for i in range(width):
                    gap = older[i] - middle[i]
                    power = gap
                    for _ in range(order - 1):
                        power *= gap
                    work[i] += power
        result = out[row]
        for i in range(width):
            value = work[i] / d
            result[i] = value if abs(value) < np.inf else np.nan
        clock[0] = place + 1 if place < d - 1 else 0
