"""What latents are drawn from: a standard normal, Student's t, or a mixture of Gaussians."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

_LOG_2PI = math.log(2.0 * math.pi)


class NormalBase(nn.Module):
    """Standard normal in D dimensions."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density (B,) of latents (B, D)."""
        return -0.5 * (z**2 + _LOG_2PI).sum(dim=-1)

    def draw(self, n: int, dim: int, generator: torch.Generator) -> Tensor:
        """Draw n latents (n, D)."""
        return torch.randn(n, dim, generator=generator)


class StudentBase(nn.Module):
    """Student's t of unit scale in each dimension, with learned degrees of freedom."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_freedom = nn.Parameter(torch.full((dim,), math.log(10.0)))

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density (B,) of latents (B, D)."""
        freedom = torch.exp(self.log_freedom)
        half = 0.5 * (freedom + 1.0)
        height = torch.lgamma(half) - torch.lgamma(0.5 * freedom) - 0.5 * torch.log(math.pi * freedom)
        return (height - half * torch.log1p(z**2 / freedom)).sum(dim=-1)

    def draw(self, n: int, dim: int, generator: torch.Generator) -> Tensor:
        """Draw n latents (n, D)."""
        # torch draws Student's t from its global state only.
        seed = int(torch.randint(2**62, (1,), generator=generator))
        freedom = np.exp(self.log_freedom.detach().double().cpu().numpy())
        return torch.from_numpy(np.random.default_rng(seed).standard_t(freedom, (n, dim)))


class MixtureBase(nn.Module):
    """A mixture of Gaussians with diagonal covariances, learned with the flow: its components are clusters.

    FlowGMM (Izmailov et al. 2020, arXiv 1912.13025), without labels.
    """

    def __init__(self, dim: int, components: int, generator: torch.Generator) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(torch.randn(components, dim, generator=generator))
        self.log_scales = nn.Parameter(torch.zeros(components, dim))

    def joint(self, z: Tensor) -> Tensor:
        """Return (B, K) log p(z, k)."""
        scaled = (z.unsqueeze(1) - self.means) * torch.exp(-self.log_scales)
        each = -0.5 * (scaled**2 + _LOG_2PI).sum(dim=-1) - self.log_scales.sum(dim=-1)
        return each + torch.log_softmax(self.logits, dim=0)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density (B,) of latents (B, D)."""
        return torch.logsumexp(self.joint(z), dim=-1)

    def posterior(self, z: Tensor) -> Tensor:
        """Return (B, K) p(k | z)."""
        return torch.softmax(self.joint(z), dim=-1)

    def draw(self, n: int, dim: int, generator: torch.Generator) -> Tensor:
        """Draw n latents (n, D)."""
        which = torch.multinomial(torch.softmax(self.logits.detach().cpu(), 0), n, True, generator=generator)
        noise = torch.randn(n, dim, generator=generator)
        means, scales = self.means.detach().cpu(), torch.exp(self.log_scales.detach().cpu())
        return means[which] + scales[which] * noise
