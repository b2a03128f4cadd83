"""Cutting time into train, validation and holdout, with an embargo between them."""

from __future__ import annotations

from dataclasses import dataclass

from market.errors import InputError
from market.panel import Panel

MIN_BARS = 50


@dataclass(frozen=True)
class Split:
    """Row ranges of the three segments; `embargo` bars lie unused before validation and before the holdout."""

    train: slice
    validation: slice
    holdout: slice
    embargo: int


def make_split(n_bars: int, *, fractions: tuple[float, float, float] = (0.70, 0.15, 0.15), embargo: int) -> Split:
    """Cut `n_bars` into segments in time order.

    Parameters
    ----------
    fractions
        Shares of train, validation and holdout; they sum to 1.
    embargo
        Bars dropped at the start of validation and of the holdout, so that no look-back and no label reaches over
        a border (López de Prado 2018, ch. 7).

    Raises
    ------
    InputError
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
            raise InputError(
                f"{n_bars} bars are too few: {name} would keep {max(0, part.stop - part.start)} after an embargo of "
                f"{embargo}",
                "use more bars, or a smaller max_lookback in alphaglow.toml [split]",
            )
    return split


def loop_panel(panel: Panel, split: Split) -> Panel:
    """Return the panel that ends with validation: the only one that the loop ever sees."""
    return panel.rows(0, split.validation.stop)
