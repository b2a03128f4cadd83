"""Published factors on real equities: how many read, have finite values and see no future, and why the others do not.

    python -m benchmarks.corpora [--quick] [--data FOLDER] [--corpora FOLDER]
    python -m benchmarks.corpora --texts FOLDER [--column NAME] [--dialect NAME] [--quick]

Every text of the three corpora is read in its dialect, evaluated on the S&P 500's daily bars, and evaluated again on
two shortened panels, whose values must be the same bit for bit. `--quick` takes a third of the bars and every sixth
asset.

With `--texts`, the texts of any folder (JSON, JSONL, CSV, txt, py) are read instead: by which reader, refused for which
reason, ordered by count, and twenty random acceptances with their plain readings. `--quick` takes every tenth text.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.texts_found import report
from factors.checks import check_truncation
from factors.corpora import read_corpus
from factors.engine import evaluate
from factors.parse import DIALECTS, parse
from factors.table import STANDARD_FIELDS
from market.errors import InputError, Rejection
from market.files import import_files
from market.panel import Panel

SHARED = Path(__file__).resolve().parents[2] / "shared"
FILES = ("worldquant_alpha101.txt", "gtja_alpha191.txt", "qlib_alpha158.json")


@dataclass
class Count:
    """What became of one corpus."""

    texts: int = 0
    read: int = 0
    finite: int = 0
    causal: int = 0
    parse_ms: float = 0.0
    worst_parse_ms: float = 0.0
    evaluate_s: float = 0.0
    refused: dict[str, str] = field(default_factory=dict)
    empty: dict[str, str] = field(default_factory=dict)


def run(panel: Panel, path: Path, console: Console) -> Count:
    """Read, evaluate and cut every factor of a corpus."""
    count = Count()
    bars = len(panel.times)
    for factor in track(read_corpus(path), description=path.stem, console=console, transient=True):
        count.texts += 1
        begun = time.perf_counter()
        expression = parse(factor.text, fields=STANDARD_FIELDS, dialect=factor.dialect)
        taken = 1e3 * (time.perf_counter() - begun)
        count.parse_ms += taken
        count.worst_parse_ms = max(count.worst_parse_ms, taken)
        if isinstance(expression, Rejection):
            count.refused[factor.name] = expression.one_line()
            continue
        count.read += 1
        begun = time.perf_counter()
        finite = bool(np.isfinite(evaluate(expression, panel).values).any())
        count.evaluate_s += time.perf_counter() - begun
        if not finite:
            count.empty[factor.name] = f"no finite value in {bars} bars; looks back {expression.lookback}"
        count.finite += finite
        count.causal += check_truncation(expression, panel, [bars // 2, bars - 1]) is None
    return count


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its table and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--corpora", type=Path, default=SHARED / "corpora")
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--column", default="")
    parser.add_argument("--dialect", choices=list(DIALECTS), default="auto")
    options = parser.parse_args(argv)
    if options.texts is not None:
        try:
            found = report(options.texts, options.column, options.dialect, quick=options.quick, out=Console())
        except InputError as error:
            parser.error(str(error))
        print(json.dumps(found, ensure_ascii=False))
        return
    console = Console(stderr=True)
    panel = import_files([options.data / "equity_sp500_1d_2013_2018.parquet"], calendar="exchange", repair=True)
    if options.quick:
        panel = panel.rows(0, len(panel.times) // 3).select(panel.assets[::6])
    counts = {name: run(panel, options.corpora / name, console) for name in FILES}
    table = Table("corpus", "texts", "read", "finite", "causal", "parse ms", "worst", "evaluate s")
    for name, count in counts.items():
        figures = (count.texts, count.read, count.finite, count.causal)
        mean = count.parse_ms / max(count.texts, 1)
        times = (f"{mean:.2f}", f"{count.worst_parse_ms:.1f}", f"{count.evaluate_s:.0f}")
        table.add_row(name, *map(str, figures), *times)
    out = Console()
    out.print(table)
    for count in counts.values():
        for name, why in {**count.refused, **count.empty}.items():
            out.print(f"  {name}: {why}", soft_wrap=True, markup=False)
    shape = {"bars": panel.shape[0], "assets": panel.shape[1]}
    print(json.dumps({**shape, **{name: asdict(count) for name, count in counts.items()}}))


if __name__ == "__main__":
    main()
