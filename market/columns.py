"""How the columns and times of a file are understood: names, units, zones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from market.errors import InputError

ALIASES: Mapping[str, tuple[str, ...]] = {
    "ts": (
        "ts", "timestamp", "unix", "time", "datetime", "date", "open_time", "opentime", "open time", "bar_time",
        "start", "snapshot_date", "published", "published_at", "close_time",
    ),
    "symbol": ("symbol", "ticker", "tic", "asset", "pair", "instrument", "name", "coin"),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price", "last"),
    "volume": ("volume", "v", "vol", "base_volume"),
    "amount": ("amount", "quote_volume", "quote_asset_volume", "quote asset volume", "turnover"),
}  # fmt: skip
KEYS = ("ts", "symbol")
# Binance's bulk klines come without a header, twelve columns.
KLINES = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades",
    "taker_buy_volume", "taker_buy_amount", "ignore",
)  # fmt: skip
# What never is a figure of its own: a second time, or Binance's last column.
_NOISE = frozenset({"ignore", "close_time", "close time", "unix", "unnamed"})
# What a file name says beside the symbol: BTCUSDT_1h, AAPL_data, Binance_BTCUSDT_d, BTCUSDT-1h-2024-01.
_SUFFIX = re.compile(
    r"(_(\d+(s|m|min|h|d|w|mo)|[dh]|minute|daily|hourly|data|ohlcv|candles|bars|prices)"
    r"|-\d+(s|m|h|d|w|mo)-\d{4}(-\d{2}){0,2})$",
    re.IGNORECASE,
)
# CryptoDataDownload: "Volume BTC" is in coins, "Volume USDT" in money.
_VOLUME_OF = re.compile(r"volume[ _]+\(?([a-z0-9]+)\)?$", re.IGNORECASE)
# (at most) epoch, nanoseconds in one, what the unit is called.
UNITS = ((1e11, 1_000_000_000, "seconds"), (1e14, 1_000_000, "milliseconds"), (1e17, 1_000, "microseconds"))


def plain_name(name: object) -> str:
    """Return a column name in lower case without blanks around it."""
    return str(name).strip().lower()


def find(frame: pd.DataFrame, ours: str, mapping: Mapping[str, str]) -> str | None:
    """Return the frame's column for `ours`: as mapped, or by a usual name."""
    if ours in mapping and mapping[ours] in frame.columns:
        return mapping[ours]
    lowered = {plain_name(column): str(column) for column in frame.columns}
    return next((lowered[alias] for alias in ALIASES[ours] if alias in lowered), None)


