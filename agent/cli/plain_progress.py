"""How far long work is, as plain lines on stderr where that is no terminal: a log should not stay empty for minutes."""

from __future__ import annotations

import time

from agent.cli.common import stderr
from agent.study.progress import Progress, no_progress

# Seconds between lines.
_EVERY = 10.0


def plain_progress(first: str, *, every: float = _EVERY) -> Progress:
    """Say what begins, at once, and return what says how far it is, a line in `every` seconds at most.

    In a terminal a bar shows both, and nothing is said here.
    """
    console = stderr()
    if console.is_terminal:
        return no_progress
    console.print(first, soft_wrap=True, markup=False)
    said = time.monotonic()

    def tell(what: str, done: int, of: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= every:
            said = now
            console.print(f"{what}: {done} of {of}", soft_wrap=True, markup=False)

    return tell
