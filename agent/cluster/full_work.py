"""Full scores as work: an expression in, its values and what a scorecard rests on out; candidates begun ahead."""

from __future__ import annotations

import hashlib
import pickle
import threading
from dataclasses import dataclass
from typing import Any

from agent.cluster.quick_work import QuickWork
from agent.cluster.ray_cluster import Loss, different
from agent.cluster.spreading import MOVES, TRIES, Machines
from agent.study.study import Study, backtest_expression
from backtest.scorecard import Scored
from backtest.warm_backtest import warm_backtest
from factors.tree import Expression, Signal
from factors.warm_engine import warm_up
from market.errors import InputError, Rejection

Backtested = tuple[Signal, Scored] | Rejection
# A full score takes about five times as long as the values alone.
_FULL = 5.0


@dataclass(frozen=True, eq=False)
class FullWork:
    """Full scores of a study's factors on train and validation, as of `agent.study.study.backtest_expression`."""

    study: Study

    @property
    def seconds(self) -> float:
        """What one factor may take."""
        return _FULL * self.study.max_seconds

    def content_id(self) -> str:
        """Return a hash of the panel, what it is scored against, gate, splits and rules."""
        study, digest = self.study, hashlib.sha256()
        quick = QuickWork(study.panel, study.target, study.split.train, study.max_seconds, study.max_gigabytes)
        digest.update(quick.content_id().encode())
        for values in (study.exposures, study.log_likelihood, study.threshold):
            digest.update(b"none" if values is None else values.tobytes())
        for name in sorted(study.clusters):
            digest.update(name.encode() + study.clusters[name].tobytes())
        about = (study.spec, study.split, study.grid, study.seed, study.cutoff, sorted(study.learned.items()))
        digest.update(repr(about).encode())
        return f"full:{digest.hexdigest()[:16]}"

    def prepare(self) -> None:
        """Compile or load the kernels."""
        warm_up()
        warm_backtest()

    def do(self, expression: Expression, /) -> Backtested:
        """Score one factor in full."""
        return backtest_expression(expression, self.study)

    def lost(self, expression: Expression, why: str, /) -> Rejection:
        """Refuse what ends every process that scores it."""
        return Rejection("evaluate", "worker_lost", why, "shorten the windows or drop a part")


class Ahead:
    """Full scores of candidates, begun on a cluster as soon as they are known and asked for in their turn.

    A candidate is a task by itself: it comes when its reply comes, and takes about as long as a shard of quick scores.
    """

    def __init__(self, machines: Machines, study: Study) -> None:
        # What targets compute when first asked is computed here, and shared.
        target = study.target
        _ = (target.horizons, target.regimes, target.years, target.known_factors)
        self._machines, self._work = machines, FullWork(study)
        self._id, self._shared = self._work.content_id(), machines.share(self._work)
        self._begun: dict[str, Any] = {}
        self._lock = threading.Lock()

    def begin(self, expression: Expression) -> None:
        """Have a candidate scored; it is not waited for."""
        with self._lock:
            if expression.id not in self._begun:
                self._begun[expression.id] = self._start(expression)

    def drop(self, expression: Expression) -> None:
        """Give up a candidate that is not asked for after all."""
        with self._lock:
            reference = self._begun.pop(expression.id, None)
        if reference is not None:
            self._machines.end(reference)

    def close(self) -> None:
        """Give up all that was not asked for."""
        for reference in self._begun.values():
            self._machines.end(reference)
        self._begun.clear()

    def result(self, expression: Expression) -> Backtested:
        """Wait for a candidate's score; what was lost with a machine is done again."""
        self.begin(expression)
        with self._lock:
            reference = self._begun.pop(expression.id)
        tries = moves = 0
        while True:
            while not self._machines.finished([reference], 0.5):
                pass
            found = self._machines.answer(reference)
            if not isinstance(found, Loss):
                break
            tries, moves = (tries, moves + 1) if found.machine and moves < MOVES else (tries + 1, moves)
            if tries == TRIES:
                return self._work.lost(expression, f"each of {TRIES} processes that scored it ended")
            reference = self._start(expression)
        if found.apart:
            raise different(found.node, found.apart)
        if found.changed:
            raise InputError(f"the data that machine {found.node} has are not those that were sent", "take it out")
        scored: Backtested = pickle.loads(found.answers)[0]
        return scored

    def _start(self, expression: Expression) -> Any:  # noqa: ANN401 - a reference of the cluster
        return self._machines.start(self._shared, self._id, [expression])
