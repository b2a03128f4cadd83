"""All checks over a panel or a file, and what was checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from market.checks import adjusted, clock, coverage, fields, jumps, still, units
from market.checks.finding import SEVERITIES, CheckLimits, Finding, count
from market.checks.tracks import tracks_of
from market.panel import Panel
from market.quality import Defect
from market.sessions import sessions_of

_ROW_KINDS = {"time": "duplicate", "order": "duplicate", "duplicate": "duplicate", "range": "order"}


@dataclass(frozen=True, eq=False)
class QualityReport:
    """What was found, worst first, and in how many bars."""

    name: str
    findings: tuple[Finding, ...]
    bars: int
    assets: int

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """How many findings of each kind and severity."""
        return count(self.findings)

    def to_dict(self) -> dict[str, object]:
        """Return the report as plain JSON types."""
        return {
            "name": self.name,
            "bars": self.bars,
            "assets": self.assets,
            "counts": self.counts,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def check_panel(
    panel: Panel, limits: CheckLimits | None = None, rows: Sequence[Finding] = (), exchange: str = ""
) -> QualityReport:
    """Run every check over a panel.

    Parameters
    ----------
    rows
        Findings that only the file could show (duplicates and the like).
    exchange
        Code of the exchange (XNYS) whose sessions say which bars are missing; empty: weekdays.
    """
    sessions = sessions_of(exchange, panel) if exchange else None
    limits = limits or CheckLimits()
    tracks = tracks_of(panel, limits)
    found = list(rows)
    found += still.find_order(panel) + still.find_partial(panel) + still.find_incomplete(panel)
    found += still.find_copied(panel, limits)
    for track in tracks:
        found += jumps.check_jumps(track, limits) + still.check_still(track, limits)
        found += units.find_unit_jumps(panel, track)
    found += coverage.check_coverage(panel, tracks, limits, sessions)
    found += clock.check_clock(panel, tracks, limits)
    found += adjusted.check_adjusted(panel, tracks) + fields.check_fields(panel, tracks)
    bars = int(np.isfinite(panel["close"]).sum())
    return QualityReport(panel.name, sorted_findings(found), bars, panel.shape[1])


def check_table(frame: pd.DataFrame, name: str, limits: CheckLimits | None = None) -> QualityReport:
    """Run the checks that a long table without prices (ts, symbol, figures) allows."""
    found = coverage.check_stamps(frame, limits or CheckLimits())
    return QualityReport(name, sorted_findings(found), len(frame), int(frame["symbol"].nunique()))


def row_findings(defects: Sequence[Defect]) -> list[Finding]:
    """Return what `check_ohlcv` found in a file's rows as findings."""
    out = []
    for defect in defects:
        time = np.datetime64(defect.time, "ns")
        kind = _ROW_KINDS.get(defect.kind, "price")
        # The panel's own check tells these again, by runs.
        if kind != "order":
            out.append(Finding(kind, defect.asset, time, time, "defect", 1.0, defect.message))
    return out


def sorted_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings worst first, then by kind, asset and time."""
    rank = {severity: place for place, severity in enumerate(SEVERITIES)}
    return tuple(sorted(findings, key=lambda f: (rank[f.severity], f.kind, f.asset, f.start.astype("int64"))))
