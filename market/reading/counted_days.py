"""Times written as counts: of days since a program's first day, of 100 nanoseconds, of years; and digits of dates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

Tell = Callable[[str], None]
# What counts days, and its day 0 as days before 1970-01-01.
_FIRST_DAYS = (
    ("R", 0.0),
    ("SAS and Stata", 3_653.0),
    ("Julian dates", 2_440_587.5),
    ("modified Julian dates", 40_587.0),
)
# What counts 100 nanoseconds, and how many before 1970-01-01: years 1 and 1601.
_FIRST_TICKS = ((".NET", 621_355_968_000_000_000), ("Windows", 116_444_736_000_000_000))
_YEAR_1980, _SECOND, _MINUTE = 3_652, 10_000_000, 60_000_000_000
_LEAST = 10
# Dates as digits that no other reading has first: the usual ones are in `market.reading.times`.
_FORMATS = ("%Y", "%y%m%d", "%d%m%Y", "%m%d%Y", "%d%m%y", "%m%d%y")


def from_counts(known: pd.Series, latest: np.datetime64, tell: Tell) -> pd.Series | None:
    """Return naive times of ticks, years or days since a program's first day; None for all other numbers."""
    # Epochs, which most numbers are, cost nothing here.
    if not len(known) or 2_500_000 <= float(known.iloc[0]) < 1e17:
        return None
    for read in (_from_ticks, _years_of):
        found = read(known, tell)
        if found is not None:
            return found
    return _read_days(known, latest, tell)


def _from_ticks(known: pd.Series, tell: Tell) -> pd.Series | None:
    """Return naive times of counts of 100 nanoseconds since the years 1 (.NET) or 1601 (Windows); None for others.

    Counts of .NET could be nanoseconds of 1990: whole seconds apart, but no minutes as nanoseconds, they are not.
    """
    if not len(known) or not (known % 1 == 0).all():
        return None
    numbers = known.to_numpy().astype(np.int64)
    for name, first in _FIRST_TICKS:
        since = numbers - first
        days = since / (86_400 * _SECOND)
        if not ((days > _YEAR_1980) & (days < 40_000)).all() or (since % _SECOND).any():
            continue
        steps = np.diff(np.unique(numbers))
        if name == ".NET" and (not len(steps) or int(np.median(steps)) % _MINUTE == 0):
            continue
        read = pd.Series((since * 100).astype("datetime64[ns]"), index=known.index)
        tell(f"times such as {numbers[0]} are read as ticks of {name}: {str(read.iloc[0])[:19]}")
        return read
    return None


def _years_of(known: pd.Series, tell: Tell) -> pd.Series | None:
    """Return the first days of years such as 1995; None for others, and for what may be hours and minutes."""
    if len(known) < 3 or not (known % 1 == 0).all() or not known.between(1800, 2100).all() or not known.is_unique:
        return None
    if (known % 100 < 60).all() or not (np.diff(np.sort(known.to_numpy())) == 1).all():
        return None
    tell(f"times such as {int(known.iloc[0])} are read as years: their first days")
    return pd.to_datetime(known.astype(np.int64).astype(str), format="%Y")


def _read_days(known: pd.Series, latest: np.datetime64, tell: Tell) -> pd.Series | None:
    """Return dates of counts of days, where days of the week tell since when: five in a row, then two without a bar.

    None for other numbers, and where two first days fit.
    """
    numbers = known.to_numpy(dtype=np.float64)
    steps = np.diff(np.unique(numbers))
    if len(numbers) < _LEAST or (numbers % 1 != numbers[0] % 1).any() or not len(steps) or np.median(steps) != 1:
        return None
    last = float((latest - np.datetime64(0, "ns")) / np.timedelta64(1, "D"))
    fits = []
    for name, first in _FIRST_DAYS:
        days = numbers - first
        if days.min() < _YEAR_1980 or days.max() > last or not (days % 1 <= 0.5).all():
            continue
        of_week = (np.floor(days).astype(np.int64) + 3) % 7
        if (of_week < 5).all() and (steps == 3).sum() >= len(steps) / 8:
            fits.append((name, first))
    if len(fits) != 1:
        return None
    name, first = fits[0]
    read = pd.Series(np.floor(numbers - first).astype("datetime64[D]").astype("datetime64[ns]"), index=known.index)
    tell(f"times such as {numbers[0]:.10g} are read as days of {name}: {str(read.iloc[0])[:10]}")
    return read


def likely_formats(known: pd.Series, latest: np.datetime64) -> list[str]:
    """Return formats of dates as digits that read all numbers as days in order, none after `latest`."""
    texts = known.astype(np.int64).astype(str)
    texts = texts.str.zfill(int(texts.str.len().max()))
    out = []
    for one in _FORMATS:
        width = 4 if one == "%Y" else 8 if "%Y" in one else 6
        days = pd.to_datetime(texts, format=one, errors="coerce")
        if (texts.str.len() != width).any() or days.isna().any() or days.nunique() < 2:
            continue
        ordered = days.is_monotonic_increasing or days.is_monotonic_decreasing
        if ordered and days.min() >= pd.Timestamp("1900-01-01") and days.max() <= pd.Timestamp(latest):
            out.append(one)
    return out
