"""Skill against the tests: how often a factor that truly pays passes as one among many that do not.

    python -m benchmarks.power [--quick] [--repetitions N] [--data FOLDER]

Drawn: one factor with a true annual Sharpe ratio among others without, by number of trials and of bars; the same with a
growing share of trials that are related to it (and pay as well), and with clones. The best valid test is the one that
knows variance and independence. Peers on the same draws: Bonferroni, and the Deflated Sharpe Ratio.

Real: a mean payoff is planted (see `backtest.planted_payoffs`) on null markets made of real ones, for fast, middle and
slow signals; its strength is the score that a portfolio which knows it would gain. The exact signal is tested among 24
and 1 000 trials; what a test with known variance would reach at that score stands beside it.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.special import ndtr, ndtri

from backtest.luck import fingerprint_of
from backtest.max_test import LargestScores
from backtest.mean_test import mean_test
from backtest.nulls import NULLS
from backtest.planted_payoffs import plant_payoff
from benchmarks.noise import LEVEL, draw, passes
from benchmarks.null_setup import MARKETS, factors_of, market_of, open_panel
from factors.engine import evaluate
from factors.parse import parse
from factors.table import STANDARD_FIELDS
from factors.tree import Expression
from market.errors import InputError
from market.panel import FloatArray, Panel

DAYS = 252.0
SIGNALS = {"fast": "-ts_returns(close, 3)", "middle": "ts_rank(volume, 20)", "slow": "-ts_std(returns, 60)"}
STRENGTHS = (3.0, 4.0, 6.0)
TRIALS = (24, 1_000)


def known_power(score: float, trials: float) -> float:
    """Return how often a score with mean `score` and deviation 1 exceeds the hurdle of independent trials."""
    return float(ndtr(score - ndtri((1.0 - LEVEL) ** (1.0 / trials))))


def drawn_cells(*, quick: bool) -> list[tuple[str, int, int, float, float]]:
    """Return label, trials, bars, annual Sharpe ratio, and share of related trials."""
    sizes = (10, 100) if quick else (10, 100, 1_000, 10_000)
    cells = [("independent", n, 1_000, 2.0, 0.0) for n in sizes]
    if not quick:
        cells += [("independent", n, 2_500, 1.0, 0.0) for n in sizes]
    cells += [("related", 100, 1_000, 3.0, share) for share in (0.0, 0.1, 0.3, 0.5)]
    return [*cells, ("clones", 100, 1_000, 2.0, 0.2)]


def skilled(kind: str, trials: int, bars: int, sharpe: float, share: float, rng: np.random.Generator) -> FloatArray:
    """Return (bars, trials) returns of which the first pays; a share of them is related to it, and pays as well."""
    returns = draw("clones" if kind == "clones" else "independent", bars, trials, rng)
    related = max(1, round(share * trials))
    if kind == "related":
        own = rng.standard_normal((bars, related))
        returns[:, :related] = math.sqrt(0.5) * returns[:, :1] + math.sqrt(0.5) * own
    returns[:, :related] += sharpe / math.sqrt(DAYS)
    return returns


def drawn_table(args: argparse.Namespace, console: Console) -> list[dict[str, object]]:
    """Test a factor that pays among many; return the shares that pass."""
    table = Table(
        "others", "trials", "bars", "Sharpe", "related", "maximum", "Bonferroni", "DSR", "FDR", "best valid test"
    )
    lines: list[dict[str, object]] = []
    for kind, trials, bars, sharpe, share in track(drawn_cells(quick=args.quick), console=console, transient=True):
        repetitions = max(20, min(args.repetitions, args.repetitions * 200 // trials))
        found = []
        for number in range(repetitions):
            rng = np.random.default_rng([2, number, trials, bars])
            found.append(passes(skilled(kind, trials, bars, sharpe, share, rng), number, best=0))
        shares = {
            name: float(np.mean([one[name] for one in found])) for name in ("maximum", "bonferroni", "dsr", "fdr")
        }
        valid = known_power(sharpe * math.sqrt(bars / DAYS), trials / 20 if kind == "clones" else trials)
        row = (kind, f"{trials:,}", f"{bars:,}", f"{sharpe:g}", f"{share:.0%}")
        table.add_row(*row, *(f"{x:.0%}" for x in shares.values()), f"{valid:.0%}")
        line = {"others": kind, "trials": trials, "bars": bars, "sharpe": sharpe, "related": share}
        lines.append({**line, **shares, "valid": valid, "repetitions": repetitions})
    console.print(table)
    return lines


def planted_table(args: argparse.Namespace, console: Console) -> list[dict[str, object]]:
    """Test planted signals on null markets; return the shares that pass."""
    table = Table("market", "signal", "planted z", "trials", "found", "known variance", "panels")
    lines: list[dict[str, object]] = []
    for title in ["coins, daily"] if args.quick else list(MARKETS):
        panel = open_panel(title, args.data)
        others = factors_of(panel, 24)
        for speed, text in SIGNALS.items():
            found: dict[tuple[float, int], list[bool]] = {}
            for number in track(range(args.panels), description=f"{title}, {speed}", console=console, transient=True):
                for key, passed in _planted(panel, text, others, number).items():
                    found.setdefault(key, []).append(passed)
            for (strength, trials), flags in found.items():
                share, known = float(np.mean(flags)), known_power(strength, trials)
                table.add_row(
                    title, speed, f"{strength:g}", str(trials), f"{share:.0%}", f"{known:.0%}", str(len(flags))
                )
                line = {"market": title, "signal": speed, "z": strength, "trials": trials}
                lines.append({**line, "found": share, "known": known, "panels": len(flags)})
    console.print(table)
    return lines


def _planted(panel: Panel, text: str, others: Sequence[Expression], number: int) -> dict[tuple[float, int], bool]:
    null = NULLS["history"](panel, np.random.default_rng([3, number]))
    hidden = parse(text, fields=STANDARD_FIELDS, bar=panel.bar)
    assert isinstance(hidden, Expression)
    values, rest = evaluate(hidden, null.panel).values, [evaluate(one, null.panel).values for one in others[:-1]]
    base = market_of(null.outcomes)
    largest = LargestScores(number)
    largest.add([fingerprint_of(base.payoffs(one)) for one in (values, *rest)])
    found = {}
    for strength in STRENGTHS:
        try:
            planted = plant_payoff(null.panel, values, strength, base.part)
        except InputError:
            continue
        z = mean_test(market_of(planted.panel).payoffs(values)).z
        for trials in TRIALS:
            found[strength, trials] = largest.adjusted_p(z, more=trials - largest.count) <= LEVEL
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repetitions", type=int, default=None)
    parser.add_argument("--panels", type=int, default=None)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    args = parser.parse_args(argv)
    args.repetitions = args.repetitions or (60 if args.quick else 400)
    args.panels = args.panels or (8 if args.quick else 40)
    console = Console()
    figures: dict[str, object] = {"benchmark": "power", "level": LEVEL, "drawn": drawn_table(args, console)}
    if args.data.is_dir():
        figures["planted"] = planted_table(args, console)
    else:
        console.print(f"no folder {args.data}: the tables of real markets are left out")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
