"""Published factors, as they are handed in and as they are stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

LibraryStatus = Literal["translated", "refused"]


@dataclass(frozen=True, slots=True)
class NewLibraryEntry:
    """A published factor: its text as published and, where it could be read, in our language."""

    name: str
    source: str
    dialect: str
    text: str
    status: LibraryStatus
    canonical: str | None = None
    factor_id: str | None = None
    message: str | None = None
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LibraryRecord(NewLibraryEntry):
    """A stored library entry; `id` is its row."""

    id: int = 0
