"""What to expect of a factor from now on, given all factors that were scored on its data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.stored_returns import stored_returns
from backtest.result_types import Scorecard
from backtest.shrunk_sharpe import LEAST_FACTORS, ShrunkSharpe, net_ratio, shrink


def expected_sharpe(card: Scorecard, factor_id: str, dataset: str, knowledge: KnowledgeBase) -> ShrunkSharpe:
    """Return the shrunk net Sharpe ratio a year of a factor, by all others that were scored on a data set.

    Clones, by the clusters of their returns, count as one factor; the factor's own attempts are left out. Of many
    attempts, a random sample and the newest are taken.
    """
    known = knowledge.recalled(dataset, related="none")
    clusters: Mapping[int, int]
    if known.is_whole:
        clusters = knowledge.trial_clusters(dataset)
    else:
        clusters = stored_returns(knowledge, [dataset], [a.id for a in known.typical]).clusters
    scored = [
        (clusters.get(attempt.id, -attempt.id), net_ratio(found.scorecard.train, found.scorecard.validation))
        for attempt in known.typical
        if (found := attempt.evaluation) is not None and attempt.factor_id != factor_id
    ]
    sizes = Counter(cluster for cluster, _ in scored)
    values = np.array([ratio.value for _, ratio in scored], dtype=np.float64)
    errors = np.array([ratio.error for _, ratio in scored], dtype=np.float64)
    weights = np.array([1.0 / sizes[cluster] for cluster, _ in scored], dtype=np.float64)
    own = net_ratio(card.train, card.validation)
    return shrink(own, values, errors, weights).scaled(math.sqrt(card.bars_per_year))


def forward_sentence(found: ShrunkSharpe) -> str:
    """Say what to expect forward, with its interval and what it rests on."""
    if not math.isfinite(found.mean):
        return (
            f"what to expect forward is not known: {found.factors:.0f} effective factors were scored on these data, "
            f"and {LEAST_FACTORS:.0f} are needed"
        )
    return (
        f"expect forward: a net Sharpe ratio of {found.mean:.2f} a year (90 %: {found.low:.2f} to {found.high:.2f}), "
        f"drawn from {found.raw:.2f} towards those of {found.factors:.0f} effective factors of these data"
    )
