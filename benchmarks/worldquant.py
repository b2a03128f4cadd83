"""The WorldQuant 101 on real crypto and equities: what each earns, traded in full and under a rule of its own.

    python -m benchmarks.worldquant [--quick] [--daily] [--every N] [--write FILE] [--data FOLDER] [--corpora FOLDER]

Every alpha is traded by rank, at the next open, with the costs of its venue, on train and validation; the holdout
stays sealed. Its own rule is chosen on train. `--write` puts the tables into a Markdown page. `--quick` takes every
tenth alpha, and leaves hourly coins out.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.study.settings import Settings
from agent.study.study import Study, open_study
from backtest import metrics
from backtest.ic import newey_west_t, rank_ic_of
from backtest.rule_choice import RuleChoice, choose_rule
from backtest.rule_words import rule_of
from backtest.scorecard import paid_rows
from factors.corpora import PublishedFactor, read_corpus
from factors.engine import evaluate
from factors.parse import parse
from market.errors import Rejection
from market.files import import_files
from market.ranking import rank_panel

SHARED = Path(__file__).resolve().parents[2] / "shared"


@dataclass(frozen=True)
class Market:
    """A data set, and the rules that an alpha is traded by on it."""

    title: str
    file: str
    preset: str
    exchange: bool = False
    top: int = 0


MARKETS = (
    Market("394 coins, daily", "crypto_spot_1d.parquet", ""),
    Market("50 most traded coins, daily", "crypto_spot_1d.parquet", "", top=50),
    Market("505 stocks, daily", "equity_sp500_1d_2013_2018.parquet", "us_equity", exchange=True),
    Market("323 perpetuals, daily", "crypto_perp_1d.parquet", ""),
    Market("68 coins, hourly", "crypto_spot_1h.parquet", ""),
)


@dataclass(frozen=True)
class Line:
    """One alpha on one market; Sharpe ratios are annual and net but for `gross`, `plain` ones of trading in full."""

    name: str
    ic_tstat: float
    gross: float
    plain_turnover: float
    plain_train: float
    plain_validation: float
    rule: str
    turnover: float
    train: float
    validation: float


@dataclass(frozen=True, eq=False)
class Found:
    """The alphas of a market, and the choice of a rule for the pool of their ranks."""

    lines: list[Line]
    pool: RuleChoice
    pool_ratios: dict[str, float]


def open_market(market: Market, data: Path) -> Study:
    """Open a data set under its market's rules."""
    panel = import_files(
        [data / market.file], calendar="exchange" if market.exchange else "continuous", repair=True, name=market.title
    )
    settings = Settings.model_validate({"backtest": {"preset": market.preset}, "universe": {"top": market.top}})
    return open_study(panel, settings)


def score_all(study: Study, alphas: Sequence[PublishedFactor], console: Console) -> Found:
    """Score every alpha under both rules, and the pool of all."""
    lines: list[Line] = []
    total = np.zeros(study.panel.shape)
    for alpha in track(alphas, description=study.panel.name, console=console, transient=True):
        expression = parse(alpha.text, fields=study.fields, bar=study.panel.bar, dialect=alpha.dialect)
        assert not isinstance(expression, Rejection), expression
        values = np.where(study.panel.universe, evaluate(expression, study.panel).values, np.nan)
        ranked = rank_panel(values)
        choice = choose_rule(values, study.target, study.split.train, study.grid, ranked.ranks)
        if not choice.trades:
            continue
        tstat = newey_west_t(rank_ic_of(ranked, study.target.ranked)[paid_rows(study.split.train)])
        lines.append(_line(alpha.name, tstat, choice, study))
        share = (ranked.ranks - 0.5) / np.maximum(ranked.counts[:, None], 1) - 0.5
        total += np.nan_to_num(share)
    pool = choose_rule(np.where(study.panel.universe, total, np.nan), study.target, study.split.train, study.grid)
    ratios = {
        "pool in full, train": _ratio(pool.net[0], study, "train"),
        "pool in full, validation": _ratio(pool.net[0], study, "validation"),
        "pool under its own rule, train": _ratio(pool.net[_place(pool)], study, "train"),
        "pool under its own rule, validation": _ratio(pool.net[_place(pool)], study, "validation"),
    }
    return Found(lines, pool, ratios)


def _place(choice: RuleChoice) -> int:
    return [rule_of(one) for one in choice.figures].index(choice.rule)


def _ratio(series: np.ndarray, study: Study, part: str) -> float:
    return metrics.sharpe(series[paid_rows(getattr(study.split, part))], study.panel.bars_per_year)


def _line(name: str, tstat: float, choice: RuleChoice, study: Study) -> Line:
    own = _place(choice)
    return Line(
        name=name,
        ic_tstat=tstat,
        gross=_ratio(choice.plain_gross, study, "train"),
        plain_turnover=choice.figures[0].turnover,
        plain_train=_ratio(choice.net[0], study, "train"),
        plain_validation=_ratio(choice.net[0], study, "validation"),
        rule=str(choice.rule),
        turnover=choice.figures[own].turnover,
        train=_ratio(choice.net[own], study, "train"),
        validation=_ratio(choice.net[own], study, "validation"),
    )


