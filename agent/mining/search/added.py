"""What a factor adds to the factors that the search has found: the score of what the others do not explain.

The returns of a factor on train are regressed on those of the pool's members. The score of the intercept is
(z - b'Z) / sqrt(1 - b'r): z and Z are the net scores of the factor and of the members, r the correlations of its
returns with theirs, R those among them, b = R^-1 r. Correlations come from fingerprints, which are of returns before
costs; as costs hardly move from bar to bar, net returns correlate alike. Train alone enters: the pool holds what
predicts and earns there, never what validation let through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.knowledge.attempt_figures import net_score, passed_on_train, train_of
from agent.knowledge.records import AttemptRecord
from agent.knowledge.stored_returns import StoredReturns
from market.panel import FloatArray

# The pool's size: a regression on this number of factors is small beside the 512 blocks of a fingerprint.
MEMBERS = 12
# Score above which something is added.
ADDS = 2.0
# Fingerprints know a correlation to about 0.04: a residual variance below this is as good as none.
_RESIDUAL = 0.1
# Added to the diagonal of R, so that members that are nearly alike share a loading.
_RIDGE = 0.05
Chosen = Callable[[AttemptRecord], bool]


@dataclass
class _Pool:
    """Members by net score, and their fingerprints."""

    ids: list[int]
    scores: list[float]
    prints: list[FloatArray]
    most: int = MEMBERS

    def added(self, score: float, print_: FloatArray) -> float:
        known = [k for k, one in enumerate(self.prints) if len(one) == len(print_)]
        if not known or not len(print_):
            return score
        rows, scores = np.stack([self.prints[k] for k in known]), np.array([self.scores[k] for k in known])
        near = rows @ print_
        loadings = np.linalg.solve(rows @ rows.T + _RIDGE * np.eye(len(known)), near)
        return float((score - loadings @ scores) / math.sqrt(max(_RESIDUAL, 1.0 - float(loadings @ near))))

    def holds(self, print_: FloatArray, correlation: float) -> bool:
        """Whether the returns of a member correlate so far, with either sign."""
        return any(len(one) == len(print_) and abs(float(one @ print_)) >= correlation for one in self.prints)

    def take(self, number: int, score: float, print_: FloatArray) -> None:
        self.ids.append(number)
        self.scores.append(score)
        self.prints.append(print_)
        if len(self.ids) > self.most:
            least = int(np.argmin(self.scores))
            for column in (self.ids, self.scores, self.prints):
                del column[least]


def added_scores(
    attempts: Sequence[AttemptRecord], returns: StoredReturns, chosen: Chosen = passed_on_train
) -> dict[int, float]:
    """Return by id what each attempt added to the pool when it came, oldest first; what has no net score is left out.

    A `chosen` factor that adds more than `ADDS` joins the pool; a full one lets its weakest go. An attempt without
    stored returns adds what it nets.
    """
    pool, found = _Pool([], [], []), {}
    for attempt in attempts:
        score = net_score(train_of(attempt))
        if not math.isfinite(score):
            continue
        print_ = _print_of(attempt.id, returns.fingerprints)
        found[attempt.id] = pool.added(score, print_)
        if found[attempt.id] > ADDS and len(print_) and chosen(attempt):
            pool.take(attempt.id, score, print_)
    return found


def adding(
    attempts: Sequence[AttemptRecord],
    known: Sequence[AttemptRecord],
    returns: StoredReturns,
    *,
    most: int,
    apart: float,
) -> list[AttemptRecord]:
    """Return, of attempts in the order given, the first `most` of which each adds something to those before it.

    Returns of each correlate less than `apart` with those before it. `known` factors stand before them all. What has no
    stored returns adds its score.
    """
    pool = _Pool([], [], [], most=len(known) + most)
    for attempt in known:
        print_ = _print_of(attempt.id, returns.fingerprints)
        if len(print_):
            pool.take(attempt.id, _score(attempt), print_)
    found: list[AttemptRecord] = []
    for attempt in attempts:
        print_ = _print_of(attempt.id, returns.fingerprints)
        if len(found) < most and not pool.holds(print_, apart) and pool.added(_score(attempt), print_) > ADDS:
            found.append(attempt)
            if len(print_):
                pool.take(attempt.id, _score(attempt), print_)
    return found


def _score(attempt: AttemptRecord) -> float:
    """Return the net score on train; of what earns nothing there, the score of its payoff."""
    net = net_score(train_of(attempt))
    return net if net > ADDS else train_of(attempt).payoff_z


def _print_of(number: int, known: Mapping[int, object]) -> FloatArray:
    return np.asarray(known.get(number, ()), dtype=np.float64)
