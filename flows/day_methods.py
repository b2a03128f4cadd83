"""Forecasts of the market's next day by several methods: each is fitted on a past, and says a whole distribution.

GARCH(1,1) with Student's t (Bollerslev 1987), HAR of log ranges (Corsi 2009), linear quantile regression (Koenker and
Bassett 1978), and the conditional flow with and without its inputs. Plugins add others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import minimize
from scipy.signal import lfilter
from scipy.stats import norm
from scipy.stats import t as student

from flows.conditional import ConditionalFlow, ConditionalPlan, fit_conditional
from flows.day_series import WINDOWS, DaySeries
from market.errors import InputError
from market.panel import FloatArray
from market.plugins import Registry

# A distribution is shown by this many quantiles, in the middle of as many equal shares.
LEVELS: FloatArray = (np.arange(100) + 0.5) / 100
# Quantiles that are regressed; those between are interpolated, on a normal scale.
_REGRESSED = np.array([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995])
_HAR = len(WINDOWS)
# Of the ridge, in days.
_RIDGE = 20.0
_LEAST_SCALE = 1e-6
_REMEDY = "correct the distribution that adds it: flows.day_methods.Predicted says what it must be"
# Normal quantiles of the return over which the probability of a wild day is averaged.
_SHARES: FloatArray = (np.arange(32) + 0.5) / 32


@dataclass(frozen=True, eq=False)
class Predicted:
    """Distributions of the day after each of M days.

    Attributes
    ----------
    quantiles
        (M, 100) of the log return, at `LEVELS`.
    below
        (M, C) probabilities of a return below each of some values.
    wild
        (M,) probability of a log range above a value; NaN where a method says nothing of it.
    log_density
        (M,) in nats, of the return that came; NaN where there is none, or no density.
    """

    quantiles: FloatArray
    below: FloatArray
    wild: FloatArray
    log_density: FloatArray


@dataclass(frozen=True, eq=False)
class Asked:
    """What a distribution is asked: returns (C,) to be below, a log range to be above."""

    below: FloatArray
    wild: float


class DayModel(Protocol):
    """A fitted method."""

    def predict(self, days: DaySeries, rows: slice, asked: Asked) -> Predicted:
        """Return what it expects of the day after each of `rows`, from that day and earlier ones."""
        ...


# From a past, and the model that was fitted before on less of it or None, to a fitted model.
Method = Callable[[DaySeries, DayModel | None], DayModel]


def checked(name: str, made: object, days: int, tails: int) -> Predicted:
    """Return what a method predicted of `days` days; other shapes are an `InputError` that names the method."""
    if not isinstance(made, Predicted):
        raise InputError(f"the forecast {name!r} is a {type(made).__name__}", _REMEDY)
    wanted = {"quantiles": (days, len(LEVELS)), "below": (days, tails), "wild": (days,), "log_density": (days,)}
    for part, shape in wanted.items():
        found = np.shape(getattr(made, part))
        if found != shape:
            raise InputError(f"the forecast {name!r} has {part} of the shape {found}, and not {shape}", _REMEDY)
    return made


def outcomes(days: DaySeries, rows: slice) -> FloatArray:
    """Return (M, 2) the log return and log range of the day after each of `rows`; NaN after the newest."""
    every = np.stack([days.returns, days.ranges], axis=1)
    later: FloatArray = np.vstack([every[1:], np.full((1, 2), np.nan)])[rows]
    return later


@dataclass(frozen=True, eq=False)
class FlowDay:
    """The conditional flow of return and range, in units of the range that a linear forecast expects.

    `level` (K + 1,) is that forecast: a constant, and the weights of the inputs; zeros without inputs. The flow starts
    from what HAR knows, and learns what is left: shape, skew, tails, and how the four depend on the inputs.
    """

    flow: ConditionalFlow
    level: FloatArray

    def predict(self, days: DaySeries, rows: slice, asked: Asked) -> Predicted:
        """See `DayModel`."""
        x, came = days.inputs[rows], outcomes(days, rows)
        level = _level(x, self.level)
        unit = np.exp(level)
        law = self.flow.law(x)
        drawn = law.quantile(_SHARES)
        wild = [1.0 - self.flow.law(x, drawn[:, k : k + 1]).below(asked.wild - level) for k in range(len(_SHARES))]
        quantiles = law.quantile(LEVELS) * unit[:, None]
        below = law.below(asked.below[None, :] / unit[:, None])
        density = law.log_density(came[:, 0] / unit) - level
        return Predicted(quantiles, below, np.mean(wild, axis=0), density)


def _level(inputs: FloatArray, weights: FloatArray) -> FloatArray:
    level: FloatArray = weights[0] + inputs @ weights[1:]
    return level


def _fit_flow(inputs: bool) -> Method:
    def fit(past: DaySeries, before: DayModel | None) -> DayModel:
        start = before.flow if isinstance(before, FlowDay) else None
        came = outcomes(past, slice(None))
        level = _fit_level(past.inputs, came[:, 1]) if inputs else np.zeros(past.inputs.shape[1] + 1)
        expected = _level(past.inputs, level)
        scaled = np.stack([came[:, 0] / np.exp(expected), came[:, 1] - expected], axis=1)
        return FlowDay(fit_conditional(scaled, past.inputs, ConditionalPlan(inputs=inputs), start), level)

    return fit


def _fit_level(inputs: FloatArray, ranges: FloatArray) -> FloatArray:
    """Return (K + 1,) the ridge regression of the log range to come on the inputs: a constant, then weights."""
    known = np.isfinite(inputs).all(axis=1) & np.isfinite(ranges)
    x, y = inputs[known], ranges[known]
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-12
    z = (x - mean) / deviation
    weights = np.linalg.solve(z.T @ z + _RIDGE * np.eye(z.shape[1]), z.T @ (y - y.mean())) / deviation
    return np.concatenate([[y.mean() - mean @ weights], weights])


@dataclass(frozen=True, eq=False)
class Garch:
    """Variance is `omega` + `alpha` times the last square + `beta` times the last variance; shocks have a t law."""

    mean: float
    omega: float
    alpha: float
    beta: float
    freedom: float
    variance: float

    def variances(self, returns: FloatArray) -> FloatArray:
        """Return (T,) the variance that is expected of the day after each."""
        squares = (returns - self.mean) ** 2
        first = np.array([self.beta * self.variance])
        expected: FloatArray = lfilter([1.0], [1.0, -self.beta], self.omega + self.alpha * squares, zi=first)[0]
        return expected

    def predict(self, days: DaySeries, rows: slice, asked: Asked) -> Predicted:
        """See `DayModel`."""
        scale = np.sqrt(self.variances(days.returns)[rows] * (self.freedom - 2.0) / self.freedom)
        nothing = np.full(len(scale), np.nan)
        return _student(self.mean, scale, self.freedom, asked, nothing, outcomes(days, rows)[:, 0])


def _student(
    mean: float, scale: FloatArray, freedom: float, asked: Asked, wild: FloatArray, came: FloatArray
) -> Predicted:
    law = student(freedom)
    z = (asked.below[None, :] - mean) / scale[:, None]
    density = law.logpdf((came - mean) / scale) - np.log(scale)
    return Predicted(mean + scale[:, None] * law.ppf(LEVELS)[None, :], law.cdf(z), wild, density)


def fit_garch(past: DaySeries, _before: DayModel | None = None) -> Garch:
    """Fit GARCH(1,1) with Student's t by maximum likelihood."""
    returns = past.returns
    unit = float(returns.var()) + _LEAST_SCALE**2

    def model(raw: FloatArray) -> Garch:
        last, share = 1.0 / (1.0 + np.exp(-raw[0])), 1.0 / (1.0 + np.exp(-raw[1]))
        # `last` is alpha + beta, below 1; `share` is alpha's part of it.
        alpha, beta = last * share, last * (1.0 - share)
        omega = unit * np.exp(raw[2]) * (1.0 - last)
        return Garch(float(raw[4] * np.sqrt(unit)), omega, alpha, beta, 2.05 + float(np.exp(raw[3])), unit)

    def loss(raw: FloatArray) -> float:
        made = model(raw)
        variance = np.concatenate([[unit], made.variances(returns)[:-1]])
        scale = np.sqrt(variance * (made.freedom - 2.0) / made.freedom)
        return -float((student.logpdf((returns - made.mean) / scale, made.freedom) - np.log(scale)).mean())

    found = minimize(
        loss, np.array([3.0, -2.2, 0.0, 1.5, 0.0]), method="L-BFGS-B", bounds=[(-6, 9), (-6, 6)] + [(-6, 6)] * 3
    )
    return model(found.x)


