"""Quick scores of many expressions by way of a device, in order; what it cannot compute is left to the engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from agent.device.tensor_engine import DeviceEngine
from agent.device.tensor_scores import BatchScorer, figures, scorable
from backtest.quick import QuickScorer, SegmentScore
from backtest.quick_kernels import GROSS, NET
from backtest.scorecard import paid_rows
from backtest.target import Target
from factors.batch import Engine
from factors.tree import Expression
from market.errors import Rejection
from market.panel import FloatArray


class DeviceScoring:
    """Scores expressions on the segment `part` of a target, in batches on a device.

    What the device cannot compute, and what ends in ruin, is left to `engine`; `left` counts them. Under rules that the
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
        """Score expressions in their order; as many at once as fit the device."""
        rest = iter(expressions)
        while chunk := list(islice(rest, self.on_device.together)):
            chosen = [expression for expression in chunk if self.on_device.supports(expression)]
            found = self._batch(chosen) if chosen else {}
            for expression in chunk:
                score = found.get(expression.id)
                self.done += 1
                self.left += score is None
                yield expression, score if score is not None else self._alone(expression)

    def sentence(self) -> str:
        """Return how many were scored where."""
        note = f" ({self.on_device.note})" if self.on_device.note else ""
        return f"{self.done - self.left} of {self.done} quick scores on the device, {self.left} on the processor{note}"

    def _make_scorer(self) -> BatchScorer:
        device = self.on_device
        return BatchScorer(self.target, device.device, device.stop, device.bar_kernels)

    def _batch(self, chosen: list[Expression]) -> dict[str, SegmentScore]:
        values = self.on_device.values(chosen)
        if self._scorer is None:
            arrays = values.cpu().numpy()
            return {e.id: self._fed(array) for e, array in zip(chosen, arrays, strict=True)}
        series = self._scorer.series(values)
        quick = figures(series, self.part, self.target.panel.bars_per_year, self.on_device.bar_kernels)
        rows = series[:, [GROSS, NET], paid_rows(self.part)].cpu().numpy()
        return {
            e.id: SegmentScore(score, gross.copy())
            for e, score, (gross, net) in zip(chosen, quick, rows, strict=True)
            if not np.isnan(net).all()
        }

    def _fed(self, values: FloatArray) -> SegmentScore:
        scorer, rows = QuickScorer(self.target, self.engine.rows), self.engine.rows
        for first in range(0, len(values), rows):
            scorer.feed(first, values[first : first + rows])
        return scorer.segment(self.part)

    def _alone(self, expression: Expression) -> SegmentScore | Rejection:
        outcome = self.engine.one(expression, lambda _: QuickScorer(self.target, self.engine.rows))
        return outcome.result if isinstance(outcome.result, Rejection) else outcome.result.segment(self.part)
