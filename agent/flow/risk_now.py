"""Risk at the newest bar: of the portfolio as it is held now, by each method, and under declared stress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.drawing.axes import format_number
from agent.flow.opened import OpenFlow
from agent.review.findings import Grid, grid
from backtest.asset_facts import asset_facts
from backtest.market_rows import market_rows
from backtest.portfolio_risk import LEAST, History, forecast_risk, once_in
from backtest.weights import target_weights
from factors.engine import evaluate_all
from market.errors import InputError
from market.panel import FloatArray, Panel

# Falls that people remember, by the days that a replay reads.
EVENTS = {
    "August 2015": ("2015-08-18", "2015-08-26"),
    "February 2018": ("2018-02-01", "2018-02-07"),
    "March 2020": ("2020-03-07", "2020-03-14"),
    "LUNA, May 2022": ("2022-05-05", "2022-05-13"),
    "FTX, November 2022": ("2022-11-06", "2022-11-11"),
}
YEARS = (1, 5, 20)


@dataclass(frozen=True, eq=False)
class Newest:
    """The data set up to its newest bar, of which positions hold a part.

    Attributes
    ----------
    panel
        All bars.
    returns
        (T, N) close to close.
    activity
        (T,) mean squared return over the assets; 0 where unknown.
    slots
        (T + 1,) time of day of each bar, and of the next.
    """

    panel: Panel
    returns: FloatArray
    activity: FloatArray
    slots: NDArray[np.int64]

    @property
    def time(self) -> str:
        """Of the newest bar."""
        return str(self.panel.times[-1])[:16]


def close_returns(panel: Panel) -> FloatArray:
    """Return (T, N) returns from close to close; NaN where one is missing."""
    close = panel["close"]
    with np.errstate(all="ignore"):
        return np.vstack([np.full((1, close.shape[1]), np.nan), close[1:] / close[:-1] - 1.0])


def activity_of(returns: FloatArray) -> FloatArray:
    """Return (T,) the square of the mean absolute return over assets: how much the market moved; 0 where unknown."""
    known = np.isfinite(returns)
    size = np.where(known, np.abs(returns), 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    squared: FloatArray = size**2
    return squared


def day_slots(panel: Panel) -> NDArray[np.int64]:
    """Return (T + 1,) the time of day of each bar and of the next, in bars; all 0 for bars of a day or longer."""
    times = np.append(panel.times, panel.times[-1] + panel.bar)
    bar = panel.bar / np.timedelta64(1, "s")
    seconds = (times - times.astype("datetime64[D]")) / np.timedelta64(1, "s")
    slots: NDArray[np.int64] = (seconds // bar).astype(np.int64) if bar < 86_400 else np.zeros(len(times), np.int64)
    return slots


def read_newest(opened: OpenFlow) -> Newest:
    """Read returns and times of day of all bars."""
    returns = close_returns(opened.whole)
    return Newest(opened.whole, returns, activity_of(returns), day_slots(opened.whole))


def weights_now(opened: OpenFlow, name: str, expressions: Sequence[str]) -> FloatArray:
    """Return (N,) weights at the newest bar of the market, an asset, or a factor's portfolio before costs and gates."""
    whole = opened.whole
    there = whole.universe[-1] & np.isfinite(whole["close"][-1])
    if name in expressions:
        rows = whole.rows(max(0, len(whole.times) - 2 * opened.study.max_lookback - 64), len(whole.times))
        values = evaluate_all([opened.expression(name)], rows)[0].values
        spec = opened.study.target.spec
        groups = opened.study.target.groups
        # Groups of the last bar that the loop knows: they rarely change.
        within = None if groups is None else np.repeat(groups[-1:], len(rows.times), axis=0)
        volatility = market_rows(rows, spec).volatility
        facts = asset_facts(rows, spec) if spec.reads_facts else None
        signal = np.where(rows.universe, values, np.nan)
        last: FloatArray = target_weights(signal, spec, volatility, within, facts=facts)[-1]
        return last
    if name in whole.assets:
        alone = np.zeros(len(whole.assets))
        alone[whole.assets.index(name)] = 1.0
        return alone
    equal: FloatArray = there / max(int(there.sum()), 1)
    return equal


