"""The audit: the whole loop on markets whose truth is known, and every admitted factor audited.

Each repetition is written down when it is done, so a stopped audit goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agent.cluster.spreading import Machines, Spreading
from agent.evidence.control_runs import Control, ControlLoop, ControlWork, Key, control_run
from agent.evidence.factor_checks import FactorCheck, check_factors
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.study.settings import LoopSettings, Settings
from agent.study.study import Study
from backtest.binomial import Share
from backtest.nulls import NULLS

# What controls are made of; of another kind of controls no journal is read.
_CONTROLS = "nulls and planted payoffs"
_QUICK: dict[str, Any] = {"nulls": 5, "planted": 2, "strengths": (4.0, 8.0), "gates": 20}


@dataclass(frozen=True)
class AuditPlan:
    """What to repeat how often.

    Attributes
    ----------
    nulls
        Runs on each kind of null market.
    planted
        Runs for each strength of a planted signal.
    strengths
        Scores that a portfolio which knows the planted signal gains.
    rounds, candidates
        Of each run.
    gates
        Shifted gates that the workspace's own gate is compared with.
    """

    nulls: int = 10
    planted: int = 5
    strengths: tuple[float, ...] = (4.0, 6.0, 8.0)
    rounds: int = 3
    candidates: int = 8
    gates: int = 100
    seed: int = 7

    def wanted(self) -> list[Key]:
        """Return the runs that are wanted, of each kind by turns: a stopped audit has some of each."""
        found: list[Key] = [(kind, None, n) for n in range(self.nulls) for kind in NULLS]
        return found + [("planted", z, n) for n in range(self.planted) for z in self.strengths]


@dataclass(frozen=True)
class Audit:
    """All of it."""

    plan: AuditPlan
    controls: tuple[Control, ...]
    factors: tuple[FactorCheck, ...]

    def on_nulls(self, kind: str = "") -> list[Control]:
        """Return the runs on null markets, of one kind or of all."""
        return [c for c in self.controls if c.strength is None and kind in ("", c.kind)]

    def summary(self) -> dict[str, object]:
        """Return shares: of null markets on which anything is admitted, and by strength of planted signals found."""
        nulls = {}
        for kind in NULLS:
            runs = self.on_nulls(kind)
            if runs:
                nulls[kind] = _false(runs)
        planted = {}
        for strength in self.plan.strengths:
            runs = [c for c in self.controls if c.strength == strength]
            if runs:
                planted[f"{strength:g}"] = _planted(runs)
        return {
            "null_runs": len(self.on_nulls()),
            "attempts_each": self.plan.rounds * self.plan.candidates,
            **_false(self.on_nulls()),
            "nulls": nulls,
            "planted": planted,
            "factors": [asdict(f) for f in self.factors],
        }


def _false(runs: list[Control]) -> dict[str, object]:
    return {
        "false_admissions": Share.of(c.admitted > 0 for c in runs).document(),
        "false_predictions": Share.of(c.admitted + c.promising > 0 for c in runs).document(),
    }


def _planted(runs: list[Control]) -> dict[str, object]:
    gates = runs[0].gates or {}
    passed = {gate: Share.of(bool(c.gates and c.gates.get(gate)) for c in runs) for gate in gates}
    return {
        "runs": len(runs),
        "proposed": Share.of(bool(c.proposed) for c in runs).document(),
        "found_promising": Share.of(bool(c.nearly) for c in runs).document(),
        "found": Share.of(bool(c.found) for c in runs).document(),
        "admitted_when_given": Share.of(c.passes_when_given for c in runs).document(),
        "gates_passed_when_given": {gate: share.document() for gate, share in passed.items()},
    }


@dataclass(frozen=True, eq=False)
class Auditor:
    """What an audit works with; `show` is called with what was done, `stop` is asked between repetitions.

    `machines` of a cluster repeat side by side, where they are given.
    """

    study: Study
    settings: Settings
    folder: Path
    plan: AuditPlan
    stop: Callable[[], bool] = lambda: False
    show: Callable[[str], None] = lambda _what: None
    machines: Machines | None = None

    @property
    def journal(self) -> Path:
        """The file of what is done; its name holds everything that the results depend on."""
        plan = {key: value for key, value in asdict(self.plan).items() if key in ("rounds", "candidates", "seed")}
        rules = {**self.settings.rules(), **plan, "data": self.study.dataset, "controls": _CONTROLS}
        rules["alphaglow"] = version("alphaglow")
        digest = hashlib.sha256(json.dumps(rules, sort_keys=True, default=str).encode()).hexdigest()[:12]
        return self.folder / f"audit-{digest}.jsonl"

    @property
    def loop(self) -> ControlLoop:
        """The loop that is audited."""
        plan = self.plan
        return ControlLoop(
            self.study, self.settings, self.journal.with_suffix(""), plan.rounds, plan.candidates, plan.seed
        )

    def record(self, control: Control) -> None:
        """Write a repetition down, on a line of its own whatever a crash left of the one before."""
        broken = self.journal.is_file() and not self.journal.read_bytes().endswith(b"\n")
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(("\n" if broken else "") + json.dumps(asdict(control)) + "\n")

    def done(self) -> dict[Key, Control]:
        """Return the repetitions that are written down; a line that a crash left half-written is done again."""
        found = {}
        if self.journal.is_file():
            for line in self.journal.read_text(encoding="utf-8").splitlines():
                try:
                    control = Control(**json.loads(line))
                except (json.JSONDecodeError, TypeError):
                    continue
                found[control.kind, control.strength, control.number] = control
        return found


def run_controls(auditor: Auditor) -> tuple[Control, ...] | None:
    """Run what is not done yet; None when stopped before the end."""
    if auditor.machines is not None:
        return _run_spread(auditor, auditor.machines)
    done = auditor.done()
    for key in auditor.plan.wanted():
        if key in done:
            auditor.show("done before")
            continue
        if auditor.stop():
            return None
        control = control_run(auditor.loop, key)
        auditor.record(control)
        done[key] = control
        auditor.show(_named(key))
    return tuple(done[key] for key in auditor.plan.wanted())


def _named(key: Key) -> str:
    kind, strength, number = key
    return f"{kind} {'' if strength is None else f'{strength:g} '}{number + 1}"


def _run_spread(auditor: Auditor, machines: Machines) -> tuple[Control, ...] | None:
    """Run what is not done yet on a cluster, one run at a time: each is minutes of work, and written down at once."""
    wanted, found = auditor.plan.wanted(), []
    spreading = Spreading(machines, ControlWork(auditor.loop), 1, _Journal(auditor), auditor.stop)
    for key, control in spreading.run(wanted):
        found.append(control)
        auditor.show(_named(key))
    return tuple(found) if len(found) == len(wanted) else None


class _Journal:
    """The journal of an audit, as what is kept of a spreading."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor, self._done = auditor, auditor.done()

    def find(self, key: Key, /) -> Control | None:
        """Return a repetition that is written down, or None."""
        return self._done.get(key)

    def keep(self, _keys: Sequence[Key], controls: Sequence[Control], /) -> None:
        """Write repetitions down."""
        for control in controls:
            self._auditor.record(control)


def run_audit(auditor: Auditor, knowledge: KnowledgeBase) -> Audit | None:
    """Run what is not done yet, and check factors; None when stopped before the end."""
    controls = run_controls(auditor)
    if controls is None:
        return None
    checks = check_factors(auditor.study, knowledge, gates=auditor.plan.gates, seed=auditor.plan.seed)
    return Audit(auditor.plan, controls, tuple(checks))


def audit_plan(settings: LoopSettings, *, quick: bool = False, **given: Any) -> AuditPlan:  # noqa: ANN401 - options as the command line has them
    """Return a plan from what the command line gave; what is None keeps its default, or what `quick` makes of it."""
    chosen = {name: value for name, value in given.items() if value is not None}
    return AuditPlan(**{"seed": settings.seed, **(_QUICK if quick else {}), **chosen})
