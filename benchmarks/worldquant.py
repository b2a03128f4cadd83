"""The WorldQuant 101 on real crypto and equities: what each predicts, earns before and after costs, and its DSR.

    python -m benchmarks.worldquant [--quick] [--write FILE] [--data FOLDER] [--corpora FOLDER]

Every alpha is traded as published, by rank, at the next open, with the costs of its venue, on train and validation; the
holdout stays sealed. The Deflated Sharpe Ratio counts the 101 as trials, with their own variance. `--write` puts the
tables into a Markdown page. `--quick` takes every tenth alpha.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.study.settings import Settings
from agent.study.study import Study, open_study
from backtest import metrics
from backtest.evidence import Trials, deflated_sharpe
from backtest.run import Backtest, run_backtest
from backtest.scorecard import Scored, score_signal
from factors.corpora import PublishedFactor, read_corpus
from factors.engine import evaluate
from factors.parse import parse
from market.errors import Rejection
from market.files import import_files

SHARED = Path(__file__).resolve().parents[2] / "shared"
SLOW_HOLDING = 10


@dataclass(frozen=True)
class Market:
    """A data set, and the rules that an alpha is traded by on it."""

    title: str
    file: str
    preset: str
    exchange: bool = False
    top: int = 0


MARKETS = (
    Market("Crypto, hourly: 68 coins", "crypto_spot_1h.parquet", "binance_spot"),
    Market("Crypto, daily: the 50 most traded of 394 coins", "crypto_spot_1d.parquet", "binance_spot", top=50),
    Market("Equities, daily: 505 stocks", "equity_sp500_1d_2013_2018.parquet", "us_equity", exchange=True),
)


@dataclass(frozen=True)
class Line:
    """One alpha on one market; Sharpe ratios are annual, NaN is undefined."""

    name: str
    rank_ic: float
    ic_tstat: float
    turnover: float
    sharpe_gross: float
    sharpe_net: float
    sharpe_validation: float
    break_even_bp: float
    sharpe_slower: float
    dsr: float = float("nan")


def open_market(market: Market, data: Path) -> Study:
    """Open a data set under its market's rules."""
    panel = import_files(
        [data / market.file], calendar="exchange" if market.exchange else "continuous", repair=True, name=market.title
    )
    settings = Settings.model_validate({"backtest": {"preset": market.preset}, "universe": {"top": market.top}})
    return open_study(panel, settings)


def score_all(study: Study, alphas: Sequence[PublishedFactor], console: Console) -> list[Line]:
    """Score every alpha, and deflate each by all of them."""
    lines: list[Line] = []
    returns: list[tuple[float, int, float, float]] = []
    gross: list[float] = []
    for alpha in track(alphas, description=study.panel.name, console=console, transient=True):
        expression = parse(alpha.text, fields=study.fields, bar=study.panel.bar, dialect=alpha.dialect)
        assert not isinstance(expression, Rejection), expression
        values = evaluate(expression, study.panel).values
        scored = score_signal(values, study.target, study.split, rng=np.random.default_rng(0))
        if isinstance(scored, Rejection):
            continue
        slower = run_backtest(values, study.panel, replace(study.spec, holding=SLOW_HOLDING))
        assert isinstance(slower, Backtest)
        year = study.panel.bars_per_year
        lines.append(_line(alpha.name, scored, metrics.sharpe(_both(scored, slower.net), year)))
        net = _both(scored, scored.backtest.net)
        returns.append((metrics.sharpe(net, 1.0), len(net), metrics.skewness(net), metrics.kurtosis(net)))
        gross.append(metrics.sharpe(scored.paid(scored.backtest.gross, "train"), 1.0))
    known = np.array([ratio for ratio in gross if math.isfinite(ratio)])
    spread = max(float(known.var(ddof=1)), 1.0 / returns[0][1])
    trials = Trials(len(alphas), spread)
    return [replace(line, dsr=deflated_sharpe(*moments, trials)) for line, moments in zip(lines, returns, strict=True)]


def _both(scored: Scored, series: np.ndarray) -> np.ndarray:
    found = np.concatenate([scored.paid(series, name) for name in ("train", "validation")])
    return found[np.isfinite(found)]


def _line(name: str, scored: Scored, sharpe_slower: float) -> Line:
    card, result = scored.scorecard, scored.backtest
    year = card.bars_per_year
    return Line(
        name=name,
        rank_ic=card.train.rank_ic,
        ic_tstat=card.train.ic_tstat,
        turnover=card.train.turnover,
        sharpe_gross=metrics.sharpe(_both(scored, result.gross), year),
        sharpe_net=metrics.sharpe(_both(scored, result.net), year),
        sharpe_validation=card.validation.sharpe_net,
        break_even_bp=card.train.break_even_bp,
        sharpe_slower=sharpe_slower,
    )


