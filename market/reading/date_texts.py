"""Dates and times as texts, in the forms that people write; what two forms could mean is asked, never guessed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd

from market.errors import InputError
from market.reading.conventions import TimeForm
from market.reading.written_dates import usual_forms
from market.reading.zones import localized, named_zone, without_names

_DATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\d{4}([-/.])\d{1,2}\1\d{1,2}", ("%Y{0}%m{0}%d",)),
    (r"\d{1,2}([-/.])\d{1,2}\1\d{4}", ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y")),
    (r"\d{1,2}([-/.])\d{1,2}\1\d{2}", ("%d{0}%m{0}%y", "%m{0}%d{0}%y", "%y{0}%m{0}%d")),
    (r"\d{8}", ("%Y%m%d",)),
    (r"\d{4}([-/.])\d{1,2}", ("%Y{0}%m",)),
    (r"\d{1,2}([- /]?)[A-Za-z]{3}\1\d{4}", ("%d{0}%b{0}%Y",)),
    (r"\d{1,2}([- /]?)[A-Za-z]{3}\1\d{2}", ("%d{0}%b{0}%y",)),
    (r"\d{1,2}([- /])[A-Za-z]{4,9}\1\d{4}", ("%d{0}%B{0}%Y",)),
    (r"[A-Za-z]{3}()\.? \d{1,2}, ?\d{4}", ("%b %d, %Y",)),
    (r"[A-Za-z]{3}() \d{1,2} \d{4}", ("%b %d %Y",)),
    (r"[A-Za-z]{3}(-)\d{1,2}\1\d{4}", ("%b{0}%d{0}%Y",)),
    (r"[A-Za-z]{4,9}() \d{1,2}, ?\d{4}", ("%B %d, %Y",)),
    (r"\d{4}([- ]?)[A-Za-z]{3}\1\d{1,2}", ("%Y{0}%b{0}%d",)),
    (r"\d{4}()年\d{1,2}月\d{1,2}日", ("%Y年%m月%d日",)),
)
_CLOCKS: tuple[tuple[str, str], ...] = (
    (r"\d{1,2}:\d{2}:\d{2}", "%H:%M:%S"), (r"\d{1,2}:\d{2}:\d{2}\.\d+", "%H:%M:%S.%f"), (r"\d{1,2}:\d{2}", "%H:%M"),
    (r"\d{1,2}:\d{2}:\d{2} [AaPp][Mm]", "%I:%M:%S %p"), (r"\d{1,2}:\d{2} [AaPp][Mm]", "%I:%M %p"),
    (r"\d{1,2}:\d{2}:\d{2}[AaPp][Mm]", "%I:%M:%S%p"), (r"\d{1,2}:\d{2}[AaPp][Mm]", "%I:%M%p"),
    (r"\d{1,2}-[AaPp][Mm]", "%I-%p"), (r"\d{1,2} [AaPp][Mm]", "%I %p"), (r"\d{1,2}[AaPp][Mm]", "%I%p"),
    (r"\d{6}", "%H%M%S"), (r"\d{4}", "%H%M"), (r"\d{2}", "%H"), (r"\d{9}", "%H%M%S%f"),
    (r"\d{1,2}:\d{2}:\d{2}:\d{3}", "%H:%M:%S:%f"),
)  # fmt: skip
_WEEKDAY = r"^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*\.?,? +"
_OFFSET = re.compile(r"(.*\d(?: ?[AaPp][Mm])?) ?([+-]\d{2}:?\d{2}|Z)")
# Created_at of Twitter: the year stands behind the zone.
_TWITTER = re.compile(r"[A-Z][a-z]{2} \d{1,2} \d{2}:\d{2}:\d{2} [+-]\d{4} \d{4}")
_END_OF_DAY = r"[ T]24:00(?P<seconds>(?::00)?)(?=$| )"
_DATE_ALONE = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"
_SAMPLE = 2000


@dataclass(frozen=True)
class _Shape:
    """The formats that a text's shape allows, and whether a zone stands behind it."""

    formats: tuple[str, ...]
    offset: bool


