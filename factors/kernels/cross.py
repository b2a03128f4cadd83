"""Statistics across assets at one bar. Only the universe takes part; elsewhere, and where there is NaN, is NaN.

Means are of distances from the row's first value, so that equal values have exactly themselves as their mean.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.panel import BoolArray, FloatArray
from market.ranking import count_finite, ordered, rank_with_keys, tied

DEMEAN, ZSCORE, MEAN, STD, COUNT, MAX, MIN = range(7)
BUCKET, TOP_BOTTOM = range(2)


@njit(cache=True, error_model="numpy", nogil=True)
def masked(x: FloatArray, universe: BoolArray, out: FloatArray) -> None:
    """X inside the universe, NaN outside."""
    a, inside, result = x.ravel(), universe.ravel(), out.ravel()
    for i in range(len(a)):
        result[i] = a[i] if inside[i] else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def standards(x: FloatArray, universe: BoolArray, out: FloatArray, mode: int) -> None:
    """Mean, demeaned value or z-score (ddof 1) over the bar."""
    rows, width = x.shape
    for row in range(rows):
        line, inside, result = x[row], universe[row], out[row]
        pivot = _first(line, inside)
        total = 0.0
        count = 0
        for i in range(width):
            known = inside[i] and line[i] == line[i]
            total += line[i] - pivot if known else 0.0
            count += 1 if known else 0
        mean = total / max(count, 1)
        scale = 1.0
        if mode == ZSCORE:
            square = 0.0
            for i in range(width):
                known = inside[i] and line[i] == line[i]
                gap = line[i] - pivot - mean
                square += gap * gap if known else 0.0
            variance = square / max(count - 1, 1)
            scale = 1.0 / np.sqrt(variance) if 0.0 < variance < np.inf else np.nan
        if mode == MEAN:
            for i in range(width):
                value = pivot + mean
                result[i] = value if inside[i] and line[i] == line[i] and abs(value) < np.inf else np.nan
        else:
            for i in range(width):
                value = (line[i] - pivot - mean) * scale
                result[i] = value if inside[i] and abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def _first(line: FloatArray, inside: BoolArray) -> float:
    for i in range(len(line)):
        if inside[i] and line[i] == line[i]:
            return float(line[i])
    return np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def winsorized(x: FloatArray, universe: BoolArray, out: FloatArray, k: float) -> None:
    """Limit to mean +- k standard deviations (ddof 1) of the bar; NaN where fewer than two take part."""
    rows, width = x.shape
    for row in range(rows):
        line, inside, result = x[row], universe[row], out[row]
        pivot = _first(line, inside)
        total = 0.0
        count = 0
        for i in range(width):
            known = inside[i] and line[i] == line[i]
            total += line[i] - pivot if known else 0.0
            count += 1 if known else 0
        mean = total / max(count, 1)
        square = 0.0
        for i in range(width):
            gap = line[i] - pivot - mean
            square += gap * gap if inside[i] and line[i] == line[i] else 0.0
        reach = k * np.sqrt(square / (count - 1)) if count > 1 else np.nan
        for i in range(width):
            value = pivot + min(max(line[i] - pivot, mean - reach), mean + reach)
            # Inside the limits nothing changes, not even by rounding.
            value = line[i] if abs(line[i] - pivot - mean) <= reach else value
            known = inside[i] and line[i] == line[i] and count > 1
            result[i] = value if known and abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def scale_rows(x: FloatArray, universe: BoolArray, out: FloatArray) -> None:
    """Divide by the bar's sum of absolute values; NaN where that is 0."""
    rows, width = x.shape
    for row in range(rows):
        line, inside, result = x[row], universe[row], out[row]
        total = 0.0
        for i in range(width):
            total += abs(line[i]) if inside[i] and line[i] == line[i] else 0.0
        for i in range(width):
            value = line[i] / total
            result[i] = value if inside[i] and abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def places(x: FloatArray, keys: NDArray[np.int64], out: FloatArray, bits: int, amount: float, mode: int) -> None:
    """From sorted keys: which of `amount` equal parts of the row a value falls into, or +-1 in its outer shares.

    A value's place is the middle of the slot it takes in its row, (average rank - 1/2) / count.
    """
    rows, width = x.shape
    columns = np.empty(width, dtype=np.int64)
    values = np.empty(width, dtype=x.dtype)
    ranks = np.empty(width, dtype=np.float64)
    for row in range(rows):
        count = count_finite(x[row])
        rank_with_keys(x[row], keys[row], count, bits, columns, values, ranks)
        for i in range(width):
            if not abs(x[row, i]) < np.inf:
                out[row, i] = np.nan
                continue
            place = (ranks[i] - 0.5) / count
            if mode == BUCKET:
                out[row, i] = min(max(np.floor(place * amount), 0.0), amount - 1.0)
            else:
                # The margin keeps a place that is the bound but for rounding in the middle.
                high = 1.0 if place > 1.0 - amount + 1e-9 else 0.0
                out[row, i] = high - (1.0 if place < amount - 1e-9 else 0.0)


