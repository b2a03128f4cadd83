"""An autoregressive flow: affine layers, then a mixture of Gaussians in each dimension, given those before it.

Affine layers are those of a masked autoregressive flow (Papamakarios et al. 2017, arXiv 1705.07057) whose shift is
linear besides, in alternating orders of the dimensions. The last layer maps each dimension by the distribution function
of a mixture of Gaussians to a standard normal, so that latents are those of every other flow here; the weights, means
and scales are functions of the dimensions before it. Networks are masked and residual (ResMADE, Durkan and Nash 2019,
arXiv 1904.05626). Likelihood takes one pass; the inverse goes dimension by dimension.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from flows import transforms
from flows.bases import NormalBase
from flows.fit_rules import FlowConfig
from flows.flow_model import CONDITION_BOUND, LOG_SCALE_BOUND, MarketFlow
from market.errors import InputError

# Of a mixture's deviations, on the scale of a feature: none is narrower than exp(-3), or wider than exp(1.5).
_NARROWEST, _WIDEST = -3.0, 1.5
_COMPONENTS = 6
# A component that every mixture has, standard normal: where no other is, the map still has a slope, and an inverse.
_FLOOR = 0.01
_LOG_2PI = math.log(2.0 * math.pi)
# Halvings of the interval that an inverse lies in, and Newton steps after them.
_HALVINGS, _POLISHED = 40, 4
# Latents are found by Newton's method on the logarithm of the smaller tail.
_LATENT_STEPS = 12


class _Masked(nn.Module):
    """A linear layer (out, in) of which only what `mask` allows counts."""

    mask: Tensor

    def __init__(self, mask: Tensor, generator: torch.Generator, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("mask", mask.float())
        bound = scale / math.sqrt(mask.shape[1])
        self.weight = nn.Parameter((torch.rand(mask.shape, generator=generator) * 2 - 1) * bound)
        self.bias = nn.Parameter(torch.zeros(mask.shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, (self.weight * self.mask).mT)


class _Network(nn.Module):
    """Maps x (B, D) to (B, D, outputs); what belongs to a dimension depends on those before it in `order` alone."""

    def __init__(self, order: Tensor, hidden: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        dim = len(order)
        place = torch.empty(dim, dtype=torch.long)
        place[order] = torch.arange(dim)
        unit = torch.arange(hidden) % max(1, dim - 1)
        among = unit[:, None] >= unit[None]
        self.outputs = outputs
        self.first = _Masked(unit[:, None] >= place[None], generator)
        self.inner = _Masked(among, generator)
        self.outer = _Masked(among, generator, 0.1)
        # Zeros: a layer begins as it is without what comes before.
        self.last = _Masked(place.repeat_interleave(outputs)[:, None] > unit[None], generator, 0.0)
        self.linear = _Masked(place[:, None] > place[None], generator, 0.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, D, outputs), and the linear part (B, D)."""
        near = torch.clamp(x, -CONDITION_BOUND, CONDITION_BOUND)
        silu = nn.functional.silu
        h = self.first(near)
        h = h + self.outer(silu(self.inner(silu(h))))
        return self.last(silu(h)).view(len(x), -1, self.outputs), self.linear(near)


