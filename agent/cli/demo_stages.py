"""The offline demo: a market whose truth is known, mined by the real loops with a simulated model."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agent.knowledge.attempt_figures import traded_sharpe, train_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.mining.session import MineRequest, Session, start_run
from agent.review.collect import report_on
from agent.study.gates import train_gate
from agent.study.workspace import MARKER, Workspace, init_workspace
from backtest.ic import rank_ic
from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError
from market.panel import Panel
from market.panel_store import save_panel
from market.synthetic.demo_market import SynthSpec, make_market

DATA = "simulated"
_STAMP = ".alphaglow-demo"
# Smaller than the defaults: the whole demo has to fit in three minutes on two cores. The planted signal breaks in
# crashes: there a gate by likelihood is worth something to a neutral portfolio, too.
_SETTINGS = {
    "epochs = 30": "epochs = 12",
    "max_rows = 40000": "max_rows = 30000",
    'measure = "drawdown"': 'measure = "likelihood"',
    "neutral = false": "neutral = true",
}


@dataclass(frozen=True, eq=False)
class Stage:
    """A demo workspace with its market, ready to train and mine."""

    workspace: Workspace
    panel: Panel
    truth: str
    crash_hours: int
    seed: int
    rounds: int
    candidates: int
    clock: dict[str, float] = field(default_factory=dict)

    def session(self, knowledge: KnowledgeBase, *, note: Callable[[str], None]) -> Session:
        """Start the demo's mining run."""
        self.clock["mining from"] = time.perf_counter()
        request = MineRequest(data=DATA, llm="mock", rounds=self.rounds, candidates=self.candidates, seed=self.seed)
        return start_run(self.workspace, knowledge, request, note=note)


@dataclass(frozen=True)
class Ending:
    """How the demo ended: the report, the sentence about the truth, wall seconds by stage."""

    report: Path
    sentence: str
    agreement: float | None
    seconds: dict[str, float]


def prepare(folder: Path, *, seed: int, rounds: int, candidates: int) -> Stage:
    """Make the demo's workspace again and simulate its market; only an earlier demo is ever overwritten."""
    started = time.perf_counter()
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _STAMP).is_file():
            raise InputError(f"{folder} is not empty and not an earlier demo", "choose another folder with --dir")
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _STAMP).write_text("Made by `alphaglow demo`, which replaces this folder.\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot make {folder}: {error.strerror}", "choose another folder with --dir") from error
    workspace = init_workspace(folder)
    settings = workspace.root / MARKER
    settings.write_text(_demo_settings(settings.read_text(encoding="utf-8")), encoding="utf-8")
    market = make_market(SynthSpec(seed=seed))
    save_panel(market.panel, workspace.data_path(DATA))
    stage = Stage(workspace, market.panel, market.truth, int(np.sum(market.crash)), seed, rounds, candidates)
    stage.clock["market"] = time.perf_counter() - started
    return stage


def _demo_settings(text: str) -> str:
    """Return the default settings with those of the demo, whole lines each."""
    for line, ours in _SETTINGS.items():
        text, count = re.subn(rf"^{re.escape(line)}$", ours, text, flags=re.MULTILINE)
        assert count == 1, line
    return text


def train_demo_gate(stage: Stage, progress: Callable[[int, int, float, float], None]) -> None:
    """Train the gate on the simulated market's train split."""
    started = time.perf_counter()
    train_gate(stage.panel, stage.workspace, DATA, progress)
    stage.clock["gate"] = time.perf_counter() - started


def conclude(stage: Stage, session: Session, knowledge: KnowledgeBase) -> Ending:
    """Write the report and say how far the best accepted factor is from the planted truth."""
    mined = time.perf_counter()
    agreement, sentence = distance_to_truth(stage, session, knowledge)
    report = report_on(stage.workspace, knowledge, session.run.id, data=DATA, output=None, conclusion=sentence)
    seconds = {
        "market": stage.clock["market"],
        "gate": stage.clock["gate"],
        "mining": mined - stage.clock["mining from"],
        "report": time.perf_counter() - mined,
    }
    return Ending(report, sentence, agreement, seconds)


def distance_to_truth(stage: Stage, session: Session, knowledge: KnowledgeBase) -> tuple[float | None, str]:
    """Return the mean rank correlation with the truth of the best factor, accepted if any was, and a sentence."""
    scored = [a for a in knowledge.attempts(run_id=session.run.id) if a.evaluation is not None]
    accepted = [a for a in scored if a.evaluation is not None and a.evaluation.accepted]
    pool = accepted or scored
    if not pool:
        return None, "No factor could be scored, so none can be compared with the planted signal."

    def strength(attempt: AttemptRecord) -> float:
        earned = traded_sharpe(train_of(attempt))
        return earned if np.isfinite(earned) else -np.inf

    best = max(pool, key=strength)
    panel = session.study.panel
    found, truth = (_values(text, panel) for text in (best.canonical or "", stage.truth))
    agreement = float(np.nanmean(rank_ic(found, truth)))
    what = "best accepted factor" if accepted else "best factor (none was accepted)"
    sentence = (
        f"The {what}, {best.canonical}, has a mean rank correlation of {agreement:+.2f} a bar with the planted signal "
        f"{stage.truth} (1 = the same ranking, 0 = unrelated)."
    )
    return agreement, sentence


def _values(text: str, panel: Panel) -> np.ndarray:
    expression = parse(text, bar=panel.bar)
    if not isinstance(expression, Expression):
        raise InputError(f"cannot read {text!r}: {expression.one_line()}")
    return evaluate(expression, panel).values
