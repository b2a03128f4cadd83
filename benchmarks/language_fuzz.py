"""A million broken and hostile texts: each is an answer, none is an error, a hang or an execution.

    python -m benchmarks.language_fuzz [--quick] [--count N] [--jobs N]

Python's own audit events are watched while a text is read: running a code object, importing, opening a file, a
process or a socket is counted and shown. What was read is printed and read again, and must be the same tree. The
slowest texts are timed again, so that what the machine did meanwhile does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.texts import inputs, seeds
from factors.parse import DialectName, parse
from factors.tree import Expression

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"
WATCHED = ("exec", "import", "open", "os.", "subprocess.", "socket.", "ctypes.", "shutil.")
_SLOWEST = 40
_listening = [False]
_heard: list[str] = []


@dataclass
class Tally:
    """What became of the texts of one job."""

    outcomes: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    slow: list[tuple[float, str, DialectName]] = field(default_factory=list)


def listen() -> None:
    """Begin to watch audit events; a hook cannot be taken away, so it is switched."""
    # It is still called while Python ends, when names of modules are gone already.
    listening, heard, watched, nothing = _listening, _heard, WATCHED, os.devnull

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        # Python's parser opens the null device for the text of its own errors.
        if listening[0] and event.startswith(watched) and nothing not in arguments:
            heard.append(event)

    sys.addaudithook(hook)


def read_all(count: int, seed: int, known: Sequence[str]) -> Tally:
    """Read `count` texts."""
    tally = Tally()
    stream = inputs(np.random.default_rng(seed), known)
    for _ in range(count):
        text, dialect = next(stream)
        _heard.clear()
        _listening[0] = True
        begun = time.perf_counter()
        try:
            found = parse(text, dialect=dialect)
        except Exception as error:  # noqa: BLE001 - to find any error is what this is for; each is shown
            tally.errors.append(f"{type(error).__name__}: {error} on {dialect}: {text!r}"[:400])
            continue
        finally:
            taken = 1e3 * (time.perf_counter() - begun)
            _listening[0] = False
        if _heard:
            tally.executed.append(f"{_heard[:3]} on {dialect}: {text!r}"[:400])
        tally.milliseconds.append(taken)
        tally.outcomes["read" if isinstance(found, Expression) else found.code] += 1
        if isinstance(found, Expression):
            again = parse(found.text, dialect="native")
            if not isinstance(again, Expression) or again.root != found.root:
                tally.errors.append(f"not read back: {found.text!r} from {dialect}: {text!r}"[:400])
        elif not found.message or "\n" in found.message.splitlines()[0]:
            tally.errors.append(f"refused without a reason: {text!r}"[:400])
        if taken > 2.0:
            tally.slow.append((taken, text, dialect))
    tally.slow = sorted(tally.slow, reverse=True)[:_SLOWEST]
    return tally


def _job(arguments: tuple[int, int]) -> Tally:
    count, seed = arguments
    listen()
    known = seeds(CORPORA)
    # Every lazy import and cache is behind us before anything counts.
    read_all(400, 10**6 + seed, known)
    return read_all(count, seed, known)


def best_of(text: str, dialect: DialectName, tries: int = 5) -> float:
    """Return the shortest time of several, in milliseconds."""
    times = []
    for _ in range(tries):
        begun = time.perf_counter()
        parse(text, dialect=dialect)
        times.append(1e3 * (time.perf_counter() - begun))
    return min(times)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its table and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(argv)
    count = 40_000 if options.quick else options.count
    share = 2_500
    work = [(min(share, count - done), done // share) for done in range(0, count, share)]
    begun = time.perf_counter()
    total = Tally()
    console = Console(stderr=True)
    with ProcessPoolExecutor(options.jobs) as pool, Progress(console=console, transient=True) as progress:
        task = progress.add_task("reading", total=count)
        for (size, _), tally in zip(work, pool.map(_job, work), strict=True):
            total.outcomes += tally.outcomes
            total.errors += tally.errors
            total.executed += tally.executed
            total.milliseconds += tally.milliseconds
            total.slow = sorted(total.slow + tally.slow, reverse=True)[:_SLOWEST]
            progress.advance(task, size)
    wall = time.perf_counter() - begun
    retimed = sorted(((best_of(text, dialect), text, dialect) for _, text, dialect in total.slow), reverse=True)
    times = np.array(total.milliseconds)
    table = Table("outcome", "texts")
    for name, number in total.outcomes.most_common():
        table.add_row(name, f"{number:,}")
    out = Console()
    out.print(table)
    for line in (total.errors + total.executed)[:20]:
        out.print(line, markup=False, soft_wrap=True)
    figures = {
        "texts": count,
        "errors": len(total.errors),
        "executed": len(total.executed),
        "ms_median": round(float(np.median(times)), 3),
        "ms_p99": round(float(np.quantile(times, 0.99)), 3),
        "ms_worst_best_of_5": round(retimed[0][0], 2) if retimed else None,
        "wall_s": round(wall, 1),
        "outcomes": dict(total.outcomes),
    }
    out.print(f"slowest: {retimed[0][2]}: {retimed[0][1][:150]!r}" if retimed else "", markup=False, soft_wrap=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
