"""What a pool earns: the aim beside equal weights, the best member and all members, walking forward and on validation.

    python -m benchmarks.pool [--quick] [--markets NAME ...] [--data FOLDER] [--corpora FOLDER]

Members are the WorldQuant 101 as published, on daily and hourly coins, daily perpetuals and stocks, with the costs of
their venues. Of each pool: the net Sharpe ratio on train, with weights from earlier bars (blocks two to six), and on
validation, with its standard error. Rivals are chosen on train, rule and member: their train figures flatter. Then what
the aim keeps of its gross payoff against the same weights traded all the way each bar, and net Sharpe ratios by
capital, with impact. `--quick` takes every sixth alpha and the last bars of two markets.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.pools.members import MeasuredFactors, PoolCandidate, measure_members, trade_values, under_rule
from agent.pools.weighting import FittedWeights, fit_weights, rules_of_aim, unseen_values
from agent.study.settings import Settings
from agent.study.study import Study, open_study
from backtest.combine import combine, equal_weights
from backtest.mean_test import mean_test
from backtest.rule_grid import TradingRule
from backtest.run import trade
from backtest.scorecard import paid_rows
from factors.corpora import read_corpus
from factors.parse import parse
from market.errors import Rejection
from market.files import import_files
from market.panel import FloatArray

SHARED = Path(__file__).resolve().parents[2] / "shared"
CAPITALS = (0.0, 1e5, 1e6, 1e7, 1e8)


@dataclass(frozen=True)
class PoolMarket:
    """A data set with its costs: the most traded assets, and how many of its last bars; 0 is all."""

    file: str
    preset: str
    top: int = 0
    bars: int = 0
    exchange: bool = False


MARKETS: Mapping[str, PoolMarket] = {
    "daily coins": PoolMarket("crypto_spot_1d.parquet", "binance_spot", top=50),
    "hourly coins": PoolMarket("crypto_spot_1h.parquet", "binance_spot", bars=8_000),
    "daily perpetuals": PoolMarket("crypto_perp_1d.parquet", "binance_perp", top=50),
    "stocks": PoolMarket("equity_sp500_1d_2013_2018.parquet", "us_equity", exchange=True),
}


def open_market(name: str, data: Path, bars: int, *, whole: bool = False) -> Study:
    """Open a data set under its market's rules; its `bars` last bars (0: as the market says); `whole`: all assets."""
    market = replace(MARKETS[name], top=0) if whole else MARKETS[name]
    panel = import_files(
        [data / market.file], calendar="exchange" if market.exchange else "continuous", repair=True, name=name
    )
    last = bars or market.bars
    if last:
        panel = panel.rows(max(0, len(panel.times) - last), len(panel.times))
    settings = {"backtest": {"preset": market.preset}, "universe": {"top": market.top}}
    return open_study(panel, Settings.model_validate(settings))


def published(study: Study, corpora: Path, step: int) -> MeasuredFactors:
    """Evaluate every `step`-th of the WorldQuant 101 that can be read on this data."""
    found: dict[str, PoolCandidate] = {}
    for one in read_corpus(corpora / "worldquant_alpha101.txt")[::step]:
        expression = parse(one.text, fields=study.fields, bar=study.panel.bar, dialect=one.dialect)
        if not isinstance(expression, Rejection):
            found.setdefault(expression.id, PoolCandidate(expression, one.name, "published"))
    return measure_members(list(found.values()), study, left_out=[])


@dataclass(frozen=True, eq=False)
class Contender:
    """A way to trade the members: (T,) net returns, and what it is."""

    label: str
    net: FloatArray
    what: str


def contenders(measured: MeasuredFactors, fitted: FittedWeights) -> list[Contender]:
    """Return the aim first, then its rivals; each rule is chosen on train."""
    study, kept = measured.study, fitted.weights > 0.0
    assert fitted.rule is not None
    alike = np.where(kept, 1.0 / max(1, kept.sum()), 0.0)
    everyone = combine(measured.members, equal_weights(len(measured.candidates)))
    rule, number = best_alone(measured)
    all_rule = best_rule(everyone, measured)
    aim = trade_values(unseen_values(measured, fitted), under_rule(study, fitted.rule)).net
    return [
        Contender("aim", aim, f"{kept.sum()} of {len(kept)} members, {fitted.rule}"),
        Contender(
            "its members, equal weights", _net(combine(measured.members, alike), study, fitted.rule), "same rule"
        ),
        Contender("all members, unweighted", _net(everyone, study, all_rule), str(all_rule)),
        Contender("all members, all the way each bar", _net(everyone, study, None), "as published"),
        Contender(
            "best member on train",
            _net(measured.members.normalised(number), study, rule),
            f"{measured.candidates[number].name}, {rule}",
        ),
    ]


def _net(values: FloatArray, study: Study, rule: TradingRule | None) -> FloatArray:
    return trade_values(values, under_rule(study, rule)).net


def best_rule(values: FloatArray, measured: MeasuredFactors) -> TradingRule:
    """Return the rule of the grid under which a signal has the best score of its net return on train."""
    train = paid_rows(measured.study.split.train)
    rules = rules_of_aim(measured.study)
    return max(rules, key=lambda rule: np.nan_to_num(mean_test(_net(values, measured.study, rule)[train]).z, nan=-99.0))