@njit(cache=True, error_model="numpy", nogil=True)
def quantiles(x: FloatArray, ascending: FloatArray, out: FloatArray, level: float) -> None:
    """Quantile of the bar's finite values, linear, wherever there is a value. `ascending` is `x` sorted, NaN last."""
    rows, width = x.shape
    for row in range(rows):
        count = 0
        for i in range(width):
            count += 1 if x[row, i] == x[row, i] else 0
        spot = level * max(count - 1, 0)
        lower = int(np.floor(spot))
        upper = min(lower + 1, max(count - 1, 0))
        low = ascending[row, lower]
        value = low + (spot - lower) * (ascending[row, upper] - low)
        for i in range(width):
            out[row, i] = value if x[row, i] == x[row, i] and abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def residuals(y: FloatArray, x: FloatArray, universe: BoolArray, out: FloatArray) -> None:
    """`y` less its least-squares fit on `x` and a constant over the bar; the mean alone where x is constant."""
    rows, width = y.shape
    known = np.empty(width, dtype=np.bool_)
    for row in range(rows):
        a, b, inside, result = y[row], x[row], universe[row], out[row]
        for i in range(width):
            known[i] = inside[i] and a[i] == a[i] and b[i] == b[i]
        pivot_y = _first(a, known)
        pivot_x = _first(b, known)
        count = 0
        mean_x = 0.0
        mean_y = 0.0
        for i in range(width):
            count += 1 if known[i] else 0
            mean_x += b[i] - pivot_x if known[i] else 0.0
            mean_y += a[i] - pivot_y if known[i] else 0.0
        mean_x /= max(count, 1)
        mean_y /= max(count, 1)
        xx = 0.0
        xy = 0.0
        for i in range(width):
            gap = b[i] - pivot_x - mean_x
            xx += gap * gap if known[i] else 0.0
            xy += gap * (a[i] - pivot_y - mean_y) if known[i] else 0.0
        slope = xy / xx if xx > 0.0 else 0.0
        for i in range(width):
            value = (a[i] - pivot_y - mean_y) - slope * (b[i] - pivot_x - mean_x)
            result[i] = value if known[i] and abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def members(groups: FloatArray, numbering: FloatArray, codes: NDArray[np.int64]) -> int:
    """Give the groups of a row numbers from 0, -1 where there is none; return how many there are.

    `numbering` is (2, N + 1): the row numbered last, since most rows repeat it and need nothing; and the groups' names
    and, last, their count. `codes` (N,) are the numbers.
    """
    width = len(groups)
    before, names = numbering[0], numbering[1]
    same = True
    for i in range(width):
        same = same and (groups[i] == before[i] or (groups[i] != groups[i] and before[i] != before[i]))
    if same and names[width] >= 0.0:
        return int(names[width])
    count = 0
    for i in range(width):
        before[i] = groups[i]
        codes[i] = -1
        if groups[i] != groups[i]:
            continue
        code = 0
        while code < count and names[code] != groups[i]:
            code += 1
        if code == count:
            names[count] = groups[i]
            count += 1
        codes[i] = code
    names[width] = count
    return count


