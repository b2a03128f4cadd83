"""Lines of a text table that hold no row: rules between header and rows, notes of a program, units, assets above."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from market.columns import ALIASES, plain_name, scale_of
from market.panel import OHLCV
from market.reading.layout import TableLayout, cell_kind

# +-----+-----+ of MySQL, ----+---- of PostgreSQL, ---- ---- of SQL Server, |:---|---:| of Markdown, #group of InfluxDB.
_RULE = re.compile(r"\s*[|+]?[\s:]*-{2,}[-\s|+:=]*|#(?:group|datatype|default)[,;\t].*")
_LOOKED_AT = 40
_KNOWN = frozenset(word for ours in ("ts", *OHLCV) for word in ALIASES[ours])
_WIDE = re.compile("[０-９]")
_TO_PLAIN = str.maketrans("０１２３４５６７８９．／：－＋", "0123456789./:-+")
_CODE = re.compile(r"(.+)\(([A-Z]{1,3})\)")
_DATASTREAM = {"PO": "open", "PH": "high", "PL": "low", "P": "close", "UP": "unadjusted", "VO": "volume"}


def without_rules(source: IO[bytes] | Path, text: str, encoding: str) -> tuple[IO[bytes] | Path, str, str]:
    """Return a text without lines that only draw or annotate a table, its beginning, and its encoding."""
    index = _name_of_index(text)
    if not index and not any(_RULE.fullmatch(line) for line in text.splitlines()[:_LOOKED_AT]):
        return source, text, encoding
    data = source.read_bytes() if isinstance(source, Path) else _all_of(source)
    kept = [line for line in data.decode(encoding, errors="replace").splitlines() if not _RULE.fullmatch(line)]
    if index:
        kept[:2] = [f"{index} {kept[0]}"]
    whole = "\n".join(kept) + "\n"
    return io.BytesIO(whole.encode()), whole[: len(text)], "utf-8"


def _name_of_index(text: str) -> str:
    """Return the name of the index where pandas prints a frame: alone in the line under those of the columns."""
    words = [line.split() for line in text.splitlines()[:3]]
    if len(words) < 3 or len(words[1]) != 1 or len(words[0]) < 2 or cell_kind(words[1][0]) != "text":
        return ""
    more = len(words[2]) - len(words[0])
    return words[1][0] if more == 1 or (more == 2 and ":" in words[2][1]) else ""


def _all_of(source: IO[bytes]) -> bytes:
    source.seek(0)
    return source.read()


def with_plain_digits(source: IO[bytes] | Path, text: str, encoding: str) -> tuple[IO[bytes] | Path, str, str]:
    """Return a text whose digits of full width, as Japanese and Chinese keyboards write them, are plain."""
    if not _WIDE.search(text):
        return source, text, encoding
    data = source.read_bytes() if isinstance(source, Path) else _all_of(source)
    whole = re.sub(r"(?<=[０-９])，(?=[０-９])", "", data.decode(encoding, errors="replace")).translate(_TO_PLAIN)
    return io.BytesIO(whole.encode()), whole[: len(text)], "utf-8"


def without_units(
    source: IO[bytes] | Path, layout: TableLayout, encoding: str, notes: list[str]
) -> tuple[IO[bytes] | Path, TableLayout]:
    """Return a table without a second row of units or codes, which go into the columns' names."""
    if not layout.header or len(layout.rows) < 2:
        return source, layout
    row = layout.rows[0]
    named = _named_by_codes(layout.header, row) or _names_again(layout.header, row)
    if not named and not _are_units(layout.header, row):
        return source, layout
    data = source.read_bytes() if isinstance(source, Path) else _all_of(source)
    lines = data.decode(encoding, errors="replace").splitlines()
    del lines[layout.skip + 1]
    notes.append(f"left out a row of {'names' if named else 'units'}: {', '.join(filter(str.strip, row))[:60]}")
    named = named or tuple(
        f"{name} ({unit.strip('()[] ')})" if scale_of(f"x ({unit.strip('()[] ')})") != 1 else name
        for name, unit in zip(layout.header, row, strict=True)
    )
    raw = ("\n".join(lines) + "\n").encode("utf-8" if encoding.startswith("utf-16") else encoding, errors="replace")
    return io.BytesIO(raw), replace(layout, header=named, rows=layout.rows[1:])


def _names_again(header: Sequence[str], row: Sequence[str]) -> tuple[str, ...]:
    """Return of two rows of names, in two languages, the one of which more words are known; nothing for one row."""
    if len(header) != len(row) or any(cell_kind(cell) in ("number", "time") for cell in row):
        return ()
    known = [sum(plain_name(cell) in _KNOWN for cell in cells) for cells in (header, row)]
    if known[1] < 4 or not all(map(str.strip, row)) or len(set(row)) < len(row) or len(set(header)) < len(header):
        return ()
    return tuple(row if known[1] > known[0] else header)


def _named_by_codes(header: Sequence[str], row: Sequence[str]) -> tuple[str, ...]:
    """Return names such as ``@AAPL_open`` of codes such as ``@AAPL(PO)`` (Datastream); nothing where there are none."""
    hits = [_CODE.fullmatch(cell.strip()) for cell in row[1:]]
    if len(header) != len(row) or not hits or not all(hits):
        return ()
    codes = [hit for hit in hits if hit is not None]
    return ("date", *(f"{hit[1]}_{_DATASTREAM.get(hit[2], hit[2])}" for hit in codes))


def _are_units(header: Sequence[str], row: Sequence[str]) -> bool:
    """Whether a row has one word for all prices, and another, or one in brackets, for the volume."""
    if len(header) != len(row) or any(cell_kind(cell) in ("number", "time") for cell in row):
        return False
    words: dict[str, str] = {}
    for name, cell in zip(header, row, strict=True):
        ours = next((ours for ours in OHLCV if plain_name(name) in ALIASES[ours]), None)
        if ours in words:
            return False
        if ours is not None:
            words[ours] = cell.strip()
    prices = {words[ours] for ours in OHLCV[:4] if ours in words}
    if len(words) < 3 or len(prices) != 1 or prices == {""}:
        return False
    return words.get("volume", "") not in prices or next(iter(prices)).startswith(("(", "["))


def names_with_assets(text: str, layout: TableLayout) -> tuple[str, ...]:
    """Return names such as ``AAA_close`` for columns that repeat under assets named in the line above; else nothing."""
    plain = [plain_name(name) for name in layout.header]
    ours = [next((one for one in OHLCV if name in ALIASES[one]), "") for name in plain]
    if ours.count("close") < 2 or not layout.skip:
        return ()
    above = next((line for line in reversed(text.splitlines()[: layout.skip]) if line.strip()), "")
    cells = [cell.strip() for cell in next(csv.reader([above], delimiter=layout.sep), [])]
    if len(cells) > len(plain) or sum(map(bool, cells)) != ours.count("close"):
        return ()
    out, asset = [], ""
    for place, name in enumerate(layout.header):
        asset = cells[place] if place < len(cells) and cells[place] else asset
        out.append(f"{asset}_{ours[place] or name}" if asset and (ours[place] or place) else name)
    return tuple(out)
