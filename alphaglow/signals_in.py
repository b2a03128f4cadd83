"""Signals as people hold them, brought onto a panel: frames, series, arrays, and functions of a panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from agent.study.given_signal import sees_later_bars
from alphaglow.factor_face import FactorError
from market.errors import InputError
from market.files import pandas_frame
from market.panel import FloatArray, Panel

Given = Any


def on_panel(given: Given, panel: Panel) -> FloatArray:
    """Return a signal as (T, N) values on a panel; cells that it does not have are NaN.

    Parameters
    ----------
    given
        A frame of times by assets, a series (or a frame of one column) by (time, asset), or an array of the panel's
        shape. Times without a zone are UTC.

    Raises
    ------
    InputError
        For a wrong shape, text among the values, times or assets that stand twice, and where nothing lies on the panel.
    """
    if isinstance(given, np.ndarray):
        if given.shape != panel.shape:
            raise InputError(f"the signal has shape {given.shape}, the panel {panel.shape}", "give a frame with labels")
        return _finite(given.astype(np.float64))
    frame = _wide(given)
    times, names = _times(frame.index), pd.Index([str(name) for name in frame.columns])
    for what, index in (("time", times), ("asset", names)):
        if index.has_duplicates:
            raise InputError(f"the signal has a {what} twice: {index[index.duplicated()][0]}", "keep one row or column")
    try:
        values = frame.to_numpy(dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the signal holds what is no number: {error}", "give numbers, NaN where there is none"
        ) from error
    whole = pd.DataFrame(values, index=times, columns=names)
    there = whole.reindex(index=pd.DatetimeIndex(panel.times), columns=list(panel.assets))
    if not times.isin(panel.times).any():
        span = f"{str(panel.times[0])[:16]} to {str(panel.times[-1])[:16]}"
        raise InputError(
            f"no time of the signal is a bar of the panel ({span})", "bars are named by their open, in UTC"
        )
    if not names.isin(panel.assets).any():
        raise InputError(f"no asset of the signal is in the panel: {', '.join(names[:5])}", _some(panel))
    return _finite(there.to_numpy())


def of_function(function: Callable[[Panel], Given], panel: Panel) -> FloatArray:
    """Return what a function of a panel gives on it; one whose past values change with later bars is refused."""

    def values_of(part: Panel) -> FloatArray:
        return on_panel(function(part), part)

    whole = values_of(panel)
    fault = sees_later_bars(values_of, whole, panel)
    if fault is not None:
        raise FactorError(fault)
    return whole


def _wide(given: Given) -> pd.DataFrame:
    """Return a signal as a frame of times by assets."""
    if isinstance(given, pd.DataFrame) and given.index.nlevels == 2 and given.shape[1] == 1:
        given = given.iloc[:, 0]
    if isinstance(given, pd.Series):
        if given.index.nlevels != 2:
            raise InputError("a series needs an index of (time, asset)", "give a frame of times by assets")
        level = next((n for n in (0, 1) if pd.api.types.is_datetime64_any_dtype(given.index.get_level_values(n))), 0)
        if given.index.has_duplicates:
            raise InputError(f"the signal has a cell twice: {given.index[given.index.duplicated()][0]}", "keep one")
        return given.unstack(1 - level)
    if isinstance(given, pd.DataFrame):
        if given.index.nlevels > 1 or given.columns.nlevels > 1:
            raise InputError("the signal's frame has several columns and levels", "give one of times by assets")
        return given
    frame = pandas_frame(given)
    return frame.set_index(frame.columns[0])


def _times(index: pd.Index[Any]) -> pd.DatetimeIndex:
    if not isinstance(index, pd.DatetimeIndex):
        try:
            index = pd.DatetimeIndex(pd.to_datetime(index))
        except (ValueError, TypeError) as error:
            raise InputError(
                f"the signal's index is no time: {index[:2].tolist()}", "set its times as index"
            ) from error
    if index.tz is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    return index.as_unit("ns")


def _finite(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, np.nan)


def _some(panel: Panel) -> str:
    return f"the panel has {', '.join(panel.assets[:8])}"
