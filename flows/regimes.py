"""Market regimes: clusters of states, each a hidden state with its own Gaussian, filtered from the past alone.

Whatever finds the clusters (of features, of latents, the components of a flow with a mixture base, or the states of a
hidden Markov model), the regimes become the same thing: Gaussians of the market's state with a transition matrix
between them. So their one-step predictive likelihoods can be compared on held-out bars, and every label is computed by
the forward recursion from bars up to it; no smoothing over the whole history ever enters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flows.exposure import smoothed
from market.errors import InputError
from market.panel import FloatArray

Method = Literal["features", "latents", "mixture", "hmm"]
Labels = NDArray[np.int64]
# Principal components of the market's state that are kept: what explains so much of it, at most this many.
_EXPLAINED, _COMPONENTS = 0.95, 6
_STARTS = 8
# A regime has at least this share of the bars.
_LEAST_SHARE = 0.01
_ITERATIONS = 60


@dataclass(frozen=True, eq=False)
class Projection:
    """From a market state (D,) to its principal components (P,), scaled to unit variance on train."""

    mean: FloatArray
    matrix: FloatArray

    def apply(self, states: FloatArray) -> FloatArray:
        """Project (T, D) states; NaN rows stay NaN."""
        projected: FloatArray = (states - self.mean) @ self.matrix
        return projected


@dataclass(frozen=True, eq=False)
class RegimeModel:
    """K Gaussians of projected states with transitions between them.

    Attributes
    ----------
    means, covariances, transition
        (K, P), (K, P, P) and (K, K); rows of `transition` sum to 1.
    names
        Of the regimes, such as "calm, up".
    predictive
        Mean one-step predictive log-likelihood on held-out bars, in nats.
    stability
        Adjusted Rand index, on held-out bars, of the labels of the two halves of train.
    """

    method: Method
    projection: Projection
    means: FloatArray
    covariances: FloatArray
    transition: FloatArray
    names: tuple[str, ...] = ()
    predictive: float = float("nan")
    stability: float = float("nan")

    @property
    def count(self) -> int:
        """K."""
        return len(self.means)

    def filter(self, states: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (T, K) p(regime | bars up to t) and (T,) log p(state | bars before) of market states (T, D).

        A bar without a state keeps the beliefs of the last one, moved on by the transitions, and has no likelihood.
        """
        emission = self._log_emission(self.projection.apply(states))
        beliefs = np.empty((len(states), self.count))
        predictive = np.full(len(states), np.nan)
        now: FloatArray | None = None
        for t, seen in enumerate(emission):
            now, predictive[t] = self._moved(now, seen)
            beliefs[t] = np.exp(now)
        return beliefs, predictive

    def step(self, now: FloatArray | None, state: FloatArray) -> FloatArray:
        """Return log beliefs (K,) after one more market state (D,), from those before it; None before the first."""
        return self._moved(now, self._log_emission(self.projection.apply(state[None]))[0])[0]

    def _moved(self, now: FloatArray | None, seen: FloatArray) -> tuple[FloatArray, float]:
        if now is None:
            ahead = np.log(_stationary(self.transition))
        else:
            # Many times as fast as scipy's `logsumexp`, which this loop would spend its time in.
            ahead = np.logaddexp.reduce(now[:, None] + np.log(self.transition), axis=0)
        if not np.isfinite(seen).all():
            return ahead, float("nan")
        joint = ahead + seen
        total = np.logaddexp.reduce(joint)
        return joint - total, float(total)

    def labels(self, states: FloatArray) -> Labels:
        """Return (T,) the likeliest regime of each bar by bars up to it; -1 before the first state."""
        beliefs, _ = self.filter(states)
        first = np.flatnonzero(np.isfinite(states).all(axis=1))
        found: Labels = beliefs.argmax(axis=1)
        found[: first[0] if len(first) else len(found)] = -1
        return found

    def _log_emission(self, x: FloatArray) -> FloatArray:
        out = np.empty((len(x), self.count))
        for k in range(self.count):
            lower = np.linalg.cholesky(self.covariances[k])
            white = np.linalg.solve(lower, (x - self.means[k]).T)
            out[:, k] = -0.5 * ((white**2).sum(axis=0) + x.shape[1] * np.log(2 * np.pi)) - np.log(np.diag(lower)).sum()
        return out


