"""Where a run stands, added up from its events: what its page shows at first, and while it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from agent.drawing.axes import format_number

SHOWN_CANDIDATES = 30


@dataclass
class RunState:
    """What the events so far add up to.

    Attributes
    ----------
    candidates, done
        How many candidates the run has in all, and how many of them are through.
    stage
        What was heard last, in words.
    best
        The event of the attempt with the highest net Sharpe ratio on train, if any was scored.
    attempts
        The newest attempts, newest first.
    """

    run: str = ""
    data: str = ""
    model: str = ""
    simulated: bool = False
    candidates: int = 0
    done: int = 0
    round: int = 0
    calls: int = 0
    tokens: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0
    stage: str = "starting"
    estimate: dict[str, Any] | None = None
    budget: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lessons: list[str] = field(default_factory=list)
    summary: dict[str, Any] | None = None

    def take(self, event: dict[str, Any]) -> None:
        """Add one event."""
        match event.get("event"):
            case "run":
                self.run, self.data, self.model = event["run"], event["data"], event["model"]
                self.simulated = bool(event["simulated"])
                self.candidates, self.done, self.budget = event["candidates"], event["done"], event["budget"]
            case "estimate":
                self.estimate = event
            case "round":
                self.round, self.stage = event["round"], f"round {event['round']}: asking"
            case "call":
                self._pay(event)
            case "proposed":
                self.stage = f"round {event['round']}: candidate {event['slot'] + 1} is proposed, the backtest is next"
            case "attempt":
                self._attempted(event)
            case "lessons":
                self.lessons, self.stage = event["lessons"], f"round {event['round']} is over"
            case "note":
                self.notes = [*self.notes, str(event["text"])][-20:]
            case "summary":
                self.summary, self.stage = event, f"ended: {event.get('status', '')}"

    def take_line(self, line: str) -> None:
        """Add one line of a run's file; what is no event is passed over."""
        try:
            event = json.loads(line)
        except ValueError:
            return
        if isinstance(event, dict):
            self.take(event)

    def figures(self) -> dict[str, Any]:
        """Return what a page shows of it, as texts and plain numbers: the same when it is drawn and later on."""
        cost = "unknown" if self.cost is None else f"${self.cost:.4f}"
        dollars, tokens, calls = (self.budget.get(name) for name in ("usd", "tokens", "calls"))
        best = self.best
        return {
            "stage": self.stage,
            "done": self.done,
            "candidates": self.candidates,
            "calls": f"{self.calls}{_of(calls and str(calls))}",
            "tokens": f"{self.tokens:,}{_of(tokens and f'{tokens:,}')}",
            "cost": f"{cost}{_of(dollars and f'${dollars:.2f}')}",
            "best": None
            if best is None
            else {
                "factor": best["factor"],
                "name": best["name"] or best["factor"],
                "text": best["text"],
                "came": f"net Sharpe ratio {format_number(net_of(best))}, {best['verdict']}",
            },
        }

    def _pay(self, event: dict[str, Any]) -> None:
        self.calls += 1
        self.tokens += (event["prompt_tokens"] or 0) + (event["completion_tokens"] or 0)
        cost = event["cost_usd"]
        self.cost = None if cost is None or self.cost is None else self.cost + cost
        self.stage = f"{event['role']} answered ({event['seconds']:.1f} s)"

    def _attempted(self, event: dict[str, Any]) -> None:
        self.done += 1
        self.attempts = [event, *self.attempts][:SHOWN_CANDIDATES]
        self.stage = f"round {event['round']}: candidate {event['slot'] + 1} is through"
        net = net_of(event)
        if net is not None and (self.best is None or net > (net_of(self.best) or 0.0)):
            self.best = event


def _of(bound: str | None) -> str:
    """Return what stands behind a sum that has a bound."""
    return f" of {bound}" if bound else ""


def net_of(event: dict[str, Any]) -> float | None:
    """Return the net Sharpe ratio on train of an attempt's event; None where it was not scored."""
    figures = event.get("figures") or {}
    net = figures.get("sharpe_net")
    return float(net) if isinstance(net, (int, float)) else None


def read_state(lines: Iterable[tuple[int, str]]) -> tuple[RunState, int]:
    """Return the state after some lines of a run's file, and the byte behind them; what is no event is passed over."""
    state, behind = RunState(), 0
    for end, line in lines:
        behind = end
        state.take_line(line)
    return state, behind
