"""Columns of unknown names in a table that lacks a price or the volume: which may be it is asked, not guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from market.columns import KEYS, field_name, plain_name, quoted
from market.errors import InputError
from market.panel import OHLCV
from market.reading.bar_columns import likely_prices
from market.reading.numbers import figures_of, reads_as_number

# Prices that are none of a bar's four.
_OTHER_PRICES = (
    r"(adj|pre|prev|settle|taker|turnover|vwap|avg|average|mean|weighted|w\.?a\.?p|mid|bid|ask|last|ma\d|ema|sma|limit"
    r"|change)"
)
# Counts that are no volume.
_OTHER_COUNTS = r"trades|count|number|num|interest|spread|ticks|transactions|^n$|^oi$|openint|day|hour|month|year|id$"
_FEW = 10
# Cells that show whether a column of texts holds numbers.
_MANY = 2000


def refuse_unnamed(renamed: pd.DataFrame, theirs: Mapping[str, str], path: Path, tell: Callable[[str], None]) -> None:
    """Refuse a table that lacks a price or the volume while a column of an unknown name may well be it."""
    absent = [name for name in OHLCV if name not in renamed.columns]
    free = [c for c in renamed.columns if c not in (*OHLCV, *KEYS, "amount", *theirs)]
    others = [c for c in free if pd.api.types.is_numeric_dtype(renamed[c])]
    for column in (c for c in free if c not in others and _few_are_no_numbers(renamed[c])):
        if absent:
            # One bad cell made it text: that cell is named.
            figures_of(renamed[column], path)
        tell(f"{column} is left out: some of its cells are no numbers")
    _ask_for_bars(renamed, others, path)
    close = renamed["close"].to_numpy(dtype=np.float64)
    for name in absent:
        for column in others:
            word = plain_name(column)
            called = name in word or (
                name == "volume" and any(part in word for part in ("vol", "qty", "quantity", "shares", "size"))
            )
            # A price alone is missing, beside others that are there: a column of any name may be it.
            lone = name != "volume" and 0 < sum(one in renamed.columns for one in OHLCV[:3]) < 3
            if not (called or lone) or re.match(_OTHER_PRICES, word):
                continue
            values = renamed[column].to_numpy(dtype=np.float64)
            near = np.nanmedian(np.abs(values / close - 1)) < 0.5 if np.isfinite(values).any() else False
            if name == "volume" or near:
                raise _may_be(name, str(column), path)


def _may_be(name: str, column: str, path: Path) -> InputError:
    return InputError(
        f"{path} has no column for {name}; {column!r} may be it",
        f"say --column {name}={quoted(column)}, or --column other_{field_name(column)}={quoted(column)} if it is not",
    )


def _ask_for_bars(renamed: pd.DataFrame, others: Sequence[str], path: Path) -> None:
    """Refuse closes beside which three columns are ordered as the other prices, and bars beside which one counts."""
    there = [name for name in OHLCV if name in renamed.columns]
    others = [column for column in others if not re.match(_OTHER_PRICES, plain_name(column))]
    if there in (["close"], ["close", "volume"]) and len(others) >= 3:
        found = likely_prices(renamed[["close", *others]], None)[0]
        if "close" in found.values() and "close" not in (found["high"], found["low"]):
            opened = next(found[name] for name in ("open", "close") if found[name] != "close")
            prices = {"open": opened, "high": found["high"], "low": found["low"]}
            options = " ".join(f"--column {ours}={quoted(name)}" for ours, name in prices.items())
            raise InputError(f"{path} has no column for open, high, low; {', '.join(prices.values())} may be", options)
    if there == list(OHLCV[:4]):
        counting = [c for c in others if not re.search(_OTHER_COUNTS, plain_name(c)) and counts(renamed[c].dropna())]
        if len(counting) == 1:
            raise _may_be("volume", str(counting[0]), path)


def counts(values: pd.Series) -> bool:
    """Whether figures are whole, not below 0, and of many values, as volumes are."""
    whole = len(values) >= _FEW and bool(((values >= 0) & (values % 1 == 0)).all())
    return whole and values.nunique() > len(values) / 2


def _few_are_no_numbers(column: pd.Series) -> bool:
    """Whether a column of texts holds numbers but for a few cells."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    cells = column.dropna().head(_MANY).astype(str)
    numbers = sum(map(reads_as_number, cells))
    return 0.8 * len(cells) <= numbers < len(cells)
