"""A whole backtest: costs of a venue, positions, trades, years, and the same returns in other libraries."""

from __future__ import annotations

import tempfile
from pathlib import Path

import alphaglow as ag


def main() -> None:
    """Score a factor under stated costs and look at what it did."""
    panel = ag.demo_panel(bars=4_000)
    rules = {"fee_bp": 2.0, "slippage_bp": 1.0, "weighting": "quantile", "quantiles": 4, "rule": "as set", "rate": 0.1}
    result = ag.evaluate(panel, "cs_rank(ts_mean(volume, 24) / ts_mean(volume, 168))", rules=rules)
    print(result.verdict)
    print(result.ledger()[["gross", "cost", "net", "turnover"]].mean())
    trades = result.trades()
    print(f"{len(trades)} trades, {(trades['net'] > 0).mean():.0%} won, held for {trades['bars'].mean():.0f} bars")
    print(result.quantiles())
    print(result.by("regimes")[["name", "bars", "sharpe_net"]])
    print(result.to_quantstats().tail(3))
    with tempfile.TemporaryDirectory() as folder:
        page = result.report(Path(folder) / "factor.html")
        print(f"page: {page.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