@dataclass(frozen=True, eq=False)
class Har:
    """The log range is linear in log ranges, with normal errors; the return is in proportion to it, with a t law."""

    weights: FloatArray
    error: float
    mean: float
    ratio: float
    freedom: float

    def predict(self, days: DaySeries, rows: slice, asked: Asked) -> Predicted:
        """See `DayModel`."""
        level = _har_level(days.inputs[rows], self.weights)
        wild = norm.sf((asked.wild - level) / self.error)
        return _student(self.mean, self.ratio * np.exp(level), self.freedom, asked, wild, outcomes(days, rows)[:, 0])


def _har_level(inputs: FloatArray, weights: FloatArray) -> FloatArray:
    level: FloatArray = weights[0] + inputs[:, :_HAR] @ weights[1:]
    return level


def fit_har(past: DaySeries, _before: DayModel | None = None) -> Har:
    """Fit HAR by least squares, and the law of the return by maximum likelihood."""
    came = outcomes(past, slice(None))
    known = np.isfinite(past.inputs).all(axis=1) & np.isfinite(came).all(axis=1)
    x, (returns, ranges) = past.inputs[known], came[known].T
    design = np.column_stack([np.ones(len(x)), x[:, :_HAR]])
    weights = np.linalg.lstsq(design, ranges, rcond=None)[0]
    level = _har_level(x, weights)
    freedom, place, ratio = student.fit(returns / np.exp(level))
    # What is left of a constant return is in deviations there; on average it is this.
    return Har(weights, float((ranges - level).std()), float(place * np.exp(level).mean()), ratio, max(freedom, 2.05))


