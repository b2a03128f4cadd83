"""How long writers wait for each other: processes that record attempts and calls into one base, at the same time.

    python -m benchmarks.knowledge_writers [--quick] [--writers N] [--each N] [--postgres URL] [--one-queue]

Each writer has a process of its own and, four each, a data set. It records attempts with scores and returns, and after
each one a call, which waits for the disk. Printed are the milliseconds that a writer stood still for one of either:
median, 99th of a hundred, most. With fewer processors than writers, a turn of the processor is waited for as well.
`--postgres` names an empty database, for 24 writers; else it is a file, for 8. `--one-queue` lets all writers of a
server queue behind one lock, as they did before, for comparison.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from rich.console import Console

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import RunConfig
from agent.knowledge.verifying import find_faults
from benchmarks.knowledge_rows import ROUND, Variants
from market.panel import OHLCV, Panel

_A_DATA_SET = 4
_IDEAS = 8
# Attempts of each writer that are not timed.
_ONCE = 3


def market(seed: int) -> Panel:
    """Return a small data set that has no bar in common with that of another seed."""
    times = np.datetime64("2024-01-01", "ns") + np.arange(60) * np.timedelta64(1, "h")
    values = np.cumsum(np.random.default_rng(seed).random((60, 2)), axis=0) + 1
    return Panel(times, ("AAA", "BBB"), dict.fromkeys(OHLCV, values), np.ones((60, 2), bool), np.timedelta64(1, "h"))


def write(base: str, run_id: str, seed: int, each: int, *, one_queue: bool) -> list[float]:
    """Record attempts and calls; return the milliseconds that each took."""
    variants, spent = Variants(seed, _IDEAS), []
    held = mock.patch("agent.knowledge.database.transactions.BESIDE", new=True) if one_queue else mock.MagicMock()
    with held, KnowledgeBase.open(base) as knowledge:
        for number in range(each):
            if number % ROUND == 0:
                knowledge.start_round(run_id, number // ROUND, {})
            attempt = variants.draw(run_id, number).attempt
            for work in (
                partial(knowledge.record_attempt, attempt),
                partial(knowledge.journal_lost, run_id, f"k{number}", "writer", "m", "x" * 2000),
            ):
                start = time.perf_counter()
                work()
                # What a process does once (reads its own sources, puts statements together) is no wait.
                if number >= _ONCE:
                    spent.append(1e3 * (time.perf_counter() - start))
    return spent


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--writers", type=int)
    parser.add_argument("--each", type=int, default=100)
    parser.add_argument("--postgres", metavar="URL")
    parser.add_argument("--one-queue", action="store_true")
    options = parser.parse_args(argv)
    writers = options.writers or (24 if options.postgres else 8)
    each = 10 if options.quick else options.each
    with tempfile.TemporaryDirectory() as folder:
        base = options.postgres or str(Path(folder) / "knowledge.db")
        runs = []
        with KnowledgeBase.open(base) as knowledge:
            for k in range(writers):
                knowledge.register_dataset(panel := market(k // _A_DATA_SET))
                runs.append(knowledge.create_run(panel.id, RunConfig(data="toy"), k).id)
        asked = [(base, run, seed, each) for seed, run in enumerate(runs)]
        # Forked: what each would import again takes longer than what is measured.
        with multiprocessing.get_context("fork").Pool(writers) as p, Console(stderr=True).status(f"{writers} writers"):
            spent = np.concatenate(p.starmap(partial(write, one_queue=options.one_queue), asked, chunksize=1))
        with KnowledgeBase.open(base) as knowledge:
            recorded, faults = sum(knowledge.count_attempts(run) for run in runs), len(find_faults(knowledge))
    median, late, most = (round(float(value), 1) for value in np.percentile(spent, (50, 99, 100)))
    figures = {"writers": writers, "attempts": recorded, "of": writers * each, "faults": faults}
    print(json.dumps({**figures, "median_ms": median, "p99_ms": late, "most_ms": most}))


if __name__ == "__main__":
    main()
