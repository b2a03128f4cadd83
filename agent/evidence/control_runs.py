"""Runs of the loop, with the mock model, on markets whose truth is known: without skill, or with a planted signal.

Each run has a knowledge base of its own: it is no trial on the data.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.cluster.full_work import FullWork
from agent.knowledge.attempt_figures import verdict_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.knowledge.run_config import RunConfig, ScoringRules
from agent.llm.budget import Budget
from agent.mining.session import MOCK_MODEL, Session
from agent.mock.grammar import compose
from agent.study.scoring import evaluate_expression
from agent.study.settings import Settings
from agent.study.study import Scoring, Study, backtest_expression, read_expression
from backtest.ic import rank_ic
from backtest.nulls import NullMarket, null_market
from backtest.payoff import MIN_ASSETS
from backtest.planted_payoffs import plant_payoff
from backtest.scorecard import paid_rows
from factors.engine import evaluate
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import FloatArray

# A found factor puts assets in the planted order, or its opposite, at least so far.
FOUND = 0.5
_DRAWS = 200
# Kind, strength of what is planted, number.
Key = tuple[str, float | None, int]


@dataclass(frozen=True)
class Control:
    """One run on a market whose truth is known.

    Attributes
    ----------
    kind
        Of null market (see `backtest.nulls`), or ``planted``.
    attempts, scored, admitted, promising
        Counts of factors.
    best_z
        The largest score of a mean payoff, on train and validation.
    strength, text
        What was planted: the score that a portfolio which knows it gains, and the signal.
    found, nearly, proposed
        Whether an admitted factor, one that at least predicts, any that was scored, is the planted signal.
    z, verdict, gates
        Of the planted signal itself, given to the tests after the run.
    """

    kind: str
    number: int
    attempts: int
    scored: int
    admitted: int
    promising: int
    best_z: float | None
    strength: float | None = None
    text: str = ""
    found: bool | None = None
    nearly: bool | None = None
    proposed: bool | None = None
    z: float | None = None
    verdict: str = ""
    gates: dict[str, bool] | None = None

    @property
    def passes_when_given(self) -> bool:
        """Whether the planted signal itself passes; that the loop may have admitted its like before is left out."""
        gates = self.gates or {}
        return bool(gates) and all(passed for gate, passed in gates.items() if gate not in ("novelty", "sanity"))


@dataclass(frozen=True, eq=False)
class ControlLoop:
    """The loop that is run: on which study, under which settings, how long, and what its files begin with meanwhile."""

    study: Study
    settings: Settings
    files: Path
    rounds: int
    candidates: int
    seed: int


def null_run(loop: ControlLoop, kind: str, number: int) -> Control:
    """Run the loop on a null market of a kind."""
    null = _null_of(loop, kind, number)
    with _mined(loop, _study_on(loop.study, null), f"{kind}-{number}", number) as mined:
        return Control(kind, number, **mined.counts())


def planted_run(loop: ControlLoop, strength: float, number: int) -> Control:
    """Run the loop where a hidden signal pays, and nothing else: it is planted on filtered history.

    Raises
    ------
    InputError
        Where there is no cross-section to plant in.
    """
    if not loop.study.spec.is_cross_sectional or len(loop.study.panel.assets) < MIN_ASSETS:
        raise InputError(f"signals are planted in cross-sections of {MIN_ASSETS} assets or more", "use --planted 0")
    base = _study_on(loop.study, _null_of(loop, "history", 1_000 + number))
    hidden = _hidden_signal(base, np.random.default_rng([loop.seed, 2, number]))
    values = evaluate(hidden, base.panel).values
    planted = plant_payoff(base.panel, values, strength, _tested_rows(base), base.spec.fill)
    changed = replace(base, outcomes=planted.panel)
    with _mined(loop, changed, f"planted-{strength:g}-{number}", 1_000 + number) as mined:
        alike = {a.id for a in mined.scored if _agrees(a, values, base)}
        result = evaluate_expression(hidden, changed, mined.knowledge)
        given = result.evidence if isinstance(result, Scoring) else None
        return Control(
            "planted",
            number,
            **mined.counts(),
            strength=strength,
            text=hidden.text,
            found=any(a.id in alike and verdict_of(a) == "accepted" for a in mined.scored),
            nearly=any(a.id in alike and verdict_of(a) in ("accepted", "promising") for a in mined.scored),
            proposed=bool(alike),
            z=given.predicts.z if given is not None and given.predicts is not None else None,
            verdict=given.verdict if given is not None else getattr(result, "code", ""),
            gates={gate.gate: gate.passed for gate in given.gates} if given is not None else {},
        )


def control_run(loop: ControlLoop, key: Key) -> Control:
    """Run the loop on the market that a key names."""
    kind, strength, number = key
    return null_run(loop, kind, number) if strength is None else planted_run(loop, strength, number)


@dataclass(frozen=True, eq=False)
class ControlWork:
    """Controls as work for a cluster: a key in, what came of its run out. Files of a run lie where it is run."""

    loop: ControlLoop
    # A run is minutes; only one that hangs takes a day.
    seconds: float = 43_200.0

    def content_id(self) -> str:
        """Return a hash of the study and of the settings."""
        loop = self.loop
        about = (loop.settings.model_dump_json(), loop.rounds, loop.candidates, loop.seed)
        digest = hashlib.sha256(f"{FullWork(loop.study).content_id()}\n{about}".encode())
        return f"controls:{digest.hexdigest()[:16]}"

    def prepare(self) -> None:
        """Compile or load the kernels."""
        FullWork(self.loop.study).prepare()

    def do(self, key: Key, /) -> Control:
        """Run one control."""
        with tempfile.TemporaryDirectory(prefix="alphaglow-audit-") as folder:
            return control_run(replace(self.loop, files=Path(folder) / "audit"), key)

    def lost(self, key: Key, why: str, /) -> Control:
        """Refuse to go on: without a run an audit is not whole."""
        raise InputError(f"control {key[0]} {key[2] + 1}: {why}", "run the audit without --cluster")


def _null_of(loop: ControlLoop, kind: str, number: int) -> NullMarket:
    rng = np.random.default_rng([loop.seed, 1, number])
    return null_market(kind, loop.study.bare_panel, rng, loop.study.spec.fill)


def _study_on(study: Study, null: NullMarket) -> Study:
    """Return the study on a null market: what was fitted to the true one (gate, regimes, learned factors) is left out.

    Trials are counted under the panel of the run.
    """
    return replace(
        study,
        panel=null.panel,
        outcomes=None if null.outcomes is null.panel else null.outcomes,
        dataset=null.panel.id,
        exposures=None,
        log_likelihood=None,
        threshold=None,
        clusters={},
        learned={},
    )


def _tested_rows(study: Study) -> np.ndarray:
    """Return the rows that verdicts rest on: those paid within train and within validation."""
    parts = [paid_rows(part) for part in (study.split.train, study.split.validation)]
    return np.concatenate([np.arange(part.start, part.stop) for part in parts])


def _hidden_signal(study: Study, rng: np.random.Generator) -> Expression:
    """Draw a factor of common ideas whose values can be ranked; the loop does not know which."""
    for _ in range(_DRAWS):
        expression = read_expression(compose(rng, min(168, study.max_lookback // 2))[1], study)
        if not isinstance(expression, Rejection) and not isinstance(backtest_expression(expression, study), Rejection):
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
        scores = [one.predicts.z for one in found if one.predicts is not None and np.isfinite(one.predicts.z)]
        return {
            "attempts": len(self.attempts),
            "scored": len(self.scored),
            "admitted": verdicts.count("accepted"),
            "promising": verdicts.count("promising"),
            "best_z": max(scores, default=None),
        }

    def __enter__(self) -> _Mined:
        return self

    def __exit__(self, *_: object) -> None:
        self.knowledge.close()
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink(missing_ok=True)


def _mined(loop: ControlLoop, study: Study, name: str, seed: int) -> _Mined:
    """Run the loops with the mock model on a study, from an empty knowledge base."""
    path = loop.files.with_name(f"{loop.files.name}-{name}.db")
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    rules = loop.settings.loop.model_copy(
        update={"rounds": loop.rounds, "candidates": loop.candidates, "seed": loop.seed + seed}
    )
    config = RunConfig(llm="mock", model=MOCK_MODEL, simulated=True, rules=ScoringRules({"loop": rules.model_dump()}))
    knowledge = KnowledgeBase.open(path)
    knowledge.register_dataset(study.panel)
    run = knowledge.create_run(study.panel.id, config, rules.seed)
    session = Session(run, study, knowledge, loop.settings, config, Budget(), simulated=True)
    asyncio.run(session.go(lambda: False, lambda _event, _total: None))
    return _Mined(knowledge, path, knowledge.attempts(run_id=run.id))
