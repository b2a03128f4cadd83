"""Data sets that runs have worked on, which of them share their bars, and which bars an opening of a holdout saw."""

from __future__ import annotations

from dataclasses import dataclass

# What was scored on data that have this share of a panel's cells need not be scored again to be known there.
SAME_DATA = 0.9


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A panel that runs have worked on.

    Attributes
    ----------
    bar
        Length of a bar in seconds; None for a data set that an earlier version registered.
    train_until, validation_until
        First time that is not in train, or validation, as ``2026-01-31T12:00:00Z``; None before a run fixed it.
    frozen_by
        Id of the run that fixed them.
    """

    panel_id: str
    name: str
    bars: int
    assets: int
    start: str
    end: str
    bar: int | None = None
    train_until: str | None = None
    validation_until: str | None = None
    frozen_by: str | None = None


@dataclass(frozen=True, slots=True)
class RelatedData:
    """A data set that has most of its bars in common with one that was asked about, or is that one.

    Attributes
    ----------
    share
        Share of the cells of the smaller of the two that the other has as well, 1.0 for the data set itself; NaN where
        only name, first bar and length say that one grew out of the other.
    covers
        Share of the cells of the one that was asked about which this one has.
    trials
        Attempts and pools on this one alone.
    """

    panel_id: str
    name: str
    share: float
    start: str
    end: str
    bars: int
    covers: float = 1.0
    trials: int = 0

    def precedes(self, other: RelatedData) -> bool:
        """Whether it begins and ends no later than another: what was train in it is not validation in the other."""
        return self.start <= other.start and self.end <= other.end


@dataclass(frozen=True, slots=True)
class SeenSpan:
    """The bars that an opening of a holdout showed: from `start` to `end`, both included, on the data set `data`.

    Where it was not recorded which bars those were, all up to the end of the data set count as seen; `start` is empty.
    """

    start: str
    end: str
    opened_at: str
    data: str

    def sees(self, time: str) -> bool:
        """Whether the bar at a time, as ``2026-01-31T12:00:00Z``, was seen."""
        return self.start <= time <= self.end
