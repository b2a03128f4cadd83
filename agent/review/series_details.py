"""What a review draws beyond curves and figures: quantiles over time, payoffs, relatives by return, expectations."""

from __future__ import annotations

import math

import numpy as np

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.review.review_records import CorrelatedFactor, Expectation
from agent.study.study import Study
from backtest.ic import quantile_series
from backtest.luck import fingerprint_of
from backtest.profile import QUANTILES
from backtest.result_types import SegmentScore
from backtest.scorecard import Scored, paid_rows
from market.panel import FloatArray
from market.ranking import rank_panel

# Accepted factors that a page compares a factor with.
MOST_CORRELATED = 8
_EXPECTED = (
    ("rank IC", "ic", "rank_ic"),
    ("turnover a bar", "turnover", "turnover"),
    ("holding, bars", "holding", "duration"),
)


def quantile_returns(study: Study, values: FloatArray) -> FloatArray | None:
    """Return (T, Q) mean forward return of each quantile of a signal (T, N); None of few assets or in a time series."""
    if not study.spec.is_cross_sectional or study.panel.shape[1] < 2 * QUANTILES:
        return None
    signal = np.where(study.panel.universe, values, np.nan)
    found = quantile_series(rank_panel(signal), study.target.forward, QUANTILES)
    return found if np.isfinite(found).any() else None


def correlated_factors(
    study: Study, knowledge: KnowledgeBase, scored: Scored, but: str
) -> tuple[CorrelatedFactor, ...]:
    """Return the accepted factors of the data, but `but`, whose returns on train are most like those of a signal."""
    mine = fingerprint_of(scored.plain_gross[paid_rows(study.split.train)])
    near = knowledge.accepted_nearby(study.dataset, mine, but=but, most=MOST_CORRELATED)
    return tuple(CorrelatedFactor(one.text, one.correlation) for one in near if math.isfinite(one.correlation))


def expectations_of(attempt: AttemptRecord, train: SegmentScore) -> tuple[Expectation, ...]:
    """Return what a writer expected in figures, beside what came on train."""
    said = attempt.claims.other.get("expected")
    figures = said if isinstance(said, dict) else {}
    return tuple(
        Expectation(label, float(figures[key]), float(getattr(train, came)))
        for label, key, came in _EXPECTED
        if isinstance(figures.get(key), (int, float)) and math.isfinite(figures[key])
    )
