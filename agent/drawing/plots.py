"""Plots as SVG text: points in a plane, rows of dots, tinted grids, and shares that add up over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.drawing import axes, svg
from agent.drawing.axes import PlotFrame
from market.panel import FloatArray, TimeArray

# Shapes repeat what colours say, for print and for readers who cannot tell the colours apart.
_SHAPES = ("dot", "square", "diamond", "up", "cross", "ring")
# Shares of the largest size from which a cell of a grid is tinted more deeply.
_DEPTHS = (0.08, 0.3, 0.6)
_ROW = 22


@dataclass(frozen=True, eq=False)
class Points:
    """Points of one kind: (K,) places on both axes, and what each is."""

    label: str
    css: str
    x: FloatArray
    y: FloatArray
    tips: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Scatter:
    """What `scatter` draws.

    Attributes
    ----------
    kinds
        Up to six kinds of points; one that is not finite (or not above 0 on a log axis) is left out.
    x_title, y_title
        What the axes are of; they are drawn. `x_whole` leaves out ticks between whole numbers.
    steps
        (x, y): a line that rises in steps, such as the best so far; may be empty.
    """

    title: str
    description: str
    kinds: Sequence[Points]
    x_title: str
    y_title: str
    x_percent: bool = False
    x_log: bool = False
    x_whole: bool = False
    steps: tuple[FloatArray, FloatArray] | None = None
    steps_label: str = ""
    width: int = svg.HALF
    height: int = 300


def scatter(plot: Scatter) -> str:
    """Return points in a plane, with a line at zero."""
    return svg.for_screens(lambda width: _scatter(plot, width), plot.width)


def _scatter(plot: Scatter, width: int) -> str:
    placed = [(kind, *_finite(kind, plot.x_log)) for kind in plot.kinds]
    placed = [one for one in placed if one[1].size]
    if not placed:
        return svg.empty_chart(plot.title, width, plot.height)
    steps = plot.steps
    xs = axes.finite_range([x for _, x, _, _ in placed] + ([] if steps is None else [steps[0]]))
    ys = axes.finite_range([y for _, _, y, _ in placed] + ([] if steps is None else [steps[1]]))
    assert xs is not None and ys is not None
    keys = [svg.Key(kind.label, f"bar {kind.css}") for kind, _, _, _ in placed]
    lines = [] if steps is None else [svg.Line(plot.steps_label, steps[1], "c6")]
    legend, top = svg.legend_of(lines, keys, width)
    # The title of the vertical axis stands above it, where it reads left to right.
    top += 16
    spread = axes.padded(*xs)
    height = plot.height + top - svg.FIRST_ROW
    frame = PlotFrame(width, height, spread, axes.padded(min(ys[0], 0.0), max(ys[1], 0.0)), top=top, bottom=42)
    parts = [
        svg.value_axis(frame),
        svg.bottom_axis(frame, plot.x_title, percent=plot.x_percent, log=plot.x_log, whole=plot.x_whole),
    ]
    parts.append(f'<text class="tick start" x="8" y="{top - 8}">{svg.text_of(plot.y_title)}</text>')
    if steps is not None:
        corners = zip(steps[0].tolist(), steps[1].tolist(), strict=True)
        path = [f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in corners if math.isfinite(x) and math.isfinite(y)]
        parts.append(f'<path class="line c6" d="M{" L".join(path)}"/>' if path else "")
    # The first kind is drawn last, so that nothing hides it.
    for place, (kind, x, y, tips) in reversed(list(enumerate(placed))):
        shape = _SHAPES[place % len(_SHAPES)]
        for a, b, tip in zip(x.tolist(), y.tolist(), tips, strict=True):
            parts.append(_sign(shape, kind.css, frame.x(a), frame.y(b), tip))
    return svg.svg_element(plot.title, plot.description, width, height, [*parts, legend])


def _finite(kind: Points, log: bool) -> tuple[FloatArray, FloatArray, list[str]]:
    x, y = (np.asarray(values, dtype=np.float64) for values in (kind.x, kind.y))
    known = np.isfinite(x) & np.isfinite(y) & ((x > 0) | (not log))
    x = np.log10(x[known]) if log else x[known]
    tips = [tip for tip, there in zip(kind.tips or [""] * len(known), known.tolist(), strict=True) if there]
    return x, y[known], tips


def _sign(shape: str, css: str, x: float, y: float, tip: str) -> str:
    """Return one point as a path: a path of each shape is shorter than the elements that SVG has for them."""
    drawn = {
        "dot": f"M{x - 4:.1f},{y:.1f}a4,4 0 1 0 8,0a4,4 0 1 0 -8,0z",
        "square": f"M{x - 3.5:.1f},{y - 3.5:.1f}h7v7h-7z",
        "diamond": f"M{x:.1f},{y - 5:.1f}l5,5l-5,5l-5,-5z",
        "up": f"M{x:.1f},{y - 5:.1f}l5,9h-10z",
        "cross": f"M{x - 4:.1f},{y - 1.2:.1f}h8v2.4h-8zM{x - 1.2:.1f},{y - 4:.1f}h2.4v8h-2.4z",
        "ring": f"M{x - 4:.1f},{y:.1f}a4,4 0 1 0 8,0a4,4 0 1 0 -8,0zm1.5,0a2.5,2.5 0 1 1 5,0a2.5,2.5 0 1 1 -5,0z",
    }[shape]
    said = f"<title>{svg.text_of(tip)}</title>" if tip else ""
    return f'<path class="point {css}" d="{drawn}">{said}</path>'


def dot_plot(
    title: str,
    description: str,
    rows: Sequence[tuple[str, Sequence[float]]],
    series: Sequence[tuple[str, str]],
    *,
    axis: str,
    width: int = svg.WIDE,
) -> str:
    """Return a row of dots for each (label, values), one a series of (name, CSS class); what is not finite is left out.

    A thin line joins the smallest and the largest of a row. On narrow screens labels stand above their rows.
    """
    limits = axes.finite_range([np.asarray(values, dtype=np.float64) for _, values in rows])
    if limits is None:
        return svg.empty_chart(title, width, 120)

    def draw(wide: int) -> str:
        beside = wide > svg.NARROW
        legend, top = svg.legend_of((), [svg.Key(name, f"bar {css}") for name, css in series], wide)
        step = _ROW if beside else 2 * _ROW - 6
        left = min(20 + round(svg.CHAR * max(len(label) for label, _ in rows)), wide // 2) if beside else 14
        height = top + step * len(rows) + 46
        span = axes.padded(min(limits[0], 0.0), max(limits[1], 0.0))
        frame = PlotFrame(wide, height, span, (0.0, 1.0), left=left, top=top, bottom=42)
        zero = frame.x(0.0)
        parts = [svg.bottom_axis(frame, axis, grid=True)]
        parts.append(f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="{top}" y2="{frame.base:.1f}"/>')
        for place, (label, values) in enumerate(rows):
            y = top + step * (place + 1) - _ROW / 2
            where = f'class="end" x="{left - 10}" y="{y + 4}"' if beside else f'x="8" y="{y - 12}"'
            parts.append(f"<text {where}>{svg.text_of(_cut(label, (left if beside else wide) - 16))}</text>")
            known = [v for v in values if math.isfinite(v)]
            if known:
                ends = frame.x(min(known)), frame.x(max(known))
                parts.append(f'<line class="reach" x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{y}" y2="{y}"/>')
            for k, value in enumerate(values):
                if math.isfinite(value):
                    tip = f"{label}, {series[k][0]}: {axes.format_number(value)}"
                    parts.append(_sign(_SHAPES[k % len(_SHAPES)], series[k][1], frame.x(value), y, tip))
        return svg.svg_element(title, description, wide, height, [*parts, legend])

    return svg.for_screens(draw, width)


def _tint(distance: float) -> str:
    """Return the class of a cell by its distance from the middle, in units of the largest one."""
    depth = sum(abs(distance) >= share for share in _DEPTHS)
    return f"{'up' if distance >= 0 else 'down'}{depth}" if depth else "flat"


def _cell(place: tuple[float, float, float], css: str, text: str, tip: str) -> list[str]:
    """Return a tinted cell at (x, y) of a width, with its figure where that fits."""
    x, y, wide = place
    drawn = [
        f'<rect class="cell {css}" x="{x + 1:.1f}" y="{y}" width="{wide - 2:.1f}" height="24">'
        f"<title>{svg.text_of(tip)}</title></rect>"
    ]
    if svg.CHAR * len(text) <= wide:
        drawn.append(f'<text class="in" x="{x + wide / 2:.1f}" y="{y + 16}">{svg.text_of(text)}</text>')
    return drawn


def heat_map(
    title: str,
    description: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: FloatArray,
    *,
    style: str = "plain",
    middle: float = 0.0,
    width: int = svg.WIDE,
) -> str:
    """Return a grid of figures (R, C), tinted by their distance from `middle`; what is not finite is left empty.

    On narrow screens the names of the rows stand above them.
    """
    table = np.asarray(values, dtype=np.float64).reshape(len(rows), len(columns))
    limits = axes.finite_range([np.abs(table - middle)])
    if limits is None:
        return svg.empty_chart(title, width, 120)
    most = limits[1] or 1.0

    def draw(wide: int) -> str:
        beside = wide > svg.NARROW
        left = min(16 + round(svg.CHAR * max(map(len, rows))), wide // 2) if beside else 4
        cell = (wide - left - 4) / len(columns)
        step, head = (26, 24) if beside else (42, 24)
        # Names that do not fit stand below, and their numbers above the columns.
        fits = max(map(len, columns)) * svg.CHAR <= cell
        heads = list(columns) if fits else [str(k + 1) for k in range(len(columns))]
        key = [] if fits else svg.wrapped(_numbered(columns), int((wide - 16) / svg.CHAR))
        foot = head + step * len(rows) + 4
        parts = [
            f'<text class="tick" x="{left + cell * (k + 0.5):.1f}" y="16">{svg.text_of(name)}</text>'
            for k, name in enumerate(heads)
        ]
        parts += [f'<text x="8" y="{foot + 14 + 16 * k}">{svg.text_of(line)}</text>' for k, line in enumerate(key)]
        for r, name in enumerate(rows):
            y = head + step * (r + 1) - 26
            where = f'class="end" x="{left - 8}" y="{y + 17}"' if beside else f'x="6" y="{y - 4}"'
            parts.append(f"<text {where}>{svg.text_of(_cut(name, (left if beside else wide) - 12))}</text>")
            for c, value in enumerate(table[r].tolist()):
                if math.isfinite(value):
                    text = axes.format_number(value, style)
                    tip = f"{name}, {columns[c]}: {text}"
                    parts += _cell((left + cell * c, y, cell), _tint((value - middle) / most), text, tip)
        return svg.svg_element(title, description, wide, foot + 16 * len(key) + 4 * bool(key), parts)

    return svg.for_screens(draw, width)


def _numbered(names: Sequence[str]) -> str:
    """Return names with their numbers as one text; what stands between two commas is not torn apart."""
    return ", ".join(f"{k + 1}\u00a0{name}".replace(" ", "\u00a0") for k, name in enumerate(names))


def _cut(name: str, room: float) -> str:
    """Return a name that fits into that many pixels: a long one ends in an ellipsis."""
    most = max(int(room / svg.CHAR), 4)
    return name if len(name) <= most else name[: most - 1].rstrip() + "…"


def stacked_areas(
    title: str, description: str, times: TimeArray, shares: Sequence[tuple[str, FloatArray]], *, height: int = 220
) -> str:
    """Return (T,) shares that add up to at most 1, each above those before it."""
    ribbons, foot = [], np.zeros(len(times))
    keys = []
    for place, (label, share) in enumerate(shares):
        top = foot + np.nan_to_num(np.asarray(share, dtype=np.float64))
        css = f"c{place % 6 + 1} stack"
        ribbons.append(svg.Ribbon(foot, top, css))
        keys.append(svg.Key(label, f"area {css}"))
        foot = top
    chart = svg.LineChart(
        title, description, times, [], ribbons=ribbons, keys=keys, percent=True, floor=0.0, ceiling=1.0, height=height
    )
    return svg.line_chart(chart)
