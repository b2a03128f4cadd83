"""Combining signals: each becomes ranks of a bar, weights are read from moments of train, the sum is one signal.

A member is normalised as in Gu, Kelly & Xiu 2020 (section 2.1): its rank among the assets of the bar, centred. Every
member then has the same spread on every bar, and an outlier of one cannot outvote the others. What a member does not
know counts as the middle of its ranks, which is no opinion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.errors import InputError
from market.panel import FloatArray
from market.ranking import Ranked

# An asset gets a combined value where members with this share of the absolute weight know it.
LEAST_SHARE = 0.5
# Decimals of a combined value: the order in which members are summed must not decide a rank.
DECIMALS = 12
PENALTIES = tuple(10.0 ** (k / 2) for k in range(-6, 7))
FOLDS = 5
# The rank of an asset of which a member knows nothing.
UNKNOWN = np.int16(-32768)
_BLOCK_CELLS = 4_000_000


@dataclass(frozen=True, eq=False)
class Members:
    """Ranked signals of one panel, in two bytes a value: a hundred of them must fit beside the panel.

    Attributes
    ----------
    ranks
        (K, T, N) twice the average rank, less count + 1: 0 is the middle of the bar. Exact, as ranks are halves.
    counts
        (K, T) assets that were ranked.
    """

    ranks: NDArray[np.int16]
    counts: NDArray[np.int32]

    @classmethod
    def empty(cls, members: int, shape: tuple[int, int]) -> Members:
        """Make room for this many members on a panel of this shape (T, N); none knows anything yet."""
        if shape[1] > 32_767:
            raise InputError(f"{shape[1]} assets are too many to combine signals of", "use at most 32767")
        ranks = np.full((members, *shape), UNKNOWN, dtype=np.int16)
        return cls(ranks, np.zeros((members, shape[0]), dtype=np.int32))

    def put(self, number: int, ranked: Ranked) -> None:
        """Store a member's ranks (see `market.ranking.rank_panel`)."""
        centred = 2.0 * ranked.ranks - (ranked.counts[:, None] + 1.0)
        self.ranks[number] = np.where(np.isfinite(centred), centred, UNKNOWN).astype(np.int16)
        self.counts[number] = ranked.counts

    def normalised(self, number: int) -> FloatArray:
        """Return (T, N) what of one member is combined: ``cs_rank`` less its mean, in (-1/2, 1/2); NaN unknown."""
        ranks = self.ranks[number].astype(np.float64)
        with np.errstate(all="ignore"):
            found: FloatArray = np.where(ranks == UNKNOWN, np.nan, ranks / (2.0 * self.counts[number][:, None]))
        return found


def combine(members: Members, weights: FloatArray, rows: slice | None = None) -> FloatArray:
    """Return (T, N) the sum of normalised members times (K,) weights; of `rows`, where they are given.

    An unknown member adds nothing. A value is NaN where less than half of the absolute weight knows the asset, and is
    rounded to 12 decimals.
    """
    first, stop = (0, members.ranks.shape[1]) if rows is None else (rows.start, rows.stop)
    out = np.empty((stop - first, members.ranks.shape[2]))
    _combine(members.ranks, members.counts, np.asarray(weights, dtype=np.float64), LEAST_SHARE, first, out)
    return np.asarray(np.round(out, DECIMALS), dtype=np.float64)


