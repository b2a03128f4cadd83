"""Whose clock is wrong: moves or daily rhythm that lie bars away from everyone else's."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from market.checks.finding import CheckLimits, Finding, runs
from market.checks.tracks import Track, row_medians
from market.panel import FloatArray, Panel

_DAY = np.timedelta64(1, "D")
# Bars a segment: enough that the correlation of two strangers stays below 0.2.
_SEGMENT = 500
_LEAST = 120


def check_clock(panel: Panel, tracks: Sequence[Track], limits: CheckLimits) -> list[Finding]:
    """Return assets whose moves come bars early or late, segments of a shifted daily rhythm, stamps off the grid."""
    return find_off_grid(panel) + find_slips(panel, tracks, limits) + find_shifted_days(panel, limits)


def find_off_grid(panel: Panel) -> list[Finding]:
    """Return bars that do not begin on the grid that most bars share (only where days are even: continuous)."""
    if panel.calendar != "continuous" and panel.bar < _DAY:
        return []
    unit = np.int64(min(panel.bar, _DAY).astype("timedelta64[ns]").astype("int64"))
    phase = panel.times.astype("int64") % unit
    kinds, counts = np.unique(phase, return_counts=True)
    usual = kinds[np.argmax(counts)]
    out = []
    for a, b in runs(phase != usual):
        minutes = float(phase[a] - usual) / 60e9
        text = f"{b - a} bars begin {minutes:+.0f} minutes off the others' grid"
        out.append(Finding("clock", "", panel.times[a], panel.times[b - 1], "defect", minutes, text))
    return out


def find_slips(panel: Panel, tracks: Sequence[Track], limits: CheckLimits) -> list[Finding]:
    """Return segments in which an asset's moves agree with the market's of other bars, and not with its own bars'.

    Bars before a slip's edge are known to half a segment.
    """
    if len(tracks) < 6:
        return []
    moves = np.full((panel.shape[0], len(tracks)), np.nan)
    for place, track in enumerate(tracks):
        step = np.diff(track.close, prepend=np.nan)
        # Clipped: one jump must not make or break a correlation.
        moves[track.rows, place] = np.clip(step / track.sigma, -4, 4)
    market = row_medians(moves)
    reach = int(max(2, min(limits.slip_bars, 26 * np.timedelta64(1, "h") / panel.bar)))
    out = []
    for place, track in enumerate(tracks):
        slips: list[tuple[int, int, int, float]] = []
        for first, stop in _segments(track.rows[0], track.rows[-1] + 1):
            shift, strength = _best_shift(moves[:, place], market, first, stop, reach)
            if shift:
                slips.append((first, stop, shift, strength))
        for first, stop, shift, strength in _merged(slips):
            hours = shift * float(panel.bar / np.timedelta64(1, "h"))
            text = (
                f"moves come {abs(shift)} bars ({abs(hours):g} hours) {'after' if shift > 0 else 'before'} the "
                f"market's (correlation {strength:.2f} there): a time-zone slip?"
            )
            out.append(Finding("clock", track.asset, panel.times[first], panel.times[stop - 1], "defect", hours, text))
    return out


def find_shifted_days(panel: Panel, limits: CheckLimits) -> list[Finding]:
    """Return months in which the whole market's daily rhythm of volume is shifted by two hours or more.

    Daylight saving moves the rhythm by one hour, so one is never reported. Needs bars of two hours at most.
    """
    per_day = round(float(_DAY / panel.bar))
    if per_day < 12 or panel.calendar != "continuous" or panel.shape[0] < 60 * per_day:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(panel["volume"])
    logs[~np.isfinite(logs)] = np.nan
    total = row_medians(logs - _daily_level(logs, per_day), least=1)
    slot = (panel.times.astype("int64") // int(panel.bar.astype("int64"))) % per_day
    month = panel.times.astype("datetime64[M]")
    months = np.unique(month)
    profiles = np.stack([_profile(total[month == one], slot[month == one], per_day) for one in months])
    usual = np.median(profiles, axis=0)
    least = max(2, round(2 * per_day / 24))
    out = []
    for one, profile in zip(months, profiles, strict=True):
        fits = [float(np.corrcoef(np.roll(usual, k), profile)[0, 1]) for k in range(per_day)]
        best = int(np.nanargmax(fits))
        shift = best if best <= per_day // 2 else best - per_day
        if abs(shift) >= least and fits[best] > 0.7 and fits[best] - fits[0] > 0.3:
            inside = np.flatnonzero(month == one)
            hours = shift * 24 / per_day
            text = f"the day's rhythm of volume is {hours:+g} hours off the other months': a time-zone slip?"
            out.append(Finding("clock", "", panel.times[inside[0]], panel.times[inside[-1]], "doubtful", hours, text))
    return out


def _segments(first: int, stop: int) -> list[tuple[int, int]]:
    count = max(1, (stop - first) // _SEGMENT)
    edges = np.linspace(first, stop, count + 1).astype(int)
    return [(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def _best_shift(own: FloatArray, market: FloatArray, first: int, stop: int, reach: int) -> tuple[int, float]:
    """Return by how many bars `own` lags the market in rows [first, stop), and that correlation; 0 when in step."""
    mine = own[first:stop]
    known = np.isfinite(mine)
    if known.sum() < _LEAST:
        return 0, 0.0
    centred = np.where(known, mine - mine[known].mean(), 0.0)
    size = float(np.sqrt((centred**2).sum()))
    shifts = np.arange(-reach, reach + 1)
    rows = np.arange(first, stop)[None, :] - shifts[:, None]
    inside = (rows >= 0) & (rows < len(market)) & known[None, :]
    theirs = np.where(inside, market[np.clip(rows, 0, len(market) - 1)], 0.0)
    norms = np.sqrt((theirs**2).sum(axis=1)) * size
    fits = np.divide(theirs @ centred, norms, out=np.zeros(len(shifts)), where=norms > 0)
    best = int(np.argmax(fits))
    now = float(fits[reach])
    # Five standard errors of a correlation by chance, and clearly above the one in step.
    strong = fits[best] > max(0.3, 5 / np.sqrt(known.sum())) and fits[best] > 2 * abs(now) + 0.1
    return (int(shifts[best]), float(fits[best])) if strong else (0, now)


def _merged(slips: Sequence[tuple[int, int, int, float]]) -> list[tuple[int, int, int, float]]:
    out: list[tuple[int, int, int, float]] = []
    for first, stop, shift, strength in slips:
        if out and out[-1][1] == first and out[-1][2] == shift:
            out[-1] = (out[-1][0], stop, shift, max(strength, out[-1][3]))
        else:
            out.append((first, stop, shift, strength))
    return out


def _daily_level(logs: FloatArray, per_day: int) -> FloatArray:
    """Return (T, N) the mean of the day's block of bars, NaN left out."""
    out = np.full(logs.shape, np.nan)
    for start in range(0, len(logs), per_day):
        part = logs[start : start + per_day]
        known = np.isfinite(part)
        count = known.sum(axis=0)
        out[start : start + per_day] = np.where(known, part, 0).sum(axis=0) / np.where(count > 0, count, np.nan)
    return out


def _profile(values: FloatArray, slot: np.ndarray, per_day: int) -> FloatArray:
    total = np.bincount(slot, weights=np.nan_to_num(values), minlength=per_day)
    seen = np.bincount(slot, minlength=per_day)
    return total / np.maximum(seen, 1)
