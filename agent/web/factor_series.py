"""The curves of a factor or a pool for an interactive chart: wealth, payoff, gate over train and validation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.review.collect import review_factor, study_of_run
from agent.review.collect_pool import compounded, study_of_pool
from agent.review.review_records import EQUITY_LABELS, Review
from agent.study.workspace import Workspace
from market.panel import FloatArray

# A screen has fewer columns.
_POINTS = 1_500
_KEPT = 24


@dataclass
class SeriesCache:
    """The curves that were computed last. What opens data holds the lock: one at a time is quick enough."""

    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def curves(self, workspace: Workspace, factor_id: str) -> dict[str, Any]:
        """Return the curves of a factor under the rules of the run that tried it, or of a pool under its own.

        Raises
        ------
        InputError
            Where there is no such factor or pool, or its data are gone.
        """
        with self.lock:
            if factor_id not in self.kept:
                with workspace.knowledge() as knowledge:
                    made = _pool_curves if factor_id.startswith("pool:") else _curves
                    self.kept[factor_id] = made(workspace, knowledge, factor_id)
                while len(self.kept) > _KEPT:
                    del self.kept[next(iter(self.kept))]
            return self.kept[factor_id]


def _curves(workspace: Workspace, knowledge: KnowledgeBase, factor_id: str) -> dict[str, Any]:
    record = knowledge.get_factor(factor_id)
    study = study_of_run(workspace, knowledge.get_run(record.attempt.run_id), None)
    return curves_of(review_factor(study, knowledge, record))


def _pool_curves(workspace: Workspace, knowledge: KnowledgeBase, pool_id: str) -> dict[str, Any]:
    """Return what a chart draws of a pool: itself beside equal weights and its best member."""
    pool = knowledge.get_pool(pool_id)
    study = study_of_pool(workspace, pool, None)
    curves = compounded(study, knowledge, pool)
    seconds, split = study.panel.times.astype("datetime64[s]").astype(np.int64), study.split
    rows = thinned(len(seconds))
    return {
        "factor": pool.id,
        "name": pool.name,
        "times": seconds[rows].tolist(),
        "curves": [
            {"key": "net" if k == 0 else f"rival{k}", "label": label, "values": plain_values(values, rows)}
            for k, (label, values) in enumerate(curves.items())
        ],
        "gate": None,
        "spans": _spans(seconds, split.train.stop, split.validation.start),
        "sentence": "Net of costs, ungated; train is scored walking forward.",
    }


def _spans(seconds: np.ndarray[Any, Any], train_end: int, validation_start: int) -> dict[str, tuple[int, int]]:
    """Return the first and the last time of train and of validation."""
    return {
        "train": (int(seconds[0]), int(seconds[train_end - 1])),
        "validation": (int(seconds[validation_start]), int(seconds[-1])),
    }


def curves_of(review: Review) -> dict[str, Any]:
    """Return what a chart draws, as plain JSON types: at most `_POINTS` bars, none after validation.

    ``times`` are seconds since 1970; ``spans`` the first and last time of train and of validation.
    """
    bars = len(review.times)
    rows = thinned(bars)
    seconds = review.times.astype("datetime64[s]").astype(np.int64)
    return {
        "factor": review.factor_id,
        "name": review.name,
        "times": seconds[rows].tolist(),
        "curves": [
            {"key": key, "label": EQUITY_LABELS[key], "values": plain_values(review.equity[key], rows)}
            for key in EQUITY_LABELS
            if key in review.equity
        ],
        "gate": None if review.gate_exposure is None else plain_values(review.gate_exposure, rows),
        "spans": _spans(seconds, review.train_end, review.validation_start),
        "sentence": review.sentence,
        "forward": review.forward,
        "rules": review.rules,
        "reading": review.reading,
        "reasons": list(review.reasons),
        "audits": list(review.audits),
    }


def plain_values(values: FloatArray, rows: np.ndarray[Any, Any]) -> list[float | None]:
    """Return some rows of a series as JSON has them: rounded, and None where nothing is known."""
    return [round(float(x), 6) if math.isfinite(x) else None for x in np.asarray(values, dtype=np.float64)[rows]]


def thinned(bars: int) -> np.ndarray[Any, Any]:
    """Return the rows that a chart draws of `bars` rows: evenly spaced, the first and the last among them."""
    step = max(1, math.ceil(bars / _POINTS))
    return np.unique(np.append(np.arange(0, bars, step), bars - 1))
