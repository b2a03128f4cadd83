"""Numbers as people write them: decimal commas, thousands, currency signs, per cent, K, M and B."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from market.errors import InputError

MISSING = frozenset(
    [
        "",
        "-",
        "--",
        "—",
        "–",
        "na",
        "n/a",
        "nan",
        "null",
        "none",
        "nil",
        "#n/a",
        "<na>",
        "-nan",
        ".",
        "n.a.",
        "nat",
        "\\n",
        "#n/a n/a",
        "(null)",
        "#na",
    ]
)
_SIGNS = r"[$€£¥₹₩₽₺₫฿₪円元원]|US\$|HK\$|R\$|Rs\.?"
_MONEYS = r"USDT?|EUR|GBP|JPY|CNY|INR|CHF|SEK|NOK|DKK|PLN|CZK|HUF|TRY|BRL|KRW|zł|Kč|Ft|kr\.?|TL"
_CURRENCY = rf"(?:{_SIGNS}|{_MONEYS})"
# In front, letters stand apart from a whole number: EUR1 is a code.
_BEFORE = rf"(?:{_SIGNS}|(?:{_MONEYS})(?=\s|[\d.,'’]*[.,'’]\d))"
# Behind a number that counts pieces.
_PIECES = r"(?:Stk\.?|Stück|szt\.?|ks|db|pcs\.?|shares|titres|株|股|주)"
_NUMBER = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+\-−])?\s*{_BEFORE}?\s*(?P<sign2>[+\-−])?"
    r"(?P<core>[\d.,'’ \u00a0\u202f]*\d[.,]?)(?P<exp>[eE][+\-]?\d+)?"
    rf"\s*(?P<suffix>[KkMmBbTt]|Mio|Mrd|%|万|亿)?\s*(?:{_CURRENCY}|{_PIECES})?\s*(?P<close>\))?"
)
_FACTORS = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12, "mio": 1e6, "mrd": 1e9, "%": 0.01, "万": 1e4, "亿": 1e8}
# Cells that show the style of a column as well as all do.
_ENOUGH = 20_000
_GROUPS = "'’ \u00a0\u202f"
# Prices of bonds: 129-18, 129'185, 129-16+ and 129 18/32 are points and parts of 32.
_THIRTY_SECONDS = re.compile(r"(\d{2,3})(?:[-'](\d\d)([0257+]?)| (\d{1,2})/32)")
_EIGHTHS = {"": 0.0, "0": 0.0, "2": 0.25, "5": 0.5, "+": 0.5, "7": 0.75}
# So few cells of one column are never all by chance thousands that look like such prices.
_DECIDE = 5


@dataclass(frozen=True, slots=True)
class NumberStyle:
    """What stands before a fraction, and between groups of digits (empty: nothing)."""

    decimal: str = "."
    thousands: str = ""

    @property
    def plain(self) -> bool:
        """Whether every program reads such numbers."""
        return self.decimal == "." and not self.thousands


def reads_as_number(cell: str) -> bool:
    """Whether a cell is written as a number in any style."""
    return _NUMBER.fullmatch(cell.strip()) is not None


def style_of(cells: Iterable[str], path: object, given: NumberStyle | None = None) -> NumberStyle:
    """Return the style in which `cells` are written; what they do not decide, or differ in, is an `InputError`."""
    decimals: dict[str, str] = {}
    groups: dict[str, str] = {}
    open_question = ""
    for cell in cells:
        hit = _NUMBER.fullmatch(cell.strip())
        if hit is None:
            continue
        core = hit["core"].strip()
        groups.update({mark: cell for mark in _GROUPS if mark in core})
        dots, commas = core.count("."), core.count(",")
        if dots and commas:
            last = "." if core.rfind(".") > core.rfind(",") else ","
            decimals.setdefault(last, cell)
            groups.setdefault("," if last == "." else ".", cell)
        elif dots > 1 or commas > 1:
            groups.setdefault("." if dots else ",", cell)
        elif dots or commas:
            mark = "." if dots else ","
            before, after = core.split(mark)
            if len(after) == 3 and 1 <= len(before) <= 3 and before != "0":
                open_question = open_question or (cell if mark == "," else "")
            else:
                decimals.setdefault(mark, cell)
    if given is not None:
        return given
    if len(decimals) > 1 or set(decimals) & set(groups):
        seen = list(dict.fromkeys([*decimals.values(), *groups.values()]))
        raise InputError(
            f"{path}: numbers such as {' and '.join(map(repr, seen[:2]))} are written in two ways",
            "say --decimal '.' or --decimal ',' (and --thousands)",
        )
    if open_question and not decimals and "," not in groups:
        small, large = open_question.replace(",", "."), open_question.replace(",", "")
        raise InputError(
            f"{path}: {open_question!r} is {small} or {large}?",
            "say --decimal ',' for the first, --thousands ',' for the other",
        )
    decimal = next(iter(decimals), "." if "," in groups or not groups else ",")
    if "." in groups:
        decimal = ","
    group = next(iter(groups), "," if open_question and decimal == "." else "")
    return NumberStyle(decimal, group)


def to_numbers(column: pd.Series, style: NumberStyle) -> tuple[pd.Series, np.ndarray]:
    """Return (T,) float64 numbers of text cells, and which cells are none (neither a number nor missing).

    A cell in another style than `style` is none: half of it is never read.
    """
    text = column.fillna("").astype(str).str.strip()
    codes, unique = pd.factorize(text)
    values = np.full(len(unique), np.nan)
    bad = np.zeros(len(unique), dtype=bool)
    shape = _strict(style)
    cells = pd.Series(unique, dtype="str")
    simple = cells.str.fullmatch(rf"[+-]?(?:{shape.pattern})").to_numpy(dtype=bool)
    digits = cells[simple].str.replace(style.thousands, "", regex=False) if style.thousands else cells[simple]
    values[simple] = digits.str.replace(style.decimal, ".", regex=False).astype(np.float64)
    for place, cell in zip(np.flatnonzero(~simple).tolist(), cells[~simple].tolist(), strict=True):
        try:
            # Most cells are plain, and float() knows those best; it also knows 1_000, which nobody writes.
            values[place] = float(cell) if style.plain and "_" not in cell else _value(cell, shape, style)
        except ValueError:
            try:
                values[place] = _value(cell, shape, style)
            except ValueError:
                bad[place] = cell.lower() not in MISSING
    return pd.Series(values[codes], index=column.index), bad[codes]


def are_thirty_seconds(cells: Iterable[str]) -> bool:
    """Whether all cells are prices in points and 32nds, such as 129-18 or 129'185."""
    hits = [_THIRTY_SECONDS.fullmatch(cell.strip()) for cell in cells if cell.strip().lower() not in MISSING]
    return len(hits) >= _DECIDE and all(hit is not None and int(hit[2] or hit[4]) < 32 for hit in hits)


