"""How usual the states of some bars are, in the documents' three figures, and what each level of a flow holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.drawing.axes import format_number
from agent.flow.opened import OpenFlow
from agent.review.findings import Grid, grid
from flows.direction import confidence
from market.panel import FloatArray

# States that are asked, at most, and features that are named of a level.
_ROWS, _NAMED = 20_000, 3


def usual_states(opened: OpenFlow, parts: Mapping[str, slice]) -> list[dict[str, Any]]:
    """Return, of each part, what states cost on average, how many are in distribution, and mean confidence.

    In distribution is a state whose own likelihood is at or above the gate's percentile of calibration; confidence is
    0 at the gate's threshold and 1 at the median of calibration, of what the gate judges.
    """
    calibration = opened.density.likelihood(opened.sample_rows(opened.calibration_rows, _ROWS, 60))
    least = float(np.percentile(calibration, opened.gate.rules.percentile))
    judged = opened.study.log_likelihood
    assert judged is not None
    usual = float(np.nanmedian(judged[opened.calibration_rows]))
    sure = confidence(judged, opened.gate.latest.thresholds, usual)
    found = []
    for place, (name, rows) in enumerate(parts.items()):
        own = opened.density.likelihood(opened.sample_rows(rows, _ROWS, 61 + place))
        inside = opened.panel.universe[rows] & np.isfinite(judged[rows])
        found.append(
            {
                "bars": name,
                "avg_log_prob": float(own.mean()),
                "in_distribution_ratio": float((own >= least).mean()),
                "avg_confidence": float(sure[rows][inside].mean()) if inside.any() else None,
            }
        )
    return found


def usual_grid(found: Sequence[Mapping[str, Any]]) -> Grid:
    """Return the table of `usual_states`."""
    rows = [
        [
            str(row["bars"]),
            format_number(row["avg_log_prob"]),
            format_number(row["in_distribution_ratio"], "percent"),
            format_number(row["avg_confidence"]),
        ]
        for row in found
    ]
    note = (
        "Mean log-likelihood of a state in nats; share of states above the percentile of calibration below which one "
        "is unusual; mean confidence, 0 at the gate's threshold and 1 at the median of calibration."
    )
    return grid("How usual", ["bars", "mean log-likelihood", "in distribution", "mean confidence"], rows, note=note)


def latent_levels(opened: OpenFlow) -> list[dict[str, Any]]:
    """Return, of each level of the flow, how its latents are spread on the calibration bars, and what they hold.

    Latents of a good flow have deviation 1 and excess kurtosis 0. What a level holds is said by R² of features,
    regressed on its latents.
    """
    states = opened.sample_rows(opened.calibration_rows, _ROWS, 62)
    latents = opened.density.latents(states)
    found, begin = [], 0
    for number, count in enumerate(opened.density.flow.latents):
        own = latents[:, begin : begin + count]
        begin += count
        z = (own - own.mean(axis=0)) / own.std(axis=0)
        explained = _explained(z, states)
        best = np.argsort(-explained)[:_NAMED]
        found.append(
            {
                "level": number + 1,
                "latents": count,
                "mean": float(own.mean()),
                "deviation": float(own.std(axis=0).mean()),
                "excess_kurtosis": float(((z**4).mean(axis=0) - 3.0).mean()),
                "holds": {opened.density.names[k]: float(explained[k]) for k in best},
            }
        )
    return found


def _explained(z: FloatArray, features: FloatArray) -> FloatArray:
    """Return (D,) R² of features (M, D) regressed on latents (M, K), centred."""
    y = features - features.mean(axis=0)
    left = y - z @ np.linalg.lstsq(z, y, rcond=None)[0]
    share: FloatArray = 1.0 - left.var(axis=0) / np.maximum(y.var(axis=0), 1e-12)
    return share


def levels_grid(found: Sequence[Mapping[str, Any]]) -> Grid:
    """Return the table of `latent_levels`."""
    rows = [
        [
            f"z{row['level']}",
            str(row["latents"]),
            *(format_number(row[key]) for key in ("mean", "deviation", "excess_kurtosis")),
            ", ".join(f"{name} {format_number(share, 'share')}" for name, share in row["holds"].items()),
        ]
        for row in found
    ]
    note = (
        "Of the calibration bars. Latents of a good flow have deviation 1 and excess kurtosis 0. The last column: how "
        "much of a feature a level's latents explain by a linear regression (R²)."
    )
    columns = ["level", "latents", "mean", "deviation", "excess kurtosis", "holds most of"]
    return grid("Latents by level", columns, rows, note=note)
