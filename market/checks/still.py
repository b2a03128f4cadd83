"""Prices and volumes that stand still, bars that are someone else's, bars half there."""

from __future__ import annotations

import numpy as np

from market.checks.finding import CheckLimits, Finding, Severity, runs
from market.checks.tracks import Track
from market.panel import OHLCV, BoolArray, FloatArray, Panel

# Fewer equal bars in a row are never reported, whatever the odds.
_LEAST_RUN = 4
# Two assets with this share of their common bars equal are one.
_SAME_ASSET = 0.9


def check_still(track: Track, limits: CheckLimits) -> list[Finding]:
    """Return stale prices, bars without volume, and repeated volumes of one asset."""
    silent, quiet_bars = find_zero_volume(track, limits)
    return silent + find_stale(track, limits, quiet_bars) + find_stuck_volume(track, limits)


def find_zero_volume(track: Track, limits: CheckLimits) -> tuple[list[Finding], BoolArray]:
    """Return runs of bars without volume, and (n,) which bars those are.

    For an asset that often has none, one doubtful finding says so; for others each run is a defect.
    """
    zero = track.volume == 0
    share = float(zero.mean())
    if not zero.any():
        return [], zero
    if share > limits.zero_share:
        first, last = np.flatnonzero(zero)[[0, -1]]
        text = f"{share:.0%} of its bars have no volume: thinly traded"
        return [_finding("zero_volume", track, int(first), int(last), "doubtful", share, text)], zero
    return [
        _finding(
            "zero_volume", track, a, b - 1, "defect", b - a, f"no volume for {b - a} bar{'s' if b - a > 1 else ''}"
        )
        for a, b in runs(zero)
    ], zero


def find_stale(track: Track, limits: CheckLimits, silent: BoolArray) -> list[Finding]:
    """Return runs of equal closes that chance does not explain, bars without volume (reported already) left out.

    How long a run chance explains follows from how often the asset's close is unchanged; a coarse tick makes long runs.
    """
    same = np.concatenate([[False], np.diff(track.close) == 0])
    flat = same & (track.high == track.low) & ~silent
    out = []
    reported = np.zeros(len(same), dtype=bool)
    # A bar without any range is much rarer than an unchanged close: each is judged by its own odds.
    kinds: list[tuple[BoolArray, str, Severity]] = [
        (flat, "one price, open to close, with volume", "defect"),
        (same & ~silent, "the same close", "doubtful"),
    ]
    for mask, what, severity in kinds:
        least = _run_by_chance(mask, limits)
        for a, b in runs(mask):
            if b - a < least or reported[a:b].any():
                continue
            reported[a:b] = True
            text = f"{what} for {b - a + 1} bars"
            out.append(_finding("stale", track, a - 1, b - 1, severity, b - a + 1, text))
    return out


def find_stuck_volume(track: Track, limits: CheckLimits) -> list[Finding]:
    """Return runs of the same positive volume."""
    with np.errstate(invalid="ignore"):
        same = np.concatenate([[False], (np.diff(track.volume) == 0) & (track.volume[1:] > 0)])
    least = _run_by_chance(same, limits)
    return [
        _finding("stuck_volume", track, a - 1, b - 1, "defect", b - a + 1, f"the same volume for {b - a + 1} bars")
        for a, b in runs(same)
        if b - a >= least
    ]


def find_copied(panel: Panel, limits: CheckLimits) -> list[Finding]:
    """Return bars that two assets share to the last digit, prices and volume."""
    assets = panel.shape[1]
    bars = np.stack([panel[name] for name in OHLCV])
    moved = (bars[1] > bars[2]) & (bars[4] > 0)
    mixed = np.zeros(panel.shape, dtype=np.uint64)
    for number, values in enumerate(bars):
        # A wrap-around mix of the bits: equal bars give equal sums, others almost never do.
        mixed += values.view(np.uint64) * np.uint64(2 * number + 3) ^ (values.view(np.uint64) >> np.uint64(29 - number))
    # What is missing or did not trade is equal to nothing: a number of its own.
    mixed[~moved] = np.flatnonzero(~moved.ravel()).astype(np.uint64)
    order = np.argsort(mixed, axis=1, kind="stable")
    ranked = np.take_along_axis(mixed, order, axis=1)
    row, place = np.nonzero(ranked[:, 1:] == ranked[:, :-1]) if assets > 1 else (np.empty(0, int), np.empty(0, int))
    pairs: dict[tuple[int, int], list[int]] = {}
    for bar, at in zip(row, place, strict=True):
        one, other = sorted((int(order[bar, at]), int(order[bar, at + 1])))
        if np.array_equal(bars[:, bar, one], bars[:, bar, other]):
            pairs.setdefault((one, other), []).append(int(bar))
    out = []
    for (one, other), at in pairs.items():
        common = int((moved[:, one] & moved[:, other]).sum())
        same = len(at) >= _SAME_ASSET * common and len(at) > _LEAST_RUN
        text = f"{len(at)} bars equal those of {panel.assets[other]} to the last digit"
        text += ": one asset under two names" if same else ""
        first, last = panel.times[at[0]], panel.times[at[-1]]
        out.append(Finding("copied", panel.assets[one], first, last, "defect", len(at), text, panel.assets[other]))
    return out


