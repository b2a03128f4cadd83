"""Where a workspace keeps its gates, and training one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.study import narrowed, split_of
from agent.workspace import Workspace
from market.panel import Panel
from market.split import loop_panel

if TYPE_CHECKING:
    from flows.gate import RegimeGate


def gate_path(workspace: Workspace, data_name: str) -> Path:
    """Return where the gate of a data set is stored."""
    return workspace.root / "models" / f"{data_name}.gate.npz"


def train_gate(
    whole: Panel,
    workspace: Workspace,
    data_name: str,
    progress: Callable[[int, int, float, float], None] | None = None,
) -> RegimeGate:
    """Train the gate on the train split, set its threshold on validation, and store the checkpoint.

    `progress` is called with (epoch, epochs, train NLL, validation NLL), in nats.
    """
    from factors.features import STATE_FEATURES, Feature
    from flows.checkpoint import save_gate
    from flows.gate import fit_gate
    from flows.model import FlowConfig
    from flows.train import TrainConfig

    settings = workspace.settings
    split, _ = split_of(whole, settings)
    flow = FlowConfig(
        kind=settings.gate.model, steps=settings.gate.steps, hidden=settings.gate.hidden, seed=settings.loop.seed
    )
    config = TrainConfig(
        epochs=settings.gate.epochs,
        max_rows=settings.gate.max_rows,
        seed=settings.loop.seed,
    )
    gate = fit_gate(
        loop_panel(narrowed(whole, settings), split),
        split,
        config,
        flow,
        features=tuple(Feature(text, text) for text in settings.gate.features) or STATE_FEATURES,
        percentile=settings.gate.percentile,
        side=settings.gate.side,
        hysteresis=settings.gate.hysteresis,
        progress=progress,
    )
    workspace.folder("models")
    save_gate(gate, gate_path(workspace, data_name))
    return gate
