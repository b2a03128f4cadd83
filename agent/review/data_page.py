"""The page of a data set's health: what was found in it, where and when, and what each kind of defect is."""

from __future__ import annotations

from agent.drawing import svg
from agent.drawing.axes import DASH
from agent.review.defects import draw_defects
from agent.review.findings import Findings, grid
from market.checks.all_checks import QualityReport
from market.checks.finding import KINDS, SEVERITIES, stamp
from market.panel import Panel

# Findings that a page lists; the others are in `data check --all`.
MOST_LISTED = 400


def findings_of_quality(report: QualityReport, panel: Panel) -> Findings:
    """Return a check of a data set as a sentence, a picture and tables, defects first."""
    counts = report.counts
    total = {severity: sum(found[severity] for found in counts.values()) for severity in SEVERITIES}
    lead = (
        f"{total['defect']:,} defects and {total['doubtful']:,} doubtful places in {report.bars:,} bars of "
        f"{report.assets:,} assets, {str(panel.times[0])[:10]} to {str(panel.times[-1])[:10]}."
    )
    worst = max(counts, key=lambda kind: (counts[kind]["defect"], counts[kind]["doubtful"]), default="")
    if worst:
        lead += f" Most of them: {KINDS[worst]}."
    order = {severity: place for place, severity in enumerate(SEVERITIES)}
    listed = sorted(report.findings, key=lambda one: order[one.severity])[:MOST_LISTED]
    rows = []
    for one in listed:
        start, end = (stamp(one.start) or DASH)[:16], (stamp(one.end) or DASH)[:16]
        span = start if start == end else f"{start} to {end}"
        rows.append([one.asset or "all", one.severity, one.kind, span, one.sentence])
    kinds = [[kind, KINDS[kind], *(str(found[s]) for s in SEVERITIES)] for kind, found in counts.items()]
    hidden = len(report.findings) - len(listed)
    note = f"The {hidden:,} others are listed by alphaglow data check --all." if hidden > 0 else ""
    grids = [
        grid("By kind", ["kind", "what it is", *SEVERITIES], kinds, left=2),
        grid("Findings, worst first", ["asset", "", "kind", "when (UTC)", "what"], rows, left=5, note=note),
    ]
    picture = svg.for_screens(lambda width: draw_defects(report, panel, width), svg.WIDE)
    caption = "A grey bar is an asset's life; a full sign a defect, a low one a doubtful place."
    return Findings(
        title=f"Health of {report.name}",
        lead=lead,
        grids=grids if kinds else [],
        charts=[("Where and when", picture, caption)],
        sentences=[],
        document=report.to_dict(),
        simulated=panel.simulated,
        eyebrow="Data",
    )
