"""Quick scores of many expressions by way of a device, in order; what it cannot compute is left to the engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from agent.device.tensor_engine import DeviceEngine
from agent.device.tensor_scores import BatchScorer, OnTheWay, figure_table, read_figures, scorable
from backtest.quick import QuickScorer, SegmentScore
from backtest.quick_kernels import GROSS, NET
from backtest.scorecard import paid_rows
from backtest.target import Target
from factors.batch import Engine
from factors.tree import Expression
from market.errors import Rejection
from market.panel import FloatArray


@dataclass(frozen=True, eq=False)
class _Batch:
    """Expressions of a chunk, those that the device computes, and what comes from it: values, or figures and series."""

    chunk: list[Expression]
    chosen: list[Expression]
    coming: tuple[OnTheWay, ...]


class DeviceScoring:
    """Scores expressions on the segment `part` of a target, in batches on a device.

    What the device cannot compute, what ends in ruin, and what predicts and pays nothing known is left to `engine`;
    `left` counts them. Under rules that the
    device does not know, values come from it and are scored on the processor.
    """

    def __init__(self, engine: Engine, target: Target, part: slice, device: str, together: int | None = None) -> None:
        self.engine, self.target, self.part = engine, target, part
        self.on_device = DeviceEngine(engine.panel, device, stop=engine.stop, together=together)
        known = scorable(target)
        self._scorer = (
            BatchScorer(target, self.on_device.device, engine.stop, self.on_device.bar_kernels) if known else None
        )
        self.done = self.left = 0

    def run(self, expressions: Iterable[Expression]) -> Iterator[tuple[Expression, SegmentScore | Rejection]]:
        """Score expressions in their order; as many at once as fit the device.

        The device works on a batch while the processor reads the one before.
        """
        rest = iter(expressions)
        before: _Batch | None = None
        while chunk := list(islice(rest, self.on_device.together)):
            begun = self._begin(chunk)
            if before is not None:
                yield from self._finish(before)
            before = begun
        if before is not None:
            yield from self._finish(before)

    def sentence(self) -> str:
        """Return how many were scored where."""
        note = f" ({self.on_device.note})" if self.on_device.note else ""
        return f"{self.done - self.left} of {self.done} quick scores on the device, {self.left} on the processor{note}"

    def _make_scorer(self) -> BatchScorer:
        device = self.on_device
        return BatchScorer(self.target, device.device, device.stop, device.bar_kernels)

    def _begin(self, chunk: list[Expression]) -> _Batch:
        """Have the device compute what it can of a chunk, without waiting for it."""
        chosen = [expression for expression in chunk if self.on_device.supports(expression)]
        if not chosen:
            return _Batch(chunk, chosen, ())
        values = self.on_device.values(chosen)
        if self._scorer is None:
            return _Batch(chunk, chosen, (OnTheWay(values),))
        series = self._scorer.series(values)
        table = figure_table(series, self.part, self.on_device.bar_kernels)
        paid = series[:, :, paid_rows(self.part)]
        # Rows chosen by a list of numbers would have the processor wait for a copy of that list.
        rows = torch.stack([paid[:, GROSS], paid[:, NET]], dim=1)
        return _Batch(chunk, chosen, (OnTheWay(table), OnTheWay(rows)))

    def _finish(self, batch: _Batch) -> Iterator[tuple[Expression, SegmentScore | Rejection]]:
        found = self._read(batch) if batch.chosen else {}
        for expression in batch.chunk:
            score = found.get(expression.id)
            self.done += 1
            self.left += score is None
            yield expression, score if score is not None else self._alone(expression)

    def _read(self, batch: _Batch) -> dict[str, SegmentScore | Rejection]:
        if self._scorer is None:
            arrays = batch.coming[0].read().numpy()
            return {e.id: self._fed(array) for e, array in zip(batch.chosen, arrays, strict=True)}
        table, rows = (array.read() for array in batch.coming)
        quick = read_figures(table, self.part, self.target.panel.bars_per_year)
        return {
            e.id: SegmentScore(score, gross.copy())
            for e, score, (gross, net) in zip(batch.chosen, quick, rows.numpy(), strict=True)
            # Where no bar has a rank IC or a payoff, too few assets may have values: the engine counts them.
            if not np.isnan(net).all() and not np.isnan([score.rank_ic, score.payoff]).all()
        }

    def _fed(self, values: FloatArray) -> SegmentScore | Rejection:
        scorer, rows = QuickScorer(self.target, self.engine.rows), self.engine.rows
        for first in range(0, len(values), rows):
            scorer.feed(first, values[first : first + rows])
        return scorer.segment(self.part)

    def _alone(self, expression: Expression) -> SegmentScore | Rejection:
        outcome = self.engine.one(expression, lambda _: QuickScorer(self.target, self.engine.rows))
        return outcome.result if isinstance(outcome.result, Rejection) else outcome.result.segment(self.part)