def summary(found: Found) -> dict[str, float]:
    """Return what a market's table says in a few numbers."""
    lines = found.lines

    def median(name: str) -> float:
        return float(np.nanmedian([getattr(line, name) for line in lines]))

    return {
        "alphas": len(lines),
        "t of rank IC above 3": sum(line.ic_tstat > 3 for line in lines),
        "gross above 0, train": sum(line.gross > 0 for line in lines),
        "net above 0, validation": sum(line.plain_validation > 0 for line in lines),
        "net above 0, validation, own rule": sum(line.validation > 0 for line in lines),
        "median gross, train": median("gross"),
        "median net, train": median("plain_train"),
        "median net, train, own rule": median("train"),
        "median net, validation": median("plain_validation"),
        "median net, validation, own rule": median("validation"),
        **found.pool_ratios,
    }


def page(found: dict[str, tuple[Study, Found]], words: str) -> str:
    """Return the Markdown page: what each market says in numbers, and a table a market."""
    sums = {title: summary(one) for title, (_, one) in found.items()}
    parts = [
        "# The WorldQuant 101 on real markets",
        "",
        "Written by `python -m benchmarks.worldquant --write docs/worldquant.md`.",
        "",
        words.strip(),
        "",
        "| | " + " | ".join(found) + " |",
        "|---|" + "---:|" * len(found),
    ]
    for key in next(iter(sums.values())):
        exact = "median" in key or "pool" in key or "best" in key
        cells = " | ".join(f"{sums[title][key]:.2f}" if exact else f"{sums[title][key]:.0f}" for title in found)
        parts.append(f"| {key} | {cells} |")
    parts += ["", "## What the figures say", "", *(f"- {sentence(title, *one)}" for title, one in found.items())]
    for title, (study, one) in found.items():
        panel, spec = study.panel, study.spec
        parts += [
            "",
            f"## {title}",
            "",
            f"{len(panel.times):,} bars of train and validation, {str(panel.times[0])[:10]} to "
            f"{str(panel.times[-1])[:10]}; {spec.weighting} weights, filled at the next {spec.fill}, "
            f"{spec.costs.per_trade * 1e4:g} bp of traded notional, borrow {spec.costs.borrow_bp_year:g} bp a year. "
            f"The pool is traded {one.pool.rule}.",
            "",
            "| alpha | t of IC | gross | in full: turnover | net | validation | rule | turnover | net | validation |",
            "|---|---:|---:|---:|---:|---:|---|---:|---:|---:|",
        ]
        for line in one.lines:
            plain = (line.gross, line.plain_turnover, line.plain_train, line.plain_validation)
            own = (line.turnover, line.train, line.validation)
            first = " | ".join([_cell(line.ic_tstat, 1), *(_cell(x, 2) for x in plain)])
            last = " | ".join(_cell(x, 2) for x in own)
            parts.append(f"| {line.name} | {first} | {line.rule} | {last} |")
    return "\n".join(parts) + "\n"


def _cell(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def sentence(title: str, study: Study, found: Found) -> str:
    """Return what a market says, in words."""
    sums = summary(found)
    cost = study.spec.costs.per_trade * 1e4
    return (
        f"{title}: traded in full at every bar, the median alpha nets {sums['median net, train']:.2f} on train and "
        f"{sums['median net, validation']:.2f} on validation at {cost:g} bp; under its own rule "
        f"{sums['median net, train, own rule']:.2f} and {sums['median net, validation, own rule']:.2f}. Before costs "
        f"the median is {sums['median gross, train']:.2f} on train: a rule keeps what is there, and adds none."
    )


WORDS = """
Each alpha is ranked across assets, dollar-neutral, and filled at the next open, with 10 bp of what is traded for coins
and perpetuals and 4.5 bp for stocks: once as published, traded all the way to its target at every bar (gross 1), and
once under a trading rule of its own, which is chosen on train among eight, ten on hourly bars (see
[trading-rules.md](trading-rules.md)).
The pool is the mean of all ranks, traded the same two ways. Figures are annual Sharpe ratios of train and of
validation, which chose nothing; the last 15 % of time stay sealed. The train figure of a chosen rule is the best of
eight, and so flatters. Coins and perpetuals outside the 50 most traded cost more than 10 bp to trade in any size:
their figures say what the signal holds, not what an account would earn.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its table and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--daily", action="store_true", help="Leave hourly coins out, which take most of the time.")
    parser.add_argument("--every", type=int, default=1, help="Take every Nth alpha alone.")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--corpora", type=Path, default=SHARED / "corpora")
    options = parser.parse_args(argv)
    alphas = read_corpus(options.corpora / "worldquant_alpha101.txt")[:: 10 if options.quick else options.every]
    found = {}
    for market in MARKETS[: -1 if options.quick or options.daily else None]:
        study = open_market(market, options.data)
        found[market.title] = (study, score_all(study, alphas, Console(stderr=True)))
    table = Table("", *found)
    sums = {title: summary(one) for title, (_, one) in found.items()}
    for key in next(iter(sums.values())):
        table.add_row(key, *(f"{sums[title][key]:.3g}" for title in found))
    Console().print(table)
    if options.write is not None:
        part = f"Of the 101, every {options.every}th is shown.\n\n" if options.every > 1 else ""
        options.write.write_text(page(found, part + WORDS.strip()), encoding="utf-8")
    lines = {title: [asdict(line) for line in one.lines] for title, (_, one) in found.items()}
    print(json.dumps({title: {**sums[title], "lines": lines[title]} for title in found}))


if __name__ == "__main__":
    main()
