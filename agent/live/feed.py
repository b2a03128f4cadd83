"""Where new bars come from, and what time it is: an exchange, or recorded bars replayed by a clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from market.panel import BoolArray, FloatArray, Panel

# The longest that a sleep goes without asking whether to stop, seconds.
_NAP = 0.2
Stop = Callable[[], bool]


class FeedDown(Exception):
    """The feed cannot answer now; asking again may help."""


class FeedOver(Exception):
    """The feed has no further bars, now or later."""


@dataclass(frozen=True, eq=False)
class Bar:
    """One bar of a market, assets in the order of the panel.

    Attributes
    ----------
    time
        When it opened, UTC.
    fields
        Name to (N,) values, NaN where missing.
    inside
        (N,) which assets may be traded, before any narrowing of the universe.
    late
        (N,) which assets have no bar here and may yet get one. Where the feed knows that none will come, it is False.
    """

    time: np.datetime64
    fields: Mapping[str, FloatArray]
    inside: BoolArray
    late: BoolArray

    @property
    def present(self) -> BoolArray:
        """(N,) which assets have a bar."""
        return np.isfinite(self.fields["close"])


class Feed(Protocol):
    """What gives new bars."""

    @property
    def name(self) -> str:
        """What it reads, shown to users and stored in the journal: bars of two feeds are never mixed."""

    def time(self) -> np.datetime64:
        """Return the time by the clock that decides whether a bar is closed: the server's; may raise `FeedDown`."""

    def newer(self, after: np.datetime64) -> Sequence[Bar]:
        """Return bars that opened after `after`; what is open, twice or in disorder is the caller's to sort.

        Raises
        ------
        FeedDown
            When it cannot be reached; nothing is lost.
        FeedOver
            When no bar will come any more.
        """


class Clock(Protocol):
    """Our own clock, in seconds since 1970."""

    def now(self) -> float:
        """Return the time."""

    def sleep(self, seconds: float, stop: Stop) -> None:
        """Wait this long, or until asked to stop."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return the time."""
        return time.time()

    def sleep(self, seconds: float, stop: Stop) -> None:
        """Wait in short steps, and ask between them whether to stop."""
        end = time.monotonic() + seconds
        while not stop() and (left := end - time.monotonic()) > 0:
            time.sleep(min(_NAP, left))


@dataclass
class FastClock:
    """A clock that begins at `start` and runs `speed` times as fast; 0: it jumps over whatever is waited for."""

    start: float
    speed: float = 0.0
    _jumped: float = 0.0
    _begun: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Return the time."""
        return self.start + self._jumped + (time.monotonic() - self._begun) * self.speed

    def sleep(self, seconds: float, stop: Stop) -> None:
        """Wait, or jump."""
        if self.speed <= 0:
            self._jumped += max(seconds, 0.0)
        else:
            SystemClock().sleep(seconds / self.speed, stop)


def as_seconds(moment: np.datetime64) -> float:
    """Return seconds since 1970."""
    return float(moment.astype("datetime64[ns]").astype(np.int64)) / 1e9


def as_moment(seconds: float) -> np.datetime64:
    """Return the time of this many seconds since 1970, to the microsecond."""
    moment: np.datetime64 = np.datetime64(round(seconds * 1e6), "us").astype("datetime64[ns]")
    return moment


def age_in_words(seconds: float) -> str:
    """Return an age in the largest unit that gives at least two of it: ``90 s``, ``45 min``, ``30 h``, ``895 days``."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"


@dataclass(frozen=True, eq=False)
class Replay:
    """Recorded bars that come out as a clock passes their close. What is recorded is final: nothing is late."""

    panel: Panel
    clock: Clock
    name: str

    def time(self) -> np.datetime64:
        """Return the time of its clock."""
        return as_moment(self.clock.now())

    def newer(self, after: np.datetime64) -> list[Bar]:
        """Return the bars that opened after `after` and are closed; past the last one it is `FeedOver`."""
        if after >= self.panel.times[-1]:
            raise FeedOver("the recording is over")
        first = int(np.searchsorted(self.panel.times, after, side="right"))
        end = int(np.searchsorted(self.panel.times, self.time() - self.panel.bar, side="right"))
        return [bar_at(self.panel, row) for row in range(first, end)]


def bar_at(panel: Panel, row: int) -> Bar:
    """Return a row of a panel as a bar."""
    fields = {name: values[row] for name, values in panel.fields.items()}
    return Bar(panel.times[row], fields, panel.universe[row], np.zeros(len(panel.assets), dtype=bool))


def with_bars(panel: Panel, bars: Sequence[Bar]) -> Panel:
    """Return the panel with further bars after its own; a field that a bar lacks is NaN there."""
    if not bars:
        return panel
    nothing = np.full(len(panel.assets), np.nan)
    fields = {
        name: np.concatenate([values, np.stack([bar.fields.get(name, nothing) for bar in bars])])
        for name, values in panel.fields.items()
    }
    return Panel(
        times=np.concatenate([panel.times, np.array([bar.time for bar in bars], dtype="datetime64[ns]")]),
        assets=panel.assets,
        fields=fields,
        universe=np.concatenate([panel.universe, np.stack([bar.inside for bar in bars])]),
        bar=panel.bar,
        calendar=panel.calendar,
        name=panel.name,
        simulated=panel.simulated,
    )
