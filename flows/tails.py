"""Tails of features: beyond an edge on each side a generalised Pareto law, mapped to the tail of a normal law.

Between its edges a standardised feature stays as it is. Beyond, an exceedance e has the fitted chance
p (1 + xi y / beta)^(-1 / xi) to be larger (Pickands 1975; Balkema & de Haan 1974), and becomes the point of a normal
tail that is as rare. The map is monotone, its slope has no jump at the edge, and its inverse is exact: a flow then sees
light tails, and what it draws has the tails of the data. y is e itself, or, where a feature cannot fall below a floor
(a return of -100 %), the distance to the floor in logarithms, so that no draw lies beyond it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri, ndtri_exp

from factors.features import Feature
from market.panel import BoolArray, FloatArray
from market.pareto import fit_pareto

Which = int | slice | NDArray[np.int64]

# Share of states beyond an edge: large enough to fit a tail on, and beyond what a flow learns well.
_SHARE, _MOST_SHARE, _LEAST_BEYOND = 0.005, 0.05, 50
# A value at the end of the range that came this often is where the feature ends, such as a shadow of 0.
_AT_END = 10
_LOG_2PI = float(np.log(2.0 * np.pi))
# A draw at temperature 1 may lie this many normal deviations out: once in a thousand million states.
_FARTHEST = 6.0
_SIGNS = (-1.0, 1.0)
# The shape of an exponential tail: as good as 0.
_LIGHT = 1e-4


@dataclass(frozen=True, eq=False)
class Tails:
    """Tails of D standardised features, below (row 0, of the negated feature) and above (row 1).

    Attributes
    ----------
    edge
        (2, D) where a tail begins, in deviations; infinite where a side has none, because the feature ends there.
    share
        (2, D) of the states beyond it.
    scale, shape
        (2, D) beta in deviations and xi >= 0 of the generalised Pareto law.
    reach
        (2, D) from the edge to where the feature cannot lie any more; infinite where there is no such place.
    end
        (2, D) of sides without a tail: the last value that the feature has; infinite elsewhere.
    """

    edge: FloatArray
    share: FloatArray
    scale: FloatArray
    shape: FloatArray
    reach: FloatArray
    end: FloatArray

    def stacked(self) -> FloatArray:
        """Return all as one array (6, 2, D), for storage; `Tails(*array)` is the inverse."""
        return np.stack([self.edge, self.share, self.scale, self.shape, self.reach, self.end])

    def apply(self, values: FloatArray) -> FloatArray:
        """Map standardised features (..., D) into states, in place, and return them; NaN stays NaN."""
        rows = values.reshape(-1, values.shape[-1])
        for side, sign in enumerate(_SIGNS):
            places = np.nonzero(sign * rows > self.edge[side])
            rows[places] = sign * self._tail(side, places[1]).mapped(sign * rows[places])
        return rows.reshape(values.shape)

    def invert(self, states: FloatArray) -> FloatArray:
        """Map states (..., D) back to standardised features; what noise has put beyond an end is put on it."""
        out = np.clip(states, -self.end[0], self.end[1])
        rows = out.reshape(-1, out.shape[-1])
        for side, sign in enumerate(_SIGNS):
            places = np.nonzero(sign * rows > self.edge[side])
            rows[places] = sign * self._tail(side, places[1]).exceeded(sign * rows[places])[0]
        return rows.reshape(out.shape)

    def log_slope(self, states: FloatArray, columns: Sequence[int] | None = None) -> FloatArray:
        """Return (...) log |det d state / d standardised feature| of states (..., D); NaN where one is unknown.

        Of some `columns` alone, if they are given.
        """
        rows = states.reshape(-1, states.shape[-1])
        total = np.where(np.isfinite(rows).all(axis=1), 0.0, np.nan)
        for side, sign in enumerate(_SIGNS):
            places = np.nonzero(sign * rows > self.edge[side])
            if columns is not None:
                asked = np.isin(places[1], columns)
                places = (places[0][asked], places[1][asked])
            np.add.at(total, places[0], self._tail(side, places[1]).exceeded(sign * rows[places])[1])
        return total.reshape(states.shape[:-1])

    def allowed(self, low: FloatArray, high: FloatArray, temperature: float) -> tuple[FloatArray, FloatArray]:
        """Return the least and the greatest state (D,) that is drawn at a temperature.

        Tails end where a normal latent of 6 deviations, times the temperature, would lie; sides without a tail end one
        deviation beyond the box `low`, `high` (D,) of train.
        """
        found = []
        for side, box in enumerate((-low, high)):
            tail = self._tail(side, slice(None))
            with np.errstate(invalid="ignore"):
                # Never nearer than history: at a low temperature train itself would lie outside.
                far = tail.edge + tail.stretch * (_FARTHEST * max(temperature, 1.0) - tail.normal)
            found.append(np.where(np.isfinite(tail.edge), np.maximum(far, box), box + 1.0))
        return -found[0], found[1]

    def rarity(self, feature: int, side: int, values: FloatArray) -> FloatArray:
        """Return the fitted chance (...) that a state lies beyond standardised values; NaN nearer than the edge."""
        tail, at = self._tail(side, feature), _SIGNS[side] * values
        with np.errstate(invalid="ignore"):
            chance = tail.share * np.exp(-tail.rareness(at))
        return np.where(at >= tail.edge, chance, np.nan)

    def level(self, feature: int, side: int, chance: float) -> float:
        """Return the standardised value that a state lies beyond with a small chance; NaN where that is no tail."""
        tail = self._tail(side, feature)
        if not np.isfinite(tail.edge) or chance > tail.share:
            return float("nan")
        found = tail.at_rareness(np.array([np.log(float(tail.share)) - np.log(chance)]))
        return float(_SIGNS[side] * found[0])

    def _tail(self, side: int, which: Which) -> _Tail:
        """Return the tails of one side of some features: those of a column each, or of all."""
        parts = (self.edge, self.share, self.scale, self.shape, self.reach)
        return _Tail(*(part[side][which] for part in parts))


@dataclass(frozen=True, eq=False)
class _Tail:
    """Tails upwards, one to each value that they are asked about; fields as those of `Tails`."""

    edge: FloatArray
    share: FloatArray
    scale: FloatArray
    shape: FloatArray
    reach: FloatArray

    @property
    def normal(self) -> FloatArray:
        """Where a normal law has the same share beyond."""
        return np.asarray(-ndtri(self.share))

    @property
    def stretch(self) -> FloatArray:
        """Deviations of the feature to one of the normal law, so that the slope is 1 at the edge."""
        return np.asarray(self.scale * np.exp(-0.5 * (self.normal**2 + _LOG_2PI)) / self.share)

    def rareness(self, values: FloatArray) -> FloatArray:
        """Return -log of the chance to lie beyond values, among those beyond the edge."""
        over = _to_floor(values - self.edge, self.reach)
        return np.asarray(np.log1p(self.shape * over / self.scale) / self.shape)

    def at_rareness(self, rare: FloatArray) -> FloatArray:
        """Undo `rareness`."""
        return np.asarray(self.edge + _from_floor(self._over(rare), self.reach))

    def _over(self, rare: FloatArray) -> FloatArray:
        # A number that no float can hold is as good as any other that is far beyond what is ever drawn.
        return np.asarray(self.scale * np.expm1(np.minimum(self.shape * rare, 600.0)) / self.shape)

    def mapped(self, values: FloatArray) -> FloatArray:
        """Return the states of values beyond the edge."""
        return np.asarray(
            self.edge - self.stretch * (ndtri_exp(np.log(self.share) - self.rareness(values)) + self.normal)
        )

    def exceeded(self, states: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the values of states beyond the edge, and log d state / d value."""
        at = self.normal + (states - self.edge) / self.stretch
        log_chance = log_ndtr(-at)
        rare = np.log(self.share) - log_chance
        over = self._over(rare)
        slope = np.log(self.stretch) + log_chance + 0.5 * (at**2 + _LOG_2PI) - np.log(self.scale + self.shape * over)
        return self.edge + _from_floor(over, self.reach), slope + over / self.reach


