"""What the likelihood of a state is measured against: nothing, a Gaussian, or the volatility it comes with.

``drawdown``
    Minus the log of the drawdown that the market's states let expect of the next day (`flows.drawdown`).
``volatility``
    Minus the log volatility over 20 bars: a plain volatility gate.
``likelihood``
    log p(x). What is unlikely is mostly what is wild: a plain volatility gate sees as much.
``given_volatility``
    log p(x | v) = log p(x) - log p(v), with p(v) a small flow on the volatility features alone: what is unlikely even
    for how wild the market is.
``over_gaussian``
    log p(x) - log N(x; mean, covariance): what the flow finds less likely than a Gaussian of the same moments does.
    Likelihood alone also measures how complex a state is (Serra et al. 2020, arXiv 1909.11480); the ratio does less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from factors.features import VOLATILITY
from flows.density import StateDensity, in_double, state_likelihood
from flows.drawdown import StateForecast
from flows.fit_rules import FlowConfig, Measure
from flows.flow_model import MarketFlow
from flows.train import train_flow
from market.errors import InputError
from market.panel import FloatArray

_EPOCHS = 10


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A Gaussian of states: mean (D,) and covariance (D, D)."""

    mean: FloatArray
    covariance: FloatArray

    def log_prob(self, states: FloatArray) -> FloatArray:
        """Return log-density in nats of states (..., D); NaN where a state has a NaN."""
        lower = np.linalg.cholesky(self.covariance)
        centred = (states - self.mean).reshape(-1, len(self.mean))
        white = np.linalg.solve(lower, centred.T)
        constant = len(self.mean) * np.log(2 * np.pi) + 2 * np.log(np.diag(lower)).sum()
        density: FloatArray = (-0.5 * ((white**2).sum(axis=0) + constant)).reshape(states.shape[:-1])
        return density


@dataclass(frozen=True, eq=False)
class Conditioning:
    """A flow on some columns of a state, whose likelihood the state's is divided by."""

    flow: MarketFlow
    columns: tuple[int, ...]

    def log_prob(self, states: FloatArray) -> FloatArray:
        """Return log-density in nats of those columns of states (..., D)."""
        return state_likelihood(self._exact, states[..., list(self.columns)])

    @cached_property
    def _exact(self) -> tuple[MarketFlow, ...]:
        return in_double((self.flow,))


Reference = Gaussian | Conditioning | StateForecast | None


def fit_gaussian(rows: FloatArray) -> Gaussian:
    """Fit mean and covariance of states (M, D)."""
    return Gaussian(rows.mean(axis=0), np.cov(rows.T))


def fit_reference(
    measure: Measure,
    density: StateDensity,
    x_train: FloatArray,
    x_calibration: FloatArray,
    given: Sequence[str] = VOLATILITY,
) -> Reference:
    """Fit what `measure` needs on prepared states of train (M, D), stopped early by held-out ones.

    Raises
    ------
    InputError
        When fewer than two of the features `given` are in the state.
    """
    if measure == "likelihood":
        return None
    if measure == "over_gaussian":
        return fit_gaussian(x_train)
    columns = tuple(density.names.index(name) for name in given if name in density.names)
    if len(columns) < 2:
        raise InputError(
            f"given_volatility needs two of the features {', '.join(given)} in the state",
            f"the state has {', '.join(density.names)}; name two of them in alphaglow.toml: [gate] given",
        )
    shape = FlowConfig(dim=len(columns), steps=(6,), hidden=24, seed=density.flow.config.seed)
    # Prepared states have their noise already.
    config = replace(density.config, epochs=min(_EPOCHS, density.config.epochs), noise=0.0)
    flow = train_flow(x_train[:, list(columns)], x_calibration[:, list(columns)], config, shape).model
    return Conditioning(flow, columns)


def measured(density: StateDensity, reference: Reference, states: FloatArray) -> FloatArray:
    """Return what a gate judges states (..., D) by, in nats: the higher, the calmer or the more usual.

    NaN where a state has a NaN.
    """
    if isinstance(reference, StateForecast):
        return -reference.log_level(states)
    likelihood = density.likelihood(states)
    if reference is None:
        return likelihood
    # Both are densities of standardised features: what the map of the tails stretches is counted on both sides.
    columns = reference.columns if isinstance(reference, Conditioning) else None
    return likelihood - reference.log_prob(states) - density.standardiser.tails.log_slope(states, columns)
