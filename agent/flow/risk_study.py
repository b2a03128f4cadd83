"""Value at risk and expected shortfall of portfolios by scenarios, at the newest bar and tested on bars held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.drawing import svg
from agent.flow.flow_pictures import risk_dots
from agent.flow.opened import OpenFlow
from agent.flow.risk_now import (
    Newest,
    activity_of,
    check_assets,
    close_returns,
    day_slots,
    declared_stress,
    filtered_now,
    read_newest,
    stress_grids,
    weights_now,
)
from agent.flow.risk_tables import level_key, level_percent, now_grid, stress_grid, tests_grid
from agent.review.findings import Findings
from backtest.portfolio_risk import History, forecast_risk
from backtest.risk_tests import check_risk, tail_risk
from flows.portfolio import PastDates, past_dates, portfolio_scenarios
from flows.regimes import market_states
from flows.scenarios import Library, draw_states
from market.errors import InputError
from market.panel import FloatArray

LEVELS = (0.05, 0.01)
NEIGHBOURS = 1500
# At 1.5, what is seen once in a thousand states becomes what is seen once in half a million.
TEMPERATURES = (1.0, 1.25, 1.5)
_DRAWS = 5000
# Held-out bars that are tested, at most, evenly spread.
_TESTED = 4000
OWN, NEAREST, SCALED = "own past, filtered", "nearest latents", "all dates, scaled"
PAST, FLOW = "all dates", "flow, unconditional"
# Bars of the newest panel that its state is read from.
_NEWEST = 600
Tick = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class _World:
    """What portfolios share: market latents (T, D), returns and volatility (T, N), each asset's typical one (N,).

    `activity` (T,) and `slots` (T + 1,) are as in `agent.flow.risk_now.Newest`.
    """

    market: FloatArray
    returns: FloatArray
    volatility: FloatArray
    typical: FloatArray
    length: int
    activity: FloatArray
    slots: NDArray[np.int64]

    def before(self, row: int, *, scaled: bool) -> PastDates:
        """Return the dates before a row, as many as train has bars: what a forecast made there may draw on."""
        rows = slice(max(0, row - self.length), row)
        flat = np.broadcast_to(self.typical, self.returns.shape)
        return past_dates(self.market[rows], self.returns[rows], (self.volatility if scaled else flat)[rows])


@dataclass(frozen=True)
class _Asked:
    """Nearest dates that a forecast draws on, and shares of bars beyond VaR."""

    neighbours: int
    levels: tuple[float, ...]


def _tested(
    opened: OpenFlow, world: _World, portfolio: tuple[str, FloatArray], rows: NDArray[np.int64], asked: _Asked
) -> list[dict[str, Any]]:
    """Return the tests of a portfolio's forecasts at `rows`, by method and level."""
    name, weights = portfolio
    came = np.nansum(weights[rows] * np.nan_to_num(world.returns[rows + 1]), axis=1)
    active = np.abs(weights[rows]).sum(axis=1) > 0
    if active.sum() < 100:
        raise InputError(f"{name} has positions at fewer than 100 of the held-out bars", "choose another portfolio")
    found = []
    for method, scenarios in _scenarios(opened, world, weights, rows[active], asked.neighbours).items():
        for level in asked.levels:
            result = check_risk(came[active], scenarios, level, opened.rng(7))
            found.append({"portfolio": name, "method": method, **asdict(result)})
    return found


