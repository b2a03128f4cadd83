"""How large the best of many trials without skill would be: a test of stated size over everything that was tried.

The largest of N normal scores, under the null that no trial pays, has a distribution that depends on how the trials go
together and on nothing else. It is drawn by a multiplier bootstrap (Chernozhukov, Chetverikov & Kato 2013): each draw
multiplies the blocks of time by standard normal numbers, the same for all trials. All it needs of a trial is its
fingerprint: returns summed over blocks of time, centred, of length one (see `backtest.luck`). Then each trial's
draw is standard normal, and two trials' draws correlate as their returns do. Clones add nothing, skill adds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backtest.mean_test import one_sided_p
from backtest.normal_law import ndtri
from market.panel import FloatArray

DRAWS = 2_000
# Correlations of fingerprints are estimates: this share of each trial's variance is taken as its own.
_OWN = 0.05
_STEP = 512
# Trials are drawn in blocks of this many, whether they come one by one or all at once.
_BLOCK = 16


def draw_seed(panel_id: str) -> int:
    """Return the seed of the draws of a panel's trials: its own, so that the same trials give the same hurdle."""
    return int.from_bytes(panel_id.encode()) % 2**63


@dataclass(eq=False)
class LargestScores:
    """Draws of the largest score among trials without skill, kept while trials come in.

    Adding n trials costs a product of (draws, blocks) with (blocks, n): the draws of the maximum are updated, and no
    trial is read again. Trials over other bars have fingerprints of another length; between those no correlation is
    known, and they are drawn independently, which can only raise the hurdle.

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
    _counts: dict[int, int] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Begin without a trial."""
        self.largest = np.full(self.draws, -np.inf)

    def add(self, fingerprints: Iterable[FloatArray]) -> None:
        """Take in trials by their fingerprints, (blocks,) each; one of no length never moved and is no trial."""
        rows = [row for row in fingerprints if len(row)]
        for start in range(0, len(rows), _STEP):
            for _, found in self._drawn(rows[start : start + _STEP]):
                np.maximum(self.largest, found.max(axis=1), out=self.largest)

    def take(self, rows: Sequence[FloatArray]) -> NDArray[np.float32]:
        """Count trials by their fingerprints and return (draws, n) the scores of each, which `largest` leaves out."""
        scores = np.empty((self.draws, len(rows)), dtype=np.float32)
        for places, found in self._drawn(rows):
            scores[:, places] = found
        return scores

    def _drawn(self, rows: Sequence[FloatArray]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """Count trials, and return their scores by the block: which of them, and (draws, n) of each."""
        for length in sorted({len(row) for row in rows}):
            places = [place for place, row in enumerate(rows) if len(row) == length]
            first = self._counts.get(length, 0)
            begin = 0
            while begin < len(places):
                # A trial has its column in its block, however many come at once: the same draws to the last bit.
                block, offset = divmod(first + begin, _BLOCK)
                some = places[begin : begin + _BLOCK - offset]
                padded = np.zeros((_BLOCK, length), dtype=np.float32)
                padded[offset : offset + len(some)] = [rows[place] for place in some]
                yield some, self._block(length, block, padded)[:, offset : offset + len(some)]
                begin += len(some)
            self._counts[length] = first + len(places)
        self.count += len(rows)

    def _block(self, length: int, block: int, padded: NDArray[np.float32]) -> NDArray[np.float32]:
        shared = self._of_length(length) @ padded.T
        own = np.random.default_rng([self.seed, 1, length, block]).standard_normal(shared.shape, dtype=np.float32)
        scores: NDArray[np.float32] = np.float32(math.sqrt(1.0 - _OWN)) * shared + np.float32(math.sqrt(_OWN)) * own
        return scores

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
        twin._counts.update(self._counts)
        return twin

    def state(self) -> tuple[dict[int, int], FloatArray]:
        """Return what `resumed` goes on from: trials by the length of their fingerprints, and the draws."""
        return dict(self._counts), self.largest.copy()

    @classmethod
    def resumed(cls, seed: int, counts: dict[int, int], largest: FloatArray) -> LargestScores:
        """Return draws as they were when `state` was asked: trials added to them give the same to the last bit."""
        found = cls(seed, len(largest), sum(counts.values()))
        found.largest = largest.astype(np.float64)
        found._counts.update(counts)
        return found

    def recipe(self) -> str:
        """Return how scores are drawn, as a text: draws of another recipe cannot be gone on from."""
        return f"{self.draws} draws, {_OWN} own, blocks of {_BLOCK}"

    def with_more(self, more: float) -> FloatArray:
        """Return the draws when `more` further independent trials are still to come."""
        if more <= 0:
            return self.largest
        u = np.random.default_rng([self.seed, 2]).random(self.draws)
        found: FloatArray = np.maximum(self.largest, ndtri(u ** (1.0 / more)))
        return found

    def hurdle(self, level: float = 0.05, more: float = 0.0) -> float:
        """Return the score that the best of all these, and of `more`, exceeds with probability `level` by luck."""
        alone = float(ndtri(1.0 - level))
        if self.count == 0:
            # Independent trials need no draws.
            return float(ndtri((1.0 - level) ** (1.0 / max(more, 1.0))))
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


def step_down_p(
    scores: FloatArray,
    fingerprints: Sequence[FloatArray],
    *,
    level: float = 0.05,
    seed: int = 0,
    more: float = 0.0,
) -> FloatArray:
    """Return (N,) adjusted p-values of all trials at once (StepM, Romano & Wolf 2005); NaN for NaN.

    `scores` (N,) are normal scores, `fingerprints` one (blocks,) a trial, of no length where unknown, and `more` how
    many independent trials there were beside. What is found is left out, and the hurdle drawn again among the rest:
    that is, each trial is compared with the largest of those that score no higher. It finds whatever one test after the
    other finds, and more. What cannot pass at `level` even alone has a p-value from below, which is above `level`.
    """
    alone = np.array([one_sided_p(float(z)) for z in scores])
    rising = sorted(np.flatnonzero(alone <= level).tolist(), key=lambda k: float(scores[k]))
    able = set(rising)
    largest = LargestScores(seed)
    largest.add(row for k, row in enumerate(fingerprints) if k not in able)
    unknown = sum(len(row) == 0 for k, row in enumerate(fingerprints) if k not in able)
    below = float(len(scores) - len(rising)) + more
    running = largest.with_more(more + unknown)
    beyond = 1.0 - np.searchsorted(np.sort(running), scores) / largest.draws
    adjusted: FloatArray = np.maximum(alone, beyond)
    for start in range(0, len(rising), _STEP):
        some = rising[start : start + _STEP]
        # Where returns are not known, draws of its own stand in.
        drawn = largest.take([fingerprints[k] if len(fingerprints[k]) else np.ones(1) for k in some])
        upto = np.maximum(np.maximum.accumulate(drawn, axis=1), running[:, None])
        reached = (upto >= scores[some]).sum(axis=0)
        most = np.minimum(1.0, alone[some] * (below + start + 1.0 + np.arange(len(some))))
        share = np.where(reached > 0, (reached + 1.0) / (largest.draws + 1.0), most)
        adjusted[some] = np.minimum(np.maximum(share, alone[some]), most)
        running = upto[:, -1]
    falling = rising[::-1]
    adjusted[falling] = np.maximum.accumulate(adjusted[falling])
    return adjusted
