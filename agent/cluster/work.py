"""What can be done elsewhere: work on shared data, item by item, that depends on nothing else."""

from __future__ import annotations

from typing import Protocol, TypeVar

Item = TypeVar("Item", contravariant=True)
Answer = TypeVar("Answer", covariant=True)


class Work(Protocol[Item, Answer]):
    """Work of one kind, with the data that it needs; it is sent once to each machine.

    An answer depends on the content and on the item alone: done twice, in any order, anywhere, it is the same.
    """

    @property
    def seconds(self) -> float:
        """What one item may take; a process that is at one for much longer is ended, and the item given up."""

    def content_id(self) -> str:
        """Return a hash of all that answers depend on beside item and code, computed from the data each time."""

    def prepare(self) -> None:
        """Make ready what the first item would else wait for, and be given up for: compiled loops."""

    def do(self, item: Item, /) -> Answer:
        """Do one item."""

    def lost(self, item: Item, why: str, /) -> Answer:
        """Return the answer for an item that ends every process which does it; `why` is a sentence."""
