"""Files that cannot be read without a word from who brings them: each a name, its bytes, and the bar that is right."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from tests.market.case_truths import Truth
from tests.market.own_shapes import FIELDS, bars, comma, lines, text

Shape = tuple[str, bytes, Truth]
NAMES = "date,open,high,low,close,volume"
# Days that are months as well: nothing decides what comes first.
FEW = bars("1D", 11, "2024-02-01")
DAY = bars("1D", 40, "2024-01-20")
HOURS = bars("1h", 20, "2024-02-03")


def truth_of(frame: pd.DataFrame, asset: str, assets: int = 1, **more: float) -> Truth:
    """The bar of the fourth row."""
    row = frame.iloc[3]
    size = (frame["ts"].iloc[1] - frame["ts"].iloc[0]).total_seconds()
    wanted = {name: float(row[name]) for name in ("open", "high", "low", "volume")} | more
    return Truth(asset, str(row["ts"].isoformat()), float(row["close"]), size, wanted, assets)


def dates() -> Iterator[Shape]:
    """Yield files whose dates can be read in two ways, or in none."""
    for name, form in (
        ("slashes", "%d/%m/%Y"), ("american", "%m/%d/%Y"), ("hyphens", "%d-%m-%Y"), ("short", "%d/%m/%y"),
        ("american_short", "%m/%d/%y"), ("bare", "%-d/%-m/%Y"), ("bare_american", "%-m/%-d/%Y"),
    ):  # fmt: skip
        yield f"{name}.csv", text(NAMES, lines(FEW, form)), truth_of(FEW, name)
    for name, form in (
        ("hours", "%d/%m/%Y %H:%M"), ("american_hours", "%m/%d/%Y %H:%M"), ("seconds", "%d-%m-%Y %H:%M:%S"),
        ("half_days", "%m/%d/%Y %I:%M %p"), ("split", "%d/%m/%Y,%H:%M"), ("american_split", "%m/%d/%Y,%H:%M:%S"),
    ):  # fmt: skip
        head = NAMES.replace("date", "date,time") if "split" in name else NAMES
        yield f"{name}.csv", text(head, lines(HOURS, form)), truth_of(HOURS, name)
    for name, zone in (("china", "CST"), ("india", "IST")):
        hours = {"china": 8, "india": 5.5}[name]
        rows = lines(HOURS, lambda t, h=hours, z=zone: f"{t + pd.Timedelta(hours=h):%Y-%m-%d %H:%M} {z}")
        yield f"{name}.csv", text(NAMES, rows), truth_of(HOURS, name)


def numbers() -> Iterator[Shape]:
    """Yield files whose numbers can be read in two ways."""
    whole = DAY.assign(**{name: DAY[name].round() for name in FIELDS[:4]}, volume=DAY["volume"] / 1000)
    small = whole.assign(**{name: whole[name] / 1000 for name in FIELDS[:4]})
    for name, sep in (("semicolons", ";"), ("tabs", "\t"), ("pipes", "|")):
        rows = lines(whole, "%Y-%m-%d", sep, lambda v: f"{v:,.0f}", lambda v: f"{v:.0f}")
        yield f"{name}.csv", text(NAMES.replace(",", sep), rows), truth_of(whole, name)
        yield f"small_{name}.csv", text(NAMES.replace(",", sep), rows), truth_of(small, f"small_{name}")


def columns() -> Iterator[Shape]:
    """Yield files whose columns have names that nobody knows, or hold what another says."""
    for name, head in (
        ("kurs", "date,open,high,low,kurs_x,volume"), ("px", "date,open,high,low,px,volume"),
        ("lots", "date,open,high,low,close,volume_x"), ("qty", "date,open,high,low,close,traded_qty"),
        ("when", "wann_genau,open,high,low,close,volume"), ("letters", "a,open,high,low,close,volume"),
        ("top", "date,open,top_price,low,close,volume"), ("first", "date,first_open,high,low,close,volume"),
        ("floor", "date,open,high,floor,close,volume"), ("two", "wann,open,high,low,kurs_x,volume"),
    ):  # fmt: skip
        yield f"{name}.csv", text(head, lines(DAY, "%Y-%m-%d")), truth_of(DAY, name)
    for name, order in (
        ("swapped", ("open", "low", "high", "close", "volume")), ("turned", ("high", "low", "open", "close", "volume")),
        ("crossed", ("open", "close", "high", "low", "volume")),
    ):  # fmt: skip
        yield f"{name}.csv", text(NAMES, lines(DAY, "%Y-%m-%d", order=order)), truth_of(DAY, name)
    for name in ("paper", "venue_code", "wkn", "security", "contract_name"):
        rows = [f"{row},A1" for row in lines(DAY, "%Y-%m-%d")]
        rows += [f"{row},B2" for row in lines(DAY.assign(volume=DAY["volume"] + 7), "%Y-%m-%d")]
        yield f"{name}.csv", text(f"{NAMES},{name}", rows), truth_of(DAY, "A1", 2)
    small = "\n".join(["day,aaa,bbb", *(f"{row.ts:%Y-%m-%d},{row.close},{row.open}" for row in DAY.itertuples())])
    yield "small_letters.csv", small.encode(), Truth("aaa", "2024-01-23", float(DAY["close"][3]), 86400, {}, 2)


def rows() -> Iterator[Shape]:
    """Yield files with a few defects, which may be repaired."""
    plain = lines(DAY, "%Y-%m-%d")
    crossed = plain.copy()
    day, first, high, low, *rest = crossed[20].split(",")
    crossed[20] = ",".join([day, first, low, high, *rest])
    yield "one_crossed.csv", text(NAMES, crossed), truth_of(DAY, "one_crossed")
    again = [*plain, plain[7].replace("000.00", "001.00")]
    yield "one_twice.csv", text(NAMES, again), truth_of(DAY, "one_twice")
    negative = plain.copy()
    negative[20] = negative[20].replace(",", ",-", 1)
    yield "one_negative.csv", text(NAMES, negative), truth_of(DAY, "one_negative")
    yield (
        "empty_time.csv",
        text(NAMES, [*plain[:20], "," + plain[20].split(",", 1)[1], *plain[21:]]),
        truth_of(DAY, "empty_time"),
    )
    german = lines(FEW, "%d/%m/%Y", ";", comma)
    yield "german_few.csv", text(NAMES.replace(",", ";"), german), truth_of(FEW, "german_few")


def refused_shapes() -> list[Shape]:
    """Return every shape."""
    return [*dates(), *numbers(), *columns(), *rows()]
