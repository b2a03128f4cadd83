"""Whether the grid of trading rules should grow: neutral to the market, and the liquid half alone, as further rules.

    python -m benchmarks.wider_grid [--quick] [--only alphas|planted] [--every N] [--panels N] [--data F] [--corpora F]

Each signal's rule is chosen on train from the grid as it is, and from the grid with one or both of them added. alphas:
every third of the WorldQuant 101; net Sharpe ratios on validation. planted: where it is known what pays, the expected
net Sharpe ratio of what was chosen. *Fixed* is the grid as it is with the one set for all signals: what a setting does.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.study.study import Study
from backtest.costs import Costs
from backtest.ic import forward_returns
from backtest.nulls import filtered_history
from backtest.planted_payoffs import plant_payoff
from backtest.rule_choice import RuleChoice, choose_rule
from backtest.rule_grid import RuleGrid, TradingRule
from backtest.rule_words import rule_of
from backtest.run import trade
from backtest.target import Target, prepare_target
from backtest.trading_rules import BacktestSpec
from benchmarks.null_setup import open_panel
from benchmarks.rules import ALPHAS, SHARED, lasting_signal, open_alphas, pair_of
from factors.corpora import read_corpus
from factors.engine import evaluate
from factors.parse import parse
from market.errors import Rejection
from market.panel import FloatArray, Panel
from market.split import make_split

BOTH = (False, True)
GRIDS = {
    "grid": RuleGrid(),
    "with neutral": RuleGrid(neutrals=BOTH),
    "with half": RuleGrid(halves=BOTH),
    "with both": RuleGrid(neutrals=BOTH, halves=BOTH),
    "neutral fixed": RuleGrid(neutrals=(True,)),
    "half fixed": RuleGrid(halves=(True,)),
}


@dataclass(frozen=True, eq=False)
class Planted:
    """A market in which it is known what a signal pays: `drift` (T, N) is what was added to its returns."""

    panel: Panel
    signal: FloatArray
    drift: FloatArray
    train: slice


def chosen_rules(choice: RuleChoice) -> dict[str, TradingRule]:
    """Return, by grid, the rule with the highest score on train among those of it that a wider choice has tried."""
    scores = {rule_of(one): np.nan_to_num(one.net_z, nan=-np.inf) for one in choice.figures}
    return {name: max(grid.rules(), key=lambda rule: scores[rule]) for name, grid in GRIDS.items()}


def alphas_table(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Choose from each grid on train, and compare on validation."""
    names = list(GRIDS)
    table = Table("market", "alphas", *names, title="median net Sharpe on validation; below, mean change and its error")
    texts = read_corpus(args.corpora / "worldquant_alpha101.txt")[:: 12 if args.quick else args.every]
    found: dict[str, Any] = {}
    for title, market, top, cost in ALPHAS[1 : 2 if args.quick else None] + ALPHAS[: 0 if args.quick else 1]:
        study, lines, spent = open_alphas(title, market, top, cost, args.data), [], []
        for alpha in texts:
            expression = parse(alpha.text, fields=study.fields, bar=study.panel.bar, dialect=alpha.dialect)
            assert not isinstance(expression, Rejection), expression
            signal = np.where(study.panel.universe, evaluate(expression, study.panel).values, np.nan)
            line, seconds = _judged(signal, study)
            lines.append(line)
            spent.append(seconds)
        scores = np.array(lines)
        change = scores - scores[:, :1]
        error = np.nanstd(change, axis=0, ddof=1) / np.sqrt(len(change))
        better, worse = (change > 0).sum(axis=0), (change < 0).sum(axis=0)
        found[title] = {
            name: {
                "median": float(np.nanmedian(scores[:, k])), "change": float(np.nanmean(change[:, k])),
                "error": float(error[k]), "better": int(better[k]), "worse": int(worse[k]),
            } for k, name in enumerate(names)
        } | {"time": float(np.median([wide / plain for plain, wide in spent]))}  # fmt: skip
        shown = [found[title][name] for name in names]
        table.add_row(title, str(len(lines)), *(f"{one['median']:.2f}" for one in shown))
        table.add_row("", "", *(f"{x['change']:+.2f} ({x['error']:.2f}) {x['better']}/{x['worse']}" for x in shown))
    console.print(table)
    return found


