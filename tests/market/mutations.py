"""Files changed at random, and whether an import changes a value that the change left alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from market.files import Imported
from market.panel import Panel

FIELDS = ("open", "high", "low", "close", "volume")
Changed = tuple[bytes, frozenset[int]]


def base_lines(rng: np.random.Generator, count: int = 30) -> list[str]:
    """Return a CSV of bars, as lines with a header."""
    close = np.round(200 * np.exp(np.cumsum(rng.normal(0, 0.01, count))), 2)
    times = pd.date_range("2024-03-05", periods=count, freq="1h")
    rows = ["ts,open,high,low,close,volume"]
    for when, value in zip(times, close, strict=True):
        size = int(rng.integers(100, 5000))
        rows.append(
            f"{when:%Y-%m-%d %H:%M:%S},{value + 0.25:.2f},{value + 2.5:.2f},{value - 2.25:.2f},{value:.2f},{size}"
        )
    return rows


def mutate(lines: list[str], rng: np.random.Generator) -> tuple[str, bytes, list[int]]:
    """Return the kind of a random change, the file after it, and the rows whose text it left as it was."""
    kind = str(
        rng.choice(["cut", "flip", "columns", "separator", "dates", "drop", "repeat", "insert", "shuffle", "encode"])
    )
    whole = list(range(1, len(lines)))
    data = "\n".join(lines).encode() + b"\n"
    if kind == "cut":
        at = int(rng.integers(1, len(data)))
        kept = data[:at]
        full = kept.count(b"\n")
        return kind, kept, [n for n in whole if n < full]
    if kind == "flip":
        raw = bytearray(data)
        for _ in range(int(rng.integers(1, 6))):
            raw[int(rng.integers(len(raw)))] = int(rng.integers(32, 127) if rng.random() < 0.8 else rng.integers(256))
        left = bytes(raw).split(b"\n")
        same = {line.encode(): n for n, line in enumerate(lines)}
        return kind, bytes(raw), [same[line] for line in left if same.get(line)]
    if kind == "columns":
        order = [0, *(1 + rng.permutation(5))]
        return kind, _joined([[line.split(",")[n] for n in order] for line in lines]), whole
    if kind == "separator":
        sep = str(rng.choice([";", "\t", "|"]))
        return kind, "\n".join(line.replace(",", sep) for line in lines).encode() + b"\n", whole
    if kind == "dates":
        form = str(
            rng.choice(
                ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%Y%m%d%H%M%S", "%s", "%d.%m.%Y %H:%M:%S", "%b %d %Y %H:%M"]
            )
        )
        return kind, _joined([lines[0].split(","), *(_dated(line, form) for line in lines[1:])]), whole
    if kind == "drop":
        gone = {int(n) for n in rng.choice(whole, 3, replace=False)}
        return (
            kind,
            "\n".join(line for n, line in enumerate(lines) if n not in gone).encode(),
            [n for n in whole if n not in gone],
        )
    if kind == "repeat":
        return kind, "\n".join([*lines, lines[int(rng.integers(1, len(lines)))]]).encode(), whole
    if kind == "insert":
        at, junk = (
            int(rng.integers(len(lines) + 1)),
            str(rng.choice(["", "total", ",,,,,", "a,b,c", "ts,open,high,low,close,volume"])),
        )
        return kind, "\n".join([*lines[:at], junk, *lines[at:]]).encode(), whole
    if kind == "shuffle":
        return (
            kind,
            "\n".join([lines[0], *(lines[int(n)] for n in 1 + rng.permutation(len(lines) - 1))]).encode(),
            whole,
        )
    return kind, "\n".join(lines).encode(str(rng.choice(["utf-16", "utf-8-sig", "utf-16-le"]))), whole


def _joined(rows: list[list[str]]) -> bytes:
    return "\n".join(",".join(row) for row in rows).encode() + b"\n"


def _dated(line: str, form: str) -> list[str]:
    cells = line.split(",")
    when = pd.Timestamp(cells[0])
    return [str(int(when.timestamp())) if form == "%s" else when.strftime(form), *cells[1:]]


def lost_rows(lines: list[str], untouched: list[int], done: Imported) -> list[str]:
    """Return rows that the change left alone, which the panel does not have and of which no sentence speaks."""
    times = {str(time) for time in done.panel.times.astype("datetime64[s]")}
    lost = [lines[number] for number in untouched if lines[number].split(",")[0].replace(" ", "T") not in times]
    return [] if any("left out" in sentence for sentence in done.said) else lost


def changed_values(lines: list[str], untouched: list[int], panel: Panel) -> list[str]:
    """Return rows that the change left alone, whose bar the panel has with other values, or at another time."""
    places = {str(time): n for n, time in enumerate(panel.times.astype("datetime64[s]"))}
    known = {line.split(",")[0].replace(" ", "T") for line in lines[1:]}
    # A changed row may have any time; more times that no row had mean that others were read at a wrong one.
    strange = [time for time in places if time not in known]
    out = strange if len(strange) > len(lines) - 1 - len(untouched) else []
    for number in untouched:
        cells = lines[number].split(",")
        at = places.get(cells[0].replace(" ", "T"))
        if at is None:
            continue
        # A field whose name was changed is unknown, and the import says so.
        there = [n for n, name in enumerate(FIELDS) if not np.isnan(panel[name]).all()]
        values = [panel[FIELDS[n]][at, 0] for n in there]
        if not np.allclose(values, [float(cells[1 + n]) for n in there], rtol=1e-12, equal_nan=True):
            out.append(lines[number])
    return out
