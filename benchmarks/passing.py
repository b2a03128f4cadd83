"""What random expressions that pass on real markets have in common: speed, small assets, styles, or one idea.

    python -m benchmarks.passing [--quick] [--expressions N] [--data FOLDER]

Of the drawn expressions whose score lies beyond 3.9, by rank IC and by payoff: how many still do when they act a bar
later, without the smallest fifth of assets, and on returns residual to styles; and how many effective factors they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from backtest.ic import forward_returns, newey_west_t, rank_ic
from backtest.luck import fingerprint_of
from backtest.mean_test import mean_test
from backtest.payoff import half_life, rank_payoffs, risk_returns
from backtest.trading_rules import STYLES
from benchmarks.null_setup import open_panel
from factors.checks import check_signal
from factors.drawing import Drawer
from factors.engine import evaluate
from factors.parse import parse
from factors.table import STANDARD_FIELDS
from factors.tree import Expression
from market.panel import BoolArray, FloatArray, Panel
from market.ranking import average_ranks

FAR = 3.9
SMALL = 0.2
SAME = 0.5
Scores = Callable[[FloatArray], tuple[float, float]]


def draw_signals(panel: Panel, count: int, seed: int = 0) -> list[FloatArray]:
    """Return values (T, N) of random expressions that can rank assets."""
    rng = np.random.default_rng(seed)
    drawer = Drawer(rng, fields=tuple(STANDARD_FIELDS), longest=30)
    found: dict[str, FloatArray] = {}
    while len(found) < count:
        expression = parse(drawer.expression_text(int(rng.integers(3, 6))), fields=STANDARD_FIELDS, bar=panel.bar)
        if not isinstance(expression, Expression) or expression.lookback > 60 or expression.text in found:
            continue
        signal = evaluate(expression, panel)
        if check_signal(signal, panel) is None:
            found[expression.text] = np.where(panel.universe, signal.values, np.nan)
    return list(found.values())


def larger_assets(panel: Panel) -> BoolArray:
    """Return (T, N) which assets are not among the smallest fifth of a bar, by the money they traded lately."""
    bars = int(half_life(panel))
    money = np.where(panel.universe & np.isfinite(panel.money), panel.money, 0.0)
    total = np.cumsum(money, axis=0)
    total[bars:] -= total[:-bars].copy()
    ranks = average_ranks(np.where(panel.universe, total, np.nan))
    larger: BoolArray = ranks > SMALL * panel.universe.sum(axis=1, keepdims=True)
    return larger


def conditions(panel: Panel) -> dict[str, Scores]:
    """Return by name how a signal scores under each condition: t of its rank IC, z of its payoff."""
    forward, larger = forward_returns(panel, 1), larger_assets(panel)

    def under(styles: Sequence[str]) -> Scores:
        risk = risk_returns(panel, forward, styles)
        seen = np.where(np.isfinite(forward) & (risk != 0.0), risk, np.nan)
        met = seen if styles else forward
        return lambda values: (newey_west_t(rank_ic(values, met)), mean_test(rank_payoffs(values, forward, risk)).z)

    plain = under(())
    late: Scores = lambda values: plain(np.vstack([np.full((1, values.shape[1]), np.nan), values[:-1]]))  # noqa: E731
    large: Scores = lambda values: plain(np.where(larger, values, np.nan))  # noqa: E731
    found: dict[str, Scores] = {"as it is": plain, "a bar later": late, "without the smallest fifth": large}
    found |= {f"residual to {style}": under([style]) for style in STYLES}
    return found | {"residual to all four": under(STYLES)}


def effective_count(panel: Panel, signals: Sequence[FloatArray]) -> int:
    """Return how many groups of payoffs there are whose leaders correlate by less than a half, with either sign."""
    forward = forward_returns(panel, 1)
    risk = risk_returns(panel, forward)
    leaders: list[FloatArray] = []
    for values in signals:
        mine = fingerprint_of(rank_payoffs(values, forward, risk))
        if all(abs(float(mine @ leader)) < SAME for leader in leaders):
            leaders.append(mine)
    return len(leaders)


def table_of(title: str, panel: Panel, count: int, console: Console) -> dict[str, float]:
    """Print the table of one market; return its figures."""
    signals = draw_signals(panel, count)
    beyond = {name: np.abs([of(one) for one in signals]) > FAR for name, of in conditions(panel).items()}
    far = beyond["as it is"]
    ranks, pays = (int(passed) for passed in far.sum(axis=0))
    columns = ("rank IC, of all", f"of the {ranks} that pass", "payoff, of all", f"of the {pays} that pass")
    table, figures = Table("beyond 3.9", *columns, title=title, title_justify="left"), {"expressions": float(count)}
    for name, passed in beyond.items():
        for k, what in enumerate(("rank IC", "payoff")):
            figures[f"{what}, {name}"] = float(passed[:, k].mean())
            figures[f"{what}, {name}, of those"] = float(passed[far[:, k], k].mean()) if far[:, k].any() else 0.0
        cells = [figures[f"{what}, {name}{of}"] for what in ("rank IC", "payoff") for of in ("", ", of those")]
        table.add_row(name, *(f"{cell:.0%}" for cell in cells))
    console.print(table)
    for k, what in enumerate(("rank IC", "payoff")):
        passing = [signal for signal, passed in zip(signals, far[:, k], strict=True) if passed]
        figures[f"{what}, effective"] = float(effective_count(panel, passing))
        console.print(f"those that pass by {what} are {figures[f'{what}, effective']:.0f} effective factors")
    return figures


def whole_market(title: str, data: Path) -> Panel:
    """Open a market with every asset that has a price in its universe, small ones too."""
    panel = open_panel(title, data)
    return replace(panel, universe=np.isfinite(panel["close"]))


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table a market, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--expressions", type=int, default=None)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    args = parser.parse_args(argv)
    count, console = args.expressions or (60 if args.quick else 300), Console()
    if not args.data.is_dir():
        console.print(f"no folder {args.data}: nothing to draw on")
        return
    markets = ("coins, daily",) if args.quick else ("coins, daily", "perpetuals, daily", "S&P 500, daily")
    figures = {title: table_of(title, whole_market(title, args.data), count, console) for title in markets}
    print(json.dumps({"benchmark": "passing", "far": FAR, "markets": figures}))


if __name__ == "__main__":
    main()
