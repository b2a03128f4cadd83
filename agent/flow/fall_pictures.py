"""Pictures of falls: what was left of the market, and how open each gate stood, day by day."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agent.drawing import svg
from agent.flow.gate_purpose import FALLS, falls_of, mean_open
from agent.flow.risk_now import EVENTS
from backtest.bar_regimes import market_return
from market.panel import FloatArray, Panel

# Days drawn before a fall begins, and after.
_BEFORE, _AFTER = 10, 20
CAPTION = (
    "What was left of the market's value ten days before, and mean exposure under each gate. Falls that people "
    "remember, where the span covers them, then its worst weeks."
)


def named_falls(panel: Panel, part: slice, total: FloatArray, day: int) -> dict[str, int]:
    """Return where falls begin within a span, by name or first day: at most six, the remembered ones first."""
    found: dict[str, int] = {}
    for name, (first, _) in EVENTS.items():
        begin = int(np.searchsorted(panel.times, np.datetime64(first)))
        if part.start + day < begin < part.stop - day and panel.times[begin] - np.datetime64(first) < _A_WEEK:
            found[name] = begin
    for begin in falls_of(total, part, day):
        if len(found) < FALLS and all(abs(begin - other) >= 14 * day for other in found.values()):
            found[str(panel.times[begin])[:10]] = begin
    return found


def fall_charts(panel: Panel, gates: Mapping[str, FloatArray], part: slice) -> str:
    """Draw each fall of a span with the exposures of some gates (T, N): one below the other; empty if none."""
    day = max(1, round(panel.bars_per_year / 365))
    total = np.concatenate([[0.0], np.cumsum(np.log1p(market_return(panel)))])
    opened = {name: mean_open(gate, panel) for name, gate in gates.items()}
    drawn = []
    for name, begin in named_falls(panel, part, total, day).items():
        rows = slice(max(part.start, begin - _BEFORE * day), min(part.stop, begin + _AFTER * day))
        left = np.exp(total[1:][rows] - total[1:][rows.start])
        lines = [svg.Line("market", left)]
        lines += [
            svg.Line(f"exposure, {gate}", exposure[rows], css=f"c{2 + k}", dash="" if k == 0 else "4 3")
            for k, (gate, exposure) in enumerate(opened.items())
        ]
        chart = svg.LineChart(
            name,
            f"{name}: the market's value and mean exposures.",
            panel.times[rows],
            lines,
            height=220,
            percent=True,
            floor=0.0,
            ceiling=max(1.05, float(np.nanmax(left))),
        )
        drawn.append(f"<h3>{name}</h3>{svg.line_chart(chart)}")
    return "".join(drawn)


_A_WEEK = np.timedelta64(7, "D")
