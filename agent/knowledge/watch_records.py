"""What became of what was admitted, as it is kept: states on the bars that came since, and how they changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from agent.knowledge.listing import Columns

WatchState = Literal["fresh", "aging", "failing", "not watched"]
WatchWord = Literal["fresh", "aging", "failing", "stale data", "not watched"]
# What makes a new line of the history, where it differs from the newest; the rest of that is brought up to date.
CHANGING = ("state", "stale", "panel_id", "verdict")
WATCHES = Columns(
    "watches",
    (
        *("id", "subject", "data", "panel_id", "kind", "name", "verdict", "admitted", "checked", "start", "end"),
        *("bars", "state", "stale", "why", "figures"),
    ),
    ("figures",),
)


@dataclass(frozen=True, slots=True)
class WatchRecord:
    """How a factor or pool did on the bars after its admission, as of one check.

    Attributes
    ----------
    subject
        Id of the factor or pool.
    data, panel_id
        Name of the data set that it is watched on, and the content id of the one that it was admitted on.
    kind
        ``factor`` or ``pool``.
    verdict, admitted
        What was said of it, and when (UTC).
    checked
        When it was looked at last (UTC).
    start, end, bars
        Times of the first and last bar whose payoffs were seen, and how many those are; empty where none came yet.
    state, stale
        By the payoffs that were seen; and whether the data are too old to say anything of now.
    why
        Of what is not watched, the reason; of what is, what alarmed.
    figures
        What it was admitted with and what came, by name; a figure that is not known is None.
    """

    subject: str
    data: str
    panel_id: str
    kind: str
    name: str
    verdict: str
    admitted: str
    state: WatchState
    stale: bool = False
    start: str = ""
    end: str = ""
    bars: int = 0
    why: str = ""
    checked: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)
    id: int = 0

    @property
    def word(self) -> WatchWord:
        """The state of now in a word: of old data nothing is known of now."""
        return "stale data" if self.stale and self.state != "not watched" else self.state

    def figure(self, name: str) -> float | None:
        """Return a figure, or None where it is not known."""
        found = self.figures.get(name)
        return float(found) if isinstance(found, (int, float)) else None

    def sentence(self) -> str:
        """Say in one line what it was found to be, when, and on which bars."""
        word = f"stale data, {self.state} to then" if self.word == "stale data" else self.state
        said = f"Watched at {self.checked[:16]} on {self.data}: {word}"
        if self.why:
            said += f" ({self.why})"
        if self.state != "not watched":
            said += (
                f" on {self.bars:,} new bars, {self.start[:10]} to {self.end[:10]}" if self.bars else ", no new bar yet"
            )
        came, low = self.figure("net_came"), self.figure("net_low")
        if came is not None and low is not None:
            said += f"; earns {came:.2f} a year, admitted with {low:.2f} or more"
        return f"{said}."

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types."""
        return {**asdict(self), "figures": dict(self.figures), "word": self.word}


def watch_record(row: Any) -> WatchRecord:  # noqa: ANN401 - a row by the names of its columns
    """Return a row as a record."""
    values = {name: getattr(row, name) for name in WATCHES.names}
    return WatchRecord(**{**values, "state": cast("WatchState", row.state), "stale": bool(row.stale)})
