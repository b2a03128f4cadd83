"""Watching what was admitted: false alarms over 20 years beside those stated, and how soon a dead factor is noticed.

    python -m benchmarks.watch [--quick] [--data FOLDER] [--corpora FOLDER]

Payoffs are drawn with the mean that a factor is given credit for, and then with none: normal ones, ones with fat tails
and clustered volatility, rare large losses, autocorrelated ones, and blocks of what WorldQuant's alphas really earned
on 505 stocks. Beside the cumulative sum stand likelihood ratios that begin every month and are added up (e-detectors,
Shin, Ramdas & Rinaldo 2023: their bound holds where tails are no fatter than a normal's), at the same stated rate; and
the test of the mean of all new bars at 5 %, asked every month, which most people would do. It takes 90 s of a core.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from backtest.change_sums import fall_below, in_deviations
from backtest.mean_test import inflation
from backtest.scorecard import paid_series
from benchmarks.worldquant import MARKETS, SHARED, open_market
from factors.corpora import read_corpus
from factors.engine import evaluate
from factors.parse import parse
from market.errors import Rejection
from market.panel import FloatArray

YEAR, MONTH = 252, 21
FALSE_YEARS, YEARS, GOOD = 100.0, 20, 5
STATED = 1.0 - math.exp(-YEARS / FALSE_YEARS)
Noise = Callable[[np.random.Generator, int], FloatArray]


def normal(rng: np.random.Generator, bars: int) -> FloatArray:
    """Independent normal payoffs."""
    return rng.standard_normal(bars)


def wild(rng: np.random.Generator, bars: int) -> FloatArray:
    """Student's t with 4 degrees of freedom, times a GARCH(1,1) volatility."""
    drawn = rng.standard_t(4, bars) / math.sqrt(2.0)
    found, variance = np.empty(bars), 1.0
    for t in range(bars):
        found[t] = drawn[t] * math.sqrt(variance)
        variance = 0.02 + 0.07 * min(found[t] ** 2, 25.0) + 0.91 * variance
    return found


def lottery(rng: np.random.Generator, bars: int) -> FloatArray:
    """Many small gains and few large losses: an exponential turned round."""
    return 1.0 - rng.exponential(1.0, bars)


def persistent(rng: np.random.Generator, bars: int) -> FloatArray:
    """Payoffs whose autocorrelation is 0.2."""
    drawn = rng.standard_normal(bars)
    for t in range(1, bars):
        drawn[t] += 0.2 * drawn[t - 1]
    return drawn * math.sqrt(1.0 - 0.2**2)


def recorded(series: Sequence[FloatArray]) -> Noise:
    """Blocks of a quarter of what alphas earned, each less its mean, in units of its deviation."""
    centred = [(one - one.mean()) / one.std() for one in series]

    def draw(rng: np.random.Generator, bars: int) -> FloatArray:
        one = centred[int(rng.integers(len(centred)))]
        starts = rng.integers(0, len(one) - 63, math.ceil(bars / 63))
        return np.concatenate([one[start : start + 63] for start in starts])[:bars]

    return draw


def alphas_earned(data: Path, corpora: Path, every: int) -> Iterator[FloatArray]:
    """Yield what each `every`-th alpha earned a bar on stocks, after costs."""
    study = open_market(MARKETS[2], data)
    for alpha in read_corpus(corpora / "worldquant_alpha101.txt")[::every]:
        expression = parse(alpha.text, fields=study.fields, bar=study.panel.bar, dialect=alpha.dialect)
        assert not isinstance(expression, Rejection), expression
        paid = paid_series(evaluate(expression, study.panel).values, study.target)
        if not isinstance(paid, Rejection):
            net = paid.net[np.isfinite(paid.net)]
            yield net[np.flatnonzero(net)[0] :] if np.any(net) else np.zeros(0)


def cumulative_sum(payoffs: FloatArray, bound: float, inflated: float) -> int:
    """Return the bar of the first alarm, or -1."""
    return fall_below(payoffs, bound, 0.0, inflated, years=FALSE_YEARS, year=YEAR).first


