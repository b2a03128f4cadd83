"""Scenarios: states drawn from the flow, and what followed the states of the past that are nearest to one's own.

A flow on single states knows no tomorrow: its samples are draws of any day, and as forecasts they are wrong on most. So
forecasts are conditional: in latent space, where the flow has made all directions alike, the past states nearest to the
current one are looked up, and what came after each of them is a scenario (nearest-neighbour resampling, Lall & Sharma
1996).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from flows.density import StateDensity
from flows.ensemble import ensemble_sample
from flows.tails import within
from market.errors import InputError
from market.panel import FloatArray

# Draws that are thrown away, at most, for one that is kept.
_PATIENCE = 20
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Drawn:
    """States (n, D) in the units of the features, and how many draws lay beyond what the tails allow."""

    states: FloatArray
    rejected: int
    temperature: float


def draw_states(density: StateDensity, n: int, seed: int, temperature: float = 1.0) -> Drawn:
    """Draw n states from the flow, latents multiplied by `temperature`: at 1 as history, above 1 wilder.

    What is drawn lies as far out as the fitted tails reach: only draws beyond `Tails.allowed` are rejected and counted.

    Raises
    ------
    InputError
        For a temperature that is not above 0, or one at which nearly all draws lie beyond the tails.
    """
    if not temperature > 0:
        raise InputError(f"the temperature must be above 0, not {temperature}")
    low, high = density.standardiser.tails.allowed(density.low, density.high, temperature)
    generator = torch.Generator().manual_seed(seed)
    kept: list[FloatArray] = []
    found = drawn = 0
    while found < n:
        rows = ensemble_sample(density.members, n, generator, temperature).numpy().astype(np.float64)
        inside = within(rows, low, high)
        kept.append(rows[inside])
        found, drawn = found + int(inside.sum()), drawn + n
        if drawn >= _PATIENCE * n and found < n:
            raise InputError(
                f"at temperature {temperature:g} only {found / drawn:.1%} of draws lie within what the tails allow",
                "use a lower temperature",
            )
    # In random order: ensembles draw member by member.
    states = np.concatenate(kept)[np.random.default_rng(seed).permutation(found)[:n]]
    return Drawn(density.standardiser.invert(states), drawn - found, temperature)


@dataclass(frozen=True)
class FeatureMoments:
    """Of one feature: mean, deviation, skewness, excess kurtosis, and its 1st and 99th percentile."""

    mean: float
    deviation: float
    skewness: float
    kurtosis: float
    low: float
    high: float


def moments(values: FloatArray) -> FeatureMoments:
    """Return the moments of values (M,)."""
    low, high = np.percentile(values, [1, 99])
    # Without scipy.stats, whose import takes half a second.
    away = values - values.mean()
    second = float((away**2).mean())
    known = second > 0
    skewness = float((away**3).mean()) / second**1.5 if known else float("nan")
    excess = float((away**4).mean()) / second**2 - 3.0 if known else float("nan")
    return FeatureMoments(float(values.mean()), float(values.std(ddof=1)), skewness, excess, float(low), float(high))


def correlation_gap(one: FloatArray, other: FloatArray) -> tuple[float, float]:
    """Return the mean and the greatest absolute difference of the features' correlations in two sets of states."""
    gap = np.abs(np.corrcoef(one.T) - np.corrcoef(other.T))
    above = gap[np.triu_indices(len(gap), 1)]
    return float(above.mean()), float(above.max())


@dataclass(frozen=True, eq=False)
class Library:
    """Past points (L, D) to look up, such as latents."""

    points: FloatArray

    def nearest(self, queries: FloatArray, count: int) -> NDArray[np.int64]:
        """Return (Q, count) places of the points nearest to each query (Q, D), in no order."""
        count = min(count, len(self.points))
        points = torch.from_numpy(self.points.astype(np.float32))
        found = []
        for part in torch.split(torch.from_numpy(queries.astype(np.float32)), _CHUNK):
            distance = torch.cdist(part, points)
            found.append(torch.topk(distance, count, dim=1, largest=False, sorted=False).indices)
        places: NDArray[np.int64] = torch.cat(found).numpy()
        return places


@dataclass(frozen=True, eq=False)
class Successors:
    """Past states and what came after each: latents (L, D) of a state, and those of the next bar's (L, D)."""

    now: FloatArray
    then: FloatArray


def successors(latents: FloatArray, limit: int, rng: np.random.Generator) -> Successors:
    """Return at most `limit` pairs of known latents (T, N, D) that follow on each other, of one asset each."""
    now, then = latents[:-1].reshape(-1, latents.shape[-1]), latents[1:].reshape(-1, latents.shape[-1])
    known = np.flatnonzero(np.isfinite(now).all(axis=1) & np.isfinite(then).all(axis=1))
    if len(known) < 100:
        raise InputError(f"only {len(known)} states have a next one", "scenarios need a longer data set")
    if len(known) > limit:
        known = np.sort(rng.choice(known, limit, replace=False))
    return Successors(now[known], then[known])


def draw_paths(
    density: StateDensity,
    past: Successors,
    start: FloatArray,
    *,
    paths: int,
    steps: int,
    neighbours: int,
    temperature: float,
    rng: np.random.Generator,
) -> Drawn:
    """Return paths (paths, steps, D) of states, in the units of the features, from the latent `start` (D,) on.

    Each step goes to what followed one of the `neighbours` nearest past latents, drawn at random; its latent is
    multiplied by `temperature` when it is decoded. Steps beyond what the tails allow are drawn again from other
    neighbours, and counted.
    """
    low, high = density.standardiser.tails.allowed(density.low, density.high, temperature)
    library = Library(past.now)
    current = np.repeat(start[None], paths, axis=0)
    out = np.empty((paths, steps, len(start)))
    rejected = 0
    for step in range(steps):
        near = library.nearest(current, neighbours)
        waiting = np.arange(paths)
        for _ in range(_PATIENCE):
            chosen = near[waiting, rng.integers(near.shape[1], size=len(waiting))]
            states = density.decoded(past.then[chosen] * temperature)
            inside = within(states, low, high)
            done = waiting[inside]
            out[done, step], current[done] = states[inside], past.then[chosen[inside]]
            rejected += int((~inside).sum())
            waiting = waiting[~inside]
            if not len(waiting):
                break
        if len(waiting):
            # Where no neighbour leads further, what followed the first of them comes as it was.
            chosen = near[waiting, 0]
            out[waiting, step], current[waiting] = density.decoded(past.then[chosen]), past.then[chosen]
    return Drawn(density.standardiser.invert(out), rejected, temperature)
