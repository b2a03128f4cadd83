"""Text files in the styles that people have, read beside pandas and Polars.

    python -m benchmarks.reading [--rows 400000]

The same minute bars of one asset in six files: plain, with thousands, with a decimal comma and dates of the day
first, in epochs, in GB18030, and packed. alphaglow gets no option, and checks every bar; a user of the peers must know
how the file is written and say it. Polars reads neither thousands nor GB18030: left out. CPU seconds of all threads,
the least of three runs in one process; that all give the same closes is checked.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

Job = Callable[[], np.ndarray]
FIELDS = ["open", "high", "low", "close", "volume"]


def written(folder: Path, rows: int) -> pd.DataFrame:
    """Write the files; return the bars."""
    rng = np.random.default_rng(0)
    close = np.round(1300 * np.exp(np.cumsum(rng.normal(0, 5e-4, rows))), 2)
    volume = rng.integers(1_000, 9_000_000, rows)
    times = pd.date_range("2020-01-01", periods=rows, freq="1min")
    bars = pd.DataFrame({"ts": times, "open": close, "high": close + 1, "low": close - 1, "close": close})
    bars["volume"] = volume
    bars.to_csv(folder / "plain.csv", index=False)
    bars.to_csv(folder / "packed.csv.gz", index=False, compression={"method": "gzip", "compresslevel": 1})
    bars.assign(ts=times.astype("int64") // 1_000_000).to_csv(folder / "epochs.csv", index=False)
    bars.to_csv(folder / "comma.csv", index=False, sep=";", decimal=",", date_format="%d.%m.%Y %H:%M")
    chinese = dict(zip(bars.columns, ["时间", "开盘", "最高", "最低", "收盘", "成交量"], strict=True))
    bars.rename(columns=chinese).to_csv(folder / "chinese.csv", index=False, encoding="gb18030")
    marked = bars.assign(**{name: bars[name].map(lambda v: f"{v:,}") for name in FIELDS})
    marked.to_csv(folder / "thousands.csv", index=False)
    return bars


def ours(path: Path) -> Job:
    """Read a file of which nothing is known."""
    from market.files import import_files

    return lambda: import_files([path])["close"][:, 0]


def by_pandas(path: Path) -> Job:
    """Return what a user of pandas would write who knows the file."""
    options: dict[str, dict[str, object]] = {
        "thousands": {"thousands": ","},
        "comma": {"sep": ";", "decimal": ",", "date_format": "%d.%m.%Y %H:%M"},
        "chinese": {"encoding": "gb18030", "header": 0, "names": ["ts", *FIELDS]},
    }
    name = path.name.split(".")[0]

    def read() -> np.ndarray:
        stamps = [] if name == "epochs" else ["ts"]
        frame: pd.DataFrame = pd.read_csv(path, parse_dates=stamps, **options.get(name, {}))  # type: ignore[call-overload]
        if name == "epochs":
            frame["ts"] = pd.to_datetime(frame["ts"], unit="ms")
        return frame["close"].to_numpy()

    return read


def by_polars(path: Path) -> Job | None:
    """Return what a user of Polars would write who knows the file; None where it cannot read it."""
    import polars as pl

    name = path.name.split(".")[0]
    if name in ("thousands", "chinese"):
        return None
    if name == "comma":
        form = pl.col("ts").str.to_datetime("%d.%m.%Y %H:%M")
        return lambda: pl.read_csv(path, separator=";", decimal_comma=True).with_columns(form)["close"].to_numpy()
    if name == "epochs":
        return lambda: pl.read_csv(path).with_columns(pl.from_epoch("ts", "ms"))["close"].to_numpy()
    return lambda: pl.read_csv(path, try_parse_dates=True)["close"].to_numpy()


def least_seconds(job: Job, truth: np.ndarray) -> float:
    """Return the CPU seconds of the quickest of three runs, after a check of what it reads."""
    spent = []
    for _ in range(3):
        began = time.process_time()
        closes = job()
        spent.append(time.process_time() - began)
        np.testing.assert_allclose(closes, truth, rtol=1e-12)
    return min(spent)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    args = parser.parse_args(argv)
    found: dict[str, dict[str, float | None]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = written(folder, args.rows)["close"].to_numpy()
        for path in sorted(folder.iterdir()):
            jobs = {"alphaglow": ours(path), "pandas": by_pandas(path), "Polars": by_polars(path)}
            found[path.name] = {
                tool: None if job is None else round(least_seconds(job, truth), 3) for tool, job in jobs.items()
            }
    table = Table(title=f"{args.rows:,} rows, CPU seconds", title_justify="left")
    for column in ("file", "alphaglow", "pandas", "Polars"):
        table.add_column(column, justify="left" if column == "file" else "right")
    for file, row in found.items():
        table.add_row(file, *("–" if value is None else f"{value:.2f}" for value in row.values()))
    Console(width=100).print(table)
    print(json.dumps({"benchmark": "reading", "rows": args.rows, "seconds": found}))


if __name__ == "__main__":
    main()
