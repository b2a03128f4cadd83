"""Scoring on this machine: expressions in threads, or by way of a device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agent.cluster.quick_work import QuickWork, Scored, outcome_of
from factors.tree import Expression
from market.errors import Rejection

_CACHE = 256_000_000


@dataclass(frozen=True)
class ThreadScorer:
    """Scores in threads of this process."""

    threads: int = 1

    def run(self, expressions: Iterable[Expression], work: QuickWork, stop: Callable[[], bool]) -> Iterator[Scored]:
        """Score expressions; those under way are finished when the caller ends the list."""
        engine = work.engine_of(self.threads, _CACHE)
        for found in engine.run(expressions, work.consumer(engine)):
            yield found.expression, work.outcome(found)


@dataclass(frozen=True)
class DeviceScorer:
    """Scores in batches on a device, as torch names it; `say` is called with how many were scored where."""

    device: str
    threads: int = 1
    say: Callable[[str], None] = lambda _sentence: None

    def run(self, expressions: Iterable[Expression], work: QuickWork, stop: Callable[[], bool]) -> Iterator[Scored]:
        """Score expressions; those under way are finished when the caller ends the list."""
        from agent.device.device_scoring import DeviceScoring

        scoring = DeviceScoring(work.engine_of(self.threads, _CACHE), work.target, work.part, self.device)
        for expression, found in scoring.run(expressions):
            yield expression, found if isinstance(found, Rejection) else outcome_of(found)
        self.say(scoring.sentence())
