"""A picture of what is wrong with a data set: assets by time, coloured by family of defect."""

from __future__ import annotations

from html import escape

import numpy as np

from agent.drawing import axes
from agent.drawing.axes import PlotFrame
from market.checks.all_checks import QualityReport
from market.checks.finding import Finding
from market.panel import Panel

# Family -> kinds; the colour is c1, c2, … of the palette below.
FAMILIES: dict[str, tuple[str, ...]] = {
    "missing": ("gap", "incomplete", "partial", "missing"),
    "not moving": ("zero_volume", "stale", "stuck_volume", "copied"),
    "wrong price": ("spike", "wick", "order", "price", "duplicate", "jump"),
    "unit or asset": ("redenomination", "adjustment", "reuse", "adjusted"),
    "clock": ("clock", "interval"),
}
_COLOURS = ("#0067a6", "#8a6d00", "#c2310a", "#a8457f", "#00805c")
_ROW = 13
_MOST = 70


def defect_map(report: QualityReport, panel: Panel) -> str:
    """Return a stand-alone SVG: a grey bar for each asset's life, a sign where something was found.

    The 70 assets with the most findings are drawn; a first row is the whole market. Doubtful findings are half as high
    as defects. Facts that concern whole lives (survivorship, edges) are left out.
    """
    family = {kind: place for place, kinds in enumerate(FAMILIES.values()) for kind in kinds}
    shown = [f for f in report.findings if f.kind in family and f.severity != "note"]
    weight: dict[str, int] = {}
    for finding in shown:
        weight[finding.asset] = weight.get(finding.asset, 0) + (10 if finding.severity == "defect" else 1)
    chosen = sorted((a for a in weight if a), key=lambda asset: (-weight[asset], asset))[:_MOST]
    rows = ["", *sorted(chosen)]
    height = 64 + _ROW * len(rows) + 30
    frame = PlotFrame(1080, height, (-0.5, max(panel.shape[0], 2) - 0.5), (0.0, 1.0), left=104, top=46)
    parts = [_style(), f'<rect width="1080" height="{height}" class="paper"/>']
    title = f"{report.name}: {len(shown)} findings in {report.bars:,} bars of {report.assets} assets"
    left_out = len([a for a in weight if a]) - len(chosen)
    more = f"; {left_out} more assets with findings are not drawn" if left_out else ""
    parts.append(f'<text x="14" y="19" class="title">{escape(title + more)}</text>')
    x = 14.0
    for name, colour in zip(FAMILIES, _COLOURS, strict=True):
        parts.append(f'<rect x="{x:.0f}" y="27" width="11" height="11" fill="{colour}"/>')
        parts.append(f'<text x="{x + 16:.0f}" y="37" class="key">{name}</text>')
        x += 16 + 7 * len(name) + 20
    for place, asset in enumerate(rows):
        parts.append(_life(panel, asset, frame, place))
    for finding in sorted(shown, key=lambda f: f.severity == "defect"):
        if finding.asset in rows:
            parts.append(
                _finding_mark(finding, panel, frame, rows.index(finding.asset), _COLOURS[family[finding.kind]])
            )
    foot = frame.top + _ROW * len(rows) + 18
    for row, label in axes.time_ticks(panel.times, about=9):
        at = frame.x(row)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{frame.top}" y2="{foot - 14}" class="grid"/>')
        parts.append(f'<text x="{at:.1f}" y="{foot}" class="tick">{escape(label)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1080 {height}" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>\n"
    )


def _style() -> str:
    return (
        "<style>.paper{fill:#fff}text{font:11px system-ui,sans-serif;fill:#16202b}"
        ".title{font-size:14px;font-weight:600}"
        ".tick{text-anchor:middle;fill:#4c5967}.name{text-anchor:end;font-size:10px}.key{fill:#4c5967}"
        ".life{fill:#e9edf1}.grid{stroke:#cfd6de;stroke-width:.5}</style>"
    )


def _life(panel: Panel, asset: str, frame: PlotFrame, place: int) -> str:
    top = frame.top + _ROW * place
    seen = (
        np.flatnonzero(np.isfinite(panel["close"][:, panel.assets.index(asset)]))
        if asset
        else np.array([0, panel.shape[0] - 1])
    )
    name = asset or "whole market"
    label = f'<text x="{frame.left - 6}" y="{top + 10}" class="name">{escape(name[:16])}</text>'
    if not len(seen):
        return label
    start, stop = frame.x(seen[0] - 0.5), frame.x(seen[-1] + 0.5)
    return f'{label}<rect x="{start:.1f}" y="{top + 1}" width="{stop - start:.1f}" height="{_ROW - 2}" class="life"/>'


def _finding_mark(finding: Finding, panel: Panel, frame: PlotFrame, place: int, colour: str) -> str:
    first, last = np.searchsorted(panel.times, [finding.start, finding.end])
    start, stop = frame.x(float(first) - 0.5), frame.x(float(last) + 0.5)
    whole = finding.severity == "defect"
    wide = max(stop - start, 2.5)
    top = frame.top + _ROW * place + (1 if whole else 4)
    tip = escape(f"{finding.kind}, {finding.asset or 'whole market'}, {str(finding.start)[:16]}: {finding.sentence}")
    return (
        f'<rect x="{min(start, frame.width - frame.right - wide):.1f}" y="{top}" width="{wide:.1f}" '
        f'height="{_ROW - 2 if whole else 5}" fill="{colour}" fill-opacity="{1 if whole else 0.55}">'
        f"<title>{tip}</title></rect>"
    )
