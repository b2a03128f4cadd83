"""Whether what was read or fetched can be: times, sizes of bars, units, columns that know the future."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from market.columns import KEYS
from market.errors import InputError
from market.panel import OHLCV
from market.reading.row_order import same_asset, stand_together
from market.reading.times import newest_allowed

Tell = Callable[[str], None]
_DAY = 86_400_000_000_000
_SECOND = 1_000_000_000
# Of a column with the next bar's return.
_KNOWS = 0.99
_LEAST_ROWS = 30
# Rows that tell as much as a million.
_ENOUGH = 50_000


def plausible_rows(
    long: pd.DataFrame, where: str, asked: frozenset[str], tell: Tell, *, options: bool = True
) -> pd.DataFrame:
    """Return rows (ts, symbol, open, high, low, close, volume, …) that can be bars, of files and of sources alike.

    Parameters
    ----------
    where
        What messages call them.
    asked
        Columns that were asked for by name: they stay even where they know the future.
    tell
        Takes what was found out, a sentence each.
    options
        Whether the sentences name the options of `data import`: a fetch has none of them.

    Raises
    ------
    InputError
        For bars of a length that none have, and for bars of tomorrow.
    """
    if len(long) and long["ts"].max() > pd.Timestamp(newest_allowed(), tz="UTC"):
        raise InputError(
            f"{where}: bars of {str(long['ts'].max())[:16]}, which is after now", "see whether the times are right"
        )
    # The first rows show a bar's length as well as all do.
    refuse_odd_bar(bar_length(long.head(_ENOUGH)), where)
    return without_foreknowledge(tell_units(long, tell, options=options), asked, tell, options=options)


def bar_length(long: pd.DataFrame) -> int:
    """Return the length of a bar in nanoseconds: the most common step within an asset."""
    times = long["ts"].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]").view("int64")
    steps, same = np.diff(times), same_asset(long["symbol"])
    # Most files are in order, asset by asset: sorting them again would take as long as all else here.
    if (same & (steps <= 0)).any() or not stand_together(long["symbol"], same):
        codes = pd.factorize(long["symbol"])[0]
        order = np.lexsort((times, codes))
        steps, same = np.diff(times[order]), np.diff(codes[order]) == 0
    within = steps[same & (steps > 0)]
    steps, counts = np.unique(within if len(within) else np.diff(np.unique(times)), return_counts=True)
    if not len(steps):
        raise InputError(
            f"all {len(long)} rows are of one time: the data has fewer than two bars",
            "is it the right file? if another column holds its times, say --column ts=NAME",
        )
    return int(steps[np.argmax(counts)])


def refuse_odd_bar(bar: int, where: str) -> None:
    """Refuse bars of a length that none have: under a second, parts of a second or of a day that is no bar's.

    Parameters
    ----------
    bar
        Nanoseconds.
    """
    if bar >= _SECOND and bar % _SECOND == 0:
        if bar < _DAY and (bar <= 60 * _SECOND or bar % (60 * _SECOND) == 0):
            return
        if bar >= _DAY and (bar % _DAY == 0 or bar % (3600 * _SECOND) == 0):
            return
    length = f"{bar / _SECOND:g} s" if bar < 3600 * _SECOND else f"{bar / 3600 / _SECOND:g} hours"
    raise InputError(
        f"{where}: most bars lie {length} apart, which no bars do: the times are read wrongly, or these are trades",
        "map the column of times with --column ts=NAME, or say --date-format",
    )


def refuse_outside(moments: np.ndarray, start: np.datetime64, end: np.datetime64, where: str) -> None:
    """Refuse times of which none falls into [start, end)."""
    known = moments[~np.isnat(moments)]
    if not len(known) or known.max() < start or known.min() >= end:
        span = f"{str(known.min())[:16]} to {str(known.max())[:16]}" if len(known) else "no time"
        raise InputError(
            f"{where}: nothing falls into the data's span, {str(start)[:16]} to {str(end)[:16]}; it holds {span}",
            "join it to data of that time, or see whether its times are read rightly: alphaglow data check FILE",
        )


def tell_units(long: pd.DataFrame, tell: Tell, *, options: bool = True) -> pd.DataFrame:
    """Say where money over volume is far from the price, with the factor that would make it fit.

    A coin-margined contract counts contracts of a fixed sum and its money in coins: there the data decide, and volume
    is made coins, money that sum.
    """
    if "amount" not in long.columns or "volume" not in long.columns:
        return long
    traded = (long["volume"] > 0) & (long["amount"] > 0) & (long["close"] > 0)
    if traded.sum() < 2 or long["amount"].equals(long["volume"]):
        return long
    volume, money, close = (long.loc[traded, name].to_numpy(dtype=np.float64) for name in ("volume", "amount", "close"))
    contract = money * close / volume
    size = float(np.median(contract))
    face = 10.0 ** round(np.log10(size))
    fixed = face in (1.0, 10.0, 100.0) and np.quantile(np.abs(contract / face - 1), 0.9) < 0.03
    if fixed and np.median(close) > 3 * face:
        tell(f"volume counts contracts of {face:g}, money coins: volume is made coins, amount contracts x {face:g}")
        return long.assign(volume=long["amount"], amount=long["volume"] * face)
    ratio = float(np.median(money / volume / close))
    if not 1 / 3 < ratio < 3:
        factor = 10.0 ** -round(np.log10(ratio))
        field, value = ("amount", factor) if factor >= 1 else ("volume", 1 / factor)
        fit = f"--unit {field}={value:g}" if options else f"{field} x {value:g}"
        tell(f"amount / volume is {ratio:.3g} times the close: lots, contracts, thousands? {fit} would make it fit")
    return long


def without_foreknowledge(
    long: pd.DataFrame, asked: frozenset[str], tell: Tell, *, options: bool = True
) -> pd.DataFrame:
    """Leave out a column that goes with the next bar's return (correlation 0.99 or more), unless asked for by name."""
    extra = [c for c in long.columns if c not in OHLCV and c not in KEYS and c != "amount" and c not in asked]
    if not extra or len(long) < _LEAST_ROWS:
        return long
    close = long["close"].to_numpy(dtype=np.float64)
    codes = pd.factorize(long["symbol"])[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        coming = np.append(close[1:] / close[:-1] - 1, np.nan)
    coming[:-1][np.diff(codes) != 0] = np.nan
    drop = []
    for name in extra:
        values = long[name].to_numpy(dtype=np.float64)
        known = np.isfinite(values) & np.isfinite(coming)
        if known.sum() < _LEAST_ROWS or np.ptp(values[known]) == 0 or np.ptp(coming[known]) == 0:
            continue
        if abs(float(np.corrcoef(values[known], coming[known])[0, 1])) >= _KNOWS:
            keep = f" (to keep it: --column {name}={name})" if options else ""
            tell(f"{name} is left out: it goes with the next bar's return{keep}")
            drop.append(name)
    return long.drop(columns=drop)


def distinguishing(long: pd.DataFrame, frame: pd.DataFrame) -> str:
    """Return the text column, not used as the symbol, that tells repeated rows apart; empty where none does."""
    if len(frame) != len(long):
        return ""
    again = long.duplicated(["symbol", "ts"], keep=False).to_numpy()
    for name in frame.columns:
        column = frame[name]
        few = column.nunique() <= max(1, len(frame) // 2)
        if pd.api.types.is_float_dtype(column) or not few or column.nunique() < 2 or column.isna().any():
            continue
        keys = pd.DataFrame({"ts": long["ts"].to_numpy()[again], "name": column.to_numpy()[again]})
        if not keys.duplicated().any():
            return str(name)
    return ""
