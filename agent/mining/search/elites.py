"""The best factor of each kind (theme by turnover by horizon), so that one good family does not crowd out the rest.

Mouret & Clune 2015, arXiv 1504.04909.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.knowledge.attempt_figures import PREDICTS_T, net_score, or_none, or_zero, traded_sharpe, train_of
from agent.knowledge.records import AttemptRecord
from agent.mining.search.themes import theme_of
from backtest.policy import SEEN

Kind = tuple[str, int, int]
Prints = Mapping[int, NDArray[np.floating]]
_TURNOVERS = (0.02, 0.08, 0.25)
_HORIZONS = (12, 48, 168)
# Returns that correlate so are of one factor.
_ALIKE = 0.9


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


def wrong_way(attempts: Sequence[AttemptRecord], prints: Prints | None = None) -> list[str]:
    """Return factors that pay the other way and were not turned around yet, the surest first; of those alike, one.

    `prints` are fingerprints of returns by the id of an attempt: where one that was scored earns the opposite, the
    factor was turned around, whoever did it.
    """
    turned = {text for a in attempts if a.claims.operation == "invert" for text in a.claims.parents}
    known = {a.id: prints[a.id] for a in attempts if prints is not None and a.id in prints}
    stacks = _Stacks(known.values())
    found: dict[object, AttemptRecord] = {}
    listed: list[NDArray[np.floating]] = []
    for attempt in sorted(attempts, key=_how_wrong):
        if not attempt.canonical or attempt.canonical in turned or not _how_wrong(attempt) <= -1.0:
            continue
        mine, train = known.get(attempt.id), train_of(attempt)
        if mine is not None and (stacks.alike(-mine) or any(_alike(mine, one) for one in listed)):
            continue
        if found.setdefault((or_none(train.rank_ic), or_none(train.turnover)), attempt) is attempt and mine is not None:
            listed.append(mine)
    return [attempt.canonical or "" for attempt in found.values()]


def _how_wrong(attempt: AttemptRecord) -> float:
    """Return how far a factor pays the other way on train: at -1 it is seen to."""
    train = train_of(attempt)
    if math.isfinite(train.payoff_z):
        return train.payoff_z / SEEN
    return or_zero(train.ic_tstat) / PREDICTS_T


def _alike(one: NDArray[np.floating], other: NDArray[np.floating]) -> bool:
    return len(other) == len(one) and float(one @ other) >= _ALIKE


class _Stacks:
    """Fingerprints of one length in one matrix, so that one is compared with all at once."""

    def __init__(self, prints: Iterable[NDArray[np.floating]]) -> None:
        apart: dict[int, list[NDArray[np.floating]]] = {}
        for one in prints:
            apart.setdefault(len(one), []).append(one)
        self._stacks = {length: np.stack(rows) for length, rows in apart.items()}

    def alike(self, one: NDArray[np.floating]) -> bool:
        """Whether any of them goes with these returns."""
        stack = self._stacks.get(len(one))
        return stack is not None and bool((stack @ one >= _ALIKE).any())
