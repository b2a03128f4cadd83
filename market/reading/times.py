"""Times in columns: ISO texts, other dates, epochs, dates as numbers, serials of Excel; in UTC nanoseconds."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from market.errors import InputError
from market.reading.conventions import TimeForm
from market.reading.counted_days import from_counts, likely_formats
from market.reading.date_texts import read_texts
from market.reading.zones import localized, named_zone

_AUTO = TimeForm()
FIRST, _EARLIEST = np.datetime64("1980-01-01"), np.datetime64("1800-01-01")
_DAY_NS = 86_400_000_000_000
# Days that Matlab's numbers of days are ahead of Excel's.
_MATLAB = 693_960
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ](?:[01]\d|2[0-3]):\d{2}(:\d{2}([.,]\d+)?)?(Z| ?UTC|[+-]\d{2}:?\d{2})?)?")
# Nanoseconds in one, and what the unit is called, longest first.
_UNITS = ((1_000_000_000, "seconds"), (1_000_000, "milliseconds"), (1_000, "microseconds"), (1, "nanoseconds"))
# Digits of a date written as a number, how it is read, and an example.
_DATE_DIGITS = {
    6: "%Y%m", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%f",
}  # fmt: skip


def newest_allowed() -> np.datetime64:
    """Return a day from now: no bar is later."""
    return np.datetime64(datetime.now(UTC).replace(tzinfo=None), "ns") + np.timedelta64(1, "D")


def parse_times(
    column: pd.Series, path: Path, zone: str = "UTC", form: TimeForm = _AUTO, says: Callable[[str], None] | None = None
) -> pd.Series:
    """Return UTC nanosecond times of texts, datetimes, epochs in s, ms, us or ns, dates as numbers, or Excel's serials.

    Parameters
    ----------
    zone
        Of times that state none.
    form
        How texts are written; found out where it does not say.
    says
        Takes what was found out, a sentence each.

    Raises
    ------
    InputError
        For times that cannot be read, that can be read in two ways, or that are of no year that bars can have.
    """
    try:
        return _parsed(column, path, zone, form, says or (lambda _: None))
    except (pd.errors.OutOfBoundsDatetime, OverflowError) as error:
        raise InputError(
            f"{path}: a time lies outside the years 1678 to 2262",
            "correct it, say --date-format, or map another column: --column ts=NAME",
        ) from error


def _parsed(column: pd.Series, path: Path, zone: str, form: TimeForm, tell: Callable[[str], None]) -> pd.Series:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _plausible(column.dt.tz_convert("UTC").astype("datetime64[ns, UTC]"), column, path)
    if pd.api.types.is_datetime64_any_dtype(column):
        return _plausible(
            localized(column.astype("datetime64[ns]"), zone or "UTC").astype("datetime64[ns, UTC]"), column, path
        )
    if pd.api.types.is_bool_dtype(column):
        raise InputError(f"{path}: {column.name} is true or false, no time", "map it with --column ts=NAME")
    if pd.api.types.is_numeric_dtype(column) and form.date_format is None:
        return _numbers(column, path, zone, tell)
    if pd.api.types.is_numeric_dtype(column):
        # 240131 or 2024031, by a format that was given.
        digits = _as_text(_known(column))
        # 01022020 lost its zero where it was read as a number.
        column = digits.str.zfill(int(digits.str.len().max() or 0)).reindex(column.index)
    if form.date_format is None and len(column) and _ISO.fullmatch(str(column.iloc[0])):
        # Most files: nothing is looked at twice.
        quick = _iso(column, zone)
        if quick is not None:
            return _plausible(quick, column, path)
    text = column.astype("str").str.strip() if len(column) else column
    empty = column.isna() | text.str.lower().isin(["", "nan", "nat", "none", "null"])
    if form.date_format is None and not empty.all() and text[~empty].str.fullmatch(r"\d{5,19}(\.\d+)?").all():
        digits = text.where(~empty)
        whole = not digits[~empty].str.contains(".", regex=False).any() and not empty.any()
        return _numbers(digits.astype(np.int64) if whole else digits.astype(np.float64), path, zone, tell)
    if form.date_format is None and not empty.all() and _ISO.fullmatch(str(text[~empty].iloc[0])):
        read = _iso(text.where(~empty), zone)
        if read is not None:
            return _plausible(read, column, path)
    read = read_texts(text.where(~empty), path, zone, form, tell)
    return _plausible(read, column, path)


def _iso(given: pd.Series, zone: str) -> pd.Series | None:
    """Return ISO times quickly; None where they are not all such."""
    for form in (None, "ISO8601"):
        try:
            if zone in ("", "UTC") or zone_of(given.dropna()):
                return pd.to_datetime(given, utc=True, format=form).astype("datetime64[ns, UTC]")
            return localized(pd.to_datetime(given, format=form), zone).astype("datetime64[ns, UTC]")
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def _plausible(read: pd.Series, column: pd.Series, path: Path) -> pd.Series:
    """Return the times, unless they lie where no bar does."""
    stamps = read.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    known = stamps[~np.isnat(stamps)]
    if not len(known):
        return read
    low, high = known.min(), known.max()
    too_late = high > newest_allowed()
    if low < _EARLIEST or too_late:
        at = int(np.flatnonzero(stamps == (high if too_late else low))[0])
        raise InputError(
            f"{path}: row {at + 1} is of {str(stamps[at])[:10]}, {'after now' if too_late else 'before 1800'}",
            "correct it, say --date-format, or map another column: --column ts=NAME",
        )
    if high < np.datetime64("1970-02-15") and low >= np.datetime64("1970-01-01"):
        raise InputError(
            f"{path}: all times lie in {str(low)[:19]} to {str(high)[:19]}: an epoch that was read in a wrong unit",
            "write the epochs themselves, as numbers",
        )
    return read


def unit_of(column: pd.Series) -> str:
    """Return in what the times are written: a unit of epochs, ``dates``, or ``text`` or ``time stamps``."""
    if not pd.api.types.is_numeric_dtype(column):
        return "time stamps" if pd.api.types.is_datetime64_any_dtype(column) else "text"
    known = _known(column)
    digits = _date_digits(known)
    if digits:
        return "dates such as 20240131" if digits == 8 else f"dates of {digits} digits"
    if _are_serials(known):
        return "Excel's days"
    factors = _factors(known.to_numpy(dtype=np.float64))
    units = [name for factor, name in _UNITS if (factors == factor).any()]
    return "epoch " + " and ".join(sorted(units) or ["seconds"])


def zone_of(column: pd.Series) -> str:
    """Return the zone that the times state; empty where they state none."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return str(column.dtype.tz)
    if pd.api.types.is_numeric_dtype(column):
        known = _known(column)
        return "" if _date_digits(known) or _are_serials(known) else "UTC"
    if pd.api.types.is_datetime64_any_dtype(column) or not len(column):
        return ""
    first = str(column.iloc[0]).strip()
    if re.fullmatch(r"\d{9,19}(\.\d+)?", first) and not first.startswith(("19", "20")):
        return "UTC"
    hit = re.search(r"\d(Z| ?UTC|[+-]\d{2}:?\d{2})$", first)
    if hit is None:
        return named_zone(first)
    return "UTC" if hit[1].strip() in ("Z", "UTC") else hit[1]


