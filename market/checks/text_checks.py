"""What is wrong with a table of texts: repeats, dates without hours, stretches with hardly any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from market.checks.all_checks import QualityReport, sorted_findings
from market.checks.finding import CheckLimits, Finding, runs
from market.columns import find
from market.reading.times import parse_times

# A month with less than this share of the median month is thin.
_THIN = 0.25


def check_documents(frame: pd.DataFrame, path: Path, limits: CheckLimits | None = None) -> QualityReport:
    """Return repeats of an address or title, stamps without an hour, and thin months of a table of texts."""
    column = find(frame, "ts", {}) or str(frame.columns[0])
    stamps = parse_times(frame[column], path)
    times = stamps.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    first, last = times[~np.isnat(times)].min(), times[~np.isnat(times)].max()
    out = []
    for name in ("url", "title"):
        if name in frame.columns:
            again = int((frame[name].notna() & frame.duplicated(name)).sum())
            if again:
                out.append(
                    Finding(
                        "duplicate", "", first, last, "defect", again, f"{again} texts repeat the {name} of another"
                    )
                )
    days = int((times == times.astype("datetime64[D]")).sum())
    if days:
        text = f"{days} texts are stamped 00:00: a date alone, known only at the day's end"
        out.append(Finding("clock", "", first, last, "doubtful", days, text))
    months = times[~np.isnat(times)].astype("datetime64[M]")
    known = np.arange(months.min(), months.max() + 1)
    counts = np.array([int((months == month).sum()) for month in known])
    # The first and the last month may be cut: each is compared with its share of days.
    starts, ends = known.astype("datetime64[D]"), (known + 1).astype("datetime64[D]")
    covered = np.minimum(ends, last.astype("datetime64[D]") + 1) - np.maximum(starts, first.astype("datetime64[D]"))
    counts = counts / (covered / (ends - starts))
    usual = float(np.median(counts))
    for a, b in runs(counts < _THIN * usual):
        text = f"{counts[a:b].mean():.0f} texts a month in {b - a} months, where {usual:.0f} a month are usual"
        start, end = known[a].astype("datetime64[ns]"), known[b - 1].astype("datetime64[ns]")
        out.append(Finding("gap", "", start, end, "doubtful", float(counts[a:b].sum()), text))
    return QualityReport(path.stem, sorted_findings(out), len(frame), 0)
