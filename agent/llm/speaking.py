"""How models are asked: which, within which budget, how patiently, and where their calls are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.knowledge.records import CallRecord, NewCall
from agent.llm.budget import Budget, Prices
from agent.llm.cassette import Cassette, Recorder
from agent.llm.patience import RetryRules
from market.errors import InputError


class CallStore(Protocol):
    """Where calls are kept, under their key, as they return."""

    def find(self, key: str) -> CallRecord | None:
        """Return the call journalled under `key`, if any."""

    def record(self, call: NewCall) -> CallRecord:
        """Keep a call; when this returns, it is safe."""

    def lose(self, key: str, role: str, model: str, request: str) -> None:
        """Keep a call that was sent and got no answer: it may have been billed, and `find` does not find it."""


@dataclass(frozen=True)
class ModelName:
    """A model as its server knows it, and what it costs; None: unknown."""

    name: str
    prices: Prices | None = None


@dataclass
class Halt:
    """Whether a run can still get answers: `error` says why not, `reached` whether it ever got one."""

    error: InputError | None = None
    reached: bool = False

    def check(self) -> None:
        """Raise what ended the run's calls, if anything did."""
        if self.error is not None:
            raise InputError(self.error.message, self.error.hint)


@dataclass(frozen=True, eq=False)
class Speaking:
    """How models are asked.

    Attributes
    ----------
    models
        The first is asked until it cannot answer any more (unknown, out of quota, down for good), then the next.
    reply_tokens
        The most tokens of a reply: what the budget expects of each call under way.
    before_call
        Called right before each request and while waiting; what it raises goes through (a wish to stop).
    replay
        A cassette that answers in the server's place: no call is made.
    record
        Where each exchange is written, before its reply is used.
    deadline_s
        Seconds for one request, however slowly its reply drips in.
    modes
        The manner that a server is known to accept from earlier runs, by model.
    on_call
        Called with each exchange once it is journalled; not with one that was journalled before.
    note
        Called with what a person should know, in one line.
    seed
        Of the pauses between tries: no result depends on it.
    prompt_tokens
        The most tokens of a prompt; None: what the server takes.
    halt
        Shared by all that a run asks: once one can get no answer any more, none of them asks again.
    """

    models: Sequence[ModelName]
    budget: Budget
    journal: CallStore
    reply_tokens: int
    patience: RetryRules
    before_call: Callable[[], None] = lambda: None
    replay: Cassette | None = None
    record: Recorder | None = None
    deadline_s: float = 600.0
    modes: Mapping[str, str] = field(default_factory=dict)
    note: Callable[[str], None] = lambda _text: None
    on_call: Callable[[NewCall], None] = lambda _call: None
    seed: int = 0
    prompt_tokens: int | None = None
    halt: Halt = field(default_factory=Halt)
