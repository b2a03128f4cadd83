"""GLOW on market states: how usual each bar is, and a gate that takes positions off where it is not."""

from __future__ import annotations

import alphaglow as ag


def main() -> None:
    """Fit a small flow, and trade a factor with and without its gate."""
    panel = ag.demo_panel(bars=1_500)
    flow = ag.Flow.fit(panel, model="glow", epochs=2, members=1, steps=2, hidden=8, max_rows=1_000, refit_days=0)
    print(flow)
    print(flow.log_likelihood.mean(axis=1).describe().round(2))
    text = "cs_rank(ts_mean(volume, 24) / ts_mean(volume, 84))"
    gated = ag.evaluate(panel, text, flow=flow)
    shown = ["sharpe_net", "sharpe_gated", "sharpe_vol_gated", "sharpe_random_gated", "max_drawdown"]
    print(gated.summary().loc[shown].round(2))


if __name__ == "__main__":
    main()
