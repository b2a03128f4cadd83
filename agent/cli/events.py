"""A mining run as JSON lines on stdout: one object an event, each at once; the last is the summary."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from agent.cli.common import json_line
from agent.knowledge.attempt_figures import or_none, train_of, verdict_of
from agent.knowledge.records import AttemptRecord, NewCall
from agent.mining.outer_loop import Event

if TYPE_CHECKING:
    from agent.mining.session import Session

Kind = Literal["run", "estimate", "round", "call", "proposed", "attempt", "lessons", "note", "summary"]
FIGURES = ("rank_ic", "ic_ir", "ic_tstat", "sharpe_gross", "sharpe_net", "sharpe_gated", "turnover")


@dataclass
class Lines:
    """Writes events. When nobody reads them `closed` is set, `warn` gets the reason, and no more is written."""

    warn: Callable[[str], None] = lambda _text: None
    closed: bool = False

    def say(self, event: Kind, **fields: object) -> None:
        """Write one event as a line."""
        if self.closed:
            return
        if sys.stdout is None:
            self._close("it is closed")
            return
        try:
            sys.stdout.write(json_line({"event": event, **fields}) + "\n")
            sys.stdout.flush()
        except OSError as error:
            # What is buffered is written out once more as the program ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._close(str(error.strerror))

    def _close(self, why: str) -> None:
        self.closed = True
        self.warn(f"no event can be written to stdout any more ({why}): stopping after the calls under way")

    def begin(self, session: Session) -> None:
        """Say which run it is, and what it is expected to take."""
        config = session.config
        self.say(
            "run",
            run=session.run.id,
            data=config.data,
            panel=session.run.panel_id,
            model=config.model,
            fallback=list(config.fallback),
            base_url=config.base_url,
            api=config.api,
            seed=session.run.seed,
            simulated=session.simulated,
            replay=session.replay is not None,
            candidates=session.total,
            done=session.done,
            budget=asdict(session.budget.bounds),
        )
        if session.expected is not None:
            self.say("estimate", **session.expected.to_dict())

    def call(self, call: NewCall) -> None:
        """Say what an exchange took; not what was said in it."""
        self.say(
            "call",
            key=call.key,
            role=call.role,
            model=call.model,
            mode=call.mode,
            status=call.status,
            prompt_tokens=call.prompt_tokens,
            completion_tokens=call.completion_tokens,
            cost_usd=call.cost_usd,
            seconds=call.latency_s,
        )

    def take(self, event: Event, session: Session) -> None:
        """Print an event of the loop, with what the knowledge base has of it."""
        match event.kind:
            case "round":
                self.say("round", round=event.round)
            case "proposed":
                self.say("proposed", round=event.round, slot=event.slot)
            case "attempt":
                rows = session.knowledge.attempts(run_id=session.run.id, round=event.round)
                for attempt in (row for row in rows if row.slot == event.slot):
                    self.say("attempt", **attempt_fields(attempt))
            case "lessons":
                known = session.knowledge.lessons(run_id=session.run.id)
                texts = [lesson.text for lesson in known if lesson.round == event.round]
                self.say("lessons", round=event.round, lessons=texts)
            case "note":
                self.say("note", text=event.text)


def attempt_fields(attempt: AttemptRecord) -> dict[str, object]:
    """Return what an event says of an attempt: where it ended, why, and what it earned on train."""
    figures = (
        None if attempt.evaluation is None else {name: or_none(getattr(train_of(attempt), name)) for name in FIGURES}
    )
    return {
        "round": attempt.round,
        "slot": attempt.slot,
        "attempt": attempt.id,
        "stage": attempt.stage,
        "code": attempt.code,
        "message": attempt.message,
        "factor": attempt.factor_id,
        "name": attempt.name,
        "text": attempt.canonical or attempt.text,
        "verdict": verdict_of(attempt),
        "figures": figures,
    }
