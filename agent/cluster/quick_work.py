"""Quick scores as work: an expression in, the figures of its quick score and the fingerprint of its returns out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from backtest.luck import fingerprint_of
from backtest.quick import QuickScore, QuickScorer, SegmentScore
from backtest.target import Target
from factors.batch import Engine, Outcome
from factors.tree import Expression
from factors.warm_engine import warm_up
from market.errors import Rejection
from market.panel import FloatArray, Panel


@dataclass(frozen=True, eq=False)
class QuickOutcome:
    """What is kept of a quick score: its figures, and the fingerprint of the returns before costs.

    The fingerprint is as of `backtest.luck.fingerprint_of`: at most 512 numbers, where the returns are one a bar.
    """

    quick: QuickScore
    fingerprint: FloatArray


Scored = tuple[Expression, QuickOutcome | Rejection]


class Scorer(Protocol):
    """Who scores many expressions: threads, a device, or a cluster. All give the same answers in the same order."""

    def run(self, expressions: Iterable[Expression], work: QuickWork, stop: Callable[[], bool]) -> Iterator[Scored]:
        """Score expressions; answers come in their order, and may end early once `stop` returns true."""


@dataclass(frozen=True, eq=False)
class QuickWork:
    """Quick scores on one segment.

    Attributes
    ----------
    panel
        What expressions are evaluated on, up to the end of `part`.
    target
        What they are scored against.
    part
        The segment: train.
    seconds, gigabytes
        What evaluating one expression may take.
    cache_bytes
        Memory for subtrees that expressions share; values do not hang on it.
    """

    panel: Panel
    target: Target
    part: slice
    seconds: float
    gigabytes: float
    cache_bytes: int = 64_000_000

    def engine_of(self, threads: int = 1, cache_bytes: int | None = None) -> Engine:
        """Return a new engine for it."""
        return Engine(
            self.panel,
            stop=self.part.stop,
            threads=threads,
            cache_bytes=self.cache_bytes if cache_bytes is None else cache_bytes,
            seconds=self.seconds,
            gigabytes=self.gigabytes,
        )

    @cached_property
    def _engine(self) -> Engine:
        return self.engine_of()

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent: an engine belongs to its process."""
        return {name: value for name, value in self.__dict__.items() if name != "_engine"}

    def content_id(self) -> str:
        """Return a hash of panel, outcomes, trading rules, groups, segment and limits."""
        target, digest = self.target, hashlib.sha256()
        digest.update(panel_hash(self.panel).encode())
        digest.update(b"same" if target.panel is self.panel else panel_hash(target.panel).encode())
        digest.update(b"" if target.groups is None else target.groups.tobytes())
        about = (target.spec, self.part.start, self.part.stop, self.seconds, self.gigabytes)
        digest.update(repr(about).encode())
        return f"quick:{digest.hexdigest()[:16]}"

    def prepare(self) -> None:
        """Compile or load every kernel: those that score are others where data are shared and cannot be written to."""
        warm_up()
        rows = min(self._engine.rows, max(self.part.stop, 1))
        self.consumer(self._engine)(None).feed(0, np.zeros((rows, self.panel.shape[1])))

    def do(self, expression: Expression, /) -> QuickOutcome | Rejection:
        """Quick-score one expression."""
        return self.outcome(self._engine.one(expression, self.consumer(self._engine)))

    def lost(self, expression: Expression, why: str, /) -> Rejection:
        """Refuse what ends every process that evaluates it."""
        return Rejection("evaluate", "worker_lost", why, "shorten the windows or drop a part")

    def consumer(self, engine: Engine) -> Callable[[object], QuickScorer]:
        """Return what makes a scorer for an expression."""
        return lambda _: QuickScorer(self.target, engine.rows)

    def outcome(self, found: Outcome[QuickScorer]) -> QuickOutcome | Rejection:
        """Return what is kept of an evaluated expression."""
        result = found.result
        score = result if isinstance(result, Rejection) else result.segment(self.part)
        return score if isinstance(score, Rejection) else outcome_of(score)


def outcome_of(score: SegmentScore) -> QuickOutcome:
    """Return what is kept of a segment's score."""
    return QuickOutcome(score.quick, fingerprint_of(score.gross))


def panel_hash(panel: Panel) -> str:
    """Return the content hash of a panel, computed again: a copy remembers `Panel.id` even where its arrays differ."""
    known = panel.__dict__.pop("id", None)
    try:
        return panel.id
    finally:
        if known is not None:
            panel.__dict__["id"] = known