def _known(column: pd.Series) -> pd.Series:
    return column.replace([np.inf, -np.inf], np.nan).dropna()


def _date_digits(known: pd.Series) -> int:
    """Return how many digits dates written as numbers have, 0 where they are none.

    20240131 is a date: read as seconds, the whole file would lie in 1970. 201801020930 could be milliseconds of 1976.
    """
    if not len(known) or known.min() <= 0:
        return 0
    low, high = int(known.min()), int(known.max())
    digits = len(str(low))
    if (
        digits not in _DATE_DIGITS
        or len(str(high)) != digits
        or not 1800 <= int(str(low)[:4]) <= int(str(high)[:4]) <= 2100
        or not (known % 1 == 0).all()
    ):
        return 0
    days = pd.to_datetime(_as_text(known), format=_DATE_DIGITS[digits], errors="coerce")
    return digits if bool(days.notna().all()) else 0


def _as_text(known: pd.Series) -> pd.Series:
    return known.astype(np.int64).astype(str)


def _are_serials(known: pd.Series) -> bool:
    """Whether numbers are Excel's days since 1899-12-30: of 1980 to now, and not the seconds of one day."""
    if len(known) < 2 or not known.between(29_221, 60_000).all():
        return False
    steps = np.abs(np.diff(np.unique(known.to_numpy(dtype=np.float64))))
    return bool(len(steps)) and float(np.median(steps)) <= 7


