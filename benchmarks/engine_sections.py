"""The sections of the engine's benchmark; each returns its figures."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from backtest.quick import QuickScore, QuickScorer
from backtest.target import Target, prepare_target
from backtest.trading_rules import BacktestSpec
from benchmarks.engine_setup import Nothing, interleaved, make_market, seconds_of
from factors.batch import Engine
from factors.engine import evaluate
from factors.evaluation_plan import Runner
from factors.live_factors import LiveFactors
from factors.parse import parse
from factors.tree import Expression
from market.files import import_files
from market.panel import Panel

THREADS = 2
SURVIVORS = 0.05


@dataclass(frozen=True)
class Setting:
    """What all sections work on."""

    quick: bool
    console: Console
    hourly: Panel
    daily: Panel
    batch: list[Expression]
    shared: Path


def _scores(engine: Engine, target: Target, batch: list[Expression]) -> list[QuickScore]:
    whole = slice(0, engine.stop)
    found = []
    for outcome in engine.run(batch, lambda _: QuickScorer(target, engine.rows)):
        assert isinstance(outcome.result, QuickScorer)
        found.append(outcome.result.result(whole))
    return found


def screen(setting: Setting) -> dict[str, Any]:
    """Milliseconds a new factor, evaluated and quick-scored, on panel A; in 64 bits, and in 32 with confirmation."""
    panel, batch = setting.hourly, setting.batch
    target = prepare_target(panel, BacktestSpec())
    for dtype in (np.float64, np.float32):
        _scores(Engine(panel, stop=2_000, dtype=dtype), target, batch)
    kept: dict[str, list[QuickScore]] = {}

    def wide(threads: int) -> Callable[[], None]:
        return lambda: kept.__setitem__("wide", _scores(Engine(panel, threads=threads), target, batch))

    def narrow() -> None:
        found = _scores(Engine(panel, threads=THREADS, dtype=np.float32), target, batch)
        order = np.argsort([-abs(score.rank_ic) if np.isfinite(score.rank_ic) else 0.0 for score in found])
        best = [batch[i] for i in order[: max(1, int(SURVIVORS * len(batch)))]]
        _scores(Engine(panel, threads=THREADS), target, best)
        kept["narrow"] = found

    taken = interleaved(1 if setting.quick else 3, two=wide(2), narrow=narrow, one=wide(1))
    gaps = [abs(a.rank_ic - b.rank_ic) for a, b in zip(kept["wide"], kept["narrow"], strict=True)]
    each = {name: 1e3 * seconds / len(batch) for name, seconds in taken.items()}
    return {
        "factors": len(batch),
        "float64_2_threads_ms_each": each["two"],
        "float64_1_thread_ms_each": each["one"],
        "float32_2_threads_with_confirmation_ms_each": each["narrow"],
        "minutes_for_10000_float64": each["two"] * 10_000 / 6e4,
        "float32_largest_change_of_rank_ic": float(np.nanmax(gaps)),
    }


def memory(setting: Setting) -> dict[str, Any]:
    """Peak memory of the batch on panel B in a process of its own, beside what was stated before the run."""
    code = (
        "import resource, json, sys\n"
        "from benchmarks.engine_setup import make_market, draw_batch\n"
        "from benchmarks.engine_sections import _scores\n"
        "from backtest.target import prepare_target\n"
        "from backtest.trading_rules import BacktestSpec\n"
        "from factors.batch import Engine\n"
        "import time\n"
        "panel = make_market(2520, 500, 'D'); batch = draw_batch(int(sys.argv[1]))\n"
        "target = prepare_target(panel, BacktestSpec())\n"
        "_scores(Engine(panel, stop=200), target, batch[:60])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "engine = Engine(panel, threads=2); stated = engine.peak_bytes(batch)\n"
        "begun = time.perf_counter(); _scores(engine, target, batch); taken = time.perf_counter() - begun\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(json.dumps([before / 1e3, stated / 1e6, after / 1e3, 1e3 * taken / len(batch)]))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(len(setting.batch))]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, stated, after, each = (float(v) for v in printed.strip().strip("[]").split(","))
    return {
        "factors": len(setting.batch),
        "float64_2_threads_ms_each_with_scoring": each,
        "whole_process_before_MB": before,
        "stated_for_the_batch_MB": stated,
        "grown_by_MB": after - before,
        "whole_process_peak_MB": after,
    }


def cold(_: Setting) -> dict[str, Any]:
    """Seconds from starting Python to the first factor's values: right after installation, and later."""
    code = (
        "from benchmarks.engine_setup import make_market\n"
        "from factors.engine import evaluate\n"
        "from factors.parse import parse\n"
        "evaluate(parse('cs_rank(ts_corr(close, volume, 20)) - ts_zscore(close, 20) * sign(ts_delta(close, 5))'),"
        " make_market(2520, 50, 'D'))\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        command = [sys.executable, "-W", "ignore", "-c", code]
        first, later = (
            seconds_of(lambda: subprocess.run(command, check=True, env=environment)) for _ in range(2)
        )  # fmt: skip
    return {"first_after_installation_s": first, "later_s": later}


def live(setting: Setting) -> dict[str, Any]:
    """Milliseconds for one new bar of 500 assets for 100 factors, each value compared with the batch's."""
    panel, batch = setting.daily, setting.batch[:100]
    before = 2_200
    factors = LiveFactors(batch, panel.rows(0, before))
    whole = [evaluate(expression, panel).values for expression in batch]
    taken, different = [], 0
    for bar in range(before, panel.shape[0]):
        row = {name: values[bar] for name, values in panel.fields.items()}
        begun = time.perf_counter()
        found = factors.append(row, panel.universe[bar])
        taken.append(1e3 * (time.perf_counter() - begun))
        different += sum(not np.array_equal(a, b[bar], equal_nan=True) for a, b in zip(found, whole, strict=True))
    return {
        "factors": len(batch), "bars": len(taken), "median_ms": statistics.median(taken),
        "p99_ms": float(np.quantile(taken, 0.99)), "worst_ms": max(taken), "rows_that_differ_in_a_bit": different,
    }  # fmt: skip


def evolving(setting: Setting) -> dict[str, Any]:
    """Measure what shared subtrees save: random expressions, and generations that change one part of a parent."""
    from agent.mock.grammar import mutate

    panel = setting.hourly
    rng = np.random.default_rng(4)
    family = list(setting.batch[:20])
    while len(family) < (60 if setting.quick else 300):
        parent = family[int(rng.integers(len(family)))]
        child = parse(mutate(parent.root, rng, 60, negate=False)[1], dialect="native")
        if isinstance(child, Expression) and child.size <= 20 and child.text not in {e.text for e in family}:
            family.append(child)

    def run(batch: list[Expression], budget: int) -> Callable[[], None]:
        def work() -> None:
            for _ in Engine(panel, threads=THREADS, cache_bytes=budget).run(batch, Nothing):
                pass

        return work

    random = setting.batch[: len(family)]
    taken = interleaved(
        1 if setting.quick else 3,
        random_alone=run(random, 0), random_shared=run(random, 500_000_000),
        evolving_alone=run(family, 0), evolving_shared=run(family, 500_000_000),
    )  # fmt: skip
    return {
        "random_saved": 1 - taken["random_shared"] / taken["random_alone"],
        "evolving_saved": 1 - taken["evolving_shared"] / taken["evolving_alone"],
    }


def scaling(setting: Setting) -> dict[str, Any]:
    """Nanoseconds a cell and factor, evaluated and scored, over assets, bars and cores."""
    batch = setting.batch[:30]

    def cell_ns(bars: int, assets: int, threads: int) -> float:
        panel = make_market(bars, assets, "h")
        target = prepare_target(panel, BacktestSpec())
        seconds = min(seconds_of(lambda: _scores(Engine(panel, threads=threads), target, batch)) for _ in range(2))
        return 1e9 * seconds / (bars * assets * len(batch))

    return {
        "assets_at_2520_bars": {str(n): cell_ns(2_520, n, 1) for n in (10, 50, 200, 500, 1_000, 5_000)},
        "bars_at_50_assets": {str(t): cell_ns(t, 50, 1) for t in (1_000, 10_000, 100_000)},
        "cores_on_panel_A": {str(c): cell_ns(17_520, 50, c) for c in (1, 2)},
    }


def windows(setting: Setting) -> dict[str, Any]:
    """Nanoseconds a cell of single operators over windows from 5 to 1 000 bars, on panel A."""
    panel = setting.hourly
    figures: dict[str, Any] = {}
    for name in (
        "ts_mean",
        "ts_std",
        "ts_kurt",
        "ts_slope",
        "ts_max",
        "ts_argmax",
        "ts_rank",
        "ts_median",
        "ts_mad",
        "ts_corr",
    ):
        other = ", volume" if name == "ts_corr" else ""
        row: dict[str, float] = {}
        for d in (5, 20, 60, 240, 1_000):
            expression = parse(f"{name}(close{other}, {d})")
            assert isinstance(expression, Expression)
            evaluate(expression, panel)
            row[str(d)] = (
                1e9 * min(seconds_of(lambda e=expression: evaluate(e, panel)) for _ in range(3)) / panel["close"].size
            )  # type: ignore[misc]
        figures[name] = row
    return figures


def profile(setting: Setting) -> dict[str, Any]:
    """Where the time of the batch goes on panel A, on one thread: the ten largest shares."""
    panel, batch = setting.hourly, setting.batch[:200]
    target = prepare_target(panel, BacktestSpec())
    spent: Counter[str] = Counter()
    kept = Runner.execute

    def timed(calls: Any, fields: Any, start: int, stop: int) -> None:  # noqa: ANN401 - as the method it stands for
        for call in calls:
            begun = time.perf_counter()
            kept([call], fields, start, stop)
            spent[getattr(call[0], "__name__", "reading fields")] += time.perf_counter() - begun

    class Timed(QuickScorer):
        def feed(self, first: int, values: Any) -> None:  # noqa: ANN401 - as the method it stands for
            begun = time.perf_counter()
            super().feed(first, values)
            spent["quick score"] += time.perf_counter() - begun

    Runner.execute = staticmethod(timed)  # type: ignore[method-assign]
    try:
        engine = Engine(panel)
        total = seconds_of(lambda: [None for _ in engine.run(batch, lambda _: Timed(target, engine.rows))])
    finally:
        Runner.execute = staticmethod(kept)  # type: ignore[method-assign]
    return {name: spent[name] / total for name, _ in spent.most_common(10)}


def real(setting: Setting) -> dict[str, Any]:
    """Run the batch on recorded markets: milliseconds a factor, and how many have a score."""
    figures: dict[str, Any] = {}
    for name in ("equity_sp500_1d_2013_2018", "crypto_spot_1h"):
        file = setting.shared / "data" / f"{name}.parquet"
        if not file.is_file():
            figures[name] = "not here"
            continue
        panel = import_files([file], calendar="exchange" if name.startswith("equity") else "continuous", repair=True)
        target = prepare_target(panel, BacktestSpec())
        batch = setting.batch[:200]
        found: list[QuickScore] = []
        seconds = seconds_of(lambda: found.extend(_scores(Engine(panel, threads=THREADS), target, batch)))  # noqa: B023
        scored = [score.rank_ic for score in found if np.isfinite(score.rank_ic)]
        figures[name] = {
            "bars": panel.shape[0], "assets": panel.shape[1], "ms_each": 1e3 * seconds / len(batch),
            "with_a_score": len(scored), "of": len(batch), "largest_rank_ic": float(np.max(np.abs(scored))),
        }  # fmt: skip
    return figures
