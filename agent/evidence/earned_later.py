"""How many that were called promising or accepted earned later, by month and kind, beside how many should have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from scipy.special import ndtr

from agent.knowledge.watch_records import WatchRecord
from backtest.mean_test import LEAST_PAYOFFS

# Of an interval that holds 90 %, the distance from its middle to an end, in deviations.
_NINETY = 1.645


@dataclass(frozen=True)
class EarnedLater:
    """Of some that were admitted, what came on the bars since; Sharpe ratios of even risk a year, NaN where none came.

    Attributes
    ----------
    admitted, watched
        How many there are, and how many of them have `backtest.mean_test.LEAST_PAYOFFS` new bars or more.
    earned
        Of the watched, those whose new bars earned more than nothing after costs.
    should
        How many of the watched should have, by the bands that they were admitted with and the length of what came.
    failing, aging
        Of the watched, those that are so now.
    expected, came
        Mean of what was expected of the watched, and of what came.
    """

    month: str
    kind: str
    verdict: str
    admitted: int
    watched: int
    earned: int
    should: float
    aging: int
    failing: int
    expected: float
    came: float

    @property
    def z(self) -> float:
        """By how many deviations more earned than should have, as if each were a draw of its own; NaN for none.

        Factors of one market earn together, so that this exaggerates.
        """
        share = self.should / self.watched if self.watched else math.nan
        spread = math.sqrt(self.watched * share * (1.0 - share)) if self.watched else math.nan
        return (self.earned - self.should) / spread if spread > 0 else math.nan

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types, what is not known as None."""
        found = {**asdict(self), "z": self.z}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in found.items()}


@dataclass(frozen=True)
class VerdictCalibration:
    """All that were admitted together by verdict, and by month, kind and verdict."""

    overall: tuple[EarnedLater, ...]
    groups: tuple[EarnedLater, ...]

    def sentence(self) -> str:
        """Say it in a line or two."""
        known = [one for one in self.overall if one.watched]
        if not known:
            return f"Nothing that was admitted has {LEAST_PAYOFFS} new bars yet: what verdicts were worth is not known."
        return " ".join(
            f"Of {one.watched} {one.verdict} ones with new bars, {one.earned} earned after costs "
            f"({one.earned / one.watched:.0%}; by what they were admitted with, {one.should / one.watched:.0%} should "
            f"have); expected {one.expected:.2f} a year, came {one.came:.2f}."
            for one in known
        )

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return {
            "sentence": self.sentence(),
            "overall": [one.to_dict() for one in self.overall],
            "groups": [one.to_dict() for one in self.groups],
        }


def verdict_calibration(records: Sequence[WatchRecord]) -> VerdictCalibration:
    """Return what verdicts were worth, from the newest state of all that is watched."""
    return VerdictCalibration(
        tuple(_grouped(records, lambda one: ("", "", one.verdict))),
        tuple(_grouped(records, lambda one: (one.admitted[:7], one.kind, one.verdict))),
    )


def _grouped(records: Sequence[WatchRecord], key: Callable[[WatchRecord], tuple[str, str, str]]) -> list[EarnedLater]:
    groups: dict[tuple[str, str, str], list[WatchRecord]] = {}
    for one in records:
        groups.setdefault(key(one), []).append(one)
    return [_counted(name, groups[name]) for name in sorted(groups)]


def _counted(name: tuple[str, str, str], records: Sequence[WatchRecord]) -> EarnedLater:
    came = [one for one in records if one.bars >= LEAST_PAYOFFS and one.figure("net_came") is not None]
    expected = [found for one in came if (found := one.figure("net_expected")) is not None]
    paid = [found for one in came if (found := one.figure("net_came")) is not None]
    return EarnedLater(
        *name,
        admitted=len(records),
        watched=len(came),
        earned=sum(found > 0 for found in paid),
        should=sum(_chance(one) for one in came),
        aging=sum(one.state == "aging" for one in came),
        failing=sum(one.state == "failing" for one in came),
        expected=sum(expected) / len(expected) if expected else math.nan,
        came=sum(paid) / len(paid) if paid else math.nan,
    )


def _chance(one: WatchRecord) -> float:
    """Return the chance that new bars earn more than nothing, by the band and by the error of their mean."""
    mean, low, high, error = (one.figure(f"net_{name}") for name in ("expected", "low", "high", "error"))
    if mean is None or low is None or high is None:
        return 0.5
    spread = math.hypot((high - low) / (2.0 * _NINETY), error or 0.0)
    return float(ndtr(mean / spread)) if spread > 0 else float(mean > 0)
