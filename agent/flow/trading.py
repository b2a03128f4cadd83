"""What gates are worth in trading: several portfolios under several gates, each beside what it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from agent.drawing import svg
from agent.drawing.axes import format_number
from agent.flow.direction_study import direct, directed_targets
from agent.flow.evaluation import market_index
from agent.flow.fall_pictures import CAPTION, fall_charts
from agent.flow.flow_pictures import gate_dots
from agent.flow.gate_purpose import (
    MOST_SHIFTS,
    Directional,
    judge_falls,
    judge_purpose,
    purpose_grids,
    purpose_verdict,
)
from agent.flow.opened import OpenFlow
from agent.flow.usual_states import usual_grid, usual_states
from agent.review.charts import shut_spans
from agent.review.findings import Findings, Grid, grid
from backtest import metrics
from backtest.bar_regimes import market_return
from backtest.gate_value import gate_value
from backtest.run import trade
from backtest.target import Target
from flows.direction import KINDS, against_the_unusual
from flows.exposure import judged, ramp, steadied, thresholds_at
from flows.gate import GateFit, rows_of, twin_exposures
from flows.reference import fit_gaussian, fit_reference, measured
from flows.state import known_rows
from market.panel import BoolArray, FloatArray

# What anyone might trade, over as many bars as a factor may look back: the gate is judged on more than one portfolio.
PORTFOLIOS = {
    "momentum": "ts_returns(close, {bars})",
    "low volatility": "-ts_std(returns, {bars})",
    "illiquidity": "ts_mean(abs(returns) / amount, {bars})",
}
OWN, PLAIN, EQUAL = "flow", "volatility", "volatility, equal exposure"
SURE = 0.05
Tick = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class _Portfolio:
    name: str
    targets: FloatArray
    target: Target


def trade_gates(
    opened: OpenFlow,
    expressions: Sequence[str],
    *,
    shifts: int = 200,
    given: bool = False,
    tick: Tick = lambda *_: None,
) -> Findings:
    """Trade portfolios under the gate, its variants and a volatility gate, over bars that the gate was not trained on.

    With dated fits those are all bars from the first date on; else the calibration bars, whose likelihood also set the
    thresholds. `tick` is called with (what, done, of).
    """
    part = _span(opened)
    gates = _gates(opened, given=given)
    portfolios = _portfolios(opened, expressions)
    found = _values(opened, portfolios, gates, part, shifts=shifts, tick=tick)
    both = {OWN: gates[OWN], EQUAL: _plain_at_exposure(opened, gates[OWN], part), PLAIN: gates[PLAIN]}
    # Portfolios of one sign or of timing, each under its own rules.
    held = [Directional(p.name, p.targets, p.target) for p in portfolios if p.target.spec.weighting == "timeseries"]
    tick("drawdowns", len(found), len(found))
    purpose = judge_purpose(held, both, part, opened.rng(51), min(shifts, MOST_SHIFTS))
    falls = judge_falls(opened.panel, both, part)
    weeks, performance = _worst_weeks(opened, gates, part), _performances(opened, portfolios, gates[OWN], part)
    times, usual = opened.panel.times[part], usual_states(opened, {"traded": part})
    dated = f"{len(opened.gate.fits)} dated fits" if len(opened.gate.fits) > 1 else "one fit"
    return Findings(
        title=f"What the gate of {opened.name} is worth",
        lead=f"{purpose_verdict(purpose, falls, OWN, EQUAL)} {str(times[0])[:10]} to {str(times[-1])[:10]}, {dated}. "
        f"{_verdict(found)}",
        grids=[
            *purpose_grids(purpose, falls),
            *(_value_grid(found, shifts), _performance_grid(performance), _weeks_grid(weeks, list(gates))),
            usual_grid(usual),
        ],
        charts=[
            gate_dots(found, OWN),
            ("Exposure and the market", _exposure_chart(opened, gates, part), _EXPOSURE_CAPTION),
            ("Falls", fall_charts(opened.panel, {name: both[name] for name in (OWN, EQUAL)}, part), CAPTION),
            (
                "Equity",
                _equity_chart(opened, portfolios[0], gates, part),
                f"Net, {portfolios[0].name}, under each gate.",
            ),
        ],
        sentences=opened.warnings(),
        document=_document(
            opened, part, purpose=purpose, falls=falls, values=found, performance=performance, weeks=weeks, usual=usual
        ),
        simulated=opened.panel.simulated,
    )


def _document(opened: OpenFlow, part: slice, **found: object) -> dict[str, object]:
    """Return what was found, with the data and the span that it is of."""
    times = opened.panel.times[part]
    return {"data": opened.study.dataset, "from": str(times[0]), "to": str(times[-1]), **found}


_EXPOSURE_CAPTION = (
    "Mean exposure over the assets, by day; shaded where the flow's gate is shut by a quarter or more. Above, the "
    "equally weighted market."
)


def _values(
    opened: OpenFlow,
    portfolios: Sequence[_Portfolio],
    gates: Mapping[str, FloatArray],
    part: slice,
    *,
    shifts: int,
    tick: Tick,
) -> list[dict[str, Any]]:
    """Return what each gate is worth on each portfolio, over the span."""
    found: list[dict[str, Any]] = []
    total = len(portfolios) * len(gates)
    for portfolio in portfolios:
        own, target = portfolio.targets, portfolio.target
        for name, gate in gates.items():
            tick(f"{portfolio.name} under {name}", len(found), total)
            value = gate_value(own, target, part, gate, opened.rng(50), shifts=shifts, tradable=gates[PLAIN])
            found.append({"portfolio": portfolio.name, "gate": name, **asdict(value)})
    return found


def _span(opened: OpenFlow) -> slice:
    since = opened.gate.fits[0].since
    if since is None:
        return opened.calibration_rows
    return slice(int(np.searchsorted(opened.panel.times, since)), opened.study.split.validation.stop)


def _gates(opened: OpenFlow, *, given: bool) -> dict[str, FloatArray]:
    """Return exposures (T, N) of the gate, of variants by the same densities, and of trailing volatility."""
    rules = opened.gate.rules
    other: Literal["asset", "market"] = "market" if rules.scope == "asset" else "asset"
    variants = {f"by {other}": replace(rules, scope=other)}
    if rules.measure == "drawdown":
        variants["likelihood"] = replace(rules, measure="likelihood")
    else:
        variants["both sides"] = replace(rules, side="both")
    # Whatever the gate itself judges, these shut at its percentile.
    if rules.measure != "over_gaussian":
        variants["over Gaussian"] = replace(rules, measure="over_gaussian")
    if given and rules.measure != "given_volatility":
        variants["given volatility"] = replace(rules, measure="given_volatility")
    variants[PLAIN] = replace(rules, measure="volatility")
    assert opened.study.exposures is not None
    twins = twin_exposures(opened.gate, opened.panel, _scores(opened, list(variants)), variants)
    return {OWN: opened.study.exposures, **twins}


def _plain_at_exposure(opened: OpenFlow, gate: FloatArray, part: slice) -> FloatArray:
    """Return (T, N) exposures that are inverse to trailing volatility, their mean over a span that of a gate.

    Their scale is set on the span itself: with hindsight, in one number.
    """
    panel, rules = opened.panel, opened.gate.rules
    calm = np.where(panel.universe, -opened.values_of("log(ts_std(returns, 20))"), np.nan)
    scores = judged(calm, replace(rules, measure="drawdown"))
    mean = min(max(float(gate[part][panel.universe[part]].mean()), 0.01), 0.99)
    known = scores[part][np.isfinite(scores[part])]
    aimed = replace(rules, measure="drawdown", exposure=mean)
    return steadied(ramp(scores, thresholds_at(known, aimed)), aimed.band)


def _scores(opened: OpenFlow, names: Sequence[str]) -> Callable[[GateFit, slice], dict[str, FloatArray]]:
    panel, calm = opened.panel, -opened.values_of("log(ts_std(returns, 20))")

    def scores(fit: GateFit, rows: slice) -> dict[str, FloatArray]:
        states = fit.density.states(panel.rows(0, rows.stop))
        inside = states[rows]
        likelihood = measured(fit.density, fit.reference, inside)
        plain = fit.density.likelihood(inside) if fit.reference is not None else likelihood
        train = known_rows(states[rows_of(panel, fit.trained)])
        found = dict.fromkeys(names, likelihood)
        found["likelihood"] = plain
        found[PLAIN] = np.where(np.isfinite(likelihood), calm[rows], np.nan)
        found["over Gaussian"] = plain - fit_gaussian(train).log_prob(inside)
        if "given volatility" in names:
            calibration = known_rows(states[rows_of(panel, fit.calibrated)])
            settings = opened.workspace.settings.gate
            reference = fit_reference("given_volatility", fit.density, train, calibration, settings.given)
            found["given volatility"] = measured(fit.density, reference, inside)
        return found

    return scores


def _portfolios(opened: OpenFlow, expressions: Sequence[str]) -> list[_Portfolio]:
    """Return the market, well-known factors, the flow's own direction, and what the user asked for."""
    study = opened.study
    panel, target = study.panel, study.target
    count = np.maximum(panel.universe.sum(axis=1, keepdims=True), 1)
    directional = replace(target, spec=replace(study.spec, weighting="timeseries", market_neutral=False))
    market = _Portfolio("the market", np.where(panel.universe, 1.0, 0.0) / count, directional)
    own = [
        _Portfolio(f"direction, {kind}", directed_targets(direct(opened, kind), panel), directional) for kind in KINDS
    ]
    # The documents' other answer to an unusual state: against its last move, where the gate would only hold less.
    unusual = against_the_unusual(*_moves(opened), opened.gate.rules.percentile)
    own.append(_Portfolio("reversal of the unusual", unusual / count, directional))
    bars = int(0.9 * study.max_lookback)
    named = {text: text for text in expressions} or {name: text.format(bars=bars) for name, text in PORTFOLIOS.items()}
    return [market, *own, *(_Portfolio(name, opened.factor_weights(text), target) for name, text in named.items())]


