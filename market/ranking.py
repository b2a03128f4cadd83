"""Average ranks across assets, for the language and the backtest alike: a tie means the same in both.

A row is sorted once, as whole numbers: a value's bits, made to sort like it, with its column in the last few. What
these lack of a value is put right while walking the sorted row, so the order is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

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


# A step in the last of 52 bits is at least 2^-53 of a value: this many steps are 4 TIE.
_APART = np.int64(4 * TIE * 2.0**53)
# numpy sorts this many 64-bit numbers in registers, several times faster than more of them.
_IN_REGISTERS = 256


def key_bits(width: int) -> int:
    """Return how many bits a column number of `width` columns takes."""
    return max(1, (width - 1).bit_length())


@dataclass(frozen=True, slots=True)
class KeySorter:
    """Memory to sort rows of keys in: short runs by numpy, then merged in pairs.

    Attributes
    ----------
    keys
        (T, W) to be filled by `sort_keys`; W is the columns, rounded up to runs of one length.
    spare
        As much again, to merge into.
    runs
        Runs a row is cut into, a power of two.
    """

    keys: KeyArray
    spare: KeyArray
    runs: int

    @classmethod
    def make(cls, rows: int, width: int) -> KeySorter:
        """Make memory for rows of `width` values."""
        runs = 1
        while -(-width // runs) > _IN_REGISTERS:
            runs *= 2
        shape = (rows, runs * -(-width // runs))
        keys = np.empty(shape, dtype=np.int64)
        return cls(keys, np.empty(shape if runs > 1 else (0, 0), dtype=np.int64), runs)

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self.keys.nbytes + self.spare.nbytes

    @property
    def result(self) -> KeyArray:
        """Where the sorted rows are after `sort`."""
        return self.spare if self.runs.bit_length() % 2 == 0 else self.keys

    def first(self, rows: int) -> KeySorter:
        """Return the part of it that sorts the first rows."""
        return KeySorter(self.keys[:rows], self.spare[:rows] if self.runs > 1 else self.spare, self.runs)

    def sort(self) -> None:
        """Sort each row of `keys` into `result`."""
        rows, width = self.keys.shape
        self.keys.reshape(rows, self.runs, width // self.runs).sort(axis=2)
        source, target, length = self.keys, self.spare, width // self.runs
        while length < width:
            _merge_runs(source, target, length)
            source, target, length = target, source, 2 * length


@njit(cache=True, error_model="numpy", nogil=True)
def _merge_runs(source: KeyArray, target: KeyArray, length: int) -> None:
    """Merge ascending runs of `length` in pairs, from both ends at once: two chains without a guess between them."""
    rows, width = source.shape
    for row in range(rows):
        for start in range(0, width, 2 * length):
            a = source[row, start : start + 2 * length]
            b = target[row, start : start + 2 * length]
            left, right = 0, length
            left_end, right_end = length - 1, 2 * length - 1
            for k in range(length):
                x, y = a[left], a[right]
                first = int(x <= y)
                b[k] = x if x <= y else y
                left += first
                right += 1 - first
                x, y = a[left_end], a[right_end]
                last = int(x > y)
                b[2 * length - 1 - k] = x if x > y else y
                left_end -= last
                right_end -= 1 - last


@njit(cache=True, error_model="numpy", nogil=True)
def tied(a: float, b: float) -> bool:
    """Whether `a` and `b` are equal but for rounding."""
    return bool(abs(a - b) <= TIE * max(abs(a), abs(b)))


@njit(cache=True, error_model="numpy", nogil=True)
def sort_keys(x: FloatArray, keys: KeyArray, bits: int) -> None:
    """Fill `keys` with numbers that sort like `x` (T, N) in each row, NaN last, the column in the last `bits`.

    Further columns of `keys` sort after all.
    """
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
        for i in range(width, keys.shape[1]):
            key[i] = _TOP


@njit(cache=True, error_model="numpy", nogil=True)
def count_finite(x: FloatArray) -> int:
    """Return how many values of a row are finite."""
    count = 0
    for i in range(len(x)):
        count += 1 if abs(x[i]) < np.inf else 0
    return count


@njit(cache=True, error_model="numpy", nogil=True)
def ordered(x: FloatArray, keys: KeyArray, mask: int, columns: KeyArray, values: FloatArray) -> int:
    """Fill columns and values of a row (N,) in ascending order from its sorted keys; return how many are finite."""
    count = count_finite(x)
    for k in range(count):
        column = keys[k] & mask
        value = x[column]
        place = k
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            columns[place] = columns[place - 1]
            place -= 1
        values[place] = value
        columns[place] = column
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
def is_clear(keys: KeyArray, count: int, bits: int) -> bool:
    """Whether the first sorted keys lie so far apart that no two of their values tie or stand in the wrong order.

    Neighbours are at least 4 TIE apart where their bits, as whole numbers, differ by `_APART`, and keys lack the last
    `bits` of those.
    """
    least = _APART + (np.int64(2) << bits)
    close = 0
    for place in range(count - 1):
        close += 1 if keys[place + 1] - keys[place] < least else 0
    return close == 0


@njit(cache=True, error_model="numpy", nogil=True)
def rank_clear(keys: KeyArray, count: int, mask: int, ranks: FloatArray) -> None:
    """Write ranks 1..count to the columns of sorted keys without ties."""
    for place in range(count):
        ranks[keys[place] & mask] = place + 1.0


@njit(cache=True, error_model="numpy", nogil=True)
def _rank_tied(x: FloatArray, keys: KeyArray, count: int, mask: int, ranks: FloatArray) -> bool:
    """Write average ranks from sorted keys with ties; return False where the keys' missing bits misled them."""
    start = 0
    # What is up to here ties with the value at `start`.
    bound = -np.inf
    before = -np.inf
    for place in range(count + 1):
        value = x[keys[place] & mask] if place < count else np.inf
        if value < before:
            return False
        before = value
        if value > bound:
            rank = 0.5 * (start + place + 1)
            for k in range(start, place):
                ranks[keys[k] & mask] = rank
            start = place
            bound = value / (1.0 - TIE) if value > 0.0 else value - TIE * value
    return True


