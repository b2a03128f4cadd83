"""SIGTERM and SIGHUP end a command as Ctrl-C does: what is under way is finished or given up, what was done stays."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# A service manager stops with the first, a closed terminal with the second; Windows knows no second.
STOPPING = tuple(number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None)
Handler = Callable[[int, FrameType | None], object]


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn these signals into Ctrl-C while a command runs; one that was ignored before (`nohup`) stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with handling(_as_ctrl_c):
        yield


@contextmanager
def handling(handler: Handler) -> Iterator[None]:
    """Give these signals a handler for a while."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in STOPPING:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, former in before.items():
            if former is not None:
                signal.signal(number, former)


def _as_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
