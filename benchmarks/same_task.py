"""One task in alphaglow and in alphalens with pandas: ten factors of WorldQuant's kind on five years of 505 stocks.

    python -m benchmarks.same_task [--turns N] [--data FOLDER]

Both read the same file, evaluate ten formulas, and find on train: rank IC a day, what each fifth earns, turnover, and
the net Sharpe ratio of the top fifth against the bottom one. Both are written as their users would, and what they find
is compared. Times are processor seconds of interleaved turns after a first one. alphalens comes with the extra
`bench`. vectorbt and Qlib are not written here: they are no part of that extra.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

import alphaglow as ag

SHARED = Path(__file__).resolve().parents[2] / "shared"
FILE = "equity_sp500_1d_2013_2018.parquet"
FEE_BP = 5.0
TRAIN = 0.6
# The formulas are those of WorldQuant's alphas 12, 6, 3, 4, 13, 33, 44, 53, 54 and 101.
OURS = {
    "012": "sign(ts_delta(volume, 1)) * -ts_delta(close, 1)",
    "006": "-ts_corr(open, volume, 10)",
    "003": "-ts_corr(cs_rank(open), cs_rank(volume), 10)",
    "004": "-ts_rank(cs_rank(low), 9)",
    "013": "-cs_rank(ts_cov(cs_rank(close), cs_rank(volume), 5))",
    "033": "cs_rank(open / close - 1)",
    "044": "-ts_corr(high, cs_rank(volume), 5)",
    "053": "-ts_delta((close - low - (high - close)) / (close - low), 9)",
    "054": "-(low - close) * open**5 / ((low - high) * close**5)",
    "101": "(close - open) / (high - low + 0.001)",
}


def with_alphaglow(path: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return a row a factor, and what each fifth of each earns a day."""
    panel = ag.panel(path, calendar="exchange", repair=True)
    rules = {"weighting": "quantile", "rule": "as set", "fee_bp": FEE_BP, "slippage_bp": 0}
    found = ag.sweep(panel, "{factor}", factor=list(OURS.values()), rules=rules)
    quantiles = {name: one.quantiles() for name, one in zip(OURS, found.results, strict=True)}
    return found.frame.set_index(pd.Index(OURS)), quantiles


def _rank(x: pd.DataFrame) -> pd.DataFrame:
    return x.rank(axis=1, pct=True)


# What the ten formulas are in pandas: each is given the frames of the bars.
THEIRS: Mapping[str, Callable[[Any], pd.DataFrame]] = {
    "012": lambda b: np.sign(b.volume.diff()) * -b.close.diff(),
    "006": lambda b: -b.open.rolling(10).corr(b.volume),
    "003": lambda b: -_rank(b.open).rolling(10).corr(_rank(b.volume)),
    "004": lambda b: -_rank(b.low).rolling(9).rank(pct=True),
    "013": lambda b: -_rank(_rank(b.close).rolling(5).cov(_rank(b.volume))),
    "033": lambda b: _rank(b.open / b.close - 1),
    "044": lambda b: -b.high.rolling(5).corr(_rank(b.volume)),
    "053": lambda b: -((b.close - b.low - (b.high - b.close)) / (b.close - b.low)).diff(9),
    "054": lambda b: -(b.low - b.close) * b.open**5 / ((b.low - b.high) * b.close**5),
    "101": lambda b: (b.close - b.open) / (b.high - b.low + 0.001),
}


class _Bars:
    """Frames of dates by assets, one a field."""

    def __init__(self, path: Path) -> None:
        long = pd.read_parquet(path)
        for name in ("open", "high", "low", "close", "volume"):
            setattr(self, name, long.pivot(index="ts", columns="symbol", values=name))


def with_alphalens(path: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return a row a factor, and what each fifth of each earns a day; costs and Sharpe ratios are made by hand."""
    import alphalens

    bars = _Bars(path)
    opens: pd.DataFrame = bars.open  # type: ignore[attr-defined]
    prices = opens.shift(-1)
    train = prices.index[: int(TRAIN * len(prices))]
    rows, quantiles = {}, {}
    for name, formula in THEIRS.items():
        values = formula(bars).replace([np.inf, -np.inf], np.nan).loc[train]
        data = alphalens.utils.get_clean_factor_and_forward_returns(
            values.stack(), prices, quantiles=5, periods=(1,), max_loss=1.0
        )
        ic = alphalens.performance.factor_information_coefficient(data)["1D"]
        mean, error = alphalens.performance.mean_return_by_quantile(data, demeaned=False)
        fifth = data["factor_quantile"].unstack()
        top, bottom = fifth == 5, fifth == 1
        weights = 0.5 * top.div(top.sum(axis=1), axis=0) - 0.5 * bottom.div(bottom.sum(axis=1), axis=0)
        gross = (weights * data["1D"].unstack()).sum(axis=1)
        turnover = weights.diff().abs().sum(axis=1)
        net = gross - turnover * FEE_BP / 1e4
        rows[name] = {
            "rank_ic": ic.mean(),
            "turnover": turnover.mean(),
            "sharpe_gross": gross.mean() / gross.std() * np.sqrt(252),
            "sharpe_net": net.mean() / net.std() * np.sqrt(252),
        }
        quantiles[name] = pd.DataFrame({"mean": mean["1D"], "error": error["1D"]})
    return pd.DataFrame.from_dict(rows, orient="index"), quantiles


def code_lines(*parts: object) -> int:
    """Return the lines of code of functions and classes, without blank lines, docstrings and comments."""
    found = 0
    for part in parts:
        kept = [line.strip() for line in inspect.getsource(part).splitlines()]  # type: ignore[arg-type]
        found += sum(bool(line) and not line.startswith(("#", '"""')) for line in kept)
    return found


WAYS = {
    "alphaglow": (with_alphaglow, (with_alphaglow,)),
    "alphalens and pandas": (with_alphalens, (with_alphalens, _Bars, _rank)),
}


def main() -> None:
    """Time both, compare what they found, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--turns", type=int, default=5, help="timed turns of each (default 5)")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    args = parser.parse_args()
    path, console = args.data / FILE, Console()
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    found: dict[str, tuple[pd.DataFrame, dict[str, pd.DataFrame]]] = {}
    for turn in range(args.turns + 1):
        for name, (way, _) in WAYS.items():
            started = time.process_time()
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                found[name] = way(path)
            if turn:
                seconds[name].append(time.process_time() - started)
    table = Table("way", "lines beside the ten formulas", "processor seconds, median", "from", "to")
    for name, (_, parts) in WAYS.items():
        took = seconds[name]
        figures = (f"{one:.2f}" for one in (statistics.median(took), min(took), max(took)))
        table.add_row(name, str(code_lines(*parts)), *figures)
    console.print(table)
    ours, theirs = (frame for frame, _ in found.values())
    pairs = zip(seconds["alphalens and pandas"], seconds["alphaglow"], strict=True)
    console.print(f"alphalens and pandas take {statistics.median(b / a for b, a in pairs):.1f} times as long")
    figures = ["rank_ic", "turnover", "sharpe_gross", "sharpe_net"]
    beside = theirs[figures].add_suffix(" (alphalens)")
    console.print(ours[[*figures, "verdict"]].join(beside).round(4).to_string(), soft_wrap=True)
    gaps = {
        name: (found["alphaglow"][1][name]["mean"] - found["alphalens and pandas"][1][name]["mean"]) for name in OURS
    }
    console.print(f"largest difference of a fifth's mean return: {max(gap.abs().max() for gap in gaps.values()):.1e}")


if __name__ == "__main__":
    main()