def market_states(states: FloatArray, window: int) -> FloatArray:
    """Return (T, D) the mean state over the assets, averaged over the last `window` bars; NaN without one."""
    known = np.isfinite(states).sum(axis=2) == states.shape[2]
    total = np.where(known[:, :, None], states, 0.0).sum(axis=1)
    mean = total / np.maximum(known.sum(axis=1), 1)[:, None]
    there = known.sum(axis=1) > 0
    return smoothed(np.where(there[:, None], mean, np.nan), window)


def fit_projection(states: FloatArray) -> Projection:
    """Fit principal components on market states (T, D) of train."""
    rows = states[np.isfinite(states).all(axis=1)]
    mean = rows.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.cov((rows - mean).T))
    order = np.argsort(-variances)
    variances, vectors = variances[order], vectors[:, order]
    enough = int(np.searchsorted(np.cumsum(variances) / variances.sum(), _EXPLAINED)) + 1
    kept = min(_COMPONENTS, enough, int((variances > 1e-9).sum()))
    return Projection(mean, vectors[:, :kept] / np.sqrt(variances[:kept]))


def cluster(points: FloatArray, count: int, rng: np.random.Generator) -> Labels:
    """Return (T,) k-means labels of points (T, P), the best of several starts; -1 where a point has a NaN."""
    # Here, since `flow signal` needs regimes, and no search for them.
    from scipy.cluster.vq import kmeans2

    known = np.isfinite(points).all(axis=1)
    rows = points[known]
    best, labels = np.inf, np.zeros(len(rows), dtype=np.int64)
    for _ in range(_STARTS):
        centres, found = kmeans2(rows, count, iter=30, minit="++", rng=rng)
        inertia = float(((rows - centres[found]) ** 2).sum())
        if len(np.unique(found)) == count and inertia < best:
            best, labels = inertia, found.astype(np.int64)
    out = np.full(len(points), -1, dtype=np.int64)
    out[known] = labels
    return out


def from_labels(method: Method, states: FloatArray, labels: Labels, projection: Projection) -> RegimeModel | None:
    """Return the regimes that labels (T,) of market states describe; None where one has too few bars."""
    x = projection.apply(states)
    known = (labels >= 0) & np.isfinite(x).all(axis=1)
    count = int(labels.max()) + 1
    shares = np.bincount(labels[known], minlength=count) / max(1, known.sum())
    if shares.min() < _LEAST_SHARE:
        return None
    pooled = np.cov(x[known].T).reshape(x.shape[1], -1)
    means = np.stack([x[known & (labels == k)].mean(axis=0) for k in range(count)])
    covariances = np.stack([_shrunk(x[known & (labels == k)], pooled) for k in range(count)])
    return RegimeModel(method, projection, means, covariances, _transitions(labels, count))


def fit_hmm(states: FloatArray, count: int, projection: Projection, seed: int) -> RegimeModel | None:
    """Fit a hidden Markov model with Gaussian emissions by Baum-Welch (package hmmlearn)."""
    try:
        from hmmlearn.hmm import GaussianHMM
    except ImportError as error:
        raise InputError("hidden Markov models need the package hmmlearn", "pip install 'alphaglow[flows]'") from error
    x = projection.apply(states)
    x = x[np.isfinite(x).all(axis=1)]
    model = GaussianHMM(count, "full", min_covar=1e-3, n_iter=_ITERATIONS, tol=1e-3 * len(x), random_state=seed)
    model.fit(x)
    share = model.predict_proba(x).mean(axis=0)
    if share.min() < _LEAST_SHARE:
        return None
    transition = 0.999 * model.transmat_ + 0.001 / count
    return RegimeModel("hmm", projection, model.means_, model.covars_ + 1e-4 * np.eye(x.shape[1]), transition)


def _shrunk(rows: FloatArray, pooled: FloatArray) -> FloatArray:
    """Return a covariance that leans on the pooled one where there are few rows."""
    weight = len(rows) / (len(rows) + 10.0 * len(pooled))
    shrunk: FloatArray = weight * np.cov(rows.T).reshape(pooled.shape) + (1 - weight) * pooled
    return shrunk + 1e-4 * np.eye(len(pooled))


def _transitions(labels: Labels, count: int) -> FloatArray:
    """Return (K, K) how often a regime is followed by which, each pair seen once more than it was."""
    table = np.ones((count, count))
    for now, then in pairwise(labels):
        if now >= 0 and then >= 0:
            table[now, then] += 1
    rows: FloatArray = table / table.sum(axis=1, keepdims=True)
    return rows


