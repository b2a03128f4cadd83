"""The same bars in many more shapes than the cases have: each a name, its bytes, and of which table."""

# ruff: noqa: E501 - tables
from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

FIELDS = ("open", "high", "low", "close", "volume")
Shape = tuple[str, bytes, str]


def bars(freq: str, count: int = 40, start: str = "2024-01-02") -> pd.DataFrame:
    """Return bars of one asset with prices around 1 300 and two decimals."""
    rng = np.random.default_rng(5)
    close = np.round(1300 * np.exp(np.cumsum(rng.normal(0, 0.01, count))), 2)
    opened = np.round(close * (1 + rng.normal(0, 0.004, count)), 2)
    high, low = np.round(np.maximum(opened, close) + 5.25, 2), np.round(np.minimum(opened, close) - 5.5, 2)
    volume = rng.integers(12, 900, count) * 1000.0
    times = pd.date_range(start, periods=count, freq=freq)
    return pd.DataFrame({"ts": times, "open": opened, "high": high, "low": low, "close": close, "volume": volume})


TRUTHS = {"daily": bars("1D"), "hourly": bars("1h")}


def lines(
    truth: pd.DataFrame,
    stamp: str | Callable[[pd.Timestamp], str],
    sep: str = ",",
    number: Callable[[float], str] = lambda value: f"{value:.2f}",
    size: Callable[[float], str] | None = None,
    order: tuple[str, ...] = FIELDS,
) -> list[str]:
    """Return the rows of a text table without a header."""
    out = []
    for row in truth.itertuples(index=False):
        when = row.ts.strftime(stamp) if isinstance(stamp, str) else stamp(row.ts)
        cells = [(size or number)(getattr(row, f)) if f == "volume" else number(getattr(row, f)) for f in order]
        out.append(sep.join([when, *(f'"{cell}"' if sep in cell else cell for cell in cells)]))
    return out


def text(head: str, rows: list[str], encoding: str = "utf-8", tail: str = "") -> bytes:
    """Return a text table as bytes."""
    return ((head + "\n" if head else "") + "\n".join(rows) + "\n" + tail).encode(encoding)


def comma(value: float) -> str:
    """1.234,50."""
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def indian(value: float) -> str:
    """Groups of two above the first of three."""
    whole, part = f"{value:.2f}".split(".")
    head, last = whole[:-3], whole[-3:]
    groups = []
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    return ",".join([*groups, last]) + "." + part


def text_shapes() -> Iterator[Shape]:
    """Yield text tables."""
    day, hour = TRUTHS["daily"], TRUTHS["hourly"]
    plain, names = "%Y-%m-%d", "date,open,high,low,close,volume"
    for name, sep in (("tabs", "\t"), ("pipes", "|"), ("semicolons", ";")):
        yield f"{name}.txt", text(names.replace(",", sep), lines(day, plain, sep)), "daily"
    yield (
        "german.csv",
        text("Datum;Eröffnung;Hoch;Tief;Schlusskurs;Volumen", lines(day, "%d.%m.%Y", ";", comma)),
        "daily",
    )
    german = text("Datum;Eröffnung;Hoch;Tief;Schlusskurs;Volumen", lines(day, "%d.%m.%Y", ";", comma), "cp1252")
    yield "german_latin.csv", german, "daily"
    yield (
        "french.csv",
        text("Date;Ouverture;Plus haut;Plus bas;Clôture;Volume", lines(day, "%d/%m/%Y", ";", comma)),
        "daily",
    )
    yield (
        "spanish.csv",
        text("Fecha;Apertura;Máximo;Mínimo;Cierre;Volumen", lines(day, "%d-%m-%Y", ";", comma)),
        "daily",
    )
    yield "japanese.csv", text("日付,始値,高値,安値,終値,出来高", lines(day, "%Y/%m/%d"), "shift_jis"), "daily"
    yield "korean.csv", text("일자,시가,고가,저가,종가,거래량", lines(day, "%Y.%m.%d"), "euc_kr"), "daily"
    yield (
        "russian.csv",
        text("Дата;Открытие;Максимум;Минимум;Закрытие;Объем", lines(day, "%d.%m.%Y", ";"), "cp1251"),
        "daily",
    )
    for encoding in ("utf-16", "utf-16-le", "utf-8-sig"):
        yield f"{encoding}.csv", text(names, lines(day, plain), encoding), "daily"
    for name, mark in (("spaces", " "), ("swiss", "'"), ("narrow", "\u202f")):
        yield f"{name}.csv", text(names, lines(day, plain, ",", lambda v, m=mark: f"{v:,.2f}".replace(",", m))), "daily"
    yield "dollars.csv", text(names, lines(day, plain, ",", lambda v: f"${v:,.2f}", lambda v: f"{v:,.0f}")), "daily"
    yield "rupees.csv", text(names, lines(day, plain, ",", indian)), "daily"
    yield "thousands_of_shares.csv", text(names, lines(day, plain, size=lambda v: f"{v / 1000:.0f}K")), "daily"
    for name, form in (
        ("month_name", '"%b %d, %Y"'), ("long_month", "%d %B %Y"), ("oracle", "%d-%b-%y"), ("american", "%m/%d/%Y"),
        ("digits", "%Y%m%d"), ("weekday", '"%a, %d %b %Y"'), ("short_year", "%m/%d/%y"), ("chinese", "%Y年%m月%d日"),
    ):  # fmt: skip
        yield f"{name}.csv", text(names, lines(day, form)), "daily"
    for name, form in (
        ("am_pm", "%m/%d/%Y %I:%M:%S %p"), ("compact", "%Y%m%d %H%M"), ("offset", "%Y-%m-%dT%H:%M:%S+0000"),
        ("digits14", "%Y%m%d%H%M%S"), ("digits12", "%Y%m%d%H%M"), ("digits17", "%Y%m%d%H%M%S000"), ("utc", "%Y-%m-%d %H:%M UTC"),
        ("two_columns", "%Y-%m-%d,%H:%M"), ("two_numbers", "%Y%m%d,%H%M%S"), ("rfc", '"%a, %d %b %Y %H:%M:%S GMT"'),
        ("millis", "%Y-%m-%d %H:%M:%S.000"), ("slashes", "%Y/%m/%d %H:%M"),
    ):  # fmt: skip
        head = names.replace("date", "date,time") if name.startswith("two") else names
        yield f"{name}.csv", text(head, lines(hour, form)), "hourly"
    eastern = lines(hour, lambda t: (t - pd.Timedelta(hours=5)).strftime("%Y-%m-%d %H:%M:%S EST"))
    yield "eastern.csv", text(names, eastern), "hourly"
    serial = lines(hour, lambda t: f"{(t - pd.Timestamp('1899-12-30')) / pd.Timedelta('1D'):.9f}")
    yield "excel_hours.csv", text(names, serial), "hourly"
    yield "seconds.csv", text(names, lines(hour, lambda t: f"{t.timestamp():.1f}")), "hourly"
    yield "quoted_micros.csv", text(names, lines(hour, lambda t: f'"{int(t.timestamp() * 1e6)}"')), "hourly"
    yield (
        "closing.csv",
        text(names, lines(hour, lambda t: (t + pd.Timedelta("59min59s")).strftime("%Y-%m-%d %H:%M:%S"))),
        "hourly",
    )
    yield "newest_first.csv", text(names, lines(day, plain)[::-1]), "daily"
    rows = lines(day, plain)
    yield "unsorted.csv", text(names, [*rows[20:], *rows[:20]]), "daily"
    yield "repeated.csv", text(names, [*rows, rows[3], rows[7]]), "daily"
    above = "Prices of the instrument\nSource: archive\n\n" + names
    yield "above_and_below.csv", text(above, rows, tail="\nCopyright 2024\nAll rights reserved, of course\n"), "daily"
    yield "short_header.csv", text(names, [row + "," for row in rows]), "daily"
    yield "row_names.csv", text(names, [f"{n},{row}" for n, row in enumerate(rows, 1)]), "daily"
    yield "unnamed_index.csv", text(names.replace("date", ""), rows), "daily"
    crooked = lines(hour, lambda t: f"{t.timestamp():.0f}", order=("low", "high", "open", "close", "volume"))
    yield "low_first.csv", text("", crooked), "hourly"
    yield "with_ticker.csv", text("", [f"XYZ,{row}" for row in lines(day, "%Y%m%d")]), "daily"
    yield "sep_line.csv", text("sep=;\n" + names.replace(",", ";"), lines(day, plain, ";")), "daily"
    yield "brackets.csv", text("<DATE>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>", lines(day, "%Y%m%d", ";")), "daily"


