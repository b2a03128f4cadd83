"""Scoring on a cluster: expressions in shards, what came of them kept in files until the run is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.cluster.quick_work import QuickWork, Scored
from agent.cluster.shard_files import ShardFiles
from agent.cluster.spreading import Machines, Spreading
from factors.tree import Expression

SHARD, LEAST = 500, 200


def shard_size(count: int, processors: int, most: int = SHARD) -> int:
    """Return how many expressions a shard gets, so that each processor has two: at least 200, and at most `most`."""
    return max(LEAST, min(most, -(-count // max(1, 2 * processors))))


@dataclass(frozen=True)
class ClusterScorer:
    """Scores on a cluster; what is done is found again by the run's id, the code and the data.

    Attributes
    ----------
    folder
        Where files of shards are kept (``runs/`` of a workspace).
    size
        Expressions of a shard: each costs some milliseconds to send, and is lost whole with its machine.
    say
        Called with what happened on the way.
    """

    machines: Machines
    folder: Path
    run_id: str
    size: int = SHARD
    say: Callable[[str], None] = field(default=lambda _sentence: None)

    def run(self, expressions: Iterable[Expression], work: QuickWork, stop: Callable[[], bool]) -> Iterator[Scored]:
        """Score expressions; once `stop` returns true, what is under way is ended, and what came is kept."""
        files = ShardFiles(self.folder, self.run_id, work.content_id())
        spreading = Spreading(self.machines, work, self.size, files, stop)
        yield from spreading.run(expressions)
        self.say(spreading.tally.sentence())

    def recorded(self) -> None:
        """Delete what was kept: the run is recorded."""
        ShardFiles.forget(self.folder, self.run_id)
