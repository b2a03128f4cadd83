"""A density of what comes next, given what is known now: its likelihood, quantiles and probabilities are all exact.

One dimension after the other, each given the inputs and the dimensions before it, is mapped to a standard normal by
the sinh-arcsinh law (Jones and Pewsey 2009, Biometrika 96, 761-780): location, scale, skew and weight of the tails. All
four are a linear function of what is given and a small network; the weights are drawn towards 0, since daily data are
few. The map is monotone and its inverse is written down, so a tail probability needs no draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from market.errors import InputError
from market.panel import FloatArray

# Skew, and the logarithm of the weight of the tails, stay within these: at exp(-1) a tail falls as exp(-x^0.74).
_SKEW, _TAIL = 1.0, 1.0
# The linear part sees inputs up to this many deviations, the network up to fewer: it must not extrapolate.
_REACH, _NET_REACH = 4.0, 2.0
# Penalties, in rows: on the linear part of location, scale, skew and tail, and on the network.
_LINEAR, _NET = (2000.0, 200.0, 400.0, 400.0), 200.0
_LEAST_ROWS = 100
_NORMAL = 0.5 * math.log(2.0 * math.pi)

# The linear part (K + 1, 4), and the network's two layers (K + 1, H) and (H, 4), of one dimension.
Weights = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class ConditionalPlan:
    """How a conditional flow is fitted.

    Attributes
    ----------
    hidden
        Width of the networks.
    evaluations
        Of the loss, at most.
    seed
        Of the first weights.
    inputs
        False: nothing is conditioned on but the dimensions before; an unconditional density of the same kind.
    pull
        The penalties are multiplied by it: 1 is for a few hundred days of returns, which hardly show where they go.
    """

    hidden: int = 8
    evaluations: int = 120
    seed: int = 7
    inputs: bool = True
    pull: float = 1.0


@dataclass(frozen=True, eq=False)
class SinhArcsinh:
    """Laws of one dimension, one a row: location, scale, skew and tail, (M,) each."""

    location: Tensor
    scale: Tensor
    skew: Tensor
    tail: Tensor

    def log_density(self, y: FloatArray) -> FloatArray:
        """Return (M,) log-density in nats of y (M,)."""
        found: FloatArray = _log_density(torch.from_numpy(y), self).numpy()
        return found

    def below(self, y: FloatArray) -> FloatArray:
        """Return the probability of less than y, (M,) or (M, Q)."""
        at, _ = _latent(torch.from_numpy(y), self._beside(y.ndim))
        chance: FloatArray = torch.special.ndtr(at).numpy()
        return chance

    def quantile(self, levels: FloatArray) -> FloatArray:
        """Return (M, Q) what lies above a share of `levels` (Q,), each between 0 and 1."""
        law = self._beside(2)
        z = torch.special.ndtri(torch.from_numpy(levels))[None, :]
        found: FloatArray = (law.location + law.scale * torch.sinh((torch.asinh(z) + law.skew) / law.tail)).numpy()
        return found

    def _beside(self, axes: int) -> SinhArcsinh:
        if axes == 1:
            return self
        return SinhArcsinh(*(part[:, None] for part in (self.location, self.scale, self.skew, self.tail)))


def _latent(y: Tensor, law: SinhArcsinh) -> tuple[Tensor, Tensor]:
    """Return where y lies on a standard normal, and the inner angle."""
    angle = law.tail * torch.asinh((y - law.location) / law.scale) - law.skew
    return torch.sinh(angle), angle


def _log_density(y: Tensor, law: SinhArcsinh) -> Tensor:
    z, angle = _latent(y, law)
    u = (y - law.location) / law.scale
    slope = torch.log(torch.cosh(angle)) + torch.log(law.tail) - 0.5 * torch.log1p(u * u) - torch.log(law.scale)
    return -0.5 * z * z - _NORMAL + slope


@dataclass(frozen=True, eq=False)
class ConditionalFlow:
    """p(y | x) of D dimensions given K inputs.

    Attributes
    ----------
    weights
        Of each dimension.
    input_mean, input_deviation, mean, deviation
        (K,) of the inputs, and (D,) of what is forecast, on the rows that it was fitted on.
    plan
        How it was fitted.
    """

    weights: tuple[Weights, ...]
    input_mean: FloatArray
    input_deviation: FloatArray
    mean: FloatArray
    deviation: FloatArray
    plan: ConditionalPlan

    def law(self, x: FloatArray, before: FloatArray | None = None) -> SinhArcsinh:
        """Return the law of the next dimension given inputs (M, K) and the dimensions before it (M, k), in their units.

        Without `before` it is the law of the first dimension.
        """
        given = np.zeros((len(x), 0)) if before is None else (before - self.mean[: before.shape[1]])
        number = given.shape[1]
        known = self._given(x, given / self.deviation[:number])
        with torch.no_grad():
            law = _law(known, self.weights[number])
        mean, deviation = float(self.mean[number]), float(self.deviation[number])
        return SinhArcsinh(law.location * deviation + mean, law.scale * deviation, law.skew, law.tail)

    def log_prob(self, y: FloatArray, x: FloatArray) -> FloatArray:
        """Return (M,) log-likelihood in nats of y (M, D) given x (M, K)."""
        parts = [self.law(x, y[:, :k] if k else None).log_density(y[:, k].copy()) for k in range(len(self.weights))]
        total: FloatArray = np.sum(parts, axis=0)
        return total

    def _given(self, x: FloatArray, before: FloatArray) -> Tensor:
        z = (x - self.input_mean) / self.input_deviation * float(self.plan.inputs)
        return torch.from_numpy(np.concatenate([z, before], axis=1))


def fit_conditional(
    y: FloatArray, x: FloatArray, plan: ConditionalPlan | None = None, start: ConditionalFlow | None = None
) -> ConditionalFlow:
    """Fit p(y | x) by maximum likelihood with a penalty (L-BFGS on all rows at once); the same rows give the same fit.

    Parameters
    ----------
    y, x
        (M, D) and (M, K). Rows with a NaN are left out.
    start
        An earlier fit to begin from.

    Raises
    ------
    InputError
        For fewer than 100 rows.
    """
    plan = ConditionalPlan() if plan is None else plan
    known = np.isfinite(y).all(axis=1) & np.isfinite(x).all(axis=1)
    if known.sum() < _LEAST_ROWS:
        raise InputError(f"a forecast is fitted on {_LEAST_ROWS} days or more, there are {int(known.sum())}", _REMEDY)
    y, x = y[known], x[known]
    moments = (x.mean(axis=0), x.std(axis=0) + 1e-12, y.mean(axis=0), y.std(axis=0) + 1e-12)
    weights = start.weights if start is not None else _first_weights(x.shape[1], y.shape[1], plan)
    blank = ConditionalFlow(weights, *moments, plan)
    scaled = (y - blank.mean) / blank.deviation
    fitted = []
    for k, begin in enumerate(weights):
        given = blank._given(x, scaled[:, :k])
        fitted.append(_fitted(torch.from_numpy(scaled[:, k].copy()), given, begin, plan))
    return ConditionalFlow(tuple(fitted), *moments, plan)


def _first_weights(inputs: int, dims: int, plan: ConditionalPlan) -> tuple[Weights, ...]:
    """Return weights that say a standard normal: only the first layer of each network is not 0."""
    generator = torch.Generator().manual_seed(plan.seed)
    found = []
    for k in range(dims):
        rows = inputs + k + 1
        first = torch.randn(rows, plan.hidden, generator=generator, dtype=torch.float64) / math.sqrt(rows)
        zeros = (torch.zeros(rows, 4, dtype=torch.float64), torch.zeros(plan.hidden, 4, dtype=torch.float64))
        found.append((zeros[0], first, zeros[1]))
    return tuple(found)


def _law(given: Tensor, weights: Weights) -> SinhArcsinh:
    """Return laws, of standardised values, for what is given (M, K), standardised too."""
    linear, first, last = weights
    one = given.new_ones(len(given), 1)
    hidden = torch.tanh(torch.cat([given.clamp(-_NET_REACH, _NET_REACH), one], dim=1) @ first)
    raw = torch.cat([given.clamp(-_REACH, _REACH), one], dim=1) @ linear + hidden @ last
    location, scale, skew, tail = raw.unbind(dim=1)
    return SinhArcsinh(
        location, torch.exp(scale), _SKEW * torch.tanh(skew / _SKEW), torch.exp(_TAIL * torch.tanh(tail / _TAIL))
    )


def _fitted(y: Tensor, given: Tensor, begin: Sequence[Tensor], plan: ConditionalPlan) -> Weights:
    """Return the weights of one dimension that make y (M,) likely."""
    linear, first, last = (part.clone().requires_grad_() for part in begin)
    anchor, cost = begin[1], torch.tensor(_LINEAR, dtype=torch.float64)
    optimiser = torch.optim.LBFGS(
        [linear, first, last], max_iter=plan.evaluations, max_eval=plan.evaluations, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        # The last row of the linear part is its constant, which costs nothing.
        pulled = (cost * linear[:-1].square()).sum() + _NET * (last.square().sum() + (first - anchor).square().sum())
        value = -_log_density(y, _law(given, (linear, first, last))).mean() + 0.5 * plan.pull * pulled / len(y)
        value.backward()  # type: ignore[no-untyped-call]  # of torch
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]  # of torch
    return linear.detach(), first.detach(), last.detach()


_REMEDY = "use more bars"
