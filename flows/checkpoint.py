"""Storing a gate: weights, normaliser, thresholds and what they were made from, in one file that holds no code.

It is an archive of plain arrays and one JSON text; nothing in it is ever unpickled.
"""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from factors.features import Feature
from flows.gate import RegimeGate
from flows.model import FlowConfig, MarketFlow
from flows.state import Standardiser
from flows.train import Epoch, TrainConfig
from market.errors import InputError
from market.store import write_atomically

_VERSION = 3
_WEIGHT = "weight/"
_FIGURES = (
    "percentile", "threshold", "full", "coverage", "train_shut", "validation_shut", "nll_train", "nll_validation",
    "panel_id", "hysteresis",
)  # fmt: skip


def save_gate(gate: RegimeGate, path: Path) -> None:
    """Write the gate to `path`, whole or not at all."""
    document = {
        "version": _VERSION,
        "flow": gate.model.config.to_dict(),
        "config": asdict(gate.config),
        "features": [[feature.name, feature.text, feature.note] for feature in gate.features],
        "notes": list(gate.notes),
        "clip": gate.standardiser.clip,
        # JSON has no infinity.
        "ceiling": [gate.ceiling, gate.ceiling_full] if math.isfinite(gate.ceiling) else None,
        "history": [asdict(epoch) for epoch in gate.history],
        "libraries": {name: version(name) for name in ("alphaglow", "torch", "numpy")},
        **{name: getattr(gate, name) for name in _FIGURES},
    }
    weights = {_WEIGHT + name: value.cpu().numpy() for name, value in gate.model.state_dict().items()}
    arrays = {"mean": gate.standardiser.mean, "std": gate.standardiser.std, **weights}

    def write(target: Path) -> None:
        with target.open("wb") as file:
            np.savez(file, document=np.array(json.dumps(document)), **arrays)

    write_atomically(path, write)


def load_gate(path: Path) -> RegimeGate:
    """Read a gate; whatever is not one, or is of another version, is an `InputError`."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        document = json.loads(str(arrays.pop("document")))
    except FileNotFoundError as error:
        raise InputError(f"no gate at {path}", "train one: alphaglow gate train") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} is not a gate: {(str(error) or type(error).__name__).splitlines()[0][:120]}", "train it again"
        ) from error
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise InputError(f"{path} was written by another version of alphaglow", "train it again: alphaglow gate train")
    flow = document["flow"]
    model = MarketFlow(FlowConfig(**{**flow, "steps": tuple(flow["steps"])}))
    weights = {
        name.removeprefix(_WEIGHT): torch.from_numpy(value)
        for name, value in arrays.items()
        if name.startswith(_WEIGHT)
    }
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{path} is damaged: its weights do not fit", "train it again: alphaglow gate train"
        ) from error
    ceiling, ceiling_full = document["ceiling"] or (math.inf, math.inf)
    return RegimeGate(
        model=model.eval(),
        config=TrainConfig(**document["config"]),
        standardiser=Standardiser(arrays["mean"], arrays["std"], float(document["clip"])),
        features=tuple(Feature(*parts) for parts in document["features"]),
        notes=tuple(document["notes"]),
        ceiling=ceiling,
        ceiling_full=ceiling_full,
        history=tuple(Epoch(**epoch) for epoch in document["history"]),
        **{name: document[name] for name in _FIGURES},
    )
