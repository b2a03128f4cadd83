"""`Panel`: what happened in a market, as T x N arrays on one UTC time index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from market.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

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


def _stretches(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the cells of an array, a million at a time (a multiple of 8: bits of several make whole bytes)."""
    flat = array.reshape(-1)
    for start in range(0, len(flat), 1 << 20):
        yield flat[start : start + (1 << 20)]


def refuse_odd_symbols(symbols: Iterable[str]) -> None:
    """Refuse, as an `InputError`, symbols that are empty or hold what breaks a line or commands a terminal."""
    odd = [symbol for symbol in symbols if not symbol.strip() or not symbol.isprintable()]
    if odd:
        shown = ", ".join(ascii(symbol) for symbol in odd[:5]) + (", ..." if len(odd) > 5 else "")
        raise InputError(f"no asset can be called {shown}", "give it letters, digits and signs that can be shown")


def _moment(date: object) -> np.datetime64:
    """Return a date of a slice in its own resolution: a text's last part (a year, a minute), else nanoseconds, UTC."""
    try:
        if isinstance(date, datetime):
            whole = date if date.tzinfo is None else date.astimezone(UTC).replace(tzinfo=None)
            return np.datetime64(whole, "ns")
        if isinstance(date, np.datetime64):
            return date.astype("datetime64[ns]")  # type: ignore[no-any-return]
        return np.datetime64(str(date).rstrip("Z"))
    except ValueError as error:
        raise InputError(f"{date!r} is no date", 'write "2023", "2023-01-31" or "2023-01-31T12:00" (UTC)') from error


@dataclass(frozen=True, eq=False, repr=False)
class Panel:
    """A market over time: T bars by N assets.

    It is read-only, and stays so when it is copied or pickled: processes of multiprocessing or joblib may share it.

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

    @cached_property
    def session_bars(self) -> int | None:
        """Bars of a usual session of the exchange, the commonest number; None where bars run day and night.

        A session ends where no bar comes for three hours or more. Of bars of a day or longer, each is one.
        """
        if self.calendar != "exchange":
            return None
        if self.bar >= np.timedelta64(1, "D") or len(self.times) < 2:
            return 1
        ends = np.flatnonzero(np.diff(self.times) >= self.bar + np.timedelta64(3, "h"))
        # The first and the last one may be cut.
        lengths = np.diff(ends) if len(ends) > 1 else np.array([len(self.times)])
        return int(np.bincount(lengths).argmax())

    @property
    def shape(self) -> tuple[int, int]:
        """(T, N)."""
        return len(self.times), len(self.assets)

    @overload
    def __getitem__(self, key: str) -> FloatArray: ...
    @overload
    def __getitem__(self, key: slice | tuple[slice, Iterable[str]]) -> Panel: ...

    def __getitem__(self, key: str | slice | tuple[slice, Iterable[str]]) -> FloatArray | Panel:
        """Return a field by its name, (T, N), read-only; or a part of the panel by dates, and by assets behind them.

        ``panel["close"]`` is an array. ``panel["2021":"2023"]`` is a panel: as in pandas, both ends are part of it, and
        ``"2023"`` is the whole year. ``panel["2021":, ["BTCUSDT", "ETHUSDT"]]`` has two assets.
        """
        if isinstance(key, str):
            if key not in self.fields:
                raise KeyError(f"no field {key!r}; the panel has {', '.join(self.fields)}")
            return self.fields[key]
        dates, assets = key if isinstance(key, tuple) else (key, None)
        if not isinstance(dates, slice) or dates.step is not None:
            raise InputError("a panel is cut by dates", 'write panel["2021":"2023"], or panel["2021":, ["BTCUSDT"]]')
        first, stop = self._row(dates.start, after=False), self._row(dates.stop, after=True)
        if stop <= first:
            span = f"{str(self.times[0])[:16]} to {str(self.times[-1])[:16]}" if len(self.times) else "no bars"
            raise InputError(
                f"no bars from {dates.start or 'the start'} to {dates.stop or 'the end'}", f"there are {span}"
            )
        part = self.rows(first, stop)
        return part if assets is None else part.select([assets] if isinstance(assets, str) else assets)

    def _row(self, date: object, *, after: bool) -> int:
        """Return the row at which a slice by dates begins, or ends; an open end is that of the panel."""
        if date is None:
            return len(self.times) if after else 0
        moment = _moment(date)
        # A text names a whole year, month, day or minute.
        return int(np.searchsorted(self.times, (moment + 1 if after else moment).astype("datetime64[ns]")))

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: a mapping that cannot be changed cannot be pickled."""
        return {**self.__dict__, "fields": dict(self.fields)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take over a pickled state; arrays are read-only again, without a copy."""
        self.__dict__.update(state)
        for array in (self.times, self.universe, *self.fields.values()):
            array.setflags(write=False)
        object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))

    def __repr__(self) -> str:
        """Return name, size and span in one line."""
        bars, assets = self.shape
        span = f", {str(self.times[0])[:16]} .. {str(self.times[-1])[:16]}" if bars else ""
        return f"Panel({self.name!r}: {bars} bars of {self.bar_text}, {assets} assets{span}; {', '.join(self.fields)})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: size, span, and how complete each field is."""
        from market.panel_frames import panel_html

        return panel_html(self)

    def to_frame(self, field: str | None = None) -> pd.DataFrame:
        """Return a frame of pandas: of one field (times by assets), or all fields by (time, asset).

        Times are the bars' opens in UTC, without a zone. All fields together leave out rows in which every price is
        missing; `alphaglow.panel` reads both forms.
        """
        from market.panel_frames import all_fields, one_field

        return all_fields(self) if field is None else one_field(self, field)

    def to_qlib(self, folder: str | Path) -> Path:
        """Write the panel as a data folder of Qlib and return it; see `market.qlib_files.write_qlib`."""
        from market.qlib_files import write_qlib

        return write_qlib(self, Path(folder))

    @property
    def bar_text(self) -> str:
        """The length of a bar as people write it: ``1 h``, ``5 min``, ``1 d``."""
        minutes = float(self.bar / np.timedelta64(1, "m"))
        for unit, size in (("d", 1440), ("h", 60)):
            if minutes >= size and minutes % size == 0:
                return f"{minutes / size:g} {unit}"
        return f"{minutes:g} min"

    @cached_property
    def id(self) -> str:
        """Content hash: same bars, assets and values, same id (``panel:`` and 16 hex digits)."""
        digest = hashlib.sha256()
        digest.update(self.times.astype("int64").tobytes())
        digest.update("\x1f".join(self.assets).encode())
        digest.update(f"{int(self.bar.astype('int64'))}/{self.calendar}".encode())
        # By and by: a panel may be larger than memory.
        for bits in _stretches(self.universe):
            digest.update(np.packbits(bits).tobytes())
        for name in sorted(self.fields):
            digest.update(name.encode())
            for values in _stretches(self.fields[name]):
                # NaNs differ in payload bits between sources; every one means "missing".
                digest.update(np.nan_to_num(values, nan=-1.2345e301).tobytes())
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
