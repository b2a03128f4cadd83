"""Verdicts given again: all factors of some data under the policy of now, among all trials up to now.

A verdict is given when a factor is scored, among the trials of then. A stream of tests of level alpha lets more through
than alpha over its life; what is asked here is one test of everything at one moment. It spends no trial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.knowledge.tables.reassessments import LaterVerdict, TrialRow
from agent.study.opening import Note, RecordedRules, no_note, open_data
from agent.study.progress import Progress, no_progress
from agent.study.scoring import evaluate_expression
from agent.study.study import Study, read_expression
from agent.study.workspace import Workspace
from backtest.discovery import discoveries, discovery_hurdle
from backtest.max_test import LargestScores, draw_seed, step_down_p
from backtest.mean_test import one_sided_p
from backtest.policy import Policy
from backtest.result_types import NOT_TESTED, Tested, Verdict
from market.errors import InputError, Rejection
from market.panel import FloatArray

_TESTS = ("predicts", "earns")


@dataclass(frozen=True)
class Reassessed:
    """One factor, then and now; `attempt` holds the verdict of then, `why` what of today's could not be found out."""

    attempt: AttemptRecord
    then: Verdict
    now: LaterVerdict | None
    why: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        now, stored = self.now, self.attempt.evaluation
        return {
            "factor": self.attempt.factor_id,
            "text": self.attempt.canonical,
            "attempt": self.attempt.id,
            "run": self.attempt.run_id,
            "then": self.then,
            "trials_then": None if stored is None else stored.evidence.trials,
            "now": None if now is None else now.verdict,
            "why_not": self.why,
            **{
                test: None if now is None else {"z": one.z, "p": one.adjusted_p}
                for test in _TESTS
                for one in (NOT_TESTED if now is None else getattr(now, test),)
            },
        }


@dataclass(frozen=True)
class DataReassessment:
    """All factors of some data under one policy, among `trials`; `others` names related data that count as well."""

    factors: tuple[Reassessed, ...]
    trials: int
    policy: Policy
    others: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return {
            "trials": self.trials,
            "control": self.policy.control,
            "level": self.policy.level,
            "related": list(self.others),
            "factors": [one.to_dict() for one in self.factors],
        }


def reassess(
    workspace: Workspace,
    knowledge: KnowledgeBase,
    data: str | None,
    *,
    note: Note = no_note,
    progress: Progress = no_progress,
) -> DataReassessment:
    """Give all factors of a data set their verdicts of now, and store them beside those of then.

    What an earlier policy judged is scored again under the rules of its run, once: its scores are kept as they come, so
    that a stop loses nothing.

    Raises
    ------
    InputError
        Where nothing was scored on these data.
    """
    opened = open_data(workspace, data, gate=False, learned=False)
    policy = opened.ungated.policy
    related = knowledge.related(opened.whole.id)
    panels = [one.panel_id for one in related]
    chosen = _chosen(knowledge.trial_rows(panels))
    if not chosen:
        raise InputError(f"nothing was scored on {opened.name}", "score something: alphaglow eval, screen, mine")
    attempts = {a.id: a for a in knowledge.attempts_by_id([row.attempt_id for row in chosen])}
    missing = [row for row in chosen if not math.isfinite(row.predicts_z) and _earlier(attempts[row.attempt_id])]
    faults = _score_again(workspace, knowledge, [attempts[row.attempt_id] for row in missing], note, progress)
    rows = _each_once(knowledge.trial_rows(panels))
    pools, pool_prints = knowledge.pool_count(panels), knowledge.pool_fingerprints(panels)
    seed = draw_seed(opened.whole.id)
    tests = {test: _tested(rows, test, policy, pools, pool_prints, seed) for test in _TESTS}
    place = {row.attempt_id: number for number, row in enumerate(rows)}
    found = []
    for row in chosen:
        attempt, number = attempts[row.attempt_id], place[row.attempt_id]
        why = faults.get(row.attempt_id, "")
        predicts, earns = (tests[test][number] for test in _TESTS)
        now = None if why else _verdict(attempt, predicts, earns, policy, len(rows) + pools)
        assert attempt.evaluation is not None
        found.append(Reassessed(attempt, attempt.evaluation.verdict, now, why))
    knowledge.record_verdicts(one.now for one in found if one.now is not None)
    found.sort(key=_order)
    return DataReassessment(tuple(found), len(rows) + pools, policy, tuple(one.name for one in related[1:]))


def _chosen(rows: Sequence[TrialRow]) -> list[TrialRow]:
    """Return the newest full score of each factor under each set of rules."""
    return list({(row.factor_id, row.rules): row for row in rows if row.full}.values())


def _each_once(rows: Sequence[TrialRow]) -> list[TrialRow]:
    """Leave out what was scored under the same rules on related data too: the newest full score stands for all."""
    on: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        on.setdefault((row.factor_id, row.rules), set()).add(row.panel_id)
    kept = {(row.factor_id, row.rules): row.attempt_id for row in [*reversed(rows), *_chosen(rows)]}
    several = {key for key, panels in on.items() if len(panels) > 1}
    return [
        row
        for row in rows
        for key in ((row.factor_id, row.rules),)
        if key not in several or kept[key] == row.attempt_id
    ]


