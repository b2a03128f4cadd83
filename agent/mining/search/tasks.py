"""A task: what one candidate is to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from agent.knowledge.claims import Claims
from agent.mining.search import themes

Operation = Literal["new", "mutate", "cross", "simplify", "invert", "windows", "refine", "given"]
OPERATIONS: tuple[Operation, ...] = ("new", "mutate", "cross", "simplify", "invert", "windows")
# What the machine does by itself, without a call.
BY_MACHINE: tuple[Operation, ...] = ("windows", "invert", "given")
_WORDS: Mapping[Operation, str] = {
    "new": "Propose a new idea of this theme.",
    "mutate": "Change the parent in one respect that should make it better: how it is smoothed or normalised, a "
    "condition, another measure of the same thing.",
    "cross": "Join the ideas of the two parents in one factor that has a reason of its own.",
    "simplify": "Say the parent's idea more simply: fewer parts, fewer windows.",
    "invert": "The parent pays the other way on train: the same with the opposite sign.",
    "windows": "Other windows for the parent.",
    "refine": "Improve the parent in this one respect, and leave the rest of it as it is.",
    "given": "The factor that is to be improved, as it stands.",
}


@dataclass(frozen=True)
class Task:
    """What one candidate is to be.

    Attributes
    ----------
    theme
        What it is to be about; of a refinement, in what respect.
    parents
        Texts of the factors to work on.
    model
        Which of several models writes it; nothing where there is one.
    """

    operation: Operation
    theme: str = ""
    parents: tuple[str, ...] = ()
    model: str = ""

    @property
    def words(self) -> str:
        """What the writer is given to do."""
        return _WORDS[self.operation]

    @property
    def about(self) -> str:
        """What the theme is about."""
        return themes.about(self.theme)

    @property
    def by_machine(self) -> bool:
        """Whether it takes no model."""
        return self.operation in BY_MACHINE

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Task:
        """Read what `to_dict` wrote."""
        return cls(raw["operation"], raw["theme"], tuple(raw["parents"]), raw.get("model", ""))

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return asdict(self)

    def claims(self) -> Claims:
        """Return what is recorded with the attempt of what it was to be."""
        return Claims(operation=self.operation, theme=self.theme, parents=self.parents, model=self.model)
