"""Prices that leave and come back, new units, unadjusted corporate actions, and tickers given away."""

from __future__ import annotations

import numpy as np

from market.checks.finding import CheckLimits, Finding, Severity
from market.checks.tracks import Track, known_median
from market.panel import FloatArray

# Bars on each side of a jump whose medians tell whether level and volume stayed changed.
_SIDE = 5
# Factors at which shares are split and coins redenominated.
_ROUND = np.array([10.0**k for k in range(1, 10)])
_SPLITS = np.array([2.0, 3.0, 4.0, 5.0, 7.0, 8.0, 15.0, 20.0, 25.0, 50.0])


def check_jumps(track: Track, limits: CheckLimits) -> list[Finding]:
    """Return spikes, wicks, redenominations, unadjusted actions and reuse of one asset."""
    spikes, touched = find_spikes(track, limits)
    return spikes + find_wicks(track, limits, touched) + find_breaks(track, limits, touched)


def find_spikes(track: Track, limits: CheckLimits) -> tuple[list[Finding], set[int]]:
    """Return prices that leave for one or two prints and come back, and the places in the track that they touch.

    Opens and closes make one row of prints, less the market's path. A print that leaves by more than
    `limits.spike` deviations, while the volume is nothing special, is a defect; with volume it may be a flash crash.
    """
    count = len(track.rows)
    prints = np.empty(2 * count)
    prints[0::2], prints[1::2] = track.excess_open, track.excess_close
    size = np.repeat(track.sigma, 2)
    steps = np.diff(prints)
    found: dict[int, tuple[float, int]] = {}
    for length in (1, 2):
        away = steps[: len(steps) - length]
        home = prints[1 + length :][: len(away)] - prints[: len(away)]
        stays = np.abs(away)
        if length == 2:
            stays = np.minimum(stays, np.abs(prints[2 : 2 + len(away)] - prints[: len(away)]))
        far = (stays > limits.spike * size[1 : 1 + len(away)]) & (stays > np.log1p(limits.least_move))
        back = np.abs(home) < limits.comes_back * np.abs(away)
        for place in np.flatnonzero(far & back):
            found.setdefault(int(place) + 1, (float(away[place]), length))
    out: list[Finding] = []
    touched: set[int] = set()
    for first, (jump, length) in sorted(found.items()):
        bar, stop = first // 2, (first + length - 1) // 2
        # The second print of a spike reported already.
        if bar in touched:
            continue
        touched |= set(range(bar, stop + 1))
        deviations = abs(jump) / track.sigma[bar]
        surge = float(np.max(track.surge[bar : stop + 1]))
        quiet = deviations / max(surge, 1.0) >= limits.quiet
        severity: Severity = "defect" if quiet else "doubtful"
        what = ("open" if first % 2 == 0 else "close") if length == 1 else "price"
        trade = f"on {surge:.1f} times the usual volume"
        sentence = f"{what} {np.expm1(jump):+.0%} off and back, {deviations:.0f} deviations, {trade}"
        out.append(_finding("spike", track, bar, stop, severity, np.expm1(jump), sentence))
    return out, touched


def find_wicks(track: Track, limits: CheckLimits, touched: set[int]) -> list[Finding]:
    """Return highs and lows far outside open and close, on no more than the usual volume for it."""
    top = track.high - np.maximum(track.open, track.close)
    foot = np.minimum(track.open, track.close) - track.low
    out = []
    for name, reach, sign in (("high", top, 1), ("low", foot, -1)):
        reach = np.nan_to_num(reach)
        deviations = reach / track.sigma
        far = (deviations > limits.wick) & (reach > np.log1p(2 * limits.least_move))
        far &= deviations / np.maximum(track.surge, 1.0) >= 2 * limits.quiet
        for bar in np.flatnonzero(far):
            if int(bar) in touched:
                continue
            move = float(np.expm1(sign * reach[bar]))
            sentence = f"{name} {move:+.0%} outside open and close, {deviations[bar]:.0f} deviations"
            out.append(_finding("wick", track, int(bar), int(bar), "doubtful", move, sentence))
    return out


