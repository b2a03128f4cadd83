"""Luck against the Deflated Sharpe Ratio: how often the best of many noise factors passes, and how often skill does.

    python -m benchmarks.noise [--quick] [--repetitions N]

Returns per bar are drawn without skill (normal, and Student-t with 4 degrees of freedom), a hundred factors a
repetition. The best one is evaluated with the number of trials and the variance of their Sharpe ratios, as mining does.
Skill is a true annual Sharpe ratio of 2 over 1 000 daily bars, evaluated as the best of a hundred trials that else are
noise. The peer is the bare probabilistic ratio, which does not know how many were tried.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from backtest import metrics
from backtest.evidence import Trials, deflated_sharpe, probabilistic_sharpe
from market.panel import FloatArray

BAR = 0.95
FACTORS = 100
DAYS = 252.0


def best_of(returns: FloatArray) -> tuple[float, float]:
    """Return the deflated and the probabilistic Sharpe ratio of the best column of (T, factors) returns."""
    ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    best = returns[:, int(np.argmax(ratios))]
    bars = len(best)
    # As mining does: luck varies by at least what one estimate varies.
    trials = Trials(returns.shape[1], max(float(ratios.var(ddof=1)), 1.0 / bars))
    shape = (metrics.skewness(best), metrics.kurtosis(best))
    ratio = metrics.sharpe(best, 1.0)
    return deflated_sharpe(ratio, bars, *shape, trials), probabilistic_sharpe(ratio, 0.0, bars, *shape)


def shares(
    rng: np.random.Generator, bars: int, repetitions: int, *, fat: bool, skill: float = 0.0
) -> tuple[float, float]:
    """Return the shares of repetitions whose best factor passes, deflated and not; one factor has annual `skill`."""
    passed = np.zeros(2)
    for _ in range(repetitions):
        noise = rng.standard_t(4, (bars, FACTORS)) / np.sqrt(2.0) if fat else rng.standard_normal((bars, FACTORS))
        noise[:, 0] += skill / np.sqrt(DAYS)
        passed += np.array(best_of(0.01 * noise)) >= BAR
    return float(passed[0] / repetitions), float(passed[1] / repetitions)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repetitions", type=int, default=None)
    args = parser.parse_args(argv)
    repetitions = args.repetitions or (50 if args.quick else 200)
    rng = np.random.default_rng(0)
    table = Table("returns", "bars", "passes deflated", "passes undeflated")
    figures: dict[str, dict[str, float]] = {}

    def add(label: str, bars: int, *, fat: bool, skill: float = 0.0) -> None:
        deflated, bare = shares(rng, bars, repetitions, fat=fat, skill=skill)
        table.add_row(label, str(bars), f"{deflated:.1%}", f"{bare:.1%}")
        figures[f"{label}, {bars} bars"] = {"deflated": deflated, "undeflated": bare}

    for fat in (False, True):
        for bars in (91, 250, 1_000, 5_000):
            add("noise, fat tails" if fat else "noise", bars, fat=fat)
    add("one true Sharpe ratio of 2", 1_000, fat=False, skill=2.0)
    Console().print(table)
    print(json.dumps({"benchmark": "noise", "repetitions": repetitions, "factors": FACTORS, **figures}))


if __name__ == "__main__":
    main()
