"""Cutting time into train, validation and holdout, with an embargo between them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from market.errors import InputError
from market.panel import Panel, TimeArray
from market.panel_rules import SplitRules

MIN_BARS = 50


class TooFewBars(InputError):
    """A panel is too short to be cut into train, validation and holdout."""


@dataclass(frozen=True)
class SplitDates:
    """The first time that is no longer in train, and the first that is no longer in validation, UTC."""

    train_until: np.datetime64
    validation_until: np.datetime64


@dataclass(frozen=True)
class Split:
    """Row ranges of the three segments; `embargo` bars lie unused before validation and before the holdout."""

    train: slice
    validation: slice
    holdout: slice
    embargo: int


def make_split(n_bars: int, *, fractions: tuple[float, float, float] = SplitRules().fractions, embargo: int) -> Split:
    """Cut `n_bars` into segments in time order.

    Parameters
    ----------
    fractions
        Shares of train, validation and holdout; they sum to 1.
    embargo
        Bars dropped at the start of validation and of the holdout, so that no label reaches over a border (López de
        Prado 2018, ch. 7).

    Raises
    ------
    TooFewBars
        When a segment would keep fewer than 50 bars.
    """
    if embargo < 0 or abs(sum(fractions) - 1.0) > 1e-9 or min(fractions) <= 0:
        raise InputError(f"fractions {fractions} must be positive and sum to 1, embargo {embargo} at least 0")
    first = round(n_bars * fractions[0])
    second = round(n_bars * (fractions[0] + fractions[1]))
    split = Split(slice(0, first), slice(first + embargo, second), slice(second + embargo, n_bars), embargo)
    for name in ("train", "validation", "holdout"):
        part: slice = getattr(split, name)
        if part.stop - part.start < MIN_BARS:
            raise TooFewBars(
                f"{n_bars} bars are too few: {name} would keep {max(0, part.stop - part.start)} after an embargo of "
                f"{embargo}",
                "use more bars, or other shares in alphaglow.toml [split]",
            )
    return split


def split_at(times: TimeArray, dates: SplitDates, *, embargo: int) -> Split:
    """Cut bars of these times at dates; bars after the last date are the holdout, however many.

    Nothing is checked: a segment may be empty, or end before it starts.
    """
    first, second = (
        int(np.searchsorted(times, date, side="left")) for date in (dates.train_until, dates.validation_until)
    )
    stop = len(times)
    holdout = slice(min(second + embargo, stop), stop)
    return Split(slice(0, first), slice(first + embargo, second), holdout, embargo)


def dates_of(panel: Panel, split: Split) -> SplitDates:
    """Return the dates at which `split_at` cuts the bars of a panel just so."""
    return SplitDates(*(panel.times[part.stop - 1] + panel.bar for part in (split.train, split.validation)))


def loop_panel(panel: Panel, split: Split) -> Panel:
    """Return the panel that ends with validation: the only one that the loop ever sees."""
    return panel.rows(0, split.validation.stop)


@dataclass(frozen=True)
class Fold:
    """What is fitted on, and what it is then used on: rows later than any it saw."""

    train: slice
    test: slice


def walk_forward(
    n_bars: int, *, folds: int, first: float = 0.5, embargo: int = 0, expanding: bool = True
) -> list[Fold]:
    """Cut time into a first training stretch and `folds` tests of equal length, refitting before each.

    Parameters
    ----------
    first
        Share of the bars before the first test, its embargo included.
    embargo
        Bars left unused before each test.
    expanding
        Whether training goes back to the first bar; else it keeps the length of the first stretch.

    Raises
    ------
    InputError
        When a test would keep fewer than two bars, or training none.
    """
    start = round(n_bars * first)
    edges = np.linspace(start, n_bars, folds + 1).astype(int)
    if folds < 1 or start - embargo < 2 or min(np.diff(edges), default=0) < 2:
        raise InputError(
            f"{n_bars} bars are too few for {folds} folds after an embargo of {embargo}", "use more bars or fewer folds"
        )
    return [
        Fold(slice(0 if expanding else int(a) - start, int(a) - embargo), slice(int(a), int(b)))
        for a, b in pairwise(edges)
    ]


@dataclass(frozen=True, eq=False)
class Combination:
    """One split of a combinatorial cross-validation: rows to fit on, and the groups (by number) it is tested on."""

    train: NDArray[np.int64]
    tests: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Combinations:
    """Combinatorial purged cross-validation (López de Prado 2018, ch. 12).

    Attributes
    ----------
    groups
        Row ranges that time is cut into.
    splits
        Every way of testing on some of them.
    """

    groups: tuple[slice, ...]
    splits: tuple[Combination, ...]

    def paths(self) -> list[list[int]]:
        """Return histories of the whole time: for each path, the split that each group's test is taken from."""
        by_group = [[i for i, split in enumerate(self.splits) if g in split.tests] for g in range(len(self.groups))]
        return [list(path) for path in zip(*by_group, strict=True)]


def combinatorial_purged(
    n_bars: int, *, groups: int = 10, tests: int = 2, purge: int = 0, embargo: int = 0
) -> Combinations:
    """Return every split that tests on `tests` of `groups` stretches of time and fits on the others.

    Of what is fitted on, `purge` rows before a test (their labels reach into it) and `purge + embargo` rows after it
    are left out.

    Raises
    ------
    InputError
        When that leaves nothing to fit on, or groups of fewer than two rows.
    """
    if not 1 <= tests < groups or n_bars < 2 * groups:
        raise InputError(f"{n_bars} bars cannot be cut into {groups} groups, {tests} of them to test on")
    edges = np.linspace(0, n_bars, groups + 1).astype(int)
    parts = tuple(slice(int(a), int(b)) for a, b in pairwise(edges))
    splits = []
    for chosen in combinations(range(groups), tests):
        kept = np.ones(n_bars, dtype=bool)
        for number in chosen:
            part = parts[number]
            kept[max(0, part.start - purge) : part.stop + purge + embargo] = False
        if not kept.any():
            raise InputError(
                f"a purge of {purge} and an embargo of {embargo} leave nothing of {n_bars} bars to fit on",
                "use fewer groups, or more bars",
            )
        splits.append(Combination(np.flatnonzero(kept), chosen))
    return Combinations(parts, tuple(splits))