def packed_shapes() -> Iterator[Shape]:
    """Yield packed text, JSON, Feather and Parquet."""
    day = TRUTHS["daily"]
    csv = text("date,open,high,low,close,volume", lines(day, "%Y-%m-%d"))
    for ending, pack in (("gz", gzip.compress), ("xz", lzma.compress), ("bz2", bz2.compress)):
        yield f"packed.csv.{ending}", pack(csv), "daily"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("folder/", "")
        archive.writestr("folder/bars.csv", csv)
        archive.writestr("__MACOSX/._bars.csv", "x")
    yield "packed.zip", buffer.getvalue(), "daily"
    dated = day.assign(ts=day["ts"].dt.strftime("%Y-%m-%d"))
    records = dated.rename(columns={"ts": "date"}).to_dict("records")
    matrix = [list(row.values()) for row in records]
    series = {row["date"]: {f"{n}. {f}": str(row[f]) for n, f in enumerate(FIELDS, 1)} for row in records}
    inner = {
        "symbol": "XYZ",
        "bars": [{k[0]: v for k, v in row.items() if k != "date"} | {"t": row["date"]} for row in records],
    }
    for name, data in (
        ("records", records), ("columns", {key: [row[key] for row in records] for key in records[0]}),
        ("matrix", matrix), ("named_matrix", [["date", *FIELDS], *matrix]), ("inner", inner),
        ("series", {"Meta Data": {"1. Information": "Daily"}, "Time Series (Daily)": series}),
        ("split", {"columns": list(FIELDS), "index": [row["date"] for row in records], "data": [row[1:] for row in matrix]}),
    ):  # fmt: skip
        yield f"{name}.json", json.dumps(data).encode(), "daily"
    yield "lines.jsonl", "\n".join(json.dumps(row) for row in records).encode(), "daily"
    yield "lines.json", "\n".join(json.dumps(row) for row in records).encode(), "daily"
    for name, save in (("frame.feather", "to_feather"), ("frame.parquet", "to_parquet")):
        buffer = io.BytesIO()
        getattr(day, save)(buffer)
        yield name, buffer.getvalue(), "daily"
    buffer = io.BytesIO()
    day.assign(symbol="XYZ").set_index(["symbol", "ts"]).to_parquet(buffer)
    yield "two_keys.parquet", buffer.getvalue(), "daily"


def all_shapes() -> list[Shape]:
    """Return every shape."""
    return [*text_shapes(), *packed_shapes()]
