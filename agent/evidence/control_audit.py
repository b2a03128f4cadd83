"""The audit: the whole loop on markets whose truth is known, and every admitted factor audited.

Each repetition is written down when it is done, so a stopped audit goes on where it was. Its runs have knowledge bases
of their own: they are no trials on the data.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from agent.knowledge.attempt_figures import or_none, or_zero, train_of, verdict_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.knowledge.run_config import RunConfig, ScoringRules
from agent.llm.budget import Budget
from agent.mining.session import MOCK_MODEL, Session
from agent.mock.grammar import compose
from agent.study.scoring import evaluate_expression
from agent.study.settings import LoopSettings, Settings
from agent.study.study import Scoring, Study, backtest_expression, read_expression
from backtest import metrics
from backtest.bar_regimes import week_bars
from backtest.controls import permuted, plant_signal
from backtest.ic import rank_ic
from backtest.placebo import shifted_gates
from backtest.run import trade
from backtest.scorecard import paid_rows
from factors.checks import check_truncation
from factors.engine import evaluate
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import FloatArray

# A found factor puts assets in the planted order, or its opposite, at least so far.
FOUND = 0.5
_DRAWS = 200
_BEST = 5


@dataclass(frozen=True)
class AuditPlan:
    """What to repeat how often.

    Attributes
    ----------
    permuted
        Runs on block-permuted returns.
    planted
        Runs for each size of planted signal.
    sizes
        Rank ICs to plant.
    rounds, candidates
        Of each run.
    gates
        Shifted gates that the workspace's own gate is compared with.
    """

    permuted: int = 20
    planted: int = 5
    sizes: tuple[float, ...] = (0.01, 0.02, 0.04)
    rounds: int = 3
    candidates: int = 8
    gates: int = 100
    seed: int = 7


@dataclass(frozen=True)
class Control:
    """One run on a market whose truth is known.

    `admitted` and `promising` count factors; of a planted run, `found` says whether an admitted one is the planted
    signal, `nearly` whether one that at least predicts is, `proposed` whether any scored one is, and
    `gates` which gates the planted signal itself passes.
    """

    kind: str
    number: int
    attempts: int
    scored: int
    admitted: int
    promising: int
    best_dsr: float | None
    size: float | None = None
    text: str = ""
    found: bool | None = None
    nearly: bool | None = None
    proposed: bool | None = None
    verdict: str = ""
    gates: dict[str, bool] | None = None


@dataclass(frozen=True)
class FactorCheck:
    """A factor audited: truncation, a signal one bar late, and its gate among shifted ones.

    Figures are of train; `gate_beats` is the share of shifted gates of equal exposure with a lower net Sharpe ratio.
    """

    factor_id: str
    text: str
    admitted: bool
    causal: bool
    rank_ic: float
    rank_ic_late: float
    sharpe_net: float
    sharpe_net_late: float
    gate_beats: float | None


@dataclass(frozen=True)
class Audit:
    """All of it."""

    plan: AuditPlan
    controls: tuple[Control, ...]
    factors: tuple[FactorCheck, ...]

    def summary(self) -> dict[str, object]:
        """Return shares: of permuted runs that admit anything, and by size of planted signals found."""
        none = [c for c in self.controls if c.kind == "permuted"]
        rows = {}
        for size in self.plan.sizes:
            runs = [c for c in self.controls if c.kind == "planted" and c.size == size]
            if runs:
                rows[f"{size:g}"] = {
                    "runs": len(runs),
                    "found": _share([bool(c.found) for c in runs]),
                    "found_promising": _share([bool(c.nearly) for c in runs]),
                    "proposed": _share([bool(c.proposed) for c in runs]),
                    "admitted_when_given": _share([c.verdict == "accepted" for c in runs]),
                    "gates_passed_when_given": {
                        gate: _share([bool(c.gates and c.gates[gate]) for c in runs]) for gate in runs[0].gates or {}
                    },
                }
        return {
            "permuted_runs": len(none),
            "attempts_each": self.plan.rounds * self.plan.candidates,
            "false_admissions": _share([c.admitted > 0 for c in none]),
            "false_predictions": _share([c.admitted + c.promising > 0 for c in none]),
            "planted": rows,
            "factors": [asdict(f) for f in self.factors],
        }


def _share(flags: list[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


@dataclass(frozen=True, eq=False)
class Auditor:
    """What an audit works with; `show` is called with what was done, `stop` is asked between repetitions."""

    study: Study
    settings: Settings
    folder: Path
    plan: AuditPlan
    stop: Callable[[], bool] = lambda: False
    show: Callable[[str], None] = lambda _what: None

    @property
    def journal(self) -> Path:
        """The file of what is done; its name holds everything that the results depend on."""
        rules = {**self.settings.rules(), **asdict(self.plan), "data": self.study.dataset}
        rules["alphaglow"] = version("alphaglow")
        rules = {key: value for key, value in rules.items() if key not in ("permuted", "planted", "sizes", "gates")}
        digest = hashlib.sha256(json.dumps(rules, sort_keys=True, default=str).encode()).hexdigest()[:12]
        return self.folder / f"audit-{digest}.jsonl"

    def record(self, control: Control) -> None:
        """Write a repetition down, on a line of its own whatever a crash left of the one before."""
        broken = self.journal.is_file() and not self.journal.read_bytes().endswith(b"\n")
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(("\n" if broken else "") + json.dumps(asdict(control)) + "\n")

    def done(self) -> dict[tuple[str, float | None, int], Control]:
        """Return the repetitions that are written down; a line that a crash left half-written is done again."""
        found = {}
        if self.journal.is_file():
            for line in self.journal.read_text(encoding="utf-8").splitlines():
                try:
                    control = Control(**json.loads(line))
                except (json.JSONDecodeError, TypeError):
                    continue
                found[control.kind, control.size, control.number] = control
        return found


def run_audit(auditor: Auditor, knowledge: KnowledgeBase) -> Audit | None:
    """Run what is not done yet; None when stopped before the end."""
    plan = auditor.plan
    wanted: list[tuple[str, float | None, int]] = [("permuted", None, n) for n in range(plan.permuted)]
    wanted += [("planted", size, n) for size in plan.sizes for n in range(plan.planted)]
    done = auditor.done()
    for key in wanted:
        if key in done:
            auditor.show("done before")
            continue
        if auditor.stop():
            return None
        kind, size, number = key
        control = _permuted_run(auditor, number) if size is None else _planted_run(auditor, size, number)
        auditor.record(control)
        done[key] = control
        auditor.show(f"{kind} {'' if size is None else f'{size:g} '}{number + 1}")
    checks = check_factors(auditor.study, knowledge, gates=plan.gates, seed=plan.seed)
    return Audit(plan, tuple(done[key] for key in wanted), tuple(checks))


def _permuted_run(auditor: Auditor, number: int) -> Control:
    study, plan = auditor.study, auditor.plan
    # A week keeps what clusters; far fewer blocks than that would leave most of time in place.
    block = week_bars(study.panel)
    outcomes = permuted(study.panel, block, np.random.default_rng([plan.seed, 1, number]))
    with _mined(auditor, replace(study, outcomes=outcomes, exposures=None), f"permuted-{number}", number) as mined:
        return Control("permuted", number, **mined.counts())


def _planted_run(auditor: Auditor, size: float, number: int) -> Control:
    study, plan = auditor.study, auditor.plan
    rng = np.random.default_rng([plan.seed, 2, number])
    hidden = _hidden_signal(study, rng)
    values = evaluate(hidden, study.panel).values
    planted = plant_signal(study.panel, values, size, study.spec.fill)
    changed = replace(study, outcomes=planted.panel, exposures=None)
    with _mined(auditor, changed, f"planted-{size:g}-{number}", 1000 + number) as mined:
        alike = {a.id for a in mined.scored if _agrees(a, values, study)}
        result = evaluate_expression(hidden, changed, mined.knowledge)
        return Control(
            "planted",
            number,
            **mined.counts(),
            size=size,
            text=hidden.text,
            found=any(a.id in alike and a.evaluation and a.evaluation.accepted for a in mined.scored),
            nearly=any(a.id in alike and verdict_of(a) in ("accepted", "promising") for a in mined.scored),
            proposed=bool(alike),
            verdict=result.evidence.verdict if isinstance(result, Scoring) else result.code,
            gates={g.gate: g.passed for g in result.evidence.gates} if isinstance(result, Scoring) else {},
        )


def _hidden_signal(study: Study, rng: np.random.Generator) -> Expression:
    """Draw a factor of common ideas whose values can be ranked; the loop does not know which."""
    for _ in range(_DRAWS):
        expression = read_expression(compose(rng, min(168, study.max_lookback // 2))[1], study)
        if isinstance(expression, Rejection):
            continue
        found = backtest_expression(expression, study)
        if not isinstance(found, Rejection) and abs(found[1].scorecard.train.rank_ic) < 0.1:
            return expression
    raise InputError("no signal to plant could be drawn for this data", "use more bars or more assets")


def _agrees(attempt: AttemptRecord, values: FloatArray, study: Study) -> bool:
    expression = read_expression(attempt.canonical or "", study, dialect="native")
    if isinstance(expression, Rejection):
        return False
    alike = rank_ic(evaluate(expression, study.panel).values, values)
    return bool(abs(np.nanmean(alike)) >= FOUND) if np.isfinite(alike).any() else False


@dataclass(frozen=True, eq=False)
class _Mined:
    """A finished run in a knowledge base of its own, which is thrown away."""

    knowledge: KnowledgeBase
    path: Path
    attempts: list[AttemptRecord]

    @property
    def scored(self) -> list[AttemptRecord]:
        return [a for a in self.attempts if a.evaluation is not None]

    def counts(self) -> dict[str, Any]:
        found = [a.evaluation.evidence for a in self.scored if a.evaluation is not None]
        verdicts = [one.verdict for one in found]
        known = [one.dsr for one in found if math.isfinite(one.dsr)]
        return {
            "attempts": len(self.attempts),
            "scored": len(self.scored),
            "admitted": verdicts.count("accepted"),
            "promising": verdicts.count("promising"),
            "best_dsr": max(known, default=None),
        }

    def __enter__(self) -> _Mined:
        return self

    def __exit__(self, *_: object) -> None:
        self.knowledge.close()
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink(missing_ok=True)


def _mined(auditor: Auditor, study: Study, name: str, seed: int) -> _Mined:
    """Run the loops with the mock model on a study, from an empty knowledge base."""
    plan = auditor.plan
    path = auditor.folder / f"{auditor.journal.stem}-{name}.db"
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    loop = auditor.settings.loop.model_copy(
        update={"rounds": plan.rounds, "candidates": plan.candidates, "seed": plan.seed + seed}
    )
    rules = ScoringRules({"loop": loop.model_dump()})
    config = RunConfig(llm="mock", model=MOCK_MODEL, simulated=True, rules=rules)
    knowledge = KnowledgeBase.open(path)
    knowledge.register_dataset(study.panel)
    # Trials are counted under the panel of the run.
    study = replace(study, dataset=study.panel.id)
    run = knowledge.create_run(study.panel.id, config, loop.seed)
    session = Session(run, study, knowledge, auditor.settings, config, Budget(), simulated=True)
    asyncio.run(session.go(lambda: False, lambda _event, _total: None))
    return _Mined(knowledge, path, knowledge.attempts(run_id=run.id))


def check_factors(study: Study, knowledge: KnowledgeBase, *, gates: int, seed: int) -> list[FactorCheck]:
    """Put every factor that was admitted on this data to the question; where none was, the best that were tried."""
    scored = {a.factor_id: a for a in knowledge.attempts(panel_id=study.dataset) if a.evaluation is not None}
    chosen = [a for a in scored.values() if a.evaluation is not None and a.evaluation.accepted]
    if not chosen:
        known = [a for a in scored.values() if or_none(train_of(a).sharpe_net) is not None]
        chosen = sorted(known, key=lambda a: (-or_zero(train_of(a).sharpe_net), a.id))[:_BEST]
    return [_check(a, study, gates, np.random.default_rng([seed, 3, n])) for n, a in enumerate(chosen)]


def _check(attempt: AttemptRecord, study: Study, gates: int, rng: np.random.Generator) -> FactorCheck:
    expression = read_expression(attempt.canonical or "", study, dialect="native")
    if isinstance(expression, Rejection):
        raise InputError(f"{attempt.factor_id} cannot be read on this data: {expression.one_line()}")
    rows = len(study.panel.times)
    cuts = sorted({int(c) for c in rng.integers(expression.lookback + 1, rows, size=4)} | {rows - 1})
    leak = check_truncation(expression, study.panel, cuts)
    values = evaluate(expression, study.panel).values
    late = np.vstack([np.full((1, values.shape[1]), np.nan), values[:-1]])
    (ic, net), (ic_late, net_late) = (_on_train(x, study) for x in (values, late))
    return FactorCheck(
        factor_id=attempt.factor_id or "",
        text=expression.text,
        admitted=attempt.evaluation is not None and attempt.evaluation.accepted,
        causal=leak is None,
        rank_ic=ic,
        rank_ic_late=ic_late,
        sharpe_net=net,
        sharpe_net_late=net_late,
        gate_beats=_gate_beats(_targets(values, study), study, gates, rng),
    )


def _targets(values: FloatArray, study: Study) -> FloatArray:
    return study.target.weights(np.where(study.panel.universe, values, np.nan))


def _on_train(values: FloatArray, study: Study) -> tuple[float, float]:
    paid, target = paid_rows(study.split.train), study.target
    ic = rank_ic(np.where(study.panel.universe, values, np.nan)[paid], target.forward[paid])
    year = study.panel.bars_per_year
    net = trade(_targets(values, study), target.market, study.spec, None, bars_per_year=year).net[paid]
    mean = float(np.nanmean(ic)) if np.isfinite(ic).any() else float("nan")
    return mean, metrics.sharpe(net, year)


def _gate_beats(targets: FloatArray, study: Study, count: int, rng: np.random.Generator) -> float | None:
    """Return the share of shifted gates, of equal exposure, that the workspace's gate beats on train; None without."""
    if study.exposures is None or count == 0:
        return None
    train, year = study.split.train, study.panel.bars_per_year
    ledger_rows, own, gate = study.target.market.rows(train), targets[train], study.exposures[train]

    def sharpe(exposures: FloatArray) -> float:
        return metrics.sharpe(trade(own, ledger_rows, study.spec, exposures, bars_per_year=year).net, year)

    mine = sharpe(gate)
    return float(np.mean([mine > sharpe(other) for other in shifted_gates(gate, count, rng)]))


def audit_plan(settings: LoopSettings, **given: Any) -> AuditPlan:  # noqa: ANN401 - options as the command line has them
    """Return a plan from what the command line gave; what is None keeps its default."""
    chosen = {name: value for name, value in given.items() if value is not None}
    return AuditPlan(**{"seed": settings.seed, **chosen})
