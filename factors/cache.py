"""Values of subtrees that candidates share, kept within a memory budget.

Miners write variations of what they wrote before. A subtree is worth keeping from the second time it is met: what is
met once is usually never met again, and would only push out what is. When memory runs out, the value that saves least a
byte goes first, and what has not been used for long ages towards the door (GreedyDual-Size; Cao & Irani 1997).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from factors.streams import Array
from factors.tree import Node


@dataclass
class _Entry:
    values: Array
    saves: float
    priority: float


class SubtreeCache:
    """Whole-panel values by lowered tree, for one panel and one type of values; safe to use from several threads.

    Parameters
    ----------
    budget
        Bytes that values may take together.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.bytes_used = 0
        self.hits = 0
        self._entries: dict[Node, _Entry] = {}
        self._met: dict[Node, int] = {}
        self._clock = 0.0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many values are kept."""
        return len(self._entries)

    def meet(self, node: Node) -> int:
        """Count that a candidate has this subtree; return how many have had it so far."""
        with self._lock:
            count = self._met[node] = self._met.get(node, 0) + 1
            return count

    def get(self, node: Node) -> Array | None:
        """Return the values of a subtree, or None."""
        with self._lock:
            entry = self._entries.get(node)
            if entry is None:
                return None
            self.hits += 1
            entry.priority = self._clock + entry.saves
            return entry.values

    def put(self, node: Node, values: Array, saves: float) -> None:
        """Keep the values of a subtree whose computation took `saves` (of any unit) a cell."""
        with self._lock:
            if node in self._entries or values.nbytes > self.budget:
                return
            while self.bytes_used + values.nbytes > self.budget:
                first = min(self._entries, key=lambda known: self._entries[known].priority)
                gone = self._entries.pop(first)
                self._clock = max(self._clock, gone.priority)
                self.bytes_used -= gone.values.nbytes
            self._entries[node] = _Entry(values, saves, self._clock + saves)
            self.bytes_used += values.nbytes