def mixture(payoffs: FloatArray, bound: float, inflated: float) -> int:
    """Return the bar of the first alarm of e-processes that begin every month, or -1."""
    rises = np.exp(bound * (0.5 * bound - payoffs) / inflated)
    wealth, alarm = 0.0, FALSE_YEARS * YEAR / MONTH
    for t, rise in enumerate(rises.tolist()):
        wealth = (wealth + (t % MONTH == 0)) * rise
        if wealth >= alarm:
            return t
    return -1


def mean_test_monthly(payoffs: FloatArray, bound: float, inflated: float) -> int:
    """Return the bar at which the mean of all new bars is below the bound at 5 %, asked every month; or -1."""
    count = np.arange(1, len(payoffs) + 1)
    score = (np.cumsum(payoffs) / count - bound) * np.sqrt(count / inflated)
    asked = np.flatnonzero((score < -1.645) & (count % MONTH == 0))
    return int(asked[0]) if len(asked) else -1


RULES = {"sum": cumulative_sum, "e-processes": mixture, "mean, monthly": mean_test_monthly}


def measured(noise: Noise, yearly: float, draws: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the share of false alarms in 20 years, and the delay of a true one after 5 good years, by rule."""
    bound = yearly / math.sqrt(YEAR)
    false: dict[str, list[bool]] = {name: [] for name in RULES}
    delay: dict[str, list[float]] = {name: [] for name in RULES}
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        warm = noise(rng, (YEARS + 4) * YEAR)
        # A mean is planted in deviations that were known, as a band is.
        scaled = in_deviations(warm)
        history, drawn = scaled[: 4 * YEAR], scaled[4 * YEAR :] + bound
        known = history[np.isfinite(history)]
        inflated = inflation(known - known.mean())
        for name, rule in RULES.items():
            false[name].append(rule(drawn, bound, inflated) >= 0)
            dead = drawn.copy()
            dead[GOOD * YEAR :] -= bound
            at = rule(dead, bound, inflated)
            # An alarm before the fall is a false one: the delay is counted where there was none.
            if not 0 <= at < GOOD * YEAR:
                delay[name].append((at - GOOD * YEAR) / YEAR if at >= 0 else math.inf)
    return {
        name: {"false alarms": float(np.mean(false[name])), "years to notice": float(np.median(delay[name]))}
        for name in RULES
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its table and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--corpora", type=Path, default=SHARED / "corpora")
    options = parser.parse_args(argv)
    draws = 100 if options.quick else 1000
    earned = [one for one in alphas_earned(options.data, options.corpora, 20 if options.quick else 5) if len(one) > 500]
    kinds: dict[str, Noise] = {
        "normal": normal,
        "fat tails, clustered": wild,
        "rare large losses": lottery,
        "autocorrelation 0.2": persistent,
        f"{len(earned)} alphas on stocks": recorded(earned),
    }
    found = {}
    table = Table("payoffs", "admitted with", *(f"{name}: {what}" for name in RULES for what in ("false", "years")))
    cases = [(name, yearly) for name in kinds for yearly in (1.0, 2.0, 4.0)]
    for number, (name, yearly) in enumerate(track(cases, console=Console(stderr=True), transient=True)):
        one = measured(kinds[name], yearly, draws, number)
        found[f"{name}, {yearly:g}"] = one
        cells = [
            written
            for rule in RULES
            for written in (f"{one[rule]['false alarms']:.1%}", f"{one[rule]['years to notice']:.2f}")
        ]
        table.add_row(name, f"{yearly:g}", *cells)
    console = Console()
    console.print(table)
    console.print(
        f"Sharpe ratios of even risk a year. {draws} factors a row, {YEARS} years of {YEAR} bars. Stated false alarms: "
        f"once in {FALSE_YEARS:g} years, which is {STATED:.1%} of factors in {YEARS}. A factor dies after {GOOD} good "
        "years; the median of the years until it is noticed."
    )
    largest = max(one["sum"]["false alarms"] for one in found.values())
    print(json.dumps({"stated": STATED, "largest": largest, "draws": draws, "cases": found}))


if __name__ == "__main__":
    main()
