"""How long work says how far it is: what a caller may hand over, and the default that shows nothing."""

from __future__ import annotations

from collections.abc import Callable

# Called with what is done, how far it is, and of how much.
Progress = Callable[[str, int, int], None]


def no_progress(_what: str, _done: int, _of: int) -> None:
    """Show nothing."""
