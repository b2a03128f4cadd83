"""The journal of one run: what was paid for is kept, and found again by its key."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from agent.knowledge.records import CallRecord, NewCall


class _Calls(Protocol):
    """Where calls are kept: a knowledge base."""

    def find_call(self, run_id: str, key: str) -> CallRecord | None: ...

    def journal_call(self, call: NewCall) -> CallRecord: ...

    def journal_lost(self, run_id: str, key: str, role: str, model: str, request: str) -> None: ...


class RunJournal:
    """The calls of one run: what was paid for is kept, and found again by key."""

    def __init__(self, knowledge: _Calls, run_id: str) -> None:
        self._knowledge = knowledge
        self.run_id = run_id

    def find(self, key: str) -> CallRecord | None:
        """Return the newest call under `key`, or None."""
        return self._knowledge.find_call(self.run_id, key)

    def record(self, call: NewCall) -> CallRecord:
        """Journal a call under this run, whatever run it names."""
        return self._knowledge.journal_call(replace(call, run_id=self.run_id))

    def lose(self, key: str, role: str, model: str, request: str) -> None:
        """Journal a call that was sent and got no answer, beside its key: what it took is unknown."""
        self._knowledge.journal_lost(self.run_id, key, role, model, request)
