"""A panel as frames of pandas, and as what a notebook shows of it."""

from __future__ import annotations

from html import escape

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from market.errors import InputError
from market.panel import OHLCV, Panel


def one_field(panel: Panel, field: str) -> pd.DataFrame:
    """Return a field (T, N) as a frame of times by assets; one that the panel has not is an `InputError`."""
    if field not in panel.fields:
        raise InputError(f"the panel has no field {field!r}", f"it has {', '.join(panel.fields)}")
    return framed(panel.fields[field], panel)


def all_fields(panel: Panel) -> pd.DataFrame:
    """Return all fields by (time, asset), in order of time; rows in which every price is missing are left out."""
    bars, assets = panel.shape
    there = np.any([np.isfinite(panel.fields[name]) for name in OHLCV[:4]], axis=0).ravel()
    rows = pd.MultiIndex.from_arrays(
        [np.repeat(panel.times, assets)[there], np.tile(np.array(panel.assets, dtype=object), bars)[there]],
        names=["time", "asset"],
    )
    return pd.DataFrame({name: values.ravel()[there] for name, values in panel.fields.items()}, index=rows)


def time_index(panel: Panel) -> pd.DatetimeIndex:
    """Return the times of a panel's bars: their opens in UTC, without a zone."""
    return pd.DatetimeIndex(panel.times, name="time")


def asset_index(panel: Panel) -> pd.Index[str]:
    """Return the names of a panel's assets."""
    return pd.Index(list(panel.assets), name="asset")


def panel_html(panel: Panel) -> str:
    """Return a panel in a few lines of HTML: name, size, span, and what share of each field is there."""
    bars, assets = panel.shape
    span = f"{str(panel.times[0])[:16]} to {str(panel.times[-1])[:16]} UTC" if bars else "no bars"
    made = ", simulated" if panel.simulated else ""
    named = ", ".join(panel.assets[:8]) + (f" and {assets - 8} more" if assets > 8 else "")
    cells = max(panel.fields["close"].size, 1)
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td>{np.isfinite(values).sum() / cells:.1%}</td></tr>"
        for name, values in panel.fields.items()
    )
    return (
        f"<div><b>{escape(panel.name)}</b>: {bars:,} bars of {panel.bar_text}, {assets} assets, {span}"
        f" ({panel.calendar}{made})<br><small>{escape(named)}</small>"
        f"<table><thead><tr><th style='text-align:left'>field</th><th>present</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def framed(values: NDArray[np.float64], panel: Panel) -> pd.DataFrame:
    """Return (T, N) values on a panel as a frame of times by assets."""
    return pd.DataFrame(values, index=time_index(panel), columns=asset_index(panel))
