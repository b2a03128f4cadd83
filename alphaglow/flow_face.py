"""The flow of a panel: how usual its states are, the gate that follows, scenarios and risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from agent.flow.opened import OpenFlow
from agent.study.settings import GateSettings, Settings
from agent.study.study import Study, cut_study
from agent.study.workspace import Workspace as Folder
from alphaglow.notebook import bar
from market.errors import InputError
from market.panel import Panel
from market.panel_frames import framed

if TYPE_CHECKING:
    from agent.review.findings import Findings


@dataclass(frozen=True, eq=False, repr=False)
class Found:
    """What was asked of a flow: sentences, tables, and a document for machines.

    Attributes
    ----------
    lead
        The answer in a sentence.
    tables
        By their titles; cells are written as people read them.
    document
        The same figures as plain types.
    """

    lead: str
    sentences: tuple[str, ...]
    tables: Mapping[str, pd.DataFrame]
    document: Mapping[str, Any]

    def __repr__(self) -> str:
        """Return the lead and the names of the tables."""
        return f"Found({self.lead!r}; tables {', '.join(self.tables)})"

    def _repr_html_(self) -> str:
        tables = "".join(f"<h4>{escape(title)}</h4>{one.to_html(index=False)}" for title, one in self.tables.items())
        said = "".join(f"<li>{escape(one)}</li>" for one in self.sentences)
        return f"<div><p><b>{escape(self.lead)}</b></p><ul>{said}</ul>{tables}</div>"


class Flow:
    """A normalising flow that was fitted on a panel's market states, with its gate.

    It was fitted on train, and its threshold set on validation; `ag.evaluate(panel, signal, flow=flow)` trades behind
    it. `Workspace.fit_flow` stores one.
    """

    def __init__(self, opened: OpenFlow) -> None:
        self.opened = opened

    @classmethod
    def fit(cls, panel: Panel, *, progress: bool | None = None, **settings: object) -> Flow:
        """Fit a flow on the train bars of a panel.

        Parameters
        ----------
        settings
            Settings of ``[gate]`` in the place of their defaults, such as ``epochs=30``, ``model="realnvp"``,
            ``members=1``, ``refit_days=0``.
        """
        from agent.study.gates import gate_plan
        from flows.gate import fit_gate

        whole = Settings()
        whole = whole.model_copy(update={"gate": _gate_settings(settings)})
        study = cut_study(panel, whole)
        with bar(progress) as tick:
            gate = fit_gate(
                study.panel, study.split, gate_plan(whole, study.panel), lambda done, of, *_: tick("flow", done, of)
            )
        gated = _behind(study, gate)
        return cls(OpenFlow(panel.name, panel, gated, gate, Path("unstored.gate.npz"), Folder(Path())))

    @property
    def panel(self) -> Panel:
        """Train and validation of the panel that it was fitted on."""
        return self.opened.panel

    @property
    def gate(self) -> pd.DataFrame:
        """Exposures in [0, 1], times by assets, each from its bar and earlier ones; 0 is shut, also without a state."""
        exposures = self.opened.study.exposures
        assert exposures is not None
        return framed(exposures, self.panel)

    @property
    def log_likelihood(self) -> pd.DataFrame:
        """How usual states are, in nats, averaged as the gate's rules say: times by assets, NaN in the warm-up."""
        return framed(self.opened.gate.by_likelihood().log_likelihood(self.panel), self.panel)

    def summary(self) -> pd.Series[Any]:
        """Return what was fitted and how it went: features, likelihoods, thresholds, coverage."""
        return pd.Series(self.opened.gate.summary(), name=self.opened.name)

    def gates(self, panel: Panel) -> pd.DataFrame:
        """Return exposures on another panel of the same kind, such as newer bars of the same assets."""
        return framed(self.opened.gate.exposures(panel), panel)

    def scenarios(
        self,
        asset: str | None = None,
        *,
        count: int = 500,
        steps: int = 24,
        temperature: float = 1.0,
        neighbours: int = 50,
        seed: int = 7,
    ) -> Found:
        """Draw states, and paths from an asset's newest state (the most traded one, if none is named)."""
        from agent.flow.scenario_study import Draws, draw_scenarios

        return _found(draw_scenarios(self.opened, Draws(count, steps, seed, asset, temperature, neighbours)))

    def risk(self, factors: Sequence[str] = (), assets: Sequence[str] = ()) -> Found:
        """Return value at risk and expected shortfall of portfolios, now and tested on the bars held out."""
        from agent.flow.risk_study import measure_risk

        return _found(measure_risk(self.opened, factors, assets))

    def __repr__(self) -> str:
        """Return the panel's name and how often the gate is shut."""
        shut = float(np.mean(self.gate.to_numpy()[self.panel.universe] == 0.0))
        return f"Flow({self.opened.name!r}: shut in {shut:.1%} of states)"

    def _repr_html_(self) -> str:
        return f"<div><b>{escape(repr(self))}</b>{self.summary().to_frame().to_html()}</div>"


def gated_study(study: Study, flow: Flow) -> Study:
    """Return a study behind the gate of a flow; a gate of other features is computed on the study's own panel."""
    if flow.panel.id == study.panel.id:
        mine = flow.opened.study
        return replace(study, exposures=mine.exposures, log_likelihood=mine.log_likelihood, threshold=mine.threshold)
    return _behind(study, flow.opened.gate)


def _behind(study: Study, gate: Any) -> Study:  # noqa: ANN401 - a `RegimeGate`, whose import takes torch
    likelihood = gate.log_likelihood(study.panel)
    exposures = gate.exposures_of(likelihood, study.panel)
    return replace(study, exposures=exposures, log_likelihood=likelihood, threshold=gate.thresholds(study.panel))


def _gate_settings(asked: Mapping[str, object]) -> GateSettings:
    from pydantic import ValidationError

    unknown = [name for name in asked if name not in GateSettings.model_fields]
    if unknown:
        raise InputError(f"no setting of the gate {unknown[0]!r}", f"there are {', '.join(GateSettings.model_fields)}")
    try:
        return GateSettings.model_validate(dict(asked))
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{first['loc'][0]}: {first['msg']}", "see docs/settings.md, [gate]") from error


def _found(findings: Findings) -> Found:
    tables = {one.title: pd.DataFrame(list(one.rows), columns=list(one.columns)) for one in findings.grids}
    return Found(findings.lead, tuple(findings.sentences), tables, findings.document)
