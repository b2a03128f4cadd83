"""The two ways something can go wrong, kept apart by who has to act.

An `InputError` is for the person at the keyboard: bad file, bad flag, full disk. The
command line prints it in one line and exits with code 2. A `Rejection` is about a candidate:
it is data about a proposal, and goes back to its author. Anything else
that is raised is a defect in alphaglow and keeps its traceback.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


class InputError(Exception):
    """Something the user gave cannot be used.

    Parameters
    ----------
    message
        What is wrong and where, in one line.
    hint
        What to do about it, in one line; empty when there is nothing to add.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message and the hint, after a semicolon, or on its own line under a drawn caret."""
        joint = "\n" if "\n" in self.message else "; "
        return f"{self.message}{joint}{self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a candidate went no further, as data.

    Attributes
    ----------
    stage
        Where it stopped; each package names its own stages.
    code
        A stable, greppable name such as ``unknown_operator``.
    message
        What is wrong; may hold several lines when a caret points into the text.
    hint
        What would have been allowed, or what was probably meant.
    position
        Offset into the candidate's text, where there is one.
    """

    stage: str
    code: str
    message: str
    hint: str = ""
    position: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types."""
        return asdict(self)

    def one_line(self) -> str:
        """Return message and hint on one line, for tables and `InputError`."""
        first = self.message.splitlines()[0] if self.message else self.code
        return f"{first} ({self.hint})" if self.hint else first

    def with_hint(self) -> str:
        """Return the whole message, and the hint on a line of its own."""
        return f"{self.message}\n{self.hint}" if self.hint else self.message
