"""How a model is asked: found out by trying, from strict to loose, remembered, and tried more strictly again later."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.llm.faults import CallFault
from agent.llm.forms import MODES

# A form that was accepted before is given up after this many refusals in a row: one may be about one prompt alone.
_ODD = 3
# A form that was refused is tried again after this many answers, then after twice as many, and so on.
_AGAIN = 25
_PLAIN = MODES.index("json_schema_plain")


@dataclass
class Manner:
    """Which form and which name of the bound on a reply a model is asked by: indices into MODES and the API's bounds.

    Until a reply has shown that the server accepts it, requests go one at a time: what is refused is refused once.

    Attributes
    ----------
    accepted
        Whether this form was answered in this session.
    odd
        Refusals of an accepted form in a row.
    answers, again
        Answers since a stricter form was given up, and how many of them there are before it is tried again.
    """

    mode: int = 0
    bound: int = 0
    proven: bool = False
    accepted: bool = False
    odd: int = 0
    answers: int = 0
    again: int = _AGAIN
    first: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def known(cls, said: str | None, bounds: Sequence[str | None]) -> Manner:
        """Read what `said` wrote of an earlier run; None, and what is no longer known, is found out again."""
        mode, _, bound = (said or "").partition(" ")
        names = [str(name) for name in bounds]
        if mode not in MODES or (bound or names[0]) not in names:
            return cls()
        return cls(MODES.index(mode), names.index(bound or names[0]), proven=True)

    def attempt(self) -> Attempt:
        """Return how the next call is asked: as is known, or now and then by the next stricter form."""
        due = self.mode > 0 and self.answers >= self.again
        if due:
            self.answers, self.again = 0, 2 * self.again
        return Attempt(self, max(0, self.mode - 1) if due else self.mode, self.bound)


@dataclass
class Attempt:
    """One call's way down from the form that it begins with; what is learned goes into the manner."""

    manner: Manner
    mode: int
    bound: int

    def said(self, bounds: Sequence[str | None]) -> str:
        """Return the form in words that the journal keeps: ``json_object``, ``json_schema max_tokens``."""
        return MODES[self.mode] + (f" {bounds[self.bound]}" if self.bound else "")

    def refused(self, fault: CallFault, bounds: Sequence[str | None]) -> bool:
        """Take the next form after a refusal; False where there is none."""
        manner = self.manner
        if fault.names_bound and self.bound + 1 < len(bounds):
            # Others may have found out in the meantime; a name is never gone back to.
            self.bound = manner.bound = max(manner.bound, self.bound + 1)
            return True
        if self.mode + 1 >= len(MODES):
            return False
        lower = self.mode + 1
        if lower == _PLAIN and not fault.names_schema:
            # What is refused is the schema as such.
            lower += 1
        if self.mode >= manner.mode:
            # What was answered before is refused for this prompt; if that goes on, the server has changed.
            manner.odd += manner.accepted
            if not manner.accepted or manner.odd >= _ODD:
                manner.mode, manner.accepted, manner.odd = max(manner.mode, lower), False, 0
        self.mode = lower
        return True

    def answered(self, *, overlong: bool, bounds: Sequence[str | None]) -> None:
        """Learn from an answer; `overlong`: the server passed over the bound on the reply by this name."""
        manner = self.manner
        manner.proven = True
        manner.answers += 1
        if self.mode < manner.mode:
            manner.mode, manner.again = self.mode, _AGAIN
        if self.mode == manner.mode:
            manner.accepted, manner.odd = True, 0
        if overlong and self.bound + 1 < len(bounds) - 1:
            manner.bound = max(manner.bound, self.bound + 1)