def _moves(opened: OpenFlow) -> tuple[FloatArray, FloatArray, slice]:
    """Return (T, N) states' own likelihood inside the universe, last returns, and the rows of calibration."""
    inside = np.where(opened.panel.universe, opened.density.likelihood(opened.states), np.nan)
    return inside, opened.values_of("returns"), opened.calibration_rows


def _verdict(found: Sequence[Mapping[str, Any]]) -> str:
    """Say whether the configured gate helps, over all portfolios."""
    own = [row for row in found if row["gate"] == OWN]
    sure = [row for row in own if row["timing"] > 0 and row["p_value"] <= SURE / len(own)]
    harmed = [row for row in own if row["gated"] < row["ungated"]]
    best = np.mean([row["gated"] - row["tradable"] for row in own])
    if sure:
        text = f"The gate's timing is worth something on {', '.join(row['portfolio'] for row in sure)}"
    else:
        text = f"The gate's timing is worth nothing that shifted gates do not give, on any of {len(own)} portfolios"
    return (
        f"{text} (p, Bonferroni over portfolios); it costs {len(harmed)} of {len(own)} portfolios Sharpe ratio. "
        f"Against a tradable volatility gate it is {'better' if best > 0 else 'worse'} by {abs(best):.2f} on average."
    )


def _value_grid(found: Sequence[Mapping[str, Any]], shifts: int) -> Grid:
    keys = ["ungated", "gated", "shifted", "timing", "p_value", "volatility", "tradable", "exposure", "cost"]
    styles = {"exposure": "percent", "p_value": "probability"}
    rows = [
        [row["portfolio"], row["gate"], *(format_number(row[k], styles.get(k, "plain")) for k in keys)] for row in found
    ]
    columns = ["portfolio", "gate", "ungated", "gated", "shifted", "timing", "p", "vol., hindsight", "vol., tradable"]
    note = (
        f"Net Sharpe ratios a year. Shifted: mean of {shifts} circular shifts of the gate, of equal exposure and "
        "persistence. Timing: gated less shifted; p: shifts that do as well. Turnover: gated over ungated."
    )
    return grid("Value", [*columns, "exposure", "turnover"], rows, left=2, note=note)


