"""A million random trees: what is printed reads back as the same tree, and canonical form is its own canonical form.

python -m benchmarks.round_trips [--quick] [--count N] [--jobs N]
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from rich.console import Console
from rich.progress import Progress

from factors.canonical import canonical
from factors.drawing import Drawer
from factors.parse import parse
from factors.printing import to_text
from factors.tree import Expression


def check(count: int, seed: int) -> tuple[Counter[str], Counter[str], list[str]]:
    """Return outcomes, operators drawn, and the first failures, of `count` trees of up to seven levels."""
    rng = np.random.default_rng([seed, 20])
    drawer = Drawer(rng, longest=300)
    outcomes: Counter[str] = Counter()
    operators: Counter[str] = Counter()
    failures: list[str] = []
    for _ in range(count):
        drawn = drawer.tree(int(rng.integers(2, 8)))
        root = canonical(drawn)
        text = to_text(root)
        operators.update(word.rpartition(" ")[2].lstrip("(-!") for word in text.split("(")[:-1])
        again = parse(text, dialect="native")
        from_source = parse(to_text(drawn), dialect="native")
        if canonical(root) != root:
            failures.append(f"not its own canonical form: {text}")
        elif isinstance(again, Expression) and again.root != root:
            failures.append(f"reads back as {again.text}: {text}")
        elif isinstance(from_source, Expression) and from_source.root != root:
            failures.append(f"the text drawn reads as {from_source.text}: {to_text(drawn)}")
        elif not isinstance(again, Expression) and again.code not in ("too_large", "too_long", "too_deep"):
            failures.append(f"{again.code}: {text}")
        outcomes["same" if isinstance(again, Expression) else again.code] += 1
    return outcomes, operators, failures


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its figures and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(argv)
    count = 20_000 if options.quick else options.count
    share = 5_000
    sizes = [min(share, count - done) for done in range(0, count, share)]
    outcomes: Counter[str] = Counter()
    operators: Counter[str] = Counter()
    failures: list[str] = []
    begun = time.perf_counter()
    with ProcessPoolExecutor(options.jobs) as pool, Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("trees", total=count)
        for size, found in zip(sizes, pool.map(check, sizes, range(len(sizes))), strict=True):
            outcomes += found[0]
            operators += found[1]
            failures += found[2]
            progress.advance(task, size)
    out = Console()
    for line in failures[:20]:
        out.print(line, markup=False, soft_wrap=True)
    rarest = ", ".join(f"{name} {number}" for name, number in operators.most_common()[-5:])
    out.print(f"{count:,} trees, {len(operators)} operators called by name (rarest: {rarest})", soft_wrap=True)
    figures = {"trees": count, "failures": len(failures), "wall_s": round(time.perf_counter() - begun, 1)}
    print(json.dumps({**figures, "outcomes": dict(outcomes)}))


if __name__ == "__main__":
    main()
