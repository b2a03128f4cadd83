"""Charts as SVG text: no script, no outside reference, colours from the page's CSS variables.

Every chart carries a title and a description for screen readers, tells series apart by dash as well as
colour, thins long series to at most 800 points, and draws missing values as gaps. A series without
a finite value gives a chart that says so. A chart that is wider than a phone is drawn twice, for wide and for
narrow screens, since text that shrinks with its picture cannot be read; the page shows one. Styles live in
``style.css``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from agent.drawing import axes
from agent.drawing.axes import PlotFrame
from agent.untrusted.showing import displayable
from market.panel import FloatArray, TimeArray

# Pixels of a chart beside text, of one that fills a page, and of one on a phone.
HALF, WIDE, NARROW = 530, 900, 380
CHAR = 7.2  # mean width of a 12 px character, for laying out legends
_BOLD = 8.4  # of an 11.5 px bold capital


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
    keys
        What the legend names beside the lines.
    """

    title: str
    description: str
    times: TimeArray
    lines: Sequence[Line]
    ribbons: Sequence[Ribbon] = ()
    spans: Sequence[Span] = ()
    width: int = WIDE
    height: int = 250
    percent: bool = False
    log: bool = False
    zero: bool = True
    floor: float | None = None
    ceiling: float | None = None
    references: Sequence[tuple[int, int, float]] = ()
    keys: Sequence[Key] = ()


def line_chart(chart: LineChart) -> str:
    """Return the chart as one element: an ``<svg>``, or two of them for wide and narrow screens."""
    return for_screens(lambda width: _lines(replace(chart, width=width)), chart.width)


def for_screens(draw: Callable[[int], str], width: int) -> str:
    """Return what `draw` makes of `width` pixels and, where that is too wide for a phone, of a phone's as well."""
    if width <= NARROW:
        return draw(width)
    wide, narrow = draw(width), draw(NARROW)
    if wide == narrow:
        return wide
    return f'<div class="screens"><div class="wide">{wide}</div><div class="narrow">{narrow}</div></div>'


def _lines(chart: LineChart) -> str:
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
    legend, top = legend_of(chart.lines, chart.keys, chart.width)
    height = chart.height + top - FIRST_ROW
    frame = PlotFrame(chart.width, height, (-0.5, count - 0.5), (low, high), top=top)
    parts = [_span(span, frame) for span in chart.spans]
    parts.append(value_axis(frame, percent=chart.percent, log=chart.log, zero=chart.zero))
    parts.append(_time_axis(frame, chart.times))
    parts.extend(_ribbon(ribbon, frame) for ribbon in chart.ribbons)
    parts.extend(_reference(entry, frame) for entry in chart.references)
    parts.extend(_line(line, values, frame) for line, values in zip(chart.lines, series, strict=True))
    parts.append(_span_labels([span for span in chart.spans if span.label], frame))
    parts.append(legend)
    if chart.log:
        parts.append(f'<text class="note end" x="{frame.left - 7}" y="{frame.base + 17:.1f}">log</text>')
    return svg_element(chart.title, chart.description, chart.width, height, parts)


def empty_chart(title: str, width: int, height: int) -> str:
    """Return a chart that says that there is nothing to draw."""
    note = f'<text class="none" x="{width / 2:.0f}" y="{height / 2:.0f}">no data</text>'
    return svg_element(title, "There is nothing to draw.", width, height, [note])


def text_of(text: str) -> str:
    """Return `text` as it may stand in an SVG: cleaned and escaped."""
    return escape(displayable(text), quote=True)


def svg_element(title: str, description: str, width: int, height: int, parts: Sequence[str]) -> str:
    """Return an ``<svg>`` of `parts`, named for screen readers."""
    label = text_of(f"{title}. {description}")
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {width} {height}" aria-label="{label}">'
        f"<title>{text_of(title)}</title><desc>{text_of(description)}</desc>{''.join(parts)}</svg>"
    )


def _scaled(values: FloatArray, log: bool) -> FloatArray:
    """Return values as plotted: log10(1 + value) on a log scale, NaN where that has none."""
    if not log:
        return np.asarray(values, dtype=np.float64)
    with np.errstate(all="ignore"):
        wealth = 1.0 + np.asarray(values, dtype=np.float64)
        return np.where(wealth > 0, np.log10(np.where(wealth > 0, wealth, 1.0)), np.nan)


