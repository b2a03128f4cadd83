"""Rolling statistics of two series, in blocks and about a pivot like `kernels.moments`.

What is 0, 1 or -1 but for rounding is made so: co-movements below 1e-12 of the two spreads are none.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.panel import FloatArray

CORR, COV, BETA = range(3)
_SNAP = 1e-12
_LEAST, _MOST = 1e-280, 1e280


@njit(cache=True, error_model="numpy", nogil=True)
def pairs(
    x: FloatArray,
    y: FloatArray,
    out: FloatArray,
    kept: FloatArray,
    pivot: FloatArray,
    work: FloatArray,
    clock: NDArray[np.int64],
    mode: int,
) -> None:
    """Correlation, covariance (ddof 1), or slope of `x` on `y`, over the last d pairs.

    `kept` (5, d + 1, N) holds sums of u, v, uu, vv, uv of the older block, 0 in the last row, and raw values of the
    newer block in the first two; `pivot` is (2, N), `work` (8, N).
    """
    rows, width = x.shape
    d = kept.shape[1] - 1
    share = 1.0 / d
    px, py = pivot[0], pivot[1]
    su, sv, uu, vv, uv = work[0], work[1], work[2], work[3], work[4]
    xx, yy, xy = work[5], work[6], work[7]
    for row in range(rows):
        place = clock[0]
        now_x, now_y = x[row], y[row]
        if place == 0:
            for i in range(width):
                px[i] = now_x[i]
                py[i] = now_y[i]
            work[:] = 0.0
            _turn(kept, px, py)
        raw_x, raw_y = kept[0, place], kept[1, place]
        older_u, older_v = kept[0, place + 1], kept[1, place + 1]
        older_uu, older_vv, older_uv = kept[2, place + 1], kept[3, place + 1], kept[4, place + 1]
        for i in range(width):
            u = now_x[i] - px[i]
            v = now_y[i] - py[i]
            one, two = su[i] + u, sv[i] + v
            three, four, five = uu[i] + u * u, vv[i] + v * v, uv[i] + u * v
            su[i], sv[i] = one, two
            uu[i], vv[i], uv[i] = three, four, five
            one += older_u[i]
            two += older_v[i]
            xx[i] = three + older_uu[i] - one * one * share
            yy[i] = four + older_vv[i] - two * two * share
            xy[i] = five + older_uv[i] - one * two * share
        for i in range(width):
            raw_x[i] = now_x[i]
            raw_y[i] = now_y[i]
        _finish(out[row], xx, yy, xy, d, mode)
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def _turn(kept: FloatArray, px: FloatArray, py: FloatArray) -> None:
    """Turn the raw values of the block that ended into sums from its end backwards."""
    for back in range(kept.shape[1] - 2, 0, -1):
        su, sv, uu, vv, uv = kept[0, back], kept[1, back], kept[2, back], kept[3, back], kept[4, back]
        one, two, three, four, five = (
            kept[0, back + 1], kept[1, back + 1], kept[2, back + 1], kept[3, back + 1], kept[4, back + 1]
        )  # fmt: skip
        for i in range(len(px)):
            u = su[i] - px[i]
            v = sv[i] - py[i]
            su[i] = u + one[i]
            sv[i] = v + two[i]
            uu[i] = u * u + three[i]
            vv[i] = v * v + four[i]
            uv[i] = u * v + five[i]


@njit(cache=True, error_model="numpy", nogil=True)
def _finish(result: FloatArray, xx: FloatArray, yy: FloatArray, xy: FloatArray, d: int, mode: int) -> None:
    """From sums about the mean to the statistic."""
    careful = 0
    for i in range(len(result)):
        # One root of a product is twice as fast as a product of roots, where the product neither over- nor underflows.
        product = xx[i] * yy[i]
        careful += 1 if xx[i] > 0.0 and yy[i] > 0.0 and not _LEAST < product < _MOST else 0
        size = np.sqrt(max(product, 0.0 * product))
        result[i] = _statistic(xx[i], yy[i], xy[i], size, d, mode)
    if careful > 0:
        for i in range(len(result)):
            size = np.sqrt(max(xx[i], 0.0 * xx[i])) * np.sqrt(max(yy[i], 0.0 * yy[i]))
            result[i] = _statistic(xx[i], yy[i], xy[i], size, d, mode)


@njit(cache=True, error_model="numpy", nogil=True)
def _statistic(xx: float, yy: float, xy: float, size: float, d: int, mode: int) -> float:
    both = 0.0 * xy if abs(xy) <= _SNAP * size else xy
    if mode == CORR:
        value = both / size
        value = np.sign(value) if abs(value) > 1.0 - _SNAP else value
    elif mode == COV:
        value = both / (d - 1)
    else:
        value = both / max(yy, 0.0 * yy)
    return value if abs(value) < np.inf else np.nan
