"""A density of market states: which features, how they are standardised, the flows that learned them, and from what."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from factors.features import STATE_FEATURES, Feature
from flows.ensemble import ensemble_likelihood, train_ensemble
from flows.fit_rules import MEMBERS, FlowConfig, TrainConfig
from flows.flow_model import MarketFlow, make_flow
from flows.inspection import inspect_features
from flows.state import Standardiser, build_features, fit_standardiser, known_rows, prepared
from flows.tails import limits_of
from flows.train import Epoch, Progress, bits_per_dim
from market.errors import InputError
from market.panel import FloatArray, Panel

# A flow should not have more parameters than this share of the numbers it learns from.
_PARAMETERS_PER_NUMBER = 0.25
_LEAST_HIDDEN = 8
_LEAST_ROWS = 500
_BATCH = 8192


@dataclass(frozen=True, eq=False)
class StateDensity:
    """Flows fitted on the states of a panel.

    Attributes
    ----------
    members
        Of the ensemble; their equal mixture is the density.
    features
        What a state is made of, D of them, in this order.
    asked
        The features that were asked for: without those that were left out.
    low, high
        (D,) the box of the data: states of train, from the least to the greatest, with their noise.
    histories
        Epochs of each member.
    panel_id
        The panel it was trained on.
    assets
        Those of that panel.
    trained_until
        Time of the last bar that weights, scale or early stopping saw.
    notes
        What was found among the features, and done about it.
    """

    members: tuple[MarketFlow, ...]
    features: tuple[Feature, ...]
    asked: tuple[Feature, ...]
    standardiser: Standardiser
    low: FloatArray
    high: FloatArray
    config: TrainConfig
    histories: tuple[tuple[Epoch, ...], ...]
    nll_train: float
    nll_validation: float
    panel_id: str
    assets: tuple[str, ...]
    trained_until: np.datetime64
    notes: tuple[str, ...] = ()

    @property
    def flow(self) -> MarketFlow:
        """The first member: the one whose latents are read."""
        return self.members[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(feature.name for feature in self.features)

    def states(self, panel: Panel) -> FloatArray:
        """Return (T, N, D) states of a panel: standardised, tails made light, with noise; NaN where unknown."""
        return prepared(build_features(panel, self.features), self.standardiser, panel)

    def likelihood(self, states: FloatArray) -> FloatArray:
        """Return log-likelihood in nats of states (..., D), as a density of the standardised features.

        What the map of the tails stretches is counted. NaN where a state has a NaN.
        """
        return state_likelihood(self._exact, states) + self.standardiser.tails.log_slope(states)

    @cached_property
    def _exact(self) -> tuple[MarketFlow, ...]:
        return in_double(self.members)

    def latents(self, states: FloatArray) -> FloatArray:
        """Return the latents (..., D) of states (..., D); NaN where a state has a NaN."""
        return map_states(states, lambda rows: self.flow.eval().encode(rows.float())[0])

    def decoded(self, latents: FloatArray) -> FloatArray:
        """Return states (..., D) of latents (..., D): the inverse of `latents`."""
        return map_states(latents, lambda rows: self.flow.eval().decode(rows.float()))

    def unseen(self, panel: Panel) -> tuple[str, ...]:
        """Return assets of a panel that it was not trained on: their states are judged by those of the others."""
        return tuple(asset for asset in panel.assets if asset not in set(self.assets))

    def summary(self) -> dict[str, object]:
        """Return its figures as plain JSON types."""
        return {
            "flow": self.flow.config.kind,
            "base": self.flow.config.base,
            "steps": " + ".join(map(str, self.flow.config.steps)),
            "members": len(self.members),
            "parameters": sum(p.numel() for p in self.flow.parameters()),
            "features": len(self.features),
            "nll_train_nats": self.nll_train,
            "nll_validation_nats": self.nll_validation,
            "bits_per_dim": bits_per_dim(self.nll_validation, len(self.features)),
            "epochs": sum(len(history) for history in self.histories),
            "trained_until": str(self.trained_until)[:16],
            "panel": self.panel_id,
            "seed": self.config.seed,
        }


def in_double(members: Sequence[MarketFlow]) -> tuple[MarketFlow, ...]:
    """Return copies in double precision.

    In single precision what a flow says of a state depends, in its last bits, on how many others are asked for with it;
    a threshold makes more of that, and a bar alone would be gated otherwise than among its history.
    """
    return tuple(copy.deepcopy(member).double().eval() for member in members)


def state_likelihood(members: Sequence[MarketFlow], states: FloatArray) -> FloatArray:
    """Return log-likelihood in nats, of the equal mixture of flows, of states (..., D); NaN where one has a NaN."""
    dtype = next(members[0].parameters()).dtype
    return map_states(states, lambda rows: ensemble_likelihood(members, rows.to(dtype)).unsqueeze(-1))[..., 0]


@torch.no_grad()
def map_states(states: FloatArray, work: Callable[[Tensor], Tensor]) -> FloatArray:
    """Apply `work` to the known rows of (..., D), in batches of doubles; unknown rows stay NaN."""
    flat = states.reshape(-1, states.shape[-1])
    known = np.isfinite(flat).all(axis=1)
    rows = torch.from_numpy(flat[known])
    if not len(rows):
        return np.full(states.shape, np.nan)
    done = torch.cat([work(part) for part in torch.split(rows, _BATCH)]).double().numpy()
    out = np.full((len(flat), done.shape[1]), np.nan)
    out[known] = done
    return out.reshape(*states.shape[:-1], done.shape[1])


@dataclass(frozen=True)
class DensityPlan:
    """What to fit: how flows are trained, their shape, of what states, and how many; member k has the seeds plus k."""

    config: TrainConfig
    flow: FlowConfig = field(default_factory=FlowConfig)
    features: tuple[Feature, ...] = STATE_FEATURES
    members: int = MEMBERS


def fit_density(
    panel: Panel,
    train: slice,
    calibration: slice,
    plan: DensityPlan,
    *,
    progress: Progress | None = None,
    resume: Path | None = None,
    start: StateDensity | None = None,
) -> StateDensity:
    """Fit flows on the rows `train`, stopped early by the rows `calibration`; no other row of the panel is looked at.

    Features that are constant on train, or copies of others, are left out, and a flow too large for the data is made
    smaller; `notes` say so. `start` is an earlier fit to begin from, where its features and shape are the same.

    Raises
    ------
    InputError
        When too little is known on the rows, or no flow can be trained on it.
    """
    seen = panel.rows(0, calibration.stop)
    kept, values, sentences = _kept_features(build_features(seen, plan.features), train, plan.features)
    x_raw = known_rows(values[train])
    if not len(x_raw):
        raise InputError("no complete market state on the train split", "are volume and prices all there?")
    flow, config, fitted = fitting(plan.flow, plan.config, len(kept), len(x_raw))
    standardiser = fit_standardiser(values[train], limits_of(kept))
    # Training draws its own noise, again for each batch.
    x_train, x_calibration = standardiser.apply(x_raw), known_rows(prepared(values, standardiser, seen)[calibration])
    same = start is not None and start.features == kept and replace(start.flow.config, seed=0) == replace(flow, seed=0)
    begin = start.members if start is not None and same else None
    trained = train_ensemble(x_train, x_calibration, config, flow, plan.members, progress, resume=resume, start=begin)
    models = tuple(one.model for one in trained)
    half, slope = 0.5 * config.noise, standardiser.tails.log_slope
    return StateDensity(
        members=models,
        features=kept,
        asked=tuple(plan.features),
        standardiser=standardiser,
        low=x_train.min(axis=0) - half,
        high=x_train.max(axis=0) + half,
        config=config,
        histories=tuple(one.history for one in trained),
        nll_train=float(np.mean([one.nll_train for one in trained]) - slope(x_train).mean()),
        nll_validation=float(-np.mean(state_likelihood(models, x_calibration) + slope(x_calibration))),
        panel_id=panel.id,
        assets=panel.assets,
        trained_until=panel.times[calibration.stop - 1],
        notes=(*sentences, *fitted, *_skipped(sum(one.skipped for one in trained))),
    )


def _kept_features(
    values: FloatArray, train: slice, features: Sequence[Feature]
) -> tuple[tuple[Feature, ...], FloatArray, tuple[str, ...]]:
    """Return the features that vary on train and are no copies, their values (T, N, D), and what was left out."""
    if not np.isfinite(values[train]).any():
        raise InputError("no market state is known on the train split", "are volume and prices all there?")
    found = inspect_features(values[train], [feature.name for feature in features])
    return tuple(features[k] for k in found.kept), values[..., list(found.kept)], tuple(found.sentences())


def fitting(
    flow: FlowConfig, config: TrainConfig, dim: int, rows: int
) -> tuple[FlowConfig, TrainConfig, tuple[str, ...]]:
    """Return a flow and a training for this many features and rows, and what had to be changed.

    What cannot be halved keeps one level; couplings get narrower until parameters are a quarter of the numbers that
    they are learned from; batches shrink until there are some to an epoch.

    Raises
    ------
    InputError
        When there are too few rows for the smallest.
    """
    if rows < _LEAST_ROWS:
        raise InputError(
            f"too few market states to train on: {rows}, and {_LEAST_ROWS} are the least",
            "the flow needs more bars or assets; mine with --no-gate meanwhile",
        )
    notes = []
    halvings = len(flow.steps) - 1
    flow = replace(flow, dim=dim if dim % 2**halvings == 0 and dim // 2**halvings >= 2 else flow.dim)
    if flow.dim != dim:
        notes.append(f"{dim} features cannot be halved {halvings} times: all steps are in one level")
        flow = replace(flow, dim=dim, steps=(sum(flow.steps),))
    hidden, allowed = flow.hidden, int(_PARAMETERS_PER_NUMBER * min(rows, config.max_rows) * dim)
    while (size := _size(flow)) > allowed and flow.hidden > _LEAST_HIDDEN:
        flow = replace(flow, hidden=max(_LEAST_HIDDEN, int(0.7 * flow.hidden)))
    while (size := _size(flow)) > allowed and sum(flow.steps) > len(flow.steps):
        flow = replace(flow, steps=tuple(max(1, steps // 2) for steps in flow.steps))
    if size > allowed:
        raise InputError(
            f"too few market states to train on: {rows} of {dim} features carry {allowed} parameters at most, the "
            f"smallest flow has {size}",
            "the flow needs more bars or assets; mine with --no-gate meanwhile",
        )
    if flow.hidden != hidden:
        notes.append(
            f"{rows} states are few: couplings are {flow.hidden} wide, not {hidden}, in {sum(flow.steps)} steps "
            f"({size} parameters)"
        )
    return flow, replace(config, batch=min(config.batch, max(64, rows // 4))), tuple(notes)


def _size(flow: FlowConfig) -> int:
    return sum(p.numel() for p in make_flow(flow).parameters())


def _skipped(count: int) -> tuple[str, ...]:
    return (f"{count} steps of training were not finite, and were left out",) if count else ()
