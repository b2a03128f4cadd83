"""Charts as SVG text: no script, no outside reference, colours from the page's CSS variables.

Every chart carries a title and a description for screen readers, tells series apart by dash as well as
colour, thins long series to at most 800 points, and draws missing values as gaps. A series without
a finite value gives a chart that says so. Styles live in ``style.css``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from agent.drawing import axes
from agent.drawing.axes import PlotFrame
from agent.untrusted.showing import displayable
from market.panel import FloatArray, TimeArray

_CHAR = 6.6  # mean width of a 12 px character, for laying out legends


@dataclass(frozen=True, eq=False)
class Line:
    """A series over time: (T,) values, a CSS class (``c1`` to ``c6``), a dash and a note for the legend."""

    label: str
    values: FloatArray
    css: str = "c1"
    dash: str = ""
    note: str = ""
    fill: bool = False


@dataclass(frozen=True, eq=False)
class Ribbon:
    """An area between two (T,) series."""

    low: FloatArray
    high: FloatArray
    css: str = "c1"


@dataclass(frozen=True, slots=True)
class Span:
    """Rows [start, stop) shaded from top to bottom with a CSS class; a label stands at the top."""

    start: int
    stop: int
    css: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """A legend entry drawn as a swatch, for bars."""

    label: str
    css: str


@dataclass(frozen=True, eq=False)
class LineChart:
    """What `line_chart` draws.

    Attributes
    ----------
    title, description
        For screen readers and tooltips.
    times
        (T,) UTC; rows are evenly spaced, so a closed market leaves no hole.
    percent
        Ticks as percentages. `log` plots 1 + value on a log scale (values must be > -1 to show).
    zero
        Draw, and always include, the zero line.
    floor, ceiling
        Fixed ends of the vertical range, where given.
    references
        (start row, stop row, level): a level drawn over part of the time.
    """

    title: str
    description: str
    times: TimeArray
    lines: Sequence[Line]
    ribbons: Sequence[Ribbon] = ()
    spans: Sequence[Span] = ()
    width: int = 1080
    height: int = 300
    percent: bool = False
    log: bool = False
    zero: bool = True
    floor: float | None = None
    ceiling: float | None = None
    references: Sequence[tuple[int, int, float]] = ()


def line_chart(chart: LineChart) -> str:
    """Return the chart as one ``<svg>`` element."""
    count = len(chart.times)
    series = [_scaled(line.values, chart.log) for line in chart.lines]
    limits = axes.finite_range(series + [edge for r in chart.ribbons for edge in (r.low, r.high)])
    if limits is None or count == 0:
        return empty_chart(chart.title, chart.width, chart.height)
    low, high = limits
    if chart.zero:
        low, high = min(low, 0.0), max(high, 0.0)
    low, high = axes.padded(low, high)
    low = low if chart.floor is None else chart.floor
    high = high if chart.ceiling is None else chart.ceiling
    frame = PlotFrame(chart.width, chart.height, (-0.5, count - 0.5), (low, high))
    parts = [_span(span, frame) for span in chart.spans]
    parts.append(_value_axis(frame, percent=chart.percent, log=chart.log, zero=chart.zero))
    parts.append(_time_axis(frame, chart.times))
    parts.extend(_ribbon(ribbon, frame) for ribbon in chart.ribbons)
    parts.extend(_reference(entry, frame) for entry in chart.references)
    parts.extend(_line(line, values, frame) for line, values in zip(chart.lines, series, strict=True))
    parts.extend(_span_label(span, frame) for span in chart.spans if span.label)
    parts.append(_legend(frame, chart.lines, ()))
    if chart.log:
        parts.append(f'<text class="note end" x="{frame.left - 7}" y="17">log</text>')
    return _svg(chart.title, chart.description, chart.width, chart.height, parts)


def bar_chart(
    title: str,
    description: str,
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[float], str]],
    *,
    percent: bool = False,
    width: int = 530,
    height: int = 250,
    axis: str = "",
) -> str:
    """Return grouped bars: for each label one bar a series, given as (name, values, CSS class).

    A value that is not finite, or missing at the end, is left out. `axis` is written under the labels.
    """
    table = [[float(v) for v in values[: len(labels)]] for _, values, _ in series]
    limits = axes.finite_range([np.asarray(values, dtype=np.float64) for values in table])
    if limits is None or not labels:
        return empty_chart(title, width, height)
    span = axes.padded(min(limits[0], 0.0), max(limits[1], 0.0))
    bottom = 42 if axis else 26
    frame = PlotFrame(width, height, (-0.5, len(labels) - 0.5), span, bottom=bottom)
    parts = [_value_axis(frame, percent=percent, log=False, zero=True)]
    slot = (frame.x(1.0) - frame.x(0.0)) * 0.72
    thick = min(slot / max(len(series), 1), 38.0)
    for place, values in enumerate(table):
        name, _, css = series[place]
        for group, value in enumerate(values):
            if not math.isfinite(value):
                continue
            x = frame.x(group) + (place - len(series) / 2) * thick
            top, foot = sorted((frame.y(value), frame.y(0.0)))
            tip = f"{name}, {labels[group]}: {axes.format_number(value, 'fine_percent' if percent else 'ic')}"
            parts.append(
                f'<rect class="bar {css}" x="{x + 1:.1f}" y="{top:.1f}" width="{max(thick - 2, 1):.1f}" '
                f'height="{max(foot - top, 0.6):.1f}"><title>{_text(tip)}</title></rect>'
            )
    for group, label in enumerate(labels):
        parts.append(f'<text class="tick" x="{frame.x(group):.1f}" y="{frame.base + 17:.1f}">{_text(label)}</text>')
    if axis:
        middle = (frame.left + width - frame.right) / 2
        parts.append(f'<text class="tick" x="{middle:.1f}" y="{frame.base + 35:.1f}">{_text(axis)}</text>')
    parts.append(_legend(frame, (), [Key(name, f"bar {css}") for name, _, css in series]))
    return _svg(title, description, width, height, parts)


def histogram(
    title: str,
    description: str,
    edges: FloatArray,
    counts: FloatArray,
    *,
    threshold: float,
    axis: str,
    width: int = 530,
    height: int = 250,
) -> str:
    """Return a histogram with a vertical line at `threshold`; bins left of it are coloured differently."""
    usable = len(edges) == len(counts) + 1 and len(counts) > 0 and bool(np.all(np.isfinite(edges)))
    limits = axes.finite_range([counts]) if usable else None
    if limits is None or limits[1] <= 0 or not edges[-1] > edges[0]:
        return empty_chart(title, width, height)
    low, high = float(edges[0]), float(edges[-1])
    frame = PlotFrame(width, height, axes.padded(low, high, share=0.02), (0.0, limits[1] * 1.08), bottom=42)
    parts = [_value_axis(frame, percent=False, log=False, zero=True)]
    for start, stop, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True):
        if not (math.isfinite(count) and count > 0):
            continue
        x, top = frame.x(start), frame.y(count)
        wide = max(frame.x(stop) - x - 0.6, 0.6)
        css = "c2" if (start + stop) / 2 < threshold else "c1"
        parts.append(
            f'<rect class="bar {css}" x="{x:.1f}" y="{top:.1f}" width="{wide:.1f}" '
            f'height="{max(frame.base - top, 0.8):.1f}"/>'
        )
    ticks = axes.nice_ticks(low, high, about=7)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else high - low
    for tick in ticks:
        label = _text(axes.tick_label(tick, step))
        parts.append(f'<text class="tick" x="{frame.x(tick):.1f}" y="{frame.base + 17:.1f}">{label}</text>')
    middle = (frame.left + width - frame.right) / 2
    parts.append(f'<text class="tick" x="{middle:.1f}" y="{frame.base + 35:.1f}">{_text(axis)}</text>')
    if math.isfinite(threshold) and frame.x_range[0] <= threshold <= frame.x_range[1]:
        parts.append(_threshold(frame, threshold))
    parts.append(_legend(frame, (), [Key("at or above the threshold", "bar c1"), Key("below: gate shut", "bar c2")]))
    return _svg(title, description, width, height, parts)


def empty_chart(title: str, width: int, height: int) -> str:
    """Return a chart that says that there is nothing to draw."""
    note = f'<text class="none" x="{width / 2:.0f}" y="{height / 2:.0f}">no data</text>'
    return _svg(title, "There is nothing to draw.", width, height, [note])


def _text(text: str) -> str:
    return escape(displayable(text), quote=True)


def _svg(title: str, description: str, width: int, height: int, parts: Sequence[str]) -> str:
    label = _text(f"{title}. {description}")
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {width} {height}" aria-label="{label}">'
        f"<title>{_text(title)}</title><desc>{_text(description)}</desc>{''.join(parts)}</svg>"
    )


def _scaled(values: FloatArray, log: bool) -> FloatArray:
    """Return values as plotted: log10(1 + value) on a log scale, NaN where that has none."""
    if not log:
        return np.asarray(values, dtype=np.float64)
    with np.errstate(all="ignore"):
        wealth = 1.0 + np.asarray(values, dtype=np.float64)
        return np.where(wealth > 0, np.log10(np.where(wealth > 0, wealth, 1.0)), np.nan)


def _value_axis(frame: PlotFrame, *, percent: bool, log: bool, zero: bool) -> str:
    low, high = frame.y_range
    if log:
        ticks = axes.log_ticks(10.0 ** max(low, -12.0), 10.0 ** min(high, 12.0))
        pairs = [(math.log10(tick), f"×{tick:g}") for tick in ticks]
    else:
        plain = axes.nice_ticks(low, high)
        step = plain[1] - plain[0] if len(plain) > 1 else high - low
        pairs = [(tick, axes.tick_label(tick, step, percent=percent)) for tick in plain]
    right = frame.width - frame.right
    parts = []
    for value, label in pairs:
        y = frame.y(value)
        parts.append(
            f'<line class="grid" x1="{frame.left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick end" x="{frame.left - 7}" y="{y + 4:.1f}">{_text(label)}</text>'
        )
    if zero and low <= 0.0 <= high:
        y = frame.y(0.0)
        parts.append(f'<line class="zero" x1="{frame.left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
    return "".join(parts)


def _time_axis(frame: PlotFrame, times: TimeArray) -> str:
    parts = []
    previous = -1e9
    for row, label in axes.time_ticks(times, about=max(3, frame.width // 105)):
        x = frame.x(row)
        if x - previous < 72:
            continue
        previous = x
        anchor = " start" if x < frame.left + 26 else " end" if x > frame.width - frame.right - 30 else ""
        parts.append(
            f'<line class="notch" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.base:.1f}" y2="{frame.base + 4:.1f}"/>'
            f'<text class="tick{anchor}" x="{x:.1f}" y="{frame.base + 17:.1f}">{_text(label)}</text>'
        )
    return "".join(parts)


def _line(line: Line, values: FloatArray, frame: PlotFrame) -> str:
    rows, thinned = axes.thin(values)
    dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
    pieces = _pieces(rows.tolist(), thinned.tolist(), frame)
    drawn = f'<path class="line {line.css}"{dash} d="{" ".join("M" + " L".join(p) for p in pieces)}"/>'
    # A lone point has no length: "h0" with round caps makes it a dot.
    drawn += "".join(f'<path class="line {line.css} dot" d="M{p[0]} h0"/>' for p in pieces if len(p) == 1)
    if not line.fill:
        return drawn
    foot = frame.y(max(0.0, frame.y_range[0]))
    closed = [f"M{p[0].split(',')[0]},{foot:.1f} L{' L'.join(p)} L{p[-1].split(',')[0]},{foot:.1f} Z" for p in pieces]
    return f'<path class="area {line.css}" d="{" ".join(closed)}"/>{drawn}'


def _pieces(rows: Sequence[int], values: Sequence[float], frame: PlotFrame) -> list[list[str]]:
    """Return runs of finite points as "x,y" texts; a missing value starts a new run."""
    pieces: list[list[str]] = [[]]
    for row, value in zip(rows, values, strict=True):
        if math.isfinite(value):
            pieces[-1].append(f"{frame.x(row):.1f},{frame.y(value):.1f}")
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _ribbon(ribbon: Ribbon, frame: PlotFrame) -> str:
    """Draw the area on at most 400 rows: both edges must be read at the same rows."""
    stride = max(1, -(-len(ribbon.low) // 400))
    rows = np.arange(0, len(ribbon.low), stride)
    ok = np.isfinite(ribbon.low[rows]) & np.isfinite(ribbon.high[rows])
    low = _pieces(rows.tolist(), np.where(ok, ribbon.low[rows], np.nan).tolist(), frame)
    high = _pieces(rows.tolist(), np.where(ok, ribbon.high[rows], np.nan).tolist(), frame)
    shapes = [f"M{' L'.join(a + b[::-1])} Z" for a, b in zip(low, high, strict=True)]
    return f'<path class="area {ribbon.css}" d="{" ".join(shapes)}"/>'


def _span(span: Span, frame: PlotFrame) -> str:
    x, stop = frame.x(span.start - 0.5), frame.x(span.stop - 0.5)
    return (
        f'<rect class="{span.css}" x="{x:.1f}" y="{frame.top}" width="{max(stop - x, 0.8):.1f}" '
        f'height="{frame.base - frame.top:.1f}"/>'
    )


def _span_label(span: Span, frame: PlotFrame) -> str:
    x = frame.x(span.start - 0.5) + 5
    return f'<text class="note halo" x="{x:.1f}" y="{frame.top + 13}">{_text(span.label)}</text>'


def _reference(entry: tuple[int, int, float], frame: PlotFrame) -> str:
    """Draw a level over rows [start, stop)."""
    start, stop, value = entry
    x1, x2, y = frame.x(start), frame.x(max(stop - 1, start)), frame.y(value)
    return f'<line class="level" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _threshold(frame: PlotFrame, value: float) -> str:
    x = frame.x(value)
    near = x > frame.width / 2
    label = f"threshold {axes.format_number(value)} nats"
    return (
        f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top}" y2="{frame.base:.1f}"/>'
        f'<text class="note{" end" if near else ""} halo" x="{x + (-6 if near else 6):.1f}" '
        f'y="{frame.top + 13}">{_text(label)}</text>'
    )


def _legend(frame: PlotFrame, lines: Sequence[Line], keys: Sequence[Key]) -> str:
    """Lay entries out left to right above the plot."""
    parts: list[str] = []
    x = float(frame.left)
    for line in lines:
        label = f"{line.label} {line.note}".strip()
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        parts.append(
            f'<path class="line {line.css}"{dash} d="M{x:.0f},13 h22"/>'
            f'<text class="key" x="{x + 27:.0f}" y="17">{_text(label)}</text>'
        )
        x += 27 + _CHAR * len(label) + 18
    for key in keys:
        parts.append(
            f'<rect class="{key.css}" x="{x:.0f}" y="7" width="14" height="12"/>'
            f'<text class="key" x="{x + 19:.0f}" y="17">{_text(key.label)}</text>'
        )
        x += 19 + _CHAR * len(key.label) + 18
    return "".join(parts)