@dataclass(frozen=True, eq=False)
class QuantileLines:
    """Quantiles that are linear in the inputs, put in order where they cross."""

    weights: FloatArray
    mean: FloatArray
    deviation: FloatArray

    def predict(self, days: DaySeries, rows: slice, asked: Asked) -> Predicted:
        """See `DayModel`."""
        z = np.clip((days.inputs[rows] - self.mean) / self.deviation, -8.0, 8.0)
        lines = np.sort(np.column_stack([np.ones(len(z)), z]) @ self.weights, axis=1)
        at, wanted = norm.ppf(_REGRESSED), norm.ppf(LEVELS)
        quantiles = np.stack([np.interp(wanted, at, row) for row in lines])
        below = norm.cdf(np.stack([np.interp(asked.below, row, at, left=-4.0, right=4.0) for row in lines]))
        nothing = np.full(len(z), np.nan)
        return Predicted(quantiles, below, nothing, nothing)


def fit_quantiles(past: DaySeries, _before: DayModel | None = None) -> QuantileLines:
    """Fit linear quantile regressions on all inputs, the check loss rounded off within a hundredth of a deviation."""
    came = outcomes(past, slice(None))[:, 0]
    known = np.isfinite(past.inputs).all(axis=1) & np.isfinite(came)
    x, y = past.inputs[known], came[known]
    mean, deviation, unit = x.mean(axis=0), x.std(axis=0) + 1e-12, float(y.std()) + _LEAST_SCALE
    design = np.column_stack([np.ones(len(x)), np.clip((x - mean) / deviation, -8.0, 8.0)])
    y, width = y / unit, 0.01

    def loss(raw: FloatArray, level: float) -> tuple[float, FloatArray]:
        off = y - design @ raw
        smooth = np.sqrt(off**2 + width**2)
        value = (0.5 * smooth + (level - 0.5) * off).mean()
        return float(value), -design.T @ (0.5 * off / smooth + level - 0.5) / len(y)

    lines = []
    for level in _REGRESSED:
        begin = np.zeros(design.shape[1])
        begin[0] = np.quantile(y, level)
        lines.append(minimize(loss, begin, args=(float(level),), jac=True, method="L-BFGS-B").x * unit)
    return QuantileLines(np.stack(lines, axis=1), mean, deviation)


def _method_added(value: object) -> Method:
    if not callable(value):
        raise TypeError(f"it is a {type(value).__name__}, and not a function that fits a DayModel")
    return value


# Built in, and those that installed distributions add in the group alphaglow.forecasts.
METHODS: Registry[Method] = Registry(
    "forecasts",
    {
        "conditional flow": _fit_flow(inputs=True),
        "GARCH(1,1), t": fit_garch,
        "HAR, t": fit_har,
        "quantile regression": fit_quantiles,
        "unconditional flow": _fit_flow(inputs=False),
    },
    _method_added,
)