@njit(cache=True, error_model="numpy", nogil=True)
def _combine(
    ranks: NDArray[np.int16],
    counts: NDArray[np.int32],
    weights: FloatArray,
    least_share: float,
    first: int,
    out: FloatArray,
) -> None:
    members, _, width = ranks.shape
    known = np.empty(width)
    # A hair below the half: weights of a third each add up to a little less than one.
    least = least_share * np.abs(weights).sum() * (1.0 - 1e-9)
    for row in range(len(out)):
        t = first + row
        total = out[row]
        total[:] = 0.0
        known[:] = 0.0
        for k in range(members):
            if weights[k] == 0.0 or counts[k, t] < 1:
                continue
            scale = weights[k] / (2.0 * counts[k, t])
            size = abs(weights[k])
            line = ranks[k, t]
            for i in range(width):
                opinion = line[i] != UNKNOWN
                total[i] += scale * line[i] if opinion else 0.0
                known[i] += size if opinion else 0.0
        for i in range(width):
            if known[i] < least or known[i] == 0.0:
                total[i] = np.nan


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over asset-bars of normalised members x and returns y, both less their mean over the bar.

    Attributes
    ----------
    gram, cross, square
        (K, K) sum of x x', (K,) sum of x y, sum of y y.
    rows
        Asset-bars: those with a return that at least one member knows.
    """

    gram: FloatArray
    cross: FloatArray
    square: float
    rows: int

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.gram + other.gram, self.cross + other.cross, self.square + other.square, self.rows + other.rows
        )

    def without(self, number: int) -> Moments:
        """Return the moments of all members but one."""
        keep = np.delete(np.arange(len(self.cross)), number)
        return Moments(self.gram[np.ix_(keep, keep)], self.cross[keep], self.square, self.rows)


def moments_of(members: Members, forward: FloatArray, part: slice) -> Moments:
    """Return the moments of the bars of `part`, block by block: memory does not grow with time.

    `forward` is (T, N), NaN where there is no return.
    """
    count, _, width = members.ranks.shape
    step = max(1, _BLOCK_CELLS // (max(count, 1) * width))
    gram, cross = np.zeros((count, count)), np.zeros(count)
    square, rows = 0.0, 0
    x, y = np.empty((count, step * width)), np.empty(step * width)
    for first in range(part.start, part.stop, step):
        used = _design(members.ranks, members.counts, forward, first, min(first + step, part.stop), x, y)
        block, paid = x[:, :used], y[:used]
        gram += block @ block.T
        cross += block @ paid
        square += float(paid @ paid)
        rows += used
    return Moments(gram, cross, square, rows)


@njit(cache=True, error_model="numpy", nogil=True)
def _design(
    ranks: NDArray[np.int16],
    counts: NDArray[np.int32],
    forward: FloatArray,
    first: int,
    stop: int,
    x: FloatArray,
    y: FloatArray,
) -> int:
    """Fill columns of `x` and `y` with the usable assets of each bar; return how many."""
    members, _, width = ranks.shape
    columns = np.empty(width, dtype=np.int64)
    used = 0
    for t in range(first, stop):
        here = 0
        mean = 0.0
        for i in range(width):
            known = False
            for k in range(members):
                if ranks[k, t, i] != UNKNOWN:
                    known = True
                    break
            if known and abs(forward[t, i]) < np.inf:
                columns[here] = i
                mean += forward[t, i]
                here += 1
        if here < 2:
            continue
        mean /= here
        for place in range(here):
            y[used + place] = forward[t, columns[place]] - mean
        for k in range(members):
            scale = 1.0 / (2.0 * counts[k, t]) if counts[k, t] > 0 else 0.0
            total = 0.0
            for place in range(here):
                value = ranks[k, t, columns[place]]
                x[k, used + place] = scale * value if value != UNKNOWN else 0.0
                total += x[k, used + place]
            for place in range(here):
                x[k, used + place] -= total / here
        used += here
    return used


@dataclass(frozen=True, eq=False)
class Folds:
    """Moments of blocks of train in time order: the body of each, and its last bars, whose labels reach into the next.

    What is fitted before block j takes all blocks before it but the end of block j - 1 (López de Prado 2018, ch. 7).
    """

    bodies: tuple[Moments, ...]
    ends: tuple[Moments, ...]

    @property
    def whole(self) -> Moments:
        """All of train."""
        return _total([*self.bodies, *self.ends])

    def block(self, number: int) -> Moments:
        """Return a block with its end."""
        return self.bodies[number] + self.ends[number]

    def before(self, number: int) -> Moments:
        """Return all that may be known when a block, which is not the first, begins."""
        return _total([*self.bodies[:number], *self.ends[: number - 1]])

    def first(self, number: int) -> Folds:
        """Return the first this many blocks."""
        return Folds(self.bodies[:number], self.ends[:number])

    def without(self, number: int) -> Folds:
        """Return the folds of all members but one."""
        return Folds(tuple(b.without(number) for b in self.bodies), tuple(e.without(number) for e in self.ends))


def fold_edges(part: slice, *, purge: int, folds: int = FOLDS) -> list[int]:
    """Return where folds + 1 blocks of equal length begin, and where the last one ends.

    Raises
    ------
    InputError
        When a block is no longer than the `purge` bars before the next.
    """
    edges = np.linspace(part.start, part.stop, folds + 2).astype(int)
    if min(np.diff(edges)) <= purge:
        raise InputError(
            f"{part.stop - part.start} bars of train are too few for {folds} folds with {purge} bars between them",
            "use more bars",
        )
    return [int(edge) for edge in edges]


def fold_moments(members: Members, forward: FloatArray, edges: Sequence[int], *, purge: int) -> Folds:
    """Return the moments of blocks between `edges`; `purge` bars are left out before each test."""
    cuts = list(pairwise(edges))
    bodies = tuple(moments_of(members, forward, slice(a, b - purge)) for a, b in cuts)
    return Folds(bodies, tuple(moments_of(members, forward, slice(b - purge, b)) for _, b in cuts))


def _total(parts: Sequence[Moments]) -> Moments:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def equal_weights(count: int) -> FloatArray:
    """Return the same weight for each member; one that predicts with the wrong sign should be negated first."""
    return np.full(count, 1.0 / count)


def ic_weights(means: FloatArray, tstats: FloatArray) -> FloatArray:
    """Return weights by rank IC, each shrunk by what of it may be chance: IC (1 - 1 / t^2), and 0 where |t| <= 1.

    The positive-part James-Stein estimate of each mean (Efron & Morris 1973) for weights by IC (Grinold & Kahn 2000,
    ch. 11). Signs are kept: a member with a negative IC is turned round. Not scaled; undefined is 0.
    """
    with np.errstate(all="ignore"):
        kept = np.maximum(1.0 - 1.0 / tstats**2, 0.0)
    found: FloatArray = np.where(np.isfinite(means * kept), means * kept, 0.0)
    return found


def ridge_weights(moments: Moments, share: float) -> FloatArray:
    """Return the ridge regression of returns on members (Hoerl & Kennard 1970), from moments.

    The penalty is `share` times the mean of the Gram matrix's diagonal. A large one ends at weights by covariance with
    returns, one by one; a small one at least squares.
    """
    return np.asarray(_ridge_path(moments, np.array([share]))[0], dtype=np.float64)


def _ridge_path(moments: Moments, shares: FloatArray) -> FloatArray:
    """Return (P, K) weights for each penalty, from one decomposition."""
    # Imported where it is used: a search that combines nothing does not pay for it.
    import scipy.linalg

    values, vectors = scipy.linalg.eigh(moments.gram)
    level = float(np.trace(moments.gram)) / max(len(values), 1)
    if level <= 0:
        return np.zeros((len(shares), len(values)))
    turned = vectors.T @ moments.cross
    divided: FloatArray = turned / (np.maximum(values, 0.0) + shares[:, None] * level)
    return np.asarray(divided @ vectors.T, dtype=np.float64)


@dataclass(frozen=True)
class Penalty:
    """The chosen penalty, and by penalty the mean correlation of forecasts with returns over the folds."""

    share: float
    scores: tuple[tuple[float, float], ...]


def choose_penalty(folds: Folds, shares: Sequence[float] = PENALTIES) -> Penalty:
    """Return the largest ridge penalty that does about as well as the best in folds, each forecast from bars before it.

    Forecasts are judged by correlation with returns, not by squared error: a portfolio is brought to one size, so the
    scale of a forecast is never traded. About as well: what is lacking on average is no more than one standard error
    of it over folds (the one-standard-error rule of Breiman et al. 1984, on paired differences). The largest penalty is
    also taken where there is one block only, and nothing to choose by.
    """
    grid = np.asarray(sorted(shares))
    if len(folds.bodies) < 2:
        return Penalty(float(grid[-1]), ())
    scores = []
    for number in range(1, len(folds.bodies)):
        weights = _ridge_path(folds.before(number), grid)
        test = folds.block(number)
        spread = np.einsum("pk,kl,pl->p", weights, test.gram, weights) * test.square
        with np.errstate(all="ignore"):
            scores.append(np.where(spread > 0, weights @ test.cross / np.sqrt(spread), 0.0))
    found = np.array(scores)
    means = found.mean(axis=0)
    lacking = found[:, [int(np.argmax(means))]] - found
    error = lacking.std(axis=0, ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.zeros(len(grid))
    alike = np.flatnonzero(lacking.mean(axis=0) <= error)
    return Penalty(float(grid[alike[-1]]), tuple(zip(grid.tolist(), means.tolist(), strict=True)))


def nonneg_weights(moments: Moments) -> FloatArray:
    """Return non-negative least squares of returns on members (Lawson & Hanson 1974), from moments.

    The Gram matrix is rooted by its eigenvalues, so members that are copies of one another share one weight.
    """
    # Imported where it is used: a search that combines nothing does not pay for it.
    import scipy.linalg
    import scipy.optimize

    values, vectors = scipy.linalg.eigh(moments.gram)
    keep = values > 1e-10 * max(float(values[-1]), 0.0)
    if not keep.any() or values[-1] <= 0:
        return np.zeros(len(values))
    root = np.sqrt(values[keep])
    basis = vectors[:, keep].T
    found, _ = scipy.optimize.nnls(root[:, None] * basis, (basis @ moments.cross) / root)
    return np.asarray(found, dtype=np.float64)


def unit_weights(weights: FloatArray) -> FloatArray | None:
    """Return weights whose absolute values sum to 1, in 9 significant digits; None where all are 0."""
    total = float(np.abs(weights).sum())
    if not total > 0 or not np.isfinite(total):
        return None
    return np.array([float(f"{w:.9g}") for w in weights / total])
