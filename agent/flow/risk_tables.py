"""The tables of `flow risk`: tail risk now, the tests of its forecasts, and stress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.drawing.axes import format_number
from agent.review.findings import Grid, grid


def level_key(level: float) -> str:
    """Return the confidence of a level as keys write it: 0.95, or 0.975 where two digits would not tell it."""
    return f"{1 - level:.2f}" if abs(round(level, 2) - level) < 1e-9 else f"{1 - level:g}"


def level_percent(level: float) -> str:
    """Return the confidence of a level in percent."""
    return f"{100 * (1 - level):g} %"


def now_grid(now: Sequence[Mapping[str, Any]], levels: Sequence[float]) -> Grid:
    """Return VaR and CVaR of the next bar, a line a portfolio and method."""
    keys = [f"{kind}_{level_key(level)}" for level in levels for kind in ("var", "cvar")]
    rows = [
        [r["portfolio"], r["method"], r["time"], *(format_number(r[key], "fine_percent") for key in keys)] for r in now
    ]
    shown = [f"{kind} {level_percent(level)}" for level in levels for kind in ("VaR", "CVaR")]
    columns = ["portfolio", "method", "at", *shown]
    return grid("Now: of the next bar, in shares of capital", columns, rows, left=3)


def tests_grid(tested: Sequence[Mapping[str, Any]]) -> Grid:
    """Return what the tests of VaR and of expected shortfall say, a line a portfolio, method and level."""
    rows = []
    for row in tested:
        meant = row["bars"] * row["level"]
        ps = [format_number(row[key], "probability") for key in ("kupiec", "christoffersen", "coverage")]
        tail = [format_number(row["shortfall"]), format_number(row["shortfall_p"], "probability")]
        level = level_percent(row["level"])
        rows.append([row["portfolio"], row["method"], level, f"{row['exceptions']} / {meant:.0f}", *ps, *tail])
    columns = ["portfolio", "method", "VaR", "beyond / meant", "Kupiec p", "Christoffersen p", "both p", "ES: Z2", "p"]
    note = (
        "Kupiec: as many losses beyond VaR as meant; Christoffersen: not one after the other; Z2 (Acerbi, Szekely): 0 "
        "is meant, below 0 losses beyond VaR are larger than expected shortfall says."
    )
    return grid("Tests on the bars held out", columns, rows, left=3, note=note)


def stress_grid(stressed: Sequence[Mapping[str, Any]], temperatures: Sequence[float]) -> Grid:
    """Return tail risk by portfolio and temperature."""
    portfolios = list(dict.fromkeys(str(row["portfolio"]) for row in stressed))
    cells = {(row["portfolio"], row["temperature"]): row for row in stressed}
    rows = []
    for portfolio in portfolios:
        pairs = [cells[portfolio, temperature] for temperature in temperatures]
        rows.append(
            [
                portfolio,
                *(
                    f"{format_number(p['var_0.95'], 'fine_percent')} / {format_number(p['cvar_0.95'], 'fine_percent')}"
                    for p in pairs
                ),
            ]
        )
    columns = ["portfolio", *(f"temperature {temperature:g}" for temperature in temperatures)]
    return grid("Stress: VaR / CVaR 95 % of the next bar", columns, rows)
