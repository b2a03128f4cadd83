"""What to expect of a factor from now on, given all factors that were scored on its data."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from agent.knowledge.looking_up import LookingUp
from backtest.result_types import Scorecard
from backtest.shrunk_sharpe import LEAST_FACTORS, ShrunkSharpe, net_ratio, payoff_ratio, shrink
from market.panel import BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class TriedFactors:
    """The factors that were scored on a data set: ids (N,), ratios a bar and their errors, and clones counted once.

    `net` and `payoff` are (2, N): ratios and errors of net returns, and of payoffs before costs; `clusters` (N,) are
    numbers that clones share. NaN where a ratio is not known.
    """

    ids: tuple[str, ...]
    clusters: tuple[int, ...]
    net: FloatArray
    payoff: FloatArray

    def others(self, factor_id: str) -> tuple[BoolArray, FloatArray]:
        """Return (N,) which are no attempt at a factor, and (N,) the weights of these: each of k clones has 1 / k."""
        kept = np.array([one != factor_id for one in self.ids], dtype=np.bool_)
        sizes = Counter(cluster for cluster, keep in zip(self.clusters, kept, strict=True) if keep)
        weights = [1.0 / sizes[cluster] if keep else 0.0 for cluster, keep in zip(self.clusters, kept, strict=True)]
        return kept, np.array(weights, dtype=np.float64)


def tried_factors(dataset: str, knowledge: LookingUp) -> TriedFactors:
    """Return the factors that were scored on a data set; of many attempts, a random sample and the newest."""
    typical = knowledge.typical_attempts(dataset)
    clusters = knowledge.clusters_among(dataset, [one.id for one in typical])
    scored = [(one, one.evaluation.scorecard) for one in typical if one.evaluation is not None]
    net = [net_ratio(card.train, card.validation) for _, card in scored]
    payoff = [payoff_ratio(card.train, card.validation) for _, card in scored]
    return TriedFactors(
        tuple(attempt.factor_id or "" for attempt, _ in scored),
        tuple(clusters.get(attempt.id, -attempt.id) for attempt, _ in scored),
        np.array([[one.value for one in net], [one.error for one in net]], dtype=np.float64),
        np.array([[one.value for one in payoff], [one.error for one in payoff]], dtype=np.float64),
    )


def expected_sharpe(card: Scorecard, factor_id: str, dataset: str, knowledge: LookingUp) -> ShrunkSharpe:
    """Return the shrunk net Sharpe ratio a year of a factor, by all others that were scored on a data set.

    Clones, by the clusters of their returns, count as one factor; the factor's own attempts are left out. Of many
    attempts, a random sample and the newest are taken.
    """
    tried = tried_factors(dataset, knowledge)
    kept, weights = tried.others(factor_id)
    values, errors = tried.net[:, kept]
    own = net_ratio(card.train, card.validation)
    return shrink(own, values, errors, weights[kept]).scaled(math.sqrt(card.bars_per_year))


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
