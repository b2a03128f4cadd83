"""How good a flow is, and what its gate notices: likelihood, calibration, anomalies, and the gate over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import numpy as np

from agent.drawing import svg
from agent.drawing.axes import format_number
from agent.flow.flow_pictures import noticed_map
from agent.flow.opened import OpenFlow
from agent.flow.usual_states import latent_levels, levels_grid, usual_grid, usual_states
from agent.review.charts import shut_spans
from agent.review.findings import Findings, Grid, grid
from backtest.bar_regimes import market_return
from flows.drawdown import StateForecast
from flows.planted_anomalies import Score, noticed, plant_anomalies, two_sided
from flows.reference import fit_gaussian, fit_reference, measured
from flows.train import bits_per_dim
from market.panel import FloatArray

_ROWS = 20_000
_PLACES = 800
_COMPONENTS = 16


def evaluate_flow(opened: OpenFlow, *, periods: int = 24, places: int = _PLACES) -> Findings:
    """Measure a flow on train and validation."""
    densities, gmm = _densities(opened)
    likelihood, exposures = opened.study.log_likelihood, opened.study.exposures
    assert likelihood is not None
    assert exposures is not None
    drift = opened.gate.drift(opened.panel, likelihood, 4 * (week := _week(opened)))
    if isinstance(opened.gate.latest.reference, StateForecast):
        likelihood = opened.gate.by_likelihood().log_likelihood(opened.panel)
    over_time = _over_time(opened, likelihood, exposures, periods)
    anomalies = _anomalies(opened, gmm, places)
    calibration = _calibration(opened, week)
    usual = usual_states(opened, {"train": opened.trained_rows, "calibration": opened.calibration_rows})
    levels = latent_levels(opened)
    return Findings(
        title=f"Flow of {opened.name}",
        lead=_lead(opened),
        grids=[
            _likelihood_grid(densities, len(opened.density.features)),
            usual_grid(usual),
            levels_grid(levels),
            _calibration_grid(calibration),
            anomaly_grid(anomalies),
            _time_grid(opened, over_time),
        ],
        charts=[
            ("Likelihood and price", _likelihood_chart(opened, likelihood, exposures), _CAPTION),
            noticed_map(anomalies),
        ],
        sentences=[*([drift] if drift else []), *_library_note(), *opened.density.notes, *opened.warnings()],
        document={
            "data": opened.study.dataset,
            "gate": opened.gate.summary(),
            "nll_nats": densities,
            "usual": usual,
            "levels": levels,
            "calibration": calibration,
            "anomalies": anomalies,
            "periods": over_time,
            "drift": drift,
        },
        simulated=opened.panel.simulated,
    )


def _lead(opened: OpenFlow) -> str:
    density, rules = opened.density, opened.gate.rules
    members = "one flow" if len(density.members) == 1 else f"{len(density.members)} flows"
    whose = "of the whole market" if rules.scope == "market" else "of each asset"
    said = f"{members} ({density.flow.config.kind}) on {len(density.features)} features"
    if rules.measure == "drawdown":
        return f"{said}; the gate's exposure follows the drawdown {whose} that is expected of the next day."
    return (
        f"{said}; {rules.percentile:g} % of calibration states shut the gate, by the "
        f"{rules.measure.replace('_', ' ')} {whose}, averaged over {rules.window} bars."
    )


_CAPTION = (
    "Shaded: the gate is (partly) shut, by its mean over the assets. The line is the equally weighted market; the "
    "second chart's line is the median of what the gate judges, its band the 5th to 95th percentile over assets."
)


def _library_note() -> list[str]:
    if find_spec("sklearn") is None:
        return ["a mixture and an isolation forest stand beside with scikit-learn: pip install 'alphaglow[flows]'"]
    return []


def _densities(opened: OpenFlow) -> tuple[dict[str, dict[str, float]], Score | None]:
    """Return NLL on train and validation of the flow, a Gaussian, and a mixture of Gaussians if there is a library."""
    train, calibration = (
        opened.sample_rows(rows, _ROWS, k) for k, rows in enumerate((opened.trained_rows, opened.calibration_rows))
    )
    gaussian, slope = fit_gaussian(train), opened.density.standardiser.tails.log_slope
    # All are densities of standardised features: what the map of the tails stretches is counted for each.
    stretched = slope(train).mean(), slope(calibration).mean()
    found = {
        "flow": {
            "train": -opened.density.likelihood(train).mean(),
            "calibration": -opened.density.likelihood(calibration).mean(),
        },
        "Gaussian": {
            "train": -gaussian.log_prob(train).mean() - stretched[0],
            "calibration": -gaussian.log_prob(calibration).mean() - stretched[1],
        },
    }
    score: Score | None = None
    if find_spec("sklearn") is not None:
        from sklearn.mixture import GaussianMixture

        mixture = GaussianMixture(_COMPONENTS, random_state=opened.study.seed, reg_covar=1e-5).fit(train)
        found[f"mixture of {_COMPONENTS} Gaussians"] = {
            "train": -mixture.score(train) - stretched[0],
            "calibration": -mixture.score(calibration) - stretched[1],
        }

        def score(states: FloatArray) -> FloatArray:
            density: FloatArray = -mixture.score_samples(states) - slope(states)
            return density

    return {name: {key: float(value) for key, value in row.items()} for name, row in found.items()}, score


def _likelihood_grid(densities: Mapping[str, Mapping[str, float]], dim: int) -> Grid:
    rows = [
        [
            name,
            format_number(row["train"], "plain"),
            format_number(row["calibration"], "plain"),
            format_number(bits_per_dim(row["calibration"], dim)),
        ]
        for name, row in densities.items()
    ]
    note = "Negative log-likelihood in nats, noise included; lower is better."
    return grid("Likelihood", ["density", "train", "calibration", "bits a dimension"], rows, note=note)


def _calibration(opened: OpenFlow, week: int) -> dict[str, object]:
    gate, thresholds = opened.gate, opened.gate.latest.thresholds
    low, high = thresholds.band(week, opened.rng(2))
    weeks = [float(np.mean(part)) for part in np.array_split(thresholds.daily, max(1, len(thresholds.daily) // 7))]
    return {
        "threshold_nats": thresholds.threshold,
        "threshold_interval_nats": list(thresholds.interval),
        "coverage_iid": thresholds.coverage,
        "coverage_nominal": gate.rules.percentile / 100,
        "shut_train": gate.latest.train_shut,
        "shut_calibration": gate.latest.calibration_shut,
        "week_band": [low, high],
        "weeks_least_most": [min(weeks), max(weeks)] if weeks else None,
    }


def _calibration_grid(found: Mapping[str, object]) -> Grid:
    words = {
        "threshold_nats": "shut below, nats",
        "threshold_interval_nats": "its 90 % interval (block bootstrap)",
        "coverage_iid": "shut on an i.i.d. half, thresholds from the other",
        "coverage_nominal": "nominal",
        "shut_train": "shut on train",
        "shut_calibration": "shut on the calibration bars",
        "week_band": "shut in a week like those, 1st to 99th percentile",
        "weeks_least_most": "weeks of calibration, least and most",
    }
    rows = [[text, _written(key, found[key])] for key, text in words.items()]
    return grid("Calibration", ["", "value"], rows)


def _written(key: str, value: object) -> str:
    style = "plain" if "nats" in key else "percent"
    if isinstance(value, list):
        return " to ".join(format_number(item, style) for item in value)
    return format_number(value, style)


def _anomalies(opened: OpenFlow, gmm: Score | None, places: int) -> list[dict[str, object]]:
    """Return the AUROC of the flow and of plainer scores on anomalies planted in the calibration bars."""
    density = opened.density
    train = opened.sample_rows(opened.trained_rows, _ROWS, 0)
    calibration = opened.sample_rows(opened.calibration_rows, _ROWS, 1)
    planted = plant_anomalies(density, opened.panel, opened.calibration_rows, places, opened.rng(3))
    gaussian = fit_gaussian(train)
    scores: dict[str, Score] = {
        "flow": lambda x: -density.likelihood(x),
        "flow, both sides": two_sided(density.likelihood, density.likelihood(calibration)),
        "flow over Gaussian": lambda x: -measured(density, gaussian, x),
    }
    names = opened.workspace.settings.gate.given
    if sum(name in density.names for name in names) >= 2:
        given = fit_reference("given_volatility", density, train, calibration, names)
        scores["flow given volatility"] = lambda x: -measured(density, given, x)
    slope = density.standardiser.tails.log_slope
    scores["Gaussian"] = lambda x: -gaussian.log_prob(x) - slope(x)
    if gmm is not None:
        from sklearn.ensemble import IsolationForest

        forest = IsolationForest(n_estimators=200, random_state=opened.study.seed).fit(train)
        scores |= {"mixture": gmm, "isolation forest": lambda x: -forest.score_samples(x)}
    if "volatility_20" in density.names:
        column = density.names.index("volatility_20")
        scores["20-bar volatility"] = lambda x: x[:, column]
    return [
        {"kind": n.kind, "score": n.score, "auroc_bar": n.single, "auroc_window": n.window}
        for n in noticed(planted, scores)
    ]


def anomaly_grid(found: Sequence[Mapping[str, object]]) -> Grid:
    """Return AUROC by kind and score: of the newest bar, and of the mean over eight bars."""
    kinds = list(dict.fromkeys(str(row["kind"]) for row in found))
    scores = list(dict.fromkeys(str(row["score"]) for row in found))
    cells = {(row["score"], row["kind"]): (row["auroc_bar"], row["auroc_window"]) for row in found}
    rows = []
    for score in scores:
        row = [score]
        for kind in kinds:
            bar, window = cells[score, kind]
            row.append(f"{format_number(bar)} / {format_number(window)}")
        rows.append(row)
    note = (
        "AUROC: how often an altered state scores as stranger than an ordinary one (0.5 is blind). First by the newest "
        "bar, then by the mean over eight altered bars."
    )
    return grid("What it notices", ["score", *kinds], rows, note=note)


def _over_time(
    opened: OpenFlow, likelihood: FloatArray, exposures: FloatArray, periods: int
) -> list[dict[str, object]]:
    panel, split = opened.panel, opened.study.split
    rows: list[dict[str, object]] = []
    for chunk in np.array_split(np.arange(len(panel.times)), max(1, min(periods, len(panel.times)))):
        inside = likelihood[chunk]
        known = np.isfinite(inside)
        share = exposures[chunk][known]
        some = bool(known.any())
        rows.append(
            {
                "from": str(panel.times[chunk[0]])[:16],
                "segment": "train" if chunk[0] < split.train.stop else "validation",
                "median_nats": float(np.median(inside[known])) if some else None,
                "p5_nats": float(np.percentile(inside[known], 5)) if some else None,
                "exposure": float(share.mean()) if some else None,
                "shut": float((share == 0).mean()) if some else None,
            }
        )
    return rows


def _time_grid(opened: OpenFlow, rows: Sequence[Mapping[str, object]]) -> Grid:
    width = 24
    drawn = []
    for row in rows:
        exposure = row["exposure"]
        bar = "█" * round(width * exposure) if isinstance(exposure, float) else ""
        figures = [format_number(row["median_nats"]), format_number(row["p5_nats"])]
        shares = [format_number(row["exposure"], "percent"), format_number(row["shut"], "percent")]
        drawn.append([str(row["from"]), str(row["segment"]), bar, *figures, *shares])
    columns = ["from", "segment", "exposure", "median nats", "5 % nats", "mean", "shut"]
    threshold = format_number(opened.gate.latest.thresholds.threshold)
    title = f"Over time: shut below {threshold} nats"
    if isinstance(opened.gate.latest.reference, StateForecast):
        title = "Over time: likelihood, and exposure by expected drawdown"
    return grid(title, columns, drawn, left=3)


def _week(opened: OpenFlow) -> int:
    """Return the bars of a week."""
    return max(1, round(7 * opened.panel.bars_per_year / 365))


def market_index(opened: OpenFlow) -> FloatArray:
    """Return (T,) the equally weighted market's growth, less 1."""
    growth: FloatArray = np.exp(np.cumsum(np.log1p(market_return(opened.panel)))) - 1.0
    return growth


