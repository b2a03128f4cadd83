"""The documents' own strategy: long or short along a latent direction, by how usual the state is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.drawing.axes import format_number
from agent.flow.opened import OpenFlow
from agent.review.findings import Findings, grid
from backtest.ic import forward_returns
from flows.direction import DEAD_ZONE, Direction, Kind, confidence, fit_direction, positions
from flows.regime_store import load_regimes, regimes_path
from flows.regimes import market_states
from market.panel import FloatArray, Panel

# A return is known two bars after its decision; none that reaches beyond train is learned from.
_LABEL = 2


@dataclass(frozen=True, eq=False)
class Directed:
    """A direction with its projections, confidence and positions on a panel, (T, N) each."""

    direction: Direction
    along: FloatArray
    confidence: FloatArray
    positions: FloatArray


def direct(opened: OpenFlow, kind: Kind, panel: Panel | None = None) -> Directed:
    """Fit a direction on the rows that the flow was trained on, and read a panel (train and validation) along it."""
    rows = opened.trained_rows
    paid = slice(rows.start, rows.stop - _LABEL)
    forward = forward_returns(opened.panel, 1, opened.study.spec.fill)
    latents = opened.density.latents(opened.states)
    direction = fit_direction(latents[paid], forward[paid], kind)
    shown = opened.panel if panel is None else panel
    if panel is not None:
        latents = opened.density.latents(opened.density.states(panel))
    likelihood = opened.study.log_likelihood if panel is None else opened.gate.log_likelihood(panel)
    assert likelihood is not None
    calibration = (opened.study.log_likelihood if opened.study.log_likelihood is not None else likelihood)[
        opened.calibration_rows
    ]
    sure = confidence(likelihood, opened.gate.latest.thresholds, float(np.nanmedian(calibration)))
    along = np.where(shown.universe, direction.project(latents), np.nan)
    return Directed(direction, along, sure, positions(along, sure))


def directed_targets(directed: Directed, panel: Panel) -> FloatArray:
    """Return target weights: positions shared over the universe, so that all of one sign are one capital."""
    count = np.maximum(panel.universe.sum(axis=1, keepdims=True), 1)
    weights: FloatArray = np.where(panel.universe, directed.positions, 0.0) / count
    return weights


def signals_now(opened: OpenFlow, kind: Kind, bars: int = 600) -> Findings:
    """Say for each asset, at the newest bar there is, how usual its state is and which way it points.

    Only states of the newest bars are read, and no return of theirs: this opens no holdout.
    """
    newest = opened.whole.rows(max(0, len(opened.whole.times) - bars), len(opened.whole.times))
    directed = direct(opened, kind, newest)
    rows = _signal_rows(opened, directed, newest)
    at = str(newest.times[-1])[:16]
    columns = ["asset", "signal", "position", "confidence", "along", "log-likelihood", "percentile", "gate"]
    keys = ["position", "confidence", "along", "log_likelihood_nats", "percentile", "gate_exposure"]
    drawn = [[str(r["asset"]), str(r["signal"]), *(format_number(r[key]) for key in keys)] for r in rows]
    note = (
        f"Long or short where the state lies beyond {DEAD_ZONE:g} deviations along the {kind} direction, times "
        "confidence: 0 at the gate's threshold, 1 at the median of calibration."
    )
    flat = sum(row["signal"] == "no trade" for row in rows)
    regime = _regime_now(opened, newest)
    return Findings(
        title=f"Signals of {opened.name} at {at}",
        lead=f"{len(rows) - flat} of {len(rows)} assets have a signal; on train the direction went with the next "
        f"return by a correlation of {directed.direction.correlation:.4f}.",
        grids=[grid("Now", columns, drawn, left=2, note=note)],
        charts=[],
        sentences=[f"the market's regime is {regime}" if regime else _NO_REGIMES, *opened.warnings()],
        document={
            "data": opened.study.dataset,
            "time": at,
            "direction": kind,
            "regime": regime,
            "train_correlation": directed.direction.correlation,
            "vector": directed.direction.vector.tolist(),
            "signals": rows,
        },
        simulated=opened.panel.simulated,
    )


def _signal_rows(opened: OpenFlow, directed: Directed, newest: Panel) -> list[dict[str, object]]:
    """Return a row for each asset of the universe with a state at the newest bar, the longest position first."""
    likelihood = opened.gate.log_likelihood(newest)[-1]
    exposure = opened.gate.exposures(newest)[-1]
    calibration = opened.study.log_likelihood
    assert calibration is not None
    ordered = np.sort(calibration[opened.calibration_rows][np.isfinite(calibration[opened.calibration_rows])])
    rows: list[dict[str, object]] = []
    for k, asset in enumerate(newest.assets):
        if not newest.universe[-1, k] or not np.isfinite(likelihood[k]):
            continue
        position = float(directed.positions[-1, k])
        rows.append(
            {
                "asset": asset,
                "signal": "long" if position > 0 else "short" if position < 0 else "no trade",
                "position": position,
                "confidence": float(directed.confidence[-1, k]),
                "along": float(directed.along[-1, k]),
                "log_likelihood_nats": float(likelihood[k]),
                "percentile": float(100 * np.searchsorted(ordered, likelihood[k]) / len(ordered)),
                "gate_exposure": float(exposure[k]),
            }
        )
    rows.sort(key=lambda row: -float(str(row["position"])))
    return rows


_NO_REGIMES = "no regimes are known: find them by alphaglow flow regimes"


def _regime_now(opened: OpenFlow, newest: Panel) -> str | None:
    """Return the name of the newest bar's regime, or None where none were found."""
    path = regimes_path(opened.gate_file)
    if not path.is_file():
        return None
    model, _, _ = load_regimes(path)
    labels = model.labels(market_states(opened.density.states(newest), opened.gate.rules.window))
    name: str = model.names[int(labels[-1])]
    return name
