"""Flows on market states: GLOW, RealNVP and spline couplings, with exact likelihood and exact inverse.

One module holds them all. A level is a stack of steps whose weights lie in one tensor each, so that a step of training
touches a dozen tensors and not a thousand. ActNorm and linear map of a step are folded into one before they are used.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from flows import transforms
from flows.bases import MixtureBase, NormalBase, StudentBase
from flows.fit_rules import ADDED_MODELS, KINDS, FlowConfig, model_fault
from market.errors import InputError

LOG_SCALE_BOUND = 2.0
CONDITION_BOUND = 10.0
# Mean square of what a coupling is conditioned on beyond which its scale fades: far out a flow becomes a linear map,
# and its inverse stays exact where no state has ever been. Without it, latents three times as large as usual were
# decoded thousands of deviations out, and came back wrong by tens.
FADE = 9.0
# Of the logarithms of a linear map's diagonal and of ActNorm's scales.
DIAGONAL_BOUND = 4.0
# Splines act within this many deviations and are the identity beyond.
SPLINE_BOUND = 6.0


@dataclass(frozen=True, eq=False)
class _Ready:
    """A level's steps, ready to use: matrices to multiply from the right, offsets, log-determinant, couplings."""

    matrices: tuple[Tensor, ...]
    offsets: tuple[Tensor, ...]
    log_det: Tensor
    nets: list[tuple[Tensor, ...]]
    inverses: tuple[Tensor, ...] | None