class _Mixture(NamedTuple):
    """Of each state and dimension: logarithms of weights, means, and logarithms of deviations, (B, D, K)."""

    log_weights: Tensor
    means: Tensor
    log_scales: Tensor

    def log_density(self, x: Tensor) -> Tensor:
        """Return (B, D) log-densities of x (B, D)."""
        u = (x.unsqueeze(-1) - self.means) * torch.exp(-self.log_scales)
        return torch.logsumexp(self.log_weights - self.log_scales - 0.5 * (u * u + _LOG_2PI), dim=-1)

    def log_tails(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logarithms of the probabilities of less than x (B, D), and of more."""
        u = (x.unsqueeze(-1) - self.means) * torch.exp(-self.log_scales)
        below = torch.logsumexp(self.log_weights + torch.special.log_ndtr(u), dim=-1)
        return below, torch.logsumexp(self.log_weights + torch.special.log_ndtr(-u), dim=-1)

    def latent(self, x: Tensor) -> Tensor:
        """Return z (B, D), where a standard normal has the tails that the mixture has at x."""
        below, above = self.log_tails(x)
        left = below < above
        found = _normal_at(torch.where(left, below, above))
        return torch.where(left, found, -found)


def _normal_at(log_tail: Tensor) -> Tensor:
    """Return z <= 0 with log P(Z < z) = `log_tail`, at most log 1/2: Newton's method, exact far out too."""
    far = torch.sqrt(torch.clamp(-2.0 * log_tail, min=0.0))
    z = -torch.clamp(far - torch.log1p(far) / torch.clamp(far, min=1.0) - 0.5, min=0.0)
    for _ in range(_LATENT_STEPS):
        tail = torch.special.log_ndtr(z)
        slope = torch.exp(-0.5 * (z * z + _LOG_2PI) - tail)
        z = z - (tail - log_tail) / slope
    return torch.clamp(z, max=0.0)


class AutoregressiveFlow(MarketFlow):
    """A flow that sees all dimensions before one; `steps` counts its layers, the mixture among them.

    Every mixture has six components beside a broad one; the base is normal.
    """

    def __init__(self, config: FlowConfig) -> None:
        nn.Module.__init__(self)
        if len(config.steps) != 1 or config.base != "normal":
            raise InputError(f"{config.kind} has one level and normal latents", "correct [gate] steps or base")
        generator = torch.Generator().manual_seed(config.seed)
        self.config, self.latents = config, (config.dim,)
        self.levels, self.base = nn.ModuleList(), NormalBase()
        orders = [torch.arange(config.dim), torch.arange(config.dim).flip(0)]
        layers = config.steps[0] - 1
        self.orders = tuple(orders[k % 2] for k in range(layers + 1))
        self.affine = nn.ModuleList(_Network(order, config.hidden, 2, generator) for order in self.orders[:-1])
        self.mixture = _Network(self.orders[-1], config.hidden, 3 * _COMPONENTS, generator)
        with torch.no_grad():
            bias = self.mixture.last.bias.view(config.dim, 3, _COMPONENTS)
            bias[:, 1] = torch.linspace(-2.0, 2.0, _COMPONENTS)
            bias[:, 2] = -0.5

    @property
    def initialized(self) -> bool:
        """Nothing waits for a first batch."""
        return True

    def initialize(self, x: Tensor) -> None:
        """Do nothing."""

    def set_half(self, half: bool) -> None:
        """Do nothing: these networks multiply in the precision of their weights."""

    def _affine(self, network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        raw, linear = network(x)
        return transforms.bounded(raw[..., 0], LOG_SCALE_BOUND), raw[..., 1] + linear

    def _mixed(self, x: Tensor) -> _Mixture:
        raw, linear = self.mixture(x)
        weights, means, scales = raw.chunk(3, dim=-1)
        log_weights = torch.log_softmax(weights, dim=-1) + math.log1p(-_FLOOR)
        middle, half = 0.5 * (_WIDEST + _NARROWEST), 0.5 * (_WIDEST - _NARROWEST)
        log_scales = middle + half * torch.tanh((scales - middle) / half)
        floor = torch.zeros_like(log_weights[..., :1])
        return _Mixture(
            torch.cat([log_weights, floor + math.log(_FLOOR)], dim=-1),
            torch.cat([means + linear.unsqueeze(-1), floor], dim=-1),
            torch.cat([log_scales, floor], dim=-1),
        )

    def _through(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the affine layers make of x (B, D), and the log-determinant (B,)."""
        total = x.new_zeros(len(x))
        for network in self.affine:
            log_scale, shift = self._affine(network, x)
            x, total = transforms.affine(x, log_scale, shift), total + log_scale.sum(dim=-1)
        return x, total

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the exact log-likelihood (B,) in nats, without the latents."""
        y, log_det = self._through(x)
        return self._mixed(y).log_density(y).sum(dim=-1) + log_det

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, D) to latents z (B, D), and log |det dz/dx| (B,)."""
        y, log_det = self._through(x)
        mixture = self._mixed(y)
        z = mixture.latent(y)
        return z, log_det + (mixture.log_density(y) + 0.5 * (z * z + _LOG_2PI)).sum(dim=-1)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map latents (B, D) back to x, dimension by dimension."""
        y = torch.zeros_like(z)
        for place in self.orders[-1].tolist():
            mixture = _Mixture(*(part[:, place : place + 1] for part in self._mixed(y)))
            y[:, place : place + 1] = _solved(mixture, z[:, place : place + 1])
        for network, order in zip(reversed(list(self.affine)), reversed(self.orders[:-1]), strict=True):
            x = torch.zeros_like(y)
            for place in order.tolist():
                log_scale, shift = self._affine(network, x)
                x[:, place] = (y[:, place] - shift[:, place]) * torch.exp(-log_scale[:, place])
            y = x
        return y


def _solved(mixture: _Mixture, z: Tensor) -> Tensor:
    """Return x (B, 1) whose latent is z: halvings of an interval that holds it, then Newton's method."""
    scales = torch.exp(mixture.log_scales)
    edges = mixture.means + z.unsqueeze(-1) * scales
    # Each component alone would put z at an edge: the mixture's lies between the least and the greatest of them.
    low, high = edges.amin(dim=-1), edges.amax(dim=-1)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        less = mixture.latent(middle) < z
        low, high = torch.where(less, middle, low), torch.where(less, high, middle)
    x = 0.5 * (low + high)
    for _ in range(_POLISHED):
        at = mixture.latent(x)
        slope = torch.exp(mixture.log_density(x) + 0.5 * (at * at + _LOG_2PI))
        x = torch.minimum(torch.maximum(x - (at - z) / slope, low - 1e-6), high + 1e-6)
    return x
