"""Storing a gate: weights, normaliser, thresholds and what they were made from, in one file that holds no code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from factors.features import Feature
from flows.density import StateDensity
from flows.drawdown import StateForecast
from flows.exposure import Thresholds
from flows.fit_rules import FlowConfig, GateRules, TrainConfig
from flows.flow_model import MarketFlow, make_flow
from flows.gate import GateFit, GateSource, RegimeGate
from flows.reference import Conditioning, Gaussian, Reference
from flows.state import Standardiser
from flows.tails import Tails
from flows.tensor_file import flattened, load_weights, under
from flows.train import Epoch
from market.array_file import Arrays, read_archive, write_archive
from market.errors import InputError

# Gates before this one clipped their states: what they said of tails cannot be read from their files.
_VERSION = 6
_SAMPLE = "source/sample"
REMEDY = "fit it again: alphaglow flow fit"


def save_gate(gate: RegimeGate, path: Path) -> None:
    """Write the gate to `path`, whole or not at all."""
    stored = [_fit_parts(fit, f"fit{number}/") for number, fit in enumerate(gate.fits)]
    document = {
        "version": _VERSION,
        "panel_id": gate.panel_id,
        "rules": asdict(gate.rules),
        "fits": [document for document, _ in stored],
        "libraries": {name: version(name) for name in ("alphaglow", "torch", "numpy")},
    }
    parts = {name: value for _, arrays in stored for name, value in arrays.items()}
    if gate.source is not None:
        document["bars"] = gate.source.bars
        parts[_SAMPLE] = np.frombuffer(gate.source.sample, dtype=np.uint8)
    write_archive(path, document, parts)


def load_gate(path: Path) -> RegimeGate:
    """Read a gate of this version; whatever else is an `InputError`."""
    document, arrays = read_archive(path, "gate", REMEDY)
    number = document.get("version")
    if isinstance(number, int) and number < _VERSION:
        raise InputError(f"{path} was fitted by an earlier version of alphaglow, whose states had no tails", REMEDY)
    if number != _VERSION:
        raise InputError(f"{path} was written by another version of alphaglow", REMEDY)
    try:
        fits = tuple(_fit_of(fit, arrays, f"fit{k}/", path) for k, fit in enumerate(document["fits"]))
        # Gates fitted before data sets had a lineage lack it.
        source = GateSource(int(document["bars"]), arrays[_SAMPLE].tobytes()) if _SAMPLE in arrays else None
        return RegimeGate(fits, GateRules(**document["rules"]), document["panel_id"], source)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a gate: {type(error).__name__} {error}"[:160], REMEDY) from error


def _fit_parts(fit: GateFit, at: str) -> tuple[dict[str, object], Arrays]:
    density, thresholds = fit.density, fit.thresholds
    reference, arrays = _reference_parts(fit.reference, at)
    for name in ("low", "high"):
        arrays[at + name] = getattr(density, name)
    scale = density.standardiser
    arrays |= {at + "mean": scale.mean, at + "std": scale.std, at + "tails": scale.tails.stacked()}
    for number, member in enumerate(density.members):
        arrays |= flattened(member.state_dict(), f"{at}member{number}/")
    document: dict[str, object] = {
        "flows": [member.config.to_dict() for member in density.members],
        "features": _listed(density.features),
        "asked": _listed(density.asked),
        "config": asdict(density.config),
        "histories": [[asdict(epoch) for epoch in history] for history in density.histories],
        "nll": [density.nll_train, density.nll_validation],
        "panel_id": density.panel_id,
        "assets": list(density.assets),
        "trained_until": str(density.trained_until),
        "notes": list(density.notes),
        "reference": reference,
        # JSON has no infinity.
        "thresholds": {f.name: _finite(getattr(thresholds, f.name)) for f in fields(Thresholds)},
        "since": None if fit.since is None else str(fit.since),
        "trained": [str(time) for time in fit.trained],
        "calibrated": [str(time) for time in fit.calibrated],
        "shut": [fit.train_shut, fit.calibration_shut],
    }
    return document, arrays


def _fit_of(document: Mapping[str, Any], arrays: Arrays, at: str, path: Path) -> GateFit:
    members = tuple(
        _flow_of(flow, arrays, f"{at}member{number}/", path) for number, flow in enumerate(document["flows"])
    )
    density = StateDensity(
        members=members,
        features=tuple(Feature(*parts) for parts in document["features"]),
        asked=tuple(Feature(*parts) for parts in document["asked"]),
        standardiser=Standardiser(arrays[at + "mean"], arrays[at + "std"], Tails(*arrays[at + "tails"])),
        low=arrays[at + "low"],
        high=arrays[at + "high"],
        config=TrainConfig(**document["config"]),
        histories=tuple(tuple(Epoch(**epoch) for epoch in history) for history in document["histories"]),
        nll_train=document["nll"][0],
        nll_validation=document["nll"][1],
        panel_id=document["panel_id"],
        assets=tuple(document["assets"]),
        trained_until=np.datetime64(document["trained_until"]),
        notes=tuple(document["notes"]),
    )
    thresholds = {
        **document["thresholds"],
        "interval": tuple(document["thresholds"]["interval"]),
        "daily": tuple(document["thresholds"]["daily"]),
    }
    for name in ("ceiling", "ceiling_full"):
        thresholds[name] = math.inf if thresholds[name] is None else thresholds[name]
    return GateFit(
        density,
        _reference_of(document["reference"], arrays, at, path),
        Thresholds(**thresholds),
        None if document["since"] is None else np.datetime64(document["since"]),
        _span(document["trained"]),
        _span(document["calibrated"]),
        *document["shut"],
    )


def _flow_of(config: Mapping[str, Any], arrays: Arrays, at: str, path: Path) -> MarketFlow:
    model = make_flow(FlowConfig(**{**config, "steps": tuple(config["steps"])}))
    load_weights(model, under(arrays, at), path, REMEDY)
    return model.eval()


def _reference_parts(reference: Reference, at: str) -> tuple[dict[str, object] | None, Arrays]:
    if reference is None:
        return None, {}
    if isinstance(reference, Gaussian):
        return {"kind": "gaussian"}, {at + "gauss/mean": reference.mean, at + "gauss/cov": reference.covariance}
    if isinstance(reference, StateForecast):
        places = {"columns": list(reference.columns), "moves": list(reference.moves)}
        return {"kind": "forecast", **places, "offset": reference.offset}, {at + "forecast": reference.weights}
    document: dict[str, object] = {
        "kind": "conditioning",
        "flow": reference.flow.config.to_dict(),
        "columns": list(reference.columns),
    }
    return document, flattened(reference.flow.state_dict(), at + "given/")


def _reference_of(document: Mapping[str, Any] | None, arrays: Arrays, at: str, path: Path) -> Reference:
    if document is None:
        return None
    if document["kind"] == "gaussian":
        return Gaussian(arrays[at + "gauss/mean"], arrays[at + "gauss/cov"])
    if document["kind"] == "forecast":
        columns, moves = tuple(document["columns"]), tuple(document["moves"])
        return StateForecast(columns, moves, arrays[at + "forecast"], document["offset"])
    return Conditioning(_flow_of(document["flow"], arrays, at + "given/", path), tuple(document["columns"]))


def _span(times: Sequence[str]) -> tuple[np.datetime64, np.datetime64]:
    first, last = times
    return np.datetime64(first), np.datetime64(last)


def _listed(features: tuple[Feature, ...]) -> list[list[str]]:
    return [[feature.name, feature.text, feature.note] for feature in features]


def _finite(value: Any) -> Any:  # noqa: ANN401 - a figure, or a tuple of them
    return None if isinstance(value, float) and not math.isfinite(value) else value
