"""The regime gate: from likelihood to exposure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import torch

from factors.features import STATE_FEATURES, Feature
from flows.inspection import inspect_features
from flows.model import FlowConfig, MarketFlow
from flows.state import Standardiser, build_features, fit_standardiser, known_rows, prepared
from flows.train import Epoch, Progress, TrainConfig, TrainedFlow, bits_per_dim, log_likelihood, train
from market.errors import InputError
from market.panel import FloatArray, Panel
from market.split import Split

Side = Literal["low", "both"]
# The ramp from shut to open runs from the percentile p of validation likelihood to this multiple of p.
RAMP = 2.0
# Bars over which likelihood is averaged before it gates. A regime lasts; a single odd bar does not make one, and a
# gate that flickers costs more in turnover than it saves.
SMOOTH = 12


def smoothed(likelihood: FloatArray, bars: int = SMOOTH) -> FloatArray:
    """Return (T, N) the mean of the finite values among the last `bars` of each asset; NaN where the newest is NaN.

    Each value is summed from its own window, so cutting the series short changes none.
    """
    known = np.isfinite(likelihood)
    filled = np.where(known, likelihood, 0.0)
    total, count = np.zeros_like(filled), np.zeros(filled.shape)
    for age in range(min(bars, len(filled))):
        total[age:] += filled[: len(filled) - age]
        count[age:] += known[: len(filled) - age]
    return np.where(known, total / np.maximum(count, 1), np.nan)


def steadied(exposures: FloatArray, band: float) -> FloatArray:
    """Return (T, N) exposures that stay until they would change by more than `band`, or reach 0 or 1."""
    if band <= 0:
        return exposures
    out = exposures.copy()
    for t in range(1, len(out)):
        now = exposures[t]
        moves = (np.abs(now - out[t - 1]) > band) | (now == 0.0) | (now == 1.0)
        out[t] = np.where(moves, now, out[t - 1])
    return out


@dataclass(frozen=True, eq=False)
class RegimeGate:
    """A trained flow with the likelihoods at which exposure is taken away.

    Attributes
    ----------
    threshold, full
        Nats: exposure is 0 below `threshold`, 1 above `full`, linear between. They are the p-th and the 2p-th
        percentile of likelihood on the validation split.
    ceiling, ceiling_full
        Nats, for a gate that shuts on both sides: exposure is 0 above `ceiling`, 1 below `ceiling_full`. The typical
        set of a density leaves out its most likely states as well (Nalisnick et al. 2019). Then each side has half of
        the percentile. Infinite for a gate of one side.
    hysteresis
        Exposure stays as it is until it would change by more than this, or reaches 0 or 1: what flickers is traded.
    coverage
        Share of states below a threshold set on one random half of validation and counted on the other: it should be
        near p / 100 (the nominal level), since the halves are exchangeable.
    train_shut, validation_shut
        Share of states below `threshold` on each split; on train it shows how the market changed.
    panel_id
        The loop panel it was trained on.
    features
        What a state is made of.
    notes
        What was found among the features, and done about it.
    """

    model: MarketFlow
    config: TrainConfig
    standardiser: Standardiser
    percentile: float
    threshold: float
    full: float
    coverage: float
    train_shut: float
    validation_shut: float
    nll_train: float
    nll_validation: float
    history: tuple[Epoch, ...]
    panel_id: str
    features: tuple[Feature, ...] = STATE_FEATURES
    notes: tuple[str, ...] = ()
    ceiling: float = math.inf
    ceiling_full: float = math.inf
    hysteresis: float = 0.0

    def log_likelihood(self, panel: Panel) -> FloatArray:
        """Return (T, N) log-likelihood in nats, averaged over `SMOOTH` bars; NaN where there is no state."""
        states = prepared(build_features(panel, self.features), self.standardiser, panel)
        return smoothed(state_likelihood(self.model, states))

    def exposures_of(self, likelihood: FloatArray) -> FloatArray:
        """Return (T, N) exposures in [0, 1] for likelihoods in nats, from the first bar on; 0 without a state."""
        ramp = np.clip((likelihood - self.threshold) / (self.full - self.threshold), 0.0, 1.0)
        if math.isfinite(self.ceiling):
            above = (self.ceiling - likelihood) / (self.ceiling - self.ceiling_full)
            ramp = np.minimum(ramp, np.clip(above, 0.0, 1.0))
        return steadied(np.where(np.isfinite(likelihood), ramp, 0.0), self.hysteresis)

    def exposures(self, panel: Panel) -> FloatArray:
        """Return (T, N) exposures in [0, 1] of each bar, from that bar and earlier ones alone."""
        return self.exposures_of(self.log_likelihood(panel))

    def summary(self) -> dict[str, object]:
        """Return the gate's figures as plain JSON types."""
        return {
            "nll_train_nats": self.nll_train,
            "nll_validation_nats": self.nll_validation,
            "bits_per_dim": bits_per_dim(self.nll_validation, self.model.dim),
            "epochs": len(self.history),
            "percentile": self.percentile,
            "threshold_nats": self.threshold,
            "full_nats": self.full,
            "ceiling_nats": self.ceiling,
            "hysteresis": self.hysteresis,
            "coverage_iid": self.coverage,
            "coverage_nominal": self.percentile / 100.0,
            "shut_train": self.train_shut,
            "shut_validation": self.validation_shut,
            "panel": self.panel_id,
            "features": len(self.features),
            "notes": "; ".join(self.notes),
            "flow": self.model.config.kind,
            "steps": " + ".join(map(str, self.model.config.steps)),
            "parameters": sum(p.numel() for p in self.model.parameters()),
            **{f"config_{key}": value for key, value in asdict(self.config).items()},
        }