def _to_floor(over: FloatArray, reach: FloatArray) -> FloatArray:
    """Return exceedances as logarithms of the way that is left to the floor, where there is one."""
    bounded = np.isfinite(reach)
    way = np.where(bounded, reach, 1.0)
    # A value at the floor itself, or below it by rounding, stays finite.
    return np.where(bounded, -way * np.log1p(-np.minimum(over / way, 1.0 - 1e-12)), over)


def _from_floor(over: FloatArray, reach: FloatArray) -> FloatArray:
    """Undo `_to_floor`."""
    bounded = np.isfinite(reach)
    way = np.where(bounded, reach, 1.0)
    return np.where(bounded, -way * np.expm1(-over / way), over)


@dataclass(frozen=True, eq=False)
class Limits:
    """Where features (D,) cannot lie, in their units, and which tails are light.

    Attributes
    ----------
    floor
        What a feature never falls to, or -inf.
    low, high
        The ends of its range, or infinite.
    light
        Logarithms: the logarithm of what has a Pareto tail has an exponential one.
    """

    floor: FloatArray
    low: FloatArray
    high: FloatArray
    light: BoolArray

    def standardised(self, mean: FloatArray, std: FloatArray) -> Limits:
        """Return the limits of standardised features."""
        return Limits((self.floor - mean) / std, (self.low - mean) / std, (self.high - mean) / std, self.light)