def _stationary(transition: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eig(transition.T)
    share = np.abs(np.real(vectors[:, int(np.argmax(np.real(values)))]))
    stationary: FloatArray = share / share.sum()
    return stationary


def adjusted_rand(one: Labels, other: Labels) -> float:
    """Return the adjusted Rand index of two labellings (Hubert & Arabie 1985): 1 is the same, 0 is chance."""
    both = (one >= 0) & (other >= 0)
    table = np.zeros((one.max(initial=0) + 1, other.max(initial=0) + 1))
    np.add.at(table, (one[both], other[both]), 1)

    def pairs(counts: FloatArray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    inside, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    total = pairs(np.array([table.sum()]))
    chance = rows * columns / total if total else 0.0
    most = 0.5 * (rows + columns)
    return 1.0 if most == chance else (inside - chance) / (most - chance)


def match(new: RegimeModel, old: RegimeModel) -> RegimeModel:
    """Return `new` with its regimes in the order of the old ones that they are nearest to; further ones come last.

    Regimes are compared as states: projections of two fits differ.
    """
    ahead, behind = _as_states(new), _as_states(old)
    if ahead.shape[1] != behind.shape[1]:
        return new
    distance = ((ahead[:, None] - behind[None]) ** 2).sum(axis=2)
    from scipy.optimize import linear_sum_assignment

    mine, theirs = linear_sum_assignment(distance)
    place = {int(m): int(t) for m, t in zip(mine, theirs, strict=True)}
    order = sorted(range(new.count), key=lambda k: (place.get(k, old.count), k))
    return reordered(new, order)


def reordered(model: RegimeModel, order: Sequence[int]) -> RegimeModel:
    """Return the regimes in another order."""
    chosen = list(order)
    return replace(
        model,
        means=model.means[chosen],
        covariances=model.covariances[chosen],
        transition=model.transition[np.ix_(chosen, chosen)],
        names=tuple(model.names[k] for k in chosen) if model.names else (),
    )


def _as_states(model: RegimeModel) -> FloatArray:
    inverse = np.linalg.pinv(model.projection.matrix)
    states: FloatArray = model.means @ inverse + model.projection.mean
    return states


def name_regimes(labels: Labels, trend: FloatArray, volatility: FloatArray, count: int) -> tuple[str, ...]:
    """Name regimes by the market's trailing return and volatility (T,) while they last.

    Calm, normal or wild: their mean volatility in the order of all regimes. Up or down: their mean trend, beyond a
    fifth of its deviation. The wildest is a crash where it falls by more than half a deviation.
    """
    known = np.isfinite(trend) & np.isfinite(volatility) & (labels >= 0)
    means = [
        (float(trend[known & (labels == k)].mean()), float(np.log(volatility[known & (labels == k)]).mean()))
        for k in range(count)
    ]
    spread = float(trend[known].std())
    wildness = np.argsort(np.argsort([volatility for _, volatility in means]))
    names: list[str] = []
    for (slope, _), rank in zip(means, wildness, strict=True):
        level = rank / max(1, count - 1)
        word = "calm" if level < 0.34 else "normal" if level < 0.67 else "wild"
        side = ", up" if slope > 0.2 * spread else ", down" if slope < -0.2 * spread else ""
        name = "crash" if rank == count - 1 and slope < -0.5 * spread else word + side
        same = sum(other.split(" (")[0] == name for other in names)
        names.append(f"{name} ({same + 1})" if same else name)
    return tuple(names)


def choose_regimes(models: Sequence[RegimeModel], least_stability: float = 0.3) -> RegimeModel:
    """Return the best predictor of held-out bars among the stable ones; the most stable when none is."""
    stable = [model for model in models if model.stability >= least_stability]
    if stable:
        return max(stable, key=lambda model: model.predictive)
    return max(models, key=lambda model: model.stability)


def facts(model: RegimeModel, labels: Labels, returns: Mapping[str, FloatArray]) -> list[dict[str, object]]:
    """Return for each regime its name, share of bars, mean length in bars, and means and deviations of series."""
    found: list[dict[str, object]] = []
    known = labels >= 0
    for k, name in enumerate(model.names):
        inside = known & (labels == k)
        entries = int((inside & ~np.concatenate([[False], inside[:-1]])).sum())
        row: dict[str, object] = {
            "regime": name,
            "share": float(inside.sum() / max(1, known.sum())),
            "bars": int(inside.sum()) / max(1, entries),
        }
        for title, series in returns.items():
            there = series[inside & np.isfinite(series)]
            row[f"{title}_mean"] = float(there.mean()) if len(there) else float("nan")
            row[f"{title}_std"] = float(there.std(ddof=1)) if len(there) > 1 else float("nan")
        found.append(row)
    return found
