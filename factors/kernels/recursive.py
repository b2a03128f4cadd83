"""Statistics that carry a state along the bars of one asset; what comes later never matters."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.panel import BoolArray, FloatArray

DELAY, DELTA, RETURNS, RATIO = range(4)
CUM_SUM, CUM_MEAN, CUM_MAX, CUM_MIN, CUM_PRODUCT = range(5)


@njit(cache=True, error_model="numpy", nogil=True)
def lags(x: FloatArray, out: FloatArray, ring: FloatArray, clock: NDArray[np.int64], mode: int) -> None:
    """Value d bars ago, change since then, x / then - 1, x / then. `ring` (d, N) starts as NaN."""
    rows, width = x.shape
    d = ring.shape[0]
    for row in range(rows):
        place = clock[0]
        now = x[row]
        then = ring[place]
        result = out[row]
        if mode == DELAY:
            for i in range(width):
                value = now[i]
                result[i] = then[i]
                then[i] = value
        elif mode == DELTA:
            for i in range(width):
                value = now[i]
                change = value - then[i]
                then[i] = value
                result[i] = change if abs(change) < np.inf else np.nan
        elif mode == RETURNS:
            for i in range(width):
                value = now[i]
                change = value / then[i] - 1.0
                then[i] = value
                result[i] = change if abs(change) < np.inf else np.nan
        else:
            for i in range(width):
                value = now[i]
                change = value / then[i]
                then[i] = value
                result[i] = change if abs(change) < np.inf else np.nan
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def recursive(x: FloatArray, out: FloatArray, level: FloatArray, run: FloatArray, alpha: FloatArray, warm: int) -> None:
    """Y = alpha x + (1 - alpha) y', from the first finite value on; restarts after a NaN.

    NaN until `warm` finite values stand in a row. `alpha` holds alpha and 1 - alpha.
    """
    rows, width = x.shape
    new, old = alpha[0], alpha[1]
    for row in range(rows):
        now = x[row]
        result = out[row]
        for i in range(width):
            value = now[i]
            level[i] = new * value + old * level[i] if run[i] > 0.0 else value
            run[i] = run[i] + 1.0 if value == value else 0.0
            result[i] = level[i] if run[i] >= warm else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def since(c: FloatArray, out: FloatArray, age: FloatArray, run: FloatArray, d: int) -> None:
    """Bars since `c` was last non-zero, d if not in the last d bars; NaN until d finite values. `age` starts as d."""
    rows, width = c.shape
    for row in range(rows):
        for i in range(width):
            value = c[row, i]
            finite = value == value
            older = min(age[i] + 1.0, d) if value == 0.0 else 0.0
            age[i] = older if finite else d
            run[i] = run[i] + 1.0 if finite else 0.0
            out[row, i] = age[i] if run[i] >= d else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def adaptive(
    x: FloatArray, path: FloatArray, then: FloatArray, out: FloatArray, level: FloatArray, run: FloatArray, d: int
) -> None:
    """Kaufman's adaptive average: the weight follows the efficiency of the last d changes, squared.

    `path` is the sum of the last d absolute changes, `then` the value d bars ago. Starts at the d-th finite value in a
    row; NaN until there are d changes; restarts after a NaN.
    """
    rows, width = x.shape
    fast = 2.0 / 3.0
    slow = 2.0 / 31.0
    for row in range(rows):
        for i in range(width):
            value = x[row, i]
            run[i] = run[i] + 1.0 if value == value else 0.0
            walked = path[row, i]
            efficiency = abs(value - then[row, i]) / walked if walked > 0.0 else 0.0
            weight = (efficiency * (fast - slow) + slow) ** 2
            moved = level[i] + weight * (value - level[i])
            level[i] = moved if run[i] > d else value
            out[row, i] = level[i] if run[i] > d and abs(level[i]) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def backfill(x: FloatArray, out: FloatArray, known: FloatArray, age: FloatArray, d: int) -> None:
    """Newest finite value of the last d bars, the current one included. `age` starts as d."""
    rows, width = x.shape
    for row in range(rows):
        for i in range(width):
            value = x[row, i]
            finite = value == value
            known[i] = value if finite else known[i]
            age[i] = 0.0 if finite else age[i] + 1.0
            out[row, i] = known[i] if age[i] < d else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def taken_when(
    c: FloatArray, x: FloatArray, q: FloatArray, out: FloatArray, known: FloatArray, age: FloatArray, d: int
) -> None:
    """X of the newest of the last d bars where c held; NaN where q has held since then. `age` starts as d."""
    rows, width = c.shape
    for row in range(rows):
        for i in range(width):
            leaves, enters = q[row, i], c[row, i]
            age[i] += 1.0
            # What is not known to be true is not true.
            if leaves == leaves and leaves != 0.0:
                age[i] = d
            elif enters == enters and enters != 0.0:
                known[i] = x[row, i]
                age[i] = 0.0
            out[row, i] = known[i] if age[i] < d else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def humped(x: FloatArray, universe: BoolArray, out: FloatArray, level: FloatArray, share: float) -> None:
    """Last value until x is further off than a limit, then moved by it; the limit is `share` of the bar's sum of |x|.

    Starts at the first value; NaN where x is. `level` starts as NaN.
    """
    rows, width = x.shape
    for row in range(rows):
        limit = 0.0
        for i in range(width):
            value = x[row, i]
            if universe[row, i] and value == value:
                limit += share * abs(value)
        for i in range(width):
            value = x[row, i]
            if value != value or not universe[row, i]:
                out[row, i] = np.nan
                continue
            change = value - level[i]
            if change != change:
                level[i] = value
            elif abs(change) >= limit:
                moved = level[i] + limit if change > 0.0 else level[i] - limit
                level[i] = moved if abs(moved) < np.inf else value
            out[row, i] = level[i]


@njit(cache=True, error_model="numpy", nogil=True)
def cumulative(x: FloatArray, out: FloatArray, level: FloatArray, count: FloatArray, mode: int) -> None:
    """Sum, mean, extremes or product of all finite values so far; NaN where the bar's own value is.

    `level` starts as 1 for products and 0 else.
    """
    rows, width = x.shape
    for row in range(rows):
        for i in range(width):
            value = x[row, i]
            if value != value:
                out[row, i] = np.nan
                continue
            count[i] += 1.0
            if mode == CUM_PRODUCT:
                level[i] *= value
            elif mode == CUM_MAX:
                level[i] = value if count[i] == 1.0 else max(level[i], value)
            elif mode == CUM_MIN:
                level[i] = value if count[i] == 1.0 else min(level[i], value)
            else:
                level[i] += value
            result = level[i] / count[i] if mode == CUM_MEAN else level[i]
            out[row, i] = result if abs(result) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def one_sided(x: FloatArray, out: FloatArray, sign: float) -> None:
    """Keep what of `x` lies on one side of 0, as a size; 0 for what lies on the other."""
    a, result = x.ravel(), out.ravel()
    for i in range(len(a)):
        value = sign * a[i]
        result[i] = 0.0 if value < 0.0 else value


@njit(cache=True, error_model="numpy", nogil=True)
def strength(up: FloatArray, down: FloatArray, out: FloatArray) -> None:
    """Cutler's relative strength from sums of rises and falls: 100 up / (up + down); NaN when nothing moved."""
    a, b, result = up.ravel(), down.ravel(), out.ravel()
    for i in range(len(a)):
        value = 100.0 * a[i] / (a[i] + b[i])
        result[i] = value if abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def true_ranges(high: FloatArray, low: FloatArray, close: FloatArray, out: FloatArray, before: FloatArray) -> None:
    """Largest of high - low and the distances of both from the close before. `before` (N,) starts as NaN."""
    rows, width = high.shape
    for row in range(rows):
        for i in range(width):
            top, bottom, last = high[row, i], low[row, i], before[i]
            widest = max(top - bottom, abs(top - last), abs(bottom - last))
            known = top - bottom + last
            out[row, i] = widest if abs(known) < np.inf else np.nan
            before[i] = close[row, i]


