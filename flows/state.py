"""Market states: features of a panel as points that have a density."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factors.engine import evaluate_all
from factors.features import STATE_FEATURES, Feature
from factors.parse import parse
from factors.table import STANDARD_FIELDS
from factors.tree import Expression
from flows.tails import Limits, Tails, fit_tails, no_limits
from market.errors import InputError, Rejection
from market.panel import BoolArray, FloatArray, Panel

# Width of the noise that spreads ties, in standard deviations of a feature: far below anything a market state means,
# and wide enough that no flow can pile up likelihood on a line of equal values (doji candles, a range's edge).
DEQUANTISE = 0.05
# Numbers that are scrambled at a time.
_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class Standardiser:
    """Mean and standard deviation of the features on train, (D,) each, and their tails in those deviations."""

    mean: FloatArray
    std: FloatArray
    tails: Tails

    def apply(self, features: FloatArray) -> FloatArray:
        """Return features (..., D) as states: standardised, with tails as light as a normal law's."""
        # In place: on a large panel each copy is 100 MB.
        out = features - self.mean
        out /= self.std
        return self.tails.apply(out)

    def invert(self, states: FloatArray) -> FloatArray:
        """Return states (..., D) in the units of the features; see `Tails.invert`."""
        units: FloatArray = self.tails.invert(states) * self.std + self.mean
        return units


def build_features(panel: Panel, features: Sequence[Feature] = STATE_FEATURES) -> FloatArray:
    """Return (T, N, D) raw features, NaN in warm-up and outside the universe; any of our expressions may be one.

    A candle without a range has no shadows: ``body_ratio`` and ``upper_shadow``, which divide by the range, are 0
    there.

    Raises
    ------
    InputError
        For an expression that cannot be read on this panel.
    """
    expressions = feature_expressions(panel, features)
    flat = panel["high"] == panel["low"]
    layers = [
        finished(feature, signal.values, flat, panel.universe)
        for feature, signal in zip(features, evaluate_all(expressions, panel), strict=True)
    ]
    return np.stack(layers, axis=-1)


def features_reach(panel: Panel, features: Sequence[Feature]) -> int:
    """Return how many bars back a state may depend on; see `feature_expressions`."""
    found = [expression.lookback for expression in feature_expressions(panel, features) if expression.is_bounded]
    return max(found, default=0)


def feature_expressions(panel: Panel, features: Sequence[Feature]) -> list[Expression]:
    """Return the expressions of features; one that cannot be read on this panel is an `InputError`."""
    expressions = []
    for feature in features:
        expression = parse(feature.text, fields=(*STANDARD_FIELDS, *panel.fields), bar=panel.bar)
        if isinstance(expression, Rejection):
            raise InputError(f"the feature {feature.name} cannot be read: {expression.one_line()}", expression.hint)
        expressions.append(expression)
    return expressions


def finished(feature: Feature, values: FloatArray, flat: BoolArray, universe: BoolArray) -> FloatArray:
    """Return a feature's values, of any shape, NaN outside the universe; `flat` is where a candle has no range."""
    if feature.name in ("body_ratio", "upper_shadow"):
        values = np.where(flat, 0.0, values)
    return np.where(universe, values, np.nan)


def fit_standardiser(features: FloatArray, limits: Limits | None = None) -> Standardiser:
    """Fit mean, deviation and tails on (..., D) train features; rows with NaN are left out.

    Mean and deviation are of values clipped at the 0.1 % quantiles, so that one crash cannot set the scale of
    everything. `limits` are where features cannot lie (`flows.tails.limits_of`); without, they may lie anywhere.
    """
    rows = features.reshape(-1, features.shape[-1])
    rows = rows[np.isfinite(rows).all(axis=1)]
    low, high = np.quantile(rows, [0.001, 0.999], axis=0)
    cut = np.clip(rows, low, high)
    mean, deviation = cut.mean(axis=0), cut.std(axis=0)
    deviation = np.where(deviation > 1e-12, deviation, 1.0)
    known = (no_limits(len(mean)) if limits is None else limits).standardised(mean, deviation)
    return Standardiser(mean, deviation, fit_tails((rows - mean) / deviation, known))


def dequantise(states: FloatArray, times: NDArray[np.datetime64], assets: tuple[str, ...]) -> FloatArray:
    """Add uniform noise of width `DEQUANTISE` to states (T, N, D).

    The noise is a hash of bar time, asset name and feature: the same bar always gets the same noise, whether or not
    later bars exist, and nothing random is drawn.
    """
    names = np.array([_hash_text(asset) for asset in assets], dtype=np.uint64)
    stamps = times.astype("datetime64[ns]").astype("int64").astype(np.uint64)
    layers = np.arange(1, states.shape[-1] + 1, dtype=np.uint64)
    out = states.copy()
    with np.errstate(over="ignore"):
        cells, salts = _mix(stamps)[:, None] ^ _mix(names), _mix(layers * np.uint64(0x9E37))
        # All features at once, for as many bars as fit a cache: of a single live bar there is little in each.
        bars = max(1, _AT_ONCE // max(1, len(names) * len(salts)))
        for start in range(0, len(stamps), bars):
            part = slice(start, start + bars)
            uniform = (_mix(cells[part, :, None] ^ salts) >> np.uint64(11)).astype(np.float64) / float(1 << 53)
            out[part] += DEQUANTISE * (uniform - 0.5)
    return out


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit integers (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _hash_text(text: str) -> int:
    import hashlib

    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def prepared(features: FloatArray, standardiser: Standardiser, panel: Panel) -> FloatArray:
    """Return (T, N, D) standardised and dequantised states; NaN rows stay NaN."""
    return dequantise(standardiser.apply(features), panel.times, panel.assets)


def known_rows(states: FloatArray) -> FloatArray:
    """Return (M, D) the states without NaN."""
    rows = states.reshape(-1, states.shape[-1])
    return rows[np.isfinite(rows).all(axis=1)]
