"""What a factor responds to, measured on a made-up market: past returns, and how wild prices were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from factors.engine import evaluate
from factors.table import MARKET_FIELDS, STANDARD_FIELDS
from factors.tree import Expression
from market.panel import BoolArray, FloatArray, Panel
from market.rank_correlation import rank_correlation

_ASSETS, _LEAST_BARS, _MOST_BARS = 10, 400, 4_000
_SEED = 20_240_203
# Horizons of past returns; those beyond the factor's look-back say little of it.
_HORIZONS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610)
# Fewer cells than this say nothing.
_LEAST_CELLS = 200
_DERIVED = frozenset({*STANDARD_FIELDS, *MARKET_FIELDS})


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Rank correlations of a factor's values on a made-up market; NaN where there are too few values.

    Attributes
    ----------
    trend
        With the past return of the horizon at which it is strongest: positive where the value rises as prices rose.
    horizon
        That horizon, in bars.
    confirmed
        The same where more is traded than usual: a factor that volume confirms shows there what it does.
    wildness
        With the deviation of the past returns, over the horizon at which that is strongest.
    """

    trend: float
    horizon: int
    confirmed: float
    wildness: float


def behaviour_of(expression: Expression) -> Behaviour:
    """Measure what a factor responds to.

    The market is the same at every call: independent assets whose returns are drawn, with volatility and volume that
    come in spells. So a correlation is the factor's own doing, and no data of the user's enter.

    Parameters
    ----------
    expression
        With a bounded look-back. Fields that no market is sure to have are made up as positive noise that lasts.
    """
    bars = int(min(max(_LEAST_BARS, 3 * expression.lookback + 100), _MOST_BARS))
    panel = _market(bars, tuple(sorted(_extra(expression.fields))))
    values = evaluate(expression, panel).values
    close, volume = panel.fields["close"], panel.fields["volume"]
    busy = volume > _trailing_mean(volume, 20)
    steps = np.diff(np.log(close), axis=0, prepend=np.nan)
    longest = max(2, expression.lookback)
    horizons = [h for h in _HORIZONS if h <= longest]
    trends = [(_correlation(values, _past_return(close, h)), h) for h in horizons]
    trend, horizon = max(trends, key=lambda one: abs(np.nan_to_num(one[0])))
    confirmed = [_correlation(values, _past_return(close, h), busy) for h in horizons]
    wild = [_correlation(values, _trailing_mean(steps**2, h)) for h in horizons if h > 1]
    return Behaviour(trend, horizon, _strongest(confirmed), _strongest(wild))


def _extra(fields: Iterable[str]) -> set[str]:
    return {name for name in fields if name not in _DERIVED and not (name[:3] == "adv" and name[3:].isdecimal())}


@lru_cache(maxsize=8)
def _market(bars: int, extra: tuple[str, ...]) -> Panel:
    rng = np.random.default_rng(_SEED)
    shape = (bars, _ASSETS)
    level = _lasting(rng, shape, 0.97)
    steps = 0.01 * np.exp(0.5 * level) * rng.standard_normal(shape)
    close = 100.0 * np.exp(np.cumsum(steps, axis=0))
    before = np.vstack([np.full((1, _ASSETS), 100.0), close[:-1]])
    wick = 0.004 * np.abs(rng.standard_normal((2, *shape)))
    fields = {
        "open": before,
        "high": np.maximum(before, close) * (1.0 + wick[0]),
        "low": np.minimum(before, close) * (1.0 - wick[1]),
        "close": close,
        "volume": 1e6 * np.exp(0.6 * _lasting(rng, shape, 0.7)),
    }
    for name in extra:
        fields[name] = np.exp(0.3 * _lasting(rng, shape, 0.9))
    hours = np.datetime64("2024-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "h")
    names = tuple(f"A{k}" for k in range(_ASSETS))
    return Panel(hours, names, fields, np.ones(shape, bool), np.timedelta64(1, "h"), name="made up", simulated=True)


def _lasting(rng: np.random.Generator, shape: tuple[int, int], memory: float) -> FloatArray:
    """Return normal noise of deviation 1 along the first axis, of which a share `memory` lasts from bar to bar."""
    fresh = np.sqrt(1.0 - memory**2) * rng.standard_normal(shape)
    found = np.empty(shape)
    found[0] = rng.standard_normal(shape[1])
    for row in range(1, shape[0]):
        found[row] = memory * found[row - 1] + fresh[row]
    return found


def _past_return(close: FloatArray, bars: int) -> FloatArray:
    found = np.full(close.shape, np.nan)
    found[bars:] = np.log(close[bars:] / close[:-bars])
    return found


def _trailing_mean(values: FloatArray, bars: int) -> FloatArray:
    found = np.full(values.shape, np.nan)
    sums = np.cumsum(np.vstack([np.zeros((1, values.shape[1])), np.nan_to_num(values)]), axis=0)
    found[bars:] = (sums[bars + 1 :] - sums[1:-bars]) / bars
    return found


def _correlation(values: FloatArray, other: FloatArray, where: BoolArray | None = None) -> float:
    known = np.isfinite(values) & np.isfinite(other)
    if where is not None:
        known &= where
    one, two = values[known], other[known]
    if len(one) < _LEAST_CELLS or one.min() == one.max():
        return float("nan")
    return rank_correlation(one, two)


def _strongest(found: Iterable[float]) -> float:
    return max(found, key=lambda one: abs(np.nan_to_num(one)), default=float("nan"))
