"""The loop where the truth is known: whether it finds a signal that pays, and nothing where nothing does.

    python -m benchmarks.loop_truth [--quick] [--nulls N] [--planted N] [--strengths Z Z] [--costs] [--results FOLDER]

On the last 4 000 bars of twenty hourly coins, the mock mines 96 attempts: on four kinds of null market, and on such
with a planted signal whose z says what a portfolio that knows it gains. Of planted runs: the signal was proposed
(values that correlate by half or more), an admitted or predicting factor is it, and what the exact expression gets when
it is given to the tests after the run. Hidden signals are drawn from ideas that the mock could write. Each run is a
line of JSON in the folder of results: a stopped benchmark goes on where it was. Trading is free of costs unless
`--costs` asks for the default ones: with those, hourly turnover lets nothing earn, and no null admits anything.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.evidence.control_audit import Auditor, AuditPlan, run_controls
from agent.evidence.control_runs import Control
from agent.study.settings import Settings
from agent.study.study import open_study
from backtest.binomial import Share
from backtest.nulls import NULLS
from benchmarks.null_setup import DATA
from market.files import import_files
from market.panel import Panel

BARS, COINS = 4_000, 20


def hourly_coins(data: Path) -> Panel:
    """Return the last bars of the coins with the most money traded among those that have all of these bars."""
    panel = import_files([data / "crypto_spot_1h.parquet"], name="hourly coins")
    panel = panel.rows(len(panel.times) - BARS, len(panel.times))
    whole = np.isfinite(panel["close"]).mean(axis=0) > 0.99
    money = np.where(whole, np.nan_to_num(panel.money).sum(axis=0), -1.0)
    return panel.select([panel.assets[i] for i in sorted(np.argsort(-money)[:COINS])])


def show(controls: Sequence[Control], console: Console) -> dict[str, object]:
    """Print both tables; return their figures."""
    figures: dict[str, object] = {}
    table = Table("null market", "admits anything", "anything predicts", "largest z, mean", title="nothing is there")
    for kind in NULLS:
        runs = [c for c in controls if c.kind == kind]
        if not runs:
            continue
        admits, predicts = (
            Share.of(c.admitted > 0 for c in runs),
            Share.of(c.admitted + c.promising > 0 for c in runs),
        )
        largest = float(np.mean([c.best_z for c in runs if c.best_z is not None]))
        table.add_row(kind, str(admits), str(predicts), f"{largest:.2f}")
        figures[kind] = {"admits": admits.document(), "predicts": predicts.document(), "largest_z": largest}
    if table.row_count:
        console.print(table)
    columns = ("planted z", "proposed", "found to predict", "found", "exact: predicts", "exact: admitted", "exact: z")
    table = Table(*columns, title="a signal is there")
    for strength in sorted({c.strength for c in controls if c.strength is not None}):
        runs = [c for c in controls if c.strength == strength]
        shares = {
            "proposed": Share.of(bool(c.proposed) for c in runs),
            "predicts": Share.of(bool(c.nearly) for c in runs),
            "found": Share.of(bool(c.found) for c in runs),
            "exact_predicts": Share.of(bool(c.gates and c.gates.get("predicts")) for c in runs),
            "exact_admitted": Share.of(c.passes_when_given for c in runs),
        }
        z = float(np.mean([c.z for c in runs if c.z is not None]))
        table.add_row(f"{strength:g}", *(str(share) for share in shares.values()), f"{z:.1f}")
        figures[f"planted {strength:g}"] = {name: share.document() for name, share in shares.items()}
    if table.row_count:
        console.print(table)
    return figures


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing, print the tables, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--nulls", type=int, default=None)
    parser.add_argument("--planted", type=int, default=None)
    parser.add_argument("--strengths", type=float, nargs="+", default=(8.0,))
    parser.add_argument("--costs", action="store_true", help="Trade at the default costs.")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--data", type=Path, default=DATA)
    args = parser.parse_args(argv)
    args.results.mkdir(parents=True, exist_ok=True)
    nulls = args.nulls if args.nulls is not None else (1 if args.quick else 20)
    planted = args.planted if args.planted is not None else (1 if args.quick else 10)
    rounds, candidates = (2, 6) if args.quick else (12, 8)
    settings = Settings.model_validate({} if args.costs else {"backtest": {"fee_bp": 0.0, "slippage_bp": 0.0}})
    plan = AuditPlan(nulls, planted, tuple(args.strengths), rounds, candidates, gates=0)
    console = Console(stderr=True)
    auditor = Auditor(open_study(hourly_coins(args.data), settings), settings, args.results, plan, show=console.print)
    controls = run_controls(auditor)
    assert controls is not None
    figures = show(controls, Console(width=150))
    costs = "default" if args.costs else "none"
    print(json.dumps({"benchmark": "loop_truth", "attempts": rounds * candidates, "costs": costs, **figures}))


if __name__ == "__main__":
    main()
