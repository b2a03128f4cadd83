"""The typed, immutable tree of a factor expression."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from factors.operators.row import UNBOUNDED

if TYPE_CHECKING:
    from market.panel import FloatArray


@dataclass(frozen=True, slots=True)
class Field:
    """A panel field by name, such as ``close`` or ``adv20``."""

    name: str


@dataclass(frozen=True, slots=True)
class Number:
    """A literal; windows are whole numbers, stored as float too."""

    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """An operator applied to arguments. Infix forms are calls too (``add``, ``lt``, ``if_else`` ...)."""

    op: str
    args: tuple[Node, ...]
    # Trees are looked up in dictionaries all the time: without it, every look-up would walk the whole tree.
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Hash once."""
        object.__setattr__(self, "_hash", hash((self.op, self.args)))

    def __hash__(self) -> int:
        """Return the hash of operator and arguments."""
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Whether the other is the same tree."""
        if self is other:
            return True
        if not isinstance(other, Call) or self._hash != other._hash:
            return False
        return self.op == other.op and self.args == other.args


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
        after which what came earlier evaluates less than 0.1 %; `UNBOUNDED` where the panel's first bar counts.
    cost
        Work per bar and asset, in nanoseconds of one core.
    dimension
        What the value is measured in: ``price``, ``volume``, ``money``, ``ratio``, powers of them, or ``unknown``.
    notes
        What a translation changed, each in a sentence.
    warnings
        Where quantities that do not fit are added or compared, each in a sentence.
    """

    root: Node
    text: str
    source: str
    lookback: int
    depth: int
    size: int
    fields: frozenset[str]
    cost: float = 0.0
    dimension: str = "unknown"
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_bounded(self) -> bool:
        """Whether it looks back a known number of bars, not to the panel's first."""
        return self.lookback < UNBOUNDED

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