def find_breaks(track: Track, limits: CheckLimits, touched: set[int]) -> list[Finding]:
    """Return lasting jumps between a close and the next open: redenominations, reuse, unadjusted actions."""
    gap = track.excess_open[1:] - track.excess_close[:-1]
    step = np.median(np.diff(track.times.astype("int64")))
    hole = np.diff(track.times.astype("int64")) / step - 1
    # Moves of a hole add up like a random walk's.
    spread = np.maximum(track.sigma[:-1], track.sigma[1:]) * np.sqrt(1 + hole)
    far = (np.abs(gap) > np.log1p(limits.least_move)) & (np.abs(gap) > 5 * track.sigma[1:])
    out = []
    for place in np.flatnonzero(far):
        bar = int(place) + 1
        if bar in touched or bar - 1 in touched:
            continue
        before, after = slice(max(0, bar - _SIDE), bar), slice(bar, bar + _SIDE)
        level = known_median(track.excess_close[after]) - known_median(track.excess_close[before])
        jump = float(gap[place])
        if not abs(level - jump) < 0.5 * abs(jump):
            continue
        found = (
            _redenomination(track, bar, jump, float(spread[place]))
            or _reuse(track, bar, jump, float(spread[place]), float(hole[place]) * step, limits)
            or _action(track, bar, jump, float(hole[place]), limits)
        )
        if found is not None:
            out.append(found)
    return out


def _redenomination(track: Track, bar: int, jump: float, spread: float) -> Finding | None:
    """Tell a price times a round factor, volume times its inverse, money as before."""
    factor = float(np.exp(abs(jump)))
    # The market for the coin may move while it is exchanged.
    tolerance = max(0.12, min(2 * spread, 0.3))
    tens = float(_ROUND[np.argmin(np.abs(np.log(_ROUND) - abs(jump)))])
    few = float(_SPLITS[np.argmin(np.abs(np.log(_SPLITS) - abs(jump)))])
    with np.errstate(divide="ignore", invalid="ignore"):
        volume = np.log(track.volume)
        money = volume + track.close
    inverse = _shift(volume, bar)
    kept = _shift(money, bar)
    by_ten = abs(np.log(tens) - abs(jump)) < tolerance and abs(kept) < np.log(4) and -inverse * np.sign(jump) > 1.0
    split = abs(np.log(few / factor)) < 0.03 and abs(kept) < np.log(3) and -inverse * np.sign(jump) > 0.5 * abs(jump)
    if not (by_ten or split):
        return None
    unit = tens if by_ten else few
    rate = f"1 to {unit:g}" if jump < 0 else f"{unit:g} to 1"
    sentence = (
        f"a new unit, {rate}: price times {np.exp(jump):.4g}, volume times {np.exp(inverse):.3g}, "
        f"money times {np.exp(kept):.2g}"
    )
    return _finding("redenomination", track, bar, bar, "defect", float(np.exp(jump)), sentence)


def _reuse(track: Track, bar: int, jump: float, spread: float, hole_ns: float, limits: CheckLimits) -> Finding | None:
    """Tell a long hole with a level after it that no random walk reaches."""
    days = hole_ns / 86_400e9
    if days < limits.reuse_days or abs(jump) < max(np.log(2.0), 6 * spread if spread < 0.4 else np.log(10.0)):
        return None
    sentence = f"price times {np.exp(jump):.3g} after {days:.0f} days without bars: another asset under this ticker?"
    return _finding("reuse", track, bar - 1, bar, "defect", float(np.exp(jump)), sentence)


def _action(track: Track, bar: int, jump: float, hole: float, limits: CheckLimits) -> Finding | None:
    """Tell a jump that volume did not come with; only without a hole, over one anything may have happened."""
    deviations = abs(jump) / track.sigma[bar]
    surge = float(max(track.surge[bar], 1.0))
    # Shares lose value at a spin-off or dividend; they gain it only when several become one.
    if 0 < jump < np.log(1.9):
        return None
    # A long weekend is no hole.
    if hole > 4 or deviations < limits.spike or deviations / surge < limits.quiet:
        return None
    sentence = (
        f"opens {np.expm1(jump):+.0%} from the close, {deviations:.0f} deviations, on {surge:.1f} times the usual "
        "volume: split, spin-off or special dividend not adjusted"
    )
    return _finding("adjustment", track, bar, bar, "defect", float(np.exp(jump)), sentence)


def _finding(kind: str, track: Track, first: int, last: int, severity: Severity, figure: float, text: str) -> Finding:
    return Finding(kind, track.asset, track.times[first], track.times[last], severity, float(figure), text)


def _shift(values: FloatArray, bar: int) -> float:
    """Return the median of the bars from `bar` on less that of those before, log; 0 where one side is unknown."""
    moved = known_median(values[bar : bar + 2 * _SIDE]) - known_median(values[max(0, bar - 2 * _SIDE) : bar])
    return moved if np.isfinite(moved) else 0.0
