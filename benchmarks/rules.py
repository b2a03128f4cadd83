"""A trading rule for each factor: what choosing it on train earns, what it costs in evidence and in time.

    python -m benchmarks.rules [--quick] [--only alphas|nulls|planted|time] [--data FOLDER] [--corpora FOLDER]

alphas: the WorldQuant 101, and the pool of their ranks with equal weights, under the default rule and under rules that
are chosen on train. nulls: on markets without skill, how often a factor under its chosen rule passes the test of
*earns*, with and without the allowance for the choice, free of costs (where luck has most room) and at 10 bp.
planted: where it is known what pays, the expected net score of the chosen rule over that of the best one of the grid.
time: all rules of the grid against one, interleaved. The last line is JSON. Wider grids: `benchmarks.wider_grid`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.study.settings import Settings
from agent.study.study import Study, open_study
from backtest import metrics
from backtest.binomial import Share
from backtest.costs import Costs
from backtest.ic import forward_returns
from backtest.mean_test import mean_test
from backtest.nulls import NULLS, filtered_history, null_market
from backtest.planted_payoffs import plant_payoff
from backtest.rule_choice import RuleChoice, choose_rule, rule_series
from backtest.rule_grid import RuleGrid, TradingRule
from backtest.rule_test import chosen_score
from backtest.rule_words import rule_of
from backtest.run import trade
from backtest.scorecard import score_signal
from backtest.target import Target, prepare_target
from backtest.trading_rules import BacktestSpec
from benchmarks.null_setup import MARKETS, factors_of, open_panel
from factors.corpora import read_corpus
from factors.engine import evaluate
from factors.parse import parse
from market.errors import Rejection
from market.files import import_files
from market.panel import FloatArray, Panel
from market.ranking import rank_panel
from market.split import make_split

SHARED = Path(__file__).resolve().parents[2] / "shared"
# Title, market of `null_setup`, most traded assets (0: all), cost in basis points.
ALPHAS = (
    ("coins, daily, all", "coins, daily", 0, 10.0),
    ("coins, daily, the 50 most traded", "coins, daily", 50, 10.0),
    ("S&P 500, daily", "S&P 500, daily", 0, 4.5),
    ("perpetuals, daily, the 50 most traded", "perpetuals, daily", 50, 10.0),
)
GRID = RuleGrid()
SLOW = RuleGrid(rates=(0.1, 0.03))


@dataclass(frozen=True)
class Pair:
    """Annual net Sharpe ratios on train and on validation."""

    train: float
    validation: float


def pair_of(net: FloatArray, study: Study) -> Pair:
    """Return the ratios of net returns (T,)."""
    parts = (study.split.train, study.split.validation)
    return Pair(*(metrics.sharpe(net[p.start : p.stop - 2], study.panel.bars_per_year) for p in parts))


def open_alphas(title: str, market: str, top: int, cost: float, data: Path) -> Study:
    """Open a market for the alphas."""
    file, calendar, _, _ = MARKETS[market]
    panel = import_files([data / file], calendar=calendar, repair=True, name=title)
    return open_study(
        panel,
        Settings.model_validate({"backtest": {"fee_bp": cost / 2, "slippage_bp": cost / 2}, "universe": {"top": top}}),
    )


def alphas_table(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Trade published factors, and their pool, under the default and under chosen rules."""
    table = Table("market", "rule", "alphas: train", "validation", "pool: train", "validation", title="net Sharpe")
    texts = read_corpus(args.corpora / "worldquant_alpha101.txt")[:: 12 if args.quick else 1]
    found: dict[str, Any] = {}
    for title, market, top, cost in ALPHAS[: 1 if args.quick else None]:
        study = open_alphas(title, market, top, cost, args.data)
        lines, total = [], np.zeros(study.panel.shape)
        for alpha in texts:
            expression = parse(alpha.text, fields=study.fields, bar=study.panel.bar, dialect=alpha.dialect)
            assert not isinstance(expression, Rejection), expression
            signal = np.where(study.panel.universe, evaluate(expression, study.panel).values, np.nan)
            ranked = rank_panel(signal)
            lines.append(choose_rule(signal, study.target, study.split.train, GRID, ranked.ranks))
            share = (ranked.ranks - 0.5) / np.maximum(ranked.counts[:, None], 1) - 0.5
            total += np.nan_to_num(share)
        pool = choose_rule(np.where(study.panel.universe, total, np.nan), study.target, study.split.train, GRID)
        found[title] = _alphas_of(study, lines, pool)
        for name in ("default", "chosen"):
            cells = [*found[title][name]["alphas"].values(), *found[title][name]["pool"].values()]
            table.add_row(title, name, *(f"{value:.2f}" for value in cells))
    console.print(table)
    return found


