"""What a check says, and the thresholds of all checks with their reasons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Severity = Literal["defect", "doubtful", "note"]
SEVERITIES: tuple[Severity, ...] = ("defect", "doubtful", "note")

# Kind -> what it means, in the order of the table.
KINDS: dict[str, str] = {
    "order": "high or low does not enclose open and close",
    "duplicate": "a bar twice, out of order, or without a time",
    "price": "a price or volume that cannot be",
    "partial": "a bar without some of its prices",
    "gap": "bars missing inside an asset's life, or for all",
    "incomplete": "a bar built from fewer smaller bars than it should be",
    "zero_volume": "nothing traded where something always is",
    "stale": "a price that stands still",
    "stuck_volume": "the same volume again and again",
    "copied": "an asset's bar is another's",
    "spike": "a price that leaves and comes back at once",
    "wick": "a high or low far outside the bar",
    "jump": "a figure that jumps between two stamps",
    "redenomination": "a new unit: price by a round factor, volume by its inverse",
    "unit": "volume in another unit from a bar on: lots, contracts, thousands",
    "adjustment": "a jump between close and open that no volume came with: split, spin-off, special dividend",
    "reuse": "a long hole and another level after it: perhaps another asset under the same ticker",
    "clock": "stamps off the grid, or moves that come bars before or after everyone's",
    "adjusted": "old prices that were never quoted: adjusted backwards",
    "foresight": "a field that goes with the next bar's return: it holds the future",
    "interval": "settlements or snapshots at another interval than usual",
    "missing": "a column with nothing in it for long",
    "edge": "first or last bars at the edge of the download",
    "survivorship": "how many assets ended before the panel did",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check found.

    Attributes
    ----------
    kind
        A key of `KINDS`.
    asset
        Whose; empty is the whole market.
    start, end
        First and last bar concerned, ``datetime64[ns]``, UTC; NaT where no time applies.
    severity
        ``defect``: wrong, repair or leave out before use. ``doubtful``: look at it. ``note``: know it.
    figure
        How much, in the unit that the sentence says; NaN where there is none.
    sentence
        For people, without asset and time.
    other
        A second asset that it concerns; empty for none.
    """

    kind: str
    asset: str
    start: np.datetime64
    end: np.datetime64
    severity: Severity
    figure: float
    sentence: str
    other: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types; times to the second, UTC."""
        return {
            "kind": self.kind,
            "asset": self.asset,
            "start": stamp(self.start),
            "end": stamp(self.end),
            "severity": self.severity,
            "figure": self.figure if np.isfinite(self.figure) else None,
            "sentence": self.sentence,
            "other": self.other,
        }


@dataclass(frozen=True, slots=True)
class CheckLimits:
    """Thresholds; the defaults were set on recorded crypto and equity bars, see docs/data.md.

    Attributes
    ----------
    block
        Bars over which an asset's move and volume are measured; the largest of three neighbouring blocks counts, so
        that a burst of volatility is no row of spikes.
    spike
        Robust deviations that a move must have, in excess of the market's, to be looked at. Fat tails reach ten.
        Chosen on recorded bars: at 10 the first false alarms come, at 15 a wrong print on record is missed.
    quiet
        Deviations of move per multiple of usual volume: news moves both, a wrong print or a corporate action only the
        price. Spin-offs lie at 5 to 30, earnings surprises at 1 to 4.5.
    least_move
        The smallest relative move worth a finding.
    comes_back
        Share of a spike that may be left after it.
    wick
        Deviations by which a high or low may lie outside open and close.
    chance
        Expected number of chance runs, over an asset's whole life, below which a run of equal prices counts.
    zero_share
        Share of an asset's bars without volume above which zero volume is its habit, not a defect.
    reuse_days
        Length of a hole after which a ticker may have been given to another asset.
    slip_bars
        How far the clock check looks, in bars; it also looks no further than 26 hours (or 2 bars).
    edge_days
        How near the panel's ends an asset may begin or end without having been listed or delisted.
    """

    block: int = 100
    spike: float = 12.0
    quiet: float = 5.0
    least_move: float = 0.05
    comes_back: float = 0.25
    wick: float = 40.0
    chance: float = 0.01
    zero_share: float = 0.05
    reuse_days: float = 7.0
    slip_bars: int = 26
    edge_days: float = 7.0


def stamp(time: np.datetime64) -> str | None:
    """Return a time to the second, None for NaT."""
    return None if np.isnat(time) else str(time.astype("datetime64[s]"))


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return [start, stop) of every run of True in (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def count(findings: Iterable[Finding]) -> dict[str, dict[str, int]]:
    """Return how many findings of each kind and severity there are, in the order of `KINDS`."""
    table: dict[str, dict[str, int]] = {}
    for finding in findings:
        row = table.setdefault(finding.kind, dict.fromkeys(SEVERITIES, 0))
        row[finding.severity] += 1
    return {kind: table[kind] for kind in KINDS if kind in table}
