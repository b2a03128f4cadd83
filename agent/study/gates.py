"""Where a workspace keeps its gates, and fitting one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.study.cutting import FrozenSplit, loop_part, split_of
from agent.study.settings import Settings
from agent.study.study import narrowed
from agent.study.workspace import Workspace
from market.lineage import signature
from market.panel import Panel

if TYPE_CHECKING:
    from flows.gate import GatePlan, RegimeGate


def gate_path(workspace: Workspace, data_name: str) -> Path:
    """Return where the gate of a data set is stored."""
    return workspace.root / "models" / f"{data_name}.gate.npz"


def gate_plan(settings: Settings, panel: Panel) -> GatePlan:
    """Return what the settings want fitted on a panel."""
    from flows.fit_rules import FlowConfig, GateRules, TrainConfig
    from flows.gate import GatePlan

    gate, seed = settings.gate, settings.loop.seed
    names = ("percentile", "side", "hysteresis", "window", "scope", "measure", "exposure")
    return GatePlan(
        GateRules(**{name: getattr(gate, name) for name in names}),
        FlowConfig(
            kind=gate.model, base=gate.base, steps=gate.steps, hidden=gate.hidden, actnorm=gate.actnorm, seed=seed
        ),
        TrainConfig(
            epochs=gate.epochs,
            lr=gate.lr,
            max_rows=gate.max_rows,
            ema=gate.ema,
            threads=gate.threads,
            device=gate.device,
            seed=seed,
        ),
        gate.asked(),
        gate.given,
        gate.members,
        round(gate.refit_days * panel.bars_per_year / 365),
    )


def train_gate(
    whole: Panel,
    workspace: Workspace,
    data_name: str,
    progress: Callable[[int, int, float, float], None] | None = None,
    asked: Mapping[str, object] | None = None,
    frozen: FrozenSplit | None = None,
) -> RegimeGate:
    """Fit the gate on train, calibrate it on validation (or by dated refits), and store the checkpoint.

    `frozen` are the dates at which the data are cut, once a run has begun on them.

    `progress` is called with (epoch, epochs, train NLL, validation NLL), in nats. A fit that is stopped goes on from
    its last epoch when it is asked for again. `asked` takes the place of settings of the gate.
    """
    from flows.checkpoint import save_gate
    from flows.gate import GateSource, fit_gate

    settings = workspace.settings
    if asked:
        gate_settings = type(settings.gate).model_validate({**settings.gate.model_dump(), **asked})
        settings = settings.model_copy(update={"gate": gate_settings})
    split, _ = split_of(whole, settings, frozen)
    panel = loop_part(narrowed(whole, settings), split, frozen)
    path = gate_path(workspace, data_name)
    workspace.folder("models")
    fitted = fit_gate(panel, split, gate_plan(settings, panel), progress, resume=path.with_suffix(".training"))
    gate = replace(fitted, source=GateSource(len(whole.times), signature(whole).to_bytes()))
    save_gate(gate, path)
    return gate
