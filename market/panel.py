"""`Panel`: what happened in a market, as T x N arrays on one UTC time index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from market.errors import InputError

Calendar = Literal["continuous", "exchange"]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
TimeArray = NDArray[np.datetime64]

OHLCV = ("open", "high", "low", "close", "volume")
_DAY = np.timedelta64(1, "D")
# Days of a week, a month, a quarter and a year, by how much they differ, and how many a year has.
_LONG_BARS = ((7.0, 0.5, 52.0), (29.5, 1.6, 12.0), (91.0, 2.1, 4.0), (365.5, 0.6, 1.0))


def _frozen(array: NDArray[np.generic]) -> NDArray[np.generic]:
    array = np.ascontiguousarray(array)
    if array.flags.writeable:
        array = array.copy()
        array.setflags(write=False)
    return array


def refuse_odd_symbols(symbols: Iterable[str]) -> None:
    """Refuse, as an `InputError`, symbols that are empty or hold what breaks a line or commands a terminal."""
    odd = [symbol for symbol in symbols if not symbol.strip() or not symbol.isprintable()]
    if odd:
        shown = ", ".join(ascii(symbol) for symbol in odd[:5]) + (", ..." if len(odd) > 5 else "")
        raise InputError(f"no asset can be called {shown}", "give it letters, digits and signs that can be shown")


@dataclass(frozen=True, eq=False)
class Panel:
    """A market over time: T bars by N assets.

    Attributes
    ----------
    times
        (T,) ``datetime64[ns]``, UTC, strictly increasing; the OPEN time of each bar. A bar that no
        asset traded has no row: gaps are reported, never filled.
    assets
        N names, unique.
    fields
        Name to (T, N) float64, read-only; missing, or infinite, is NaN. Always holds open, high, low, close, volume.
    universe
        (T, N) bool: which assets may be traded at the bar, known at its close.
    bar
        Length of a bar.
    calendar
        ``continuous`` (crypto, 24/7) or ``exchange`` (252 sessions a year).
    name
        For people; not part of the identity.
    simulated
        Whether the prices were generated; reports say so. Not part of the identity.
    """

    times: TimeArray
    assets: tuple[str, ...]
    fields: Mapping[str, FloatArray]
    universe: BoolArray
    bar: np.timedelta64
    calendar: Calendar = "continuous"
    name: str = field(default="panel")
    simulated: bool = False

    def __post_init__(self) -> None:
        """Check shapes and order, and make every array read-only."""
        times = np.asarray(self.times, dtype="datetime64[ns]")
        shape = (len(times), len(self.assets))
        if len(set(self.assets)) != len(self.assets):
            raise InputError("the panel names an asset twice", "give each asset one column")
        if shape[0] > 1 and not bool(np.all(np.diff(times) > np.timedelta64(0, "ns"))):
            raise InputError("bar times are not strictly increasing", "sort them and drop duplicates")
        missing = [name for name in OHLCV if name not in self.fields]
        if missing:
            raise InputError(f"the panel lacks {', '.join(missing)}", "map the columns when importing")
        fields = {}
        for name, values in self.fields.items():
            array = np.asarray(values, dtype=np.float64)
            if array.shape != shape:
                raise InputError(f"field {name!r} has shape {array.shape}, the panel {shape}")
            fields[name] = _frozen(np.where(np.isinf(array), np.nan, array) if np.isinf(array).any() else array)
        if self.universe.shape != shape:
            raise InputError(f"the universe mask has shape {self.universe.shape}, the panel {shape}")
        object.__setattr__(self, "times", _frozen(times))
        object.__setattr__(self, "fields", MappingProxyType(fields))
        object.__setattr__(self, "universe", _frozen(np.asarray(self.universe, dtype=bool)))
        object.__setattr__(self, "bar", self.bar.astype("timedelta64[ns]"))

    @property
    def shape(self) -> tuple[int, int]:
        """(T, N)."""
        return len(self.times), len(self.assets)

    def __getitem__(self, name: str) -> FloatArray:
        """Return the field `name`, (T, N), read-only."""
        return self.fields[name]

    @cached_property
    def id(self) -> str:
        """Content hash: same bars, assets and values, same id (``panel:`` and 16 hex digits)."""
        digest = hashlib.sha256()
        digest.update(self.times.astype("int64").tobytes())
        digest.update("\x1f".join(self.assets).encode())
        digest.update(f"{int(self.bar.astype('int64'))}/{self.calendar}".encode())
        digest.update(np.packbits(self.universe).tobytes())
        for name in sorted(self.fields):
            digest.update(name.encode())
            # NaNs differ in payload bits between sources; every one means "missing".
            digest.update(np.nan_to_num(self.fields[name], nan=-1.2345e301).tobytes())
        return f"panel:{digest.hexdigest()[:16]}"

    @property
    def bars_per_year(self) -> float:
        """Bars in a year: 24/7 for crypto, 252 sessions for exchanges; 52 weeks, 12 months, 4 quarters for both."""
        for length, tolerance, count in _LONG_BARS:
            if abs(float(self.bar / _DAY) - length) <= tolerance:
                return count
        if self.calendar == "continuous":
            return float(np.timedelta64(365, "D") / self.bar)
        if self.bar >= _DAY:
            return 252.0 / max(1.0, round(float(self.bar / _DAY)))
        days = len(np.unique(self.times.astype("datetime64[D]")))
        return 252.0 * len(self.times) / max(days, 1)

    @property
    def money(self) -> FloatArray:
        """(T, N) money traded in a bar: the panel's own ``amount``, or volume at the close."""
        if "amount" in self.fields:
            return self.fields["amount"]
        traded: FloatArray = self.fields["volume"] * self.fields["close"]
        return traded

    def rows(self, start: int, stop: int) -> Panel:
        """Return bars [start, stop) as a panel of their own."""
        return replace(
            self,
            times=self.times[start:stop],
            fields={name: values[start:stop] for name, values in self.fields.items()},
            universe=self.universe[start:stop],
        )

    def select(self, assets: Iterable[str]) -> Panel:
        """Return the named assets, in the given order; an unknown one is an `InputError`."""
        wanted = list(assets)
        unknown = [name for name in wanted if name not in self.assets]
        if unknown:
            raise InputError(f"no such asset: {', '.join(unknown)}", f"the panel has {', '.join(self.assets[:20])}")
        columns = [self.assets.index(name) for name in wanted]
        return replace(
            self,
            assets=tuple(wanted),
            fields={name: values[:, columns] for name, values in self.fields.items()},
            universe=self.universe[:, columns],
        )

    def with_fields(self, extra: Mapping[str, FloatArray]) -> Panel:
        """Return the panel with `extra` (T, N) fields added or replaced."""
        return replace(self, fields={**self.fields, **extra})
