"""Files changed at random: no import may crash, take long, or change a value that the change left alone.

    python -m benchmarks.data_fuzz [--count 2000] [--seed 0]

A small CSV of bars is cut, has bytes flipped, columns moved, separators and dates in other forms, rows dropped,
repeated, shuffled or inserted, or another encoding. The table says, for each kind, how many were read, refused, changed
a value or the time of a row whose text was left as it was, lost such a row without a word, or raised anything but a
refusal.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

OUTCOMES = ("read", "refused", "changed", "lost", "crashed")


def try_one(path: Path, rng: np.random.Generator) -> tuple[str, str]:
    """Write and import one changed file; return the kind of the change and the outcome."""
    from market.errors import InputError
    from market.files import import_as
    from market.reading.conventions import FileConventions
    from tests.market.mutations import base_lines, changed_values, lost_rows, mutate

    lines = base_lines(rng)
    kind, data, untouched = mutate(lines, rng)
    path.write_bytes(data)
    try:
        done = import_as([path], FileConventions())
    except InputError:
        return kind, "refused"
    except Exception as error:  # noqa: BLE001 - any other error is what is looked for
        print(f"{kind}: {type(error).__name__}: {error}")
        return kind, "crashed"
    if changed_values(lines, untouched, done.panel):
        print(f"{kind}: changed: {data!r}"[:4000])
        return kind, "changed"
    if lost_rows(lines, untouched, done):
        print(f"{kind}: lost: {data!r}"[:4000])
        return kind, "lost"
    return kind, "read"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    rng = np.random.default_rng(args.seed)
    counts: Counter[tuple[str, str]] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.count):
            began = time.process_time()
            counts[try_one(Path(folder) / "XYZ.csv", rng)] += 1
            slowest = max(slowest, time.process_time() - began)
    table = Table(title=f"{args.count} changed files; the slowest took {slowest:.1f} s of CPU", title_justify="left")
    table.add_column("change")
    for outcome in OUTCOMES:
        table.add_column(outcome, justify="right")
    for kind in sorted({kind for kind, _ in counts}):
        table.add_row(kind, *(str(counts[kind, outcome]) for outcome in OUTCOMES))
    Console(width=100).print(table)
    total = {outcome: sum(counts[key] for key in counts if key[1] == outcome) for outcome in OUTCOMES}
    print(json.dumps({"benchmark": "data_fuzz", "count": args.count, "slowest": round(slowest, 2), **total}))


if __name__ == "__main__":
    main()
