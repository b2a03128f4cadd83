"""Rows that tests of the knowledge base write: a run, its attempts and their scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.knowledge.records import (
    JudgeVerdict,
    NewAttempt,
    NewEvaluation,
    RunRecord,
)
from agent.knowledge.score_documents import read_evidence, read_scorecard
from factors.parse import parse
from factors.tree import Expression
from market.panel import OHLCV, Panel


def make_panel(level: float = 100.0, bars: int = 50) -> Panel:
    times = np.datetime64("2024-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "h")
    values = np.full((bars, 2), level)
    return Panel(times, ("AAA", "BBB"), dict.fromkeys(OHLCV, values), np.ones((bars, 2), bool), np.timedelta64(1, "h"))


def scored(sharpe: float | None, *, accepted: bool = False) -> NewEvaluation:
    verdict = "accepted" if accepted else "rejected"
    return NewEvaluation(
        read_scorecard({"train": {"rank_ic": 0.02, "sharpe_net": sharpe}}),
        read_evidence({"accepted": accepted, "verdict": verdict, "reasons": ("a", "b"), "dsr": np.float64(0.5)}),
        sharpe,
    )


def unstorable() -> NewEvaluation:
    """Return an evaluation that JSON cannot hold."""
    good = scored(0.1)
    return replace(good, scorecard=replace(good.scorecard, weighting=object()))  # type: ignore[arg-type]


def attempt(run: RunRecord, slot: int, **changes: object) -> NewAttempt:
    digits = f"{slot:016x}"
    base = NewAttempt(
        run_id=run.id,
        round=1,
        slot=slot,
        text=f"Close + {slot}",
        stage="evidence",
        canonical=f"close + {slot}",
        factor_id=f"factor:{digits}",
        name=f"idea {slot}",
        verdicts=(JudgeVerdict(1, False, 3.5, "too plain"), JudgeVerdict(2, True, 8, "better")),
        evaluation=scored(0.01 * slot),
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # field names are the test's own


def refused(run: RunRecord, slot: int) -> NewAttempt:
    return NewAttempt(run.id, 1, slot, "ts_meen((", "parse", code="unknown_operator", message="no\n  ^")


def parsed(text: str) -> Expression:
    expression = parse(text)
    assert isinstance(expression, Expression), expression
    return expression


def tried(run: RunRecord, slot: int, text: str, **changes: object) -> NewAttempt:
    expression = parsed(text)
    return attempt(run, slot, canonical=expression.text, factor_id=expression.id, **changes)
