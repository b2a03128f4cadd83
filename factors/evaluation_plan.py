"""What to compute, in which order, in which memory: trees become a list of calls over a piece of the panel.

A panel is worked through in pieces of a few hundred rows, small enough that everything between reading the fields and
the result stays in the processor's cache. Each operator carries its state from piece to piece, so a piece may
as well be one bar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from factors.implementations import STREAMS
from factors.streams import Array, Layout, Stream
from factors.tree import Call, Field, Node, Number
from market.panel import BoolArray

# Calls to make; without a function, a field of the panel to read.
_Bound = list[tuple[Callable[..., object] | None, tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Step:
    """One operator: the nodes it reads, the node it makes, and its state."""

    node: Call
    args: tuple[Node, ...]
    stream: Stream


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order, with a slot of scratch memory for each node.

    Attributes
    ----------
    roots
        What is wanted, lowered.
    steps
        Operators to advance and fields to read, in order.
    slots
        Node to the number of its scratch array; a slot is used again once nothing waits for its node.
    """

    roots: tuple[Node, ...]
    steps: tuple[Step | Field, ...]
    slots: Mapping[Node, int]
    layout: Layout

    @property
    def field_names(self) -> tuple[str, ...]:
        """Fields of the panel that are read."""
        return tuple(step.name for step in self.steps if isinstance(step, Field))

    @property
    def slot_count(self) -> int:
        """How many scratch arrays are needed."""
        return max(self.slots.values(), default=-1) + 1

    @property
    def nbytes(self) -> int:
        """Memory that working through a piece takes: scratch and state."""
        piece = self.layout.rows * self.layout.width * self.layout.dtype.itemsize
        return self.slot_count * piece + sum(step.stream.nbytes for step in self.steps if isinstance(step, Step))


@dataclass
class _Builder:
    """Walks trees depth first, so that few values wait at once."""

    layout: Layout
    at_hand: frozenset[Node]
    kept: frozenset[Node]
    steps: list[Step | Field] = field(default_factory=list)
    slots: dict[Node, int] = field(default_factory=dict)
    waiting: dict[Node, int] = field(default_factory=dict)
    free: list[int] = field(default_factory=list)
    made: set[Node] = field(default_factory=set)

    def count(self, node: Node) -> None:
        self.waiting[node] = self.waiting.get(node, 0) + 1
        if self.waiting[node] == 1 and isinstance(node, Call) and node not in self.at_hand:
            for arg in _operands(node):
                self.count(arg)

    def visit(self, node: Node) -> None:
        if node in self.made:
            return
        self.made.add(node)
        if isinstance(node, Field) and node not in self.at_hand:
            self.steps.append(node)
        elif isinstance(node, Call) and node not in self.at_hand:
            args = _operands(node)
            for arg in args:
                self.visit(arg)
            arity, make = STREAMS[node.op]
            numbers = [arg.value for arg in node.args[arity:] if isinstance(arg, Number)]
            self.steps.append(Step(node, args, make(self.layout, numbers)))
        self._place(node)
        if isinstance(node, Call) and node not in self.at_hand:
            for arg in _operands(node):
                self._release(arg)

    def _place(self, node: Node) -> None:
        # What is kept has memory of its own; constants are the same in every piece, and keep theirs.
        if node in self.kept or node in self.at_hand:
            return
        if isinstance(node, Number) or not self.free:
            self.slots[node] = len(set(self.slots.values()))
        else:
            self.slots[node] = self.free.pop()

    def _release(self, node: Node) -> None:
        self.waiting[node] -= 1
        if self.waiting[node] == 0 and node in self.slots and not isinstance(node, Number):
            self.free.append(self.slots[node])


def _operands(call: Call) -> tuple[Node, ...]:
    return call.args[: STREAMS[call.op][0]]


def make_plan(
    roots: Sequence[Node],
    layout: Layout,
    *,
    at_hand: frozenset[Node] = frozenset(),
    kept: frozenset[Node] = frozenset(),
) -> Plan:
    """Plan lowered trees, equal subtrees once.

    Parameters
    ----------
    at_hand
        Nodes whose values exist already, over the whole panel.
    kept
        Nodes whose values are written to memory of their own, over the whole panel.
    """
    builder = _Builder(layout, at_hand, kept)
    for root in roots:
        builder.count(root)
    for root in roots:
        builder.visit(root)
    return Plan(tuple(roots), tuple(builder.steps), builder.slots, layout)


class Runner:
    """A plan bound to memory, working through rows in order, in pieces of any size up to the layout's.

    Parameters
    ----------
    scratch
        Arrays (rows, N) to work in; more are made, and added to it, where the plan needs them.
    """

    def __init__(self, plan: Plan, scratch: list[Array]) -> None:
        self.plan = plan
        shape = (plan.layout.rows, plan.layout.width)
        while len(scratch) < plan.slot_count:
            scratch.append(np.empty(shape, dtype=plan.layout.dtype))
        self._scratch = scratch
        self._universe: NDArray[np.bool_] = np.empty(shape, dtype=bool)
        self._bound: dict[int, _Bound] = {}
        for node, slot in plan.slots.items():
            if isinstance(node, Number):
                scratch[slot][:] = node.value

    def advance(
        self,
        fields: Mapping[str, Array],
        universe: BoolArray,
        start: int,
        stop: int,
        whole: Mapping[Node, Array],
    ) -> None:
        """Work through rows `start` to `stop` of `fields` and `universe`.

        `whole` holds arrays over the same rows, for what is at hand and for what is kept.
        """
        rows = stop - start
        np.copyto(self._universe[:rows], universe[start:stop])
        if whole:
            calls = self._bind(rows, whole, start)
        else:
            calls = self._bound.get(rows) or self._bound.setdefault(rows, self._bind(rows, whole, start))
        self.execute(calls, fields, start, stop)

    @staticmethod
    def execute(calls: _Bound, fields: Mapping[str, Array], start: int, stop: int) -> None:
        """Make the calls of a piece."""
        for function, args in calls:
            if function is None:
                target, name = args
                np.copyto(target, fields[name][start:stop], casting="same_kind")
            else:
                function(*args)

    def values(self, node: Node, rows: int) -> Array:
        """Return what the last piece gave for a root that is not kept, (rows, N); overwritten by the next piece."""
        return self._scratch[self.plan.slots[node]][:rows]

    def _bind(self, rows: int, whole: Mapping[Node, Array], start: int) -> _Bound:
        universe = self._universe[:rows]

        def array(node: Node) -> Array:
            if node in whole:
                return whole[node][start : start + rows]
            return self._scratch[self.plan.slots[node]][:rows]

        calls: _Bound = []
        for step in self.plan.steps:
            if isinstance(step, Field):
                calls.append((None, (array(step), step.name)))
                continue
            calls += step.stream.calls([array(arg) for arg in step.args], universe, array(step.node))
        return calls
