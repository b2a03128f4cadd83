"""What is on the disk of a data set's flow: its regimes, and the pages that were written; nothing is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from agent.study.gates import gate_path
from agent.study.workspace import Workspace
from flows.regime_store import load_regimes, regimes_path
from flows.regimes import facts
from market.errors import InputError

_PAGES = (
    ("regimes", "Regimes"),
    ("scenarios", "Scenarios"),
    ("risk", "Risk"),
    ("backtest", "What the gate is worth"),
    ("signal", "Signals"),
    ("eval", "Likelihood and calibration"),
)


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
    """A data set's flow as it was stored; `last` is the regime of the last bar, `fault` why there are no regimes."""

    name: str
    regimes: tuple[RegimeRow, ...]
    last: str
    stability: float
    fault: str
    pages: tuple[FlowPage, ...]


def summarise_flow(workspace: Workspace, name: str, written: Sequence[str]) -> FlowSummary:
    """Return what is stored of a data set's flow; `written` are the names of the pages in the folder of reports."""
    pages = []
    for word, title in _PAGES:
        file = f"{name}-flow-{word}.html"
        there = file in written
        when = _when(workspace, file) if there else ""
        pages.append(FlowPage(title, f"alphaglow flow {word} --data {name}", file if there else "", when))
    try:
        rows, last, stability = _regimes(workspace, name)
    except InputError as error:
        return FlowSummary(name, (), "", float("nan"), str(error), tuple(pages))
    return FlowSummary(name, rows, last, stability, "", tuple(pages))


def _regimes(workspace: Workspace, name: str) -> tuple[tuple[RegimeRow, ...], str, float]:
    path = regimes_path(gate_path(workspace, name))
    if not path.is_file():
        return (), "", float("nan")
    model, labels, _ = load_regimes(path)
    rows = []
    for k, row in enumerate(facts(model, labels, {})):
        leaves = np.where(np.arange(model.count) == k, -1.0, model.transition[k])
        to = int(leaves.argmax())
        share, stay = float(str(row["share"])), float(str(row["bars"]))
        rows.append(RegimeRow(model.names[k], share, stay, model.names[to], float(model.transition[k, to])))
    last = model.names[int(labels[-1])] if len(labels) and labels[-1] >= 0 else ""
    return tuple(rows), last, model.stability


def _when(workspace: Workspace, file: str) -> str:
    changed = (workspace.root / "reports" / file).stat().st_mtime
    return datetime.fromtimestamp(changed, UTC).strftime("%Y-%m-%d %H:%M")
