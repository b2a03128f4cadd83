"""Long work from a notebook or a script: a bar where one is wanted, an event loop that may run already, Ctrl-C."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

Made = TypeVar("Made")
# Called with what is being done, how much of it is done, and of how much.
Tick = Callable[[str, int, int], None]
_HEARD_S = 0.1


def in_notebook() -> bool:
    """Whether this is a cell of Jupyter, or of marimo; nothing is imported to find out."""
    shell = sys.modules.get("IPython")
    kernel = None if shell is None else shell.get_ipython()
    if kernel is not None and type(kernel).__name__ == "ZMQInteractiveShell":
        return True
    marimo = sys.modules.get("marimo")
    return marimo is not None and bool(marimo.running_in_notebook())


@contextmanager
def bar(asked: bool | None) -> Iterator[Tick]:
    """Lend a progress bar: shown if asked for, or, where nothing was said, in a notebook."""
    if not (in_notebook() if asked is None else asked):
        yield lambda _what, _done, _of: None
        return
    from rich.progress import Progress

    with Progress(transient=True) as shown:
        task = shown.add_task("starting", total=None)
        yield lambda what, done, of: shown.update(task, description=what, completed=done, total=of)


def apart(work: Callable[[Callable[[], bool]], Made]) -> Made:
    """Do work that may run an event loop, and return what it returns; it is given a function that asks it to stop.

    Where a loop runs already in this thread, as in Jupyter, the work is done in a thread of its own. An interrupt
    (Ctrl-C, the stop of a cell) asks the work to stop, and waits for it: what it has done is kept. A second one is
    raised at once.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="alphaglow") as pool:
        future = pool.submit(work, stop.is_set)
        try:
            # A signal is heard between waits: one that another thread received would not end a wait without end.
            while not wait([future], timeout=_HEARD_S).done:
                pass
        except KeyboardInterrupt:
            stop.set()
        return future.result()
