"""The ledger of a backtest as a file, bar by bar, for whoever wants to check it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from backtest.run import Backtest
from market.errors import InputError
from market.panel import Panel


def write_ledger(result: Backtest, panel: Panel, path: Path) -> None:
    """Write one row a decision: when it was made, what it traded, earned and paid, and the equity before and after.

    All but equity are fractions of the capital before the fill; `equity_after` is the next row's `equity`. Then come
    the weights of positions just after the fill, one column an asset.

    Raises
    ------
    InputError
        When the file cannot be written, or is neither CSV nor Parquet.
    """
    paid = np.isfinite(result.net)
    impact = result.impact * math.sqrt(result.spec.costs.capital)
    after = np.cumprod(1.0 + result.net[paid])
    columns = {
        "decided_at_close_of": panel.times[paid],
        "equity": np.concatenate([[1.0], after[:-1]]),
        "turnover": result.turnover[paid],
        "exposure": result.exposure[paid],
        "net_exposure": result.bias[paid],
        "gross": result.gross[paid],
        "fees_slippage_borrow": result.cost[paid],
        "impact": impact[paid],
        "funding": result.funding[paid],
        "net": result.net[paid],
        "equity_after": after,
    }
    weights = {f"w_{asset}": result.weights[paid, i] for i, asset in enumerate(panel.assets)}
    frame = pd.DataFrame({**columns, **weights})
    try:
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        elif path.suffix == ".parquet":
            frame.to_parquet(path, index=False)
        else:
            raise InputError(f"{path} is neither .csv nor .parquet", "name the ledger so")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}", "choose a place you may write") from error
