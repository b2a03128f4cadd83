"""The market's next day as a distribution, by the conditional flow and plainer methods, and what each was worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.drawing.axes import format_number
from agent.drawing.bars import histogram
from agent.review.findings import Findings, Grid, grid
from agent.study.opening import OpenData
from backtest.ic import newey_west_t
from flows.day_methods import LEVELS, METHODS, Predicted
from flows.day_series import DaySeries, market_days
from flows.day_walk import REFIT, TAILS, WILD, Tick, Walked, asked_of, walk_forward
from market.panel import FloatArray

OURS, RIVALS = "conditional flow", ("GARCH(1,1), t", "HAR, t")
# A difference counts from this many standard errors on.
_SURE = 2.0
_TAIL_NAMES = [f"worst {100 * tail:g} %" for tail in TAILS]


def forecast_day(opened: OpenData, tick: Tick | None = None) -> Findings:
    """Forecast the day after the newest, and score forecasts of the days of train and validation, walking forward.

    Fits see train and validation alone. Of the bars after them only what is known at the newest is read, as inputs.
    """
    panel = opened.ungated.panel
    seen, whole = market_days(panel), market_days(opened.whole)
    walked = walk_forward(seen, tick=tick)
    asked = asked_of(seen)
    last = slice(len(whole.times) - 1, len(whole.times))
    now = {name: fit(seen, None).predict(whole, last, asked) for name, fit in METHODS.items()}
    scores, against = [_scored(walked, name) for name in METHODS], [_against(walked, name) for name in METHODS]
    day = str(whole.times[-1])
    tomorrow = [_tomorrow(name, made) for name, made in now.items()]
    lead = f"{verdict(against)} The scores are of {len(walked.returns)} days that no fit had seen."
    return Findings(
        title=f"The day after {day} for the market of {opened.name}",
        lead=lead,
        grids=[_tomorrow_grid(tomorrow, asked.below, asked.wild), _score_grid(scores), _against_grid(against)],
        charts=[_picture(now[OURS], float(asked.below[0]))],
        sentences=_sentences(seen),
        document={
            "data": opened.ungated.dataset,
            "time": day,
            "days_scored": len(walked.returns),
            "tails": dict(zip(_TAIL_NAMES, asked.below.tolist(), strict=True)),
            "wild_log_range": asked.wild,
            "forecasts": tomorrow,
            "scores": scores,
            "differences": against,
        },
        simulated=panel.simulated,
    )


def verdict(against: Sequence[Mapping[str, Any]]) -> str:
    """Say in a sentence whether the flow is better than GARCH and HAR here, and by how much, with an error."""
    found = {str(row["method"]): row for row in against}
    parts = []
    for name in RIVALS:
        row = found[name]
        gap, error = float(row["crps_gap"]), float(row["crps_error"])
        word = "better than" if gap < -_SURE * error else "worse than" if gap > _SURE * error else "no better than"
        shown, nats = _shown_gap(gap, error, "fine_percent"), _shown_gap(row["log_gap"], row["log_error"], "ic")
        parts.append(f"{word} {name} (CRPS {shown}, log score {nats} nats; below 0 is better)")
    return f"On these data the conditional flow's forecast of the next day is {' and '.join(parts)}."


def _shown_gap(gap: float, error: float, style: str) -> str:
    """Return a difference with its error, or a dash where there is none."""
    if not np.isfinite(gap):
        return format_number(gap)
    return f"{format_number(gap, style, signed=True)} ± {format_number(error, style)}"


def _scored(walked: Walked, name: str) -> dict[str, Any]:
    """Return the mean scores of a method, and how often it said tails and wild days beside how often they came."""
    made, brier = walked.predicted[name], walked.brier(name).mean(axis=0)
    found: dict[str, Any] = {
        "method": name,
        "crps": float(walked.crps(name).mean()),
        "log_score": float(walked.log_score(name).mean()),
    }
    for k, tail in enumerate(_TAIL_NAMES):
        found[tail] = {
            "said": float(made.below[:, k].mean()),
            "came": float(walked.fell[:, k].mean()),
            "brier": float(brier[k]),
        }
    found["wild"] = {"said": float(made.wild.mean()), "came": float(walked.wild.mean()), "brier": float(brier[-1])}
    return found


def _against(walked: Walked, name: str) -> dict[str, Any]:
    """Return by how much the flow's scores are above a method's, with standard errors; CRPS as a share of its own."""
    own = walked.crps(name)
    crps, logs = walked.crps(OURS) - own, walked.log_score(OURS) - walked.log_score(name)
    level = float(own.mean())
    gap, error = (part / level for part in _with_error(crps))
    log_gap, log_error = _with_error(logs)
    return {"method": name, "crps_gap": gap, "crps_error": error, "log_gap": log_gap, "log_error": log_error}


def _with_error(values: FloatArray) -> tuple[float, float]:
    """Return the mean of a series, and its standard error by Newey and West."""
    mean = float(values.mean())
    t = newey_west_t(values)
    return mean, abs(mean / t) if np.isfinite(t) and t else float("nan")


def _tomorrow(name: str, made: Predicted) -> dict[str, Any]:
    """Return the distribution of a method in a few figures, as simple returns."""
    simple = np.expm1(made.quantiles[0])
    low, middle, high = (float(np.interp(level, LEVELS, simple)) for level in (0.05, 0.5, 0.95))
    chances = dict(zip(_TAIL_NAMES, made.below[0].tolist(), strict=True))
    return {
        "method": name,
        "mean": float(simple.mean()),
        "low_5": low,
        "median": middle,
        "high_95": high,
        "chance": {**chances, "wild": float(made.wild[0])},
    }


def _tomorrow_grid(rows: Sequence[Mapping[str, Any]], below: FloatArray, wild: float) -> Grid:
    """Return tomorrow's distribution, a line a method."""
    drawn = [
        [
            str(row["method"]),
            *(format_number(row[key], "fine_percent") for key in ("mean", "low_5", "median", "high_95")),
            *(format_number(chance, "percent") for chance in row["chance"].values()),
        ]
        for row in rows
    ]
    edges = [format_number(float(np.expm1(edge)), "fine_percent") for edge in below]
    return grid(
        "The next day",
        ["method", "mean", "5 %", "median", "95 %", *(f"below {edge}" for edge in edges), "wild"],
        drawn,
        note=f"Return of the mean asset. {edges[0]} and {edges[1]} are the worst 5 % and 1 % of all days until the end "
        f"of validation; a wild day's range is above {format_number(float(np.exp(wild)), 'percent')}, that of one in "
        f"{round(1 / (1 - WILD))}. A dash: the method says nothing of it.",
    )


