"""Events of a run as server-sent events: the file that the run writes them into is read as it grows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from agent.web.run_processes import StartedRun
from agent.web.run_state import read_state

_SECONDS = 0.4
# A comment now and then shows a dead connection to both sides.
_QUIET_SECONDS = 15.0


async def stream_events(run: StartedRun, start: int = 0) -> AsyncIterator[str]:
    """Yield the events after byte `start` of the run's file until it has ended; an event's id is where the next begins.

    A browser that comes back sends the last id that it saw, and misses nothing. After new events comes what all events
    so far add up to (`RunState.figures`), so that no browser adds up anything itself.
    """
    quiet = 0.0
    state, _ = read_state((end, line) for end, line in await asyncio.to_thread(_read, run, 0) if end <= start)
    yield "retry: 1000\n\n"
    while True:
        alive = await asyncio.to_thread(run.alive)
        found = await asyncio.to_thread(_read, run, start)
        for end, line in found:
            start = end
            state.take_line(line)
            yield f"id: {end}\nevent: {_kind(line)}\ndata: {line}\n\n"
        if found:
            quiet = 0.0
            yield f"event: state\ndata: {json.dumps(state.figures())}\n\n"
        elif not alive:
            ended = json.dumps({"event": "ended", "words": run.last_words()})
            yield f"event: ended\ndata: {ended}\n\n"
            return
        if quiet >= _QUIET_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(_SECONDS)
        quiet += _SECONDS


def _read(run: StartedRun, start: int) -> list[tuple[int, str]]:
    return list(run.lines(start))


def _kind(line: str) -> str:
    try:
        kind = json.loads(line).get("event", "note")
    except (ValueError, AttributeError):
        return "note"
    # A line break in a name of an event would begin another field.
    return kind if isinstance(kind, str) and kind.isalpha() else "note"
