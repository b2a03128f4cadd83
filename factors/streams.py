"""Operators at work: each takes the next rows of its arguments, and carries what it needs from one call to the next.

A `Stream` owns the state of one operator in one expression. Bound to arrays, it is a list of calls that may be made
again and again; the same calls serve a whole panel in pieces and one new bar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from factors.kernels import cross, elementwise, orders
from market.panel import BoolArray
from market.ranking import KeySorter, key_bits, sort_keys

# Bars that are sorted at once, at least and at most.
_SHORTEST, _LONGEST = 64, 512
# float64, or float32 for screening.
Array = NDArray[Any]
Calls = list[tuple[Callable[..., object], tuple[object, ...]]]


@dataclass(frozen=True, slots=True)
class Layout:
    """What state is made for: assets, rows of a piece, the type of values, and whether single bars will come."""

    width: int
    rows: int
    dtype: np.dtype[Any]
    live: bool = False

    def filled(self, value: float, *shape: int) -> Array:
        """Return copies of a number, in the value type; the last axis is the assets'."""
        return np.full((*shape, self.width), value, dtype=self.dtype)

    def zeros(self, *shape: int) -> Array:
        """Return zeros; see `filled`."""
        return self.filled(0.0, *shape)

    def missing(self, *shape: int) -> Array:
        """Return NaN; see `filled`."""
        return self.filled(np.nan, *shape)

    def constants(self, *values: float) -> Array:
        """Return numbers in the value type, so that arithmetic with them stays in it."""
        return np.array(values, dtype=self.dtype)


class Stream(Protocol):
    """An operator with its state."""

    @property
    def nbytes(self) -> int:
        """Memory of the state."""

    def calls(self, args: Sequence[Array], universe: BoolArray, out: Array) -> Calls:
        """Return what to call to advance by the rows of `out`, (rows, N) like `args` and `universe`."""


Maker = Callable[[Layout, Sequence[float]], Stream]


def _bytes(state: Sequence[object]) -> int:
    return sum(part.nbytes for part in state if isinstance(part, np.ndarray))


@dataclass(frozen=True, slots=True)
class Kernel:
    """One compiled kernel: called with arguments, universe if it wants it, output, then state and numbers."""

    kernel: Callable[..., object]
    state: tuple[object, ...] = ()
    sees_universe: bool = False

    @property
    def nbytes(self) -> int:
        """Memory of the state."""
        return _bytes(self.state)

    def calls(self, args: Sequence[Array], universe: BoolArray, out: Array) -> Calls:
        """Return the one call."""
        seen = (universe,) if self.sees_universe else ()
        return [(self.kernel, (*args, *seen, out, *self.state))]


@dataclass(frozen=True, slots=True)
class Chain:
    """Ufuncs of numpy one after the other, the last result made finite. `steps` maps (args, out) to calls."""

    steps: Callable[[Sequence[Array], Array], Calls]
    nbytes: int = 0

    def calls(self, args: Sequence[Array], universe: BoolArray, out: Array) -> Calls:
        """Return the ufuncs' calls."""
        return [*self.steps(args, out), (elementwise.finite, (out,))]


@dataclass(frozen=True, slots=True)
class Sorted:
    """A kernel that walks each row in ascending order; `args[0]` is sorted, the others are handed on."""

    kernel: Callable[..., object]
    sorter: KeySorter
    state: tuple[object, ...]

    @property
    def nbytes(self) -> int:
        """Memory of the state and the keys."""
        return self.sorter.nbytes + _bytes(self.state)

    def calls(self, args: Sequence[Array], universe: BoolArray, out: Array) -> Calls:
        """Return the calls that make keys, sort them, and walk."""
        sorter, bits = self.sorter.first(len(out)), key_bits(out.shape[1])
        # Keys are made of 64-bit values: a value of 32 bits is exactly one of 64.
        wide = (args[0],) if out.dtype == np.float64 else ()
        before: Calls = []
        if not wide:
            copy = np.empty(out.shape)
            before, wide = [(np.copyto, (copy, args[0]))], (copy,)
        return [
            *before,
            (sort_keys, (wide[0], sorter.keys, bits)),
            (sorter.sort, ()),
            (self.kernel, (wide[0], *args[1:], sorter.result, out, *self.state)),
        ]


@dataclass(frozen=True, slots=True)
class RowQuantiles:
    """Quantile across the bar, from rows that numpy sorts."""

    ascending: Array
    level: float

    @property
    def nbytes(self) -> int:
        """Memory of the sorted copy."""
        return self.ascending.nbytes

    def calls(self, args: Sequence[Array], universe: BoolArray, out: Array) -> Calls:
        """Return the calls that copy, sort and pick."""
        ascending = self.ascending[: len(out)]
        return [
            (np.copyto, (ascending, args[0])),
            (np.ndarray.sort, (ascending, 1)),
            (cross.quantiles, (args[0], ascending, out, self.level)),
        ]


@dataclass(frozen=True, slots=True)
class Sliding:
    """Rank or quantile over a window of time, from values in order, a stretch of the piece at a time."""

    ring: NDArray[np.float64]
    d: int
    level: float
    mode: int

    @property
    def nbytes(self) -> int:
        """Memory of the older values, and of sorted copies of them with a stretch."""
        width = len(self.ring[0]) if len(self.ring) else 0
        return self.ring.nbytes + 4 * 8 * width * (self.d + stretch(self.d))

    def calls(self, args: Sequence[Array], universe: BoolArray, out: Array) -> Calls:
        """Return the calls that gather, sort and slide, for each stretch."""
        rows, width = out.shape
        calls: Calls = []
        memory: dict[int, tuple[NDArray[np.float64], KeySorter]] = {}
        for start in range(0, rows, stretch(self.d)):
            part = slice(start, min(start + stretch(self.d), rows))
            length = self.d - 1 + part.stop - part.start
            if length not in memory:
                memory[length] = np.empty((width, length)), KeySorter.make(width, length)
            lines, sorter = memory[length]
            bits = key_bits(length)
            calls += [
                (orders.side_by_side, (args[0][part], self.ring, lines)),
                (sort_keys, (lines, sorter.keys, bits)),
                (sorter.sort, ()),
                (orders.slide, (lines, sorter.result, out[part], bits, self.d, self.level, self.mode)),
            ]
        return calls


def stretch(d: int) -> int:
    """Return how many bars to sort at once with the d before them: few enough to sort fast, enough to be worth it."""
    if d <= _SHORTEST:
        return _SHORTEST
    return d if d < _LONGEST else _LONGEST
