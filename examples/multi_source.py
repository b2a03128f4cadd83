"""Prices beside other sources: funding and a sentiment score as fields of the panel, used like any other."""

from __future__ import annotations

import numpy as np

import alphaglow as ag


def main() -> None:
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


if __name__ == "__main__":
    main()
