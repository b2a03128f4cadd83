"""Which process works on a run, so that a run whose process is gone is not shown as running.

A process is known by its machine, its number and when it started, for numbers are used again. Of another machine
nothing can be said.
"""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path

# What stands in the place of a process for a run that waits for a worker.
QUEUE = "queue"
# There, signal 0 is no question: it would press Ctrl-C in the other process.
_WINDOWS = os.name == "nt"


def this_process() -> str:
    """Return what this process is known by."""
    return f"{_machine()} {os.getpid()} {_started(os.getpid())}"


def is_gone(process: str | None) -> bool:
    """Whether a process of this machine has ended; False where that is not known."""
    parts = (process or "").rsplit(" ", 2)
    if len(parts) != 3 or parts[0] != _machine() or not parts[1].isdigit():
        return False
    number, started = int(parts[1]), parts[2]
    if _WINDOWS:
        return False
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        # It is there, and somebody else's.
        pass
    return started != _started(number)


@lru_cache(maxsize=1)
def _machine() -> str:
    """Return a name of this machine since it was started: numbers begin again with it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except OSError:
        boot = "-"
    return f"{platform.node() or 'unnamed'}/{boot}"


def _started(number: int) -> str:
    """Return when a process started, in the system's own ticks; a dash where that is not known."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "-"
    # The name before it may hold spaces and brackets.
    return stat.rpartition(")")[2].split()[19]
