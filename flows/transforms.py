"""The three steps of GLOW as pure functions: each has an inverse and a log-determinant.

Shapes: ``x`` is (B, D), log-determinants are (B,) and belong to the direction x to y (Kingma & Dhariwal 2018, table 1).
"""

from __future__ import annotations

import torch
from torch import Tensor


def actnorm(x: Tensor, log_scale: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Y = (x + bias) * exp(log_scale), per channel."""
    return (x + bias) * torch.exp(log_scale), log_scale.sum().expand(x.shape[0])


def actnorm_inverse(y: Tensor, log_scale: Tensor, bias: Tensor) -> Tensor:
    """Undo `actnorm`."""
    return y * torch.exp(-log_scale) - bias


def compose_lu(permutation: Tensor, lower: Tensor, upper: Tensor, log_s: Tensor, sign_s: Tensor) -> Tensor:
    """W = P L (U + diag(sign exp(log_s))), with L unit lower and U strictly upper triangular (section 3.2, eq. 10)."""
    eye = torch.eye(len(log_s), dtype=lower.dtype, device=lower.device)
    left = torch.tril(lower, -1) + eye
    right = torch.triu(upper, 1) + torch.diag(sign_s * torch.exp(log_s))
    return permutation @ left @ right


def invertible_linear(x: Tensor, weight: Tensor, log_s: Tensor) -> tuple[Tensor, Tensor]:
    """Y = W x; the log-determinant is the sum of log |s| of its LU form."""
    return x @ weight.T, log_s.sum().expand(x.shape[0])


def invertible_linear_inverse(
    y: Tensor, permutation: Tensor, lower: Tensor, upper: Tensor, log_s: Tensor, sign_s: Tensor
) -> Tensor:
    """Undo `invertible_linear` by two triangular solves, which is steadier than inverting W."""
    right = torch.triu(upper, 1) + torch.diag(sign_s * torch.exp(log_s))
    halfway = torch.linalg.solve_triangular(torch.tril(lower, -1), permutation.T @ y.T, upper=False, unitriangular=True)
    solved: Tensor = torch.linalg.solve_triangular(right, halfway, upper=True)
    return solved.T


def affine(x: Tensor, log_scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Y = x * exp(log_scale) + shift, element by element."""
    return x * torch.exp(log_scale) + shift, log_scale.sum(dim=-1)


def affine_inverse(y: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
    """Undo `affine`."""
    return (y - shift) * torch.exp(-log_scale)


def bounded(raw: Tensor, bound: float) -> Tensor:
    """Squash a log-scale into (-bound, bound), so that no step can stretch by more than exp(bound)."""
    return bound * torch.tanh(raw / bound)