@njit(cache=True, error_model="numpy", nogil=True)
def rank_with_keys(
    x: FloatArray, keys: KeyArray, count: int, bits: int, columns: KeyArray, values: FloatArray, ranks: FloatArray
) -> bool:
    """Fill average ranks of a row (N,) by column, for its `count` finite values only; return whether none tie.

    `columns` and `values` are to work in.
    """
    mask = (1 << bits) - 1
    clear = is_clear(keys, count, bits)
    if clear:
        rank_clear(keys, count, mask, ranks)
    elif not _rank_tied(x, keys, count, mask, ranks):
        rank_row(values, columns, ordered(x, keys, mask, columns, values), ranks)
    return clear


@njit(cache=True, error_model="numpy", nogil=True)
def rank_rows(x: FloatArray, keys: KeyArray, out: FloatArray, bits: int, as_share: bool) -> None:
    """Average ranks from sorted keys, or ranks over the row's count of finite values; NaN stays NaN."""
    rows, width = x.shape
    columns = np.empty(width, dtype=np.int64)
    values = np.empty(width, dtype=x.dtype)
    ranks = np.empty(width, dtype=np.float64)
    for row in range(rows):
        line = x[row]
        result = out[row]
        count = count_finite(line)
        rank_with_keys(line, keys[row], count, bits, columns, values, ranks)
        divisor = count if as_share else 1
        for i in range(width):
            result[i] = ranks[i] / divisor if abs(line[i]) < np.inf else np.nan


def average_ranks(x: FloatArray) -> FloatArray:
    """Average rank (1..count) of each finite value of a bar; NaN stays NaN. (T, N) to (T, N)."""
    values = np.array(x, dtype=np.float64, order="C")
    sorter, bits = KeySorter.make(*values.shape), key_bits(values.shape[1])
    sort_keys(values, sorter.keys, bits)
    sorter.sort()
    out = np.empty_like(values)
    rank_rows(values, sorter.result, out, bits, False)
    return out


@dataclass(frozen=True, eq=False)
class Ranked:
    """Rows of a (T, N) array in order.

    Attributes
    ----------
    order
        Columns by ascending value; of the first `counts` of a row only.
    ranks
        Average ranks 1..count by column; NaN where there is no value.
    counts
        (T,) finite values a row.
    """

    order: NDArray[np.int32]
    ranks: FloatArray
    counts: NDArray[np.int64]


def rank_panel(x: FloatArray) -> Ranked:
    """Put each row of (T, N) in order."""
    values = np.array(x, dtype=np.float64, order="C")
    sorter, bits = KeySorter.make(*values.shape), key_bits(values.shape[1])
    sort_keys(values, sorter.keys, bits)
    sorter.sort()
    found = Ranked(np.empty(values.shape, np.int32), np.empty(values.shape), np.empty(len(values), np.int64))
    _order_rows(values, sorter.result, found.order, found.ranks, found.counts, bits)
    return found


@njit(cache=True, error_model="numpy", nogil=True)
def _order_rows(
    x: FloatArray, keys: KeyArray, order: NDArray[np.int32], out: FloatArray, counts: KeyArray, bits: int
) -> None:
    rows, width = x.shape
    mask = (1 << bits) - 1
    columns = np.empty(width, dtype=np.int64)
    values = np.empty(width)
    for row in range(rows):
        count = count_finite(x[row])
        out[row] = np.nan
        if rank_with_keys(x[row], keys[row], count, bits, columns, values, out[row]):
            for k in range(count):
                order[row, k] = keys[row, k] & mask
        else:
            ordered(x[row], keys[row], mask, columns, values)
            for k in range(count):
                order[row, k] = columns[k]
        for k in range(count, width):
            order[row, k] = -1
        counts[row] = count