@njit(cache=True, error_model="numpy", nogil=True)
def _group_value(value: float, size: float, pivot: float, mean: float, square: float, mode: int) -> float:
    """Return what an asset of `value` gets of its group; `mean` is above the pivot, `square` summed about the mean."""
    if mode == MEAN:
        return pivot + mean
    if mode == DEMEAN:
        return value - pivot - mean
    if mode == COUNT:
        return size
    if mode in (MAX, MIN):
        return pivot
    if mode == STD:
        return float(np.sqrt(square / (size - 1.0))) if size > 1.0 else np.nan
    return (value - pivot - mean) / np.sqrt(square / (size - 1.0)) if square > 0.0 else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def in_groups(
    x: FloatArray,
    groups: FloatArray,
    universe: BoolArray,
    out: FloatArray,
    numbering: FloatArray,
    codes: NDArray[np.int64],
    work: FloatArray,
    mode: int,
) -> None:
    """Statistics within groups by `mode`, ddof 1. `work` is (4, N): count, pivot (or extreme), mean, square."""
    rows, width = x.shape
    size, pivot, mean, square = work[0], work[1], work[2], work[3]
    for row in range(rows):
        count = members(groups[row], numbering, codes)
        for g in range(count):
            size[g] = 0.0
            mean[g] = 0.0
            square[g] = 0.0
        for i in range(width):
            g = codes[i]
            value = x[row, i]
            if g >= 0 and universe[row, i] and value == value:
                beyond = (mode == MAX and value > pivot[g]) or (mode == MIN and value < pivot[g])
                pivot[g] = value if size[g] == 0.0 or beyond else pivot[g]
                size[g] += 1.0
                mean[g] += value - pivot[g]
        for g in range(count):
            mean[g] /= max(size[g], 1.0)
        if mode in (ZSCORE, STD):
            for i in range(width):
                g = codes[i]
                value = x[row, i]
                if g >= 0 and universe[row, i] and value == value:
                    square[g] += (value - pivot[g] - mean[g]) ** 2
        for i in range(width):
            g = codes[i]
            value = x[row, i]
            if g < 0 or not universe[row, i] or value != value:
                out[row, i] = np.nan
                continue
            value = _group_value(value, size[g], pivot[g], mean[g], square[g], mode)
            out[row, i] = value if abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def group_ranks(
    x: FloatArray,
    groups: FloatArray,
    keys: NDArray[np.int64],
    out: FloatArray,
    numbering: FloatArray,
    codes: NDArray[np.int64],
    bits: int,
) -> None:
    """Average rank within the asset's group / the group's count, from sorted keys of `x`."""
    rows, width = x.shape
    mask = (1 << bits) - 1
    columns = np.empty(width, dtype=np.int64)
    values = np.empty(width, dtype=x.dtype)
    # The members of each group in ascending order, group after group.
    sorted_columns = np.empty(width, dtype=np.int64)
    sorted_values = np.empty(width, dtype=x.dtype)
    starts = np.empty(width + 1, dtype=np.int64)
    for row in range(rows):
        result = out[row]
        result[:] = np.nan
        many = members(groups[row], numbering, codes)
        count = ordered(x[row], keys[row], mask, columns, values)
        starts[: many + 1] = 0
        for place in range(count):
            if codes[columns[place]] >= 0:
                starts[codes[columns[place]] + 1] += 1
        for g in range(many):
            starts[g + 1] += starts[g]
        for place in range(count):
            g = codes[columns[place]]
            if g >= 0:
                sorted_columns[starts[g]] = columns[place]
                sorted_values[starts[g]] = values[place]
                starts[g] += 1
        start = 0
        for g in range(many):
            _share_group(sorted_values, sorted_columns, start, starts[g], result)
            start = starts[g]


@njit(cache=True, error_model="numpy", nogil=True)
def _share_group(values: FloatArray, columns: NDArray[np.int64], start: int, stop: int, result: FloatArray) -> None:
    first = start
    while first < stop:
        end = first + 1
        while end < stop and tied(values[end], values[first]):
            end += 1
        share = (0.5 * (first + end + 1) - start) / (stop - start)
        for place in range(first, end):
            result[columns[place]] = share
        first = end


@njit(cache=True, error_model="numpy", nogil=True)
def crossed(g: FloatArray, h: FloatArray, out: FloatArray) -> None:
    """Name of the pair of two groups. Names are whole numbers far below a million."""
    a, b, result = g.ravel(), h.ravel(), out.ravel()
    for i in range(len(a)):
        result[i] = a[i] * 1e6 + b[i]
