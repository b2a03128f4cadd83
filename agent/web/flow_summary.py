"""What is on the disk of a data set's flow: its regimes, and the pages that were written; nothing is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from markupsafe import Markup

from agent.study.gates import gate_path
from agent.study.workspace import Workspace
from flows.regime_store import load_regimes, regimes_path
from flows.regimes import Labels, RegimeModel, facts
from market.errors import InputError

_PAGES = (
    ("regimes", "Regimes"),
    ("scenarios", "Scenarios"),
    ("risk", "Risk"),
    ("backtest", "What the gate is worth"),
    ("signal", "Signals"),
    ("eval", "Likelihood and calibration"),
)
# Shares are taken over this part of the bars: short enough to show turns, long enough to be read.
_STRIPES = 40


@dataclass(frozen=True)
class RegimeRow:
    """One regime: its share of bars, how many bars a stay has, and where it leads with which chance a bar."""

    name: str
    share: float
    stay: float
    then: str
    chance: float


@dataclass(frozen=True)
class FlowPage:
    """A page that a command writes: its file, empty where there is none yet, and when it was written (UTC)."""

    title: str
    command: str
    file: str
    when: str


@dataclass(frozen=True)
class FlowSummary:
    """A data set's flow as it was stored.

    Attributes
    ----------
    last
        The regime of the last bar.
    fault
        Why there are no regimes.
    areas, bars
        The share of each regime over the last `bars` bars, as a picture (SVG); None where nothing was labelled.
    """

    name: str
    regimes: tuple[RegimeRow, ...]
    last: str
    stability: float
    fault: str
    pages: tuple[FlowPage, ...]
    areas: Markup | None = None
    bars: int = 0


def summarise_flow(workspace: Workspace, name: str, written: Sequence[str]) -> FlowSummary:
    """Return what is stored of a data set's flow; `written` are the names of the pages in the folder of reports."""
    pages = []
    for word, title in _PAGES:
        file = f"{name}-flow-{word}.html"
        there = file in written
        when = _when(workspace, file) if there else ""
        pages.append(FlowPage(title, f"alphaglow flow {word} --data {name}", file if there else "", when))
    path = regimes_path(gate_path(workspace, name))
    nothing = FlowSummary(name, (), "", float("nan"), "", tuple(pages))
    if not path.is_file():
        return nothing
    try:
        model, labels, _ = load_regimes(path)
    except InputError as error:
        return replace(nothing, fault=str(error))
    last = model.names[int(labels[-1])] if len(labels) and labels[-1] >= 0 else ""
    bars = max(1, round((labels >= 0).sum() / _STRIPES))
    areas = _areas(workspace, name, model.names, labels, bars)
    return replace(nothing, regimes=_rows(model, labels), last=last, stability=model.stability, areas=areas, bars=bars)


def _rows(model: RegimeModel, labels: Labels) -> tuple[RegimeRow, ...]:
    rows = []
    for k, row in enumerate(facts(model, labels, {})):
        leaves = np.where(np.arange(model.count) == k, -1.0, model.transition[k])
        to = int(leaves.argmax())
        share, stay = float(str(row["share"])), float(str(row["bars"]))
        rows.append(RegimeRow(model.names[k], share, stay, model.names[to], float(model.transition[k, to])))
    return tuple(rows)


def _areas(workspace: Workspace, name: str, names: Sequence[str], labels: Labels, bars: int) -> Markup | None:
    """Draw the share of each regime over time: of the labelled bars, by the stored times of the data set's bars."""
    from agent.flow.flow_pictures import regime_areas
    from market.panel_store import load_fields

    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return None
    first = int(known[0])
    try:
        times = load_fields(workspace.stored_path(name), []).times[first : len(labels)]
    except InputError:
        # The page shows what is stored of a flow, also where its data set cannot be read.
        return None
    shown = labels[first : first + len(times)]
    # The picture escapes the names.
    return Markup(regime_areas(times, names, [shown == k for k in range(len(names))], bars))


def _when(workspace: Workspace, file: str) -> str:
    changed = (workspace.root / "reports" / file).stat().st_mtime
    return datetime.fromtimestamp(changed, UTC).strftime("%Y-%m-%d %H:%M")