def _alphas_of(study: Study, lines: Sequence[RuleChoice], pool: RuleChoice) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("default", "chosen"):
        pairs = [pair_of(_net(one, name), study) for one in lines]
        medians = {part: float(np.nanmedian([getattr(p, part) for p in pairs])) for part in ("train", "validation")}
        found[name] = {"alphas": medians, "pool": vars(pair_of(_net(pool, name), study))}
    rules = [str(one.rule) for one in lines]
    return found | {"rules": {rule: rules.count(rule) for rule in dict.fromkeys(rules)}, "pool rule": str(pool.rule)}


def _net(choice: RuleChoice, name: str) -> FloatArray:
    return choice.net[0 if name == "default" else _place(choice)]


def _place(choice: RuleChoice) -> int:
    return [rule_of(one) for one in choice.figures].index(choice.rule)


def nulls_table(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Test chosen rules on markets without skill."""
    columns = ("null", "cost", "chosen, allowed for", "chosen, not allowed for", "rule of the settings")
    table = Table(*columns, title="share of factors without skill that pass at 5 %, alone (binomial 95 %)")
    panel = open_panel("coins, daily", args.data)
    split = make_split(len(panel.times), embargo=2)
    panel = panel.rows(0, split.validation.stop)
    factors = factors_of(panel, 4 if args.quick else 10)
    markets = 2 if args.quick else args.panels
    found: dict[str, Any] = {}
    for kind in NULLS:
        # Signals are computed once a market: costs change nothing of them.
        scores: dict[float, list[tuple[float, float, float]]] = {0.0: [], 10.0: []}
        for number in range(markets):
            null = null_market(kind, panel, np.random.default_rng([number, 5]))
            values = [evaluate(one, null.panel).values for one in factors]
            for cost, kept in scores.items():
                spec = BacktestSpec(costs=Costs(cost / 2, cost / 2))
                target = prepare_target(null.outcomes, spec)
                rows = np.r_[0 : split.train.stop - 2, split.validation.start : split.validation.stop - 2]
                for one in values:
                    signal = np.where(null.outcomes.universe, one, np.nan)
                    choice = choose_rule(signal, target, split.train, GRID)
                    plain = mean_test(choice.net[_place(choice), rows]).z
                    allowed = chosen_score(plain, choice.correlation(rows))
                    kept.append((allowed, plain, mean_test(choice.net[0, rows]).z))
        for cost, kept in scores.items():
            shares = [Share(int((np.array(z) > 1.645).sum()), len(z)) for z in zip(*kept, strict=True)]
            cells = [f"{one.value:.1%} ({one.interval[0]:.1%} to {one.interval[1]:.1%})" for one in shares]
            table.add_row(kind, f"{cost:g} bp", *cells)
            found[f"{kind}, {cost:g} bp"] = dict(zip(columns[2:], (one.value for one in shares), strict=True))
    console.print(table)
    return found


def lasting_signal(panel: Panel, half_life: float, rng: np.random.Generator) -> FloatArray:
    """Return (T, N) signals of independent assets whose correlation with their past halves in `half_life` bars."""
    keep = 0.5 ** (1.0 / half_life)
    out = np.empty(panel.shape)
    out[0] = rng.standard_normal(panel.shape[1])
    for t in range(1, len(out)):
        out[t] = keep * out[t - 1] + np.sqrt(1 - keep**2) * rng.standard_normal(panel.shape[1])
    return out


def planted_table(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Compare the expected net score of the chosen rule with that of the best of the grid."""
    title = "expected net score of the chosen rule over that of the best of the grid (mean over markets)"
    table = Table("z", "half-life", "cost", "chosen / best", "best, a year", "rule of the settings / best", title=title)
    found: dict[str, Any] = {}
    base = open_panel("coins, daily", args.data)
    split = make_split(len(base.times), embargo=2)
    base = base.rows(0, split.validation.stop)
    draws = 2 if args.quick else args.panels
    for half_life in (10.0,) if args.quick else (1.0, 10.0, 100.0):
        for z in (8.0,) if args.quick else (4.0, 8.0):
            sums: dict[float, list[tuple[float, float, float]]] = {2.5: [], 5.0: [], 10.0: []}
            for number in range(draws):
                rng = np.random.default_rng([number, int(half_life)])
                null = filtered_history(base, rng)
                signal = lasting_signal(base, half_life, rng)
                planted = plant_payoff(null.panel, signal, z, split.train)
                drift = np.nan_to_num(forward_returns(planted.panel, 1) - forward_returns(null.panel, 1))
                for cost, kept in sums.items():
                    kept.append(_against_best(signal, planted.panel, drift, cost, split.train))
            for cost, kept in sums.items():
                chosen, best, default = np.array(kept).T
                pays = best > 0
                key = f"z {z:g}, half-life {half_life:g}, {cost:g} bp"
                ratio = float(chosen[pays].sum() / best[pays].sum()) if pays.any() else float("nan")
                plain = float(default[pays].sum() / best[pays].sum()) if pays.any() else float("nan")
                found[key] = {"ratio": ratio, "best": float(best.mean()), "default": plain, "pays": int(pays.sum())}
                cells = (f"{ratio:.2f}", f"{best.mean():.2f}", f"{plain:.2f}")
                table.add_row(f"{z:g}", f"{half_life:g}", f"{cost:g} bp", *cells)
    console.print(table)
    return found


def _against_best(
    signal: FloatArray, panel: Panel, drift: FloatArray, cost: float, train: slice
) -> tuple[float, float, float]:
    """Return expected net Sharpe ratios a year of the chosen rule, of the best one and of the default, without luck.

    What a rule is expected to earn is what its positions earn of the planted drift (T, N), less what it pays.
    """
    spec = BacktestSpec(costs=Costs(cost / 2, cost / 2))
    target = prepare_target(panel, spec)
    inside = np.where(panel.universe, signal, np.nan)
    choice = choose_rule(inside, target, train, GRID)
    ratios = []
    for figures in choice.figures:
        own = rule_of(figures).applied(spec)
        weights = target.weights(inside, spec=own)
        result = trade(weights, target.market, own, None, bars_per_year=panel.bars_per_year)
        expected = (result.weights * drift).sum(axis=1) - result.cost
        paid = slice(train.start, len(drift) - 2)
        ratios.append(expected[paid].mean() / result.net[paid].std() * np.sqrt(panel.bars_per_year))
    return float(ratios[_place(choice)]), float(max(ratios)), float(ratios[0])


def time_table(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Time all rules of the grid against one, in processor time, interleaved."""
    table = Table("market", "ranked and traded: K / 1", "scorecard: with the choice / without", title="time ratios")
    found = {}
    for title in list(MARKETS)[: 1 if args.quick else 3]:
        panel = open_panel(title, args.data)
        split = make_split(len(panel.times), embargo=2)
        panel = panel.rows(0, split.validation.stop)
        target = prepare_target(panel, BacktestSpec())
        rng = np.random.default_rng(0)
        signal = np.where(panel.universe, lasting_signal(panel, 5.0, rng), np.nan)
        score = partial(score_signal, signal, target, split, rng=rng)
        grid = RuleGrid.around(target.spec, panel.bars_per_year)
        ways = {
            "K": partial(_ranked, signal, target, grid.rules()),
            "1": partial(_ranked, signal, target, grid.rules()[:1]),
            "choice": partial(score, grid=grid),
            "plain": score,
        }
        spent = timed(ways, 5 if args.quick else 15)
        ratios = {
            "kernel": float(np.median(spent["K"] / spent["1"])),
            "scorecard": float(np.median(spent["choice"] / spent["plain"])),
        }
        found[title] = {"rules": len(grid.rules()), **ratios}
        table.add_row(title, *(f"{value:.2f}" for value in ratios.values()))
    console.print(table)
    return found


def _ranked(signal: FloatArray, target: Target, rules: tuple[TradingRule, ...]) -> None:
    rule_series(signal, target, rules, rank_panel(signal).ranks)


def timed(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, FloatArray]:
    """Return (rounds,) processor seconds of each way, run in turn; the first round only warms up."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            spent[name].append(time.process_time() - start)
    return {name: np.array(values[1:]) for name, values in spent.items()}


TABLES = {
    "alphas": alphas_table, "nulls": nulls_table, "planted": planted_table, "time": time_table,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its tables and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=tuple(TABLES))
    parser.add_argument("--panels", type=int, default=8)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--corpora", type=Path, default=SHARED / "corpora")
    args = parser.parse_args(argv)
    console = Console()
    found = {name: table(args, console) for name, table in TABLES.items() if args.only in (None, name)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
