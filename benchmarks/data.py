"""Market data: import, load, a slice, pivot, universe, checks and synthesis, beside pandas and Polars.

    python -m benchmarks.data [--quick] [--file LONG.parquet]

The input is a long table of hourly bars (ts, symbol, open, high, low, close, volume): recorded coins where there are
some, else a simulated market of the same size. Every figure is of a process of its own: the least of three runs, in
wall seconds and in CPU seconds (of all threads; go by these on a busy machine), and the peak of its memory above
what it used once its libraries were imported. The peers do what a user of theirs would write: read the file and pivot
each of the five fields to a (time x asset) array. alphaglow's import also checks every bar, and its load also verifies
the content. Nobody else simulates a market or checks one.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "data" / "crypto_spot_1h.parquet"
FIELDS = ["open", "high", "low", "close", "volume"]
MONTH = ("2023-01-01", "2023-02-01")
TASKS = {
    "import": "a long Parquet file to arrays",
    "import csv": "the same, of a CSV file",
    "load": "a stored data set to arrays",
    "slice": "one field of one month of it",
    "pivot": "a long frame in memory to arrays",
    "universe": "top 20 by 30 days' money, chosen weekly",
    "check": "every quality check",
    "synth": "1 000 assets x 10 000 bars, two planted signals",
}
Job = Callable[[], object]


def ours(task: str, folder: Path, quick: bool) -> Job:
    """Return alphaglow's job."""
    from market.checks.all_checks import check_panel
    from market.files import import_files, panel_from_long
    from market.panel_store import load_fields, load_panel
    from market.synthetic.make import make_synthetic
    from market.synthetic.market_spec import MarketSpec, PlantedSignal
    from market.universe import liquid_universe

    stored = folder / "stored.parquet"
    if task == "synth":
        assets, bars = (100, 2000) if quick else (1000, 10_000)
        signals = (PlantedSignal("a", 0.03), PlantedSignal("b", 0.02, "volume"))
        return lambda: make_synthetic(MarketSpec(assets=assets, bars=bars, signals=signals))
    if task == "pivot":
        import pandas as pd

        frame = pd.read_parquet(folder / "long.parquet")
        return lambda: panel_from_long(frame, calendar="continuous", name="x")
    if task in ("universe", "check"):
        panel = load_panel(stored)
        return (lambda: liquid_universe(panel, top=20)) if task == "universe" else (lambda: check_panel(panel))
    start, end = (np.datetime64(day) for day in MONTH)
    jobs: dict[str, Job] = {
        "import": lambda: import_files([folder / "long.parquet"]),
        "import csv": lambda: import_files([folder / "long.csv"]),
        "load": lambda: load_panel(stored),
        "slice": lambda: load_fields(stored, ["close"], start=start, end=end),
    }
    return jobs[task]


def by_pandas(task: str, folder: Path, _quick: bool) -> Job | None:
    """Return what a user of pandas would write."""
    import pandas as pd

    def pivoted(frame: pd.DataFrame, fields: Sequence[str] = FIELDS) -> list[np.ndarray]:
        return [frame.pivot(index="ts", columns="symbol", values=name).to_numpy() for name in fields]

    def read_month() -> object:
        rows = [("ts", ">=", pd.Timestamp(MONTH[0], tz="UTC")), ("ts", "<", pd.Timestamp(MONTH[1], tz="UTC"))]
        path = folder / "long.parquet"
        return pivoted(pd.read_parquet(path, columns=["ts", "symbol", "close"], filters=rows), ["close"])

    if task in ("pivot", "universe"):
        frame = pd.read_parquet(folder / "long.parquet")
        if task == "pivot":
            return lambda: pivoted(frame)
        money = (frame.assign(m=frame["close"] * frame["volume"])).pivot(index="ts", columns="symbol", values="m")

        def universe() -> object:
            mean = money.rolling(720, min_periods=360).mean()
            chosen = mean.rank(axis=1, ascending=False) <= 20
            return chosen.iloc[::168].reindex(chosen.index, method="ffill") & money.notna()

        return universe
    jobs: dict[str, Job] = {
        "import": lambda: pivoted(pd.read_parquet(folder / "long.parquet")),
        "import csv": lambda: pivoted(pd.read_csv(folder / "long.csv", parse_dates=["ts"])),
        "load": lambda: pivoted(pd.read_parquet(folder / "long.parquet")),
        "slice": read_month,
    }
    return jobs.get(task)