def read_texts(text: pd.Series, path: object, zone: str, form: TimeForm, tell: Callable[[str], None]) -> pd.Series:
    """Return UTC times of texts (missing is NaT).

    Raises
    ------
    InputError
        For texts in no known form, in two forms that differ in meaning, or of a zone that is none.
    """
    codes, unique = pd.factorize(text)
    if zone in ("", "UTC") and len(unique) < len(text) // 2 and not named_zone(str(unique[0]) if len(unique) else ""):
        # Many assets share few times; a zone with summer time needs each row, to tell the hour that comes twice.
        few = read_texts(pd.Series(unique), path, zone, form, tell)
        return few.reindex(codes).set_axis(text.index)
    text = text.str.replace(_WEEKDAY, "", regex=True).str.replace(r"\s+", " ", regex=True)
    # "GMT+0100" is an offset.
    text = text.str.replace(r"(?:GMT|UTC)(?=[+-]\d)", "", regex=True)
    if form.date_format is None:
        text = _with_midnights(usual_forms(text, tell))
    # 24:00 is the end of a day, as markets of power and Germany's exchanges write it.
    ends = text.astype("str").str.contains(r"[ T]24:00(?::00)?(?:$| )", regex=True).fillna(False) & text.notna()
    text = text.str.replace(_END_OF_DAY, " 00:00\\1", regex=True) if ends.any() else text
    known = text.dropna()
    if known.empty:
        nothing: pd.Series = pd.Series(pd.NaT, index=text.index, dtype="datetime64[ns, UTC]")
        return nothing
    first = str(known.iloc[0])
    zones = None
    if named_zone(first):
        bare, zones = (
            without_names(known, path)
            if zone in ("", "UTC")
            else (known.str.replace(r" ?[A-Za-z/_()]+$", "", regex=True), None)
        )
        known = bare.str.strip()
        if zones is not None:
            tell(f"times are of the zone that they name: {', '.join(sorted(set(zones))[:3])}")
    read = _read(known, path, form, tell, zone)
    if zones is not None:
        parts = [
            localized(read[zones == one].dt.tz_localize(None), str(one) or zone or "UTC") for one in zones.unique()
        ]
        read = pd.concat(parts).reindex(known.index)
    stamps: pd.Series = read.reindex(text.index).astype("datetime64[ns, UTC]")
    return stamps + pd.to_timedelta(ends.astype(int), unit="D") if ends.any() else stamps


def _with_midnights(text: pd.Series) -> pd.Series:
    """Return texts, of which some are dates alone as spreadsheets write midnight, with a time of day in all."""
    sample = text.dropna().head(_SAMPLE).astype(str)
    alone = sample.str.fullmatch(_DATE_ALONE)
    if not alone.any() or alone.all():
        return text
    clock = sample[~alone].str.extract(r"^\S+ (\d{1,2}:\d{2}(?::\d{2})?)( ?[AaPp][Mm])?$").dropna(subset=[0])
    if clock.empty:
        return text
    first, half = str(clock[0].iloc[0]), clock[1].iloc[0]
    midnight = re.sub(r"\d+", "00", first)
    if not pd.isna(half):
        midnight = "12" + re.sub(r"\d+", "00", first[first.index(":") :]) + str(half).upper().replace("PM", "AM")
    whole = text.astype("str").str.fullmatch(_DATE_ALONE).fillna(False)
    return text.mask(whole, text + " " + midnight)


def _read(known: pd.Series, path: object, form: TimeForm, tell: Callable[[str], None], zone: str) -> pd.Series:
    shape = _shape_of(known, path, form)
    tried: dict[str, pd.Series] = {}
    for one in shape.formats:
        read = pd.to_datetime(known, format=one, errors="coerce", utc=shape.offset)
        if shape.offset or read.notna().any():
            tried[one] = read
    limit = pd.Timestamp(datetime.now(UTC) + timedelta(days=1))
    counts = {one: int((read.notna() & (_naive(read) <= limit.tz_localize(None))).sum()) for one, read in tried.items()}
    best = max(counts.values(), default=0)
    fits = [one for one, count in counts.items() if count == best and count]
    # A few rows without a time are defects, which the check of bars names; more is another form.
    if best < 0.95 * len(known) and (best < len(known) - 1 or not best):
        raise _unreadable(known, tried, path)
    if len(fits) > 1:
        fits = _decided(known, fits, tried, path)
    chosen = fits[0]
    read = tried[chosen]
    missing = read.isna()
    if missing.any():
        read = _second_form(known, read, missing, path, form)
    if re.match(r"%[dmy]([-/.])%[dm]", chosen):
        tell(f"dates are read as {chosen}: {known.iloc[0]} is {_spoken(read.iloc[0])}")
    return read if shape.offset else localized(read, zone or "UTC")