def fit_gate(
    panel: Panel,
    split: Split,
    config: TrainConfig,
    flow: FlowConfig | None = None,
    *,
    features: Sequence[Feature] = STATE_FEATURES,
    percentile: float = 5.0,
    side: Side = "low",
    hysteresis: float = 0.0,
    progress: Progress | None = None,
) -> RegimeGate:
    """Train the flow on the train rows of `panel` and set the thresholds on its validation rows.

    Features that are constant on train, or copies of others, are left out, and the gate says so. `panel` ends with
    validation (`market.split.loop_panel`); rows beyond it are refused, so no holdout bar can move a threshold.
    """
    if len(panel.times) > split.validation.stop:
        raise ValueError("the gate is fitted on a panel without the holdout")
    values = build_features(panel, features)
    if not np.isfinite(values[split.train]).any():
        raise InputError("no market state is known on the train split", "are volume and prices all there?")
    found = inspect_features(values[split.train], [feature.name for feature in features])
    values, kept = values[..., list(found.kept)], tuple(features[k] for k in found.kept)
    if not np.isfinite(values[split.train]).all(axis=-1).any():
        raise InputError("no complete market state on the train split", "are volume and prices all there?")
    flow, fitted = fitting(flow or FlowConfig(), len(kept))
    standardiser = fit_standardiser(values[split.train])
    states = prepared(values, standardiser, panel)
    # Training draws its own noise, anew for each batch.
    x_train, x_validation = known_rows(standardiser.apply(values[split.train])), known_rows(states[split.validation])
    trained = train(x_train, x_validation, config, flow, progress)
    likelihood = smoothed(state_likelihood(trained.model, states))
    gate = _calibrated(
        trained, standardiser, likelihood[split.train], likelihood[split.validation], percentile, side, panel.id
    )
    return replace(gate, features=kept, notes=(*found.sentences(), *fitted), hysteresis=hysteresis)


def fitting(flow: FlowConfig, dim: int) -> tuple[FlowConfig, tuple[str, ...]]:
    """Return a flow for so many features, and what had to be changed: what cannot be halved keeps one level."""
    halvings = len(flow.steps) - 1
    if dim % 2**halvings == 0 and dim // 2**halvings >= 2:
        return replace(flow, dim=dim), ()
    note = f"{dim} features cannot be halved {halvings} times: all steps are in one level"
    return replace(flow, dim=dim, steps=(sum(flow.steps),)), (note,)


def state_likelihood(model: MarketFlow, states: FloatArray) -> FloatArray:
    """Return (T, N) log-likelihood in nats of prepared states (T, N, 16); NaN where a state has a NaN."""
    flat = states.reshape(-1, states.shape[-1])
    known = np.isfinite(flat).all(axis=1)
    out = np.full(len(flat), np.nan)
    if known.any():
        out[known] = log_likelihood(model, torch.from_numpy(flat[known].astype(np.float32))).numpy()
    return out.reshape(states.shape[:-1])


def _calibrated(
    flow: TrainedFlow,
    standardiser: Standardiser,
    on_train: FloatArray,
    on_validation: FloatArray,
    percentile: float,
    side: Side,
    panel_id: str,
) -> RegimeGate:
    on_train, on_validation = on_train[np.isfinite(on_train)], on_validation[np.isfinite(on_validation)]
    share = percentile if side == "low" else 0.5 * percentile
    marks = (share, min(RAMP * share, 99.0))
    threshold, full = np.percentile(on_validation, marks)
    ceiling = ceiling_full = math.inf
    if side == "both":
        ceiling, ceiling_full = (float(x) for x in np.percentile(on_validation, [100.0 - mark for mark in marks]))

    def shut(likelihood: FloatArray) -> float:
        return float(np.mean((likelihood < threshold) | (likelihood > ceiling)))

    order = np.random.default_rng(flow.config.seed).permutation(len(on_validation))
    one, other = on_validation[order[::2]], on_validation[order[1::2]]
    return RegimeGate(
        model=flow.model,
        config=flow.config,
        standardiser=standardiser,
        percentile=percentile,
        threshold=float(threshold),
        full=float(full),
        coverage=float(np.mean(other < np.percentile(one, percentile))),
        train_shut=shut(on_train),
        validation_shut=shut(on_validation),
        nll_train=flow.nll_train,
        nll_validation=flow.nll_validation,
        history=flow.history,
        panel_id=panel_id,
        ceiling=ceiling,
        ceiling_full=ceiling_full,
    )
