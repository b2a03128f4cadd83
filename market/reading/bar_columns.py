"""Which columns of unknown names may hold a bar's four prices: by how they are called alike, or by what they hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from market.columns import plain_name

_PRICES = ("open", "high", "low", "close")
_LEAST_ROWS = 20
_MOST_COLUMNS = 24


def likely_prices(frame: pd.DataFrame, stamp: str | None) -> tuple[dict[str, str], bool]:
    """Return open, high, low and close to the columns that may be them, and whether time decides what is the open.

    Empty where nothing points at four.

    First by names that differ in one word only ("bidopen", "bidhigh", …), then by figures: one column is never below
    three others of nearly the same size, and one never above them. What comes first, open or close, is decided by
    time: a bar opens near the close before it.
    """
    numeric = [
        str(c) for c in frame.columns
        if str(c) != stamp and pd.api.types.is_numeric_dtype(frame[c]) and not pd.api.types.is_bool_dtype(frame[c])
    ]  # fmt: skip
    named = _by_name(numeric)
    return (named, True) if named else _by_figures(frame, numeric[:_MOST_COLUMNS], stamp)


def _by_name(columns: Sequence[str]) -> dict[str, str]:
    plain = {plain_name(column): column for column in columns}
    for word in plain:
        if "open" not in word:
            continue
        four = {name: word.replace("open", name) for name in _PRICES}
        if all(other in plain for other in four.values()):
            return {name: plain[other] for name, other in four.items()}
    return {}


def _by_figures(frame: pd.DataFrame, columns: Sequence[str], stamp: str | None) -> tuple[dict[str, str], bool]:
    if len(frame) < _LEAST_ROWS:
        return {}, False
    values = {column: frame[column].to_numpy(dtype=np.float64) for column in columns}
    values = {c: v for c, v in values.items() if np.isfinite(v).mean() > 0.9 and not (v <= 0).any() and np.ptp(v) > 0}
    for first in values:
        near = [c for c in values if _near(values[first], values[c])]
        high = next((c for c in near if all(_never_below(values[c], values[o]) for o in near)), None)
        low = next((c for c in near if all(_never_below(values[o], values[c]) for o in near)), None)
        between = [c for c in near if c not in (high, low)]
        if high is None or low is None or high == low or len(between) < 2:
            continue
        (opened, close), decided = _in_time(frame, stamp, values, between)
        return {"open": opened, "high": high, "low": low, "close": close}, decided
    return {}, False


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    with np.errstate(invalid="ignore", divide="ignore"):
        return bool(np.nanmax(np.abs(np.log(one / other))) < 0.5)


def _never_below(one: np.ndarray, other: np.ndarray) -> bool:
    known = np.isfinite(one + other)
    return bool((one[known] >= other[known]).all())


def _in_time(
    frame: pd.DataFrame, stamp: str | None, values: dict[str, np.ndarray], between: Sequence[str]
) -> tuple[tuple[str, str], bool]:
    """Return the two columns of which the one, a bar later, lies nearest to the other, and whether far nearer."""
    backward = stamp in frame.columns and newest_first(*frame[stamp].iloc[[0, -1]].astype(str))
    gaps = {
        (a, b): open_gap(values[a], values[b], backward=backward) for a in between for b in between if a != b
    }  # fmt: skip
    best = min(gaps, key=lambda pair: gaps[pair])
    # Where time says little, the one that stands first is the open.
    decided = gaps[best] < 0.7 * gaps[best[::-1]]
    return (best if decided else (between[0], between[1])), decided


def newest_first(first: str, last: str) -> bool:
    """Whether the first of two times, as texts, is the later one; where they cannot be read, it is not."""
    ends = pd.to_datetime(pd.Series([first, last]), errors="coerce", format="mixed", dayfirst=True)
    if ends.notna().all():
        return bool(ends.iloc[0] > ends.iloc[1])
    numbers = pd.to_numeric(pd.Series([first, last]), errors="coerce")
    return bool(numbers.iloc[0] > numbers.iloc[1])


def open_gap(opened: np.ndarray, close: np.ndarray, *, backward: bool = False) -> float:
    """Return how far opens lie from the closes before them, in the mean of absolute log differences."""
    if backward:
        opened, close = opened[::-1], close[::-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = np.abs(np.log(opened[1:] / close[:-1]))
    known = gaps[np.isfinite(gaps)]
    return float(known.mean()) if len(known) else np.inf