def _naive(read: pd.Series) -> pd.Series:
    return read.dt.tz_localize(None) if read.dt.tz is not None else read


def _shape_of(known: pd.Series, path: object, form: TimeForm) -> _Shape:
    """Return the formats that the first text's shape allows, or the one that was given."""
    first = str(known.iloc[0])
    if form.date_format is not None:
        return _Shape((form.date_format + _clock_behind(first, form.date_format),), "%z" in form.date_format)
    if _TWITTER.fullmatch(first):
        return _Shape(("%b %d %H:%M:%S %z %Y",), True)
    hit = _OFFSET.fullmatch(first)
    core, offset = (hit[1], "%z") if hit is not None and ":" in hit[1] else (first, "")
    gap_before_zone = " " if offset and first[len(core)] == " " else ""
    for date, formats in _DATES:
        found = re.match(date, core)
        if found is None or (found.end() < len(core) and core[found.end()].isalnum() and core[found.end()] != "T"):
            continue
        rest = core[found.end() :]
        gap = re.match(r",? ?T?-? ?", rest)
        assert gap is not None
        clock = next((one for shape, one in _CLOCKS if re.fullmatch(shape, rest[gap.end() :])), "")
        if rest and not clock:
            continue
        # A dot behind a month's name, as in "Jan. 2, 2020", is left out of few sources.
        tail = gap[0] + clock + gap_before_zone + offset if rest else ""
        return _Shape(
            tuple(one.format(found[1] if found.re.groups else "") + tail for one in _ordered(formats, form)),
            bool(offset),
        )
    raise _unreadable(known, {}, path)


def _clock_behind(text: str, date_format: str) -> str:
    """Return the form of the time of day behind a date whose format alone was given."""
    if re.search(r"%[HIXTcs]", date_format):
        return ""
    ends = (f"{gap}{clock}" for gap in (" ", "T", ", ") for _, clock in _CLOCKS)
    return next((end for end in ends if _parses(text, date_format + end)), "")


def _parses(text: str, form: str) -> bool:
    return bool(pd.notna(pd.to_datetime(text, format=form, errors="coerce")))


def _ordered(formats: tuple[str, ...], form: TimeForm) -> tuple[str, ...]:
    if form.day_first is None or len(formats) == 1:
        return formats
    return formats[:1] if form.day_first else formats[1:2]


def _decided(known: pd.Series, fits: list[str], tried: dict[str, pd.Series], path: object) -> list[str]:
    """Return the form that is meant where several read all; where they give different times, ask."""
    distinct = [fits[0]]
    for one in fits[1:]:
        if not tried[one].equals(tried[fits[0]]):
            distinct.append(one)
    if len(distinct) == 1:
        return distinct
    other = tried[distinct[1]]
    at = int((tried[distinct[0]] != other).to_numpy().argmax())
    readings = " or ".join(_spoken(tried[one].iloc[at]) for one in distinct[:2])
    ways = " or ".join(f"--date-format '{one}'" if " " in one else f"--date-format {one}" for one in distinct[:3])
    short = "--day-first, or " if distinct[0].startswith("%d") else ""
    raise InputError(f"{path}: {str(known.iloc[at])!r} is {readings}?", f"say {short}{ways}")


def _second_form(known: pd.Series, read: pd.Series, missing: pd.Series, path: object, form: TimeForm) -> pd.Series:
    """Read the rest in a form of its own, as where some rows have no seconds; text that is no time stays none."""
    rest = known[missing]
    try:
        shape = _shape_of(rest, path, form)
    except InputError:
        return read
    if len(shape.formats) != 1 or shape.offset != (read.dt.tz is not None):
        return read
    return read.fillna(pd.to_datetime(rest, format=shape.formats[0], errors="coerce", utc=shape.offset))


def _spoken(stamp: pd.Timestamp) -> str:
    return f"{stamp.day} {stamp.month_name()} {stamp.year}"


def _unreadable(known: pd.Series, tried: dict[str, pd.Series], path: object) -> InputError:
    read = max(tried.values(), key=lambda one: int(one.notna().sum()), default=None)
    at = int(read.isna().to_numpy().argmax()) if read is not None else 0
    return InputError(
        f"{path}: cannot read times such as {str(known.iloc[at])!r}",
        "say --date-format, such as --date-format '%d.%m.%Y %H:%M'",
    )