def find_partial(panel: Panel) -> list[Finding]:
    """Return bars that have some of open, high, low and close but not all, a finding a run."""
    # A panel of closes alone lacks the others by its nature.
    prices = [name for name in OHLCV[:4] if np.isfinite(panel[name]).any()]
    if not prices:
        return []
    known: BoolArray = np.stack([np.isfinite(panel[name]) for name in prices])
    # Opens that were made of the close before are not there in the first bar.
    if len(prices) == 2 and "open" in prices:
        return []
    there = known.sum(axis=0)
    partial: BoolArray = (there > 0) & (there < len(known))
    out = []
    for column in np.flatnonzero(partial.any(axis=0)):
        for a, b in runs(partial[:, column]):
            absent = [name for n, name in enumerate(prices) if not known[n, a:b, column].all()]
            text = f"no {', '.join(absent)} in {b - a} bar{'s' if b - a > 1 else ''}"
            out.append(
                Finding("partial", panel.assets[column], panel.times[a], panel.times[b - 1], "defect", b - a, text)
            )
    return out


def find_order(panel: Panel) -> list[Finding]:
    """Return bars whose high or low does not enclose open and close (beyond float32 rounding), a finding a run."""
    top, foot = np.fmax(panel["open"], panel["close"]), np.fmin(panel["open"], panel["close"])
    slack = 1e-6 * np.abs(panel["close"])
    with np.errstate(invalid="ignore"):
        bad = (panel["high"] < top - slack) | (panel["low"] > foot + slack) | (panel["high"] < panel["low"] - slack)
    return [
        Finding(
            "order", panel.assets[column], panel.times[a], panel.times[b - 1], "defect", b - a,
            f"high or low does not enclose open and close in {b - a} bar{'s' if b - a > 1 else ''}",
        )
        for column in np.flatnonzero(bad.any(axis=0))
        for a, b in runs(bad[:, column])
    ]  # fmt: skip


def find_incomplete(panel: Panel) -> list[Finding]:
    """Return bars built from fewer smaller bars than usual, where a column such as ``n_hours`` tells.

    An asset's first and last bar are short by nature, which is a note.
    """
    out = []
    for name in [name for name in panel.fields if name.startswith("n_")]:
        values = panel[name]
        known = np.isfinite(values)
        full = float(values[known].max()) if known.any() else 0.0
        short = known & (values < full)
        # A bar that is short for most assets is a day of the market.
        common = (short.sum(axis=1) > 0.5 * known.sum(axis=1)) & (known.sum(axis=1) > 1)
        for row in np.flatnonzero(common):
            count = int(short[row].sum())
            text = f"{name} below {full:g} for {count} of {int(known[row].sum())} assets"
            out.append(Finding("incomplete", "", panel.times[row], panel.times[row], "defect", count, text))
        own: BoolArray = short & ~common[:, None]
        for column in np.flatnonzero(own.any(axis=0)):
            life = np.flatnonzero(known[:, column])
            for a, b in runs(own[:, column]):
                edge = a == life[0] or b - 1 == life[-1]
                text = f"{name} {values[a:b, column].min():g} of {full:g} in {b - a} bar{'s' if b - a > 1 else ''}"
                severity: Severity = "note" if edge and b - a == 1 else "defect"
                first, last = panel.times[a], panel.times[b - 1]
                out.append(Finding("incomplete", panel.assets[column], first, last, severity, b - a, text))
    return out


def _run_by_chance(mask: BoolArray, limits: CheckLimits) -> int:
    """Return the length of run that chance, at the mask's own busiest pace, brings fewer than `limits.chance` times."""
    count = max(1, len(mask) // limits.block)
    sizes = np.full(count, len(mask) // count)
    sizes[: len(mask) % count] += 1
    pace: FloatArray = np.add.reduceat(mask, np.cumsum(sizes) - sizes, dtype=np.float64) / sizes
    # The pace of the asset's stillest stretches, but for the one that may be the defect itself.
    chance = float(np.clip(np.quantile(pace, 0.98) if count > 4 else mask.mean(), 1e-4, 0.98))
    expected = np.log(limits.chance / len(mask)) / np.log(chance)
    return max(_LEAST_RUN - 1, int(np.ceil(expected)))


def _finding(kind: str, track: Track, first: int, last: int, severity: Severity, figure: float, text: str) -> Finding:
    return Finding(kind, track.asset, track.times[first], track.times[last], severity, float(figure), text)
