"""What a factor adds to the factors that the search has found: its payoff out of sample that the others do not explain.

The returns of a factor on train are hedged by those of the pool's members: each block of time is hedged with loadings
from the other blocks, so no loading is fitted where it is used. What is left over is the marginal payoff, with its
error; its ratio is its score. Returns are rebuilt from fingerprints, which are of returns before costs over blocks of
time, less their mean and of length 1; the mean is the net score, as costs hardly move from bar to bar. Train alone
enters: the pool holds what predicts and earns there, never what validation let through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.knowledge.attempt_figures import net_score, passed_on_train, train_of
from agent.knowledge.records import AttemptRecord
from agent.knowledge.stored_returns import StoredReturns
from backtest.aim import RIDGE
from market.panel import BoolArray, FloatArray

# The pool's size: a regression on this number of factors is small beside the 512 blocks of a fingerprint.
MEMBERS = 12
# Score above which something is added.
ADDS = 2.0
# Fingerprints know a correlation to about 0.04: a residual variance below this share is as good as none.
_RESIDUAL = 0.1
_BLOCKS = 4
Chosen = Callable[[AttemptRecord], bool]


@dataclass
class _Pool:
    """Members by net score, and their fingerprints; `hedges` by the length of what is hedged, while members stay."""

    ids: list[int]
    scores: list[float]
    prints: list[FloatArray]
    most: int = MEMBERS
    hedges: dict[int, Hedge | None] = field(default_factory=dict)

    def added(self, score: float, print_: FloatArray) -> float:
        if len(print_) not in self.hedges:
            known = [k for k, one in enumerate(self.prints) if len(one) == len(print_)]
            rows = [self.prints[k] for k in known]
            own = np.array([self.scores[k] for k in known])
            self.hedges[len(print_)] = Hedge(own, np.stack(rows)) if known and len(print_) else None
        hedge = self.hedges[len(print_)]
        return score if hedge is None else hedge.left_of(score, print_).score

    def holds(self, print_: FloatArray, correlation: float) -> bool:
        """Whether the returns of a member correlate so far, with either sign."""
        return any(len(one) == len(print_) and abs(float(one @ print_)) >= correlation for one in self.prints)

    def take(self, number: int, score: float, print_: FloatArray) -> None:
        self.ids.append(number)
        self.scores.append(score)
        self.prints.append(print_)
        self.hedges.clear()
        if len(self.ids) > self.most:
            least = int(np.argmin(self.scores))
            for column in (self.ids, self.scores, self.prints):
                del column[least]


@dataclass(frozen=True)
class MarginalPayoff:
    """What is left of a factor's payoff beside others, out of sample.

    Attributes
    ----------
    payoff, error
        Mean over blocks, in standard deviations of the factor's own payoff a block, and its standard error.
    explained
        Share of the variance of its payoff that the others explain out of sample, 0 or more.
    """

    payoff: float
    error: float
    explained: float

    @property
    def score(self) -> float:
        """Payoff over error."""
        return self.payoff / self.error


def marginal_payoff(score: float, print_: FloatArray, scores: FloatArray, prints: FloatArray) -> MarginalPayoff:
    """Return what of a factor's payoff others do not explain, from scores and fingerprints of it and of (K,) others.

    `print_` is (B,) and `prints` (K, B), each of length 1.
    """
    return Hedge(scores, prints).left_of(score, print_)


@dataclass(frozen=True)
class _Part:
    """A part of the blocks, and what hedges it: others in the `rest` less their means, and their ridged moments."""

    blocks: NDArray[np.intp]
    rest: BoolArray
    size: np.intp
    fitted: FloatArray
    gram: FloatArray
    others: FloatArray


class Hedge:
    """Others by which factors are hedged, one after the other; see `marginal_payoff`."""

    def __init__(self, scores: FloatArray, prints: FloatArray) -> None:
        count = prints.shape[1]
        # In deviations of a block: a mean of score / sqrt(B) over B blocks has this score.
        others = prints * math.sqrt(count) + scores[:, None] / math.sqrt(count)
        self._parts = [self._part(others, blocks) for blocks in np.array_split(np.arange(count), _BLOCKS)]

    @staticmethod
    def _part(others: FloatArray, blocks: NDArray[np.intp]) -> _Part:
        rest = np.ones(others.shape[1], dtype=bool)
        rest[blocks] = False
        fitted = others[:, rest]
        fitted = fitted - fitted.mean(axis=1, keepdims=True)
        gram = fitted @ fitted.T / rest.sum() + RIDGE * np.eye(len(others))
        return _Part(blocks, rest, rest.sum(), fitted, gram, others[:, blocks])

    def left_of(self, score: float, print_: FloatArray) -> MarginalPayoff:
        """Return what of a factor's payoff these do not explain."""
        count = len(print_)
        own, left = print_ * math.sqrt(count) + score / math.sqrt(count), np.empty(count)
        for part in self._parts:
            paid = own[part.rest]
            loadings = np.linalg.solve(part.gram, part.fitted @ (paid - paid.mean()) / part.size)
            left[part.blocks] = own[part.blocks] - loadings @ part.others
        variance = float(left.var())
        error = math.sqrt(max(_RESIDUAL, variance) / count)
        return MarginalPayoff(float(left.mean()), error, max(0.0, 1.0 - variance))


