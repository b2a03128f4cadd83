"""Evaluating many expressions on one panel, on all cores, within stated time and memory.

Each expression is planned on its own and fed to a consumer piece by piece, so that its values never exist as a whole.
Subtrees that expressions share, within a batch and from one batch to the next, are computed once
(`factors.cache`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from factors.cache import SubtreeCache
from factors.evaluation_plan import Runner, make_plan
from factors.limits import GIGABYTES, SECONDS
from factors.lowering import Lowering
from factors.measure import cell_cost, piece_rows, work_bytes
from factors.streams import Array, Layout
from factors.tree import Call, Expression, Node, Signal
from market.errors import Rejection
from market.panel import Panel

# Below this estimated work a cell, in nanoseconds, reading a kept value is no faster than computing it.
_WORTH_KEEPING = 16.0


class Consumer(Protocol):
    """What takes the values of one expression."""

    def feed(self, first: int, values: Array) -> None:
        """Take rows `first` and after, (rows, N); the array is used again afterwards."""


C = TypeVar("C", bound=Consumer)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[C]):
    """An expression with its consumer, fed in full, or why it was given up; and the seconds it took."""

    expression: Expression
    result: C | Rejection
    seconds: float


class _Whole:
    """Keeps all values of one expression."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.values = np.empty(shape)

    def feed(self, first: int, values: Array) -> None:
        """Copy the rows."""
        self.values[first : first + len(values)] = values


def evaluate_within(expression: Expression, panel: Panel, *, seconds: float, gigabytes: float) -> Signal | Rejection:
    """Return an expression's values like `factors.engine.evaluate`, or why it was given up: over time or memory."""
    engine = Engine(panel, cache_bytes=0, seconds=seconds, gigabytes=gigabytes)
    found = engine.one(expression, lambda _: _Whole(panel.shape)).result
    return found if isinstance(found, Rejection) else Signal(expression, found.values, panel.id)