def _performances(
    opened: OpenFlow, portfolios: Sequence[_Portfolio], gate: FloatArray, part: slice
) -> list[dict[str, Any]]:
    """Return the figures of each portfolio over the span, without a gate and with it."""
    year = opened.panel.bars_per_year
    return [row for portfolio in portfolios for row in _performance(portfolio, gate, part, year)]


def _performance(portfolio: _Portfolio, gate: FloatArray, part: slice, year: float) -> list[dict[str, Any]]:
    """Return a portfolio's figures over the span, without a gate and with it: ratios a year, returns in all."""
    market_rows = portfolio.target.market.rows(part)
    rows = []
    for name, inside in (("none", None), (OWN, gate[part])):
        made = trade(portfolio.targets[part], market_rows, portfolio.target.spec, inside, bars_per_year=year)
        net, gross = made.net[:-2], made.gross[:-2]
        rows.append(
            {
                "portfolio": portfolio.name,
                "gate": name,
                "total_return": float(metrics.wealth(net)[-1] - 1.0),
                "sharpe_gross": metrics.sharpe(gross, year),
                "sharpe": metrics.sharpe(net, year),
                "sortino": metrics.sortino(net, year),
                "calmar": metrics.calmar(net, year),
                "max_drawdown": metrics.max_drawdown(net),
                "hit_rate": metrics.hit_rate(net),
                "profit_factor": metrics.profit_factor(net),
            }
        )
    return rows


