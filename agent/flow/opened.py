"""A data set with the flow that was fitted on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from agent.study.opening import Note, no_note, open_data
from agent.study.study import Study, backtest_expression, read_expression
from agent.study.workspace import Workspace
from factors.engine import evaluate_all
from factors.tree import Expression
from flows.checkpoint import load_gate
from flows.density import StateDensity
from flows.gate import RegimeGate, rows_of
from flows.state import known_rows
from market.errors import InputError, Rejection
from market.panel import FloatArray, Panel


@dataclass(frozen=True, eq=False)
class OpenFlow:
    """What the commands work on.

    Attributes
    ----------
    name
        Of the data set.
    whole
        The panel with its newest bars, of which only the state of the last is ever read.
    study
        The data set cut for the loop: train and validation.
    """

    name: str
    whole: Panel
    study: Study
    gate: RegimeGate
    gate_file: Path
    workspace: Workspace

    @property
    def panel(self) -> Panel:
        """Train and validation."""
        return self.study.panel

    @property
    def density(self) -> StateDensity:
        """The newest density."""
        return self.gate.density

    @cached_property
    def states(self) -> FloatArray:
        """(T, N, D) states of train and validation to the newest density."""
        return self.density.states(self.panel)

    @cached_property
    def latents(self) -> FloatArray:
        """(T, N, D) latents of those states."""
        return self.density.latents(self.states)

    @property
    def trained_rows(self) -> slice:
        """Rows that the newest density was trained on."""
        return rows_of(self.panel, self.gate.latest.trained)

    @property
    def calibration_rows(self) -> slice:
        """Rows that its thresholds were set on."""
        return rows_of(self.panel, self.gate.latest.calibrated)

    def rng(self, number: int) -> np.random.Generator:
        """Return a generator of the workspace's seed, one for each use."""
        return np.random.default_rng([self.study.seed, number])

    def sample_rows(self, rows: slice, limit: int, number: int) -> FloatArray:
        """Return at most `limit` known states (M, D) of some rows."""
        known = known_rows(self.states[rows])
        if len(known) <= limit:
            return known
        return known[np.sort(self.rng(number).choice(len(known), limit, replace=False))]

    def warnings(self) -> tuple[str, ...]:
        """Say which assets the flow has never seen."""
        unseen = self.density.unseen(self.whole)
        return (f"never seen in training, judged by the states of others: {', '.join(unseen)}",) if unseen else ()

    def factor_weights(self, text: str) -> FloatArray:
        """Return (T, N) target weights of a factor; one that cannot be read or scored is an `InputError`."""
        made = backtest_expression(self.expression(text), self.study)
        if isinstance(made, Rejection):
            raise InputError(f"{text}: {made.one_line()}")
        return self.study.target.weights(np.where(self.panel.universe, made[0].values, np.nan))

    def expression(self, text: str) -> Expression:
        """Read an expression; one that cannot be read is an `InputError`."""
        expression = read_expression(text, self.study)
        if isinstance(expression, Rejection):
            raise InputError(f"{text}: {expression.one_line()}")
        return expression

    def values_of(self, text: str, panel: Panel | None = None) -> FloatArray:
        """Return (T, N) values of an expression on a panel, by default on train and validation."""
        return evaluate_all([self.expression(text)], self.panel if panel is None else panel)[0].values


def open_flow(workspace: Workspace, data_name: str | None, note: Note = no_note) -> OpenFlow:
    """Open a data set with its gate; without one it is an `InputError` that says how to fit it.

    `note` is called when the gate is due.
    """
    opened = open_data(workspace, data_name, neutral=True, note=note)
    if opened.gate_file is None:
        raise InputError(f"no flow for {opened.name!r}", f"fit one: alphaglow flow fit --data {opened.name}")
    return OpenFlow(opened.name, opened.whole, opened.study, load_gate(opened.gate_file), opened.gate_file, workspace)
