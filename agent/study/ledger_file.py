"""The ledger of a backtest as a file, bar by bar, for whoever wants to check it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from agent.study.study import Study
from agent.study.trade_frame import write_table
from backtest.run import Backtest
from market.panel import FloatArray


def write_ledger(result: Backtest, study: Study, path: Path, signal: FloatArray | None = None) -> None:
    """Write one row a decision: when it was made and filled, what it traded, earned and paid, the equity around it.

    `gross` to `net` are fractions of the capital before the fill; `equity_after` is the next row's `equity`. Equity and
    `pnl` are money where `[backtest] capital` is set, and else begin at 1; `cumulative_pnl` is the running sum. Behind
    a gate, `log_prob` is the mean log-likelihood of the assets' states, and `in_distribution` the share of the assets
    that are not below its threshold. Then come, one column an asset, the weights just after the fill (`w_`), the
    prices of the fills (`price_`) and the `signal` (T, N) where it is given (`signal_`).

    Raises
    ------
    InputError
        When the file cannot be written, or is neither CSV nor Parquet.
    """
    panel, paid = study.panel, np.flatnonzero(np.isfinite(result.net))
    capital = result.spec.costs.capital
    impact = result.impact * math.sqrt(capital)
    start = capital if capital > 0 else 1.0
    after = start * np.cumprod(1.0 + result.net[paid])
    before = np.concatenate([[start], after[:-1]])
    columns = {
        "decided_at_close_of": panel.times[paid],
        "filled_in_bar": panel.times[paid + 1],
        "equity": before,
        "turnover": result.turnover[paid],
        "exposure": result.exposure[paid],
        "net_exposure": result.bias[paid],
        "gross": result.gross[paid],
        "fees_slippage_borrow": result.cost[paid],
        "impact": impact[paid],
        "funding": result.funding[paid],
        "net": result.net[paid],
        "pnl": after - before,
        "cumulative_pnl": after - start,
        "equity_after": after,
        **_usual(study, paid),
    }
    prices = panel[result.spec.fill][paid + 1]
    for name, values in (
        ("w", result.weights[paid]),
        ("price", prices),
        ("signal", None if signal is None else signal[paid]),
    ):
        if values is not None:
            columns |= {f"{name}_{asset}": values[:, i] for i, asset in enumerate(panel.assets)}
    write_table(pd.DataFrame(columns), path)


def _usual(study: Study, rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> dict[str, FloatArray]:
    """Return how usual the states of the decisions were, where there is a gate: NaN in its warm-up."""
    if study.log_likelihood is None or study.threshold is None:
        return {}
    likelihood = np.where(study.panel.universe, study.log_likelihood, np.nan)[rows]
    known = np.isfinite(likelihood)
    count = np.maximum(known.sum(axis=1), 1)
    none = ~known.any(axis=1) | ~np.isfinite(study.threshold[rows])
    usual = (known & (likelihood >= study.threshold[rows, None])).sum(axis=1) / count
    mean = np.where(known, likelihood, 0.0).sum(axis=1) / count
    return {"log_prob": np.where(none, np.nan, mean), "in_distribution": np.where(none, np.nan, usual)}
