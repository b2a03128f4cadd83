"""What is read of an attempt most often: its verdict, its train figures, its place among others."""

from __future__ import annotations

import numpy as np

from agent.knowledge.records import AttemptRecord

# A factor whose rank IC has at least this t statistic predicts.
PREDICTS_T = 3.0


def train_figure(attempt: AttemptRecord, name: str) -> float | None:
    """Return a train figure of an evaluated attempt, or None where it has none."""
    if attempt.evaluation is None:
        return None
    train = attempt.evaluation.scorecard.get("train")
    value = train.get(name) if isinstance(train, dict) else None
    return float(value) if isinstance(value, (int, float)) else None


def least_figure(attempt: AttemptRecord, name: str) -> float:
    """Return a train figure to rank by: what has none comes last."""
    figure = train_figure(attempt, name)
    return -np.inf if figure is None else figure


def passed(attempt: AttemptRecord) -> bool:
    """Whether an attempt passed all gates but, maybe, deflation."""
    return attempt.evaluation is not None and attempt.evaluation.evidence.get("verdict") in ("promising", "accepted")


def verdict_of(attempt: AttemptRecord) -> str:
    """Return the verdict's word, or the stage at which the attempt ended."""
    if attempt.evaluation is None:
        return f"{attempt.stage}: {attempt.code}"
    return str(attempt.evaluation.evidence.get("verdict", "?"))


def factor_order(attempt: AttemptRecord) -> tuple[int, float, int]:
    """Sort key: accepted, promising, the rest; then train net Sharpe (gated where there is a gate), best first."""
    best = train_figure(attempt, "sharpe_gated")
    best = best if best is not None else train_figure(attempt, "sharpe_net")
    rank = {"accepted": 0, "promising": 1}.get(verdict_of(attempt), 2)
    return rank, -(best if best is not None else -1e9), attempt.id