def _judged(signal: FloatArray, study: Study) -> tuple[list[float], tuple[float, float]]:
    """Return the net Sharpe ratio on validation by grid, and the seconds of the grid as it is and of the widest."""

    def choose(grid: RuleGrid) -> RuleChoice:
        return choose_rule(signal, study.target, study.split.train, grid)

    (_, plain), (wide, widest) = (
        _timed(lambda grid=grid: choose(grid)) for grid in (GRIDS["grid"], GRIDS["with both"])
    )
    places = {rule_of(one): k for k, one in enumerate(wide.figures)}
    line = [pair_of(wide.net[places[rule]], study).validation for rule in chosen_rules(wide).values()]
    return line, (plain, widest)


def _timed(way: Callable[[], RuleChoice]) -> tuple[RuleChoice, float]:
    begun = time.process_time()
    return way(), time.process_time() - begun


def planted_table(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Compare the expected net Sharpe ratios of what each grid chooses, where it is known what pays."""
    names = list(GRIDS)
    table = Table(
        "z", "half-life", "cost", "chosen from the grid", *names[1:], title="expected net Sharpe; then ratios"
    )
    found: dict[str, Any] = {}
    base = open_panel("coins, daily", args.data)
    split = make_split(len(base.times), embargo=2)
    base = base.rows(0, split.validation.stop)
    for half_life in (10.0,) if args.quick else (1.0, 10.0, 100.0):
        for z in (8.0,) if args.quick else (4.0, 8.0):
            sums: dict[float, list[list[float]]] = {2.5: [], 10.0: []}
            for number in range(2 if args.quick else args.panels):
                market = _planted(base, half_life, z, number, split.train)
                for cost, kept in sums.items():
                    kept.append(_expected_by_grid(market, cost))
            for cost, kept in sums.items():
                total = np.array(kept).sum(axis=0)
                ratios = total / total[0]
                key = f"z {z:g}, half-life {half_life:g}, {cost:g} bp"
                found[key] = {"grid": total[0] / len(kept)} | dict(zip(names[1:], ratios[1:].tolist(), strict=True))
                cells = [f"{total[0] / len(kept):.2f}", *(f"{one:.2f}" for one in ratios[1:])]
                table.add_row(f"{z:g}", f"{half_life:g}", f"{cost:g} bp", *cells)
    console.print(table)
    return found


def _planted(base: Panel, half_life: float, z: float, number: int, train: slice) -> Planted:
    rng = np.random.default_rng([number, int(half_life)])
    null = filtered_history(base, rng)
    signal = lasting_signal(base, half_life, rng)
    planted = plant_payoff(null.panel, signal, z, train)
    drift = np.nan_to_num(forward_returns(planted.panel, 1) - forward_returns(null.panel, 1))
    return Planted(planted.panel, signal, drift, train)


def _expected_by_grid(market: Planted, cost: float) -> list[float]:
    """Return the expected net Sharpe ratio a year of what each grid chooses: what its positions earn of the drift."""
    spec = BacktestSpec(costs=Costs(cost / 2, cost / 2))
    target, panel = prepare_target(market.panel, spec), market.panel
    inside = np.where(panel.universe, market.signal, np.nan)
    chosen = chosen_rules(choose_rule(inside, target, market.train, GRIDS["with both"]))
    known = {rule: _expected(rule, inside, target, market) for rule in dict.fromkeys(chosen.values())}
    return [known[rule] for rule in chosen.values()]


def _expected(rule: TradingRule, inside: FloatArray, target: Target, market: Planted) -> float:
    own, year = rule.applied(target.spec), market.panel.bars_per_year
    result = trade(target.weights(inside, spec=own), target.market, own, None, bars_per_year=year)
    expected = (result.weights * market.drift).sum(axis=1) - result.cost
    paid = slice(market.train.start, len(market.drift) - 2)
    return float(expected[paid].mean() / result.net[paid].std() * np.sqrt(year))


TABLES = {"alphas": alphas_table, "planted": planted_table}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its tables and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=tuple(TABLES))
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--panels", type=int, default=6)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--corpora", type=Path, default=SHARED / "corpora")
    args = parser.parse_args(argv)
    console = Console(width=150)
    found = {name: table(args, console) for name, table in TABLES.items() if args.only in (None, name)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
