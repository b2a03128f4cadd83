"""What a run is doing, while it does it: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from agent.llm.budget import Budget
from agent.mining.outer_loop import Event
from agent.untrusted.showing import printable

_NAME = 48


@dataclass
class LiveLine:
    """Counts what happens in a run, and says it: round, stages, the best so far, spend, rate, time left."""

    budget: Budget
    total: int
    started: float = field(default_factory=time.monotonic)
    round: int = 0
    proposed: int = 0
    done: int = 0
    before: int = 0
    scored: int = 0
    best: tuple[float, str] | None = None

    def take(self, event: Event) -> None:
        """Count an event."""
        if event.kind == "round":
            self.round, self.proposed = event.round, 0
        elif event.kind == "proposed":
            self.proposed += 1
        elif event.kind == "attempt":
            self.done += 1
            self.proposed = max(0, self.proposed - 1)
            if event.figure is not None:
                self.scored += 1
                if self.best is None or event.figure > self.best[0]:
                    self.best = (event.figure, event.text)

    def line(self) -> str:
        """Return the state in one line, safe to print."""
        parts = [f"round {self.round}"]
        if self.proposed:
            parts.append(f"{self.proposed} to score")
        if self.best is not None:
            text = self.best[1] if len(self.best[1]) <= _NAME else f"{self.best[1][: _NAME - 3]}..."
            parts.append(f"best net score {self.best[0]:+.1f} {text}")
        parts.append(self.spend())
        if (left := self.left()) is not None:
            parts.append(f"{left} left")
        return escape(printable(" · ".join(parts)))

    def spend(self) -> str:
        """Return calls and, where they are known or bounded, dollars and tokens."""
        budget, bounds = self.budget, self.budget.bounds
        said = [f"{budget.calls} calls" + (f" of {bounds.calls}" if bounds.calls else "")]
        if budget.usd or bounds.usd:
            said.append(f"${budget.usd:.2f}" + (f" of ${bounds.usd:g}" if bounds.usd else ""))
        elif budget.tokens:
            said.append(f"{budget.tokens:,} tokens" + (f" of {bounds.tokens:,}" if bounds.tokens else ""))
        return ", ".join(said)

    def left(self) -> str | None:
        """Return how long the rest takes at the pace so far; None before there is one."""
        if self.done < 3:
            return None
        seconds = (time.monotonic() - self.started) / self.done * max(0, self.total - self.before - self.done)
        return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"

    def plain(self, event: Event, console: Console) -> None:
        """Say an event in a line of its own, for where no display can move."""
        if event.kind == "round":
            console.print(f"round {event.round}", highlight=False)
        elif event.kind == "attempt":
            figure = "not scored" if event.figure is None else f"net score {event.figure:+.1f}"
            first = event.text.splitlines()[0][:100] if event.text else ""
            place = f"{self.before + self.done}/{self.total}"
            console.print(f"{place} {figure} {first} ({self.spend()})", soft_wrap=True, markup=False, highlight=False)
        elif event.kind == "lessons" and event.text:
            console.print(f"lesson: {event.text}", soft_wrap=True, markup=False, highlight=False)
