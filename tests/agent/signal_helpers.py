"""Signal sources and feeds for the tests of signals: real modules, a market of our own, faults on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from agent.live.feed import Bar, FastClock, FeedDown, Replay, as_seconds, bar_at
from agent.live.signal_source import TradedSignal, open_signal
from agent.study.settings import Settings
from agent.study.workspace import Workspace
from market.panel import Panel

FACTORS = ("-ts_returns(close, 5)", "ts_corr(close, volume, 12)", "-ts_std(returns, 20)")
HOUR = np.timedelta64(1, "h")


def workspace_with(root: Path, settings: str = "") -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    # Their data set is in memory alone: there is no train to choose a rule on.
    traded = '[backtest]\nrule = "as set"\n'
    settings = settings.replace("[backtest]\n", traded) if "[backtest]\n" in settings else settings + traded
    (root / "alphaglow.toml").write_text(settings, encoding="utf-8")
    return Workspace(root)


def signal_on(panel: Panel, root: Path, settings: str = "", factors: Sequence[str] = FACTORS) -> TradedSignal:
    workspace = workspace_with(root, settings)
    assert isinstance(workspace.settings, Settings)
    with workspace.knowledge() as knowledge:
        return open_signal(workspace, knowledge, "toy", panel, factors=factors)


@dataclass
class Faulty:
    """A recorded market that is served with faults, by a server's clock that is `ahead` of ours seconds.

    Attributes
    ----------
    down
        Spans of the server's time, seconds, in which nothing is answered.
    late
        (time of a bar, asset) to the seconds after its close at which the asset's row comes.
    twist
        What is done to an answer before it is given.
    """

    panel: Panel
    clock: FastClock
    ahead: float = 0.0
    down: list[tuple[float, float]] = field(default_factory=list)
    late: dict[tuple[np.datetime64, int], float] = field(default_factory=dict)
    twist: Callable[[list[Bar]], list[Bar]] = lambda bars: bars
    name: str = "faulty"
    asked: int = 0

    def _now(self) -> float:
        now = self.clock.now() + self.ahead
        self.asked += 1
        # Every question takes a moment, or a test could wait for ever at one instant.
        self.clock.sleep(0.05, lambda: False)
        if any(begin <= now < end for begin, end in self.down):
            raise FeedDown("connection refused")
        return now

    def time(self) -> np.datetime64:
        return np.datetime64(round(self._now() * 1e6), "us").astype("datetime64[ns]")

    def newer(self, after: np.datetime64) -> list[Bar]:
        now = self._now()
        first = int(np.searchsorted(self.panel.times, after, side="right"))
        # The bar that is still open is served, too: it is for the caller to leave it alone.
        end = int(np.searchsorted([as_seconds(t) for t in self.panel.times], now, side="right"))
        return self.twist([self._row(row, now) for row in range(first, end)])

    def _row(self, row: int, now: float) -> Bar:
        bar = bar_at(self.panel, row)
        close = as_seconds(bar.time + self.panel.bar)
        hidden = np.zeros(len(self.panel.assets), dtype=bool)
        for (time, asset), seconds in self.late.items():
            hidden[asset] |= time == bar.time and now < close + seconds
        if close > now:
            # Half a bar: its close is not what it will be.
            return replace(bar, fields={**bar.fields, "close": bar.fields["close"] * 1.5})
        fields = {name: np.where(hidden, np.nan, values) for name, values in bar.fields.items()}
        return Bar(bar.time, fields, bar.inside & ~hidden, hidden & bar.present)


def replay_of(panel: Panel, first: int, name: str = "replay") -> tuple[Replay, FastClock]:
    clock = FastClock(as_seconds(panel.times[first]))
    return Replay(panel, clock, name), clock


def faulty_of(panel: Panel, first: int, **faults: object) -> tuple[Faulty, FastClock]:
    clock = FastClock(as_seconds(panel.times[first]))
    return Faulty(panel, clock, **faults), clock  # type: ignore[arg-type]