def _factors(numbers: np.ndarray) -> np.ndarray:
    """Return nanoseconds in one of each number, so that it lies between 1980 and tomorrow; 0 where none does it."""
    first, last = (
        float(FIRST.astype("datetime64[s]").astype(np.int64)),
        float(newest_allowed().astype("datetime64[s]").astype(np.int64)),
    )
    size = np.abs(numbers)
    inside = [(size >= first * (1_000_000_000 // f)) & (size <= last * (1_000_000_000 // f)) for f, _ in _UNITS]
    return np.select(inside, [factor for factor, _ in _UNITS], 0)


def _numbers(column: pd.Series, path: Path, zone: str, tell: Callable[[str], None]) -> pd.Series:
    known = _known(column)
    digits = _date_digits(known)
    if digits:
        read = pd.to_datetime(_as_text(known), format=_DATE_DIGITS[digits])
        if digits != 8:
            tell(f"times such as {int(known.iloc[0])} are read as {str(read.iloc[0])[:19]}")
        return _plausible(
            localized(read, zone or "UTC").astype("datetime64[ns, UTC]").reindex(column.index), column, path
        )
    matlab = _are_serials(known - _MATLAB)
    if matlab or _are_serials(known):
        counted = np.round((known - _MATLAB * matlab).to_numpy(dtype=np.float64) * 86_400) * 1_000_000_000
        read = pd.Series(
            counted.astype(np.int64).astype("datetime64[ns]") - np.timedelta64(25_569, "D"), index=known.index
        )
        kind = "Matlab" if matlab else "Excel"
        tell(f"times such as {known.iloc[0]:.10g} are read as days of {kind}: {str(read.iloc[0])[:19]}")
        return localized(read, zone or "UTC").astype("datetime64[ns, UTC]").reindex(column.index)
    counted_since = from_counts(known, newest_allowed(), tell)
    if counted_since is not None:
        return localized(counted_since, zone or "UTC").astype("datetime64[ns, UTC]").reindex(column.index)
    numbers = column.astype(np.float64).replace([np.inf, -np.inf], np.nan)
    factors = _factors(numbers.fillna(1e9).to_numpy())
    odd = np.flatnonzero(factors == 0)
    if len(odd):
        raise _no_epoch(column, int(odd[0]), known, path)
    whole = column.where(numbers.notna(), 0)
    # Fractions of a second count where the file writes them; whole numbers keep every digit.
    if pd.api.types.is_float_dtype(column) and not (known % 1 == 0).all():
        seconds = np.floor(whole.to_numpy(dtype=np.float64))
        rest = whole.to_numpy(dtype=np.float64) - seconds
        # A double keeps microseconds of an epoch in seconds.
        counted = (
            seconds.astype(np.int64) * factors
            + np.round(rest * np.minimum(factors, 1_000_000_000) / 1000).astype(np.int64) * 1000
        )
    else:
        counted = whole.astype(np.int64).to_numpy() * factors
    stamps = pd.Series(counted.astype("datetime64[ns]"), index=column.index).dt.tz_localize("UTC")
    # No time stays no time; `check_ohlcv` names the row.
    return stamps.where(numbers.notna())


def _no_epoch(column: pd.Series, row: int, known: pd.Series, path: Path) -> InputError:
    value = float(column.iloc[row])
    top = float(known.max())
    if (known >= 0).all() and top < 86_400_000 and (known % 1 == 0).all() and top > 2100:
        unit = "milliseconds" if top > 240_000 else "seconds, or hours and minutes,"
        forms = likely_formats(known, newest_allowed())
        ways = " or ".join(f"--date-format {one}" for one in forms) or "--date-format, such as %y%m%d,"
        return InputError(
            f"{path}: row {row + 1}: {value:.0f} is a time of day ({unit} since midnight) without a date",
            f"say {ways} if it is a date; else put a column of dates into the file",
        )
    readings = []
    for factor, name in _UNITS[:2]:
        days = value * factor / _DAY_NS
        if abs(days) < 290 * 365:
            readings.append(f"{np.datetime64(0, 's') + np.timedelta64(int(days * 86_400), 's')} in {name}")
    shown = f" ({'; '.join(readings)})" if readings else ""
    return InputError(
        f"{path}: row {row + 1}: {value:.15g} is no time between 1980 and now{shown}",
        "map the column of times with --column ts=NAME, or say --date-format",
    )
