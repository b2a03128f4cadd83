"""The paper ledger beside the backtest of the same bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.live.journal_schema import FIGURES
from agent.live.paper_ledger import lag_of
from agent.live.signal_journal import SignalJournal
from agent.live.signal_source import TradedSignal, batch_of
from backtest.ledger import NET, keep_ledger
from market.errors import InputError
from market.panel import Panel


def against_backtest(portfolio: TradedSignal, journal: SignalJournal, ledger: str, whole: Panel) -> dict[str, object]:
    """Compare what was emitted, and what it earned on paper, with a backtest of the whole panel, bar by bar.

    The backtest decides by all bars, and trades from the bar of the first signal on, with no position before. A missed
    bar was not traded on paper; an asset that was late kept its last target: both are differences that are meant.

    Raises
    ------
    InputError
        When nothing was emitted, or the bars are not those that it was emitted on.
    """
    stored = journal.signals(ledger)
    if not stored:
        raise InputError("nothing was emitted yet", "alphaglow signal --watch")
    rows = np.searchsorted(whole.times, np.array([one.time for one in stored]))
    if rows.max() >= len(whole.times) or any(whole.times[r] != s.time for r, s in zip(rows, stored, strict=True)):
        raise InputError("the data set lacks bars that signals were emitted on", "was it replaced?")
    batch = batch_of(portfolio, whole)
    late = {asset for one in stored for asset in _names(one.document.get("stale"))}
    places = {asset: k for k, asset in enumerate(whole.assets)}
    largest, where = 0.0, None
    for row, one in zip(rows, stored, strict=True):
        if one.status != "emitted":
            continue
        gap = np.abs(one.weights - batch.decided[row])
        gap[[places[asset] for asset in _names(one.document.get("stale"))]] = 0.0
        if gap.max() > largest or where is None:
            largest, where = float(gap.max()), {"time": _text(one.time), "asset": whole.assets[int(gap.argmax())]}
    targets = np.zeros_like(batch.decided)
    targets[rows[0] :] = batch.decided[rows[0] :]
    _, series = keep_ledger(targets, batch.ledger_rows, portfolio.spec, batch.panel.bars_per_year)
    paid = journal.equity(ledger)
    emitted = sum(one.status == "emitted" for one in stored)
    bars = int(rows[-1] - rows[0] + 1)
    found = {
        "bars": bars,
        "emitted": emitted,
        "missed": bars - emitted,
        "late_assets": sorted(late),
        "largest_weight_difference": largest,
        "where": where,
        "paid": len(paid),
    }
    at = np.searchsorted(whole.times, np.array([row["time"] for row in paid], dtype="datetime64[ns]"))
    return found | _paid(paid, series[:, at], lag_of(portfolio.spec, whole.fields))


def _paid(paid: list[dict[str, Any]], series: np.ndarray[Any, Any], lag: int) -> dict[str, object]:
    """Return the largest differences of what was paid, and the capital of both at the end."""
    if not paid:
        return {"note": f"nothing is paid yet: a decision is, {lag} bars later"}
    gaps = {name: np.abs(np.array([row[name] for row in paid]) - series[k]) for name, k in FIGURES.items()}
    mine = np.array([row["equity"] for row in paid])
    theirs = np.cumprod(np.maximum(0.0, 1.0 + series[NET]))
    worst = int(gaps["net"].argmax())
    return {
        "largest_return_difference": float(gaps["net"][worst]),
        "largest_return_difference_at": _text(paid[worst]["time"]),
        "largest_difference": {name: float(gap.max()) for name, gap in gaps.items()},
        "largest_equity_difference": float(np.abs(mine - theirs).max()),
        "paper_return": float(mine[-1] - 1.0),
        "backtest_return": float(theirs[-1] - 1.0),
    }


def _names(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else []


def _text(time: np.datetime64) -> str:
    return str(time)[:16]


def ledger_facts(paid: Sequence[Mapping[str, Any]], bars_per_year: float) -> dict[str, object]:
    """Return what a paper ledger earned so far."""
    from backtest import metrics

    if not paid:
        return {"bars": 0}
    net = np.array([row["net"] for row in paid])
    return {
        "bars": len(paid),
        "from": _text(paid[0]["time"]),
        "to": _text(paid[-1]["time"]),
        "equity": float(paid[-1]["equity"]),
        "return": float(paid[-1]["equity"]) - 1.0,
        "sharpe": metrics.sharpe(net, bars_per_year),
        "max_drawdown": metrics.max_drawdown(net),
        **{name: float(sum(row[name] for row in paid)) for name in ("gross", "cost", "funding", "turnover")},
        "exposure": float(paid[-1]["exposure"]),
    }