def understand(frame: pd.DataFrame, mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the frame's columns to ours, for those that are recognised or mapped."""
    found = {ours: find(frame, ours, mapping) for ours in ALIASES}
    if found["volume"] is None:
        found |= _volumes(frame, found["symbol"])
    names = {theirs: ours for ours, theirs in found.items() if theirs is not None}
    return names | {theirs: ours for ours, theirs in mapping.items() if ours not in ALIASES}


def _volumes(frame: pd.DataFrame, symbol: str | None) -> dict[str, str | None]:
    """Return volume and amount among columns such as "Volume BTC" and "Volume USDT"."""
    named = {str(c): hit[1].upper() for c in frame.columns if (hit := _VOLUME_OF.match(str(c).strip()))}
    if not named:
        return {}
    pair = str(frame[symbol].iloc[0]).upper() if symbol is not None and len(frame) else ""
    base = next((c for c, coin in named.items() if pair.startswith(coin)), next(iter(named)))
    return {"volume": base, "amount": next((c for c in named if c != base), None)}


def is_noise(name: object) -> bool:
    """Whether a column is known to say nothing beside the others."""
    return plain_name(name) in _NOISE or plain_name(name).startswith("unnamed:")


def field_name(name: object) -> str:
    """Return a column name as a field name: lower case, letters, digits and underscores."""
    return re.sub(r"\W+", "_", plain_name(name))


def symbol_of(path: Path) -> str:
    """Return the symbol that a file name holds."""
    stem = path.name.split(".")[0] if path.suffix.lower() in (".zip", ".gz") else path.stem
    return _SUFFIX.sub("", stem)


def field_of(path: Path) -> str | None:
    """Return the field that a wide file's name holds: its last word after an underscore."""
    word = path.stem.lower().rsplit("_", 1)[-1]
    return next((ours for ours, names in ALIASES.items() if ours not in KEYS and word in names), None)


def unit_of(column: pd.Series) -> str:
    """Return in what the times are written: a unit of epochs, ``dates``, or ``text`` or ``time stamps``."""
    if not pd.api.types.is_numeric_dtype(column):
        return "time stamps" if pd.api.types.is_datetime64_any_dtype(column) else "text"
    known = column.astype(np.float64).replace([np.inf, -np.inf], np.nan).dropna()
    if _are_dates(known):
        return "dates such as 20240131"
    units = sorted({_unit(value)[1] for value in (known.abs().min(), known.abs().max())}) if len(known) else ["seconds"]
    return "epoch " + " and ".join(units)


def zone_of(column: pd.Series) -> str:
    """Return the zone that the times state; empty where they state none."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return str(column.dtype.tz)
    if pd.api.types.is_numeric_dtype(column):
        return "UTC"
    if pd.api.types.is_datetime64_any_dtype(column) or not len(column):
        return ""
    hit = re.search(r"\d(Z| ?UTC|[+-]\d{2}:?\d{2})$", str(column.iloc[0]).strip())
    return "" if hit is None else "UTC" if hit[1].strip() in ("Z", "UTC") else hit[1]


def parse_times(column: pd.Series, path: Path, zone: str = "UTC") -> pd.Series:
    """Return UTC nanosecond times from ISO strings, datetimes, or epoch numbers in s, ms, us or ns.

    Times that state no zone are of `zone`. The unit of an epoch follows from its size, row by row: some files change
    unit.
    """
    if pd.api.types.is_numeric_dtype(column):
        return _epochs(column)
    try:
        try:
            return _texts(column, zone, None)
        except ValueError:
            # Seconds on some rows and none on others, or dates among times.
            return _texts(column, zone, "ISO8601")
    except (ValueError, TypeError, KeyError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot read times such as {column.iloc[0]!r}: {first}", "write ISO 8601") from error


def _texts(column: pd.Series, zone: str, form: str | None) -> pd.Series:
    if zone == "UTC" or zone_of(column):
        return pd.to_datetime(column, utc=True, format=form).astype("datetime64[ns, UTC]")
    local = pd.to_datetime(column, format=form).dt.tz_localize(zone, ambiguous="infer", nonexistent="shift_forward")
    return local.dt.tz_convert("UTC").astype("datetime64[ns, UTC]")


def _are_dates(known: pd.Series) -> bool:
    # 20240131 is a date: read as seconds, the whole file would lie in 1970.
    if not len(known) or not (known.between(19_000_101, 21_001_231).all() and (known % 1 == 0).all()):
        return False
    days = pd.to_datetime(known.astype(np.int64).astype(str), format="%Y%m%d", errors="coerce", utc=True)
    return bool(days.notna().all())


def _unit(value: float) -> tuple[int, str]:
    return next(((scale, name) for top, scale, name in UNITS if value < top), (1, "nanoseconds"))


def _epochs(column: pd.Series) -> pd.Series:
    numbers = column.astype(np.float64).replace([np.inf, -np.inf], np.nan)
    known = numbers.dropna()
    if _are_dates(known):
        days = pd.to_datetime(known.astype(np.int64).astype(str), format="%Y%m%d", utc=True)
        return days.astype("datetime64[ns, UTC]").reindex(column.index)
    size = numbers.abs().fillna(0.0).to_numpy()
    scale = np.select([size < top for top, _, _ in UNITS], [factor for _, factor, _ in UNITS], 1)
    # Fractions of a second count where the file writes them; whole numbers keep every digit.
    whole = column.where(numbers.notna(), 0)
    if pd.api.types.is_float_dtype(column) and not (known % 1 == 0).all():
        counted = np.round(whole.to_numpy(dtype=np.float64) * scale).astype(np.int64)
    else:
        counted = whole.astype(np.int64).to_numpy() * scale
    stamps = pd.Series(counted.astype("datetime64[ns]"), index=column.index).dt.tz_localize("UTC")
    # No time stays no time; `check_ohlcv` names the row.
    return stamps.where(numbers.notna())