class Stack(nn.Module):
    """One level: K steps on D channels, each ActNorm, linear map, coupling. Parameters begin with K.

    ActNorm is set from the first batch that is trained on, so that it leaves with mean 0 and variance 1 (section 3.1);
    whether that has happened is a buffer, so a checkpoint knows it, and evaluation never sets it.
    """

    initialized: Tensor
    permutation: Tensor
    sign_s: Tensor

    def __init__(self, dim: int, steps: int, config: FlowConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.dim, self.steps, self.config = dim, steps, config
        self.half_nets = False
        self._kept: tuple[tuple[tuple[int, int], ...], _Ready] | None = None
        self.kept = dim // 2
        self.moved = dim - self.kept
        self.register_buffer("initialized", torch.tensor(not config.actnorm))
        if config.actnorm:
            self.log_scale = nn.Parameter(torch.zeros(steps, dim))
            self.bias = nn.Parameter(torch.zeros(steps, dim))
        if config.kind == "realnvp":
            # Halves take turns: every other step sees the channels reversed.
            eye = torch.eye(dim).expand(steps, dim, dim).clone()
            eye[1:] = eye[1:].flip(-1)
            self.register_buffer("permutation", eye)
        else:
            self._make_lu(generator)
        outputs = self.moved * (2 if config.kind != "nsf" else 3 * config.bins - 1)
        shapes = ((self.kept, config.hidden), (config.hidden, config.hidden), (config.hidden, outputs))
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for number, (inputs, out) in enumerate(shapes):
            bound = 1.0 / math.sqrt(inputs) if number < 2 else 0.0
            # The last layer is 0, which makes the coupling the identity.
            self.weights.append(nn.Parameter((torch.rand(steps, inputs, out, generator=generator) * 2 - 1) * bound))
            self.biases.append(nn.Parameter((torch.rand(steps, 1, out, generator=generator) * 2 - 1) * bound))

    def _make_lu(self, generator: torch.Generator) -> None:
        noise = torch.randn(self.steps, self.dim, self.dim, generator=generator, dtype=torch.float64)
        permutation, lower, upper = torch.linalg.lu(torch.linalg.qr(noise)[0])
        diagonal = torch.diagonal(upper, dim1=-2, dim2=-1)
        self.register_buffer("permutation", permutation.float())
        self.register_buffer("sign_s", torch.sign(diagonal).float())
        self.lower = nn.Parameter(torch.tril(lower, -1).float())
        self.upper = nn.Parameter(torch.triu(upper, 1).float())
        self.log_s = nn.Parameter(transforms.unbounded(torch.log(torch.abs(diagonal)), DIAGONAL_BOUND).float())

    def linear(self) -> tuple[Tensor, Tensor]:
        """Return the linear maps (K, D, D) and their log-determinants (K,)."""
        if self.config.kind == "realnvp":
            return self.permutation, self.permutation.new_zeros(self.steps)
        log_s = transforms.bounded(self.log_s, DIAGONAL_BOUND)
        return transforms.compose_lu(self.permutation, self.lower, self.upper, log_s, self.sign_s), log_s.sum(dim=-1)

    def folded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return ActNorm and linear map as one: (K, D, D) to multiply from the right, (K, 1, D), and (K,) log-det."""
        weight, log_det = self.linear()
        if not self.config.actnorm:
            return weight.mT, weight.new_zeros(self.steps, 1, self.dim), log_det
        return transforms.fold(weight, transforms.bounded(self.log_scale, DIAGONAL_BOUND), self.bias, log_det)

    def _nets(self) -> list[tuple[Tensor, ...]]:
        """Return the weights of each step's coupling: taken apart at once, or each would have its own way back."""
        tables = [table for pair in zip(self.weights, self.biases, strict=True) for table in pair]
        return list(zip(*(table.unbind(0) for table in tables), strict=True))

    def _ready(self) -> _Ready:
        """Return what is computed from the parameters alone; in evaluation it is kept until one of them changes.

        Loading, arithmetic in place, and moving to another type or device change a parameter's version or its place in
        memory; fused optimisers change neither, but train in training mode, and a change of mode forgets what was kept.
        """
        if torch.is_grad_enabled() or self.training:
            return self._computed()
        key = tuple((p._version, p.data_ptr()) for p in self.parameters())
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, self._computed())
        return self._kept[1]

    def train(self, mode: bool = True) -> Self:
        """Set the mode; where it changes, forget what was computed from the parameters."""
        if mode != self.training:
            self._kept = None
        return super().train(mode)

    def _computed(self) -> _Ready:
        weight, offset, log_dets = self.folded()
        inverse = None
        if not torch.is_grad_enabled():
            # Inverted in 64 bits, once for all rows.
            inverse = torch.linalg.inv(weight.double()).to(weight.dtype).unbind(0)
        return _Ready(weight.unbind(0), offset.unbind(0), log_dets.sum(), self._nets(), inverse)

    def initialize(self, x: Tensor) -> Tensor:
        """Set every ActNorm from a batch (B, D), one after the other; return what the batch becomes."""
        with torch.no_grad():
            nets = self._nets()
            for k in range(self.steps):
                if self.config.actnorm:
                    self.bias[k].copy_(-x.mean(dim=0))
                    self.log_scale[k].copy_(transforms.unbounded(-torch.log(x.std(dim=0) + 1e-6), DIAGONAL_BOUND))
                weight, offset, _ = self.folded()
                x, _ = self._couple(nets[k], torch.addmm(offset[k], x, weight[k]))
            self.initialized.fill_(True)
        return x

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, D) through all steps; return y and the log-determinant (B,)."""
        ready = self._ready()
        slopes = []
        for matrix, shift, net in zip(ready.matrices, ready.offsets, ready.nets, strict=True):
            x, slope = self._couple(net, torch.addmm(shift, x, matrix))
            slopes.append(slope)
        return x, torch.stack(slopes).sum(dim=(0, 2)) + ready.log_det

    def decode(self, y: Tensor) -> Tensor:
        """Undo `encode`."""
        ready = self._ready()
        inverse = ready.inverses
        if inverse is None:
            inverse = torch.linalg.inv(torch.stack(ready.matrices)).unbind(0)
        for k in range(self.steps - 1, -1, -1):
            y = (self._uncouple(ready.nets[k], y) - ready.offsets[k]) @ inverse[k]
        return y

    def _net(self, net: tuple[Tensor, ...], x: Tensor) -> Tensor:
        # Far out, what conditions stands still: a coupling must not extrapolate.
        x = torch.clamp(x, -CONDITION_BOUND, CONDITION_BOUND)
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=True) if self._is_half() else nullcontext():
            x = nn.functional.silu(torch.addmm(net[1], x, net[0]))
            x = nn.functional.silu(torch.addmm(net[3], x, net[2]))
            x = torch.addmm(net[5], x, net[4])
        return x.to(net[5].dtype)

    def _is_half(self) -> bool:
        return self.half_nets and self.training

    def _couple(self, net: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, D) by a coupling; return y and the logarithms of its slopes (B, moved)."""
        kept, moved = torch.split(x, [self.kept, self.moved], dim=-1)
        raw = self._net(net, kept)
        if self.config.kind == "nsf":
            y, slope = transforms.spline(moved, raw.view(len(raw), self.moved, -1), SPLINE_BOUND)
        else:
            scale, shift = raw.chunk(2, dim=-1)
            slope = transforms.bounded(scale, LOG_SCALE_BOUND) * _faded(kept)
            y = transforms.affine(moved, slope, shift)
        return torch.cat([kept, y], dim=-1), slope

    def _uncouple(self, net: tuple[Tensor, ...], y: Tensor) -> Tensor:
        kept, moved = torch.split(y, [self.kept, self.moved], dim=-1)
        raw = self._net(net, kept)
        if self.config.kind == "nsf":
            x = transforms.spline_inverse(moved, raw.view(len(raw), self.moved, -1), SPLINE_BOUND)
        else:
            scale, shift = raw.chunk(2, dim=-1)
            x = transforms.affine_inverse(moved, transforms.bounded(scale, LOG_SCALE_BOUND) * _faded(kept), shift)
        return torch.cat([kept, x], dim=-1)


