"""GLOW (Kingma & Dhariwal 2018) for vectors: multi-scale, exact likelihood, exact inverse."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from flows import transforms

LOG_SCALE_BOUND = 2.0
_LOG_2PI = math.log(2.0 * math.pi)


class ActNorm(nn.Module):
    """Per-channel affine map, set so that the first batch leaves with mean 0 and variance 1 (section 3.1).

    Whether that has happened is a buffer, so a checkpoint knows it.
    """

    initialized: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("initialized", torch.tensor(False))

    def initialize(self, x: Tensor) -> None:
        """Set bias and scale from a batch (B, D)."""
        with torch.no_grad():
            self.bias.copy_(-x.mean(dim=0))
            self.log_scale.copy_(-torch.log(x.std(dim=0) + 1e-6))
            self.initialized.fill_(True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, D) to y and the log-determinant (B,)."""
        if self.training and not bool(self.initialized):
            self.initialize(x)
        return transforms.actnorm(x, self.log_scale, self.bias)

    def inverse(self, y: Tensor) -> Tensor:
        """Map y back to x."""
        return transforms.actnorm_inverse(y, self.log_scale, self.bias)


class InvertibleLinear(nn.Module):
    """The invertible 1x1 convolution, in LU form, begun from a random rotation (section 3.2)."""

    permutation: Tensor
    sign_s: Tensor

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = torch.diagonal(upper)
        self.register_buffer("permutation", permutation.float())
        self.register_buffer("sign_s", torch.sign(diagonal).float())
        self.lower = nn.Parameter(torch.tril(lower, -1).float())
        self.upper = nn.Parameter(torch.triu(upper, 1).float())
        self.log_s = nn.Parameter(torch.log(torch.abs(diagonal)).float())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, D) to y and the log-determinant (B,)."""
        weight = transforms.compose_lu(self.permutation, self.lower, self.upper, self.log_s, self.sign_s)
        return transforms.invertible_linear(x, weight, self.log_s)

    def inverse(self, y: Tensor) -> Tensor:
        """Map y back to x."""
        return transforms.invertible_linear_inverse(
            y, self.permutation, self.lower, self.upper, self.log_s, self.sign_s
        )


class AffineCoupling(nn.Module):
    """Half of the channels set scale and shift of the other half (section 3.3); begun as the identity."""

    def __init__(self, dim: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.kept = dim // 2
        moved = dim - self.kept
        # skip_init: the default initialisation would draw from torch's global random state.
        first, second, last = (
            skip_init(nn.Linear, *shape)  # type: ignore[no-untyped-call]  # torch's own
            for shape in ((self.kept, hidden), (hidden, hidden), (hidden, 2 * moved))
        )
        self.net = nn.Sequential(first, nn.SiLU(), second, nn.SiLU(), last)
        _initialize(self.net, generator)

    def _parts(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.net(kept).chunk(2, dim=-1)
        return transforms.bounded(raw, LOG_SCALE_BOUND), shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, D) to y and the log-determinant (B,)."""
        kept, moved = x[:, : self.kept], x[:, self.kept :]
        y, log_det = transforms.affine(moved, *self._parts(kept))
        return torch.cat([kept, y], dim=-1), log_det

    def inverse(self, y: Tensor) -> Tensor:
        """Map y back to x."""
        kept, moved = y[:, : self.kept], y[:, self.kept :]
        return torch.cat([kept, transforms.affine_inverse(moved, *self._parts(kept))], dim=-1)


def _initialize(net: nn.Sequential, generator: torch.Generator) -> None:
    """Draw weights from `generator` alone; the last layer is 0, which makes the coupling the identity."""
    layers = [layer for layer in net if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer in layers[:-1]:
            bound = 1.0 / math.sqrt(layer.in_features)
            layer.weight.copy_((torch.rand(layer.weight.shape, generator=generator) * 2 - 1) * bound)
            layer.bias.copy_((torch.rand(layer.bias.shape, generator=generator) * 2 - 1) * bound)
        layers[-1].weight.zero_()
        layers[-1].bias.zero_()


class Step(nn.Module):
    """One step of flow: actnorm, invertible linear map, affine coupling."""

    def __init__(self, dim: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            [ActNorm(dim), InvertibleLinear(dim, generator), AffineCoupling(dim, hidden, generator)]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, D) to y and the log-determinant (B,)."""
        total = x.new_zeros(x.shape[0])
        for part in self.parts:
            x, log_det = part(x)
            total = total + log_det
        return x, total

    def inverse(self, y: Tensor) -> Tensor:
        """Map y back to x."""
        for part in reversed(self.parts):
            y = part.inverse(y)  # type: ignore[operator]  # every part has an inverse
        return y


class Glow(nn.Module):
    """A multi-scale flow on vectors.

    After each level but the last, half of the channels leave as latents (section 3.6): for 16 dimensions and 3
    levels, 8, 4 and 4. The prior is a standard normal.

    Parameters
    ----------
    dim
        A multiple of 2^(levels - 1).
    steps
        Steps of flow K in each level.
    seed
        Of the initial weights; no global random state is read or changed.
    """

    def __init__(self, dim: int = 16, levels: int = 3, steps: int = 4, hidden: int = 64, seed: int = 0) -> None:
        super().__init__()
        if dim % 2 ** (levels - 1) or dim // 2 ** (levels - 1) < 2:
            raise ValueError(f"{dim} dimensions cannot be halved {levels - 1} times")
        generator = torch.Generator().manual_seed(seed)
        self.dim = dim
        widths = [dim // 2**level for level in range(levels)]
        self.latents = tuple([width // 2 for width in widths[:-1]] + [widths[-1]])
        self.levels = nn.ModuleList(
            nn.ModuleList(Step(width, hidden, generator) for _ in range(steps)) for width in widths
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, D) to latents z (B, D), in the order they leave, and log |det dz/dx| (B,)."""
        total = x.new_zeros(x.shape[0])
        leaving = []
        for number, level in enumerate(self.levels):
            for step in level:  # type: ignore[attr-defined]  # a ModuleList
                x, log_det = step(x)
                total = total + log_det
            if number < len(self.levels) - 1:
                out, x = x.chunk(2, dim=-1)
                leaving.append(out)
        return torch.cat([*leaving, x], dim=-1), total

    def decode(self, z: Tensor) -> Tensor:
        """Map latents (B, D) back to x."""
        parts = list(torch.split(z, list(self.latents), dim=-1))
        x = parts.pop()
        for number in range(len(self.levels) - 1, -1, -1):
            if number < len(self.levels) - 1:
                x = torch.cat([parts.pop(), x], dim=-1)
            for step in reversed(self.levels[number]):  # type: ignore[call-overload]  # a ModuleList
                x = step.inverse(x)
        return x

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the exact log-likelihood (B,) in nats: log p(z) + log |det dz/dx|."""
        z, log_det = self.encode(x)
        return -0.5 * (z**2 + _LOG_2PI).sum(dim=-1) + log_det

    def forward(self, x: Tensor) -> Tensor:
        """Return `log_prob`."""
        return self.log_prob(x)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Draw n states (n, D); the prior's standard deviation is `temperature`."""
        dtype = next(self.parameters()).dtype
        z = torch.randn(n, self.dim, generator=generator, dtype=dtype) * temperature
        return self.decode(z)
