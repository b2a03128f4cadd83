"""Weights of a pool that is traded slowly: members that add something to one another, by what they net at one rate.

Gârleanu & Pedersen (2013) trade a share of the way to an aim, in which a signal counts for less the faster it decays.
Here that discount is not modelled but measured: members' payoffs are those of positions that are traded at the rate,
net of costs, so a signal that is gone before the position has moved pays little there. For a signal whose correlation
with itself falls by a share phi a bar, the measured discount is theirs: rate / (rate + phi (1 - rate)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from backtest.mean_test import mean_test
from backtest.slow_payoffs import SlowPayoffs
from market.panel import FloatArray

# A member joins while what it adds to those before it has a score above this. It is lenient: weights are shrunk to one
# another afterwards, and on real markets ten that add little each went on earning more surely than the best three.
JOINS = 0.0
MOST = 40
# Added to correlations of members, so that those that are nearly alike share a loading.
RIDGE = 0.05
# What is added to the diagonal of the shrunk correlations; a large one ends at weights by score.
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)
_RESIDUAL = 0.1
# Steps towards the costs that members cause the pool that they make.
_STEPS = 10


@dataclass(frozen=True, eq=False)
class Joined:
    """Members that joined, and what their weights are made of.

    Attributes
    ----------
    count
        Members that there were to choose from: K.
    members, added
        (J,) numbers of those that joined, in this order, and the score of what each added to those before it.
    ratios, correlations
        (J,) and (J, J) Sharpe ratios a bar and correlations of their payoffs, both shrunk.
    deviations
        (J,) standard deviations of their payoffs a bar.
    """

    count: int
    members: tuple[int, ...]
    added: tuple[float, ...]
    ratios: FloatArray
    correlations: FloatArray
    deviations: FloatArray

    def weights(self, penalty: float) -> FloatArray:
        """Return (K,) weights as `backtest.combine.combine` takes them: 0 or more, with a sum of 1 unless all are 0.

        They are the ridge solution of mean and variance on payoffs (Britten-Jones 1999) without negative weights:
        `penalty` is added to the diagonal of the correlations.
        """
        found = np.zeros(self.count)
        if self.members:
            own = positive_weights(self.ratios, self.correlations + penalty * np.eye(len(self.members)))
            # Of payoffs of deviation 1: a member that moves more needs less of its rank.
            found[list(self.members)] = own / np.maximum(self.deviations, 1e-300)
        total = float(found.sum())
        return found / total if total > 0.0 else found


@dataclass(frozen=True, eq=False)
class WalkedAim:
    """Weights that go forward through train at one rate.

    Attributes
    ----------
    early
        (K,) weights for each block, from the bars before it: all 0 for the first, of which nothing is known.
    last, joined
        (K,) weights from all of train, and the members behind them.
    penalties
        Of each block but the first, and of all of train.
    """

    early: tuple[FloatArray, ...]
    last: FloatArray
    penalties: tuple[float, ...]
    joined: Joined


def added_score(score: float, near: FloatArray, scores: FloatArray, among: FloatArray, ridge: float = RIDGE) -> float:
    """Return the score of what others do not explain of a series: that of the intercept of a regression on them.

    (z - b'Z) / sqrt(1 - b'r), with z and Z (K,) the scores of the series and of the others, r (K,) their correlations
    with it, R (K, K) those among them, and b = (R + ridge)^-1 r.
    """
    return float(_added(np.array([score]), near[:, None], scores, among, ridge)[0])


def _added(
    own: FloatArray, near: FloatArray, scores: FloatArray, among: FloatArray, ridge: float = RIDGE
) -> FloatArray:
    """Return (C,) as `added_score`, for scores `own` (C,) and `near` (K, C) at once."""
    if not len(scores):
        return own
    loadings = np.linalg.solve(among + ridge * np.eye(len(scores)), near)
    left = np.maximum(_RESIDUAL, 1.0 - (loadings * near).sum(axis=0))
    return np.asarray((own - scores @ loadings) / np.sqrt(left), dtype=np.float64)


def join(
    scores: FloatArray, correlations: FloatArray, *, least: float = JOINS, most: int = MOST
) -> list[tuple[int, float]]:
    """Return members in the order in which they join, greedily, with what each added to those before it.

    The first has the largest score; each next one adds the largest score of what the others do not explain; it ends
    where nothing adds more than `least`. A member whose own score is not above 0 never joins. `scores` (K,),
    `correlations` (K, K); NaN is a member that never trades.
    """
    open_to = [k for k in range(len(scores)) if scores[k] > 0.0]
    joined: list[tuple[int, float]] = []
    while open_to and len(joined) < most:
        there = [k for k, _ in joined]
        among = correlations[np.ix_(there, there)]
        added = _added(scores[open_to], correlations[np.ix_(there, open_to)], scores[there], among)
        best = int(np.argmax(added))
        if not added[best] > least:
            break
        joined.append((open_to.pop(best), float(added[best])))
    return joined


def shrunk_correlations(payoffs: FloatArray) -> tuple[FloatArray, float]:
    """Return (K, K) correlations of payoffs (T, K) shrunk towards none, and by which share (Ledoit & Wolf 2004).

    Columns are brought to mean 0 and deviation 1 first; one that does not vary is uncorrelated with all.
    """
    count, width = payoffs.shape
    gaps = payoffs - payoffs.mean(axis=0)
    deviation = gaps.std(axis=0)
    unit = np.divide(gaps, deviation, out=np.zeros_like(gaps), where=deviation > 1e-300)
    sample = unit.T @ unit / count
    np.fill_diagonal(sample, 1.0)
    if width < 2:
        return sample, 0.0
    # Distance of the sample from its target, and how much of it is noise.
    distance = float(((sample - np.eye(width)) ** 2).sum())
    squares = unit**2
    noise = float(((squares.T @ squares) / count - sample**2).sum()) / count
    share = 1.0 if distance <= 0.0 else min(1.0, max(0.0, noise / distance))
    return (1.0 - share) * sample + share * np.eye(width), share


def shrunk_ratios(payoffs: FloatArray) -> FloatArray:
    """Return (K,) Sharpe ratios a bar of payoffs (T, K), drawn together by what of their spread may be chance.

    The positive-part estimate of James & Stein towards their mean, as of Efron & Morris (1973): alike members end at
    one ratio, and so at equal risk.
    """
    tests = [mean_test(one) for one in payoffs.T]
    deviation = payoffs.std(axis=0)
    ratios = np.array([test.mean / d if d > 1e-300 else 0.0 for test, d in zip(tests, deviation, strict=True)])
    if len(ratios) < 4:
        return ratios
    errors = np.array([test.error / d if d > 1e-300 else 0.0 for test, d in zip(tests, deviation, strict=True)])
    spread = float(((ratios - ratios.mean()) ** 2).sum())
    noise = float(np.nanmean(errors**2))
    kept = max(0.0, 1.0 - (len(ratios) - 3.0) * noise / spread) if spread > 0.0 else 0.0
    found: FloatArray = ratios.mean() + kept * (ratios - ratios.mean())
    return found


def join_members(gross: FloatArray, costs: FloatArray, together: FloatArray, *, most: int = MOST) -> Joined:
    """Return which members join by what each earns and pays alone at one rate, with what weights need.

    `gross` and `costs` are (K, T), `together` (K, K) correlations of trades. A member is charged the share of its own
    costs that it causes the pool: the correlation of its trades with the pool's, as costs rise with the size of trades
    and opposite ones cancel. That depends on the pool, so it is found by steps, from the pool of all members alike.
    """
    count = len(gross)
    means, paid = gross.mean(axis=1), costs.mean(axis=1)
    errors = np.array([mean_test(one).error for one in gross - costs])
    errors = np.where(errors > 0.0, errors, np.inf)
    near = _correlations(gross - costs)
    weights, shares = np.full(count, 1.0 / max(count, 1)), np.ones(count)
    found = _nobody(count)
    for step in range(_STEPS):
        caused = trade_shares(weights, paid, together)
        shares = caused if step == 0 else 0.5 * (shares + caused)
        joined = join((means - shares * paid) / errors, near, most=most)
        if not joined:
            return _nobody(count)
        found = _joined(gross, costs, shares, joined)
        weights = found.weights(PENALTIES[-1])
    # What the last steps assumed must hold of the pool that came of them.
    caused = trade_shares(weights, paid, together)
    return found if float(weights @ (means - caused * paid)) > 0.0 else _nobody(count)


def trade_shares(weights: FloatArray, costs: FloatArray, together: FloatArray) -> FloatArray:
    """Return (K,) the share of its own costs that each member causes a pool with these weights, in [0, 1].

    The pool's changes of position have the size sqrt(v' C v), with v the weights times the sizes of the members' own
    changes (their costs, up to a factor) and C their correlations. A little more of a member adds to it the correlation
    of its changes with the pool's, times their size.
    """
    moved = weights * costs
    size = float(moved @ together @ moved)
    if not size > 0.0:
        return np.ones(len(weights))
    found: FloatArray = np.clip(together @ moved / math.sqrt(size), 0.0, 1.0)
    return found


def _correlations(payoffs: FloatArray) -> FloatArray:
    """Return (K, K) correlations of payoffs (K, T); one that never varies goes with none."""
    varied = payoffs.std(axis=1) > 0.0
    near = np.eye(len(payoffs))
    if varied.sum() > 1:
        near[np.ix_(varied, varied)] = np.corrcoef(payoffs[varied])
    return near


def _joined(gross: FloatArray, costs: FloatArray, shares: FloatArray, joined: Sequence[tuple[int, float]]) -> Joined:
    kept = [k for k, _ in joined]
    own = (gross[kept] - shares[kept, None] * costs[kept]).T
    return Joined(
        len(gross),
        tuple(kept),
        tuple(added for _, added in joined),
        shrunk_ratios(own),
        shrunk_correlations(own)[0],
        own.std(axis=0),
    )


def _nobody(count: int) -> Joined:
    return Joined(count, (), (), np.zeros(0), np.zeros((0, 0)), np.zeros(0))


def walk_aim(
    slow: SlowPayoffs,
    rate: float,
    edges: Sequence[int],
    *,
    purge: int,
    penalties: Sequence[float] = (),
    most: int = MOST,
) -> WalkedAim:
    """Return weights at one of the rates for each block between `edges` from the bars before it, and from all of them.

    The last `purge` bars before a block are left out: their labels reach into it. A block's penalty is chosen from how
    penalties did on the blocks before it, each with weights from before it (`choose_penalty_from`); `penalties` takes
    the place of choosing.
    """
    number = slow.rates.index(rate)
    gross, costs, together = slow.gross[:, number], slow.costs[:, number], slow.together[number]

    def until(stop: int) -> Joined:
        rows = slice(edges[0], stop)
        return join_members(gross[:, rows].astype(float), costs[:, rows].astype(float), together, most=most)

    blocks = list(pairwise(edges))
    known, whole = [until(first - purge) for first, _ in blocks[1:]], until(edges[-1])
    ratios: list[list[float]] = []
    chosen: list[float] = []
    early = [np.zeros(len(gross))]
    for place, ((first, stop), joined) in enumerate(zip(blocks[1:], known, strict=True)):
        chosen.append(penalties[place] if penalties else choose_penalty_from(ratios))
        early.append(joined.weights(chosen[-1]))
        paid = gross[:, first:stop] - costs[:, first:stop]
        ratios.append([_ratio(joined.weights(one) @ paid) for one in PENALTIES])
    chosen.append(penalties[-1] if penalties else choose_penalty_from(ratios))
    return WalkedAim(tuple(early), whole.weights(chosen[-1]), tuple(chosen), whole)


def choose_penalty_from(ratios: Sequence[Sequence[float]]) -> float:
    """Return the largest of `PENALTIES` that did about as well as the best; `ratios` are by block and penalty.

    About as well: what it lacks in Sharpe ratio a bar, on average over blocks, is no more than one standard error of it
    (Breiman et al. 1984). Below two blocks it is the largest of all.
    """
    if len(ratios) < 2:
        return PENALTIES[-1]
    found = np.array(ratios)
    lacking = found[:, [int(np.argmax(found.mean(axis=0)))]] - found
    error = lacking.std(axis=0, ddof=1) / math.sqrt(len(found))
    return PENALTIES[int(np.flatnonzero(lacking.mean(axis=0) <= error)[-1])]


def _ratio(series: FloatArray) -> float:
    deviation = float(series.std())
    return float(series.mean()) / deviation if deviation > 0.0 else 0.0


def positive_weights(ratios: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return (K,) the weights of 0 or more that maximise w'm - w'Aw / 2, for means m and a positive definite A."""
    # Imported where it is used: a search that combines nothing does not pay for it.
    import scipy.linalg
    import scipy.optimize

    lower = scipy.linalg.cholesky(matrix, lower=True)
    found, _ = scipy.optimize.nnls(lower.T, scipy.linalg.solve_triangular(lower, ratios, lower=True))
    return np.asarray(found, dtype=np.float64)
