"""Times that stand in several columns: a date and a time of day, or year, month and day; made one column, ``ts``."""

from __future__ import annotations

import numpy as np
import pandas as pd

from market.columns import plain_name
from market.errors import InputError

_DATE_NAMES = (
    "date", "day", "trade_date", "datum", "日期", "dt", "trading_date", "dtyyyymmdd", "bar_date", "data", "fecha",
    "дата", "日付", "일자", "날짜", "tarih",
)  # fmt: skip
_CLOCK_NAMES = (
    "time", "hour", "zeit", "时间", "timestamp", "trade_time", "timebarstart", "bar_time", "uhrzeit", "hora",
    "heure", "ora", "stunde", "время", "時刻", "時間", "시간", "godzina", "saat",
)  # fmt: skip
_DATE_ALONE = (
    r"\d{8}|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T]00:00(:00)?)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{6}"
    r"|\d{1,2}[- ][A-Za-z]{3}[- ]\d{2,4}"
)
_HOUR_NAMES = ("hour", "hora", "heure", "ora", "stunde", "godzina", "saat", "时", "時", "시간")
_AFTER_CLOCK = r"(?<=\d) ?(?:Uhr|h|ч)\.?$"
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?|\d{4}|\d{6}"
_YEARS = ("year", "yr", "yyyy", "jahr", "annee", "ano", "anno", "год", "年", "年份")
_MONTHS, _DAYS = ("month", "mon", "mm", "mo"), ("day", "dd", "mday", "dom")
_HOURS, _MINUTES = ("hour", "hh", "hr"), ("minute", "min", "mi")


def with_times(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with a date and a time of day in two columns, or parts of a date in several, made one: ts."""
    lowered = {plain_name(column): column for column in frame.columns}
    if "ts" in lowered or not len(frame):
        return frame
    date = next((lowered[name] for name in _DATE_NAMES if name in lowered), None)
    clock = next((lowered[name] for name in _CLOCK_NAMES if name in lowered), None)
    if date is None or clock is None or not _are_dates_alone(frame[date]) or not _are_clocks(frame[clock]):
        return _with_parts(frame, lowered)
    dates, clocks = frame[date], frame[clock]
    days = dates.astype(str).str.strip().str.replace(r"[ T]00:00(:00)?$", "", regex=True)
    if pd.api.types.is_numeric_dtype(clocks):
        most = int(clocks.max())
        if plain_name(clock) in _HOUR_NAMES and most <= 25:
            return _with_hours(frame, date, clock, days)
        # 93000 is half past nine, 930 too; 0 throughout is a day's bar.
        width = 6 if most > 2400 else 4
        if most == 0:
            return frame.drop(columns=[clock])
        texts = clocks.astype("int64").astype(str).str.zfill(width)
    else:
        texts = clocks.astype(str).str.strip().str.replace(_AFTER_CLOCK, "", regex=True)
        if texts.str.fullmatch(r"0+|00:00(:00)?").all():
            return frame.drop(columns=[clock])
    joined = (days + " " + texts).where(dates.notna() & clocks.notna())
    out = frame.drop(columns=[date, clock])
    out.insert(0, "ts", joined)
    return out


def _with_hours(frame: pd.DataFrame, date: str, clock: str, days: pd.Series) -> pd.DataFrame:
    """Return the frame with a date and hours 0 to 23, or 1 to 24, made one: an hour is its begin."""
    hours = frame[clock].astype("int64")
    if int(hours.max()) > 24:
        raise InputError(
            f"{clock!r} counts 25 hours in a day: where clocks go back, an hour comes twice",
            "write the times in UTC into the file",
        )
    # The 24th hour begins at 23:00.
    first = 1 if int(hours.max()) == 24 else 0
    if (hours < first).any():
        raise InputError(f"{clock!r} counts hours from 0 to 24", "write times such as 2024-01-31 23:00 into the file")
    out = frame.drop(columns=[date, clock])
    out.insert(0, "ts", days + " " + (hours - first).astype(str).str.zfill(2) + ":00")
    return out


def _with_parts(frame: pd.DataFrame, lowered: dict[str, str]) -> pd.DataFrame:
    """Return the frame with columns of whole years, months, days, hours and minutes made one text, where there are."""
    parts = [
        next((lowered[w] for w in words if w in lowered), None) for words in (_YEARS, _MONTHS, _DAYS, _HOURS, _MINUTES)
    ]
    limits = ((1800, 2100), (1, 12), (1, 31), (0, 23), (0, 59))
    taken = []
    for column, (low, high) in zip(parts, limits, strict=True):
        # What follows a part that is not there is something else.
        if column is None or not _whole_within(frame[column], low, high):
            break
        taken.append(column)
    if not taken:
        return frame
    week = lowered.get("week")
    if len(taken) == 1 and week is not None and _whole_within(frame[week], 1, 53):
        out = frame.drop(columns=[taken[0], week])
        out.insert(0, "ts", _whole(frame[taken[0]]).astype(str) + "-W" + _two(frame[week]))
        return out
    text = _whole(frame[taken[0]]).astype(str)
    for place, first in enumerate(("-01", "-01"), 1):
        text = text + ("-" + _two(frame[taken[place]]) if len(taken) > place else first)
    if len(taken) > 3:
        text = text + " " + _two(frame[taken[3]]) + ":" + (_two(frame[taken[4]]) if len(taken) > 4 else "00")
    out = frame.drop(columns=taken)
    if any(plain_name(column) in (*_DATE_NAMES, "datetime", "timestamp") for column in out.columns):
        # A date of its own says more than its parts.
        return frame
    out.insert(0, "ts", text)
    return out


def _two(column: pd.Series) -> pd.Series:
    return _whole(column).astype(str).str.zfill(2)


def _whole(column: pd.Series) -> pd.Series:
    """Return figures, or digits such as 03, as whole numbers."""
    return pd.to_numeric(column).astype("int64")


def _whole_within(column: pd.Series, low: int, high: int) -> bool:
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_bool_dtype(column):
        return False
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    return bool((values % 1 == 0).all() and (values >= low).all() and (values <= high).all())


def _are_dates_alone(column: pd.Series) -> bool:
    sample = column.dropna().head(200).astype(str).str.strip()
    return bool(len(sample)) and bool(sample.str.fullmatch(_DATE_ALONE).all())


def _are_clocks(column: pd.Series) -> bool:
    known = column.dropna()
    if pd.api.types.is_numeric_dtype(known):
        values = known.to_numpy(dtype=np.float64)
        return bool(len(values)) and bool(((values >= 0) & (values < 240_000) & (values % 1 == 0)).all())
    sample = known.head(200).astype(str).str.strip().str.replace(_AFTER_CLOCK, "", regex=True)
    return bool(len(sample)) and bool(sample.str.fullmatch(_CLOCK).all())
