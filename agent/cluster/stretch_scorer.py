"""Scoring on data that are stored by field: batches of expressions, each in one pass over the data, in little memory.

What is finished is kept in files beside the run (`agent.cluster.shard_files`), and from time to time what a pass has
carried so far: a screening that was stopped or killed goes on at the bar where that was.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent.cluster.node_facts import node_facts
from agent.cluster.pass_file import PassFile
from agent.cluster.quick_work import QuickOutcome, Scored, outcome_of
from agent.cluster.shard_files import ShardFiles
from backtest.quick import QuickScorer
from backtest.quick_kernels import SERIES
from backtest.target_stretches import TargetStretches, require_stretches, stretches
from backtest.trading_rules import BacktestSpec
from factors.evaluation_plan import Runner
from factors.measure import piece_rows
from factors.stretch_pass import PassLimits, UnderWay, runner_of, too_large
from factors.tree import Expression, Node
from market.errors import Rejection
from market.panel import Panel
from market.panel_on_disk import PanelOnDisk

# Of the memory, what the outcomes of a stretch may take; and bytes of a cell of them, with what is needed to find them.
_TARGET_SHARE, _CELL_BYTES = 0.25, 160
# Of what is left for expressions, the share that is planned with.
_PLANNED = 0.8
Answer = QuickOutcome | Rejection


@dataclass(frozen=True, eq=False)
class StretchWork:
    """Quick scores on one segment of a panel on disk; see `agent.cluster.quick_work.QuickWork`."""

    panel: PanelOnDisk
    spec: BacktestSpec
    part: slice
    limits: PassLimits

    def content_id(self) -> str:
        """Return a hash of panel, trading rules, segment and limits."""
        about = (self.panel.id, self.spec, self.part.start, self.part.stop, self.limits)
        return f"stretches:{hashlib.sha256(repr(about).encode()).hexdigest()[:16]}"

    def targets(self) -> TargetStretches:
        """Return what prepares the outcomes, from the first bar on."""
        return TargetStretches(self.panel, self.spec, self.panel.has_volume, self.panel.has_funding)


@dataclass(frozen=True, eq=False)
class _Planned:
    """An expression that is to be evaluated, with what evaluates it."""

    expression: Expression
    root: Node
    runner: Runner

    def begun(self, taker: QuickScorer) -> UnderWay[QuickScorer]:
        return UnderWay(self.expression, self.root, self.runner, taker)


@dataclass(frozen=True)
class StretchScorer:
    """Scores in passes over the data.

    Attributes
    ----------
    threads
        Expressions of a batch that are evaluated at once.
    memory_gb
        What a pass may take.
    folder, run_id
        Where what is done is kept, and whose it is.
    keep_every
        Seconds between two times that the state of a pass is written down.
    say
        Called with a sentence for people.
    """

    threads: int
    memory_gb: float
    folder: Path
    run_id: str
    keep_every: float = 60.0
    say: Callable[[str], None] = lambda _sentence: None

    def run(self, expressions: Iterable[Expression], work: StretchWork, stop: Callable[[], bool]) -> Iterator[Scored]:
        """Score expressions; answers come in their order, and end early once `stop` returns true."""
        require_stretches(work.spec)
        files = ShardFiles(self.folder, self.run_id, work.content_id())
        waiting: list[Expression] = []
        fresh: list[_Planned] = []
        answers: dict[str, Answer] = {}
        room = self._room
        for expression in expressions:
            waiting.append(expression)
            known = files.find(expression) or too_large(expression, work.panel, work.limits)
            if known is not None:
                answers[expression.id] = known
                continue
            root, runner = runner_of(expression, work.panel)
            need = runner.plan.nbytes + 8 * SERIES * work.panel.shape[0]
            if fresh and need > room:
                if not self._pass(fresh, work, files, answers, stop):
                    return
                yield from ((one, answers[one.id]) for one in waiting[:-1])
                waiting, fresh, room = [expression], [], self._room
            fresh.append(_Planned(expression, root, runner))
            room -= need
        if fresh and not self._pass(fresh, work, files, answers, stop):
            return
        yield from ((one, answers[one.id]) for one in waiting)

    def recorded(self) -> None:
        """Delete what was kept: the run is recorded."""
        ShardFiles.forget(self.folder, self.run_id)

    @property
    def _room(self) -> float:
        return self.memory_gb * 1e9 * (1 - _TARGET_SHARE) * _PLANNED

    def rows(self, panel: Panel) -> int:
        """Return how many bars a stretch has: whole pieces of the engine, as in memory."""
        width = panel.shape[1]
        piece = min(piece_rows(width), max(len(panel.times), 1))
        return max(1, int(self.memory_gb * 1e9 * _TARGET_SHARE / _CELL_BYTES / width) // piece) * piece

    def _pass(
        self,
        batch: list[_Planned],
        work: StretchWork,
        files: ShardFiles,
        answers: dict[str, Answer],
        stop: Callable[[], bool],
    ) -> bool:
        """Evaluate a batch from the first bar, or from where it was kept; return whether the last was reached."""
        code = ",".join(f"{name}={value}" for name, value in sorted(node_facts().items()))
        kept = PassFile(files.folder, f"{code} {work.content_id()}", [one.expression for one in batch])
        under: list[UnderWay[QuickScorer]] = []
        targets, last, rows = work.targets(), time.monotonic(), self.rows(work.panel)
        begin = kept.bar()
        kept.restore_targets(targets)
        with ThreadPoolExecutor(self.threads, thread_name_prefix="stretch") as pool:
            for start, end in stretches(work.part.stop, rows, begin):
                work.panel.refuse_changes()
                target = targets.next(start, end)
                if not under:
                    scorer = partial(QuickScorer, target, whole=work.panel)
                    under = [one.begun(scorer(one.runner.plan.layout.rows)) for one in batch]
                    kept.restore(under)
                for one in under:
                    one.taker.move_to(target, start)
                seconds = work.limits.seconds
                list(pool.map(lambda one: one.advance(work.panel, start, end, seconds), under))  # noqa: B023 - awaited
                work.panel.release(start, end)
                stopped = stop()
                if end < work.part.stop and (stopped or time.monotonic() - last > self.keep_every):
                    kept.keep(under, targets, end)
                    last = time.monotonic()
                if stopped and end < work.part.stop:
                    return False
        found = [_answer(one, work.part) for one in under]
        files.keep([one.expression for one in batch], found)
        answers |= {one.expression.id: answer for one, answer in zip(batch, found, strict=True)}
        kept.forget()
        self.say(f"{len(batch)} expressions in one pass over {work.part.stop:,} bars, {rows:,} at a time")
        return True


def _answer(one: UnderWay[QuickScorer], part: slice) -> Answer:
    if one.refused is not None:
        return one.refused
    score = one.taker.segment(part)
    return score if isinstance(score, Rejection) else outcome_of(score)
