"""Time zones as texts name them behind a time."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from market.errors import InputError

# Behind a time: US/Eastern, (EST), EDT; never AM or PM.
_NAMED = r"^(.*?\d[^A-Za-z/]*?)\s*\(?((?!(?:AM|PM|am|pm)\)?$)[A-Za-z]{2,5}|[A-Z][A-Za-z]+/[A-Za-z_/+\-0-9]+)\)?$"
_HOURS = {
    "Z": 0, "UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CDT": -5, "MDT": -6, "MST": -7, "PST": -8, "PDT": -7, "CET": 1,
    "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9, "KST": 9, "HKT": 8, "SGT": 8, "AEST": 10, "AEDT": 11, "WET": 0,
}  # fmt: skip
_SEVERAL = {"CST": "America/Chicago or Asia/Shanghai", "IST": "Asia/Kolkata or Europe/Dublin", "BST": "Europe/London"}


# In the name of a column, zones with a summer time of their own.
_SUMMER = {"EET": "Europe/Athens", "CET": "Europe/Berlin", "WET": "Europe/Lisbon", "ET": "America/New_York"}
_ZONE_NAMES = frozenset({"timezone", "exchange_timezone", "time zone", "time_zone", "exchangetimezonename"})


def zone_beside(frame: pd.DataFrame, called: str) -> str:
    """Return the zone in the name of the column of times, "Time (EET)", or in a column that names one; else nothing."""
    hit = re.search(r"[(\[]([A-Za-z]{2,5}|[A-Z][A-Za-z]+/[A-Za-z_/]+)[)\]]", called)
    word = hit[1] if hit is not None else ""
    if re.fullmatch(r"[A-Z]{3,4}/[A-Z]{3,5}", word):
        # CET/CEST: with summer time.
        word = word.split("/")[0]
    if word.upper() in _SUMMER:
        return _SUMMER[word.upper()]
    if word.upper() in ("EST", "PST", "MST") or word.upper() in _SEVERAL:
        raise InputError(
            f"is {called!r} {word} all year, or with summer time?", f"say --tz {word}, or such as --tz America/New_York"
        )
    if word.upper() in _HOURS or (word and "/" in word and _is_zone(word)):
        return word
    column = next((c for c in frame.columns if str(c).strip().lower() in _ZONE_NAMES), None)
    names = list(frame[column].dropna().unique()) if column is not None else []
    if len(names) != 1:
        return ""
    return str(names[0]) if _is_zone(str(names[0])) else ""


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def named_zone(text: str) -> str:
    """Return the zone that a text names behind its time, empty for none."""
    hit = re.match(_NAMED, text.strip())
    word = hit[2] if hit is not None else ""
    return word if word.upper() in _HOURS or word.upper() in _SEVERAL or "/" in word else ""


def without_names(column: pd.Series, path: object) -> tuple[pd.Series, pd.Series]:
    """Return texts without the zone named behind each, and those zones; a name that several zones have is refused."""
    parts = column.str.strip().str.extract(_NAMED)
    bare = parts[0].fillna(column)
    zones = parts[1].fillna("")
    for zone in zones.unique():
        upper = str(zone).upper()
        if upper in _SEVERAL:
            choices = _SEVERAL[upper].split(" or ")
            options = " or ".join(f"--tz {choice}" for choice in choices)
            raise InputError(f"{path}: {zone} is the time of {' or '.join(choices)}", f"say {options}")
        if zone and upper not in _HOURS:
            try:
                ZoneInfo(str(zone))
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise InputError(f"{path}: {zone!r} behind a time is no zone", "say --tz, such as --tz UTC") from error
    return bare, zones


def localized(stamps: pd.Series, zone: str) -> pd.Series:
    """Return naive times of `zone` in UTC; times twice in the night that clocks go back are distinguished by order."""
    hours = _HOURS.get(zone.upper())
    if hours is not None:
        return (stamps - pd.Timedelta(hours=hours)).dt.tz_localize("UTC")
    try:
        local = stamps.dt.tz_localize(zone, ambiguous="infer", nonexistent="shift_forward")
    except ValueError:
        # Not in order, or cut in that hour: the later of the two is meant by neither; the first is taken.
        local = stamps.dt.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
    known: pd.Series = local.dt.tz_convert("UTC")
    return known
