"""Whether bars follow an exchange's calendar, and how many of them a year has."""

from __future__ import annotations

import numpy as np
import pandas as pd

from market.panel import Calendar

_DAY_NS = 86_400_000_000_000


def calendar_of(times: pd.Series, bar: int = _DAY_NS) -> Calendar:
    """Return ``exchange`` where weekends have no bars over two weeks or more, or nights have none over three days.

    Parameters
    ----------
    times
        UTC times of bars.
    bar
        Their length in nanoseconds; bars longer than a day have no weekends to show.
    """
    stamps = times.dropna().dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    if not len(stamps) or bar > 3 * _DAY_NS:
        return "continuous"
    days = stamps.astype("datetime64[D]")
    if days.max() - days.min() >= np.timedelta64(14, "D"):
        weekday = (days.astype("int64") + 3) % 7
        saturday, weekend = float((weekday == 5).mean()), float((weekday >= 5).mean())
        # Currencies open on Sunday evening.
        return "exchange" if weekend < 0.01 or (bar < _DAY_NS and saturday < 0.002 and weekend < 0.06) else "continuous"
    hours = np.unique((stamps - days).astype("timedelta64[h]").astype(np.int64))
    # A session of stocks is of seven hours or less, in one time zone or with one change of the clock.
    few = bar <= _DAY_NS // 24 and len(np.unique(days)) >= 3 and len(hours) <= 9
    return "exchange" if few else "continuous"
