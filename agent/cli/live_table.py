"""What a run is doing, as a table that lives in a terminal: stage, best so far, spend, time left, last candidates."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from agent.cli.common import format_number
from agent.cli.live_line import LiveLine
from agent.knowledge.attempt_figures import net_score, train_of
from agent.knowledge.failed_tests import failed_why, failed_words, first_failed
from agent.knowledge.records import AttemptRecord, NewCall
from agent.mining.outer_loop import Event
from agent.untrusted.showing import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agent.mining.session import Session

# Candidates that are shown: the newest.
_SHOWN = 6
# Who ended a candidate, by the test that it failed.
_AGENTS = {"reply": "writer", "reading": "writer", "request": "writer", "known": "novelty", "judge": "judge"}


@dataclass(frozen=True)
class Candidate:
    """A candidate as it is shown: who had the last word, what it is, its payoff score, verdict and reason."""

    place: str
    agent: str
    factor: str
    payoff: str = ""
    verdict: str = ""
    reason: str = ""


@dataclass
class LiveTable:
    """The state of a run, drawn again several times a second; before the run is there, what is done for it."""

    stage: str = "opening the data"
    started: float = field(default_factory=time.monotonic)
    session: Session | None = None
    line: LiveLine | None = None
    shown: deque[Candidate] = field(default_factory=lambda: deque(maxlen=_SHOWN))
    waiting: dict[int, Candidate] = field(default_factory=dict)
    best: tuple[float, str] | None = None

    def attach(self, session: Session, line: LiveLine) -> None:
        """Show this run from now on."""
        self.session, self.line = session, line
        self.stage = "writing the brief of the first round"

    def heard(self, call: NewCall) -> None:
        """Note an exchange with a model."""
        self.stage = f"{call.role} answered ({call.latency_s:.0f} s); more replies are awaited"

    def take(self, event: Event) -> None:
        """Note an event of the loop, which the line has counted already."""
        if event.kind == "round":
            self.waiting.clear()
            self.stage = "asking the writer"
        elif event.kind == "proposed":
            self.stage = "scoring a candidate"
            place = f"{event.round}.{event.slot + 1}"
            self.waiting[event.slot] = Candidate(place, "backtest", "proposed, waits for its score")
        elif event.kind == "attempt":
            self.waiting.pop(event.slot, None)
            self.stage = "scoring a candidate" if self.waiting else "waiting for replies"
            for attempt in self._recorded(event):
                self._add(attempt)
        elif event.kind == "lessons":
            self.stage = "drawing lessons of the round"

    def _recorded(self, event: Event) -> list[AttemptRecord]:
        if self.session is None:
            return []
        rows = self.session.knowledge.attempts(run_id=self.session.run.id, round=event.round)
        return [row for row in rows if row.slot == event.slot]

    def _add(self, attempt: AttemptRecord) -> None:
        test, net = first_failed(attempt), net_score(train_of(attempt))
        name = (attempt.name and f"{attempt.name}: ") + (attempt.canonical or attempt.text or "no factor")
        self.shown.append(
            Candidate(
                f"{attempt.round}.{attempt.slot + 1}",
                _AGENTS.get(test, "backtest"),
                name,
                format_number(train_of(attempt).payoff_z, 1),
                failed_words(attempt),
                failed_why(attempt),
            )
        )
        if attempt.evaluation is not None and net == net and (self.best is None or net > self.best[0]):
            self.best = (net, name)

    def __rich__(self) -> RenderableType:
        """Return what is shown now."""
        return Group(self._head(), *((self._table(),) if self.shown or self.waiting else ()))

    def _head(self) -> Table:
        seconds = time.monotonic() - self.started
        clock = f"{seconds // 60:.0f}:{seconds % 60:02.0f}"
        rows = [("stage", f"{self.stage}  {clock}")]
        if self.line is not None and self.session is not None:
            line = self.line
            where = f"round {max(1, line.round)}, {line.before + line.done} of {line.total} candidates"
            left = line.left()
            rows = [("run", f"{self.session.run.id}: {where}"), *rows]
            rows.append(("best", "none yet" if self.best is None else f"net score {self.best[0]:+.1f}, {self.best[1]}"))
            rows.append(("spend", line.spend() + ("" if left is None else f"; about {left} left")))
        drawn = Table.grid(padding=(0, 1))
        drawn.add_column(no_wrap=True, style="bold")
        drawn.add_column(overflow="fold")
        for name, said in rows:
            drawn.add_row(name, Text(printable(said)))
        return drawn

    def _table(self) -> Table:
        drawn = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        drawn.add_column("", no_wrap=True)
        drawn.add_column("agent", no_wrap=True)
        drawn.add_column("factor", overflow="fold", ratio=10)
        drawn.add_column("payoff", justify="right", no_wrap=True)
        drawn.add_column("verdict and reason", overflow="fold", ratio=10)
        for one in (*self.shown, *list(self.waiting.values())[:2]):
            why = f"{one.verdict}: {one.reason}" if one.reason else one.verdict
            cells = (one.place, one.agent, _brief(one.factor), one.payoff, _brief(why))
            drawn.add_row(*(Text(printable(cell)) for cell in cells))
        return drawn


def _brief(text: str, most: int = 110) -> str:
    """Return a text of one line; the end of a very long one is left to the report."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 4]} ..."
