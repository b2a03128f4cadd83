"""A factor, a function and a sweep on a panel in memory: what each earns, and how sure that is."""

from __future__ import annotations

import pandas as pd

import alphaglow as ag


def breakout(panel: ag.Panel) -> pd.DataFrame:
    """Return how far each close is above the mean of two days, in its own deviations."""
    close = panel.to_frame("close")
    return (close - close.rolling(48).mean()) / close.rolling(48).std()


def main() -> None:
    """Print a verdict for each."""
    panel = ag.demo_panel()
    print(panel)
    result = ag.evaluate(panel, "cs_rank(ts_mean(volume, 24) / ts_mean(volume, 168))")
    print(result.verdict)
    print(result.summary().loc[["sharpe_gross", "sharpe_net", "turnover", "max_drawdown"]].round(3))
    print(ag.evaluate(panel, breakout, name="breakout").verdict)
    found = ag.sweep(panel, "ts_mean(volume, {short}) / ts_mean(volume, {long})", short=[12, 24], long=[72, 168])
    print(found.frame[["short", "long", "payoff_z", "adjusted_p", "sharpe_net", "verdict"]].round(3))


if __name__ == "__main__":
    main()
