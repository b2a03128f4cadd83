"""What `alphaglow signal` opens: the portfolio, the bars before it, the feed, the clock and the journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from market.errors import InputError

if TYPE_CHECKING:
    from agent.live.advice import Confidence
    from agent.live.arrivals import WaitLimits
    from agent.live.feed import Clock, Feed
    from agent.live.signal_journal import SignalJournal
    from agent.live.signal_source import TradedSignal
    from agent.study.workspace import Workspace
    from market.panel import FloatArray, Panel


@dataclass
class OpenedSignal:
    """What a command on a portfolio works with."""

    data: str
    base: Panel
    portfolio: TradedSignal
    feed: Feed
    clock: Clock
    journal: SignalJournal
    source: str

    def calibration(self) -> FloatArray | None:
        """Return what percentiles are computed among."""
        if self.portfolio.gate is None or self.portfolio.gate_file is None:
            return None
        from agent.live.gate_state import calibration_likelihood
        from agent.study.study import narrowed

        return calibration_likelihood(
            self.portfolio.gate, self.portfolio.gate_file, narrowed(self.base, self.portfolio.settings)
        )

    def confidence(self) -> Confidence | None:
        """Return how often the signal was right on train; None where the data have too few bars for a train."""
        from agent.live.advice import confidence_on
        from market.split import TooFewBars

        assert self.portfolio.opened is not None
        try:
            study = self.portfolio.opened.ungated
        except TooFewBars:
            return None
        return confidence_on(self.portfolio, study.panel, study.split.train)

    def catch_up(self, newest: Any, limits: WaitLimits) -> None:  # noqa: ANN401 - a datetime64
        """Set a replay's clock to where an earlier one stopped."""
        from agent.live.feed import FastClock, as_seconds

        assert isinstance(self.clock, FastClock)
        self.clock.start = max(self.clock.start, as_seconds(newest + self.base.bar) + limits.grace)


@contextmanager
def opened_signal(
    workspace: Workspace,
    data_name: str | None,
    pool_name: str | None,
    factors: tuple[str, ...],
    replay_from: str | None,
    no_gate: bool,
    speed: float = 0.0,
) -> Iterator[OpenedSignal]:
    """Open a pool or factors on a data set or a part of it; the feed and the journal are closed at the end."""
    from agent.live.signal_journal import FILE, SignalJournal
    from agent.live.signal_source import open_signal
    from agent.study.opening import open_data

    with workspace.knowledge() as knowledge:
        # What was fitted on a part: its gate is that of the part, and the newest bars are of its assets.
        fitted = knowledge.get_pool(pool_name).spec.data if data_name is None and pool_name is not None else None
        opened = open_data(workspace, data_name if fitted is None else fitted)
        if opened.part:
            opened = replace(opened, part=replace(opened.part, since="", until=""))
        path, whole = opened.path, opened.whole
        named = opened.name if fitted is None else fitted
        portfolio = open_signal(
            workspace, knowledge, named, whole, pool=pool_name, factors=factors, use_gate=not no_gate
        )
    journal = SignalJournal.open(workspace.root / FILE)
    try:
        with ExitStack() as stack:
            source, base, clock, feed = _source(stack, workspace, path, whole, replay_from, speed)
            yield OpenedSignal(path.stem, base, portfolio, feed, clock, journal, source)
    finally:
        journal.close()


def _source(
    stack: ExitStack, workspace: Workspace, path: Path, whole: Panel, replay_from: str | None, speed: float
) -> tuple[str, Panel, Clock, Feed]:
    """Return which kind of bars come, the bars before them, the clock, and the feed, which `stack` closes."""
    from agent.live.feed import FastClock, Replay, SystemClock, as_seconds

    if replay_from is not None:
        first = _replayed(whole, replay_from)
        clock = FastClock(as_seconds(whole.times[first]), speed)
        name = f"replay of {path.stem} from {str(whole.times[first])[:16]}"
        return "replay", whole.rows(0, first), clock, Replay(whole, clock, name)
    system = SystemClock()
    followed = _followed(stack, workspace, path, whole)
    if followed is not None:
        return "fetched", whole, system, followed
    # The data set's own newest bar.
    return "data", whole.rows(0, len(whole.times) - 1), system, Replay(whole, system, f"data of {path.stem}")


def _followed(stack: ExitStack, workspace: Workspace, path: Path, whole: Panel) -> Feed | None:
    """Return what gives the data set's further bars, where a fetch brought it."""
    from agent.cli.data_fetch import FACTS, RECORD
    from agent.live.open_feed import open_feed

    raw = workspace.folder("data") / "raw"
    return open_feed(stack, path.with_suffix(RECORD), path.with_suffix(FACTS), whole, path.stem, raw)


def _replayed(whole: Panel, text: str) -> int:
    """Return the first row of a replay."""
    import numpy as np

    first = int(np.searchsorted(whole.times, np.datetime64(_date(text), "ns")))
    if not 0 < first < len(whole.times):
        raise InputError(
            f"there is nothing to replay from {text}",
            f"the data set has bars from {str(whole.times[0])[:16]} to {str(whole.times[-1])[:16]}",
        )
    return first


def _date(text: str) -> datetime:
    from datetime import UTC

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--replay-from {text!r} is no date", "write 2024-01-01 or 2024-01-01T12:00") from error
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
