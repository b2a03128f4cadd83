"""Average ranks across assets, for the language and the backtest alike: a tie means the same in both.

A row is sorted once, as whole numbers: a value's bits, made to sort like it, with its column in the last few. What
these lack of a value is put right while walking the sorted row, so the order is exact.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.panel import FloatArray

# Two values tie when they differ by no more than this share of the larger one. Equal by definition, they may differ
# by rounding: the correlation of two windows of ranks takes few values, and which of two equal ones comes out larger
# in the last bit must not decide a rank.
TIE = 1e-12
_TOP = np.int64(0x7FFFFFFFFFFFFFFF)
KeyArray = NDArray[np.int64]


def key_bits(width: int) -> int:
    """Return how many bits a column number of `width` columns takes."""
    return max(1, (width - 1).bit_length())


@njit(cache=True, error_model="numpy", nogil=True)
def tied(a: float, b: float) -> bool:
    """Whether `a` and `b` are equal but for rounding."""
    return bool(abs(a - b) <= TIE * max(abs(a), abs(b)))


@njit(cache=True, error_model="numpy", nogil=True)
def sort_keys(x: FloatArray, keys: KeyArray, bits: int) -> None:
    """Fill `keys` (T, N) with numbers that sort like `x` in each row, NaN last, the column in the last `bits`."""
    rows, width = x.shape
    mask = (np.int64(1) << bits) - 1
    raw = x.view(np.int64)
    for row in range(rows):
        line = raw[row]
        value = x[row]
        key = keys[row]
        for i in range(width):
            sortable = line[i] ^ ((line[i] >> 63) & _TOP)
            sortable = sortable if abs(value[i]) < np.inf else _TOP
            key[i] = (sortable & ~mask) | i


@njit(cache=True, error_model="numpy", nogil=True)
def ordered(x: FloatArray, keys: KeyArray, mask: int, columns: KeyArray, values: FloatArray) -> int:
    """Fill columns and values of a row (N,) in ascending order from its sorted keys; return how many are finite."""
    count = 0
    for key in keys:
        column = key & mask
        value = x[column]
        if not abs(value) < np.inf:
            break
        place = count
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            columns[place] = columns[place - 1]
            place -= 1
        values[place] = value
        columns[place] = column
        count += 1
    return count


@njit(cache=True, error_model="numpy", nogil=True)
def rank_row(values: FloatArray, columns: KeyArray, count: int, ranks: FloatArray) -> None:
    """Write average ranks 1..count to the columns of ascending values; each group of ties starts at its smallest."""
    start = 0
    while start < count:
        end = start + 1
        while end < count and tied(values[end], values[start]):
            end += 1
        rank = 0.5 * (start + end + 1)
        for place in range(start, end):
            ranks[columns[place]] = rank
        start = end


@njit(cache=True, error_model="numpy", nogil=True)
def ranked(x: FloatArray, keys: KeyArray, mask: int, columns: KeyArray, values: FloatArray, ranks: FloatArray) -> int:
    """Fill average ranks of a row (N,) by column, and its columns and values in ascending order; return the count.

    Ranks are written for finite values only.
    """
    count = 0
    for i in range(len(x)):
        count += 1 if abs(x[i]) < np.inf else 0
    # Most rows have no ties and keys that tell all: their ranks are known in one pass.
    clear = True
    before = -np.inf
    for place in range(count):
        column = keys[place] & mask
        value = x[column]
        columns[place] = column
        values[place] = value
        ranks[column] = place + 1.0
        clear = clear and value - before > 2.0 * TIE * max(abs(value), abs(before) if before > -np.inf else 0.0)
        before = value
    if not clear:
        rank_row(values, columns, ordered(x, keys, mask, columns, values), ranks)
    return count


@njit(cache=True, error_model="numpy", nogil=True)
def rank_rows(x: FloatArray, keys: KeyArray, out: FloatArray, bits: int, as_share: bool) -> None:
    """Average ranks from sorted keys, or ranks over the row's count of finite values; NaN stays NaN."""
    rows, width = x.shape
    mask = (1 << bits) - 1
    columns = np.empty(width, dtype=np.int64)
    values = np.empty(width, dtype=x.dtype)
    ranks = np.empty(width, dtype=np.float64)
    for row in range(rows):
        line = x[row]
        result = out[row]
        count = ranked(line, keys[row], mask, columns, values, ranks)
        divisor = count if as_share else 1
        for i in range(width):
            result[i] = ranks[i] / divisor if abs(line[i]) < np.inf else np.nan


def average_ranks(x: FloatArray) -> FloatArray:
    """Average rank (1..count) of each finite value of a bar; NaN stays NaN. (T, N) to (T, N)."""
    values = np.array(x, dtype=np.float64, order="C")
    keys = np.empty(values.shape, dtype=np.int64)
    bits = key_bits(values.shape[1])
    sort_keys(values, keys, bits)
    keys.sort(axis=1)
    out = np.empty_like(values)
    rank_rows(values, keys, out, bits, False)
    return out
