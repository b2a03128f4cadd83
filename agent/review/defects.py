"""A picture of what is wrong with a data set: assets by time, coloured by family of defect."""

from __future__ import annotations

from html import escape

import numpy as np

from agent.drawing import axes, svg
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
    drawn = draw_defects(report, panel, 1080)
    head, rest = drawn.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg">{_style()}{rest}\n'


def draw_defects(report: QualityReport, panel: Panel, width: int) -> str:
    """Return the picture of `defect_map` in `width` pixels, for a page that has its styles."""
    family = {kind: place for place, kinds in enumerate(FAMILIES.values()) for kind in kinds}
    shown = [f for f in report.findings if f.kind in family and f.severity != "note"]
    weight: dict[str, int] = {}
    for finding in shown:
        weight[finding.asset] = weight.get(finding.asset, 0) + (10 if finding.severity == "defect" else 1)
    chosen = sorted((a for a in weight if a), key=lambda asset: (-weight[asset], asset))[:_MOST]
    rows = ["", *sorted(chosen)]
    left_out = len([a for a in weight if a]) - len(chosen)
    more = f"; {left_out} more assets with findings are not drawn" if left_out else ""
    title = f"{report.name}: {len(shown)} findings in {report.bars:,} bars of {report.assets} assets{more}"
    head = svg.wrapped(title, int((width - 20) / svg.CHAR))
    keys, key_foot = svg.legend_of((), [svg.Key(n, f"family{k}") for k, n in enumerate(FAMILIES)], width)
    shift = 16 * len(head)
    top = shift + key_foot
    height = top + _ROW * len(rows) + 26
    frame = PlotFrame(width, height, (-0.5, max(panel.shape[0], 2) - 0.5), (0.0, 1.0), left=104, top=top)
    parts = [f'<rect width="{width}" height="{height}" class="paper"/>']
    parts += [f'<text x="8" y="{15 + 16 * k}" class="title">{escape(line)}</text>' for k, line in enumerate(head)]
    parts.append(f'<g transform="translate(0,{shift})">{keys}</g>')
    parts += [_life(panel, asset, frame, place) for place, asset in enumerate(rows)]
    for finding in sorted(shown, key=lambda f: f.severity == "defect"):
        if finding.asset in rows:
            parts.append(_finding_mark(finding, panel, frame, rows.index(finding.asset), family[finding.kind]))
    foot = top + _ROW * len(rows) + 18
    for row, label in axes.time_ticks(panel.times, about=max(2, width // 110)):
        at = frame.x(row)
        anchor = " end" if at > width - 34 else ""
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{frame.top}" y2="{foot - 14}" class="grid"/>')
        parts.append(f'<text x="{at:.1f}" y="{foot}" class="tick{anchor}">{escape(label)}</text>')
    described = "Assets by time; a sign where something was found, coloured by family of defect."
    return svg.svg_element(title, described, width, height, parts)


def _style() -> str:
    return (
        "<style>.paper{fill:#fff}text{font:11px system-ui,sans-serif;fill:#16202b}"
        ".title{font-size:14px;font-weight:600}"
        + "".join(f".family{k}{{fill:{colour}}}" for k, colour in enumerate(_COLOURS))
        + ".tick{text-anchor:middle;fill:#4c5967}.tick.end{text-anchor:end}"
        ".name{text-anchor:end;font-size:10px}.key{fill:#4c5967}"
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
    label = f'<text x="{frame.left - 6}" y="{top + 10}" class="name">{escape(name[:12])}</text>'
    if not len(seen):
        return label
    start, stop = frame.x(seen[0] - 0.5), frame.x(seen[-1] + 0.5)
    return f'{label}<rect x="{start:.1f}" y="{top + 1}" width="{stop - start:.1f}" height="{_ROW - 2}" class="life"/>'


def _finding_mark(finding: Finding, panel: Panel, frame: PlotFrame, place: int, family: int) -> str:
    first, last = np.searchsorted(panel.times, [finding.start, finding.end])
    start, stop = frame.x(float(first) - 0.5), frame.x(float(last) + 0.5)
    whole = finding.severity == "defect"
    wide = max(stop - start, 2.5)
    top = frame.top + _ROW * place + (1 if whole else 4)
    tip = escape(f"{finding.kind}, {finding.asset or 'whole market'}, {str(finding.start)[:16]}: {finding.sentence}")
    return (
        f'<rect x="{min(start, frame.width - frame.right - wide):.1f}" y="{top}" width="{wide:.1f}" '
        f'height="{_ROW - 2 if whole else 5}" class="family{family}" fill-opacity="{1 if whole else 0.55}">'
        f"<title>{tip}</title></rect>"
    )
