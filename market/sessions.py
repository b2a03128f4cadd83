"""Sessions of an exchange (holidays, half days) by `exchange_calendars`, and what of them a panel has."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel, TimeArray

_DAY = np.timedelta64(1, "D")
_BEYOND = np.timedelta64(10, "D")


@dataclass(frozen=True, eq=False)
class Sessions:
    """S sessions of an exchange.

    Attributes
    ----------
    code
        Of the exchange: XNYS, XTKS.
    days
        (S,) ``datetime64[D]``, the exchange's own dates.
    opens, closes
        (S,) ``datetime64[ns]``, UTC.
    half
        (S,) whether it ends early.
    """

    code: str
    days: NDArray[np.datetime64]
    opens: TimeArray
    closes: TimeArray
    half: BoolArray


def is_exchange_code(name: str) -> bool:
    """Whether a calendar is named by an exchange's code, such as XNYS, and not by its kind."""
    return name not in ("continuous", "exchange")


def sessions_of(code: str, panel: Panel) -> Sessions:
    """Return the sessions of an exchange from a panel's first bar to its last.

    Raises
    ------
    InputError
        Without the extra `calendars`, and for an exchange or years that it does not know.
    """
    calendars = _calendars()
    first, last = panel.times[0].astype("datetime64[D]"), panel.times[-1].astype("datetime64[D]")
    if code.upper() not in calendars.get_calendar_names(include_aliases=True):
        raise InputError(f"no exchange {code!r} is known", "write its code: XNYS, XNAS, XHKG, XSHG, XTKS, XLON, XFRA …")
    try:
        # Its own bounds are the last twenty years; a week around the panel keeps it from having no session at all.
        with warnings.catch_warnings():
            # It uses what later versions of pandas drop, which is no business of whoever reads bars.
            warnings.simplefilter("ignore")
            found = calendars.get_calendar(code.upper(), start=str(first - _BEYOND), end=str(last + _BEYOND))
            early = found.early_closes.to_numpy().astype("datetime64[D]")
    except ValueError as error:
        raise InputError(f"{code}: {str(error).splitlines()[0]}", "leave --calendar out, or cut the data") from error
    schedule = found.schedule
    days = schedule.index.to_numpy().astype("datetime64[D]")
    opens, closes = (schedule[name].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]") for name in ("open", "close"))
    half = np.isin(days, early)
    inside = (
        (days >= first) & (days <= last) if _daily(panel) else (closes > panel.times[0]) & (opens <= panel.times[-1])
    )
    return Sessions(code.upper(), days[inside], opens[inside], closes[inside], half[inside])


def _calendars() -> Any:  # noqa: ANN401 - an untyped package
    try:
        import exchange_calendars
    except ImportError as error:
        raise InputError(
            "calendars of exchanges need the package exchange_calendars", "pip install 'alphaglow[calendars]'"
        ) from error
    return exchange_calendars


def _daily(panel: Panel) -> bool:
    return bool(panel.bar >= _DAY)


def expected_times(sessions: Sessions, panel: Panel) -> TimeArray:
    """Return the opens of all bars that sessions have, ascending; those of days are stamped at the day's 00:00.

    Intraday bars begin at the open of their session, or on the clock's grid where the panel's do (Yahoo's hours of
    New York begin at 9:30, others at 9:00).
    """
    if panel.bar > _DAY:
        raise InputError("bars longer than a day have no sessions", "leave --calendar out")
    if _daily(panel):
        return sessions.days.astype("datetime64[ns]")
    bar = int(panel.bar.astype(np.int64))
    opens, closes = sessions.opens.astype(np.int64), sessions.closes.astype(np.int64)
    shift = opens % bar
    # Where no bar begins at a session's open, but on the grid around it, the grid is meant.
    if (shift != 0).any() and not np.isin(sessions.opens[shift != 0], panel.times).any():
        opens = opens - shift
    counts = -((opens - closes) // bar)
    place = np.repeat(opens, counts)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    times: TimeArray = (place + number * bar).astype("datetime64[ns]")
    return times


def session_flags(sessions: Sessions, panel: Panel) -> Panel:
    """Return the panel with fields that are known before a session begins, 1.0 or 0.0 in all assets.

    ``first_bar`` and ``last_bar`` of a session, and ``half_day``; NaN outside of sessions. Beside them stands
    ``intraday_returns``, (T, N): the return of a bar without the night before it, of a session's first bar from its
    open; NaN outside of sessions, and where a price is missing.

    Raises
    ------
    InputError
        For bars of a day or longer, of which each is a session's first and last.
    """
    if _daily(panel):
        raise InputError("each bar is a session of its own", "flags are for bars shorter than a day")
    times = expected_times(sessions, panel)
    own = np.searchsorted(sessions.closes, times, side="right")
    begins = np.concatenate([[True], own[1:] != own[:-1]]) if len(own) else np.empty(0, dtype=bool)
    ends = np.concatenate([begins[1:], [True]]) if len(own) else begins
    place = np.searchsorted(times, panel.times)
    there = (place < len(times)) & (times[np.minimum(place, len(times) - 1)] == panel.times) if len(times) else None
    if there is None or not there.any():
        raise InputError(f"no bar lies in a session of {sessions.code}", "see whether the times are UTC")
    fields = {}
    for name, flags in (("first_bar", begins), ("last_bar", ends), ("half_day", sessions.half[own])):
        column = np.full(len(panel.times), np.nan)
        column[there] = flags[place[there]]
        fields[name] = np.repeat(column[:, None], panel.shape[1], axis=1)
    return panel.with_fields({**fields, "intraday_returns": _intraday(panel, fields["first_bar"])})


def _intraday(panel: Panel, first_bar: FloatArray) -> FloatArray:
    """Return (T, N) returns whose first of a session is from its open; see `session_flags`."""
    close = panel["close"]
    before = np.vstack([np.full((1, close.shape[1]), np.nan), close[:-1]])
    base = np.where(first_bar > 0, panel["open"], before)
    with np.errstate(all="ignore"):
        found: FloatArray = np.where(np.isfinite(first_bar), close / base - 1.0, np.nan)
    return np.where(np.isfinite(found), found, np.nan)
