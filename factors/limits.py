"""What an expression may cost, checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass

# Most time of one core, and most memory, for the values of one expression.
SECONDS = 60.0
GIGABYTES = 4.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds: characters of an expression and of code, nodes and depth of the tree, bars of a window."""

    max_chars: int = 1800
    max_code_chars: int = 4000
    max_nodes: int = 500
    max_depth: int = 30
    max_window: int = 10_000
