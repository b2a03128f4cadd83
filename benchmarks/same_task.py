"""One task in alphaglow, alphalens, vectorbt and Qlib: ten factors of WorldQuant's kind on five years of 505 stocks.

    python -m benchmarks.same_task [--turns N] [--data FOLDER]

All begin at the same file, evaluate ten formulas, and find on train: rank IC a day, what each fifth earns, turnover,
and the net Sharpe ratio of the top fifth against the bottom one. Each is written as its users would
(`same_task_pandas`), and what they find is compared. Times are processor seconds of interleaved turns after a first
one. alphalens comes with the extra `bench`; vectorbt and Qlib (`pyqlib`) are taken where they are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import inspect
import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

import alphaglow as ag
from benchmarks.same_task_pandas import (
    FEE_BP,
    Bars,
    fifths_weights,
    rank,
    with_alphalens,
    with_qlib,
    with_vectorbt,
)

SHARED = Path(__file__).resolve().parents[2] / "shared"
# A row a factor, and what each fifth of each earns a day.
Found = tuple[pd.DataFrame, dict[str, pd.DataFrame]]
FILE = "equity_sp500_1d_2013_2018.parquet"
# The formulas are those of WorldQuant's alphas 12, 6, 3, 4, 13, 33, 44, 53, 54 and 101.
OURS = {
    "012": "sign(ts_delta(volume, 1)) * -ts_delta(close, 1)",
    "006": "-ts_corr(open, volume, 10)",
    "003": "-ts_corr(cs_rank(open), cs_rank(volume), 10)",
    "004": "-ts_rank(cs_rank(low), 9)",
    "013": "-cs_rank(ts_cov(cs_rank(close), cs_rank(volume), 5))",
    "033": "cs_rank(open / close - 1)",
    "044": "-ts_corr(high, cs_rank(volume), 5)",
    "053": "-ts_delta((close - low - (high - close)) / (close - low), 9)",
    "054": "-(low - close) * open**5 / ((low - high) * close**5)",
    "101": "(close - open) / (high - low + 0.001)",
}


def with_alphaglow(path: Path) -> Found:
    """Return a row a factor, and what each fifth of each earns a day."""
    panel = ag.panel(path, calendar="exchange", repair=True)
    rules = {"weighting": "quantile", "rule": "as set", "fee_bp": FEE_BP, "slippage_bp": 0}
    found = ag.sweep(panel, "{factor}", factor=list(OURS.values()), rules=rules)
    quantiles = {name: one.quantiles() for name, one in zip(OURS, found.results, strict=True)}
    return found.frame.set_index(pd.Index(OURS)), quantiles


def code_lines(*parts: object) -> int:
    """Return the lines of code of functions and classes, without blank lines, docstrings and comments."""
    found = 0
    for part in parts:
        kept = [line.strip() for line in inspect.getsource(part).splitlines()]  # type: ignore[arg-type]
        found += sum(bool(line) and not line.startswith(("#", '"""')) for line in kept)
    return found


WAYS: Mapping[str, tuple[Callable[[Path], Found], tuple[object, ...]]] = {
    "alphaglow": (with_alphaglow, (with_alphaglow,)),
    "alphalens": (with_alphalens, (with_alphalens, Bars, rank)),
    "vectorbt": (with_vectorbt, (with_vectorbt, Bars, rank, fifths_weights)),
    "qlib": (with_qlib, (with_qlib, rank, fifths_weights)),
}
FIGURES = ["rank_ic", "turnover", "sharpe_gross", "sharpe_net"]


def _measured(path: Path, ways: Sequence[str], turns: int) -> tuple[dict[str, list[float]], dict[str, Found]]:
    """Return processor seconds of each turn but the first, and what each way found."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Found] = {}
    for turn in range(turns + 1):
        for name in ways:
            started = time.process_time()
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                found[name] = WAYS[name][0](path)
            if turn:
                seconds[name].append(time.process_time() - started)
    return seconds, found


def main() -> None:
    """Time all that are installed, compare what they found, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--turns", type=int, default=5, help="timed turns of each (default 5)")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    args = parser.parse_args()
    console = Console()
    ways = [name for name in WAYS if importlib.util.find_spec(name) is not None]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        path.symlink_to((args.data / FILE).resolve())
        # Qlib reads its own folders alone, and its package has no program that makes them.
        ag.panel(path, calendar="exchange", repair=True).to_qlib(path.with_suffix(".qlib"))
        seconds, found = _measured(path, ways, args.turns)
    table = Table("way", "lines beside the ten formulas", "processor seconds, median", "from", "to", "times ours")
    for name in ways:
        took = seconds[name]
        figures = [f"{one:.2f}" for one in (statistics.median(took), min(took), max(took))]
        times = statistics.median(b / a for b, a in zip(took, seconds["alphaglow"], strict=True))
        table.add_row(name, str(code_lines(*WAYS[name][1])), *figures, f"{times:.1f}")
    console.print(table)
    ours, fifths = found["alphaglow"]
    console.print(ours[[*FIGURES, "verdict"]].round(4).to_string(), soft_wrap=True)
    for name in ways[1:]:
        theirs, other = found[name]
        gaps = ", ".join(f"{one} {value:.4f}" for one, value in (theirs[FIGURES] - ours[FIGURES]).abs().max().items())
        console.print(f"largest differences of {name}: {gaps}", soft_wrap=True)
        gap = max(np.abs(fifths[one]["mean"].to_numpy() - other[one]["mean"].to_numpy()).max() for one in OURS)
        console.print(f"largest difference of a fifth's mean return: {gap:.1e}")


if __name__ == "__main__":
    main()