class Engine:
    """Evaluates expressions on the first bars of a panel.

    Parameters
    ----------
    stop
        Bars to evaluate, the whole panel if None.
    dtype
        Type of values; float32 is for screening.
    threads
        Expressions evaluated at once.
    cache_bytes
        Memory for shared subtrees.
    seconds, gigabytes
        What one expression may take; more is a rejection with the number.
    """

    def __init__(
        self,
        panel: Panel,
        *,
        stop: int | None = None,
        dtype: type[np.floating[Any]] = np.float64,
        threads: int = 1,
        cache_bytes: int = 256_000_000,
        seconds: float = SECONDS,
        gigabytes: float = GIGABYTES,
    ) -> None:
        bars, width = panel.shape
        self.panel = panel
        self.stop = bars if stop is None else min(stop, bars)
        self.layout = Layout(width, min(piece_rows(width), max(self.stop, 1)), np.dtype(dtype))
        self.threads, self.seconds, self.gigabytes = threads, seconds, gigabytes
        self.cache = SubtreeCache(cache_bytes)
        self._fields = {name: _typed(values[: self.stop], self.layout.dtype) for name, values in panel.fields.items()}
        self._lower = Lowering(panel.fields)
        self._lock = threading.Lock()
        self._own = threading.local()

    @property
    def rows(self) -> int:
        """Rows of a piece at most."""
        return self.layout.rows

    def peak_bytes(self, expressions: Iterable[Expression]) -> int:
        """Return an upper estimate of the memory that evaluating a batch takes, beside the panel itself."""
        most = max((work_bytes(e.root, self.layout.width, self.rows) for e in expressions), default=0)
        fields = 0 if self.layout.dtype == np.float64 else sum(values.nbytes for values in self._fields.values())
        return fields + self.cache.budget + self.threads * (most + self._whole_bytes)

    @property
    def _whole_bytes(self) -> int:
        return self.stop * self.layout.width * self.layout.dtype.itemsize

    def run(self, expressions: Iterable[Expression], consumer: Callable[[Expression], C]) -> Iterator[Outcome[C]]:
        """Evaluate expressions, several at once; outcomes come in their order.

        `consumer` makes what takes an expression's values; it is called in the thread that evaluates it.
        """
        waiting: deque[Future[Outcome[C]]] = deque()
        with ThreadPoolExecutor(self.threads, thread_name_prefix="engine") as pool:
            try:
                for expression in expressions:
                    waiting.append(pool.submit(self.one, expression, consumer))
                    if len(waiting) > 2 * self.threads:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def one(self, expression: Expression, consumer: Callable[[Expression], C]) -> Outcome[C]:
        """Evaluate one expression."""
        begun = time.perf_counter()
        need = work_bytes(expression.root, self.layout.width, self.rows)
        if need > self.gigabytes * 1e9:
            why = f"the factor needs about {need / 1e9:.1f} GB on this data, at most {self.gigabytes:g} GB are allowed"
            return Outcome(expression, Rejection("evaluate", "too_costly", why, "shorten the windows"), 0.0)
        taker = consumer(expression)
        late = self._evaluate(expression.root, taker, begun)
        return Outcome(expression, taker if late is None else late, time.perf_counter() - begun)

    def _lowered(self, root: Node) -> Node:
        with self._lock:
            return self._lower(root)

    def _evaluate(self, tree: Node, taker: Consumer, begun: float) -> Rejection | None:
        root = self._lowered(tree)
        whole, kept = self._shared(tree)
        at_hand = frozenset(node for node in whole if node not in kept)
        plan = make_plan([root], self.layout, at_hand=at_hand, kept=frozenset(kept))
        runner = Runner(plan, self._scratch())
        with np.errstate(all="ignore"):
            for start in range(0, self.stop, self.rows):
                stop = min(start + self.rows, self.stop)
                runner.advance(self._fields, self.panel.universe, start, stop, whole)
                taker.feed(start, whole[root][start:stop] if root in whole else runner.values(root, stop - start))
                if time.perf_counter() - begun > self.seconds:
                    done = stop / self.stop
                    why = f"the factor was given up after {self.seconds:g} s, {done:.0%} of the bars done"
                    return Rejection("evaluate", "too_slow", why, "shorten the windows or drop a part")
        for node, saves in kept.items():
            self.cache.put(node, whole[node], saves)
        return None

    def _scratch(self) -> list[Array]:
        arrays: list[Array] | None = getattr(self._own, "scratch", None)
        if arrays is None:
            arrays = self._own.scratch = []
        return arrays

    def _shared(self, tree: Node) -> tuple[dict[Node, Array], dict[Node, float]]:
        """Return arrays of lowered subtrees that are at hand or shall be kept, and what keeping the latter saves.

        Of subtrees within one another only the largest is kept.
        """
        whole: dict[Node, Array] = {}
        kept: dict[Node, float] = {}
        stack, seen = [(tree, False)], set[Node]()
        while stack:
            node, inside = stack.pop()
            if not isinstance(node, Call) or node in seen:
                continue
            seen.add(node)
            saves = cell_cost(node)
            if saves < _WORTH_KEEPING:
                continue
            lowered = self._lowered(node)
            known = self.cache.get(lowered)
            if known is not None:
                whole[lowered] = known
                continue
            # The expression as a whole is new; it counts as met for those that will be made of it.
            again = self.cache.meet(lowered) > 1 and node is not tree and not inside
            if again and (len(kept) + 1) * self._whole_bytes <= self.cache.budget // 4:
                whole[lowered] = np.empty((self.stop, self.layout.width), dtype=self.layout.dtype)
                kept[lowered] = saves
                inside = True
            stack.extend((arg, inside) for arg in node.args)
        return whole, kept


def _typed(values: Array, dtype: np.dtype[Any]) -> Array:
    return values if values.dtype == dtype else values.astype(dtype)
