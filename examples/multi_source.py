"""News, price and volume as one signal with its confidence and its reasons; other sources as fields of a panel.

With files of your own: ``python examples/multi_source.py --bars FILE --news FILE --symbol BTCUSDT``. Without any,
bars and headlines are simulated. In a workspace the same is the command `alphaglow signal sources`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import alphaglow as ag
from agent.cli.main import cli


def simulated_files(folder: Path) -> tuple[Path, Path]:
    """Write bars and headlines of a simulated market; the headlines know nothing."""
    panel = ag.demo_panel(bars=2_000)
    rng = np.random.default_rng(3)
    bars = panel.to_frame().reset_index()
    bars.to_csv(folder / "bars.csv", index=False)
    words = ("gains and a rally", "a hack and heavy losses", "a new partnership", "a lawsuit")
    rows = [
        (panel.times[bar] + np.timedelta64(9, "m"), f"{asset}: {rng.choice(words)}, note {bar}", asset)
        for bar in range(200, 1_999, 2)
        for asset in rng.choice(panel.assets, 2, replace=False)
    ]
    pd.DataFrame(rows, columns=["ts", "title", "assets"]).to_csv(folder / "news.csv", index=False)
    return folder / "bars.csv", folder / "news.csv"


def one_signal(bars: Path | None = None, news: Path | None = None, symbol: str | None = None) -> None:
    """Print what news, price and volume say together of an asset: BUY, SELL or HOLD, how sure, and why."""
    with tempfile.TemporaryDirectory() as folder:
        study = ag.Workspace.create(Path(folder) / "study")
        if bars is None or news is None:
            bars, news = simulated_files(Path(folder))
        named = [] if symbol is None else ["--symbol", symbol]
        asked = ["-w", str(study.folder.root), "signal", "sources", "--data", str(bars), "--texts", str(news), *named]
        cli.main(args=asked, prog_name="alphaglow", standalone_mode=False)


def compare_sources() -> None:
    """Join two simulated sources to bars and compare factors with and without them."""
    prices = ag.demo_panel()
    rng = np.random.default_rng(3)
    funding = 1e-4 * rng.normal(size=prices.shape)
    # A score of texts: known at a bar's close, and here without any bearing on returns.
    sentiment = np.where(rng.random(prices.shape) < 0.9, rng.normal(size=prices.shape), np.nan)
    panel = prices.with_fields({"funding": funding, "sentiment": sentiment})
    for text in (
        "cs_rank(ts_mean(volume, 24) / ts_mean(volume, 168))",
        "-cs_rank(ts_mean(funding, 24))",
        "cs_rank(ts_mean(ts_backfill(sentiment, 12), 24))",
        "cs_rank(ts_mean(volume, 24) / ts_mean(volume, 168)) - 0.5 * cs_rank(ts_mean(funding, 24))",
    ):
        result = ag.evaluate(panel, text, trials=4)
        print(f"{result.word:20s} score {result.scorecard.train.payoff_z:5.1f}  {text}")


def main() -> None:
    """Make one signal of three sources, then compare factors of several."""
    one_signal()
    compare_sources()


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description="News, price and volume as one signal.")
    parser.add_argument("--bars", type=Path, help="a file of prices (default: simulated)")
    parser.add_argument("--news", type=Path, help="a file of texts with times (default: simulated)")
    parser.add_argument("--symbol", help="whose signal (default: the one with the largest weight)")
    asked = parser.parse_args()
    if asked.bars is None and asked.news is None and asked.symbol is None:
        main()
    else:
        one_signal(asked.bars, asked.news, asked.symbol)
