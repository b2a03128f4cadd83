"""Spreading items over a cluster in shards: each is answered once, in order, whoever dies on the way."""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from agent.cluster.ray_cluster import Loss, different
from agent.cluster.shard_task import ShardAnswer
from agent.cluster.work import Work
from market.errors import InputError

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Asked = TypeVar("Asked", contravariant=True)
# Of a shard of one item: after as many lost processes it is the item that is to blame.
TRIES = 3
# Machines that end one after the other are no fault of a shard, up to this many.
MOVES = 20
# Shards that are started, or wait for one before them, for each processor.
_STARTED, _WAITING = 2, 6


class Machines(Protocol):
    """What of a cluster is needed; `agent.cluster.ray_cluster.RayCluster` is one."""

    def processors(self) -> int: ...  # noqa: D102
    def share(self, work: Work[Any, Any], /) -> Any: ...  # noqa: ANN401, D102
    def start(self, shared: Any, work_id: str, items: Sequence[Any], /) -> Any: ...  # noqa: ANN401, D102
    def finished(self, references: Sequence[Any], seconds: float, /) -> list[Any]: ...  # noqa: D102
    def answer(self, reference: Any, /) -> ShardAnswer | Loss: ...  # noqa: ANN401, D102
    def end(self, reference: Any, /) -> None: ...  # noqa: ANN401, D102


class Kept(Protocol[Asked, Answer]):
    """What is kept of shards, so that another process goes on with it; `agent.cluster.shard_files` is one."""

    def find(self, item: Asked, /) -> Answer | None: ...  # noqa: D102
    def keep(self, items: Sequence[Asked], answers: Sequence[Answer], /) -> None: ...  # noqa: D102


class NothingKept:
    """Keeps nothing: for work that is recorded elsewhere as it comes."""

    def find(self, _item: object, /) -> None:
        """Find nothing."""

    def keep(self, _items: Sequence[object], _answers: Sequence[object], /) -> None:
        """Keep nothing."""


@dataclass(eq=False)
class _Shard(Generic[Item, Answer]):
    """Items in a row and their answers, as far as they are known."""

    items: list[Item]
    answers: dict[int, Answer] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return len(self.answers) == len(self.items)


@dataclass(frozen=True, eq=False)
class _Part(Generic[Item, Answer]):
    """Places of a shard that are done together; `tries` lost processes and `moves` lost machines before."""

    shard: _Shard[Item, Answer]
    places: tuple[int, ...]
    tries: int = 0
    moves: int = 0

    @property
    def items(self) -> list[Item]:
        return [self.shard.items[place] for place in self.places]


@dataclass(eq=False)
class Tally:
    """What happened on the way: shards that came, processes and machines that were lost, items given up, items kept."""

    shards: int = 0
    processes: int = 0
    machines: int = 0
    given_up: int = 0
    found: int = 0

    def sentence(self) -> str:
        """Say it in one line."""
        said = f"{self.shards} shards came from the cluster"
        if self.found:
            said += f"; {self.found} answers were there from before"
        if self.machines or self.processes:
            lost = f"{self.machines} for their machine and {self.processes} for their process"
            said += f"; some were lost on the way ({lost}) and done again"
        if self.given_up:
            said += f"; {self.given_up} given up, since each process that did them ended"
        return said