@njit(cache=True, error_model="numpy", nogil=True)
def movements(
    high: FloatArray, low: FloatArray, close: FloatArray, out: FloatArray, before: FloatArray, upward: bool
) -> None:
    """Wilder's directional movement, up or down. `before` (2, N) keeps the last high and low; starts as NaN."""
    rows, width = high.shape
    for row in range(rows):
        for i in range(width):
            # A bar without a close trades no range: the index waits for it like every other price.
            up = high[row, i] - before[0, i] + 0.0 * close[row, i]
            down = before[1, i] - low[row, i] + 0.0 * close[row, i]
            mine, other = (up, down) if upward else (down, up)
            value = mine if mine > other and mine > 0.0 else 0.0
            out[row, i] = value if abs(up + down) < np.inf else np.nan
            before[0, i] = high[row, i]
            before[1, i] = low[row, i]


@njit(cache=True, error_model="numpy", nogil=True)
def balance(plus: FloatArray, minus: FloatArray, out: FloatArray) -> None:
    """100 |plus - minus| / (plus + minus); 0 where both are 0."""
    a, b, result = plus.ravel(), minus.ravel(), out.ravel()
    for i in range(len(a)):
        total = a[i] + b[i]
        value = 100.0 * abs(a[i] - b[i]) / total if total != 0.0 else 0.0
        result[i] = value if abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def market(
    opened: FloatArray, close: FloatArray, universe: BoolArray, out: FloatArray, before: FloatArray, level: FloatArray,
    at_open: bool,
) -> None:  # fmt: skip
    """Equal-weighted index of the universe, the same for every asset: its close, or its open from yesterday's close on.

    It stands at 1 on the first bar, and has no open there. `level` (2,) holds the index and whether a bar has passed.
    """
    rows, width = close.shape
    for row in range(rows):
        total = 0.0
        total_open = 0.0
        count = 0
        count_open = 0
        for i in range(width):
            if not universe[row, i]:
                continue
            move = close[row, i] / before[i] - 1.0
            if abs(move) < np.inf:
                total += move
                count += 1
            move = opened[row, i] / before[i] - 1.0
            if abs(move) < np.inf:
                total_open += move
                count_open += 1
        start = level[0] * (1.0 + total_open / max(count_open, 1))
        level[0] *= 1.0 + total / max(count, 1)
        value = (start if level[1] > 0.0 else np.nan) if at_open else level[0]
        level[1] = 1.0
        for i in range(width):
            out[row, i] = value
            before[i] = close[row, i]