def no_limits(dim: int) -> Limits:
    """Return that features may lie anywhere."""
    below = np.full(dim, -np.inf)
    return Limits(below, below, np.full(dim, np.inf), np.zeros(dim, dtype=bool))


# Features of a known range: patterns of their expressions, with its ends.
_RANGES = (
    (r"rsi\(.*\)", 0.0, 100.0),
    (r"\(close - ts_min\(low, \d+\)\) / \(ts_max\(high, (\d+)\) - ts_min\(low, \d+\)\)", 0.0, 1.0),
    (r"\(close - open\) / \(high - low\)", -1.0, 1.0),
    (r"\((high - max\(open, close\)|min\(open, close\) - low)\) / \(high - low\)", 0.0, 1.0),
    (r"\((high - max\(open, close\)|min\(open, close\) - low)\) / atr\(.*\)", 0.0, np.inf),
)


def limits_of(features: Sequence[Feature]) -> Limits:
    """Return where features cannot lie, by their expressions: a return is above -1, a shadow is not below 0."""
    ranges = [_range(feature.text) for feature in features]
    floors = np.array([_floor(feature.text) for feature in features])
    low, high = (np.array(ends) for ends in zip(*ranges, strict=True))
    return Limits(floors, low, high, np.array([feature.text.startswith("log(") for feature in features]))


def _range(text: str) -> tuple[float, float]:
    found = (ends for pattern, *ends in _RANGES if re.fullmatch(pattern, text))
    low, high = next(found, (-np.inf, np.inf))
    return low, high


def _floor(text: str) -> float:
    """Return below which value a feature cannot lie: -1 for a return, -k for a sum of k; -inf for all others."""
    if text == "returns" or re.fullmatch(r"ts_returns\(close, \d+\)", text):
        return -1.0
    summed = re.fullmatch(r"ts_sum\(returns, (\d+)\)", text)
    return -float(summed[1]) if summed else -np.inf


def fit_tails(rows: FloatArray, limits: Limits) -> Tails:
    """Fit tails on standardised train features (M, D) with their limits."""
    dim = rows.shape[1]
    parts = np.full((6, 2, dim), np.inf)
    share = float(np.clip(_LEAST_BEYOND / len(rows), _SHARE, _MOST_SHARE))
    edges = np.quantile(rows, [share, 1.0 - share], axis=0)
    for k in range(dim):
        for side, (sign, end) in enumerate(zip(_SIGNS, (limits.low, limits.high), strict=True)):
            edge, floor = sign * edges[side, k], -limits.floor[k] if side == 0 else np.inf
            found = _fit_side(sign * rows[:, k], edge, share, floor, sign * end[k])
            if limits.light[k] and np.isfinite(found[0]):
                over = sign * rows[:, k] - edge
                found = (found[0], found[1], float(over[over > 0].mean()), _LIGHT, *found[4:])
            parts[:, side, k] = found
    return Tails(*parts)


def _fit_side(values: FloatArray, edge: float, share: float, floor: float, end: float) -> tuple[float, ...]:
    """Return edge, share, scale, shape, reach and end of the upper tail of values (M,)."""
    greatest = float(values.max())
    beyond = values > edge
    ended = (values == greatest).sum() >= _AT_END or beyond.sum() < 2
    if np.isfinite(end) or ended:
        return np.inf, share, 1.0, _LIGHT, np.inf, end if np.isfinite(end) else greatest
    reach = floor - edge
    scale, shape = fit_pareto(_to_floor(values[beyond] - edge, np.asarray(reach)))
    return edge, float(beyond.mean()), scale, shape, reach, np.inf


def within(states: FloatArray, low: FloatArray, high: FloatArray) -> BoolArray:
    """Return (...) which states (..., D) are finite and between `low` and `high` (D,)."""
    return np.asarray((np.isfinite(states) & (states >= low) & (states <= high)).all(axis=-1))
