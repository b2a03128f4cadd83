"""What gates are for: drawdown, tail loss, and falls of portfolios that have a direction, beside plainer gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.drawing.axes import format_number
from agent.review.findings import Grid, grid
from backtest import metrics
from backtest.bar_regimes import market_return
from backtest.placebo import shifted_gates
from backtest.run import trade
from backtest.target import Target
from market.panel import FloatArray, Panel

# Falls that are looked at: the market's worst weeks, apart from each other.
FALLS = 6
# A gate is shut where it leaves less than this exposure, on average over the assets.
SHUT = 0.5
CVAR = 0.05
# To do better than a plain gate, a gate must beat its own shifts with this p, or take this much less of falls.
_SURE, _LESS = 0.10, 0.10
# A shifted gate trades the whole span: these are enough to tell one in twenty.
MOST_SHIFTS = 60


@dataclass(frozen=True, eq=False)
class Directional:
    """A portfolio that has a direction: its name, target weights (T, N), and what it is traded under."""

    name: str
    targets: FloatArray
    target: Target


def judge_purpose(
    portfolios: Sequence[Directional],
    gates: Mapping[str, FloatArray],
    part: slice,
    rng: np.random.Generator,
    shifts: int,
) -> list[dict[str, Any]]:
    """Return drawdown and CVaR of portfolios over a span under each gate (T, N), and what each does in falls.

    ``drawdown_p`` and ``cvar_p`` are shares of circularly shifted gates, of the same exposure and persistence, that do
    as well.
    """
    rows: list[dict[str, Any]] = []
    for portfolio in portfolios:
        rows.append({"portfolio": portfolio.name, "gate": "none", "exposure": 1.0, **_losses(portfolio, None, part)})
        for name, gate in gates.items():
            found = _losses(portfolio, gate[part], part)
            moved = [_losses(portfolio, other, part) for other in shifted_gates(gate[part], shifts, rng)]
            row: dict[str, Any] = {"portfolio": portfolio.name, "gate": name, **found}
            row["exposure"] = float(mean_open(gate, portfolio.target.panel)[part].mean())
            for key in ("drawdown", "cvar"):
                others = np.array([other[key] for other in moved])
                row[f"{key}_shifted"] = float(others.mean())
                row[f"{key}_p"] = float((1 + (others <= found[key]).sum()) / (1 + len(others)))
            rows.append(row)
    return rows


def judge_falls(panel: Panel, gates: Mapping[str, FloatArray], part: slice) -> list[dict[str, Any]]:
    """Return, of each gate (T, N), the share of falls already taken when it is half shut, and how often it is in vain.

    Falls are the market's worst weeks of the span. ``false_shut`` is the share of half-shut bars after which the market
    did not fall by a usual day's move within a day; NaN where it never shuts.
    """
    market = market_return(panel)
    day = max(1, round(panel.bars_per_year / 365))
    total = np.concatenate([[0.0], np.cumsum(np.log1p(market))])
    ahead = np.full(len(market), np.nan)
    ahead[: len(market) - day] = total[1 + day :] - total[1 : len(total) - day]
    usual = float(np.nanstd(ahead[part]))
    begins = falls_of(total, part, day)
    found = []
    for name, gate in gates.items():
        opened = mean_open(gate, panel)
        shares = [share_taken(total, opened, begin, 7 * day) for begin in begins]
        suffered = [share_suffered(total, opened, begin, 7 * day) for begin in begins]
        shut = (opened[part] < SHUT) & np.isfinite(ahead[part])
        false = float((ahead[part][shut] > -usual).mean()) if shut.any() else float("nan")
        row = {"gate": name, "fall_taken": float(np.mean(shares)), "falls": shares, "false_shut": false}
        found.append(row | {"fall_suffered": float(np.mean(suffered))})
    return found


def falls_of(total: FloatArray, part: slice, day: int) -> list[int]:
    """Return where the worst weeks of summed log returns (T + 1,) begin within a span, none near another."""
    week = 7 * day
    starts = np.arange(part.start + day, part.stop - week)
    taken: list[int] = []
    for place in np.argsort(total[starts + week] - total[starts]):
        start = int(starts[place])
        if all(abs(start - other) >= 2 * week for other in taken):
            taken.append(start)
        if len(taken) == FALLS:
            break
    return taken


def share_taken(total: FloatArray, opened: FloatArray, begin: int, bars: int) -> float:
    """Return the share of the deepest fall within `bars` that had come when exposure first was half; 1 if it never was.

    `total` are summed log returns (T + 1,), `opened` exposures (T,), `begin` the first bar of the fall.
    """
    path = total[begin : begin + bars + 1] - total[begin]
    deepest = int(path.argmin())
    if path[deepest] >= 0:
        return 1.0
    # Exposure decided at a bar's close counts from the next bar on.
    half = np.flatnonzero(opened[begin - 1 : begin + deepest] < SHUT)
    if not len(half):
        return 1.0
    return float(np.clip(path[half[0]] / path[deepest], 0.0, 1.0))


def share_suffered(total: FloatArray, opened: FloatArray, begin: int, bars: int) -> float:
    """Return the share of the deepest fall within `bars` that came at exposures (T,) decided a bar before; or 1."""
    path = total[begin : begin + bars + 1] - total[begin]
    deepest = int(path.argmin())
    if path[deepest] >= 0:
        return 1.0
    return float(opened[begin - 1 : begin + deepest - 1] @ np.diff(path[: deepest + 1]) / path[deepest])


def mean_open(gate: FloatArray, panel: Panel) -> FloatArray:
    """Return (T,) mean exposure over the universe; 1 where it is empty."""
    count = panel.universe.sum(axis=1)
    mean = np.where(panel.universe, gate, 0.0).sum(axis=1) / np.maximum(count, 1)
    return np.where(count > 0, mean, 1.0)


def _losses(portfolio: Directional, gate: FloatArray | None, part: slice) -> dict[str, float]:
    target = portfolio.target
    year = target.panel.bars_per_year
    net = trade(portfolio.targets[part], target.market.rows(part), target.spec, gate, bars_per_year=year).net[:-2]
    return {"drawdown": metrics.max_drawdown(net), "cvar": abs(metrics.expected_shortfall(net, CVAR))}


def purpose_verdict(rows: Sequence[Mapping[str, Any]], falls: Sequence[Mapping[str, Any]], own: str, plain: str) -> str:
    """Say first whether the gate is worth more than a plain volatility gate at what gates are for.

    It is if it has the lower drawdown, the lower CVaR or takes less of falls, in two of the three, and not by luck.
    """
    market = str(rows[0]["portfolio"])
    cells = {str(row["gate"]): row for row in rows if row["portfolio"] == market}
    taken = {str(row["gate"]): row for row in falls}
    wins = [
        key for key in ("drawdown", "cvar") if cells[own][key] < cells[plain][key] and cells[own][f"{key}_p"] <= _SURE
    ]
    wins += ["fall"] if taken[own]["fall_taken"] <= taken[plain]["fall_taken"] - _LESS else []
    words = {"drawdown": "maximum drawdown", "cvar": "CVaR 95 %", "fall": "share of falls taken"}
    figures = ", ".join(
        f"{words[key]} {format_number(ours, 'percent')} against {format_number(theirs, 'percent')}"
        for key, ours, theirs in (
            ("drawdown", cells[own]["drawdown"], cells[plain]["drawdown"]),
            ("cvar", cells[own]["cvar"], cells[plain]["cvar"]),
            ("fall", taken[own]["fall_taken"], taken[plain]["fall_taken"]),
        )
    )
    if len(wins) >= 2:
        return f"On {market} the gate does better than a plain volatility gate of the same mean exposure: {figures}."
    return f"A plain volatility gate does as well: on {market}, {figures} (the flow's gate first)."


def purpose_grids(rows: Sequence[Mapping[str, Any]], falls: Sequence[Mapping[str, Any]]) -> list[Grid]:
    """Return the tables of both."""
    losses = []
    for row in rows:
        cells = [format_number(row.get(key), "percent") for key in ("exposure", "drawdown", "drawdown_shifted")]
        cells += [format_number(row.get("drawdown_p"), "probability")]
        cells += [format_number(row.get(key), "fine_percent") for key in ("cvar", "cvar_shifted")]
        losses.append([row["portfolio"], row["gate"], *cells, format_number(row.get("cvar_p"), "probability")])
    columns = ["portfolio", "gate", "exposure", "drawdown", "shifted", "p", "CVaR 95 %", "shifted", "p"]
    note = (
        "Net, of portfolios with a direction. Shifted: mean of the same gate at other times, of equal exposure; p: "
        "shifts that do as well. Neutral portfolios have no fall to be kept out of: a gate costs them turnover."
    )
    caught = [
        [
            row["gate"],
            format_number(row["fall_suffered"], "percent"),
            format_number(row["fall_taken"], "percent"),
            ", ".join(format_number(share, "share") for share in row["falls"]),
            format_number(row["false_shut"], "percent"),
        ]
        for row in falls
    ]
    about = (
        "The market's worst weeks. Suffered: the share of a fall that came at the exposure decided a bar before. "
        "Taken: the share that had come when exposure first was below a half. In vain: half-shut bars after which the "
        "market did not fall by a usual day's move within a day."
    )
    return [
        grid("What gates are for: drawdown and tail loss", columns, losses, left=2, note=note),
        grid("Falls", ["gate", "suffered", "taken", "each, worst first", "shut in vain"], caught, note=about),
    ]
