"""Finding a market's regimes: candidates, the choice among them, their names, and their picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from agent.drawing import svg
from agent.drawing.axes import format_number
from agent.flow.evaluation import market_index
from agent.flow.flow_pictures import regime_areas
from agent.flow.opened import OpenFlow
from agent.flow.regime_truth import regime_truth, truth_sentence
from agent.review.findings import Findings, Grid, grid
from backtest.bar_regimes import market_return
from flows.fit_rules import TrainConfig
from flows.mixture import mixture_labels
from flows.regime_store import load_regimes, regimes_path, store_regimes
from flows.regimes import (
    Labels,
    Method,
    Projection,
    RegimeModel,
    adjusted_rand,
    choose_regimes,
    cluster,
    facts,
    fit_hmm,
    fit_projection,
    from_labels,
    market_states,
    match,
    name_regimes,
    reordered,
)
from market.panel import FloatArray

COUNTS = (2, 3, 4, 5)
# A flow with a mixture base is trained for each candidate and for each half of train: it is kept small.
_MIXTURE_COUNT = 4
_MIXTURE = TrainConfig(epochs=10, max_rows=20_000)
# Bars of the newest panel that the regime now is filtered from.
_NEWEST = 600
# Bars over which the share of a regime is drawn.
_SHARE_BARS = 168
Tick = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class _Sources:
    """What candidates are made from: market states of features and of latents, and the assets' states."""

    features: FloatArray
    latents: FloatArray
    states: FloatArray
    projection: Projection
    window: int
    seed: int
    opened: OpenFlow


def find_regimes(
    opened: OpenFlow,
    methods: Sequence[Method],
    counts: Sequence[int] = COUNTS,
    *,
    tick: Tick = lambda *_: None,
) -> Findings:
    """Fit candidates on train, choose by held-out likelihood among the stable ones, name, draw and store the choice.

    Regimes that were stored before keep their places: the new ones are matched to them.
    """
    missing = find_spec("hmmlearn") is None
    methods = [method for method in methods if method != "hmm" or not missing]
    window = opened.gate.rules.window
    features = market_states(opened.states, window)
    latents = market_states(opened.density.latents(opened.states), window)
    train_rows = opened.trained_rows
    projection = fit_projection(features[train_rows])
    sources = _Sources(features, latents, opened.states, projection, window, opened.study.seed, opened)
    asked = [(m, k) for m in methods for k in counts if m != "mixture" or k == _MIXTURE_COUNT]
    if "mixture" in methods and _MIXTURE_COUNT not in counts:
        asked.append(("mixture", counts[0]))
    models = []
    for place, (method, count) in enumerate(asked):
        tick(f"{method}, {count}", place, len(asked))
        model = _candidate(sources, method, count, train_rows, opened.calibration_rows)
        if model is not None:
            models.append(model)
    chosen = choose_regimes(models)
    path = regimes_path(opened.gate_file)
    earlier = _earlier(path)
    chosen = _calmest_first(opened, chosen, features) if earlier is None else match(chosen, earlier)
    labels = chosen.labels(features)
    chosen = replace(chosen, names=_names(opened, labels, chosen.count))
    # Learned factors come and go; regimes are of the market without them.
    store_regimes(chosen, labels, opened.study.bare_panel.id, window, path)
    return _findings(opened, chosen, labels, models, earlier, missing)


def _candidate(
    sources: _Sources, method: Method, count: int, train_rows: slice, calibration_rows: slice
) -> RegimeModel | None:
    middle = (train_rows.start + train_rows.stop) // 2
    calibration = sources.features[calibration_rows]
    fitted = [
        _fit(sources, method, count, rows)
        for rows in (train_rows, slice(train_rows.start, middle), slice(middle, train_rows.stop))
    ]
    model, first, second = fitted
    if model is None:
        return None
    _, predictive = model.filter(calibration)
    same = (
        0.0 if first is None or second is None else adjusted_rand(first.labels(calibration), second.labels(calibration))
    )
    return replace(model, predictive=float(np.nanmean(predictive)), stability=same)


