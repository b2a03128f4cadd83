"""`alphaglow gate train|show`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
import numpy as np

from agent.cli.common import data_option, json_option, number, print_json, progress_bar, stdout, table, workspace_of
from market.errors import InputError

# How far the share that is shut may stray from what is meant before it is called drift.
_BAND = 4.0


@click.group()
def gate() -> None:
    """Train and show the GLOW regime gate."""


@gate.command()
@data_option
@json_option
@click.pass_context
def train(ctx: click.Context, data_name: str | None, as_json: bool) -> None:
    """Train GLOW on the train split and store the checkpoint."""
    from agent.gating import gate_path, train_gate

    workspace = workspace_of(ctx)
    path = workspace.resolve_data(data_name)
    whole = workspace.load_panel(data_name)
    with progress_bar() as bar:
        task = bar.add_task("market state", total=None)

        def tick(epoch: int, epochs: int, nll_train: float, nll_validation: float) -> None:
            text = f"GLOW: NLL {nll_train:.3f} train, {nll_validation:.3f} validation (nats)"
            bar.update(task, description=text, completed=epoch, total=epochs)

        trained = train_gate(whole, workspace, path.stem, tick)
    facts = trained.summary()
    if as_json:
        print_json({"checkpoint": str(gate_path(workspace, path.stem)), **facts})
        return
    rows = [
        [key, value if isinstance(value, str) else number(_float(value), 4)]
        for key, value in facts.items()
        if key != "notes"
    ]
    stdout().print(table(f"Gate of {path.stem}", ["", "value"], rows))
    for note in trained.notes:
        stdout().print(f"feature: {note}", soft_wrap=True, markup=False)


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


@gate.command()
@data_option
@json_option
@click.option("--periods", default=24, show_default=True, help="Rows of the table over time.")
@click.pass_context
def show(ctx: click.Context, data_name: str | None, as_json: bool, periods: int) -> None:
    """Show likelihood and gate over time (train and validation)."""
    from agent.gating import gate_path
    from agent.study import open_study

    workspace = workspace_of(ctx)
    path = workspace.resolve_data(data_name)
    checkpoint = gate_path(workspace, path.stem)
    if not checkpoint.is_file():
        raise InputError(f"no gate for {path.stem!r}", f"train one: alphaglow gate train --data {path.stem}")
    study = open_study(workspace.load_panel(data_name), workspace.settings, gate_path=checkpoint)
    assert study.exposures is not None
    assert study.log_likelihood is not None
    periods = max(1, min(periods, len(study.panel.times)))
    rows = []
    for chunk in np.array_split(np.arange(len(study.panel.times)), periods):
        likelihood = study.log_likelihood[chunk]
        known = np.isfinite(likelihood)
        share = study.exposures[chunk][known]
        rows.append(
            {
                "from": str(study.panel.times[chunk[0]])[:16],
                "segment": "train" if chunk[0] < study.split.train.stop else "validation",
                "median_nats": float(np.median(likelihood[known])) if known.any() else None,
                "p5_nats": float(np.percentile(likelihood[known], 5)) if known.any() else None,
                "exposure": float(share.mean()) if known.any() else None,
                "shut": float((share == 0).mean()) if known.any() else None,
            }
        )
    drift = _drift(rows, workspace.settings.gate.percentile / 100.0)
    if as_json:
        print_json({"data": study.dataset, "threshold_nats": study.threshold, "periods": rows, "drift": drift})
        return
    width = 24
    drawn = [
        [
            str(row["from"]),
            str(row["segment"]),
            "█" * round(width * (_float(row["exposure"]) or 0.0)),
            number(_float(row["median_nats"])),
            number(_float(row["p5_nats"])),
            number(_float(row["exposure"]), 1, percent=True),
            number(_float(row["shut"]), 1, percent=True),
        ]
        for row in rows
    ]
    title = f"Gate of {path.stem}: shut below {number(study.threshold)} nats"
    stdout().print(
        table(title, ["from", "segment", "exposure", "median nats", "5 % nats", "mean", "shut"], drawn, left=3)
    )
    if drift is not None:
        stdout().print(drift, soft_wrap=True)


def _drift(rows: Sequence[Mapping[str, object]], meant: float) -> str | None:
    """Say when the share that is shut has left its band; hours are not independent, so the band is wide."""
    last = next((row for row in reversed(rows) if row["shut"] is not None), None)
    share = None if last is None else _float(last["shut"])
    if last is None or share is None or meant / _BAND <= share <= meant * _BAND:
        return None
    return (
        f"since {last['from']} the gate is shut in {share:.1%} of states, {meant:.1%} are meant: the market has left "
        "what it was trained on; train it again: alphaglow gate train"
    )
