"""Estimates of what a factor's evaluation takes, against the processor time that it takes.

    python -m benchmarks.work_estimates [--quick] [--corpora FOLDER] [--operators]

Expressions are the published ones and random ones, with windows of 3 to 5 000 bars, on panels of several shapes; each
is evaluated alone, the fastest of three counts. The table says how many estimates are within a factor of 2 of what was
spent, and where the others lie. `--operators` lists, by operator and window, estimate over time of single operators: to
fit `Cost` by. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.corpora import FILES, SHARED
from benchmarks.engine_setup import make_market
from factors.corpora import read_corpus
from factors.drawing import Drawer
from factors.engine import evaluate
from factors.measure import estimate_work
from factors.parse import parse
from factors.table import OPERATORS
from factors.tree import Expression
from market.panel import Panel

# Bars and assets.
SHAPES = ((17_520, 50), (2_520, 500), (1_500, 22))
WINDOWS = (5, 20, 60, 250, 1_000)
LONG = 5_000
_SERIES = ("close", "volume", "high", "open")


def operator_texts(windows: Sequence[int]) -> Iterator[tuple[str, int, str]]:
    """Return operator, window and a call of it on fields, for each operator and window that it takes."""
    for name, operator in OPERATORS.items():
        takes = sum(param.kind == "window" for param in operator.params)
        for window in windows if takes else (0,):
            fields, args, given = iter(_SERIES * 2), [], 0
            for param in operator.params:
                if param.kind == "window":
                    # A second window is shorter than the first, but of macd's, whose first is the fast one.
                    args.append(str(max(2, window // 2**given if not name.startswith("macd") else window * 2**given)))
                    given += 1
                elif param.kind == "number":
                    args.append({"k": "2", "a": "0.9", "m": "2", "lo": "-1", "hi": "1"}.get(param.name, "0.3"))
                elif param.kind == "bool":
                    args.append("(close > open)")
                elif param.kind == "group":
                    args.append("bucket(volume, 5)")
                else:
                    args.append(next(fields))
            if name == "bucket":
                args[-1] = "5"
            yield name, window, f"{name}({', '.join(args)})"


def spent(expression: Expression, panel: Panel, rounds: int = 3) -> float:
    """Return the processor seconds of the fastest of some evaluations."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        evaluate(expression, panel)
        found.append(time.process_time() - start)
    return min(found)


def ratio(expression: Expression, panel: Panel) -> tuple[float, float]:
    """Return estimate over processor time of an evaluation, and that time."""
    took = spent(expression, panel)
    return estimate_work(expression.root, *panel.shape).seconds / took, took


def expressions(corpora: Path, count: int) -> list[Expression]:
    """Return published expressions and as many random ones as asked for, windows up to `LONG` bars among them."""
    found = []
    for file in FILES:
        for one in read_corpus(corpora / file)[:: 1 if count > 100 else 12]:
            read = parse(one.text, dialect=one.dialect)
            found += [read] if isinstance(read, Expression) else []
    rng = np.random.default_rng(5)
    for longest in (60, 500, LONG):
        drawer = Drawer(rng, operators=tuple(OPERATORS), longest=longest)
        for _ in range(count // 3):
            read = parse(drawer.expression_text(int(rng.integers(2, 6))), dialect="native")
            found += [read] if isinstance(read, Expression) else []
    return found


def operators_table(panels: Sequence[Panel], console: Console) -> None:
    """Print estimate over time of each operator alone, by window."""
    table = Table("operator", "window", *(f"{p.shape[0]} x {p.shape[1]}" for p in panels), "ns a cell")
    for name, window, text in operator_texts((*WINDOWS, LONG)):
        read = parse(text, dialect="native")
        if not isinstance(read, Expression):
            table.add_row(name, str(window), read.message)
            continue
        cells, took = [], 0.0
        for panel in panels:
            if window >= panel.shape[0]:
                cells.append("")
                continue
            one, took = ratio(read, panel)
            cells.append(f"{one:.2f}")
        size = panels[-1].shape[0] * panels[-1].shape[1]
        table.add_row(name, str(window or ""), *cells, f"{1e9 * took / size:.1f}")
    console.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its table and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--operators", action="store_true")
    parser.add_argument("--corpora", type=Path, default=SHARED / "corpora")
    args = parser.parse_args(argv)
    console = Console(width=120)
    panels = [make_market(bars, assets, "h") for bars, assets in (SHAPES[2:] if args.quick else SHAPES)]
    batch = expressions(args.corpora, 60 if args.quick else 300)
    for one in batch[:20]:
        evaluate(one, panels[-1].rows(0, 500))
    if args.operators:
        operators_table(panels, console)
    title = "estimate over processor time of whole expressions"
    table = Table("bars x assets", "expressions", "within 2 x", "5 %", "median", "95 %", title=title)
    found: dict[str, dict[str, float]] = {}
    for panel in panels:
        rows = [ratio(one, panel)[0] for one in batch if one.is_bounded]
        low, middle, high = np.quantile(rows, [0.05, 0.5, 0.95])
        within = float(np.mean([0.5 <= one <= 2.0 for one in rows]))
        key = f"{panel.shape[0]} x {panel.shape[1]}"
        found[key] = {"within": within, "low": float(low), "median": float(middle), "high": float(high)}
        table.add_row(key, str(len(rows)), f"{within:.0%}", f"{low:.2f}", f"{middle:.2f}", f"{high:.2f}")
    console.print(table)
    print(json.dumps({"benchmark": "work_estimates", **found}))


if __name__ == "__main__":
    main()