def best_alone(measured: MeasuredFactors) -> tuple[TradingRule, int]:
    """Return the rule and the number of the member that nets most surely on train by itself."""
    train, best = paid_rows(measured.study.split.train), (-math.inf, rules_of_aim(measured.study)[0], 0)
    for rule in rules_of_aim(measured.study):
        slow = measured.slow(scaled=rule.volatility_scaled)
        at = slow.rates.index(rule.rate)
        for number in range(len(measured.candidates)):
            z = mean_test((slow.gross[number, at] - slow.costs[number, at])[train].astype(float)).z
            best = max(best, (z if math.isfinite(z) else -math.inf, rule, number), key=lambda one: one[0])
    return best[1], best[2]


def ratio(net: FloatArray, year: float) -> tuple[float, float]:
    """Return the annual Sharpe ratio of net returns, and its standard error (autocorrelation allowed for)."""
    test, deviation = mean_test(net), float(np.nanstd(net))
    if not deviation > 0.0:
        return 0.0, math.nan
    return test.mean / deviation * math.sqrt(year), test.error / deviation * math.sqrt(year)


def less(own: FloatArray, other: FloatArray, year: float) -> tuple[float, float]:
    """Return by how much one annual Sharpe ratio exceeds another, and the error of the difference."""
    if not (np.nanstd(own) > 0.0 and np.nanstd(other) > 0.0):
        return math.nan, math.nan
    test = mean_test(own / np.nanstd(own) - other / np.nanstd(other))
    return test.mean * math.sqrt(year), test.error * math.sqrt(year)


def compare(name: str, measured: MeasuredFactors, fitted: FittedWeights, console: Console) -> dict[str, object]:
    """Print the aim and its rivals; return the figures."""
    study, year = measured.study, measured.study.panel.bars_per_year
    parts = {
        "train": slice(measured.edges[1], paid_rows(study.split.train).stop),
        "validation": paid_rows(study.split.validation),
    }
    found = contenders(measured, fitted)
    table = Table("", "train, walking forward", "validation", "aim less this: train", "validation", "what", title=name)
    figures: dict[str, object] = {}
    for one in found:
        cells, numbers = [], {}
        for part, rows in parts.items():
            value, error = ratio(one.net[rows], year)
            cells.append(f"{value:+.2f} ({error:.2f})")
            numbers |= {part: value, f"{part}_error": error}
        for part, rows in parts.items():
            gap, error = less(found[0].net[rows], one.net[rows], year)
            cells.append("" if one is found[0] else f"{gap:+.2f} ({error:.2f})")
            numbers |= {f"{part}_gap": gap, f"{part}_gap_error": error}
        table.add_row(one.label, *cells, one.what)
        figures[one.label] = {key: round(x, 3) if math.isfinite(x) else None for key, x in numbers.items()}
    console.print(table)
    return figures


def capacity(measured: MeasuredFactors, fitted: FittedWeights, console: Console) -> dict[str, object]:
    """Print what the aim keeps by capital, beside the same weights traded all the way; return the figures."""
    study, year = measured.study, measured.study.panel.bars_per_year
    assert fitted.rule is not None
    values = np.where(study.panel.universe, combine(measured.members, fitted.weights), np.nan)
    rows = slice(paid_rows(study.split.train).start, paid_rows(study.split.validation).stop)
    table = Table("capital", "aim: net Sharpe", "kept of gross", "naive: net Sharpe", "kept", "turnover: aim / naive")
    figures: dict[str, object] = {}
    for capital in CAPITALS:
        cells = []
        turnovers = []
        for rule in (fitted.rule, replace(fitted.rule, rate=1.0)):
            ruled = under_rule(study, rule)
            spec = replace(ruled.spec, costs=replace(ruled.spec.costs, capital=capital))
            result = trade(ruled.target.weights(values), ruled.target.market, spec, None, bars_per_year=year)
            net, gross = (float(np.nanmean(one[rows])) for one in (result.net, result.gross))
            cells += [f"{ratio(result.net[rows], year)[0]:+.2f}", f"{net / gross:.0%}" if gross > 0.0 else "-"]
            turnovers.append(float(np.mean(result.turnover[rows])))
        cells.append(f"{turnovers[0]:.1%} / {turnovers[1]:.1%}")
        table.add_row(f"{capital:,.0f}", *cells)
        figures[f"{capital:g}"] = cells
    console.print(table)
    return figures


def no_worse(figures: Mapping[str, object]) -> bool:
    """Whether the aim is within one error of the better of unweighted and best member, on validation."""
    rivals = [figures[label] for label in ("all members, unweighted", "best member on train")]
    better = max(rivals, key=lambda one: one["validation"])  # type: ignore[index,call-overload]
    gap, error = better["validation_gap"], better["validation_gap_error"]  # type: ignore[index]
    return gap is None or gap >= -error


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--markets", nargs="+", choices=list(MARKETS), default=None)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--corpora", type=Path, default=SHARED / "corpora")
    options = parser.parse_args(argv)
    console = Console(width=170)
    names = options.markets or (["daily coins", "stocks"] if options.quick else list(MARKETS))
    result: dict[str, object] = {}
    for name in names:
        study = open_market(name, options.data, 600 if options.quick else 0)
        measured = published(study, options.corpora, 6 if options.quick else 1)
        fitted = fit_weights(measured, "aim")
        if isinstance(fitted, Rejection):
            console.print(f"{name}: {fitted.one_line()}")
            result[name] = {"none": fitted.one_line()}
            continue
        figures = compare(name, measured, fitted, console)
        figures["no worse than the better rival within one error"] = no_worse(figures)
        figures["capacity"] = capacity(measured, fitted, console)
        result[name] = figures
    print(json.dumps({"benchmark": "pool", "quick": options.quick, **result}))


if __name__ == "__main__":
    main()
