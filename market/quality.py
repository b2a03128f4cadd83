"""Checking OHLCV bars, and repairing them only when asked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from market.errors import InputError
from market.reading.row_order import in_order

_PRICES = ("open", "high", "low", "close")
# float32 sources round each price on its own: a high may lie this far below a close and still be honest.
_TOLERANCE = 1e-6
# Beyond this share of bad rows nothing is repaired: the reading is wrong, not the data.
MOST_DEFECTS = 0.05
_HINT = "correct the file, or say --repair to repair or drop such rows"


@dataclass(frozen=True, slots=True)
class Defect:
    """One bad row: what kind, whose, when, and which row of the input (0-based, as read)."""

    kind: str
    asset: str
    time: str
    row: int
    message: str


def check_ohlcv(frame: pd.DataFrame) -> list[Defect]:
    """Return what is wrong with a long frame (ts, symbol, open, high, low, close, volume), in row order.

    Checked: missing time, duplicates of (symbol, ts), time order within a symbol, infinite or non-positive prices,
    negative volume, high below low, high below open or close, low above open or close (beyond 1e-6 relative). A
    missing (NaN) price is not a defect: missing is NaN.
    """
    masks: list[tuple[str, pd.Series, str]] = []
    masks.append(("time", frame["ts"].isna(), "has no time"))
    if not in_order(frame):
        masks.append(("duplicate", frame.duplicated(["symbol", "ts"]), "repeats an earlier bar of the same time"))
        earlier = frame.groupby("symbol", sort=False, observed=True)["ts"].diff() < pd.Timedelta(0)
        masks.append(("order", earlier, "comes after a later bar"))
    prices = frame[list(_PRICES)].to_numpy(dtype=np.float64, copy=True)
    for index, name in enumerate(_PRICES):
        bad = (prices[:, index] <= 0) | np.isinf(prices[:, index])
        masks.append(("price", pd.Series(bad, index=frame.index), f"has a {name} that is not a positive number"))
    volume = frame["volume"].to_numpy(dtype=np.float64)
    bad_volume = (volume < 0) | np.isinf(volume)
    masks.append(("volume", pd.Series(bad_volume, index=frame.index), "has a negative or infinite volume"))
    # An infinite price is named above; among the ranges it would only raise inf - inf.
    prices[np.isinf(prices)] = np.nan
    slack = _TOLERANCE * np.abs(prices[:, 3])
    opened, high, low, close = prices.T
    ranges = {
        "high < low": high < low - slack,
        "high < open or close": (high < opened - slack) | (high < close - slack),
        "low > open or close": (low > opened + slack) | (low > close + slack),
    }
    masks += [("range", pd.Series(bad, index=frame.index), f"has {what}") for what, bad in ranges.items()]
    return _collect(frame, masks)


def _collect(frame: pd.DataFrame, masks: Sequence[tuple[str, pd.Series, str]]) -> list[Defect]:
    defects = []
    for kind, mask, what in masks:
        positions = np.flatnonzero(mask.to_numpy())
        if not len(positions):
            continue
        # Taken out at once: a file in the wrong order has a defect in every row.
        bad = frame.iloc[positions]
        times = bad["ts"].dt.strftime("%Y-%m-%d %H:%M:%S").fillna("NaT")
        prices = bad[list(_PRICES)].to_numpy(dtype=np.float64)
        for position, asset, time, bar in zip(positions, bad["symbol"], times, prices, strict=True):
            detail = ""
            if kind in ("price", "range"):
                detail = " (" + ", ".join(f"{name} {value:g}" for name, value in zip(_PRICES, bar, strict=True)) + ")"
            message = f"row {int(position) + 1}: {asset} at {time} {what}{detail}"
            defects.append(Defect(kind, str(asset), time, int(position), message))
    return sorted(defects, key=lambda defect: (defect.row, defect.kind))


def sound_rows(
    long: pd.DataFrame,
    where: str,
    tell: Callable[[str], None],
    *,
    repair: bool = False,
    hint: str = _HINT,
    several: Callable[[pd.DataFrame], None] = lambda _rows: None,
) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows in order of time without defects, and what was repaired.

    Rows in another order are sorted, and those that repeat another exactly left out; both is said.

    Parameters
    ----------
    repair
        Repair or drop bad rows instead of refusing them; never more than 5 % of all.
    hint
        What to do about bad rows.
    several
        Is given the rows where some repeat a time with other values, and may refuse them better.

    Raises
    ------
    InputError
        For bad rows that are not to be repaired, and for a share of them that only a wrong reading gives.
    """
    defects = check_ohlcv(long)
    if any(defect.kind == "duplicate" for defect in defects):
        long, dropped = without_exact_repeats(long)
        if dropped:
            tell(f"{dropped} rows repeat another exactly: left out")
            defects = check_ohlcv(long)
        if any(defect.kind == "duplicate" for defect in defects):
            several(long)
    if any(defect.kind == "order" for defect in defects):
        tell("rows were not in order of time: sorted")
        defects = [defect for defect in defects if defect.kind != "order"]
        if not defects:
            long = long.sort_values(["symbol", "ts"], kind="stable", ignore_index=True)
    impossible_reading(long, defects, where)
    if repair:
        return repair_rows(long, defects)
    refuse_defects(defects, where, hint)
    return long, []


