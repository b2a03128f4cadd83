"""Half-open spans of time in milliseconds: what is known of a series, and what is still to be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]
Stamps = NDArray[np.int64]

DAY = 86_400_000
WEEK = 7 * DAY
# Exchanges begin a week on Monday; the epoch was a Thursday.
_FIRST_MONDAY = 4 * DAY


def union(spans: Iterable[Span]) -> list[Span]:
    """Return the spans sorted, joined where they touch or overlap, without empty ones."""
    joined: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def without(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """Return what of `spans` lies in none of `taken`."""
    cuts = union(taken)
    left = []
    for start, end in union(spans):
        for low, high in cuts:
            if high <= start or low >= end:
                continue
            if low > start:
                left.append((start, low))
            start = high
            if start >= end:
                break
        if start < end:
            left.append((start, end))
    return left


def within(spans: Iterable[Span], limits: Iterable[Span]) -> list[Span]:
    """Return what of `spans` lies in one of `limits`."""
    spans = union(spans)
    return without(spans, without(spans, limits))


def inside(stamps: Stamps, spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Return which of `stamps` lie in one of `spans`."""
    kept = np.zeros(len(stamps), dtype=bool)
    for start, end in spans:
        kept |= (stamps >= start) & (stamps < end)
    return kept


def on_grid(moment: int, step: int) -> int:
    """Return the latest bar opening at or before `moment`, for bars of `step` milliseconds."""
    anchor = _FIRST_MONDAY if step == WEEK else 0
    return (moment - anchor) // step * step + anchor


def first_bar(moment: int, step: int) -> int:
    """Return the earliest bar opening at or after `moment`."""
    return on_grid(moment + step - 1, step)


def gaps_on_grid(span: Span, stamps: Stamps, step: int) -> list[Span]:
    """Return the parts of `span` whose bars are not among `stamps` (sorted, on the grid); both ends are on the grid."""
    return without([span], filled_spans(stamps, step))


def filled_spans(stamps: Stamps, step: int) -> list[Span]:
    """Return the spans that `stamps` (sorted, on the grid) fill without a hole."""
    if len(stamps) == 0:
        return []
    breaks = np.flatnonzero(np.diff(stamps) != step)
    starts = np.concatenate([[0], breaks + 1])
    ends = np.concatenate([breaks, [len(stamps) - 1]])
    return [(int(stamps[a]), int(stamps[b]) + step) for a, b in zip(starts, ends, strict=True)]


def gaps_by_pace(span: Span, stamps: Stamps, pace: int) -> list[Span]:
    """Return the parts of `span` where `stamps` (sorted) stay away for longer than one and a half times their pace.

    For events without a grid, such as funding: the pace is the median distance, or `pace` where fewer than three are
    known. Before the first and after the last, one pace of silence is expected.
    """
    start, end = span
    if len(stamps) == 0:
        return [span]
    usual = int(np.median(np.diff(stamps))) if len(stamps) > 2 else pace
    first, last = int(stamps[0]), int(stamps[-1])
    gaps = [(start, first)] if first - start > usual else []
    wide = np.flatnonzero(np.diff(stamps) > 1.5 * usual)
    gaps += [(int(stamps[i]) + 1, int(stamps[i + 1])) for i in wide]
    if end - last > usual:
        gaps.append((last + 1, end))
    return gaps
