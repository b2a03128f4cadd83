"""Machines of a cluster in this process: what is sent arrives as on a real one, and processes end when a test says."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from agent.cluster.node_facts import node_facts
from agent.cluster.ray_cluster import Loss
from agent.cluster.shard_task import ShardAnswer, do_shard
from agent.cluster.warm_machine import as_it_arrives


class StandIn:
    """A cluster of this process; `loses` says which shards are lost, by their items and how many were started."""

    def __init__(
        self,
        loses: Callable[[Sequence[Any], int], Loss | None] = lambda _items, _started: None,
        facts: dict[str, str] | None = None,
        processors: int = 2,
        read_only: bool = False,
    ) -> None:
        self.loses, self.facts, self.count = loses, facts or dict(node_facts()), processors
        self.started: dict[int, tuple[Any, str, Sequence[Any]]] = {}
        self.ended: list[int] = []
        self.shards = 0
        # Loops are compiled once more for data that cannot be written to: few tests have the time.
        self.read_only = read_only

    def processors(self) -> int:
        return self.count

    def share(self, work: Any) -> Any:
        return as_it_arrives(work) if self.read_only else pickle.loads(pickle.dumps(work))

    def start(self, shared: Any, work_id: str, items: Sequence[Any]) -> int:
        self.shards += 1
        self.started[self.shards] = (shared, work_id, items)
        return self.shards

    def finished(self, references: Sequence[int], seconds: float) -> list[int]:
        # The newest first: answers come in any order.
        return [references[-1]]

    def answer(self, reference: int) -> ShardAnswer | Loss:
        shared, work_id, items = self.started.pop(reference)
        lost = self.loses(items, reference)
        return lost or do_shard(shared, work_id, items, self.facts)

    def end(self, reference: int) -> None:
        self.ended.append(reference)