def by_polars(task: str, folder: Path, _quick: bool) -> Job | None:
    """Return what a user of Polars would write."""
    import polars as pl

    path = folder / "long.parquet"

    def pivoted(frame: pl.DataFrame, fields: Sequence[str] = FIELDS) -> list[np.ndarray]:
        return [frame.pivot("symbol", index="ts", values=name).sort("ts").drop("ts").to_numpy() for name in fields]

    def read_month() -> object:
        from datetime import UTC, datetime

        start, end = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in MONTH)
        rows = pl.scan_parquet(path).filter((pl.col("ts") >= start) & (pl.col("ts") < end))
        return pivoted(rows.select("ts", "symbol", "close").collect(), ["close"])

    if task in ("pivot", "universe"):
        frame = pl.read_parquet(path)
        if task == "pivot":
            return lambda: pivoted(frame)

        def universe() -> object:
            money = (pl.col("close") * pl.col("volume")).rolling_mean(720, min_samples=360).over("symbol")
            ranked = frame.sort("symbol", "ts").with_columns(m=money)
            return ranked.with_columns(inside=pl.col("m").rank(descending=True).over("ts") <= 20).filter(
                pl.col("ts").dt.truncate("7d") == pl.col("ts")
            )

        return universe
    jobs: dict[str, Job] = {
        "import": lambda: pivoted(pl.read_parquet(path)),
        "import csv": lambda: pivoted(pl.read_csv(folder / "long.csv", try_parse_dates=True)),
        "load": lambda: pivoted(pl.read_parquet(path)),
        "slice": read_month,
    }
    return jobs.get(task)


TOOLS = {"alphaglow": ours, "pandas": by_pandas, "Polars": by_polars}


def measure(task: str, tool: str, folder: Path, *, quick: bool) -> dict[str, float] | None:
    """Run one job in this process; None where the tool has nothing of the kind."""
    job = TOOLS[tool](task, folder, quick)
    if job is None:
        return None
    before = peak_kilobytes()
    seconds, worked = [], []
    for _ in range(1 if task == "synth" else 3):
        began, busy = time.perf_counter(), time.process_time()
        job()
        seconds.append(time.perf_counter() - began)
        worked.append(time.process_time() - busy)
    grown = (peak_kilobytes() - before) / 1024
    return {"seconds": round(min(seconds), 4), "cpu": round(min(worked), 4), "megabytes": round(grown, 1)}


def peak_kilobytes() -> float:
    """Return the most memory that this process has used; a child's own, not what it inherited from its parent."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="utf-8").splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def prepare(folder: Path, file: Path | None, *, quick: bool) -> str:
    """Write the inputs that every tool reads, and return what they are."""
    import pandas as pd

    from market.files import import_files
    from market.panel_store import save_panel
    from market.synthetic.make import make_synthetic
    from market.synthetic.market_spec import MarketSpec

    if file is not None:
        frame = pd.read_parquet(file)
    else:
        panel = make_synthetic(MarketSpec(assets=68, bars=24_043, funding=False, start="2021-04-02")).panel
        frame = pd.concat(
            [
                pd.DataFrame({"ts": pd.to_datetime(panel.times, utc=True), "symbol": asset,
                              **{name: panel[name][:, n] for name in FIELDS}})
                for n, asset in enumerate(panel.assets)
            ]
        )  # fmt: skip
    if quick:
        frame = frame[frame["symbol"].isin(sorted(frame["symbol"].unique())[:20])]
    frame = frame[["ts", "symbol", *FIELDS]]
    frame.to_parquet(folder / "long.parquet", index=False)
    frame.to_csv(folder / "long.csv", index=False)
    panel = import_files([folder / "long.parquet"])
    save_panel(panel, folder / "stored.parquet")
    source = "recorded" if file is not None else "simulated"
    return f"{source}: {len(frame):,} hourly bars, {panel.shape[0]:,} x {panel.shape[1]}"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="twenty assets, and a small synthetic market")
    parser.add_argument("--file", type=Path, help="a long Parquet file of bars")
    parser.add_argument("--one", nargs=3, metavar=("TASK", "TOOL", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.one:
        task, tool, place = args.one
        print(json.dumps(measure(task, tool, Path(place), quick=args.quick)))
        return
    results: dict[str, dict[str, dict[str, float] | None]] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        file = args.file or (RECORDED if RECORDED.is_file() else None)
        what = prepare(folder, file, quick=args.quick)
        for task in TASKS:
            results[task] = {tool: _apart(task, tool, folder, quick=args.quick) for tool in TOOLS}
    table = Table(title=what, title_justify="left")
    table.add_column("task")
    for tool in TOOLS:
        table.add_column(f"{tool}, s", justify="right")
        table.add_column("CPU s", justify="right")
        table.add_column("MB", justify="right")
    for task, row in results.items():
        cells = [text for used in row.values() for text in _cells(used)]
        table.add_row(f"{task}: {TASKS[task]}", *cells)
    Console(width=150).print(table)
    print(json.dumps({"benchmark": "data", "input": what, "quick": args.quick, "results": results}))


def _apart(task: str, tool: str, folder: Path, *, quick: bool) -> dict[str, float] | None:
    command = [sys.executable, "-m", "benchmarks.data", "--one", task, tool, str(folder)]
    done = subprocess.run([*command, *(["--quick"] if quick else [])], capture_output=True, text=True, check=True)
    used: dict[str, float] | None = json.loads(done.stdout.splitlines()[-1])
    return used


def _cells(used: dict[str, float] | None) -> tuple[str, ...]:
    if used is None:
        return ("–",) * 3
    return f"{used['seconds']:.3f}", f"{used['cpu']:.3f}", f"{used['megabytes']:.0f}"


if __name__ == "__main__":
    main()