def _likelihood_chart(opened: OpenFlow, likelihood: FloatArray, exposures: FloatArray) -> str:
    known = np.isfinite(likelihood)
    there = known.any(axis=1)
    bands = np.full((3, len(likelihood)), np.nan)
    for t in np.flatnonzero(there):
        bands[:, t] = np.percentile(likelihood[t, known[t]], [5, 50, 95])
    mean = np.where(there, np.where(known, exposures, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan)
    times = opened.panel.times
    price = svg.line_chart(
        svg.LineChart(
            "Market",
            "The equally weighted market; shaded where the gate is shut.",
            times,
            [svg.Line("market", market_index(opened))],
            spans=shut_spans(mean),
            percent=True,
            log=True,
        )
    )
    lines = [svg.Line("median, nats", bands[1])]
    if not isinstance(opened.gate.latest.reference, StateForecast):
        lines.append(svg.Line("threshold", opened.gate.thresholds(opened.panel), css="c2", dash="4 3"))
    nats = svg.line_chart(
        svg.LineChart(
            "Log-likelihood",
            "Median over assets, with the 5th to 95th percentile; the threshold, where likelihood has one.",
            times,
            lines,
            ribbons=[svg.Ribbon(bands[0], bands[2])],
            zero=False,
        )
    )
    return price + nats
