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
from scipy.stats import kurtosis, skew

from flows.density import StateDensity
from flows.ensemble import ensemble_sample
from market.errors import InputError
from market.panel import BoolArray, FloatArray

# Draws that are thrown away, at most, for one that is kept.
_PATIENCE = 20
_CHUNK = 256
# A draw further outside the box than this share of its width is rejected; nearer ones are put on its edge, where data
# end for a reason: a shadow is not below 0, a position not above 1.
_MARGIN = 0.1


@dataclass(frozen=True, eq=False)
class Drawn:
    """States (n, D) in the units of the features, and how many draws lay outside the box of the data."""

    states: FloatArray
    rejected: int
    temperature: float


def draw_states(density: StateDensity, n: int, seed: int, temperature: float = 1.0) -> Drawn:
    """Draw n states from the flow, latents multiplied by `temperature`; draws far outside the box are rejected.

    Tails of a flow explode: a far latent may be decoded hundreds of deviations out, where nothing was ever learned.

    Raises
    ------
    InputError
        For a temperature that is not above 0, or one at which nearly all draws lie outside.
    """
    if not temperature > 0:
        raise InputError(f"the temperature must be above 0, not {temperature}")
    generator = torch.Generator().manual_seed(seed)
    kept: list[FloatArray] = []
    found = drawn = 0
    while found < n:
        rows = ensemble_sample(density.members, n, generator, temperature).numpy().astype(np.float64)
        rows, inside = within_box(density, rows)
        kept.append(rows[inside])
        found, drawn = found + int(inside.sum()), drawn + n
        if drawn >= _PATIENCE * n and found < n:
            raise InputError(
                f"at temperature {temperature:g} only {found / drawn:.1%} of draws lie within the box of the data",
                "use a lower temperature",
            )
    # In random order: ensembles draw member by member.
    states = np.concatenate(kept)[np.random.default_rng(seed).permutation(found)[:n]]
    return Drawn(in_units(density, states), drawn - found, temperature)


def within_box(density: StateDensity, states: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Return standardised states (n, D) put into the box of train, and (n,) which were in it or near its edge."""
    margin = _MARGIN * (density.high - density.low)
    near = np.isfinite(states) & (states >= density.low - margin) & (states <= density.high + margin)
    inside: BoolArray = near.sum(axis=1) == near.shape[1]
    return np.clip(np.nan_to_num(states), density.low, density.high), inside


def in_units(density: StateDensity, states: FloatArray) -> FloatArray:
    """Return standardised states (..., D) in the units of the features."""
    units: FloatArray = states * density.standardiser.std + density.standardiser.mean
    return units


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
    shape = float(skew(values)), float(kurtosis(values))
    return FeatureMoments(float(values.mean()), float(values.std(ddof=1)), *shape, float(low), float(high))


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
    multiplied by `temperature` when it is decoded. Steps that are decoded outside the box of the data are drawn again
    from other neighbours, and counted.
    """
    library = Library(past.now)
    current = np.repeat(start[None], paths, axis=0)
    out = np.empty((paths, steps, len(start)))
    rejected = 0
    for step in range(steps):
        near = library.nearest(current, neighbours)
        waiting = np.arange(paths)
        for _ in range(_PATIENCE):
            chosen = near[waiting, rng.integers(near.shape[1], size=len(waiting))]
            states, inside = within_box(density, density.decoded(past.then[chosen] * temperature))
            done = waiting[inside]
            out[done, step], current[done] = states[inside], past.then[chosen[inside]]
            rejected += int((~inside).sum())
            waiting = waiting[~inside]
            if not len(waiting):
                break
        if len(waiting):
            # What cannot be drawn inside the box ends on its edge.
            chosen = near[waiting, 0]
            out[waiting, step] = within_box(density, density.decoded(past.then[chosen] * temperature))[0]
            current[waiting] = past.then[chosen]
    return Drawn(in_units(density, out), rejected, temperature)
