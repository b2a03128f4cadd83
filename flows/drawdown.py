"""The drawdown that the market's states let expect of the next day: what a gate holds near a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel

# What drawdowns are forecast from: volatilities and ranges over several windows, as in HAR (Corsi 2009), their trend,
# and returns, since falls raise volatility more than rises do. Of returns in `_MOVES`, the size counts as well.
INPUTS = ("volatility_5", "volatility_20", "atr_norm", "vol_ratio", "return_1", "return_5")
_MOVES = ("return_1",)
# The least that a forecast can be made from.
_NEEDED = 2
# Of the ridge, in bars: coefficients of so few, and so alike, bars as these are drawn towards 0.
_RIDGE = 20.0
_LEAST_BARS = 60
# A day in which nothing moved: its logarithm has to be a number.
_NO_RANGE = 1e-6


@dataclass(frozen=True, eq=False)
class StateForecast:
    """A logarithm that is linear in features of a state: its mean over the assets is that of the market.

    Attributes
    ----------
    columns, moves
        Places of the features in a state, and of those whose size counts as well.
    weights
        (K,) of the features, then of the sizes.
    offset
        Added to their sum.
    """

    columns: tuple[int, ...]
    moves: tuple[int, ...]
    weights: FloatArray
    offset: float

    def log_level(self, states: FloatArray) -> FloatArray:
        """Return the logarithm for states (..., D); NaN where a state has a NaN."""
        level: FloatArray = self.offset + _inputs(states, self.columns, self.moves) @ self.weights
        return np.where(np.isfinite(states).all(axis=-1), level, np.nan)


def plain_volatility(names: Sequence[str]) -> StateForecast:
    """Return the log volatility over 20 bars, in its deviations: what a plain volatility gate judges."""
    if "volatility_20" not in names:
        raise InputError("the measure volatility needs the feature volatility_20 in the state", _REMEDY)
    return StateForecast((names.index("volatility_20"),), (), np.ones(1), 0.0)


def fit_drawdown(states: FloatArray, names: Sequence[str], panel: Panel, rows: slice) -> StateForecast:
    """Fit the log drawdown that the market is to be expected to have within the next day; see `fit_level`.

    Parameters
    ----------
    states
        (T, N, D) of the panel, or of its first bars.
    names
        Of the D features.
    rows
        What it is fitted on. No bar after them is looked at.

    Raises
    ------
    InputError
        When the state lacks the features it is made from, or fewer than 60 bars are known.
    """
    columns = tuple(names.index(name) for name in INPUTS if name in names)
    if len(columns) < _NEEDED:
        raise InputError(f"a forecast of drawdown needs two of the features {', '.join(INPUTS)}", _REMEDY)
    moves = tuple(names.index(name) for name in _MOVES if name in names)
    day = max(1, round(panel.bars_per_year / 365))
    seen = panel.rows(rows.start, rows.stop)
    returns, ranges = market_moves(seen)
    inputs = market_mean(_inputs(states[rows], columns, moves))
    later, falls = next_mean(ranges, day), next_drawdown(returns, day)
    weights, offset = fit_level(inputs, later, falls)
    return StateForecast(columns, moves, weights, offset)


def fit_level(inputs: FloatArray, later: FloatArray, falls: FloatArray) -> tuple[FloatArray, float]:
    """Fit the log of falls to come, linear in inputs: return weights (K,) and what is added to their sum.

    In two steps, because a fall of one day says little of its scale and is 0 every other day: the log of the range
    to come is regressed on the inputs (ridge); then falls are taken to be proportional to the range that is forecast.

    Parameters
    ----------
    inputs
        (T, K), known at each bar.
    later, falls
        (T,) the mean range and the fall that came after it. Rows with a NaN in any of the three are left out.

    Raises
    ------
    InputError
        When fewer than 60 rows are left.
    """
    known = np.isfinite(inputs).all(axis=1) & np.isfinite(later) & np.isfinite(falls)
    if known.sum() < _LEAST_BARS:
        raise InputError(
            f"a forecast of drawdown needs {_LEAST_BARS} bars with a state, there are {int(known.sum())}",
            "use more bars, or gate by likelihood: [gate] measure",
        )
    x, y = inputs[known], np.log(later[known] + _NO_RANGE)
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-12
    z = (x - mean) / deviation
    weights = np.linalg.solve(z.T @ z + _RIDGE * np.eye(z.shape[1]), z.T @ (y - y.mean())) / deviation
    offset = float(y.mean() - mean @ weights)
    share = float(falls[known].mean() / np.exp(offset + x @ weights).mean())
    return weights, offset + float(np.log(max(share, _NO_RANGE)))


def _inputs(states: FloatArray, columns: Sequence[int], moves: Sequence[int]) -> FloatArray:
    """Return (..., K) the features of states (..., D) at `columns`, and the sizes of those at `moves`."""
    return np.concatenate([states[..., list(columns)], np.abs(states[..., list(moves)])], axis=-1)


def market_mean(values: FloatArray) -> FloatArray:
    """Return (T, K) the mean over the assets whose values (T, N, K) are all known; NaN where none are."""
    known: BoolArray = np.asarray(np.isfinite(values).all(axis=-1))
    total: FloatArray = np.where(known[..., None], values, 0.0).sum(axis=1)
    count = known.sum(axis=1)[:, None]
    mean: FloatArray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def market_moves(panel: Panel) -> tuple[FloatArray, FloatArray]:
    """Return (T,) mean return and mean log true range of the universe at each bar; NaN where none is known."""
    close = panel["close"]
    before = np.vstack([np.full((1, close.shape[1]), np.nan), close[:-1]])
    with np.errstate(all="ignore"):
        moves = close / before - 1.0
        ranges = np.log(np.maximum(panel["high"], before) / np.minimum(panel["low"], before))
    known = np.isfinite(moves) & np.isfinite(ranges) & panel.universe
    found = market_mean(np.where(known[..., None], np.stack([moves, ranges], axis=-1), np.nan))
    return found[:, 0], found[:, 1]


def next_mean(values: FloatArray, bars: int) -> FloatArray:
    """Return (T,) the mean of the next `bars` values (T,); NaN where one is unknown, or not there yet."""
    out = np.full(len(values), np.nan)
    if len(values) > bars:
        out[:-bars] = np.lib.stride_tricks.sliding_window_view(values[1:], bars).mean(axis=1)
    return out


def next_drawdown(returns: FloatArray, bars: int) -> FloatArray:
    """Return (T,) the deepest fall, in log, from a height within the next `bars`; NaN where a return is unknown."""
    out = np.full(len(returns), np.nan)
    if len(returns) > bars:
        windows = np.lib.stride_tricks.sliding_window_view(np.log1p(returns[1:]), bars)
        paths = np.concatenate([np.zeros((len(windows), 1)), np.cumsum(windows, axis=1)], axis=1)
        out[:-bars] = (np.maximum.accumulate(paths, axis=1) - paths).max(axis=1)
    return out


_REMEDY = "see alphaglow.toml: [gate] features and measure"
