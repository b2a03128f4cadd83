"""The best factor of each kind (theme by turnover by horizon), so that one good family does not crowd out the rest.

Mouret & Clune 2015, arXiv 1504.04909.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from agent.knowledge.attempt_figures import PREDICTS_T, net_score, or_none, or_zero, traded_sharpe, train_of
from agent.knowledge.records import AttemptRecord
from agent.mining.search.themes import theme_of
from backtest.policy import SEEN

Kind = tuple[str, int, int]
_TURNOVERS = (0.02, 0.08, 0.25)
_HORIZONS = (12, 48, 168)


def merit(attempt: AttemptRecord) -> float | None:
    """Return the score of what a factor nets on train; behind the gate, where there is one.

    Prediction alone is no merit: what predicts best often changes its mind at every bar. Of attempts that were recorded
    before scores were, the net Sharpe ratio stands for it.
    """
    train = train_of(attempt)
    score = or_none(net_score(train))
    return or_none(traded_sharpe(train)) if score is None else score


def predicts(attempt: AttemptRecord) -> bool:
    """Whether a factor pays on train before costs.

    Of attempts that were recorded before payoffs were, the rank IC, or where there is none the gross Sharpe ratio.
    """
    train = train_of(attempt)
    if math.isfinite(train.payoff_z):
        return train.payoff_z > 0
    return (train.ic_tstat if math.isfinite(train.ic_tstat) else train.sharpe_gross) > 0


def elite_kind(attempt: AttemptRecord) -> Kind:
    """Return theme, bucket of turnover and bucket of horizon."""
    turnover = or_zero(train_of(attempt).turnover)
    return theme_of(attempt), int(np.searchsorted(_TURNOVERS, turnover)), _horizon(attempt.canonical or "")


def _horizon(text: str) -> int:
    """Return the bucket of the shortest window of a factor."""
    found = [int(n) for n in re.findall(r", (\d+)\)", text)]
    return int(np.searchsorted(_HORIZONS, min(found, default=1)))


def archive(attempts: Sequence[AttemptRecord], added: Mapping[int, float] | None = None) -> list[AttemptRecord]:
    """Return of each kind the predictor that earns most, the best of all first.

    With `added`, the score of what each attempt added to the pool when it came, by id, the one that added most: what is
    known of an attempt without is what it earns.
    """

    def rank(attempt: AttemptRecord) -> tuple[float, int]:
        known = None if added is None else added.get(attempt.id)
        return _rank(attempt) if known is None else (-known, attempt.id)

    cells: dict[Kind, AttemptRecord] = {}
    for attempt in predictors(attempts):
        kind = elite_kind(attempt)
        best = cells.get(kind)
        if best is None or rank(attempt) < rank(best):
            cells[kind] = attempt
    return sorted(cells.values(), key=rank)


def best_of_all(attempts: Sequence[AttemptRecord], count: int) -> list[AttemptRecord]:
    """Return the predictors that earn most whatever their kind, each factor once: what an archive is not."""
    unique = {attempt.canonical: attempt for attempt in reversed(list(predictors(attempts)))}
    return by_merit(unique.values())[:count]


def predictors(attempts: Iterable[AttemptRecord]) -> Iterable[AttemptRecord]:
    """Return the attempts that predict the right way on train."""
    return (a for a in attempts if a.canonical is not None and merit(a) is not None and predicts(a))


def by_merit(attempts: Iterable[AttemptRecord]) -> list[AttemptRecord]:
    """Return attempts, the one that earns most first."""
    return sorted(attempts, key=_rank)


def _rank(attempt: AttemptRecord) -> tuple[float, int]:
    its = merit(attempt)
    return math.inf if its is None else -its, attempt.id


def wrong_way(attempts: Sequence[AttemptRecord]) -> list[str]:
    """Return factors that pay the other way and were not turned around yet; of those that rank alike, one."""
    turned = {text for a in attempts if a.claims.operation == "invert" for text in a.claims.parents}
    found: dict[object, str] = {}
    for attempt in attempts:
        train = train_of(attempt)
        other_way = train.payoff_z <= -SEEN if math.isfinite(train.payoff_z) else train.ic_tstat <= -PREDICTS_T
        if attempt.canonical and other_way:
            found.setdefault((or_none(train.rank_ic), or_none(train.turnover)), attempt.canonical)
    return [text for text in found.values() if text not in turned]