def value_axis(frame: PlotFrame, *, percent: bool = False, log: bool = False, zero: bool = True) -> str:
    """Return the vertical axis: ticks, grid lines and, where `zero` lies in the range, its line."""
    low, high = frame.y_range
    if log:
        ends = 10.0 ** max(low, -12.0), 10.0 ** min(high, 12.0)
        ticks = axes.log_ticks(*ends)
        # Over less than a factor of ten, 1, 2 and 5 are too few.
        ticks = ticks if len(ticks) > 2 else [tick for tick in axes.nice_ticks(*ends, about=4) if tick > 0]
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
            f'<text class="tick end" x="{frame.left - 7}" y="{y + 4:.1f}">{text_of(label)}</text>'
        )
    if zero and low <= 0.0 <= high:
        y = frame.y(0.0)
        parts.append(f'<line class="zero" x1="{frame.left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
    return "".join(parts)


def bottom_axis(
    frame: PlotFrame,
    title: str,
    *,
    percent: bool = False,
    log: bool = False,
    whole: bool = False,
    grid: bool = False,
) -> str:
    """Return the horizontal axis: ticks (of powers of ten, where `log`), a title below, and a grid where asked for.

    `whole` leaves out ticks between whole numbers; a label that would meet the one before is left out too.
    """
    low, high = frame.x_range
    if log:
        ticks = axes.log_ticks(10.0**low, 10.0**high)
        ticks = ticks if len(ticks) > 1 else [tick for tick in axes.nice_ticks(10.0**low, 10.0**high) if tick > 0]
        pairs = [(math.log10(tick), _log_label(tick, percent)) for tick in ticks]
    else:
        ticks = axes.nice_ticks(low, high, about=max(3, frame.width // 75))
        step = ticks[1] - ticks[0] if len(ticks) > 1 else high - low
        if whole:
            ticks, step = [tick for tick in ticks if abs(tick - round(tick)) < 1e-9], max(step, 1.0)
        pairs = [(tick, axes.tick_label(tick, step, percent=percent)) for tick in ticks]
    parts = []
    free = -math.inf
    for value, label in pairs:
        x = frame.x(value)
        if x - CHAR * len(label) / 2 < free:
            continue
        free = x + CHAR * len(label) / 2 + 4
        if grid:
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top}" y2="{frame.base:.1f}"/>')
        anchor = " end" if x > frame.width - 30 else ""
        x = min(x, frame.width - 4.0)
        parts.append(f'<text class="tick{anchor}" x="{x:.1f}" y="{frame.base + 17:.1f}">{text_of(label)}</text>')
    middle = (frame.left + frame.width - frame.right) / 2
    parts.append(f'<text class="tick" x="{middle:.1f}" y="{frame.base + 35:.1f}">{text_of(title)}</text>')
    return "".join(parts)


def _log_label(tick: float, percent: bool) -> str:
    return f"{100 * tick:g}\u202f%" if percent else f"{tick:g}"


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
            f'<text class="tick{anchor}" x="{x:.1f}" y="{frame.base + 17:.1f}">{text_of(label)}</text>'
        )
    return "".join(parts)


def _line(line: Line, values: FloatArray, frame: PlotFrame) -> str:
    rows, thinned = axes.thin(values, limit=_points(frame.width))
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


def _points(width: int) -> int:
    """Return how many points of a line are drawn: more than a screen of this width can show cost bytes alone."""
    return 800 if width > NARROW else 320


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
    """Draw the area on half as many rows as a line: both edges must be read at the same rows."""
    stride = max(1, -(-2 * len(ribbon.low) // _points(frame.width)))
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


def _span_labels(spans: Sequence[Span], frame: PlotFrame) -> str:
    """Write each label where its span begins, inside the plot; one that would meet another stands a row lower."""
    parts: list[str] = []
    taken: list[tuple[int, float]] = []
    for span in spans:
        wide = _BOLD * len(span.label)
        x = max(min(frame.x(span.start - 0.5) + 5, frame.width - frame.right - wide), frame.left + 3.0)
        row = 0
        while any(row == other and x < stop for other, stop in taken):
            row += 1
        taken.append((row, x + wide))
        y = frame.top + 13 + 15 * row
        parts.append(f'<text class="note halo" x="{x:.1f}" y="{y}">{text_of(span.label)}</text>')
    return "".join(parts)


def _reference(entry: tuple[int, int, float], frame: PlotFrame) -> str:
    """Draw a level over rows [start, stop)."""
    start, stop, value = entry
    x1, x2, y = frame.x(start), frame.x(max(stop - 1, start)), frame.y(value)
    return f'<line class="level" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


# Where a plot begins below one row of its legend, and how much each further row takes.
FIRST_ROW, _NEXT_ROW = 30, 17


def legend_of(lines: Sequence[Line], keys: Sequence[Key], width: int) -> tuple[str, int]:
    """Return a legend laid out left to right in as many rows as it needs, and where the plot below it begins."""
    parts: list[str] = []
    x, row = 8.0, 0
    signs = [(f"{line.label} {line.note}".strip(), 27, _dash_sign(line)) for line in lines]
    signs += [
        (key.label, 19, f'<rect class="{key.css}" x="{{x:.0f}}" y="{{box}}" width="14" height="12"/>') for key in keys
    ]
    for label, indent, sign in signs:
        pieces = wrapped(label, int((width - 16 - indent) / CHAR))
        wide = indent + CHAR * max(map(len, pieces))
        if x > 8.0 and x + wide > width - 4:
            x, row = 8.0, row + 1
        y = 17 + _NEXT_ROW * row
        parts.append(sign.format(x=x, line=y - 4, box=y - 10))
        for k, piece in enumerate(pieces):
            parts.append(f'<text class="key" x="{x + indent:.0f}" y="{y + _NEXT_ROW * k}">{text_of(piece)}</text>')
        x += wide + 18
        if len(pieces) > 1:
            x, row = float(width), row + len(pieces) - 1
    return "".join(parts), FIRST_ROW + _NEXT_ROW * row


def _dash_sign(line: Line) -> str:
    dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
    return f'<path class="line {line.css}"{dash} d="M{{x:.0f}},{{line}} h22"/>'


def wrapped(text: str, most: int) -> list[str]:
    """Return a text in lines of at most `most` characters, cut between words."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > most:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
