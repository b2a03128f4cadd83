"""Where a mining run's time goes: scoring, or everything around it, with a model that answers at once.

    python -m benchmarks.overhead [--quick]

50 coins by 17 520 hourly bars (two years), the real loops, the mock behind the real client, no gate. "Evaluation and
backtest" is time in which a candidate was evaluated, backtested or checked for look-ahead; what the judge is given of
turnover counts as overhead. Beside it, the plain loop that does nothing but score the same factors.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

import agent.study.scoring as scoring_module
from agent.mining.session import MineRequest, start_run
from agent.study.study import backtest_expression, read_expression
from agent.study.workspace import init_workspace
from backtest.warm_backtest import warm_backtest
from factors.tree import Expression
from factors.warm_engine import warming
from market.files import import_files
from market.panel import Panel
from market.panel_store import save_panel
from market.synthetic.demo_market import SynthSpec, make_market

COINS = Path(__file__).resolve().parents[2] / "shared" / "data" / "crypto_spot_1h.parquet"
BARS, ASSETS = 17_520, 50
P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Clock:
    """Seconds in which at least one of the watched functions ran (they take turns)."""

    seconds: float = 0.0
    each: list[float] = field(default_factory=list)

    def watch(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return the function, timed."""

        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.each.append(time.perf_counter() - started)
                self.seconds += self.each[-1]

        return timed


def market(bars: int) -> Panel:
    """Return the last bars of the fifty coins with most of them; simulated ones where the data are not at hand."""
    if not COINS.is_file():
        return make_market(SynthSpec(assets=ASSETS, bars=bars, seed=1)).panel
    whole = import_files([COINS], name="coins")
    whole = whole.rows(whole.shape[0] - bars, whole.shape[0])
    known = np.isfinite(whole["close"]).sum(axis=0)
    best = sorted(np.argsort(-known, kind="stable")[:ASSETS])
    return whole.select([whole.assets[int(k)] for k in best])


def run(bars: int, rounds: int, candidates: int, *, profile: bool) -> dict[str, float]:
    """Mine once and return seconds by where they went."""
    clock = Clock()
    kept = scoring_module.backtest_expression, scoring_module.check_truncation
    scoring_module.backtest_expression = clock.watch(kept[0])  # type: ignore[attr-defined]
    scoring_module.check_truncation = clock.watch(kept[1])  # type: ignore[attr-defined]
    try:
        with tempfile.TemporaryDirectory() as folder:
            workspace = init_workspace(Path(folder) / "w")
            save_panel(market(bars), workspace.data_path("coins"))
            with warming(warm_backtest):
                pass
            with workspace.knowledge() as knowledge:
                request = MineRequest("coins", "mock", rounds=rounds, candidates=candidates, seed=1, gate=False)
                session = start_run(workspace, knowledge, request, note=lambda _text: None)
                # What is computed once for the data is not the loop's.
                _ = session.study.target, session.study.recent
                profiler = cProfile.Profile()
                started = time.perf_counter()
                if profile:
                    profiler.enable()
                asyncio.run(session.go(lambda: False, lambda _event, _total: None))
                profiler.disable()
                wall = time.perf_counter() - started
                if profile:
                    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
                attempts = knowledge.attempts(run_id=session.run.id)
                calls = knowledge.calls_total(session.run.id).calls
                plain = _plain([a.canonical for a in attempts if a.evaluation is not None], session.study)
    finally:
        scoring_module.backtest_expression, scoring_module.check_truncation = kept  # type: ignore[attr-defined]
    scored = sum(a.evaluation is not None for a in attempts)
    return {
        "wall": wall,
        "scoring": clock.seconds,
        "share": clock.seconds / wall,
        "plain": plain,
        "attempts": len(attempts),
        "scored": scored,
        "calls": calls,
        "overhead_ms_an_attempt": 1000 * (wall - clock.seconds) / max(1, len(attempts)),
    }


def _plain(texts: list[str | None], study: object) -> float:
    """Return the seconds in which the same factors are evaluated and backtested, and nothing else."""
    read = [read_expression(text or "", study) for text in texts]  # type: ignore[arg-type]
    started = time.perf_counter()
    for expression in read:
        if isinstance(expression, Expression):
            backtest_expression(expression, study)  # type: ignore[arg-type]
    return time.perf_counter() - started


def main() -> None:
    """Measure, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--profile", action="store_true", help="Print where the main thread spends its time.")
    options = parser.parse_args()
    rounds, candidates = (2, 8) if options.quick else (6, 16)
    found = run(BARS, rounds, candidates, profile=options.profile)
    table = Table("where the time goes", "seconds", "share")
    counts = f"{found['attempts']:.0f} attempts, {found['scored']:.0f} scored, {found['calls']:.0f} calls"
    table.title = f"{ASSETS} x {BARS:,}, {counts}"
    table.add_row("the run", f"{found['wall']:.1f}", "100%")
    table.add_row("evaluation and backtest", f"{found['scoring']:.1f}", f"{found['share']:.0%}")
    table.add_row("the rest", f"{found['wall'] - found['scoring']:.1f}", f"{1 - found['share']:.0%}")
    table.add_row(
        "the same factors, scored in a plain loop", f"{found['plain']:.1f}", f"{found['plain'] / found['wall']:.0%}"
    )
    Console().print(table)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
