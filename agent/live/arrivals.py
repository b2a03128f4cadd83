"""Waiting for bars: each closed bar is given once and in order, and is complete or named as incomplete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from agent.live.feed import Bar, Clock, Feed, FeedDown, FeedOver, Stop, age_in_words, as_seconds
from market.panel import BoolArray

Notice = Callable[[str], None]
_LONGEST_PAUSE = 60.0
# For this many bars in a row an asset may be late and keep its last target; then it counts as gone, as in the backtest.
KEPT_BARS = 3
# A bar that was owed is asked for again for this many bars; then it is taken to be missing for good.
HEAL_BARS = 48


@dataclass(frozen=True)
class WaitLimits:
    """How long to wait for what, in seconds of the server's clock.

    Attributes
    ----------
    grace
        After its close a bar may still be changed by the exchange; it counts as complete this much later.
    bound
        How long after that to wait for assets that are late.
    share
        Of the assets that had the bar before: with this many of them a bar is complete.
    poll
        Between two questions while waiting.
    """

    grace: float = 2.0
    bound: float = 120.0
    share: float = 1.0
    poll: float = 2.0


@dataclass(frozen=True)
class WaitHooks:
    """Whom a wait asks whether to `stop`, and what it gives its `notice` to, a sentence each."""

    stop: Stop = lambda: False
    notice: Notice = lambda _: None


@dataclass(frozen=True, eq=False)
class Arrival:
    """A bar whose turn it is.

    Attributes
    ----------
    stale
        (N,) assets that had the bar before, were waited for, and did not come.
    newest
        Whether no later bar has closed yet: only then is there still something to decide.
    age
        Seconds from its close to now, by the server's clock.
    healed
        Earlier bars to which late assets were added since; the state is to be built again from them.
    """

    bar: Bar
    stale: BoolArray
    newest: bool
    age: float
    healed: tuple[Bar, ...] = ()


class Arrivals:
    """The bars after `last`, as they close.

    Parameters
    ----------
    last
        The newest bar that is known, which also says which assets are expected.
    owed
        Earlier bars that lack an asset which may come yet.
    """

    def __init__(
        self,
        feed: Feed,
        clock: Clock,
        last: Bar,
        length: np.timedelta64,
        limits: WaitLimits,
        *,
        owed: Iterable[Bar] = (),
        hooks: WaitHooks = WaitHooks(),
    ) -> None:
        self._feed, self._clock, self._length = feed, clock, length
        self._limits, self._stop, self._notice = limits, hooks.stop, hooks.notice
        self._bar = float(length / np.timedelta64(1, "s"))
        self._last = last
        self._expected = last.present
        self._away = np.zeros(len(last.inside), dtype=np.int64)
        self._completed: list[Bar] = []
        self._skew = 0.0
        self._troubles = 0
        self._over = False
        self._warned: float | None = None
        # Bars that lack an asset which may still come, by time.
        self._owed: dict[np.datetime64, Bar] = {bar.time: bar for bar in owed}

    def watch(self) -> Iterator[Arrival]:
        """Yield bars for ever, until asked to stop, or until the feed is over."""
        # Before any wait: our clock may be far from the server's.
        while not self._stop() and not self._measured():
            pass
        while not self._stop() and not self._over:
            close = as_seconds(self._last.time) + 2 * self._bar
            wait = close + self._limits.grace - self._server()
            if wait > 0:
                # The clocks may drift apart in a long sleep: before its end the difference is measured again.
                self._clock.sleep(wait if wait < 60 else max(wait - 5.0, 1.0), self._stop)
                if self._stop():
                    return
            if not self._measured() or self._server() < close + self._limits.grace:
                continue
            came = False
            for arrival in self._ready():
                came = True
                yield arrival
            if not came and not self._over:
                self._pause()

    def now(self) -> Iterator[Arrival]:
        """Yield what has closed by now, waiting only for late assets."""
        if not self._measured():
            raise FeedDown(f"{self._feed.name} cannot be reached")
        while not self._stop() and not self._over and self._closed(self._last.time + self._length):
            came = False
            for arrival in self._ready():
                came = True
                yield arrival
            if not came and self._server() > self._due():
                self._warn_of_age()
                return
            if not came and not self._over:
                self._pause()

    def _server(self) -> float:
        return self._clock.now() + self._skew

    def _closed(self, time: np.datetime64) -> bool:
        return as_seconds(time) + self._bar + self._limits.grace <= self._server() + 1e-6

    def _measured(self) -> bool:
        """Set our clock by the server's; False, after a pause, where it cannot be asked."""
        before = self._clock.now()
        try:
            server = as_seconds(self._feed.time())
        except FeedDown as error:
            self._down(error)
            return False
        self._skew = server - 0.5 * (before + self._clock.now())
        return True

    def _down(self, error: FeedDown) -> None:
        self._troubles += 1
        self._notice(f"{self._feed.name}: {error}; asking again")
        self._warn_of_age()
        self._clock.sleep(min(_LONGEST_PAUSE, self._limits.poll * 2.0 ** min(self._troubles - 1, 10)), self._stop)

    def _warn_of_age(self) -> None:
        """Report once a bar that data are stale."""
        if self._server() <= self._due() or (self._warned is not None and self._server() < self._warned + self._bar):
            return
        self._warned = self._server()
        age = age_in_words(self._server() - as_seconds(self._last.time) - self._bar)
        closed = _text(self._last.time + self._length)
        self._notice(f"data are stale: the newest bar closed {closed} UTC, {age} ago")

    def _ready(self) -> Iterator[Arrival]:
        """Yield the bars whose turn has come."""
        oldest = min(self._owed, default=self._last.time + self._length)
        try:
            received = self._feed.newer(min(oldest - self._length, self._last.time))
        except FeedDown as error:
            self._down(error)
            return
        except FeedOver as error:
            self._warn_of_age()
            self._notice(f"{self._feed.name}: {error}")
            self._over = True
            return
        self._troubles = 0
        known = _in_order(received)
        self._completed += self._healed(known)
        fresh = [bar for bar in known if bar.time > self._last.time and self._closed(bar.time)]
        for place, bar in enumerate(fresh):
            late = self._expected & ~bar.present & bar.late
            expected = int(self._expected.sum())
            complete = not late.any() or (expected - late.sum()) >= self._limits.share * expected
            due = as_seconds(bar.time) + self._bar + self._limits.grace + self._limits.bound
            if not complete and self._server() < due:
                break
            if late.any():
                self._notice(
                    f"{_text(bar.time)}: {late.sum()} of {expected} assets are late; their last target is kept"
                )
                self._owed[bar.time] = bar
            behind = place + 1 < len(fresh) or self._closed(bar.time + self._length)
            self._away = np.where(late, self._away + 1, 0)
            self._expected = bar.present | (late & (self._away < KEPT_BARS))
            self._last, self._warned = bar, None
            age = self._server() - as_seconds(bar.time) - self._bar
            healed, self._completed = tuple(self._completed), []
            yield Arrival(bar, late, not behind, age, healed)

    def _due(self) -> float:
        """Return when the next bar is late, after every wait."""
        return as_seconds(self._last.time) + 2 * self._bar + self._limits.grace + self._limits.bound

    def _pause(self) -> None:
        self._warn_of_age()
        # Nobody knows when a market that has stopped goes on.
        calm = self._server() > self._due()
        self._clock.sleep(min(_LONGEST_PAUSE, self._bar / 20) if calm else self._limits.poll, self._stop)

    def _healed(self, known: list[Bar]) -> tuple[Bar, ...]:
        found = []
        for bar in known:
            owed = self._owed.get(bar.time)
            if owed is None or not (bar.present & ~owed.present).any():
                continue
            # What was known stays as it was: a decision was made by it.
            fields = {
                name: np.where(owed.present, owed.fields.get(name, values), values)
                for name, values in bar.fields.items()
            }
            completed = replace(bar, fields=fields, inside=np.where(owed.present, owed.inside, bar.inside))
            found.append(completed)
            self._owed[bar.time] = completed
            if not completed.late.any():
                del self._owed[bar.time]
        for time in [t for t in self._owed if t < self._last.time - HEAL_BARS * self._length]:
            del self._owed[time]
        return tuple(found)


def _in_order(bars: Iterable[Bar]) -> list[Bar]:
    """Return bars by time, each once; of two bars of one time, each fills the gaps of the other."""
    found: dict[np.datetime64, Bar] = {}
    for bar in bars:
        other = found.get(bar.time)
        if other is None:
            found[bar.time] = bar
            continue
        have = bar.present
        fields = {name: np.where(have, values, other.fields.get(name, values)) for name, values in bar.fields.items()}
        inside = np.where(have, bar.inside, other.inside)
        found[bar.time] = Bar(bar.time, fields, inside, bar.late & other.late)
    return [found[time] for time in sorted(found)]


def _text(time: np.datetime64) -> str:
    return str(time)[:16].replace("T", " ")
