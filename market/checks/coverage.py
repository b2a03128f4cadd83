"""What is there: holes, the download's edges, and who ended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from market.checks.finding import CheckLimits, Finding, Severity, runs
from market.checks.session_gaps import find_session_gaps
from market.checks.tracks import Track
from market.panel import FloatArray, Panel
from market.sessions import Sessions

_DAY = np.timedelta64(1, "D")


def check_coverage(
    panel: Panel, tracks: Sequence[Track], limits: CheckLimits, sessions: Sessions | None = None
) -> list[Finding]:
    """Return gaps, edges and survivorship of a panel; with `sessions`, missing bars are known from closed days."""
    out = find_market_gaps(panel) if sessions is None else find_session_gaps(panel, sessions)
    for track in tracks:
        out += find_gaps(panel, track)
    return out + find_edges(panel, tracks, limits) + tell_survivors(panel, tracks, limits)


def find_market_gaps(panel: Panel) -> list[Finding]:
    """Return bars that no asset has. On an exchange, closures up to four days (holidays) are its calendar."""
    steps = np.diff(panel.times)
    allowed = panel.bar if panel.calendar == "continuous" else max(panel.bar, 5 * _DAY)
    out = []
    for at in np.flatnonzero(steps > allowed):
        missing = round(float(steps[at] / panel.bar)) - 1
        if missing < 1:
            continue
        out.append(
            Finding("gap", "", panel.times[at] + panel.bar, panel.times[at + 1] - panel.bar, "defect", missing,
                    f"{missing} bar{'s' if missing > 1 else ''} missing for every asset")
        )  # fmt: skip
    return out


def find_gaps(panel: Panel, track: Track) -> list[Finding]:
    """Return bars that the market has and one asset, inside its life, has not."""
    steps = np.diff(track.rows)
    out = []
    for at in np.flatnonzero(steps > 1):
        missing = int(steps[at]) - 1
        first, last = panel.times[track.rows[at] + 1], panel.times[track.rows[at + 1] - 1]
        text = f"{missing} bar{'s' if missing > 1 else ''} missing that others have"
        out.append(Finding("gap", track.asset, first, last, "defect", missing, text))
    return out


def find_edges(panel: Panel, tracks: Sequence[Track], limits: CheckLimits) -> list[Finding]:
    """Say when many assets begin or end together: that is the edge of the download, not their birth or death."""
    if len(tracks) < 3:
        return []
    near = np.timedelta64(round(limits.edge_days * 86400), "s")
    first = np.array([track.times[0] for track in tracks])
    last = np.array([track.times[-1] for track in tracks])
    begin, end = panel.times[0], panel.times[-1]
    out = []
    early, late = int((first <= begin + near).sum()), int((last >= end - near).sum())
    if early > 0.2 * len(tracks):
        text = (
            f"{early} of {len(tracks)} assets have their first bar in the first {limits.edge_days:g} days: no listings"
        )
        out.append(Finding("edge", "", begin, begin + near, "note", early, text))
    if late > 0.2 * len(tracks):
        text = f"{late} of {len(tracks)} assets have their last bar in the last {limits.edge_days:g} days: no ends"
        out.append(Finding("edge", "", end - near, end, "note", late, text))
    return out


def tell_survivors(panel: Panel, tracks: Sequence[Track], limits: CheckLimits) -> list[Finding]:
    """Say how many assets ended before the panel did; that none of many did in a year is doubtful."""
    if len(tracks) < 3:
        return []
    near = np.timedelta64(round(limits.edge_days * 86400), "s")
    ended = [track for track in tracks if track.times[-1] < panel.times[-1] - near]
    years = float((panel.times[-1] - panel.times[0]) / (365 * _DAY))
    out = [
        Finding("survivorship", track.asset, track.times[-1], track.times[-1], "note", 1.0, "ends before the panel")
        for track in ended
    ]
    share = len(ended) / len(tracks)
    text = f"{len(ended)} of {len(tracks)} assets ended before the panel did, in {years:.1f} years"
    # Crypto loses some 5 in 100 coins a year, the S&P 500 as many by mergers: under 1 in 100 a year is a selection.
    few = len(ended) < 0.01 * years * len(tracks) and years * len(tracks) > 20
    if few:
        text += ": chosen by who survived; what died in between is missing, and returns are too good"
    out.append(Finding("survivorship", "", panel.times[0], panel.times[-1], "doubtful" if few else "note", share, text))
    return out


def check_stamps(frame: pd.DataFrame, limits: CheckLimits) -> list[Finding]:
    """Return what is wrong with the times of a long table (ts, symbol, figures) that has no prices.

    Such are funding settlements, open interest and other snapshots. Found: duplicates, holes, stretches at another
    interval, jumps of more than 30 % between two stamps that are an asset's own, columns that are long empty.
    """
    out: list[Finding] = []
    frame = frame.sort_values(["symbol", "ts"], kind="stable")
    codes, assets = pd.factorize(frame["symbol"], sort=True)
    times = frame["ts"].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    out += _reused_names(frame)
    figures = [c for c in frame.columns if c not in ("ts", "symbol") and pd.api.types.is_float_dtype(frame[c])]
    for code, asset in enumerate(assets):
        own = np.flatnonzero(codes == code)
        stamps = times[own]
        out += _intervals(str(asset), stamps)
        for name in figures:
            values = frame[name].to_numpy(dtype=np.float64)[own]
            out += _empty_column(str(asset), stamps, values, name)
            if name in ("price", "close"):
                out += _level_after_hole(str(asset), stamps, values, name)
            if name.startswith("open_interest"):
                out += _level_jumps(str(asset), stamps, values, name, limits)
    return out


def _reused_names(frame: pd.DataFrame) -> list[Finding]:
    """Return tickers that stand for more than one name, where the table has a column ``name``."""
    if "name" not in frame.columns:
        return []
    out = []
    for symbol, part in frame.groupby("symbol"):
        names = list(dict.fromkeys(part["name"].astype(str)))
        if len(names) > 1:
            stamps = part["ts"].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
            text = f"the ticker stands for {' and '.join(names[:4])}: key the rows by name"
            severity: Severity = "defect" if _together(part) else "doubtful"
            out.append(Finding("reuse", str(symbol), stamps.min(), stamps.max(), severity, len(names), text))
    return out


def _together(part: pd.DataFrame) -> bool:
    """Whether two names hold the ticker at one time: a coin that is only renamed, or spelt again, does not."""
    return bool(part.groupby("ts")["name"].nunique().gt(1).any())


def _intervals(asset: str, stamps: np.ndarray) -> list[Finding]:
    """Return duplicates, holes, and stretches whose interval is not the usual one."""
    out: list[Finding] = []
    # Settlements are stamped some milliseconds late.
    steps = np.round(np.diff(stamps.astype("int64")) / 60e9).astype(np.int64)
    if len(steps) == 0:
        return out
    kinds, counts = np.unique(steps, return_counts=True)
    usual = int(kinds[np.argmax(counts)])
    for a, b in runs(steps <= 0):
        text = f"{b - a} row{'s' if b - a > 1 else ''} at a time that is taken"
        out.append(Finding("duplicate", asset, stamps[a], stamps[b], "defect", b - a, text))
    if usual > 20 * 1440:
        # Months are not equally long.
        return out
    for a, b in runs(steps > usual):
        missing = int(np.round(steps[a:b] / usual - 1).sum())
        if missing:
            text = f"{missing} stamp{'s' if missing > 1 else ''} missing of one every {usual} minutes"
            out.append(Finding("gap", asset, stamps[a], stamps[b], "defect", missing, text))
    for a, b in runs((steps > 0) & (steps < usual)):
        shortest = int(steps[a:b].min())
        text = f"{b - a + 1} stamps {shortest} to {int(steps[a:b].max())} minutes apart instead of {usual}"
        out.append(Finding("interval", asset, stamps[a], stamps[b], "doubtful", shortest, text))
    return out


def _empty_column(asset: str, stamps: np.ndarray, values: FloatArray, name: str) -> list[Finding]:
    out = []
    for a, b in runs(~np.isfinite(values)):
        if b - a >= 24:
            text = f"{name} is empty for {b - a} rows"
            out.append(Finding("missing", asset, stamps[a], stamps[b - 1], "defect", b - a, text))
    return out


def _level_after_hole(asset: str, stamps: np.ndarray, values: FloatArray, name: str) -> list[Finding]:
    """Return holes after which a price is ten times what it was, or a tenth: perhaps another asset's."""
    steps = np.diff(stamps.astype("int64"))
    if not len(steps):
        return []
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = values[1:] / values[:-1]
        far = (steps > 1.5 * np.median(steps)) & (np.abs(np.log(ratio)) > np.log(10.0))
    return [
        Finding(
            "reuse", asset, stamps[at], stamps[at + 1], "doubtful", float(ratio[at]),
            f"{name} times {ratio[at]:.3g} over a hole of {steps[at] / 86_400e9:.0f} days: another asset?",
        )
        for at in np.flatnonzero(far)
    ]  # fmt: skip


def _level_jumps(asset: str, stamps: np.ndarray, values: FloatArray, name: str, limits: CheckLimits) -> list[Finding]:
    """Return one-step changes of more than 30 % of a level such as open interest."""
    with np.errstate(invalid="ignore", divide="ignore"):
        moves = np.diff(np.log(np.where(values > 0, values, np.nan)))
    out = []
    for at in np.flatnonzero(np.abs(np.expm1(moves)) > 0.3):
        change = float(np.expm1(moves[at]))
        text = f"{name} {change:+.0%} from one stamp to the next"
        out.append(Finding("jump", asset, stamps[at], stamps[at + 1], "doubtful", change, text))
    return out
