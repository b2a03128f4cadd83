"""Luck against the tests: how often the best of many factors without skill passes, on drawn returns and on real ones.

    python -m benchmarks.noise [--quick] [--only drawn|real] [--market NAME] [--panels N]

Drawn: returns per bar without skill, a hundred and a thousand factors (`--trials N`: others): independent, with fat
tails, in blocks that correlate by 0.9, and clones. The best one is tested against all of them, as mining does, at a
level of 5 %. Peers, on the same draws: Bonferroni, the Deflated Sharpe Ratio (Bailey & López de Prado 2014), and the
bare t statistic.

Real: null markets (see `backtest.nulls`) made of daily coins, of the S&P 500 and of hourly coins. Of common factors:
the share beyond two standard errors, the mean and the deviation of their scores, and how often the best of all passes.
The peer is the t statistic of the mean rank IC.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from backtest import metrics
from backtest.binomial import Share
from backtest.discovery import discoveries
from backtest.evidence import Trials, deflated_sharpe
from backtest.ic import newey_west_t, rank_ic
from backtest.luck import fingerprint_of
from backtest.max_test import LargestScores
from backtest.mean_test import mean_test, one_sided_p
from backtest.nulls import NULLS
from benchmarks.null_setup import NAMED, PayingMarket, factors_of, market_of, open_panel, run_tables
from factors.engine import evaluate
from market.panel import FloatArray

LEVEL = 0.05
KINDS = ("independent", "fat tails", "correlated 0.9", "clones")
FAMILY = 20


def draw(kind: str, bars: int, trials: int, rng: np.random.Generator) -> FloatArray:
    """Return (bars, trials) returns without skill; correlated ones come in families of `FAMILY`."""
    if kind == "fat tails":
        return rng.standard_t(4, (bars, trials)) / math.sqrt(2.0)
    own = rng.standard_normal((bars, trials))
    if kind == "independent":
        return own
    families = np.repeat(rng.standard_normal((bars, -(-trials // FAMILY))), FAMILY, axis=1)[:, :trials]
    return math.sqrt(0.9) * families + math.sqrt(0.1) * own if kind == "correlated 0.9" else families + 0.05 * own


def passes(returns: FloatArray, seed: int, best: int | None = None) -> dict[str, bool]:
    """Return by which tests the best factor, or the one that is named, passes among all columns."""
    columns = np.ascontiguousarray(returns.T)
    scores = np.array([mean_test(column).z for column in columns])
    chosen = int(np.argmax(scores)) if best is None else best
    largest = LargestScores(seed)
    largest.add([fingerprint_of(column) for column in columns])
    column = columns[chosen]
    ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    # As was done before: the spread among trials, never below that of one estimate.
    trials = Trials(len(scores), max(float(ratios.var(ddof=1)), 1.0 / len(column)))
    shape = (metrics.skewness(column), metrics.kurtosis(column))
    dsr = deflated_sharpe(metrics.sharpe(column, 1.0), len(column), *shape, trials)
    alone = one_sided_p(float(scores[chosen]))
    return {
        "maximum": largest.adjusted_p(float(scores[chosen])) <= LEVEL,
        "bonferroni": alone * len(scores) <= LEVEL,
        "dsr": dsr >= 1.0 - LEVEL,
        "undeflated": alone <= LEVEL,
        # Of nothing that pays, the rate of false discoveries is how often there is any.
        "fdr": bool(discoveries(scores, len(scores))[chosen] <= LEVEL),
    }


def drawn_table(args: argparse.Namespace, console: Console) -> dict[str, dict[str, float]]:
    """Test the best of drawn factors; return the shares that pass by cell and by test."""
    table = Table(
        "returns", "trials", "bars", "maximum", "Bonferroni", "DSR", "undeflated", "FDR", title="passes without skill"
    )
    figures = {}
    counts = args.trials or ((100,) if args.quick else (100, 1_000))
    lengths = args.bars or ((91, 1_000) if args.quick else (91, 250, 1_000, 5_000))
    cells = [(kind, trials, bars) for trials in counts for bars in lengths for kind in KINDS]
    for kind, trials, bars in track(cells, description="drawn", console=console, transient=True):
        repetitions = max(40, args.repetitions // (4 if trials > 100 else 1))
        found = [
            passes(draw(kind, bars, trials, np.random.default_rng([0, r, trials, bars])), r) for r in range(repetitions)
        ]
        shares = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
        table.add_row(kind, str(trials), str(bars), *(f"{share:.1%}" for share in shares.values()))
        figures[f"{kind}, {trials} trials, {bars} bars"] = {**shares, "repetitions": float(repetitions)}
    console.print(table)
    return figures


def on_null(market: PayingMarket, values: Sequence[FloatArray], seed: int) -> tuple[FloatArray, FloatArray, bool]:
    """Return scores and t statistics of rank IC of signals on a null, and whether the best of them passes."""
    payoffs = [market.payoffs(one) for one in values]
    scores = np.array([mean_test(one).z for one in payoffs])
    ranks = np.array([newey_west_t(rank_ic(market.masked(one), market.forward)[market.part]) for one in values])
    largest = LargestScores(seed)
    largest.add([fingerprint_of(one) for one in payoffs])
    return scores, ranks, largest.adjusted_p(float(np.nanmax(scores))) <= LEVEL


def real_table(args: argparse.Namespace, console: Console) -> dict[str, dict[str, object]]:
    """Test common factors on null markets; return the figures by market and kind."""
    columns = ("|z| > 1.96", "mean z", "deviation", "largest |mean|", "best passes", "rank IC |t| > 1.96")
    table = Table(
        "market", "null", *columns, title=f"{args.factors} common factors on {args.panels} null markets a kind"
    )
    named = Table("market", "null", *NAMED, title="mean and deviation of single factors' z, with standard errors")
    figures: dict[str, dict[str, object]] = {}
    for title in args.market:
        panel = open_panel(title, args.data)
        factors = factors_of(panel, args.factors)
        own = [evaluate(one, panel).values for one in factors]
        for kind in args.null or NULLS:
            scores, ranks, best = [], [], []
            for number in track(range(args.panels), description=f"{title}, {kind}", console=console, transient=True):
                # Seeds by kind: with the same ones `history` and `bars` draw the same rows, and are no two markets.
                null = NULLS[kind](panel, np.random.default_rng([1, list(NULLS).index(kind), number]))
                values = own if null.panel is panel else [evaluate(one, null.panel).values for one in factors]
                found = on_null(market_of(null.outcomes), values, number)
                scores.append(found[0])
                ranks.append(found[1])
                best.append(found[2])
            z = np.array(scores)
            figures[f"{title}, {kind}"] = line = {
                "panels": args.panels,
                "beyond": float(np.nanmean(np.abs(z) > 1.96)),
                "mean": float(np.nanmean(z)),
                "deviation": float(np.nanstd(z)),
                "largest_mean": float(np.nanmax(np.abs(np.nanmean(z, axis=0)))),
                "rank_ic_beyond": float(np.nanmean(np.abs(np.array(ranks)) > 1.96)),
            }
            cells = (f"{line['beyond']:.1%}", f"{line['mean']:+.2f}", f"{line['deviation']:.2f}")
            largest, share = f"{line['largest_mean']:.2f}", Share.of(best)
            table.add_row(title, kind, *cells, largest, str(share), f"{line['rank_ic_beyond']:.1%}")
            singles = [_moments(z[:, place]) for place in range(len(NAMED))]
            named.add_row(title, kind, *("{:+.2f} ± {:.2f}, {:.2f} ± {:.2f}".format(*one) for one in singles))
            line["best_passes"] = share.document()
            line["named"] = dict(zip(NAMED, singles, strict=True))
    console.print(table)
    console.print(named)
    return figures


def _moments(z: FloatArray) -> tuple[float, float, float, float]:
    """Return the mean of scores, its standard error, their deviation, and its error as of a normal."""
    n, deviation = len(z), float(z.std(ddof=1)) if len(z) > 1 else float("nan")
    return float(z.mean()), deviation / math.sqrt(n), deviation, deviation / math.sqrt(2.0 * max(1, n - 1))


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables, and one JSON line."""
    sizes = {"quick": (40, 6), "full": (400, 20)}
    run_tables("noise", __doc__, argv, sizes, {"drawn": drawn_table, "real": real_table})


if __name__ == "__main__":
    main()
