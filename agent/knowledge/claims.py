"""What is claimed of a candidate, by the plan of its round and by its writer, and how that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_TEXTS = ("operation", "theme", "model", "mechanism", "fails_when")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a candidate was to be, and what its writer says of it; empty or None is not said.

    Attributes
    ----------
    operation, theme, parents, model
        What its task asked for, the texts of the factors to work on, and the model that was asked, where there was a
        choice.
    mechanism, horizon, fails_when
        Who loses what it earns, over how many bars it pays, and when it should fail.
    other
        What else is recorded, such as what a learned factor was trained on; JSON types.
    """

    operation: str = ""
    theme: str = ""
    parents: tuple[str, ...] = ()
    model: str = ""
    mechanism: str = ""
    horizon: int | None = None
    fails_when: str = ""
    other: Mapping[str, object] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return what is said, as plain JSON types."""
        said: dict[str, object] = {
            "operation": self.operation,
            "theme": self.theme,
            "parents": list(self.parents),
            "model": self.model,
            "mechanism": self.mechanism,
            "horizon": self.horizon,
            "fails_when": self.fails_when,
        }
        return {**{name: value for name, value in said.items() if value}, **self.other}

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> Claims:
        """Read what `to_dict` wrote; what has another type than its name asks for is kept as `other`."""
        texts: dict[str, str] = {}
        parents: tuple[str, ...] = ()
        horizon: int | None = None
        other: dict[str, object] = {}
        for name, value in stored.items():
            if value and isinstance(value, str) and name in _TEXTS:
                texts[name] = value
            elif name == "horizon" and isinstance(value, int) and value:
                horizon = value
            elif name == "parents" and value and isinstance(value, list) and all(isinstance(x, str) for x in value):
                parents = tuple(value)
            else:
                other[name] = value
        return cls(parents=parents, horizon=horizon, other=other, **texts)
