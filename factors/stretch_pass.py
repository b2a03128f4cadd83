"""Evaluating a batch of expressions in one pass over a panel that is read a stretch of bars after the other.

Operators carry their state from stretch to stretch (`factors.streams`), as they do from piece to piece of a panel in
memory: values are the same to the last bit, and every operator can be evaluated so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Generic

import numpy as np

from factors.batch import C
from factors.evaluation_plan import Runner, Step, make_plan
from factors.lowering import Lowering
from factors.measure import piece_rows, work_bytes
from factors.streams import Array, Layout, Stream
from factors.tree import Expression, Node
from market.errors import InputError, Rejection
from market.panel import Panel


@dataclass
class UnderWay(Generic[C]):
    """An expression that has seen some bars, what takes its values, and why it was given up, if it was."""

    expression: Expression
    root: Node
    runner: Runner
    taker: C
    seconds: float = 0.0
    refused: Rejection | None = None

    def advance(self, panel: Panel, start: int, stop: int, most_seconds: float) -> None:
        """Evaluate bars [start, stop) and hand the values on; `start` follows the bars before."""
        if self.refused is not None:
            return
        begun, rows = time.perf_counter(), self.runner.plan.layout.rows
        with np.errstate(all="ignore"):
            for first in range(start, stop, rows):
                last = min(first + rows, stop)
                self.runner.advance(panel.fields, panel.universe, first, last, {})
                self.taker.feed(first, self.runner.values(self.root, last - first))
        self.seconds += time.perf_counter() - begun
        if self.seconds > most_seconds:
            why = f"the factor was given up after {most_seconds:g} s, at bar {stop}"
            self.refused = Rejection("evaluate", "too_slow", why, "shorten the windows or drop a part")

    @property
    def state(self) -> tuple[Array, ...]:
        """What its operators carry to the next bar, in the order of the plan."""
        steps = (step for step in self.runner.plan.steps if isinstance(step, Step))
        return tuple(array for step in steps for array in _carried(step.stream))


@dataclass(frozen=True)
class PassLimits:
    """What one expression may take: seconds of one thread, and gigabytes of memory."""

    seconds: float
    gigabytes: float


def too_large(expression: Expression, panel: Panel, limits: PassLimits) -> Rejection | None:
    """Return why an expression needs too much memory for its state, or None."""
    width = panel.shape[1]
    need = work_bytes(expression.root, width, piece_rows(width))
    if need <= limits.gigabytes * 1e9:
        return None
    why = f"the factor needs about {need / 1e9:.1f} GB on this data, at most {limits.gigabytes:g} GB are allowed"
    return Rejection("evaluate", "too_costly", why, "shorten the windows")


def runner_of(expression: Expression, panel: Panel) -> tuple[Node, Runner]:
    """Return an expression's lowered tree, and what evaluates it from the first bar on."""
    width = panel.shape[1]
    root = Lowering(panel.fields)(expression.root)
    layout = Layout(width, min(piece_rows(width), max(len(panel.times), 1)), np.dtype(np.float64))
    return root, Runner(make_plan([root], layout), [])


def restore(state: Sequence[Array], kept: Sequence[Array]) -> None:
    """Write what was kept into state of the same expression, in place."""
    if [one.shape for one in state] != [one.shape for one in kept]:
        raise InputError("what was kept of a pass is of another expression", "start the screening again")
    for one, other in zip(state, kept, strict=True):
        one[...] = other


def _carried(stream: Stream) -> Iterator[Array]:
    """Yield the arrays of a stream's state; memory for sorting is written again with every piece, and no state."""
    for part in fields(stream):  # type: ignore[arg-type]  # every stream is a dataclass
        value = getattr(stream, part.name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, np.ndarray):
                yield one