def _faded(kept: Tensor) -> Tensor:
    """Return (B, 1) by how much the scale of a coupling counts, given what it is conditioned on (B, kept)."""
    return torch.clamp(FADE / kept.square().mean(dim=-1, keepdim=True), max=1.0)


class MarketFlow(nn.Module):
    """A multi-scale flow on vectors, of the shape that `config` says; no global random state is read or changed."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(config.seed)
        self.config = config
        widths = [config.dim // 2**level for level in range(len(config.steps))]
        self.latents = tuple([width // 2 for width in widths[:-1]] + [widths[-1]])
        self.levels = nn.ModuleList(
            Stack(width, steps, config, generator) for width, steps in zip(widths, config.steps, strict=True)
        )
        self.priors = nn.ParameterList()
        if config.conditional_prior:
            # Zeros: what leaves begins as it is.
            self.priors.extend(nn.Parameter(torch.zeros(width // 2 + 1, width)) for width in widths[:-1])
        self.base = _base(config, generator)

    @property
    def dim(self) -> int:
        """D."""
        return self.config.dim

    @property
    def initialized(self) -> bool:
        """Whether every ActNorm has seen data."""
        return all(bool(level.initialized) for level in self.levels)

    def set_half(self, half: bool) -> None:
        """Say whether couplings multiply in bfloat16 while in training mode."""
        for level in self.levels:
            assert isinstance(level, Stack)
            level.half_nets = half

    def initialize(self, x: Tensor) -> None:
        """Set every ActNorm from a batch of train states (B, D)."""
        if len(x) < 2:
            raise ValueError("ActNorm is set from a batch: one state has no spread")
        with torch.no_grad():
            for number, level in enumerate(self.levels):
                assert isinstance(level, Stack)
                x = level.initialize(x)
                if number < len(self.levels) - 1:
                    x = x.chunk(2, dim=-1)[1]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, D) to latents z (B, D), in the order they leave, and log |det dz/dx| (B,)."""
        total = x.new_zeros(x.shape[0])
        leaving = []
        for number, level in enumerate(self.levels):
            assert isinstance(level, Stack)
            x, log_det = level.encode(x)
            total = total + log_det
            if number < len(self.levels) - 1:
                out, x = x.chunk(2, dim=-1)
                if self.config.conditional_prior:
                    log_scale, shift = self._prior(number, x)
                    out = (out - shift) * torch.exp(-log_scale)
                    total = total - log_scale.sum(dim=-1)
                leaving.append(out)
        return torch.cat([*leaving, x], dim=-1), total

    def decode(self, z: Tensor) -> Tensor:
        """Map latents (B, D) back to x."""
        parts = list(torch.split(z, list(self.latents), dim=-1))
        x = parts.pop()
        for number in range(len(self.levels) - 1, -1, -1):
            if number < len(self.levels) - 1:
                out = parts.pop()
                if self.config.conditional_prior:
                    log_scale, shift = self._prior(number, x)
                    out = out * torch.exp(log_scale) + shift
                x = torch.cat([out, x], dim=-1)
            level = self.levels[number]
            assert isinstance(level, Stack)
            x = level.decode(x)
        return x

    def _prior(self, number: int, stays: Tensor) -> tuple[Tensor, Tensor]:
        table = self.priors[number]
        raw, shift = torch.addmm(table[-1:], stays, table[:-1]).chunk(2, dim=-1)
        return transforms.bounded(raw, LOG_SCALE_BOUND), shift

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the exact log-likelihood (B,) in nats: log p(z) + log |det dz/dx|."""
        z, log_det = self.encode(x)
        return self.base.log_prob(z) + log_det

    def forward(self, x: Tensor) -> Tensor:
        """Return `log_prob`."""
        return self.log_prob(x)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Draw n states (n, D); latents are drawn from the base and multiplied by `temperature`."""
        z = self.base.draw(n, self.dim, generator).to(next(self.parameters()))
        return self.decode(z * temperature)


def make_flow(config: FlowConfig) -> MarketFlow:
    """Return a new flow of the kind that `config` names, built in or added by a plugin; others are an `InputError`."""
    if config.kind == "autoregressive":
        from flows.autoregressive import AutoregressiveFlow

        return AutoregressiveFlow(config)
    if config.kind in KINDS:
        return MarketFlow(config)
    wrong = model_fault(config.kind)
    if wrong:
        raise InputError(wrong, "install the distribution that adds it, or correct alphaglow.toml [gate] model")
    flow = ADDED_MODELS[config.kind](config)
    if not isinstance(flow, MarketFlow):
        raise InputError(f"the model {config.kind!r} is a {type(flow).__name__}", "it must be a MarketFlow")
    return flow


def _base(config: FlowConfig, generator: torch.Generator) -> NormalBase | StudentBase | MixtureBase:
    if config.base == "normal":
        return NormalBase()
    return (
        StudentBase(config.dim) if config.base == "student" else MixtureBase(config.dim, config.components, generator)
    )
