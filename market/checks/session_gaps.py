"""Bars that an exchange's sessions should have and no asset has, and bars outside of them."""

from __future__ import annotations

import numpy as np

from market.checks.finding import Finding, runs
from market.panel import Panel
from market.sessions import Sessions, expected_times

# Beyond this share of bars outside of sessions the zone or the exchange is another, or hours are extended.
_MANY = 0.05


def find_session_gaps(panel: Panel, sessions: Sessions) -> list[Finding]:
    """Return runs of missing bars, which closed days are not, and bars on closed days or outside of trading hours."""
    wanted = expected_times(sessions, panel)
    wanted = wanted[(wanted >= panel.times[0]) & (wanted <= panel.times[-1])]
    out = []
    for a, b in runs(~np.isin(wanted, panel.times)):
        what = "session" if panel.bar >= np.timedelta64(1, "D") else "bar"
        text = f"{b - a} {what}{'s' if b - a > 1 else ''} of {sessions.code} missing for every asset"
        out.append(Finding("gap", "", wanted[a], wanted[b - 1], "defect", b - a, text))
    outside = np.flatnonzero(~np.isin(panel.times, wanted))
    if len(outside) > _MANY * len(panel.times):
        text = (
            f"{len(outside)} of {len(panel.times)} bars lie outside the sessions of {sessions.code}: "
            "another exchange or time zone, or extended hours"
        )
        out.append(
            Finding("clock", "", panel.times[outside[0]], panel.times[outside[-1]], "doubtful", len(outside), text)
        )
        return out
    for row in outside:
        text = f"a bar while {sessions.code} is closed"
        out.append(Finding("clock", "", panel.times[row], panel.times[row], "doubtful", 1.0, text))
    return out
