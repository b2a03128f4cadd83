"""How large the best of many trials without skill would be: a test of stated size over everything that was tried.

The largest of N normal scores, under the null that no trial pays, has a distribution that depends on how the trials go
together and on nothing else. It is drawn by a multiplier bootstrap (Chernozhukov, Chetverikov & Kato 2013): each draw
weighs the blocks of time by standard normal numbers, the same for all trials. What a trial needs to take part is its
fingerprint: its returns summed over blocks of time, centred, of length one (see `backtest.luck`). Then each trial's
draw is standard normal, and two trials' draws correlate as their returns do. Clones add nothing, skill adds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from backtest.mean_test import one_sided_p
from market.panel import FloatArray

DRAWS = 2_000
# Correlations of fingerprints are estimates: this share of each trial's variance is taken as its own.
_OWN = 0.05
_STEP = 512


@dataclass(eq=False)
class LargestScores:
    """Draws of the largest score among trials without skill, kept while trials come in.

    Adding a trial costs a product of (draws, blocks) with (blocks,): the draws of the maximum are updated, and no trial
    is read again. Trials over other bars have fingerprints of another length; between those no correlation is known,
    and they are drawn independently, which can only raise the hurdle.

    Attributes
    ----------
    seed
        Of the draws; the same trials in the same order give the same maximum.
    count
        Trials taken in so far.
    largest
        (draws,) the largest score of each draw; minus infinity before the first trial.
    """

    seed: int
    draws: int = DRAWS
    count: int = 0
    largest: FloatArray = field(init=False)
    _weights: dict[int, NDArray[np.float32]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Begin without a trial."""
        self.largest = np.full(self.draws, -np.inf)

    def add(self, fingerprints: Iterable[FloatArray]) -> None:
        """Take in trials by their fingerprints, (blocks,) each; one of no length never moved and is no trial."""
        rows = [row for row in fingerprints if len(row)]
        for start in range(0, len(rows), _STEP):
            self._add(rows[start : start + _STEP])

    def _add(self, rows: list[FloatArray]) -> None:
        for length in sorted({len(row) for row in rows}):
            same = np.array([row for row in rows if len(row) == length], dtype=np.float32)
            shared = self._of_length(length) @ same.T
            own = np.random.default_rng([self.seed, 1, self.count]).standard_normal(shared.shape)
            scores = math.sqrt(1.0 - _OWN) * shared + math.sqrt(_OWN) * own
            np.maximum(self.largest, scores.max(axis=1), out=self.largest)
            self.count += len(same)

    def _of_length(self, length: int) -> NDArray[np.float32]:
        if length not in self._weights:
            rng = np.random.default_rng([self.seed, 0, length])
            self._weights[length] = rng.standard_normal((self.draws, length), dtype=np.float32)
        return self._weights[length]

    def copy(self) -> LargestScores:
        """Return the same draws, which trials added to this one do not change."""
        twin = LargestScores(self.seed, self.draws, self.count)
        twin.largest = self.largest.copy()
        twin._weights.update(self._weights)
        return twin

    def with_more(self, more: float) -> FloatArray:
        """Return the draws when `more` further independent trials are still to come."""
        if more <= 0:
            return self.largest
        u = np.random.default_rng([self.seed, 2]).random(self.draws)
        return np.maximum(self.largest, ndtri(u ** (1.0 / more)))

    def hurdle(self, level: float = 0.05, more: float = 0.0) -> float:
        """Return the score that the best of all these, and of `more`, exceeds with probability `level` by luck."""
        alone = float(ndtri(1.0 - level))
        if self.count + more <= 0:
            return alone
        return max(alone, float(np.quantile(self.with_more(more), 1.0 - level)))

    def adjusted_p(self, z: float, more: float = 0.0) -> float:
        """Return the probability that the best of all these, and of `more`, reaches `z` by luck; NaN for NaN.

        Never below what `z` has as a single trial, nor above what Bonferroni gives for as many independent ones, which
        also serves where no draw reached that far.
        """
        if not math.isfinite(z):
            return float("nan")
        alone = one_sided_p(z)
        trials = max(1.0, self.count + more)
        reached = int((self.with_more(more) >= z).sum())
        most = min(1.0, alone * trials)
        found = (reached + 1.0) / (self.draws + 1.0) if reached else most
        return float(min(max(found, alone), most))

    def effective(self) -> float:
        """Return how many independent trials have the same median of their largest score; at least 1."""
        if self.count == 0:
            return 0.0
        middle = float(np.median(self.largest))
        below = 1.0 - one_sided_p(middle)
        return float(max(1.0, min(math.log(0.5) / math.log(below), self.count))) if below < 1.0 else float(self.count)


def step_down(scores: FloatArray, fingerprints: FloatArray, *, level: float = 0.05, seed: int = 0) -> NDArray[np.bool_]:
    """Return which of N trials pay, with family-wise error `level` (StepM, Romano & Wolf 2005).

    `scores` (N,) are normal scores, `fingerprints` (N, blocks). After each step those found are left out and the hurdle
    is drawn again among the rest, until none is found.
    """
    found = np.zeros(len(scores), dtype=bool)
    while not found.all():
        largest = LargestScores(seed)
        largest.add(fingerprints[~found])
        new = ~found & (scores > largest.hurdle(level))
        if not new.any():
            break
        found |= new
    return found