def added_scores(
    attempts: Sequence[AttemptRecord],
    returns: StoredReturns,
    chosen: Chosen = passed_on_train,
    computed: dict[object, float] | None = None,
) -> dict[int, float]:
    """Return by id the score of what each attempt added to the pool when it came, oldest first.

    What has no net score is left out. A `chosen` factor that adds more than `ADDS` joins the pool; a full one lets its
    weakest go. An attempt without stored returns adds what it nets.

    `computed` holds scores of an earlier call by attempt and pool, which never change; it is left with those of this
    one, so that of a search that goes on only what is new is hedged.
    """
    pool, found = _Pool([], [], []), {}
    before, now, members = computed or {}, dict[object, float](), tuple(pool.ids)
    for attempt in attempts:
        score = net_score(train_of(attempt))
        if not math.isfinite(score):
            continue
        key = (attempt.id, members)
        if key not in before:
            now[key] = pool.added(score, fingerprint_of_attempt(attempt.id, returns.fingerprints))
        else:
            now[key] = before[key]
        found[attempt.id] = now[key]
        if found[attempt.id] > ADDS and attempt.id in returns.fingerprints and chosen(attempt):
            print_ = fingerprint_of_attempt(attempt.id, returns.fingerprints)
            if len(print_):
                pool.take(attempt.id, score, print_)
                members = tuple(pool.ids)
    if computed is not None:
        computed.clear()
        computed.update(now)
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
        print_ = fingerprint_of_attempt(attempt.id, returns.fingerprints)
        if len(print_):
            pool.take(attempt.id, _score(attempt), print_)
    found: list[AttemptRecord] = []
    for attempt in attempts:
        print_ = fingerprint_of_attempt(attempt.id, returns.fingerprints)
        if len(found) < most and not pool.holds(print_, apart) and pool.added(_score(attempt), print_) > ADDS:
            found.append(attempt)
            if len(print_):
                pool.take(attempt.id, _score(attempt), print_)
    return found


def _score(attempt: AttemptRecord) -> float:
    """Return the net score on train; of what earns nothing there, the score of its payoff."""
    net = net_score(train_of(attempt))
    return net if net > ADDS else train_of(attempt).payoff_z


def fingerprint_of_attempt(number: int, known: Mapping[int, object]) -> FloatArray:
    """Return (B,) the stored fingerprint of an attempt's returns, with no values where there is none."""
    return np.asarray(known.get(number, ()), dtype=np.float64)
