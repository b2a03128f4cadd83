"""Skill against the tests: how often a factor that truly pays passes as one among many that do not.

    python -m benchmarks.power [--quick] [--only drawn|real] [--market NAME] [--panels N]

Drawn: one factor with a true annual Sharpe ratio among others without, by number of trials and of bars; the same with a
growing share of trials that are related to it (and pay as well), and with clones. The best valid test is the one that
knows variance and independence. Peers on the same draws: Bonferroni, and the Deflated Sharpe Ratio.

Real: a mean payoff is planted (see `backtest.planted_payoffs`) on null markets made of real ones, for fast, middle and
slow signals; its strength is the score that a portfolio which knows it would gain. The exact signal is tested among 24
and 1 000 trials; what a test with known variance would reach at that score stands beside it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.special import ndtr, ndtri

from backtest.binomial import Share
from backtest.luck import fingerprint_of
from backtest.max_test import LargestScores
from backtest.mean_test import mean_test, one_sided_p
from backtest.nulls import NULLS
from backtest.planted_payoffs import plant_payoff
from benchmarks.noise import LEVEL, draw, passes
from benchmarks.null_setup import factors_of, market_of, open_panel, run_tables
from factors.engine import evaluate
from factors.parse import parse
from factors.table import STANDARD_FIELDS
from factors.tree import Expression
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


def exact_shares(trials: int, bars: int, sharpe: float, families: int, scores: int) -> dict[str, float]:
    """Return how often a factor that pays passes among independent ones, by the maximum and by Bonferroni.

    The hurdle hangs on the others, the score on the factor: each of the `scores` is compared with the hurdle of each
    of the `families`. A family of 10 000 so serves for thousands of comparisons, and not for one.
    """
    rng = np.random.default_rng([3, trials, bars])
    paid = (mean_test(rng.standard_normal(bars) + sharpe / math.sqrt(DAYS)).z for _ in range(scores))
    found, hurdles = np.sort(np.fromiter(paid, dtype=np.float64, count=scores)), []
    for number in range(families):
        returns = draw("independent", bars, trials, np.random.default_rng([2, number, trials, bars]))
        largest = LargestScores(number)
        largest.add([fingerprint_of(column) for column in np.ascontiguousarray(returns.T)])
        hurdles.append(largest.hurdle(LEVEL))
    above = 1.0 - np.searchsorted(found, hurdles, side="right") / scores
    alone = np.array([one_sided_p(float(z)) for z in found])
    return {"maximum": float(np.mean(above)), "bonferroni": float(np.mean(alone * trials <= LEVEL))}


def drawn_table(args: argparse.Namespace, console: Console) -> list[dict[str, object]]:
    """Test a factor that pays among many; return the shares that pass."""
    table = Table(
        "others", "trials", "bars", "Sharpe", "related", "maximum", "Bonferroni", "DSR", "FDR", "best valid test"
    )
    lines: list[dict[str, object]] = []
    cells = [
        cell
        for cell in drawn_cells(quick=args.quick)
        if cell[1] in (args.trials or [cell[1]]) and cell[2] in (args.bars or [cell[2]])
    ]
    for kind, trials, bars, sharpe, share in track(cells, console=console, transient=True):
        repetitions = max(20, min(args.repetitions, args.repetitions * 200 // trials))
        found = []
        for number in range(repetitions):
            rng = np.random.default_rng([2, number, trials, bars])
            found.append(passes(skilled(kind, trials, bars, sharpe, share, rng), number, best=0))
        shares = {
            name: float(np.mean([one[name] for one in found])) for name in ("maximum", "bonferroni", "dsr", "fdr")
        }
        if kind == "independent":
            shares |= exact_shares(trials, bars, sharpe, repetitions, 400 if args.quick else 4_000)
        valid = known_power(sharpe * math.sqrt(bars / DAYS), trials / 20 if kind == "clones" else trials)
        row = (kind, f"{trials:,}", f"{bars:,}", f"{sharpe:g}", f"{share:.0%}")
        table.add_row(*row, *(f"{x:.0%}" for x in shares.values()), f"{valid:.0%}")
        line = {"others": kind, "trials": trials, "bars": bars, "sharpe": sharpe, "related": share}
        lines.append({**line, **shares, "valid": valid, "repetitions": repetitions})
    console.print(table)
    return lines


def planted_table(args: argparse.Namespace, console: Console) -> list[dict[str, object]]:
    """Test planted signals on null markets; return the shares that pass."""
    table = Table("market", "signal", "planted z", "gained z", "trials", "found", "expected", "known variance")
    lines: list[dict[str, object]] = []
    for title in args.market:
        panel = open_panel(title, args.data)
        others = factors_of(panel, TRIALS[0])
        found: dict[tuple[str, float], list[PlantedTest]] = {}
        for number in track(range(args.panels), description=title, console=console, transient=True):
            for key, result in _planted(panel, others, number).items():
                found.setdefault(key, []).append(result)
        for (speed, strength), results in found.items():
            gained = float(np.mean([one.z - one.before for one in results]))
            for place, trials in enumerate(TRIALS):
                share, known = Share.of(one.z > one.hurdles[place] for one in results), known_power(strength, trials)
                # Scores before are standard normal: what the gain makes of those is seen from few panels.
                expected = float(np.mean([ndtr(one.z - one.before - one.hurdles[place]) for one in results]))
                cells = (f"{strength:g}", f"{gained:.2f}", str(trials), str(share), f"{expected:.0%}", f"{known:.0%}")
                table.add_row(title, speed, *cells)
                line = {"market": title, "signal": speed, "z": strength, "gained": gained, "trials": trials}
                lines.append({**line, **share.document(), "expected": expected, "known": known})
    console.print(table)
    return lines


@dataclass(frozen=True)
class PlantedTest:
    """The score of the exact expression before and after planting, and the hurdles among `TRIALS`."""

    before: float
    z: float
    hurdles: list[float]


def _planted(panel: Panel, others: Sequence[Expression], number: int) -> dict[tuple[str, float], PlantedTest]:
    """Return what the tests make of each signal (exact expression) and planted z."""
    null = NULLS["history"](panel, np.random.default_rng([3, number]))
    base = market_of(null.outcomes)
    rest = [fingerprint_of(base.payoffs(evaluate(one, null.panel).values)) for one in others[:-1]]
    found = {}
    for speed, text in SIGNALS.items():
        hidden = parse(text, fields=STANDARD_FIELDS, bar=panel.bar)
        assert isinstance(hidden, Expression)
        values = evaluate(hidden, null.panel).values
        before = base.payoffs(values)
        largest = LargestScores(number)
        largest.add([fingerprint_of(before), *rest])
        hurdles = [largest.hurdle(LEVEL, trials - largest.count) for trials in TRIALS]
        for strength in STRENGTHS:
            planted = plant_payoff(null.panel, values, strength, base.part)
            z = mean_test(market_of(planted.panel).payoffs(values)).z
            found[speed, strength] = PlantedTest(mean_test(before).z, z, hurdles)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables, and one JSON line."""
    sizes = {"quick": (60, 8), "full": (400, 20)}
    run_tables("power", __doc__, argv, sizes, {"drawn": drawn_table, "real": planted_table})


if __name__ == "__main__":
    main()
