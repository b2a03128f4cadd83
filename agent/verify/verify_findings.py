"""The page of a verification: its sentence first, then both tests, what stands against it, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from agent.drawing.axes import format_number
from agent.drawing.bars import bar_chart
from agent.drawing.svg import Line, LineChart, line_chart
from agent.review.findings import Findings, Grid, grid
from agent.verify.verification import Verification
from backtest import metrics
from backtest.result_types import NOT_TESTED, Tested

_KINDS = {
    "signs": "random signs of what the market does not explain, five bars at a time",
    "blocks": "weeks drawn again, drift removed",
    "bars": "bars drawn again one by one, drift removed",
}


def findings_of(found: Verification, name: str) -> Findings:
    """Return a verification as tables, sentences and charts; `name` is of the file."""
    grids = [_trials_grid(found), _tests_grid(found), _traded_grid(found)]
    grids += [made for made in (_worlds(found), _under(found), _decay(found), _years(found), _rests(found)) if made]
    return Findings(
        title=f"Verification of {name}",
        lead=found.sentence,
        grids=grids,
        charts=_charts(found),
        sentences=[*_against(found), *found.notes],
        document=found.to_dict(),
        simulated=found.simulated,
        eyebrow="Verification",
    )


def _against(found: Verification) -> Iterable[str]:
    for flaw in found.flaws:
        yield f"{'against it' if flaw.fatal else 'to know'}: {flaw.text}"
    if found.look_ahead is not None:
        yield f"look-ahead test {'passed' if found.look_ahead.passed else 'failed'}: {found.look_ahead.text}"
    elif found.kind in ("signals", "weights"):
        yield (
            "look-ahead cannot be excluded without what made it: bring the same signal made from data that end earlier "
            "(--shortened), or its expression (--expression)"
        )


def _trials_grid(found: Verification) -> Grid:
    rows = [
        [
            f"{one.trials:,}",
            _p(one.predicts_p),
            _p(one.earns_p),
            format_number(one.hurdle),
            "shown" if one.shown and not found.fatal else "not shown",
        ]
        for one in found.among
    ]
    said = (
        "How many signals were tried is unknown. Here is what each number would mean; say --trials N."
        if found.trials is None
        else "Probability that the best of as many independent trials without skill scores as high."
    )
    return grid("Among trials", ["trials", "p predicts", "p earns", "score needed", "then"], rows, note=said)


def _tests_grid(found: Verification) -> Grid:
    rows = [_test_row("earns, after costs", found.earns, 1e4, "bp a bar")]
    if found.predicts is not NOT_TESTED:
        in_risk = found.kind == "signals" and found.assets > 10
        scale, unit = (100.0, "% of a deviation") if in_risk else (1e4, "bp a bar")
        rows.insert(0, _test_row("predicts, before costs", found.predicts, scale, unit))
        if found.late is not NOT_TESTED:
            rows.insert(1, _test_row("the same, a bar later", found.late, scale, unit))
    return grid("Tests", ["test", "bars", "mean", "± error", "unit", "score", "p alone"], rows)


def _test_row(label: str, test: Tested, scale: float, unit: str) -> list[str]:
    return [
        label,
        format_number(test.bars, "count"),
        format_number(test.mean * scale),
        format_number(test.error * scale),
        unit,
        format_number(test.z),
        _p(test.p),
    ]


def _p(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _traded_grid(found: Verification) -> Grid:
    one = found.traded
    rows = [
        ["bars judged", f"{found.start} to {found.end}, {found.bars:,}".replace("T00:00", "").replace("T", " ")],
        ["Sharpe ratio, gross", format_number(one.sharpe_gross)],
        ["Sharpe ratio, net", f"{format_number(one.sharpe_net)} ± {format_number(one.sharpe_error)}"],
        ["return a year, gross", format_number(one.return_gross, "percent")],
        ["return a year, net", format_number(one.return_net, "percent")],
        ["largest drawdown", format_number(one.max_drawdown, "percent")],
    ]
    if found.kind != "returns":
        rows += [
            ["costs of trading a year", format_number(one.cost_year, "percent")],
            ["turnover a bar", format_number(one.turnover, "percent")],
            ["costs at which nothing is left", f"{format_number(one.break_even_bp)} bp of each trade"],
            ["capital that halves the Sharpe ratio", _capital(one.capacity)],
            ["mean exposure", format_number(one.mean_exposure, "percent")],
            [
                "rank IC (describes, rules nothing)",
                f"{format_number(one.rank_ic, 'ic')} (t {format_number(one.rank_ic_t)})",
            ],
        ]
    return grid("Portfolio", ["", "figure"], rows)


def _capital(value: float) -> str:
    if math.isinf(value):
        return "unknown: the data have no volume"
    return f"{value:,.0f}" if math.isfinite(value) else "none: nothing is left after costs"


def _worlds(found: Verification) -> Grid | None:
    if not found.worlds:
        return None
    rows = [
        [
            _KINDS.get(one.kind, one.kind),
            str(one.count),
            format_number(one.mean_z),
            format_number(one.deviation_z),
            format_number(one.reached, "probability"),
        ]
        for one in found.worlds
    ]
    note = (
        "The same positions in worlds without skill, which keep skew, tails and dependence. Their scores should have "
        "mean 0 and deviation 1; the last column is the share that scores as high as this signal does."
    )
    return grid("Worlds without skill", ["world", "worlds", "mean score", "deviation", "as high"], rows, note=note)


def _under(found: Verification) -> Grid | None:
    rows = [
        [one.label, format_number(one.sharpe_net), format_number(one.return_net, "percent"), format_number(one.net_z)]
        for one in found.under
    ]
    return grid("Under other terms", ["terms", "net Sharpe", "net a year", "score"], rows) if rows else None


def _decay(found: Verification) -> Grid | None:
    rows = [
        [str(p.lag), format_number(100 * p.payoff), format_number(100 * p.error), format_number(p.z)]
        for p in found.decay
    ]
    note = "What positions pay in bars after their decision, in per cent of an asset's deviation."
    return grid("By age", ["bars old", "pays", "± error", "score"], rows, left=0, note=note) if rows else None


def _years(found: Verification) -> Grid | None:
    rows = [
        [y.year, str(y.bars), format_number(y.gross, "percent"), format_number(y.net, "percent"), format_number(y.z)]
        for y in found.years
    ]
    return grid("By year", ["year", "bars", "gross", "net", "score before costs"], rows) if rows else None


def _rests(found: Verification) -> Grid | None:
    one = found.concentration
    if not math.isfinite(one.best_bar):
        return None
    rows = [
        ["the best bar", one.best_bar_time, format_number(one.best_bar, "percent")],
        ["the best 1 % of bars", "", format_number(one.best_percent, "percent")],
    ]
    if one.best_asset_name:
        rows.append(["the best asset", one.best_asset_name, format_number(one.best_asset, "percent")])
    return grid("What it rests on", ["part", "which", "share of all gains"], rows, left=2)


def _charts(found: Verification) -> list[tuple[str, str, str]]:
    made = []
    if found.series is not None:
        gross, net = (metrics.wealth(np.nan_to_num(x)) - 1.0 for x in (found.series.gross, found.series.net))
        lines = [Line("net", net)] if found.kind == "returns" else [Line("gross", gross, "c2"), Line("net", net)]
        chart = LineChart(
            title="Wealth",
            description="Compounded return over time",
            times=found.series.times,
            lines=lines,
            percent=True,
            zero=True,
        )
        made.append(("What it would have earned", line_chart(chart), "Compounded, before and after costs."))
    if found.decay:
        drawn = bar_chart(
            "Decay", "What positions pay as they age", [str(p.lag) for p in found.decay],
            [("score", [p.z for p in found.decay], "c1")], axis="bars after the decision", width=900, height=240,
        )  # fmt: skip
        made.append(
            ("How long it lasts", drawn, "Score of what positions pay, by the number of bars after their decision.")
        )
    return made
