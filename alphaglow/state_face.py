"""Market states of bars as a frame: the features that a flow reads, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from alphaglow.panels import panel as as_panel
from factors.features import STATE_FEATURES, Feature
from flows.state import build_features
from market.panel_frames import asset_index, time_index


def state_features(bars: Any, features: Mapping[str, str] | None = None) -> pd.DataFrame:  # noqa: ANN401 - see `ag.panel`
    """Return the features of a market state, each known at its bar's close: rows by (time, asset), a column a feature.

    Parameters
    ----------
    bars
        What `ag.panel` reads: a frame of bars, a dict of frames, a file, a panel.
    features
        Names and expressions in the place of the 16 standard ones; how far a feature looks back is said by its
        expression, as in ``{"volatility": "ts_std(returns, 40)"}``.

    Raises
    ------
    InputError
        For bars or expressions that cannot be read.

    Examples
    --------
    >>> import alphaglow as ag
    >>> states = ag.state_features(ag.demo_panel(bars=400))
    >>> states.shape[1], states.columns[0], int(states["rsi"].notna().groupby("time").any().idxmax().hour)
    (16, 'return_1', 14)
    """
    panel = as_panel(bars)
    asked = STATE_FEATURES if features is None else tuple(Feature(name, text) for name, text in features.items())
    values = build_features(panel, asked)
    index = pd.MultiIndex.from_product([time_index(panel), asset_index(panel)], names=["time", "asset"])
    return pd.DataFrame(values.reshape(-1, len(asked)), index=index, columns=[feature.name for feature in asked])