def _score_grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """Return what forecasts were worth, a line a method."""
    keys = [*_TAIL_NAMES, "wild"]
    drawn = []
    for row in rows:
        pairs = [
            f"{format_number(row[key]['said'], 'percent')} / {format_number(row[key]['came'], 'percent')}"
            for key in keys
        ]
        drawn.append(
            [str(row["method"]), format_number(row["crps"], "fine_percent"), format_number(row["log_score"]), *pairs]
        )
    note = (
        "CRPS and log score (minus the log-density of what came, nats): less is better. Then how often a method said "
        "that a day would be beyond what were the worst 5 % and 1 % until then, or wild, and how often days were."
    )
    return grid("Forecasts of days unseen", ["method", "CRPS", "log score", *keys], drawn, note=note)


def _against_grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """Return the flow's scores less each other method's."""
    drawn = [
        [
            str(row["method"]),
            _shown_gap(row["crps_gap"], row["crps_error"], "fine_percent"),
            _shown_gap(row["log_gap"], row["log_error"], "ic"),
        ]
        for row in rows
        if row["method"] != OURS
    ]
    note = "Below 0 the conditional flow is better. Standard errors by Newey and West."
    return grid("The conditional flow less others", ["less", "CRPS, share", "log score, nats"], drawn, note=note)


def _picture(made: Predicted, edge: float) -> tuple[str, str, str]:
    """Draw the flow's distribution of the next day."""
    simple = 100.0 * np.expm1(made.quantiles[0])
    counts, edges = np.histogram(simple, bins=24)
    drawn = histogram(
        "The next day",
        "A hundred equally likely returns of the market, by the conditional flow.",
        edges,
        counts.astype(np.float64),
        threshold=100.0 * float(np.expm1(edge)),
        axis="return of the next day, %",
    )
    caption = "A hundred equally likely returns, by the conditional flow; left of the line are the worst 5 % until now."
    return "The next day", drawn, caption


def _sentences(seen: DaySeries) -> list[str]:
    """Say what was fitted on what."""
    return [
        f"each method is fitted again every {REFIT} days, on the days before; the forecast of now is by a fit on all "
        f"{len(seen.times)} days until {seen.times[-1]}, the end of validation, from inputs of the newest day",
        "what a forecast of returns is worth is in its width: none of these methods knows where the market goes",
    ]