def _earlier(attempt: AttemptRecord) -> bool:
    """Whether an attempt was judged before there were two tests."""
    scored = attempt.evaluation
    return scored is not None and not any(test in scored.evidence_document for test in _TESTS)


def _order(one: Reassessed) -> tuple[float, ...]:
    rank = {"accepted": 0, "promising": 1, "untested": 2, "rejected": 3}
    now = one.now
    worst = 9.0 if now is None else max(now.predicts.adjusted_p, now.earns.adjusted_p)
    return (rank.get(now.verdict if now else "", 4), worst if math.isfinite(worst) else 8.0, one.attempt.id)


def _tested(
    rows: Sequence[TrialRow], test: str, policy: Policy, pools: int, pool_prints: Sequence[FloatArray], seed: int
) -> list[Tested]:
    """Return a test of all trials at once: by the largest of those not found yet, or by the false discovery rate.

    Pools take part by the fingerprints of their returns, where those are known: they are compared with, and not tested.
    """
    scores: FloatArray = np.array([getattr(row, f"{test}_z") for row in rows])
    trials = len(rows) + pools
    if policy.control == "fdr":
        adjusted, hurdle = discoveries(scores, trials), discovery_hurdle(scores, trials, policy.level)
    else:
        prints, unknown = [*(row.fingerprint for row in rows), *pool_prints], float(pools - len(pool_prints))
        every = np.concatenate([scores, np.full(len(pool_prints), np.nan)])
        adjusted = step_down_p(every, prints, level=policy.level, seed=seed, more=unknown)
        # What is left when nothing more is found.
        rest = LargestScores(seed)
        rest.add([row for row, p in zip(prints, adjusted, strict=True) if not p <= policy.level])
        hurdle = rest.hurdle(policy.level, unknown + sum(not len(row) for row in prints))
        adjusted = adjusted[: len(rows)]
    nan = float("nan")
    return [
        Tested(0, nan, nan, float(z), one_sided_p(float(z)), float(p), hurdle, policy.control)
        for z, p in zip(scores, adjusted, strict=True)
    ]


def _verdict(attempt: AttemptRecord, predicts: Tested, earns: Tested, policy: Policy, trials: int) -> LaterVerdict:
    """Return today's verdict: both tests as they are now, all other gates as they were recorded."""
    assert attempt.evaluation is not None
    recorded = {gate.gate: gate.passed for gate in attempt.evaluation.evidence.gates}
    passed = {name: recorded.get(name, True) for name in policy.gates}
    passed |= {
        name: one.adjusted_p <= policy.level
        for name, one in (("predicts", predicts), ("earns", earns))
        if name in passed
    }
    failed = [name for name, well in passed.items() if not well]
    word: Verdict = "accepted" if not failed else "promising" if failed == ["earns"] else "rejected"
    if attempt.evaluation.verdict == "untested" and not math.isfinite(predicts.z):
        # Validation was not asked, and train led the search to it.
        word = "untested"
    return LaterVerdict(attempt.id, word, trials, policy, predicts, earns)


def _score_again(
    workspace: Workspace, knowledge: KnowledgeBase, attempts: Sequence[AttemptRecord], note: Note, progress: Progress
) -> dict[int, str]:
    """Score what an earlier policy judged under the rules of its run; return why that could not be done, by attempt."""
    faults: dict[int, str] = {}
    by_run: dict[str, list[AttemptRecord]] = {}
    for attempt in attempts:
        by_run.setdefault(attempt.run_id, []).append(attempt)
    done = 0
    for run_id, own in by_run.items():
        try:
            study = open_data(
                workspace, None, RecordedRules.of_run(knowledge.get_run(run_id), strict=False), note=note
            ).study
        except InputError as error:
            faults |= {attempt.id: str(error) for attempt in own}
            done += len(own)
            continue
        for attempt in own:
            progress("scoring again what an earlier policy judged", done, len(attempts))
            done += 1
            why = _score_one(study, knowledge, attempt)
            if why:
                faults[attempt.id] = why
    return faults


def _score_one(study: Study, knowledge: KnowledgeBase, attempt: AttemptRecord) -> str:
    expression = read_expression(attempt.canonical or "", study, dialect="native")
    if isinstance(expression, Rejection):
        return expression.one_line()
    # A later round of a loop was led by train, whatever policy judged it then.
    aimed = attempt.round > 1 and knowledge.get_run(attempt.run_id).config.kind == "mine"
    scoring = evaluate_expression(expression, study, knowledge, recorded=True, aimed=aimed)
    if isinstance(scoring, Rejection):
        return scoring.one_line()
    found = [scoring.evidence.predicts, scoring.evidence.earns]
    knowledge.record_scores(attempt.id, *(math.nan if one.decided_on == "train" else one.z for one in found))
    return ""
