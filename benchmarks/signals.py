"""Live equals batch: hourly bars of 68 coins, a bar at a time through ccxt from a loopback exchange with a fast clock.

`python -m benchmarks.signals WORKSPACE DATA POOL FROM SHARED [BARS]`: DATA is a data set of the workspace made of
SHARED/crypto_spot_1h.parquet, POOL a pool fitted on it (and a gate, if there is one). The journal goes to the
workspace's paper.db, so a run that was stopped goes on. Prints the largest difference of a weight and of a return from
the backtest of the same bars, and what a bar took.
"""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.market.exchange_book import recorded

from agent.live.arrivals import Arrivals, WaitLimits
from agent.live.exchange_feed import ExchangeFeed
from agent.live.feed import Stop, as_seconds
from agent.live.paper_check import against_backtest
from agent.live.service import SignalService
from agent.live.signal_journal import FILE, SignalJournal
from agent.live.signal_source import open_signal
from agent.study.workspace import Workspace
from market.exchange import Venue
from market.fetch import Job
from tests.market.exchange_server import Exchange, serving

_SPEND = 420.0


@dataclass
class _Clock:
    """The server's clock: waiting moves it."""

    server: Exchange

    def now(self) -> float:
        return (self.server.clock or 0) / 1000

    def sleep(self, seconds: float, stop: Stop) -> None:
        self.server.clock = (self.server.clock or 0) + round(seconds * 1000)


def main(argv: list[str]) -> None:
    """Watch, then compare."""
    root, data, pool, start, shared, *more = argv
    bars, begun = int(more[0]) if more else 2000, time.perf_counter()
    workspace = Workspace(Path(root))
    whole = workspace.load_panel(data)
    with workspace.knowledge() as knowledge:
        portfolio = open_signal(workspace, knowledge, data, whole, pool=pool)
    first = int(np.searchsorted(whole.times, np.datetime64(start, "ns")))
    base = whole.rows(0, first)
    until = str(whole.times[min(first + bars + 5, len(whole.times) - 1)])[:19]
    recording = recorded(Path(shared), list(whole.assets), str(whole.times[first - 100])[:19], until)
    journal = SignalJournal.open(workspace.root / FILE)
    with serving(recording, 0) as server:
        job = Job(Venue("binance", "spot", server.url), whole.assets, "1h", 0)
        with ExchangeFeed(job, whole.assets, data, paced=False) as feed:
            # A port is another every time; the journal goes by this name.
            feed.name = f"loopback from {start}"
            service = SignalService(portfolio, base, journal, feed.name)
            done = len(journal.signals(service.id))
            server.clock = round(1000 * (as_seconds(service.newest.time + base.bar) + 10.0))
            watching = Arrivals(feed, _Clock(server), service.newest, base.bar, WaitLimits(), owed=service.owed())
            took, before = [], server.pages()
            last = time.perf_counter()
            for _ in itertools.islice(service.work(watching.watch()), bars - done):
                now = time.perf_counter()
                took.append(now - last)
                last = now
                if now - begun > _SPEND:
                    break
            requests = server.pages() - before
    history = service.history()
    compared = against_backtest(portfolio, journal, service.id, history)
    if took:
        print(f"{len(took)} bars in {sum(took):.0f} s, {1e3 * np.median(took):.1f} ms a bar, {requests} requests")
    same = all(np.array_equal(history[n], whole[n][: len(history.times)], equal_nan=True) for n in ("open", "close"))
    print(f"bars equal to the recording: {same}")
    for name in ("bars", "emitted", "missed", "late_assets", "largest_weight_difference", "where", "paper_return"):
        print(f"{name}: {compared.get(name)}")
    for name in ("backtest_return", "largest_return_difference", "largest_equity_difference"):
        print(f"{name}: {compared.get(name)}")


if __name__ == "__main__":
    main(sys.argv[1:])
