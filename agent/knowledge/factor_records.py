"""What was looked up: a factor with its relatives, and an attempt that matches a search."""

from __future__ import annotations

from dataclasses import dataclass

from agent.knowledge.records import AttemptRecord


@dataclass(frozen=True, slots=True)
class Found:
    """An attempt that was looked for: how well it matches (more is better), and the part that it shares, if any."""

    attempt: AttemptRecord
    score: float
    shared: str = ""


@dataclass(frozen=True, slots=True)
class FactorRecord:
    """A factor with its best-informed attempt and its relatives.

    Attributes
    ----------
    attempt
        The newest scored attempt at this factor, or the newest one where none was scored.
    attempts
        Row ids of every attempt at it, oldest first.
    parents
        One attempt for each factor that any attempt at this one named as its parent and that is known.
    children
        One attempt for each factor that names this one as its parent, from `first_child` on: a page of them.
    all_children
        How many such factors there are.
    """

    factor_id: str
    canonical: str
    attempt: AttemptRecord
    attempts: tuple[int, ...] = ()
    parents: tuple[AttemptRecord, ...] = ()
    children: tuple[AttemptRecord, ...] = ()
    first_child: int = 0
    all_children: int = 0

    @property
    def further_children(self) -> int:
        """How many children come after those of this page."""
        return max(0, self.all_children - self.first_child - len(self.children))

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types."""
        return {
            "factor_id": self.factor_id,
            "canonical": self.canonical,
            "attempt": self.attempt.to_dict(),
            "attempts": list(self.attempts),
            "parents": [parent.to_dict() for parent in self.parents],
            "children": [child.to_dict() for child in self.children],
            "first_child": self.first_child,
            "all_children": self.all_children,
        }