def held_returns(newest: Newest, weights: FloatArray) -> FloatArray:
    """Return (T,) what these weights (N,) would have returned at each bar; NaN where none of the assets traded.

    An asset without a return at a bar moves there as the mean of those that have one.
    """
    known = np.isfinite(newest.returns)
    count = known.sum(axis=1)
    mean = np.where(known, newest.returns, 0.0).sum(axis=1) / np.maximum(count, 1)
    filled = np.where(known, newest.returns, mean[:, None])
    alone = (weights != 0).sum() == 1
    there = known[:, weights != 0].any(axis=1) if alone else count > 0
    return np.where(there, filled @ weights, np.nan)


def filtered_now(newest: Newest, weights: FloatArray) -> FloatArray | None:
    """Return (1, S) scenarios of the next bar of weights (N,), from their own past; None where it is too short."""
    past = held_returns(newest, weights)
    if np.isfinite(past).sum() < LEAST or not np.nanstd(past) > 0:
        return None
    rows = np.array([len(past)])
    history = History(np.append(past, np.nan), np.append(newest.activity, 0.0), newest.slots)
    return forecast_risk(history, rows, 1).scenarios()


def declared_stress(opened: OpenFlow, newest: Newest, weights: Mapping[str, FloatArray]) -> list[dict[str, Any]]:
    """Return, of each portfolio as it is held now, losses by the fitted tail and in replays of events of the past.

    Only bars of train and validation are read.
    """
    seen = len(opened.panel.times)
    past = Newest(opened.panel, newest.returns[:seen], newest.activity[:seen], newest.slots[: seen + 1])
    days = past.panel.times.astype("datetime64[D]")
    rows: list[dict[str, Any]] = []
    for name, held in weights.items():
        returns = held_returns(past, held)
        known = returns[np.isfinite(returns)]
        if len(known) < LEAST or not known.std() > 0:
            continue
        year, safe = past.panel.bars_per_year, bool((held >= 0).all() and held.sum() <= 1.0 + 1e-9)
        row: dict[str, Any] = {"portfolio": name, "worst_bar": float(-known.min()), "years": len(known) / year}
        row |= {f"once_in_{years}_years": once_in(known, years * year, long_only=safe) for years in YEARS}
        row["replays"] = {
            event: _replayed(returns[(days >= np.datetime64(begin)) & (days < np.datetime64(end))])
            for event, (begin, end) in EVENTS.items()
            if days[0] <= np.datetime64(begin) and days[-1] >= np.datetime64(end)
        }
        rows.append(row)
    return rows


def _replayed(returns: FloatArray) -> dict[str, float]:
    """Return the whole return of an event, its worst bar, and its deepest fall."""
    known = returns[np.isfinite(returns)]
    if not len(known):
        return {}
    wealth = np.concatenate([[1.0], np.cumprod(1.0 + known)])
    fall = float((1.0 - wealth / np.maximum.accumulate(wealth)).max())
    return {"return": float(wealth[-1] - 1.0), "worst_bar": float(known.min()), "drawdown": fall}


def stress_grids(rows: Sequence[Mapping[str, Any]]) -> list[Grid]:
    """Return the tables of `declared_stress`."""
    if not rows:
        return []
    percent = "fine_percent"
    tails = [
        [
            row["portfolio"],
            format_number(row["years"], "plain"),
            format_number(row["worst_bar"], percent),
            *(format_number(row[f"once_in_{years}_years"], percent) for years in YEARS),
        ]
        for row in rows
    ]
    columns = ["portfolio", "years known", "worst bar", *(f"once in {years} years" for years in YEARS)]
    note = "Losses of one bar of today's weights by a generalised Pareto law of their own worst bars."
    made = [grid("Declared stress: as bad as once in N years", columns, tails, note=note)]
    events = list(dict.fromkeys(event for row in rows for event in row["replays"]))
    if events:
        replays = [[row["portfolio"], *(_cell(row["replays"].get(event)) for event in events)] for row in rows]
        note = (
            "Today's weights through the days of an event, rebalanced each bar: return, worst bar. An asset that did "
            "not trade then moves as the mean of those that did."
        )
        made.append(grid("Replays", ["portfolio", *events], replays, note=note))
    return made


def _cell(found: Mapping[str, float] | None) -> str:
    if not found:
        return "–"
    return " / ".join(format_number(found[key], "fine_percent") for key in ("return", "worst_bar"))


def check_assets(panel: Panel, assets: Sequence[str]) -> None:
    """Refuse assets that a data set does not have."""
    for asset in assets:
        if asset not in panel.assets:
            raise InputError(f"no asset {asset!r} in this data set", f"there are {', '.join(panel.assets[:20])}")