@dataclass(eq=False)
class Spreading(Generic[Item, Answer]):
    """One spreading of items over machines.

    Attributes
    ----------
    size
        Items of a shard.
    stop
        Asked again and again; once it returns true, what is under way is ended and no more answers come.
    patience
        Seconds to wait for a machine while there is none.
    """

    machines: Machines
    work: Work[Item, Answer]
    size: int
    kept: Kept[Item, Answer] = field(default_factory=NothingKept)
    stop: Callable[[], bool] = lambda: False
    patience: float = 300.0
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        """Share the work."""
        self.work_id = self.work.content_id()
        self._shared = self.machines.share(self.work)
        self._running: dict[Any, _Part[Item, Answer]] = {}
        self._again: deque[_Part[Item, Answer]] = deque()
        self._seen, self._processors, self._looked = time.monotonic(), 0, float("-inf")

    def run(self, items: Iterable[Item]) -> Iterator[tuple[Item, Answer]]:
        """Yield items with their answers, in their order.

        Raises
        ------
        InputError
            When a machine differs or is broken, the data changed on the way, or no machine is left.
        """
        rest, order, more = iter(items), deque[_Shard[Item, Answer]](), True
        try:
            while not self.stop():
                more = self._begin(rest, order, more)
                while order and order[0].whole:
                    first = order.popleft()
                    for place, item in enumerate(first.items):
                        yield item, first.answers[place]
                if not order and not more:
                    return
                for reference in self.machines.finished(list(self._running), 0.5) if self._running else ():
                    self._take(reference)
        finally:
            for reference in self._running:
                self.machines.end(reference)
            self._running.clear()

    def _begin(self, rest: Iterator[Item], order: deque[_Shard[Item, Answer]], more: bool) -> bool:
        """Start as many shards as there is room for; return whether there may be more items."""
        room = self._room()
        while self._again and len(self._running) < _STARTED * room:
            self._start(self._again.popleft())
        while more and len(self._running) < _STARTED * room and len(order) < _WAITING * room:
            shard, fresh = self._next(rest)
            more = len(shard.items) == self.size
            if shard.items:
                order.append(shard)
            if fresh:
                self._start(_Part(shard, tuple(fresh)))
        return more

    def _next(self, rest: Iterator[Item]) -> tuple[_Shard[Item, Answer], list[int]]:
        """Return a shard of the next items, and the places of those that are not known from before."""
        shard, fresh = _Shard[Item, Answer]([]), list[int]()
        for item in rest:
            known = self.kept.find(item)
            if known is None:
                fresh.append(len(shard.items))
            else:
                shard.answers[len(shard.items)] = known
                self.tally.found += 1
            shard.items.append(item)
            if len(shard.items) == self.size:
                break
        return shard, fresh

    def _room(self) -> int:
        """Return the processors that are there; while there are none, wait, but not for ever."""
        now = time.monotonic()
        if now - self._looked >= 2.0:
            self._processors, self._looked = self.machines.processors(), now
        if self._processors:
            self._seen = now
        elif now - self._seen > self.patience:
            raise InputError(
                f"the cluster has had no machine for {self.patience:g} s",
                "add one, then go on with --resume; what is done is kept",
            )
        elif not self._running:
            time.sleep(0.2)
        return self._processors

    def _start(self, part: _Part[Item, Answer]) -> None:
        self._running[self.machines.start(self._shared, self.work_id, part.items)] = part

    def _take(self, reference: Any) -> None:  # noqa: ANN401
        """Take what came of a part: its answers, or its loss."""
        part = self._running.pop(reference)
        found = self.machines.answer(reference)
        if isinstance(found, Loss):
            self._lose(part, found)
            return
        if found.apart:
            raise different(found.node, found.apart)
        if found.changed:
            raise InputError(
                f"the data that machine {found.node} has are not those that were sent",
                "has its memory or its disk a fault? take it out, then go on with --resume; what is done is kept",
            )
        self.tally.shards += 1
        self._answered(part, pickle.loads(found.answers))

    def _answered(self, part: _Part[Item, Answer], answers: Sequence[Answer]) -> None:
        self.kept.keep(part.items, answers)
        part.shard.answers.update(zip(part.places, answers, strict=True))

    def _lose(self, part: _Part[Item, Answer], loss: Loss) -> None:
        """Do a lost part again: as it was where its machine ended, else in halves, down to the item to blame."""
        if loss.machine and part.moves < MOVES:
            self.tally.machines += 1
            self._again.append(_Part(part.shard, part.places, part.tries, part.moves + 1))
            return
        self.tally.processes += 1
        half = len(part.places) // 2
        if half:
            self._again += [_Part(part.shard, places) for places in (part.places[:half], part.places[half:])]
        elif part.tries + 1 < TRIES:
            self._again.append(_Part(part.shard, part.places, part.tries + 1, part.moves))
        else:
            self.tally.given_up += 1
            why = f"each of {TRIES} processes that did it ended: it takes too much time or memory"
            self._answered(part, [self.work.lost(part.items[0], why)])
