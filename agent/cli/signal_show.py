"""What `alphaglow signal` prints."""

from __future__ import annotations

import sys
from typing import Any

from agent.cli.common import format_number, headed, print_json, stdout, text_table
from agent.cli.signal_words import advice_lines, bar_line, change_lines, nothing_to_trade, risk_line, signed

# Weights shown of a portfolio.
_ROWS = 30


def show_signal(document: Any, as_json: bool, *, watched: bool = False) -> None:  # noqa: ANN401 - JSON
    """Print a signal: in words and as a table, or one JSON object on a line of its own.

    While it is watched, a bar at which nothing is to be traded takes a line.
    """
    if as_json:
        print_json(document)
        sys.stdout.flush()
        return
    out = stdout()
    out.print(headed(document["portfolio"], f"  {bar_line(document)}"), soft_wrap=True)
    if watched and nothing_to_trade(document):
        return
    out.print(risk_line(document), markup=False, soft_wrap=True)
    rule = document.get("rule")
    if rule is not None and (rule["rate"] < 1 or rule["band"] > 0 or rule["rebalance"] > 1):
        beyond = f", where it is more than {rule['band']:.2%} of capital off" if rule["band"] else ""
        pace = f", at one bar in {rule['rebalance']}" if rule["rebalance"] > 1 else ""
        out.print(
            f"weights are targets: each position moves {rule['rate']:.0%} of the way to its own{beyond}{pace}",
            soft_wrap=True,
        )
    for line in (*advice_lines(document), *change_lines(document)):
        out.print(line, markup=False, soft_wrap=True)
    labels = list(document["weights"][0]["contributions"]) if document["weights"] else []
    rows = [
        [
            row["asset"] + (" (late)" if row["stale"] else ""),
            signed(row["weight"], 4),
            signed(row["change"], 4),
            format_number(row["price"], 6),
            format_number(row["gate_exposure"]),
            *(format_number(row["contributions"].get(label), 3) for label in labels),
        ]
        for row in _largest(document["weights"])
    ]
    more = f" ({_ROWS} largest of {len(document['weights'])})" if len(document["weights"]) > _ROWS else ""
    out.print(text_table(f"Target weights{more}", ["asset", "weight", "change", "close", "gate", *labels], rows))


def _largest(rows: list[Any]) -> list[Any]:
    kept = sorted(rows, key=lambda row: -abs(row["weight"]))[:_ROWS]
    return sorted(kept, key=lambda row: -row["weight"])


def show_ledgers(ledgers: list[dict[str, object]], as_json: bool) -> None:
    """Print which ledgers there are."""
    if as_json:
        print_json(ledgers)
        return
    rows = [[str(b["id"]), str(b["name"]), str(b["feed"]), str(b["signals"])] for b in ledgers]
    stdout().print(text_table(f"{len(ledgers)} ledgers", ["ledger", "portfolio", "feed", "signals"], rows, left=3))


def show_ledger(found: dict[str, Any], fills: list[dict[str, Any]]) -> None:
    """Print what a ledger earned, its newest fills, and how far it is from the backtest."""
    out = stdout()
    out.print(headed(found["portfolio"], f"  {found['ledger']}, {found['feed']}"), soft_wrap=True)
    if not found["bars"]:
        out.print("nothing is paid yet: a decision at a close is filled at the next bar, and paid at the one after")
    else:
        out.print(
            f"{found['bars']} bars from {found['from']} to {found['to']}: equity {found['equity']:.6f}, return "
            f"{found['return']:+.3%} (gross {found['gross']:+.3%}, costs {found['cost']:.3%}, funding "
            f"{found['funding']:+.3%}), Sharpe {format_number(found['sharpe'])}, drawdown "
            f"{format_number(found['max_drawdown'], 1, percent=True)}, turnover {found['turnover']:.1f}",
            soft_wrap=True,
        )
    if fills:
        rows = [
            [
                str(f["time"])[:16],
                f["asset"],
                f"{f['change']:+.4f}",
                f"{f['weight']:+.4f}",
                format_number(f["price"], 6),
            ]
            for f in fills
        ]
        out.print(
            text_table(
                "Newest fills, by the bar of the decision", ["bar", "asset", "traded", "weight", "price"], rows, left=2
            )
        )
    compared = found.get("against_backtest")
    if compared is None:
        return
    out.print(
        f"against the backtest: {compared['bars']} bars ({compared['missed']} missed), largest difference of a weight "
        f"{compared['largest_weight_difference']:.3g}",
        soft_wrap=True,
    )
    if "paper_return" in compared:
        out.print(
            f"of a return {compared['largest_return_difference']:.3g} "
            f"(at {compared['largest_return_difference_at']}), of "
            f"equity {compared['largest_equity_difference']:.3g}; paper {compared['paper_return']:+.6%}, backtest "
            f"{compared['backtest_return']:+.6%}",
            soft_wrap=True,
        )
    if compared["late_assets"]:
        out.print(
            f"late at some bar, and kept at their last target: {', '.join(compared['late_assets'])}", soft_wrap=True
        )