def _fit(sources: _Sources, method: Method, count: int, rows: slice) -> RegimeModel | None:
    rng = np.random.default_rng([sources.seed, count])
    features = sources.features[rows]
    if method == "hmm":
        return fit_hmm(features, count, sources.projection, sources.seed)
    if method == "features":
        labels = cluster(sources.projection.apply(features), count, rng)
    elif method == "latents":
        latents = sources.latents[rows]
        labels = cluster(fit_projection(latents).apply(latents), count, rng)
    else:
        shape = replace(sources.opened.density.flow.config, steps=(6,), hidden=32, seed=sources.seed)
        config = replace(_MIXTURE, seed=sources.seed)
        labels = mixture_labels(sources.states[rows], count, sources.window, config, shape)
    return from_labels(method, features, labels, sources.projection)


def _names(opened: OpenFlow, labels: Labels, count: int) -> tuple[str, ...]:
    trend, volatility = _trailing(opened)
    rows = opened.trained_rows
    return name_regimes(labels[rows], trend[rows], volatility[rows], count)


def _calmest_first(opened: OpenFlow, model: RegimeModel, features: FloatArray) -> RegimeModel:
    _, volatility = _trailing(opened)
    labels = model.labels(features)
    known = np.isfinite(volatility)
    insides = [known & (labels == k) for k in range(model.count)]
    wild = [float(volatility[inside].mean()) if inside.any() else np.inf for inside in insides]
    return reordered(model, np.argsort(wild).tolist())


def _trailing(opened: OpenFlow) -> tuple[FloatArray, FloatArray]:
    """Return (T,) the market's summed return and deviation over the last 20 bars."""
    market = market_return(opened.panel)
    windows = np.lib.stride_tricks.sliding_window_view(market, 20)
    pad = np.full(19, np.nan)
    deviation = np.concatenate([pad, windows.std(axis=1, ddof=1)])
    return np.concatenate([pad, windows.sum(axis=1)]), np.where(deviation > 0, deviation, np.nan)


def _earlier(path: Path) -> RegimeModel | None:
    return load_regimes(path)[0] if path.is_file() else None


def _reserves(models: Sequence[RegimeModel], missing: bool) -> list[str]:
    """Return what speaks against the regimes that were found."""
    found = ["hidden Markov models were left out: pip install 'alphaglow[flows]'"] if missing else []
    if all(model.stability < 0.3 for model in models):
        found.append("no candidate is stable: labels of the two halves of train hardly agree on the bars held out")
    return found


def _findings(
    opened: OpenFlow,
    chosen: RegimeModel,
    labels: Labels,
    models: Sequence[RegimeModel],
    earlier: RegimeModel | None,
    missing: bool,
) -> Findings:
    market = market_return(opened.panel)
    following = np.concatenate([market[1:], [np.nan]])
    year = opened.panel.bars_per_year
    calibration = facts(chosen, labels[opened.calibration_rows], {"next": following[opened.calibration_rows]})
    whole = facts(chosen, labels, {"next": following})
    newest = opened.whole.rows(max(0, len(opened.whole.times) - _NEWEST), len(opened.whole.times))
    at_end = chosen.labels(market_states(opened.density.states(newest), opened.gate.rules.window))[-1]
    now = chosen.names[at_end] if at_end >= 0 else "unknown"
    truth = regime_truth(opened.workspace.data_path(opened.name), labels, opened.calibration_rows)
    kept = "" if earlier is None else "; matched to those stored before"
    said = f"at {str(newest.times[-1])[:16]}, the newest bar, the market is {now}{kept}"
    return Findings(
        title=f"Regimes of {opened.name}",
        lead=f"{chosen.count} regimes from {_WORDS[chosen.method]}: the best prediction of held-out bars "
        f"({chosen.predictive:.2f} nats a bar) among candidates whose halves agree (ARI {chosen.stability:.2f}).",
        grids=[
            _facts_grid("On train and validation", whole, year),
            _facts_grid("On the calibration bars alone", calibration, year),
            _transition_grid(chosen),
            _candidate_grid(models, chosen),
        ],
        charts=[
            (
                "Regimes over price",
                _regime_chart(opened, chosen, labels),
                "The equally weighted market in the colour of each regime; below, each one's share of the last bars.",
            )
        ],
        sentences=[said, *([] if truth is None else [truth_sentence(truth)]), *_reserves(models, missing)],
        document={
            "data": opened.study.dataset,
            "method": chosen.method,
            "regimes": whole,
            "regimes_held_out": calibration,
            "transition": chosen.transition.tolist(),
            "now": now,
            "now_at": str(newest.times[-1])[:16],
            "candidates": [_candidate_figures(model) for model in models],
            "truth": truth,
        },
        simulated=opened.panel.simulated,
    )


