"""What is read of an attempt most often: its verdict, its train figures, its place among others."""

from __future__ import annotations

import math
from collections.abc import Callable

from agent.knowledge.records import AttemptRecord
from agent.knowledge.score_documents import read_flat
from backtest.result_types import SegmentScore

# A factor whose rank IC has at least this t statistic predicts.
PREDICTS_T = 3.0
_UNSCORED = read_flat(SegmentScore, None)
# Chooses the figure to rank by.
Figure = Callable[[SegmentScore], float]


def train_of(attempt: AttemptRecord) -> SegmentScore:
    """Return the train figures of an attempt; every one of them is NaN where it was not evaluated."""
    return _UNSCORED if attempt.evaluation is None else attempt.evaluation.train


def or_none(figure: float | None) -> float | None:
    """Return a finite figure, or None for what is undefined."""
    return float(figure) if figure is not None and math.isfinite(figure) else None


def or_zero(figure: float) -> float:
    """Return a finite figure, and 0 for what is undefined."""
    return float(figure) if math.isfinite(figure) else 0.0


def predictive_power(train: SegmentScore) -> float:
    """Return the rank IC, or where there is no cross-section the gross Sharpe ratio."""
    return train.rank_ic if math.isfinite(train.rank_ic) else train.sharpe_gross


def traded_sharpe(train: SegmentScore) -> float:
    """Return the net Sharpe ratio that a factor would be traded with: behind the gate, where there is one."""
    return train.sharpe_gated if math.isfinite(train.sharpe_gated) else train.sharpe_net


def sharpe_gated(train: SegmentScore) -> float:
    """Return the net Sharpe ratio behind the gate."""
    return train.sharpe_gated


def sharpe_net(train: SegmentScore) -> float:
    """Return the net Sharpe ratio without a gate."""
    return train.sharpe_net


def least_figure(attempt: AttemptRecord, figure: Figure) -> float:
    """Return a train figure to rank by: what has none comes last."""
    found = figure(train_of(attempt))
    return found if math.isfinite(found) else -math.inf


def passed(attempt: AttemptRecord) -> bool:
    """Whether an attempt passed all gates but, maybe, deflation."""
    return attempt.evaluation is not None and attempt.evaluation.verdict in ("promising", "accepted")


def verdict_of(attempt: AttemptRecord) -> str:
    """Return the verdict's word, or the stage at which the attempt ended."""
    return f"{attempt.stage}: {attempt.code}" if attempt.evaluation is None else attempt.evaluation.verdict


def reasons_of(attempt: AttemptRecord) -> str:
    """Return the reasons for the verdict in one line; nothing where it was not evaluated."""
    return "" if attempt.evaluation is None else "; ".join(attempt.evaluation.evidence.reasons)


def factor_order(attempt: AttemptRecord) -> tuple[int, float, int]:
    """Sort key: accepted, promising, the rest; then train net Sharpe (gated where there is a gate), best first."""
    best = traded_sharpe(train_of(attempt))
    rank = {"accepted": 0, "promising": 1}.get(verdict_of(attempt), 2)
    return rank, -best if math.isfinite(best) else 1e9, attempt.id
