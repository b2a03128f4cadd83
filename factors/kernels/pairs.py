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

    `kept` (5, d, N) holds sums of u, v, uu, vv, uv of the older block, and raw values of the newer in the first two;
    `pivot` is (2, N), `work` (10, N).
    """
    rows, width = x.shape
    d = kept.shape[1]
    for row in range(rows):
        place = clock[0]
        if place == 0:
            _restart(x[row], y[row], kept, pivot, work)
        now_x = x[row]
        now_y = y[row]
        px, py = pivot[0], pivot[1]
        su, sv, uu, vv, uv = work[0], work[1], work[2], work[3], work[4]
        raw_x = kept[0, place]
        raw_y = kept[1, place]
        for i in range(width):
            u = now_x[i] - px[i]
            v = now_y[i] - py[i]
            su[i] += u
            sv[i] += v
            uu[i] += u * u
            vv[i] += v * v
            uv[i] += u * v
        for i in range(width):
            raw_x[i] = now_x[i]
            raw_y[i] = now_y[i]
        for k in range(5):
            whole = work[5 + k]
            part = work[k]
            if place < d - 1:
                older = kept[k, place + 1]
                for i in range(width):
                    whole[i] = part[i] + older[i]
            else:
                for i in range(width):
                    whole[i] = part[i]
        _finish(out[row], work, d, mode)
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def _restart(x: FloatArray, y: FloatArray, kept: FloatArray, pivot: FloatArray, work: FloatArray) -> None:
    """Turn the raw values of the block that ended into sums from its end backwards."""
    width = len(x)
    px, py = pivot[0], pivot[1]
    for i in range(width):
        px[i] = x[i]
        py[i] = y[i]
    work[:] = 0.0
    for back in range(kept.shape[1] - 1, 0, -1):
        su, sv, uu, vv, uv = work[5], work[6], work[7], work[8], work[9]
        raw_x = kept[0, back]
        raw_y = kept[1, back]
        for i in range(width):
            u = raw_x[i] - px[i]
            v = raw_y[i] - py[i]
            su[i] += u
            sv[i] += v
            uu[i] += u * u
            vv[i] += v * v
            uv[i] += u * v
        for k in range(5):
            here = kept[k, back]
            whole = work[5 + k]
            for i in range(width):
                here[i] = whole[i]
    for k in range(5):
        work[k] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _finish(result: FloatArray, work: FloatArray, d: int, mode: int) -> None:
    su, sv, uu, vv, uv = work[5], work[6], work[7], work[8], work[9]
    share = 1.0 / d
    for i in range(len(result)):
        xx = max(uu[i] - su[i] * su[i] * share, 0.0 * uu[i])
        yy = max(vv[i] - sv[i] * sv[i] * share, 0.0 * vv[i])
        xy = uv[i] - su[i] * sv[i] * share
        size = np.sqrt(xx) * np.sqrt(yy)
        xy = 0.0 * xy if abs(xy) <= _SNAP * size else xy
        if mode == CORR:
            value = xy / size
            value = np.sign(value) if abs(value) > 1.0 - _SNAP else value
        elif mode == COV:
            value = xy / (d - 1)
        else:
            value = xy / yy
        result[i] = value if abs(value) < np.inf else np.nan