_WORDS = {
    "features": "clusters of features",
    "latents": "clusters of latents",
    "mixture": "the components of a flow with a mixture base",
    "hmm": "a hidden Markov model",
}


def _candidate_figures(model: RegimeModel) -> dict[str, object]:
    return {
        "method": model.method,
        "regimes": model.count,
        "predictive_nats": model.predictive,
        "stability_ari": model.stability,
    }


def _facts_grid(title: str, rows: Sequence[dict[str, Any]], year: float) -> Grid:
    drawn = []
    for row in rows:
        deviation, mean = row["next_std"], row["next_mean"]
        sharpe = mean / deviation * np.sqrt(year) if deviation and deviation > 0 else float("nan")
        drawn.append(
            [
                row["regime"],
                format_number(row["share"], "percent"),
                format_number(row["bars"], "score"),
                format_number(1e4 * mean, signed=True),
                format_number(1e4 * deviation, "score"),
                format_number(sharpe, signed=True),
            ]
        )
    columns = ["regime", "share", "bars a stay", "next bar, bp", "its deviation, bp", "Sharpe ratio a year"]
    note = "Of the bar after the one that is labelled: nothing of it was known."
    return grid(title, columns, drawn, note=note)


def _transition_grid(model: RegimeModel) -> Grid:
    rows = [
        [name, *(format_number(p, "fine_percent") for p in row)]
        for name, row in zip(model.names, model.transition, strict=True)
    ]
    return grid("From each regime to the next bar's", ["from", *model.names], rows)


def _candidate_grid(models: Sequence[RegimeModel], chosen: RegimeModel) -> Grid:
    rows = [
        [
            model.method + (" ←" if (model.method, model.count) == (chosen.method, chosen.count) else ""),
            str(model.count),
            format_number(model.predictive),
            format_number(model.stability),
        ]
        for model in sorted(models, key=lambda m: -m.predictive)
    ]
    note = (
        "Predictive: mean log-likelihood of a held-out bar's market state given the bars before. Stability: adjusted "
        "Rand index, on held-out bars, of the labels by the first and by the second half of train."
    )
    return grid("Candidates", ["method", "regimes", "predictive, nats", "stability"], rows, note=note)


def _regime_chart(opened: OpenFlow, model: RegimeModel, labels: Labels) -> str:
    """Draw the market once for each regime, in its colour while it lasts."""
    growth = market_index(opened)
    lines = []
    for k, name in enumerate(model.names):
        inside = labels == k
        # A stay is drawn to where the next begins.
        shown = inside | np.concatenate([[False], inside[:-1]])
        lines.append(svg.Line(name, np.where(shown, growth, np.nan), css=f"c{k % 6 + 1}"))
    chart = svg.LineChart(
        "Regimes", "The market, coloured by regime.", opened.panel.times, lines, percent=True, log=True, height=340
    )
    below = regime_areas(opened.panel.times, model.names, [labels == k for k in range(model.count)], _SHARE_BARS)
    return svg.line_chart(chart) + below