def _performance_grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    keys = ["total_return", "sharpe_gross", "sharpe", "sortino", "calmar", "max_drawdown", "hit_rate", "profit_factor"]
    shares = {"total_return", "max_drawdown", "hit_rate"}
    drawn = [
        [r["portfolio"], r["gate"], *(format_number(r[k], "percent" if k in shares else "plain") for k in keys)]
        for r in rows
    ]
    columns = ["portfolio", "gate", "return", "Sharpe gross", "Sharpe net", "Sortino", "Calmar", "drawdown", "bars won"]
    return grid("Performance, net of costs", [*columns, "profit factor"], drawn, left=2)


def _worst_weeks(opened: OpenFlow, gates: Mapping[str, FloatArray], part: slice) -> list[dict[str, Any]]:
    """Return the market's worst weeks, apart from each other, with each gate's exposure the day before and in them."""
    panel = opened.panel
    day = max(1, round(panel.bars_per_year / 365))
    week = 7 * day
    market = market_return(panel)
    total = np.concatenate([[0.0], np.cumsum(np.log1p(market))])
    starts = np.arange(part.start + day, part.stop - week)
    falls = total[starts + week] - total[starts]
    found: list[dict[str, Any]] = []
    taken: list[int] = []
    for place in np.argsort(falls):
        start = int(starts[place])
        if any(abs(start - other) < 2 * week for other in taken):
            continue
        taken.append(start)
        rows = {"before": slice(start - day, start), "during": slice(start, start + week)}
        exposures = {
            name: {when: _mean_exposure(gate[r], panel.universe[r]) for when, r in rows.items()}
            for name, gate in gates.items()
        }
        found.append({"week from": str(panel.times[start])[:13], "market": float(np.expm1(falls[place])), **exposures})
        if len(found) == 5:
            break
    return found


def _mean_exposure(gate: FloatArray, inside: BoolArray) -> float:
    return float(gate[inside].mean()) if inside.any() else float("nan")


def _weeks_grid(weeks: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Grid:
    def cell(exposures: Mapping[str, float]) -> str:
        return f"{format_number(exposures['before'], 'share')} → {format_number(exposures['during'], 'share')}"

    rows = [[w["week from"], format_number(w["market"], "percent"), *(cell(w[name]) for name in names)] for w in weeks]
    return grid("The market's worst weeks: exposure the day before → in the week", ["from", "market", *names], rows)


def _exposure_chart(opened: OpenFlow, gates: Mapping[str, FloatArray], part: slice) -> str:
    panel = opened.panel
    day = max(1, round(panel.bars_per_year / 365))
    inside = panel.universe[part]

    def mean(gate: FloatArray) -> FloatArray:
        values = np.where(inside, gate[part], 0.0).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
        return np.convolve(values, np.ones(day) / day)[: len(values)]

    times = panel.times[part]
    growth = 1.0 + market_index(opened)[part]
    shut = shut_spans(mean(gates[OWN]))
    market = svg.Line("market", growth / growth[0] - 1.0)
    lines = [
        svg.Line(name, mean(gate), css=f"c{k + 1}", dash="" if k == 0 else "4 3")
        for k, (name, gate) in enumerate((n, g) for n, g in gates.items() if n in (OWN, PLAIN))
    ]
    upper = svg.LineChart("Market", "The equally weighted market.", times, [market], spans=shut, percent=True, log=True)
    lower = svg.LineChart("Exposure", "Mean exposure by gate.", times, lines, floor=0.0, ceiling=1.0, percent=True)
    return svg.line_chart(upper) + svg.line_chart(lower)


def _equity_chart(opened: OpenFlow, portfolio: _Portfolio, gates: Mapping[str, FloatArray], part: slice) -> str:
    market_rows, year = portfolio.target.market.rows(part), opened.panel.bars_per_year
    lines = []
    for k, (name, gate) in enumerate({"ungated": None, **gates}.items()):
        inside = None if gate is None else gate[part]
        net = trade(portfolio.targets[part], market_rows, portfolio.target.spec, inside, bars_per_year=year).net[:-2]
        lines.append(svg.Line(name, metrics.wealth(net) - 1.0, css=f"c{k % 6 + 1}", dash="" if k < 2 else "4 3"))
    chart = svg.LineChart(
        "Equity", f"{portfolio.name}, net.", opened.panel.times[part][:-2], lines, percent=True, log=True
    )
    return svg.line_chart(chart)
