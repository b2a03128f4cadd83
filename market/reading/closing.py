"""Stamps of a bar's close, turned into those of its open and put on the grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd

_SECOND, _MINUTE, _DAY = 1_000_000_000, 60_000_000_000, 86_400_000_000_000
_HOUR, _LEAST_DAYS = 60 * _MINUTE, 10


def opens_of_closes(
    long: pd.DataFrame,
    stamps: Literal["open", "close"] | None,
    length: Callable[[pd.DataFrame], int],
    tell: Callable[[str], None],
) -> pd.DataFrame:
    """Return a long frame whose times are opens.

    A stamp in the last second of a minute (``23:59:59``, ``00:59:59.999``) of bars of a minute or more is a close, also
    where nobody says so; one that is said to be an open stays as it is.
    """
    if stamps == "open" or long["ts"].isna().all():
        return long
    times = long["ts"].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]").astype(np.int64)
    known = times[~long["ts"].isna().to_numpy()]
    # The first rows decide for most files; all are looked at only where those end in a last second.
    late = (known[:50] % _MINUTE >= 59 * _SECOND).all() and bool((known % _MINUTE >= 59 * _SECOND).mean() > 0.95)
    if stamps is None and not late:
        return _days_of_afternoons(long, known, length, tell)
    if stamps is None and length(long) < _MINUTE:
        return long
    bar = length(long)
    if late and bar >= _MINUTE:
        snapped = long["ts"].dt.ceil("1min")
        if stamps is None:
            tell(f"stamps such as {long['ts'].iloc[0].strftime('%H:%M:%S')} are closes: a bar opens its length before")
    else:
        # Binance stamps the close a millisecond early.
        snapped = long["ts"].dt.round("1s")
    return long.assign(ts=snapped - pd.Timedelta(bar, "ns"))


def _days_of_afternoons(
    long: pd.DataFrame, known: np.ndarray, length: Callable[[pd.DataFrame], int], tell: Callable[[str], None]
) -> pd.DataFrame:
    """Return bars of days, stamped at an exchange's close from Monday to Friday ("16:00"), with their dates alone."""
    clock = known[:50] % _DAY
    # Summer time moves a close by an hour; a session that begins in the evening before has bars of Sunday.
    if clock.min() < 15 * _HOUR or np.ptp(clock) > _HOUR or len(known) < _LEAST_DAYS:
        return long
    weekday = (known // _DAY + 3) % 7
    clock = known % _DAY
    same = clock.min() >= 15 * _HOUR and np.ptp(clock) <= _HOUR and weekday.max() == 4
    if not same or length(long) != _DAY:
        return long
    tell(f"stamps such as {long['ts'].iloc[0].strftime('%H:%M')} of bars of days are closes: a bar is of its date")
    return long.assign(ts=long["ts"].dt.normalize())
