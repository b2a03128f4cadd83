"""How long a novelty check takes against 100 000 known factors, beside comparing with each of them.

    python -m benchmarks.novelty [--quick] [--stored N]

The candidates are half new, half made by changing stored ones. The peer is what others do: the largest common subtree
with each stored factor in turn, over parsed trees kept in memory; it is timed on a sample and scaled.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy.orm import Session

from agent.knowledge.database.connection import for_writing, make_engine
from agent.knowledge.database.location import place_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.tables import novelty_index as index
from agent.mock.grammar import mutate
from factors.drawing import Drawer
from factors.overlap import fingerprint
from factors.parse import parse
from factors.printing import to_text
from factors.tree import Call, Expression, Node

_SAMPLE = 300


def draw(rng: np.random.Generator, count: int, console: Console) -> list[Expression]:
    """Return distinct factors of two to five levels."""
    drawer = Drawer(rng, longest=60)
    found: dict[str, Expression] = {}
    for _ in track(range(count), description="drawing", console=console, transient=True):
        while True:
            expression = parse(drawer.expression_text(int(rng.integers(3, 6))), dialect="native")
            if isinstance(expression, Expression) and expression.text not in found:
                found[expression.text] = expression
                break
    return list(found.values())


def changed(rng: np.random.Generator, stored: Sequence[Expression], count: int) -> list[Expression]:
    """Return factors made from stored ones by one change each."""
    found = []
    while len(found) < count:
        parent = stored[int(rng.integers(len(stored)))]
        expression = parse(mutate(parent.root, rng, 60, negate=False)[1], dialect="native")
        if isinstance(expression, Expression):
            found.append(expression)
    return found


def store(path: Path, expressions: Sequence[Expression], console: Console) -> float:
    """Index the expressions in a new knowledge base; return the seconds per factor."""
    KnowledgeBase.open(path).close()
    engine = make_engine(place_of(path))
    begun = time.perf_counter()
    with Session(for_writing(engine)) as session, session.begin():
        numbered = enumerate(track(expressions, description="indexing", console=console, transient=True))
        for number, expression in numbered:
            found = fingerprint(expression.root)
            index.add_fingerprint(session, expression.id, expression.text, f"attempt {number}", found)
    engine.dispose()
    return (time.perf_counter() - begun) / len(expressions)


def pairwise(candidate: Node, others: Sequence[Node]) -> int:
    """Return the size of the largest common subtree with any of `others`, by comparing each in turn."""
    own = _sizes(candidate)
    return max(max((size for text, size in _sizes(other).items() if text in own), default=0) for other in others)


def _sizes(node: Node) -> dict[str, int]:
    found: dict[str, int] = {}

    def visit(part: Node) -> int:
        size = 1 + sum(visit(arg) for arg in part.args) if isinstance(part, Call) else 1
        if size > 2:
            found[to_text(part)] = size
        return size

    visit(node)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its table and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--stored", type=int, default=100_000)
    options = parser.parse_args(argv)
    count = 10_000 if options.quick else options.stored
    rng = np.random.default_rng(0)
    console = Console(stderr=True)
    stored = draw(rng, count, console)
    candidates = changed(rng, stored, 250) + draw(rng, 250, console)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "knowledge.db"
        indexing = store(path, stored, console)
        size = path.stat().st_size
        times, agree = [], 0
        with KnowledgeBase.open(path) as knowledge:
            latest = knowledge.index_factors()
            begun = time.perf_counter()
            knowledge.novelty(stored[0], until=latest)
            cold = 1e3 * (time.perf_counter() - begun)
            for candidate in candidates:
                begun = time.perf_counter()
                found = knowledge.novelty(candidate, until=latest)
                times.append(1e3 * (time.perf_counter() - begun))
                agree += found.identical is not None or found.overlap is not None
    sample = [expression.root for expression in stored[:_SAMPLE]]
    begun = time.perf_counter()
    for candidate in candidates[:10]:
        pairwise(candidate.root, sample)
    peer = 1e3 * (time.perf_counter() - begun) / 10 * count / _SAMPLE
    spent = np.array(times)
    figures = {
        "stored": count,
        "check_ms_median": round(float(np.median(spent)), 2),
        "check_ms_p99": round(float(np.quantile(spent, 0.99)), 2),
        "check_ms_worst": round(float(spent.max()), 2),
        "first_check_ms": round(cold, 1),
        "pairwise_ms": round(peer),
        "ratio": round(peer / float(np.median(spent))),
        "index_ms_per_factor": round(1e3 * indexing, 2),
        "megabytes": round(size / 1e6, 1),
        "candidates_with_a_match": agree,
    }
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    Console().print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
