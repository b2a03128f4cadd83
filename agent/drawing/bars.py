"""Bars as SVG text: grouped bars with a value each, and histograms with a threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.drawing import axes, svg
from agent.drawing.axes import PlotFrame
from market.panel import FloatArray


def bar_chart(
    title: str,
    description: str,
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[float], str]],
    *,
    percent: bool = False,
    width: int = svg.HALF,
    height: int = 250,
    axis: str = "",
) -> str:
    """Return grouped bars: for each label one bar a series, given as (name, values, CSS class).

    A value that is not finite, or missing at the end, is left out. `axis` is written under the labels.
    """
    drawn = Bars(title, description, labels, series, percent, height, axis)
    return svg.for_screens(lambda wide: draw_bars(drawn, wide), width)


@dataclass(frozen=True, eq=False)
class Bars:
    """What `draw_bars` draws; see `bar_chart`."""

    title: str
    description: str
    labels: Sequence[str]
    series: Sequence[tuple[str, Sequence[float], str]]
    percent: bool
    height: int
    axis: str


def draw_bars(chart: Bars, width: int) -> str:
    """Return grouped bars as one ``<svg>``, for a picture that stands in a file of its own."""
    labels, series = chart.labels, chart.series
    table = [[float(v) for v in values[: len(labels)]] for _, values, _ in series]
    limits = axes.finite_range([np.asarray(values, dtype=np.float64) for values in table])
    if limits is None or not labels:
        return svg.empty_chart(chart.title, width, chart.height)
    span = axes.padded(min(limits[0], 0.0), max(limits[1], 0.0))
    bottom = 42 if chart.axis else 26
    legend, top_edge = svg.legend_of((), [svg.Key(name, f"bar {css}") for name, _, css in series], width)
    height = chart.height + top_edge - svg.FIRST_ROW
    frame = PlotFrame(width, height, (-0.5, len(labels) - 0.5), span, top=top_edge, bottom=bottom)
    parts = [svg.value_axis(frame, percent=chart.percent)]
    slot = (frame.x(1.0) - frame.x(0.0)) * 0.72
    thick = min(slot / max(len(series), 1), 38.0)
    for place, values in enumerate(table):
        name, _, css = series[place]
        for group, value in enumerate(values):
            if not math.isfinite(value):
                continue
            x = frame.x(group) + (place - len(series) / 2) * thick
            top, foot = sorted((frame.y(value), frame.y(0.0)))
            tip = f"{name}, {labels[group]}: {axes.format_number(value, 'fine_percent' if chart.percent else 'ic')}"
            parts.append(
                f'<rect class="bar {css}" x="{x + 1:.1f}" y="{top:.1f}" width="{max(thick - 2, 1):.1f}" '
                f'height="{max(foot - top, 0.6):.1f}"><title>{svg.text_of(tip)}</title></rect>'
            )
    room = frame.x(1.0) - frame.x(0.0)
    every = max(1, math.ceil((max(map(len, labels)) * svg.CHAR + 6) / room))
    for group, label in enumerate(labels):
        if group % every:
            continue
        parts.append(
            f'<text class="tick" x="{frame.x(group):.1f}" y="{frame.base + 17:.1f}">{svg.text_of(label)}</text>'
        )
    if chart.axis:
        middle = (frame.left + width - frame.right) / 2
        parts.append(f'<text class="tick" x="{middle:.1f}" y="{frame.base + 35:.1f}">{svg.text_of(chart.axis)}</text>')
    parts.append(legend)
    return svg.svg_element(chart.title, chart.description, width, height, parts)


def histogram(
    title: str,
    description: str,
    edges: FloatArray,
    counts: FloatArray,
    *,
    threshold: float,
    axis: str,
    width: int = svg.HALF,
    height: int = 250,
) -> str:
    """Return a histogram with a vertical line at `threshold`; bins left of it are coloured differently."""
    return svg.for_screens(
        lambda wide: _histogram((title, description, axis), edges, counts, threshold, (wide, height)), width
    )


def _histogram(
    words: tuple[str, str, str], edges: FloatArray, counts: FloatArray, threshold: float, size: tuple[int, int]
) -> str:
    (title, description, axis), (width, height) = words, size
    usable = len(edges) == len(counts) + 1 and len(counts) > 0 and bool(np.all(np.isfinite(edges)))
    limits = axes.finite_range([counts]) if usable else None
    if limits is None or limits[1] <= 0 or not edges[-1] > edges[0]:
        return svg.empty_chart(title, width, height)
    low, high = float(edges[0]), float(edges[-1])
    legend, top_edge = svg.legend_of(
        (), [svg.Key("at or above the threshold", "bar c1"), svg.Key("below: gate shut", "bar c2")], width
    )
    height += top_edge - svg.FIRST_ROW
    span = axes.padded(low, high, share=0.02)
    frame = PlotFrame(width, height, span, (0.0, limits[1] * 1.08), top=top_edge, bottom=42)
    parts = [svg.value_axis(frame)]
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
    parts.append(svg.bottom_axis(frame, axis))
    if math.isfinite(threshold) and frame.x_range[0] <= threshold <= frame.x_range[1]:
        parts.append(_threshold(frame, threshold))
    parts.append(legend)
    return svg.svg_element(title, description, width, height, parts)


def _threshold(frame: PlotFrame, value: float) -> str:
    x = frame.x(value)
    near = x > frame.width / 2
    label = f"threshold {axes.format_number(value)} nats"
    return (
        f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top}" y2="{frame.base:.1f}"/>'
        f'<text class="note{" end" if near else ""} halo" x="{x + (-6 if near else 6):.1f}" '
        f'y="{frame.top + 13}">{svg.text_of(label)}</text>'
    )
