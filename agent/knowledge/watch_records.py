"""What became of what was admitted, as it is kept: states on the bars that came since, and how they changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from agent.knowledge.database.transactions import Handle
from agent.knowledge.database.watch_table import TABLE
from agent.knowledge.tables.convert import plain_dict, utc_now
from agent.knowledge.tables.datasets import related_ids

WatchState = Literal["fresh", "aging", "failing", "not watched"]
WatchWord = Literal["fresh", "aging", "failing", "stale data", "not watched"]
# What makes a new line of the history, where it differs from the newest; the rest of that is brought up to date.
CHANGING = ("state", "stale", "panel_id", "verdict")


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


class Watches(Handle):
    """An open knowledge base, as it keeps what became of what was admitted."""

    def keep_watches(self, found: Sequence[WatchRecord]) -> list[WatchRecord]:
        """Keep what a check found, a line for each new state, and return what is new or has changed its state."""
        changed, now = [], utc_now()
        with self._writing() as session:
            newest = {(one.subject, one.data): one for one in _newest(session)}
            for one in found:
                before = newest.get((one.subject, one.data))
                if before is not None and all(getattr(before, name) == getattr(one, name) for name in CHANGING):
                    _refresh(session, before.id, one, now)
                    continue
                _insert(session, one, now)
                if before is None or (before.word, before.verdict) != (one.word, one.verdict):
                    changed.append(one)
        return changed

    def watches(self) -> list[WatchRecord]:
        """Return the newest state of all that is watched, in the order in which it was first seen."""
        with self._reading() as session:
            return _newest(session)

    def watch_history(self, subject: str) -> list[WatchRecord]:
        """Return every state that a factor or pool was found in, oldest first."""
        with self._reading() as session:
            rows = session.execute(select(TABLE).where(TABLE.c.subject == subject).order_by(TABLE.c.id))
            return [_record(row) for row in rows]

    def watched_from(self, subject: str, panel_id: str) -> str | None:
        """Return the time of the first bar of a panel's lineage on which a factor was watched, or None: these are used.

        They are no holdout of it any more: whoever reads the states has seen them.
        """
        with self._reading() as session:
            panels = related_ids(session.connection(), panel_id)
            where = (TABLE.c.subject == subject, TABLE.c.panel_id.in_(panels), TABLE.c.start != "")
            found = session.scalar(select(func.min(TABLE.c.start)).where(*where))
        return None if found is None else str(found)


def _newest(session: Session) -> list[WatchRecord]:
    last = select(func.max(TABLE.c.id)).group_by(TABLE.c.subject, TABLE.c.data)
    found = [_record(row) for row in session.execute(select(TABLE).where(TABLE.c.id.in_(last)).order_by(TABLE.c.id))]
    return sorted(found, key=lambda one: (one.admitted, one.subject, one.data))


def _refresh(session: Session, number: int, one: WatchRecord, now: str) -> None:
    """Bring the newest line up to date: a line a bar would make the history as long as the data."""
    values: dict[str, Any] = {name: getattr(one, name) for name in ("start", "end", "bars", "why")}
    values |= {"checked": now, "figures": plain_dict(dict(one.figures))}
    session.execute(update(TABLE).where(TABLE.c.id == number).values(**values))


def _insert(session: Session, one: WatchRecord, now: str) -> None:
    values: dict[str, Any] = {name: value for name, value in asdict(one).items() if name != "id"}
    values |= {"checked": now, "figures": plain_dict(dict(one.figures))}
    session.execute(insert(TABLE).values(**values))


def _record(row: Any) -> WatchRecord:  # noqa: ANN401 - a row of SQLAlchemy
    values = dict(row._mapping)
    values["state"] = cast("WatchState", values["state"])
    return WatchRecord(**values)