def refuse_defects(defects: Sequence[Defect], where: str, hint: str = _HINT) -> None:
    """Raise an `InputError` naming the first bad rows, if there are any."""
    if not defects:
        return
    first = "; ".join(defect.message for defect in defects[:3])
    more = f" and {len(defects) - 3} more" if len(defects) > 3 else ""
    raise InputError(f"{where}: {first}{more}", hint)


def impossible_reading(frame: pd.DataFrame, defects: Sequence[Defect], where: str) -> None:
    """Refuse a frame of which more than 5 % of the rows are defective: then the reading is wrong, not the data.

    Raises
    ------
    InputError
        With the order of the price columns that would fit, where one does.
    """
    rows = {defect.row for defect in defects}
    if len(rows) <= max(1, MOST_DEFECTS * len(frame)):
        return
    first = min(defects, key=lambda defect: defect.row)
    count = f"{len(rows)} of {len(frame)} rows are impossible ({first.message})"
    kinds = {defect.kind for defect in defects}
    if kinds == {"duplicate"}:
        raise InputError(
            f"{where}: {len(rows)} of {len(frame)} rows repeat a time of an asset with other values ({first.message})",
            "if a column names the asset, say --column symbol=NAME; else give one asset a file",
        )
    order = _fitting_order(frame)
    if order == _PRICES:
        raise InputError(
            f"{where}: {count}: these are no rows of bars, though the prices fit",
            "leave such rows out of the file, or give one asset a file; if a column names the asset, say --column "
            "symbol=NAME",
        )
    if order:
        pairs = " ".join(
            f"--column {ours}={theirs}" for ours, theirs in zip(_PRICES, order, strict=True) if ours != theirs
        )
        raise InputError(f"{where}: {count}: the columns are not what they are taken for", f"what would fit: {pairs}")
    hint = "map the columns with --column, or name them with --names"
    if (frame["close"] < 0).mean() > MOST_DEFECTS:
        hint = "negative values are returns or differences, not prices: give prices"
    raise InputError(f"{where}: {count}: it is the reading that is wrong", hint)


def _fitting_order(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the one order of the price columns, as (open, high, low, close), in which nearly all rows are possible."""
    fits = []
    for order in itertools.permutations(_PRICES):
        opened, high, low, close = (frame[name].to_numpy(dtype=np.float64) for name in order)
        good = (low <= np.minimum(opened, close)) & (high >= np.maximum(opened, close)) & (low > 0)
        if good.mean() > 1 - MOST_DEFECTS:
            fits.append(order)
    # Open and close may always change places: the order that keeps them is meant.
    kept = [order for order in fits if order.index("open") < order.index("close")]
    return kept[0] if len(kept) == 1 else ()


def without_exact_repeats(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the frame without rows that repeat another in every column, and how many there were."""
    again = frame.duplicated()
    return frame[~again].reset_index(drop=True), int(again.sum())


def repair_rows(frame: pd.DataFrame, defects: Sequence[Defect]) -> tuple[pd.DataFrame, list[str]]:
    """Repair what can be repaired without inventing prices, and say what was done.

    Rows are sorted; the last of duplicate bars wins; rows without time or with impossible prices or volume are
    dropped; a high or low is widened to enclose open and close.
    """
    kinds = {defect.kind for defect in defects}
    drop = sorted({d.row for d in defects if d.kind in ("time", "price", "volume")})
    notes = []
    if drop:
        frame = frame.drop(index=frame.index[drop])
        notes.append(f"dropped {len(drop)} rows without a time or with impossible prices or volume")
    if "duplicate" in kinds:
        before = len(frame)
        frame = frame.drop_duplicates(["symbol", "ts"], keep="last")
        notes.append(f"dropped {before - len(frame)} repeated bars, keeping the last")
    if "order" in kinds:
        notes.append("sorted bars into time order")
    count = len({d.row for d in defects if d.kind == "range"} - set(drop))
    if count:
        highs, lows = frame[list(_PRICES)].max(axis=1), frame[list(_PRICES)].min(axis=1)
        # max and min skip NaN; a bar without a high keeps none.
        frame = frame.assign(high=highs.where(frame["high"].notna()), low=lows.where(frame["low"].notna()))
        notes.append(f"widened high or low of {count} bars to enclose open and close")
    if not in_order(frame, sorted_assets=True):
        frame = frame.sort_values(["symbol", "ts"], kind="stable")
    return frame, notes
