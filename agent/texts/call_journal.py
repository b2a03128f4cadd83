"""Where the calls that score texts are kept: one file a workspace, which is also the memory of what was read.

A call is on disk, with the texts that it read, before its reply is used; so a text that was paid for once is never
asked for again, in this run or another, whichever set of texts it comes in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent.knowledge.records import CallRecord, NewCall, request_hash
from agent.llm.lines import append_line
from market.errors import InputError


@dataclass
class TextJournal:
    """A journal of the client's, in a JSON Lines file; made by `open_journal`.

    Attributes
    ----------
    calls
        What is journalled, by key.
    read
        Hashes of the texts that each call is of, by the key's stem (without ``/1`` or ``/2``).
    """

    path: Path
    calls: dict[str, CallRecord] = field(default_factory=dict)
    read: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def find(self, key: str) -> CallRecord | None:
        """Return the call journalled under `key`, if any."""
        return self.calls.get(key)

    def record(self, call: NewCall) -> CallRecord:
        """Keep a call; when this returns, it is on disk."""
        kept = CallRecord(**asdict(call))
        self._append({**asdict(call), "texts": list(self.read.get(stem(call.key), ()))})
        self.calls[call.key] = kept
        return kept

    def lose(self, key: str, role: str, model: str, request: str) -> None:
        """Keep a call that was sent and got no answer: it may have been billed, and `find` does not find it."""
        self._append({"key": key, "role": role, "model": model, "status": "lost", "request": request})

    def expect(self, key: str, texts: Sequence[str]) -> None:
        """Say of which texts the calls under the stem `key` will be."""
        self.read[key] = tuple(texts)

    def _append(self, line: dict[str, Any]) -> None:
        append_line(self.path, line)


def stem(key: str) -> str:
    """Return a call's key without the number of its turn."""
    return key.rsplit("/", 1)[0]


def open_journal(path: Path) -> TextJournal:
    """Read a journal, or begin one; a last line that a crash cut off is taken away, and asked for again.

    Raises
    ------
    InputError
        For a file with another line that is none of ours.
    """
    journal = TextJournal(path)
    if not path.exists():
        return journal
    raw = path.read_bytes()
    if raw and not raw.endswith(b"\n"):
        raw = raw[: raw.rfind(b"\n") + 1]
        path.write_bytes(raw)
    for number, line in enumerate(raw.decode("utf-8", "replace").split("\n")[:-1], start=1):
        try:
            said = json.loads(line)
            if said["status"] == "lost":
                continue
            texts = tuple(map(str, said.pop("texts")))
            call = CallRecord(**said)
            if call.request_hash != request_hash(call.model, call.request):
                raise ValueError("a call that was changed")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is damaged in line {number}", "repair or remove it: its texts would be asked for again"
            ) from error
        journal.calls[call.key] = call
        journal.read[stem(call.key)] = texts
    return journal
