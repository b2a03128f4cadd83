"""Waiting for a server: back-off with jitter, what it asks for, and a circuit breaker that all calls share."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

# A wait is cut into pieces of this length, so that a wish to stop is heard.
_PIECE = 0.2


@dataclass(frozen=True, slots=True)
class RetryRules:
    """How often a call is tried, and how long is waited between.

    Attributes
    ----------
    tries
        Of one call.
    first, longest
        Seconds: the first pause, doubled after each failure up to the longest; each is shortened by up to half at
        random, so that calls that failed together do not come back together.
    asked
        The longest wait that a server may ask for by Retry-After.
    threshold, cool_down
        After this many failures in a row, of whichever calls, none is made for this many seconds; then one at a time
        goes first until one succeeds.
    """

    tries: int
    first: float = 0.5
    longest: float = 60.0
    asked: float = 600.0
    threshold: int = 8
    cool_down: float = 30.0

    def pause(self, failures: int, rng: random.Random) -> float:
        """Return the seconds to wait after the so-many-th failure of a call (1, 2, ...)."""
        return min(self.longest, self.first * 2.0 ** (failures - 1)) * rng.uniform(0.5, 1.0)


async def wait(seconds: float, interrupted: Callable[[], None]) -> None:
    """Wait, asking now and then whether to stop: `interrupted` raises if so."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        interrupted()
        await asyncio.sleep(min(left, _PIECE))


@dataclass
class Circuit:
    """Counts failures in a row over all calls, and holds calls back when a server is down."""

    patience: RetryRules
    failures: int = 0
    closed_until: float = 0.0
    opened: int = 0
    _first: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def passage(self, interrupted: Callable[[], None]) -> AsyncIterator[None]:
        """Let a call through: at once, or after the cool-down and one at a time."""
        if self.failures < self.patience.threshold:
            yield
            return
        async with self._first:
            await wait(self.closed_until - time.monotonic(), interrupted)
            yield

    def failed(self) -> bool:
        """Count a failure; return whether it is the one from which on calls are held back."""
        self.failures += 1
        opens = self.failures == self.patience.threshold
        if self.failures >= self.patience.threshold:
            self.opened += opens
            self.closed_until = time.monotonic() + self.patience.cool_down
        return opens

    def succeeded(self) -> None:
        """Forget the failures."""
        self.failures = 0
