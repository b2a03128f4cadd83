"""Storing a gate: weights, ActNorm flags, standardiser and thresholds in one file."""

from __future__ import annotations

import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from flows.gate import RegimeGate
from flows.glow import Glow
from flows.state import Standardiser
from flows.train import Epoch, TrainConfig
from market.errors import InputError
from market.store import write_atomically

_VERSION = 1
_FIGURES = (
    "percentile", "threshold", "full", "coverage", "train_shut", "validation_shut", "nll_train", "nll_validation",
    "panel_id",
)  # fmt: skip


def save_gate(gate: RegimeGate, path: Path) -> None:
    """Write the gate to `path`, whole or not at all."""
    document = {
        "version": _VERSION,
        "weights": gate.model.state_dict(),
        "config": asdict(gate.config),
        "dim": gate.model.dim,
        "mean": torch.from_numpy(gate.standardiser.mean),
        "std": torch.from_numpy(gate.standardiser.std),
        "clip": gate.standardiser.clip,
        "history": [asdict(epoch) for epoch in gate.history],
        **{name: getattr(gate, name) for name in _FIGURES},
    }
    write_atomically(path, lambda target: torch.save(document, target))


def load_gate(path: Path) -> RegimeGate:
    """Read a gate; only tensors and plain values are unpickled, and anything else is an `InputError`."""
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"no gate at {path}", "train one: alphaglow gate train") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path} is not a gate: {(str(error) or type(error).__name__).splitlines()[0][:120]}", "train it again"
        ) from error
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise InputError(f"{path} was written by another version of alphaglow", "train it again: alphaglow gate train")
    config = TrainConfig(**document["config"])
    model = Glow(document["dim"], config.levels, config.flow_steps, config.hidden, config.seed)
    try:
        model.load_state_dict(document["weights"])
    except RuntimeError as error:
        raise InputError(
            f"{path} is damaged: its weights do not fit", "train it again: alphaglow gate train"
        ) from error
    model.eval()
    standardiser = Standardiser(
        np.asarray(document["mean"].numpy()), np.asarray(document["std"].numpy()), float(document["clip"])
    )
    history = tuple(Epoch(**epoch) for epoch in document["history"])
    return RegimeGate(
        model=model,
        config=config,
        standardiser=standardiser,
        history=history,
        **{name: document[name] for name in _FIGURES},
    )
