"""Cassettes: every exchange of a run in one file, to be replayed offline, call for call.

A cassette is a JSON Lines file: a heading, then one line an exchange, each on disk before its reply is used. It holds
prompts and replies, and never a key: keys are in no message, and are taken out of replies that repeat them.
"""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.knowledge.records import NewCall, request_hash
from agent.llm.lines import append_line
from market.errors import InputError

_HEADING = "alphaglow cassette"
_VERSION = 1
_KEPT = (
    "key", "role", "model", "mode", "request", "response", "status", "prompt_tokens", "completion_tokens", "cost_usd",
)  # fmt: skip
_TEXTS = ("key", "role", "model", "mode", "request", "response", "status")
_DIFF_LINES = 20


@dataclass(frozen=True)
class Recorder:
    """Writes exchanges to a file, each flushed to the disk."""

    path: Path

    def write(self, call: NewCall) -> None:
        """Add one exchange."""
        self._append({name: getattr(call, name) for name in _KEPT})

    def _append(self, line: Mapping[str, object]) -> None:
        append_line(self.path, line, "the cassette ")


def start_recording(path: Path, config: Mapping[str, object], known: Iterable[NewCall] = ()) -> Recorder:
    """Begin a cassette of a run of this configuration, with the calls that are journalled already.

    A cassette that exists is gone on with if it is of the same run: a line that a crash cut off is taken away, and what
    was journalled but not recorded is added.
    """
    recorder, there = Recorder(path), set()
    if path.exists() and path.stat().st_size:
        earlier = load_cassette(path)
        if earlier.config != _plain(config):
            raise InputError(f"{path} is the cassette of another run", "name another file, or remove it")
        there = set(earlier.calls)
        whole = path.read_bytes()
        if not whole.endswith(b"\n"):
            # Cut off within a line; or right after one, and then only the end of the line is missing.
            whole_line = _is_json(whole[whole.rfind(b"\n") + 1 :])
            path.write_bytes(whole + b"\n" if whole_line else whole[: whole.rfind(b"\n") + 1])
            there = set(load_cassette(path).calls)
    else:
        recorder._append({_HEADING: _VERSION, "config": _plain(config)})
    for call in known:
        if call.key not in there:
            recorder.write(call)
    return recorder


def _plain(config: Mapping[str, object]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(config))
    return plain


@dataclass(frozen=True)
class Cassette:
    """A recorded run: its configuration, and its exchanges by key."""

    path: Path
    config: dict[str, Any]
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)

    def request_of(self, key: str) -> str | None:
        """Return the prompt that is recorded under `key`; None: there is none."""
        call = self.calls.get(key)
        return None if call is None else str(call["request"])

    def find(self, key: str, request: str) -> NewCall:
        """Return the exchange under `key`, whose prompt must be `request`, as if it had just been made.

        Raises
        ------
        InputError
            When there is none, or one with another prompt: the difference is shown.
        """
        call = self.calls.get(key)
        if call is None:
            raise InputError(f"{self.path} holds no call {key}", "record the run again: mine --record FILE")
        if call["request"] != request:
            raise InputError(
                f"{self.path} answers another prompt under {key}:\n{_difference(call['request'], request)}",
                "data, settings or alphaglow changed since it was recorded: record again",
            )
        kept = {name: call[name] for name in _KEPT}
        return NewCall(run_id="", request_hash=request_hash(call["model"], request), latency_s=0.0, **kept)


def load_cassette(path: Path) -> Cassette:
    """Read a cassette; a last line that was cut off by a crash, wherever, is left out."""
    try:
        # Only a line feed ends a line: other characters that Python takes for line ends stand in prompts.
        lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    except OSError as error:
        raise InputError(f"cannot read the cassette {path}: {error}") from error
    try:
        heading = json.loads(lines[0]) if lines else {}
        calls = [json.loads(line) for line in lines[1:-1]]
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no cassette: {error}", "record one: mine --record FILE") from error
    if not isinstance(heading, dict) or heading.get(_HEADING) != _VERSION:
        raise InputError(f"{path} is no cassette of this version of alphaglow", "record one: mine --record FILE")
    if len(lines) > 1:
        with contextlib.suppress(ValueError, RecursionError):
            calls.append(json.loads(lines[-1]))
    if not isinstance(heading.get("config"), dict) or not all(_is_call(call) for call in calls):
        raise InputError(f"{path} is a damaged cassette", "record the run again: mine --record FILE")
    return Cassette(path, heading["config"], {call["key"]: call for call in calls})


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_call(line: object) -> bool:
    """Whether a line holds all of an exchange, and its prompt can be read."""
    if not isinstance(line, dict) or any(name not in line for name in _KEPT):
        return False
    if not all(isinstance(line[name], str) for name in _TEXTS):
        return False
    try:
        _lines(line["request"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    counts = (line["prompt_tokens"], line["completion_tokens"])
    known = all(count is None or (isinstance(count, int) and count >= 0) for count in counts)
    return known and (line["cost_usd"] is None or isinstance(line["cost_usd"], (int, float)))


def _difference(recorded: str, asked: str) -> str:
    old, new = (_lines(text) for text in (recorded, asked))
    found = difflib.unified_diff(old, new, "recorded", "asked", lineterm="", n=1)
    shown = list(found)
    more = [f"... {len(shown) - _DIFF_LINES} more lines"] if len(shown) > _DIFF_LINES else []
    return "\n".join([line[:200] for line in shown[:_DIFF_LINES]] + more)


def _lines(request: str) -> list[str]:
    return [
        line for message in json.loads(request) for line in (f"[{message['role']}]", *message["content"].split("\n"))
    ]