def summary(lines: Sequence[Line]) -> dict[str, float]:
    """Return what a market's table says in a few numbers."""
    return {
        "alphas": len(lines),
        "t of rank IC below -3": sum(line.ic_tstat < -3 for line in lines),
        "t of rank IC above 3": sum(line.ic_tstat > 3 for line in lines),
        "gross Sharpe above 0": sum(line.sharpe_gross > 0 for line in lines),
        "net Sharpe above 0": sum(line.sharpe_net > 0 for line in lines),
        "net Sharpe above 0, slower": sum(line.sharpe_slower > 0 for line in lines),
        "net Sharpe above 0 on validation": sum(line.sharpe_validation > 0 for line in lines),
        "DSR at least 0.95": sum(line.dsr >= 0.95 for line in lines),
        "best net Sharpe": max((line.sharpe_net for line in lines if math.isfinite(line.sharpe_net)), default=math.nan),
        "median break-even bp": float(np.nanmedian([line.break_even_bp for line in lines])),
        "best DSR": max((line.dsr for line in lines if math.isfinite(line.dsr)), default=math.nan),
    }


def page(found: dict[str, tuple[Study, list[Line]]], words: str) -> str:
    """Return the Markdown page: a paragraph, what each market says in numbers, and a table a market."""
    parts = [
        "# The WorldQuant 101 on real markets",
        "",
        "Written by `python -m benchmarks.worldquant --write docs/worldquant.md`.",
        "",
        words.strip(),
        "",
        verdict({title: (study, summary(lines)) for title, (study, lines) in found.items()}),
        "",
        "| | " + " | ".join(found) + " |",
        "|---|" + "---|" * len(found),
    ]
    sums = {title: summary(lines) for title, (_, lines) in found.items()}
    for key in next(iter(sums.values())):
        exact = "best" in key or "median" in key
        cells = " | ".join(f"{sums[title][key]:.2f}" if exact else f"{sums[title][key]:.0f}" for title in found)
        parts.append(f"| {key} | {cells} |")
    for title, (study, lines) in found.items():
        panel, spec = study.panel, study.spec
        parts += [
            "",
            f"## {title}",
            "",
            f"{len(panel.times):,} bars of train and validation, {str(panel.times[0])[:10]} to "
            f"{str(panel.times[-1])[:10]}; {spec.weighting} weights, filled at the next {spec.fill}, "
            f"{spec.costs.per_trade * 1e4:g} bp of traded notional, borrow {spec.costs.borrow_bp_year:g} bp a year.",
            "",
            "| alpha | rank IC | t | turnover | Sharpe gross | net | slower | validation | break-even bp | DSR |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for line in lines:
            digits = ((line.rank_ic, 4), (line.ic_tstat, 1), (line.turnover, 2), (line.sharpe_gross, 2))
            more = (
                (line.sharpe_net, 2),
                (line.sharpe_slower, 2),
                (line.sharpe_validation, 2),
                (line.break_even_bp, 1),
                (line.dsr, 3),
            )
            cells = " | ".join(f"{x:.{d}f}" if math.isfinite(x) else "–" for x, d in (*digits, *more))
            parts.append(f"| {line.name} | {cells} |")
    return "\n".join(parts) + "\n"


def verdict(found: dict[str, tuple[Study, dict[str, float]]]) -> str:
    """Return what the tables say, in a paragraph."""
    sentences = []
    for title, (study, sums) in found.items():
        sentences.append(
            f"{title}: {sums['t of rank IC above 3']:.0f} of {sums['alphas']:.0f} predict with a t statistic above 3, "
            f"{sums['gross Sharpe above 0']:.0f} earn before costs and {sums['net Sharpe above 0']:.0f} after them "
            f"({sums['net Sharpe above 0, slower']:.0f} when slower); half of them break even below "
            f"{sums['median break-even bp']:.1f} bp, where trading costs {study.spec.costs.per_trade * 1e4:g}."
        )
    passed = sum(sums["DSR at least 0.95"] for _, sums in found.values())
    best = max(sums["best DSR"] for _, sums in found.values())
    end = f"As the best of 101, {passed:.0f} of them survive deflation; the best DSR is {best:.2f}."
    moral = "Prediction is not scarce here; prediction that outlives its turnover is."
    return " ".join([*sentences, end, moral])


WORDS = """
Each alpha is traded as published: ranked across assets, dollar-neutral, gross 1, filled at the next open, with the
fees, slippage and borrow of its venue. Figures are of train (rank IC, t, turnover, break-even) or of train and
validation together (Sharpe ratios, DSR); the last 15 % of time stay sealed. *Slower* averages targets over ten bars.
The Deflated Sharpe Ratio counts all 101 as trials.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its table and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--corpora", type=Path, default=SHARED / "corpora")
    options = parser.parse_args(argv)
    alphas = read_corpus(options.corpora / "worldquant_alpha101.txt")[:: 10 if options.quick else 1]
    found = {}
    for market in MARKETS:
        study = open_market(market, options.data)
        found[market.title] = (study, score_all(study, alphas, Console(stderr=True)))
    table = Table("", *found)
    sums = {title: summary(lines) for title, (_, lines) in found.items()}
    for key in next(iter(sums.values())):
        table.add_row(key, *(f"{sums[title][key]:.3g}" for title in found))
    Console().print(table)
    if options.write is not None:
        options.write.write_text(page(found, WORDS), encoding="utf-8")
    print(
        json.dumps({title: {**sums[title], "lines": [asdict(x) for x in lines]} for title, (_, lines) in found.items()})
    )


if __name__ == "__main__":
    main()