def from_thirty_seconds(column: pd.Series) -> pd.Series:
    """Return prices in points and 32nds as float64; missing is NaN."""
    parts = column.astype("str").str.strip().str.extract(rf"^{_THIRTY_SECONDS.pattern}$")
    rest = parts[1].fillna(parts[3]).astype(np.float64) + parts[2].fillna("").map(_EIGHTHS)
    read: pd.Series = parts[0].astype(np.float64) + rest / 32
    return read


def figures_of(column: pd.Series, path: object, given: NumberStyle | None = None) -> pd.Series:
    """Return a column as float64, texts understood in one style; missing is NaN.

    Raises
    ------
    InputError
        For a cell that is neither a number nor missing, named by its row.
    """
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(np.float64)
    texts = column.astype("str")
    values, bad = to_numbers(texts, style_of(texts[column.notna()].drop_duplicates().head(_ENOUGH), path, given))
    if bad.any():
        unit, numbers = _without_unit(texts[column.notna()])
        if unit:
            return figures_of(numbers.rename(str(column.name)), path, given).reindex(column.index)
        at = int(bad.argmax())
        named = " ".join(map(str, column.name)) if isinstance(column.name, tuple) else column.name
        raise InputError(
            f"{path}: row {at + 1}: column {str(named)!r} is {column.iloc[at]!r}, not numeric", "correct that cell"
        )
    return values


def _without_unit(texts: pd.Series) -> tuple[str, pd.Series]:
    """Return the one word of three letters or more behind all numbers, such as KGS, and them without it."""
    parts = texts.str.strip().str.extract(r"^([+-]?[\d.,' ]*\d) ?([^\W\d_]{3,})\.?$")
    units = parts[1].dropna().unique()
    whole = len(units) == 1 and bool(parts[1].notna().all()) and str(units[0]).lower() not in _FACTORS
    return (str(units[0]), parts[0]) if whole else ("", texts)


def _strict(style: NumberStyle) -> re.Pattern[str]:
    """Return the digits of the style: groups of three (of two behind the first, as in India), a fraction."""
    marks = re.escape(style.thousands if style.thousands not in _GROUPS or not style.thousands else _GROUPS)
    whole = rf"\d{{1,3}}(?:[{marks}]\d{{2,3}})*[{marks}]\d{{3}}|\d+" if style.thousands else r"\d+"
    return re.compile(rf"(?:(?:{whole})(?:{re.escape(style.decimal)}\d*)?|{re.escape(style.decimal)}\d+)")


def _value(cell: str, shape: re.Pattern[str], style: NumberStyle) -> float:
    hit = _NUMBER.fullmatch(cell)
    if hit is None or shape.fullmatch(hit["core"].strip()) is None or bool(hit["open"]) != bool(hit["close"]):
        raise ValueError(cell)
    digits = hit["core"].strip()
    for mark in _GROUPS if style.thousands in _GROUPS and style.thousands else style.thousands:
        digits = digits.replace(mark, "")
    number = float(digits.replace(style.decimal, ".") + (hit["exp"] or ""))
    negative = bool(hit["open"]) or "-" in (sign := (hit["sign"] or "") + (hit["sign2"] or "")) or "−" in sign
    return (-number if negative else number) * _FACTORS.get((hit["suffix"] or "").lower(), 1.0)
