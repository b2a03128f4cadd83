"""What a process of a cluster does with a shard: nothing but by our own code and data, and never longer than agreed."""

from __future__ import annotations

import faulthandler
import pickle
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agent.cluster.node_facts import Facts, differences, node_facts
from agent.cluster.work import Work

# The engine looks at the clock between pieces; a process that is this far beyond is stuck in one.
_GRACE = 30.0


@dataclass(frozen=True)
class ShardAnswer:
    """What came of a shard: pickled answers in the order of its items, or why nothing was computed.

    Attributes
    ----------
    node
        The machine's name.
    apart
        In what the machine differs from the one that asks; empty where it does not.
    changed
        Whether the data that arrived are not those that were sent.
    """

    node: str
    answers: bytes = b""
    apart: str = ""
    changed: bool = False


class _Kept:
    """The work that this process is at, with what it has prepared for it; another one takes its place."""

    def __init__(self) -> None:
        self._id = ""
        self._work: Work[Any, Any] | None = None

    def take(self, work: Work[Any, Any], work_id: str) -> Work[Any, Any] | None:
        """Return the work, prepared where it is known; None where its content has another hash."""
        if self._work is None or self._id != work_id:
            if work.content_id() != work_id:
                return None
            work.prepare()
            self._id, self._work = work_id, work
        return self._work


_KEPT = _Kept()


def do_shard(work: Work[Any, Any], work_id: str, items: Sequence[Any], asked_by: Facts) -> ShardAnswer:
    """Do the items of a shard; this runs in a process of a cluster."""
    node = socket.gethostname()
    apart = differences(asked_by, node_facts())
    if apart:
        return ShardAnswer(node, apart=apart)
    kept = _KEPT.take(work, work_id)
    if kept is None:
        return ShardAnswer(node, changed=True)
    answers = []
    for item in items:
        with _ended_after(2.0 * kept.seconds + _GRACE):
            answers.append(kept.do(item))
    # As bytes, so that who receives them has arrays of its own that can be written to.
    return ShardAnswer(node, pickle.dumps(answers, protocol=5))


def look_around(asked_by: Facts) -> tuple[str, str]:
    """Return the machine's name, and in what it differs; this runs in a process of a cluster."""
    return socket.gethostname(), differences(asked_by, node_facts())


@contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """End this process if the block takes longer: no Python runs while a compiled loop does."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
