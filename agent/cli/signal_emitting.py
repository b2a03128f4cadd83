"""How the commands of `alphaglow signal` come to a signal's document: the service, and the bars that it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.cli.common import graceful_stop, stderr
from agent.cli.signal_opening import OpenedSignal

if TYPE_CHECKING:
    from agent.live.arrivals import WaitLimits
    from agent.live.service import SignalService


def service_of(decider: OpenedSignal) -> SignalService:
    """Return the service that decides on an opened portfolio's bars."""
    from agent.live.service import SignalService

    return SignalService(
        decider.portfolio,
        decider.base,
        decider.journal,
        decider.feed.name,
        calibration=decider.calibration(),
        confidence=decider.confidence(),
        show=say_aside,
    )


def documents_of(
    decider: OpenedSignal, service: SignalService, limits: WaitLimits, watch: bool
) -> Iterator[Mapping[str, object]]:
    """Yield what is emitted, until the first Ctrl-C: a bar under way is finished before."""
    from agent.live.arrivals import Arrivals, WaitHooks

    with graceful_stop("stopping; what was emitted is in the journal; Ctrl-C again to stop at once") as asked:
        arrivals = Arrivals(
            decider.feed,
            decider.clock,
            service.newest,
            decider.base.bar,
            limits,
            owed=service.owed(),
            hooks=WaitHooks(asked, say_aside),
        )
        yield from service.work(arrivals.watch() if watch else arrivals.now(), always=decider.source == "data")


def emitted_before(decider: OpenedSignal, service: SignalService) -> Mapping[str, object] | None:
    """Return the newest bar's signal from the journal; None where it was not emitted yet."""
    last = decider.journal.last(service.id)
    if last is None or last.time < service.newest.time:
        return None
    return last.document


def of_known_bars(decider: OpenedSignal, service: SignalService, limits: WaitLimits) -> Iterator[Mapping[str, object]]:
    """Yield the signal of the newest bar that is known, where an update brought that bar."""
    from agent.live.feed import Replay

    whole = service.history()
    base, feed = whole.rows(0, len(whole.times) - 1), Replay(whole, decider.clock, service.feed)
    newest = replace(decider, base=base, feed=feed, source="data")
    yield from documents_of(newest, service_of(newest), limits, watch=False)


def say_aside(text: str) -> None:
    """Print on stderr what is no part of the answer."""
    stderr().print(text, markup=False, soft_wrap=True)
