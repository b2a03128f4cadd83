"""Volumes that are in another unit from a bar on: lots and shares, contracts and coins in one file."""

from __future__ import annotations

import numpy as np

from market.checks.finding import Finding, Severity
from market.checks.tracks import Track
from market.panel import FloatArray, Panel

# Bars before and after that a jump must divide, and by how much: no news multiplies each of sixty bars by thirty.
_AROUND = 60
_LEAST = 30.0
# Prices move less than this where only the unit changes, log.
_STILL = 0.2


def find_unit_jumps(panel: Panel, track: Track) -> list[Finding]:
    """Return bars from which on all volumes are at least thirty times the former ones, or a thirtieth.

    Where the panel has money, and money over volume jumps away from the price by as much, it is a defect; by volumes
    alone it is doubtful.
    """
    volume = track.volume
    if len(volume) < 2 * _AROUND or not (volume > 0).any():
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.log(np.where(volume > 0, volume, np.nan))
    out = []
    for at in _steps(size):
        jump = float(np.nanmedian(size[at : at + _AROUND]) - np.nanmedian(size[at - _AROUND : at]))
        if abs(jump) < np.log(_LEAST):
            continue
        if abs(float(track.close[at] - track.close[at - 1])) > _STILL:
            continue
        sure = _money_jumps(panel, track, at, jump)
        factor = float(np.exp(jump))
        text = f"volume is {factor:.3g} times the former from here on, in each bar: another unit (lots, contracts)?"
        severity: Severity = "defect" if sure else "doubtful"
        out.append(Finding("unit", track.asset, track.times[at], track.times[at], severity, factor, text))
    return out


def _steps(size: FloatArray) -> list[int]:
    """Return the places at which the smallest of the bars on one side is far above the largest of the other."""
    windows = np.lib.stride_tricks.sliding_window_view(size, _AROUND)
    counts = np.cumsum(np.concatenate([[0], np.isfinite(size)]))
    known = counts[_AROUND:] - counts[:-_AROUND] >= _AROUND // 2
    # A reduction of a view copies nothing, however long the asset lived.
    low = np.where(known, np.fmin.reduce(windows, axis=1), np.nan)
    high = np.where(known, np.fmax.reduce(windows, axis=1), np.nan)
    apart = np.log(_LEAST) / 2
    with np.errstate(invalid="ignore"):
        step = (low[_AROUND:] - high[:-_AROUND] > apart) | (low[:-_AROUND] - high[_AROUND:] > apart)
    return [int(place) + _AROUND for place in np.flatnonzero(step)]


def _money_jumps(panel: Panel, track: Track, at: int, jump: float) -> bool:
    """Whether money over volume and price jumps the other way at the same bar, as it does when a unit changes."""
    if "amount" not in panel.fields:
        return False
    money = panel["amount"][track.rows, panel.assets.index(track.asset)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(money / track.volume) - track.close
    ratio = np.where(np.isfinite(ratio), ratio, 0.0)
    before, after = np.median(ratio[at - _AROUND : at]), np.median(ratio[at : at + _AROUND])
    return bool(abs(after - before + jump) < 0.5)
