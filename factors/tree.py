"""The typed, immutable tree of a factor expression."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from market.panel import FloatArray


@dataclass(frozen=True, slots=True)
class Field:
    """A panel field by name, such as ``close`` or ``adv20``."""

    name: str


@dataclass(frozen=True, slots=True)
class Number:
    """A literal; windows are whole numbers held as float too."""

    value: float


@dataclass(frozen=True, slots=True)
class Call:
    """An operator applied to arguments. Infix forms are calls too (``add``, ``lt``, ``if_else`` ...)."""

    op: str
    args: tuple[Node, ...]


Node = Field | Number | Call


@dataclass(frozen=True)
class Expression:
    """A checked factor: every name known, every window legal, canonical text.

    Attributes
    ----------
    root
        The canonical tree.
    text
        The canonical text; `parse(text).root == root`.
    source
        The text as it was given.
    lookback
        Bars before the current one that the value needs (0: none); recursive operators count the bars
        after which what came earlier weighs less than 1e-6.
    """

    root: Node
    text: str
    source: str
    lookback: int
    depth: int
    size: int
    fields: frozenset[str]
    notes: tuple[str, ...] = ()

    @cached_property
    def id(self) -> str:
        """``factor:`` and the first 16 hex digits of the SHA-256 of the canonical text."""
        return f"factor:{hashlib.sha256(self.text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, eq=False)
class Signal:
    """An expression's values on a panel: (T, N) float64, NaN where undefined, never infinite."""

    expression: Expression
    values: FloatArray
    panel_id: str
