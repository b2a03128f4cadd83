"""Results in the forms of other libraries, and panels out of them; none of those libraries is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from market.panel import Calendar, Panel
from market.panel_frames import asset_index, framed

if TYPE_CHECKING:
    from alphaglow.results import Result

_DAY = np.timedelta64(1, "D")


def to_alphalens(result: Result) -> dict[str, Any]:
    """Return `factor` by (date, asset) and `prices`, for ``get_clean_factor_and_forward_returns``.

    alphalens trades at the price of the factor's own row. So that it sees what was traded here, the prices of a row
    are those of the next bar's fill: its returns of one period are ours, and so is its information coefficient.
    """
    panel, frame = result.panel, result.signal()
    fill = result.spec.fill
    rows = len(frame)
    inside = frame.where(panel.universe[:rows])
    prices = framed(panel[fill], panel).shift(-1).iloc[: rows + 1]
    factor = _long(inside, ("date", "asset"), "factor")
    return {"factor": factor, "prices": prices.rename_axis(index="date")}


def to_vectorbt(result: Result) -> dict[str, Any]:
    """Return keywords of ``vbt.Portfolio.from_orders``: one portfolio that is brought to our weights at our prices.

    Its prices are those of the fills, so its value at a bar is known at the fill. Borrow, funding and impact are not
    in it; where an asset has no price, its last one is kept.
    """
    weights, spec = result.positions(), result.spec
    panel = result.panel
    prices = pd.DataFrame(
        panel[spec.fill], index=pd.DatetimeIndex(panel.times, name="time"), columns=asset_index(panel)
    )
    last = panel.times[min(len(weights) + 1, len(panel.times) - 1)]
    known = prices.loc[weights.index[0] : last].ffill()
    # A row behind the last decision, at which it is paid: nothing is traded there.
    size = weights.reindex(known.index)
    return {
        "close": known,
        "size": size.where(known.notna()),
        "size_type": "targetpercent",
        "price": known,
        "fees": spec.costs.per_trade,
        "group_by": True,
        "cash_sharing": True,
        "call_seq": "auto",
        "freq": pd.Timedelta(panel.bar),
    }


def to_quantstats(result: Result) -> pd.Series[float]:
    """Return net returns a day, compounded from the bars of each, by date without a zone."""
    series = result.returns()
    if result.panel.bar >= _DAY:
        return series.rename("returns").rename_axis("date")
    days = (1.0 + series).groupby(pd.DatetimeIndex(series.index).normalize()).prod() - 1.0
    return days.rename("returns").rename_axis("date")


def signal_for_qlib(result: Result) -> pd.DataFrame:
    """Return the signal as `score` by (datetime, instrument), as Qlib's strategies take it."""
    frame = result.signal().where(result.panel.universe[: len(result.signal())])
    return _long(frame, ("datetime", "instrument"), "score").to_frame()


def _long(frame: pd.DataFrame, levels: tuple[str, str], name: str) -> pd.Series[float]:
    """Return what is known of a frame of times by assets as a series by both."""
    values = frame.to_numpy()
    row, column = np.nonzero(np.isfinite(values))
    index = pd.MultiIndex.from_arrays([frame.index[row], frame.columns[column]], names=list(levels))
    return pd.Series(values[row, column], index=index, name=name)


def from_qlib(folder: str | Path, *, freq: str = "day", calendar: Calendar | None = None, name: str = "qlib") -> Panel:
    """Return the panel of a data folder of Qlib; see `market.qlib_files.read_qlib`. `panel.to_qlib` writes one."""
    from market.qlib_files import read_qlib

    return read_qlib(Path(folder), freq=freq, calendar=calendar, name=name)
