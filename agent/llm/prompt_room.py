"""How much of a prompt a model holds: by a setting, by what its server says, and by what it counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agent.llm.providers import Connection, TellsContext

# Bytes of a token until a server has counted: our prompts are formulas and tables, which have more tokens than prose.
_USUAL_BYTES = 3.2
# A prompt has no fewer tokens than one for this many bytes; a server that counts fewer has not read all of it.
_MOST_BYTES = 9.0
# Of shorter prompts, counts say little.
_LEAST_BYTES = 4000
# Of what a model holds, at most this share is kept for the reply.
_REPLY_SHARE = 1 / 3
Messages = Sequence[Mapping[str, str]]
M = TypeVar("M", bound=Messages)


@dataclass(frozen=True, slots=True)
class Room:
    """The most tokens of a prompt (None: unknown) and of a reply."""

    prompt: int | None
    reply: int


async def find_room(
    connection: Connection, models: Sequence[str], prompt_tokens: int, reply_tokens: int, note: Callable[[str], None]
) -> Room:
    """Return the room of a chain of models: as set (`prompt_tokens` above 0), else as their server tells."""
    if prompt_tokens:
        return Room(prompt_tokens, reply_tokens)
    if not isinstance(connection, TellsContext):
        return Room(None, reply_tokens)
    known = [await connection.context_tokens(model) for model in dict.fromkeys(models)]
    holds = min((tokens for tokens in known if tokens is not None), default=None)
    if holds is None:
        return Room(None, reply_tokens)
    reply = min(reply_tokens, int(holds * _REPLY_SHARE))
    if reply < reply_tokens:
        note(f"{models[0]} holds {holds:,} tokens: at most {reply:,} of them are kept for a reply")
    return Room(holds - reply, reply)


class PromptMeter:
    """Knows what a model holds, and how its server counts.

    `room` is the most tokens of a prompt; None: not known. What a server refuses as too long makes it smaller.
    """

    def __init__(self, room: int | None) -> None:
        self.room = room
        self.bytes_per_token = _USUAL_BYTES
        self._refused: int | None = None
        self._largest = 0
        self._said = False

    def choose(self, messages: Callable[[int], M | None]) -> tuple[int, M]:
        """Return the first step whose messages fit, or the last there is, and its messages."""
        step, chosen = 0, messages(0)
        assert chosen is not None
        while not self._fits(chosen):
            less = messages(step + 1)
            if less is None:
                break
            step, chosen = step + 1, less
        return step, chosen

    def _fits(self, messages: Messages) -> bool:
        size = sum(len(message["content"].encode()) + 16 for message in messages)
        if self._refused is not None and size >= self._refused:
            return False
        return self.room is None or size / self.bytes_per_token <= self.room

    def refused(self, size: int) -> None:
        """Learn that a prompt of this many bytes was too long."""
        self._refused = size if self._refused is None else min(size, self._refused)

    def counted(self, size: int, tokens: int | None, cached: int | None) -> list[str]:
        """Learn from what a server counted of a prompt of this many bytes; return what a person should know of it."""
        if not tokens or size < _LEAST_BYTES:
            return []
        # A server that counts only what it had not read before is believed for its first prompts alone.
        fresh, self._largest = size > 1.5 * self._largest, max(size, self._largest)
        if tokens + (cached or 0) >= size / _MOST_BYTES:
            self.bytes_per_token = min(self.bytes_per_token, size / tokens) if tokens < size else self.bytes_per_token
            return []
        if not fresh or self._said:
            return []
        self._said = True
        return [
            f"the server counted {tokens:,} tokens of a prompt of {size:,} bytes, so it has cut it: give the model a "
            "longer context (Ollama: OLLAMA_CONTEXT_LENGTH), or set [llm] prompt_tokens"
        ]