def measure_risk(
    opened: OpenFlow,
    expressions: Sequence[str],
    assets: Sequence[str],
    *,
    neighbours: int = NEIGHBOURS,
    levels: Sequence[float] = LEVELS,
    tick: Tick = lambda *_: None,
) -> Findings:
    """Forecast VaR and ES of portfolios at the newest bar, test the forecasts on held-out bars, and put stress beside.

    What is said of the newest bar is of weights held then; no factor's return of the holdout is read for it. `levels`
    are shares of bars whose loss is beyond VaR.
    """
    asked = _Asked(neighbours, tuple(levels))
    check_assets(opened.panel, assets)
    world, newest = _world(opened), read_newest(opened)
    portfolios = _portfolios(opened, world, expressions, assets)
    calibration = opened.calibration_rows
    # The last bar's return is not known yet.
    rows = np.arange(calibration.start, calibration.stop - 1)
    rows = rows[:: max(1, len(rows) // _TESTED)]
    tested: list[dict[str, Any]] = []
    for place, (name, weights) in enumerate(portfolios.items()):
        tick(name, place, len(portfolios))
        tested += _tested(opened, world, (name, weights), rows, asked)
    held = {name: weights_now(opened, name, expressions) for name in portfolios}
    now = _now(opened, world, newest, held, asked)
    stressed = _stress(opened, world, portfolios, neighbours)
    declared = declared_stress(opened, newest, held)
    first = next(iter(portfolios))
    return Findings(
        title=f"Risk of {opened.name}",
        lead=_lead(tested, len(rows)),
        grids=[
            now_grid(now, levels),
            tests_grid(tested),
            *([stress_grid(stressed, TEMPERATURES)] if stressed else []),
            *stress_grids(declared),
        ],
        charts=[
            risk_dots(now, f"var_{level_key(levels[0])}", f"VaR {level_percent(levels[0])}"),
            _chart(opened, world, first, portfolios[first], rows, neighbours),
        ],
        sentences=[
            *_unseen(opened, held),
            *([] if stressed else ["stress by temperature needs the feature return_1 in the state"]),
        ],
        document={"data": opened.study.dataset, "now": now, "tests": tested, "stress": stressed, "declared": declared},
        simulated=opened.panel.simulated,
    )


def _world(opened: OpenFlow) -> _World:
    panel, train = opened.panel, opened.trained_rows
    returns = close_returns(panel)
    volatility = opened.values_of("ts_std(returns, 20)")
    volatility = np.where(volatility > 0, volatility, np.nan)
    market = market_states(opened.density.latents(opened.states), 1)
    with np.errstate(all="ignore"):
        deviations = np.array([np.nanstd(c) if np.isfinite(c).sum() > 20 else np.nan for c in returns[train].T])
    typical = np.where(np.isfinite(deviations), deviations, np.nanmedian(deviations))
    length = train.stop - train.start
    return _World(_known(market), returns, volatility, typical, length, activity_of(returns), day_slots(panel))


def _portfolios(
    opened: OpenFlow, world: _World, expressions: Sequence[str], assets: Sequence[str]
) -> dict[str, FloatArray]:
    """Return weights (T, N) of the market, of single assets, and of factors' portfolios before costs and gates."""
    panel = opened.panel
    there = panel.universe & np.isfinite(world.volatility)
    portfolios = {"the market": there / np.maximum(there.sum(axis=1, keepdims=True), 1)}
    for asset in assets or _most_traded(opened):
        only = np.zeros(panel.shape)
        only[:, panel.assets.index(asset)] = 1.0
        portfolios[asset] = only * np.isfinite(world.volatility)
    for text in expressions:
        portfolios[text] = opened.factor_weights(text)
    return portfolios


def _most_traded(opened: OpenFlow) -> list[str]:
    """Return the three most traded of the assets that trade through all held-out bars."""
    calibration = opened.calibration_rows
    whole = np.isfinite(opened.panel["close"][calibration]).all(axis=0)
    money = np.where(whole, np.nan_to_num(opened.panel.money[calibration]).sum(axis=0), -1.0)
    best = np.argsort(-money)[: min(3, int(whole.sum()))]
    return [opened.panel.assets[k] for k in best]


def _scenarios(
    opened: OpenFlow, world: _World, weights: FloatArray, rows: NDArray[np.int64], neighbours: int
) -> dict[str, FloatArray]:
    """Return scenarios (Q, S) of a portfolio at some bars by each method; draws of the flow for single assets alone."""
    positions = weights[rows]
    flat = np.broadcast_to(world.typical, world.volatility.shape)
    parts: dict[str, list[FloatArray]] = {NEAREST: [], SCALED: [], PAST: []}
    # The past is looked up again for each month of forecasts.
    month = max(1, round(opened.panel.bars_per_year / 12))
    for chunk in np.split(rows, np.flatnonzero(np.diff((rows - rows[0]) // month)) + 1):
        market, load, wild = world.market[chunk], weights[chunk], world.volatility[chunk]
        scaled, plain = world.before(int(chunk[0]), scaled=True), world.before(int(chunk[0]), scaled=False)
        parts[NEAREST].append(portfolio_scenarios(scaled, market, load, wild, neighbours))
        parts[SCALED].append(portfolio_scenarios(scaled, market, load, wild, None))
        parts[PAST].append(portfolio_scenarios(plain, market, load, flat[chunk], None))
    found = {OWN: _own(opened, world, weights, rows), **{method: _stacked(each) for method, each in parts.items()}}
    single = (positions != 0).sum(axis=1).max() == 1
    if single and "return_1" in opened.density.names:
        found[FLOW] = (positions @ np.nan_to_num(world.typical))[:, None] * _flow_shocks(opened)
    return found


def _own(opened: OpenFlow, world: _World, weights: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
    """Return scenarios (Q, S) of the bars after `rows` from the portfolio's own past returns."""
    returns = np.full(len(weights), np.nan)
    active = np.abs(weights[:-1]).sum(axis=1) > 0
    returns[1:] = np.where(active, (weights[:-1] * np.nan_to_num(world.returns[1:])).sum(axis=1), np.nan)
    month = max(1, round(opened.panel.bars_per_year / 12))
    return forecast_risk(History(returns, world.activity, world.slots[: len(returns)]), rows + 1, month).scenarios()


def _flow_shocks(opened: OpenFlow) -> FloatArray:
    """Return (1, S) next-bar returns as the flow draws them of any asset and day, in units of their deviation."""
    column = opened.density.names.index("return_1")
    draws = draw_states(opened.density, _DRAWS, opened.study.seed).states[:, column]
    # Each asset has its own deviation: the flow alone would say the same of all.
    return (draws / np.diff(np.quantile(draws, [0.159, 0.841])) * 2.0)[None, :]


def _stacked(parts: Sequence[FloatArray]) -> FloatArray:
    """Return scenarios of all chunks, as many of each as the chunk with the fewest has."""
    fewest = min(part.shape[1] for part in parts)
    return np.concatenate([part[:, -fewest:] for part in parts])


def _known(market: FloatArray) -> FloatArray:
    """Return market states with the last known one where one is missing."""
    there = np.isfinite(market).all(axis=1)
    last = np.maximum.accumulate(np.where(there, np.arange(len(market)), 0))
    return np.nan_to_num(market[last])


def _now(
    opened: OpenFlow, world: _World, newest: Newest, held: Mapping[str, FloatArray], asked: _Asked
) -> list[dict[str, Any]]:
    """Return tail risk of the bar after the newest one, of weights held at it, by each method."""
    whole = opened.whole
    rows = whole.rows(max(0, len(whole.times) - _NEWEST), len(whole.times))
    # What was listed after the bars of the study has no past that the other methods could draw on.
    seen = [whole.assets.index(asset) for asset in opened.panel.assets]
    volatility = opened.values_of("ts_std(returns, 20)", rows)[-1:, seen]
    market = _known(market_states(opened.density.latents(opened.density.states(rows)), 1))[-1:]
    end = len(world.returns)
    scaled, plain = world.before(end, scaled=True), world.before(end, scaled=False)
    found = []
    for name, weights in held.items():
        load = weights[None, seen]
        scenarios = {
            OWN: filtered_now(newest, weights),
            NEAREST: portfolio_scenarios(scaled, market, load, volatility, asked.neighbours),
            SCALED: portfolio_scenarios(scaled, market, load, volatility, None),
            PAST: portfolio_scenarios(plain, market, load, world.typical[None], None),
        }
        if (weights != 0).sum() == 1 and "return_1" in opened.density.names:
            scenarios[FLOW] = float(weights[seen] @ np.nan_to_num(world.typical)) * _flow_shocks(opened)
        for method, drawn in scenarios.items():
            if drawn is None:
                continue
            figures: dict[str, Any] = {"portfolio": name, "method": method, "time": newest.time}
            for level in asked.levels:
                value, shortfall = tail_risk(drawn, level)
                figures |= {f"var_{level_key(level)}": float(value[0]), f"cvar_{level_key(level)}": float(shortfall[0])}
            found.append(figures)
    return found


def _unseen(opened: OpenFlow, held: Mapping[str, FloatArray]) -> list[str]:
    """Say of which portfolios a part is held in assets that no past is known of."""
    new = [k for k, asset in enumerate(opened.whole.assets) if asset not in set(opened.panel.assets)]
    shares = {name: float(np.abs(weights[new]).sum() / np.abs(weights).sum()) for name, weights in held.items()}
    return [
        f"{share:.0%} of {name} is in assets that were listed after the bars of the study: all methods but {OWN} leave "
        "them out"
        for name, share in shares.items()
        if share > 0
    ]


def _stress(
    opened: OpenFlow, world: _World, portfolios: Mapping[str, FloatArray], neighbours: int
) -> list[dict[str, Any]]:
    """Return tail risk now with the latents of what followed the nearest dates multiplied by temperatures.

    What a temperature adds to each asset's return, as the flow decodes it, is added to the return that came.
    """
    if "return_1" not in opened.density.names:
        return []
    column, train = opened.density.names.index("return_1"), opened.trained_rows
    row = opened.calibration_rows.stop - 1
    market = world.market
    dates = np.arange(train.start, train.stop - 1)
    library = Library(market[dates])
    near = dates[library.nearest(market[row : row + 1], neighbours)[0]]
    latents = opened.density.latents(opened.states[near + 1])
    units, deviation = opened.density.standardiser.invert, world.volatility[near]
    base = units(opened.density.decoded(latents))[..., column]
    with np.errstate(all="ignore"):
        shocks = world.returns[near + 1] / deviation
    found = []
    for temperature in TEMPERATURES:
        hot = units(opened.density.decoded(latents * temperature))[..., column]
        moved = shocks + (hot - base) / deviation
        known = np.isfinite(moved)
        mean = np.where(known, moved, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        filled = np.where(known, moved, mean[:, None])
        for name, weights in portfolios.items():
            load = weights[row] * np.nan_to_num(world.volatility[row])
            value, shortfall = tail_risk((filled @ load)[None], 0.05)
            found.append(
                {
                    "portfolio": name,
                    "temperature": temperature,
                    "var_0.95": float(value[0]),
                    "cvar_0.95": float(shortfall[0]),
                }
            )
    return found


def _lead(tested: Sequence[Mapping[str, Any]], bars: int) -> str:
    """Say which methods pass the tests of frequency and of independence."""
    methods = list(dict.fromkeys(str(row["method"]) for row in tested))
    words = []
    for method in methods:
        rows = [row for row in tested if row["method"] == method]
        passed = sum(row["kupiec"] >= 0.05 and row["christoffersen"] >= 0.05 for row in rows)
        words.append(f"{method} {passed} of {len(rows)}")
    passed_by = f"Kupiec's and Christoffersen's tests are both passed at 5 % by: {', '.join(words)}"
    return f"Next-bar VaR on up to {bars} held-out bars; {passed_by}."


def _chart(
    opened: OpenFlow, world: _World, name: str, weights: FloatArray, rows: NDArray[np.int64], neighbours: int
) -> tuple[str, str, str]:
    found = _scenarios(opened, world, weights, rows, neighbours)
    came = np.nansum(weights[rows] * np.nan_to_num(world.returns[rows + 1]), axis=1)
    own, past = (-tail_risk(found[method], 0.01)[0] for method in (OWN, PAST))
    chart = svg.LineChart(
        "Returns and VaR 99 %",
        f"Next-bar returns of {name} and the loss not exceeded with 99 %.",
        opened.panel.times[rows],
        [
            svg.Line("return", came, css="c6"),
            svg.Line(OWN, own, css="c1"),
            svg.Line(PAST, past, css="c2", dash="4 3"),
        ],
        percent=True,
    )
    return (f"Returns and VaR 99 % of {name}", svg.line_chart(chart), "On the bars held out.")
