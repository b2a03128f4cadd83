"""A minute panel on disk: quick scores in passes over it beside the same in memory: equal bits, speed, peak memory.

    python -m benchmarks.big [--quick] [--assets N] [--bars T] [--factors E] [--turns K] [--alone]

Each side runs in a process of its own, in turns, on one thread; speed is the ratio of their processor time, without
starting and opening. `--alone` leaves the side in memory out: for panels that do not fit. The folder is deleted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.cluster.local_scorers import ThreadScorer
from agent.cluster.quick_work import QuickOutcome, QuickWork, Scored
from agent.cluster.stretch_scorer import StretchScorer, StretchWork
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from backtest.warm_backtest import warm_backtest
from factors.drawing import Drawer
from factors.parse import parse
from factors.stretch_pass import PassLimits
from factors.tree import Expression
from factors.warm_engine import warm_up
from market.panel import OHLCV, Panel
from market.panel_folder import FolderWriter, PanelShape
from market.panel_on_disk import PanelOnDisk, open_on_disk
from market.reading.conventions import FileConventions
from market.sorting_rows import import_in_pieces

_LIMITS = PassLimits(3_600.0, 4.0)
_SPEC = BacktestSpec()
_AT_ONCE = 4_096


def peak_gb() -> float:
    """Return the most memory that this process has had, mapped files included.

    Linux counts `ru_maxrss` of the process that started this one as well.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) * 1024e-9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def make_minutes(folder: Path, assets: int, bars: int) -> None:
    """Write bars of one minute whose prices walk at random, a stretch after the other."""
    rng = np.random.default_rng(7)
    times = np.datetime64("2023-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "m")
    names = tuple(f"A{k:04d}" for k in range(assets))
    shape = PanelShape(times, names, OHLCV, np.timedelta64(1, "m"), "continuous", "minutes", simulated=True)
    last = np.full(assets, 100.0)
    with closing(FolderWriter(folder, shape)) as writer:
        for start in range(0, bars, _AT_ONCE):
            rows = min(_AT_ONCE, bars - start)
            close = last * np.exp(np.cumsum(rng.normal(0, 4e-4, (rows, assets)), axis=0))
            opened = np.vstack([last, close[:-1]])
            wick = np.abs(rng.normal(0, 2e-4, close.shape))
            high, low = np.maximum(opened, close) * (1 + wick), np.minimum(opened, close) * (1 - wick)
            volume = rng.gamma(2.0, 50.0, close.shape)
            fields = dict(zip(OHLCV, (opened, high, low, close, volume), strict=True))
            writer.append(fields, np.ones(close.shape, dtype=bool))
            last = close[-1]
        writer.finish()


def drawn(panel: Panel, count: int) -> list[Expression]:
    """Return distinct random expressions."""
    drawer, found = Drawer(np.random.default_rng(1), fields=OHLCV, longest=60), dict[str, Expression]()
    while len(found) < count:
        read = parse(drawer.expression_text(4), fields=OHLCV, bar=panel.bar)
        if isinstance(read, Expression):
            found[read.id] = read
    return list(found.values())


def digest(scored: list[Scored]) -> str:
    """Return a hash of every figure and fingerprint."""
    found = hashlib.sha256()
    for expression, result in scored:
        found.update(expression.id.encode())
        if isinstance(result, QuickOutcome):
            found.update(np.array(astuple(result.quick), dtype=np.float64).tobytes())
            found.update(result.fingerprint.tobytes())
        else:
            found.update(result.code.encode())
    return found.hexdigest()[:16]


def one_side(folder: Path, side: str, factors: int, memory: float) -> dict[str, Any]:
    """Score on disk or in memory; return seconds, peak memory, and a hash of the answers."""
    warm_up()
    warm_backtest()
    before = peak_gb()
    begun = time.perf_counter()
    panel = open_on_disk(folder)
    opening = time.perf_counter() - begun
    part, expressions = slice(0, int(0.7 * len(panel.times))), drawn(panel, factors)
    whole = in_memory(panel) if side == "memory" else panel
    wall, processor = time.perf_counter(), time.process_time()
    if isinstance(whole, PanelOnDisk):
        with tempfile.TemporaryDirectory(dir=folder.parent) as kept:
            scorer = StretchScorer(1, memory, Path(kept), "big")
            work = StretchWork(whole, _SPEC, part, _LIMITS)
            scored = list(scorer.run(expressions, work, lambda: False))
    else:
        quick = QuickWork(whole, prepare_target(whole, _SPEC), part, _LIMITS.seconds, _LIMITS.gigabytes)
        scored = list(ThreadScorer(1).run(expressions, quick, lambda: False))
    return {
        "side": side,
        "wall_s": time.perf_counter() - wall,
        "processor_s": time.process_time() - processor,
        "opening_s": opening,
        "started_gb": before,
        "peak_gb": peak_gb(),
        "answers": digest(scored),
    }


def in_memory(panel: PanelOnDisk) -> Panel:
    """Return a copy that holds every value."""
    fields = {name: np.array(values) for name, values in panel.fields.items()}
    return Panel(panel.times, panel.assets, fields, np.array(panel.universe), panel.bar, panel.calendar)


def import_text(folder: Path, rows: int) -> dict[str, Any]:
    """Import a CSV in pieces; return its size, seconds and peak memory."""
    path, target = folder.parent / "minutes.csv", folder.parent / "imported.panel"
    panel = open_on_disk(folder, verify=False)
    bars = min(len(panel.times), rows)
    with path.open("w", encoding="utf-8") as file:
        file.write("time,symbol,open,high,low,close,volume\n")
        stamps = np.datetime_as_string(panel.times[:bars], unit="s")
        for column, asset in enumerate(panel.assets[: max(1, rows // bars)]):
            table = np.column_stack([panel[name][:bars, column] for name in OHLCV])
            for stamp, row in zip(stamps, table, strict=True):
                file.write(f"{stamp},{asset}," + ",".join(f"{value:.10g}" for value in row) + "\n")
    size, begun = path.stat().st_size / 1e6, time.process_time()
    import_in_pieces([path], FileConventions(), target)
    return {"csv_mb": size, "processor_s": time.process_time() - begun, "peak_gb": peak_gb()}


def child(arguments: list[str]) -> dict[str, Any]:
    """Run a side in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.big", *arguments], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Make the panel, run both sides in turns, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50 assets x 50 000 bars, one turn")
    parser.add_argument("--assets", type=int, default=0)
    parser.add_argument("--bars", type=int, default=0)
    parser.add_argument("--factors", type=int, default=0)
    parser.add_argument("--turns", type=int, default=0)
    parser.add_argument("--memory", type=float, default=2.0, help="GB of a pass")
    parser.add_argument("--alone", action="store_true", help="without the side in memory")
    parser.add_argument("--side", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    factors = asked.factors or (12 if asked.quick else 32)
    if asked.side:
        side, folder = asked.side[0], Path(asked.side[1])
        rows = 300_000 if asked.quick else 2_000_000
        print(
            json.dumps(import_text(folder, rows) if side == "import" else one_side(folder, side, factors, asked.memory))
        )
        return
    assets = asked.assets or (50 if asked.quick else 500)
    bars = asked.bars or (50_000 if asked.quick else 525_600)
    with tempfile.TemporaryDirectory(prefix="alphaglow-big-") as place:
        folder = Path(place) / "minutes.panel"
        folder.mkdir()
        make_minutes(folder, assets, bars)
        flags = ["--factors", str(factors), "--memory", str(asked.memory), *(["--quick"] if asked.quick else [])]
        sides = ["disk"] if asked.alone else ["disk", "memory"]
        count = asked.turns or (1 if asked.quick else 3)
        turns = [child([*flags, "--side", side, str(folder)]) for _ in range(count) for side in sides]
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e9
        imported = child([*flags, "--side", "import", str(folder)])
    show(turns, imported, f"{assets} assets x {bars:,} minutes, {size:.2f} GB, {factors} factors")


def show(turns: list[dict[str, Any]], imported: dict[str, Any], title: str) -> None:
    """Print a table and one line of JSON."""
    table = Table(title=title)
    for name in ("side", "processor s", "wall s", "opening s", "peak GB", "answers"):
        table.add_column(name, justify="left" if name in ("side", "answers") else "right")
    for one in turns:
        figures = [f"{one[key]:.2f}" for key in ("processor_s", "wall_s", "opening_s", "peak_gb")]
        table.add_row(one["side"], *figures, one["answers"])
    console = Console()
    console.print(table)
    seconds = {side: [one["processor_s"] for one in turns if one["side"] == side] for side in ("disk", "memory")}
    ratios = [memory / disk for memory, disk in zip(seconds["memory"], seconds["disk"], strict=False)]
    speed = statistics.median(ratios) if ratios else float("nan")
    equal = len({one["answers"] for one in turns}) == 1
    console.print(f"speed on disk: {speed:.0%} of that in memory (bar 70 %); answers {'equal' if equal else 'DIFFER'}")
    console.print(
        f"import of a CSV of {imported['csv_mb']:.0f} MB in pieces: {imported['processor_s']:.0f} s, "
        f"peak {imported['peak_gb']:.2f} GB"
    )
    print(json.dumps({"title": title, "speed": speed, "equal": equal, "turns": turns, "import": imported}))


if __name__ == "__main__":
    main()
