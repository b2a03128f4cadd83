"""The steps of a flow as pure functions: each has an inverse and a log-determinant.

Shapes: ``x`` is (B, D); log-determinants belong to the direction x to y (Kingma & Dhariwal 2018, table 1).
Matrices and per-channel parameters may have leading dimensions: a stack of steps is mapped at once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from market.errors import InputError


def compose_lu(permutation: Tensor, lower: Tensor, upper: Tensor, log_s: Tensor, sign_s: Tensor) -> Tensor:
    """W = P L (U + diag(sign exp(log_s))), with L unit lower and U strictly upper triangular (section 3.2, eq. 10)."""
    eye = torch.eye(log_s.shape[-1], dtype=lower.dtype, device=lower.device)
    left = torch.tril(lower, -1) + eye
    right = torch.triu(upper, 1) + torch.diag_embed(sign_s * torch.exp(log_s))
    return permutation @ left @ right


def fold(weight: Tensor, log_scale: Tensor, bias: Tensor, log_det: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ActNorm y = (x + bias) exp(log_scale) and the linear map W y after it as one, x A + c.

    `weight` (K, D, D), `log_scale` and `bias` (K, D), `log_det` (K,) of W; A is (K, D, D), c (K, 1, D), and
    the log-determinant of both (K,) comes last.
    """
    scale = torch.exp(log_scale)
    matrix = (weight * scale.unsqueeze(-2)).mT
    return matrix, bias.unsqueeze(-2) @ matrix, log_det + log_scale.sum(dim=-1)


def affine(x: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
    """Y = x * exp(log_scale) + shift, element by element; the log-determinant is the sum of `log_scale`."""
    return torch.addcmul(shift, x, torch.exp(log_scale))


def affine_inverse(y: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
    """Undo `affine`."""
    return (y - shift) * torch.exp(-log_scale)


def bounded(raw: Tensor, bound: float) -> Tensor:
    """Squash a log-scale into (-bound, bound), so that no step can stretch by more than exp(bound)."""
    return bound * torch.tanh(raw / bound)


def unbounded(value: Tensor, bound: float) -> Tensor:
    """Undo `bounded`; what lies at the bound or beyond it comes from just within."""
    return bound * torch.atanh(torch.clamp(value / bound, -0.999, 0.999))


def spline(x: Tensor, raw: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Map each element by a monotonic rational-quadratic spline (Durkan et al. 2019), the identity beyond +-`bound`.

    Returns y (B, D) and the logarithms of the slopes (B, D), which sum to the log-determinant.

    `raw` is (B, D, 3 bins - 1): widths, heights and inner derivatives before they are made positive.
    """
    y, log_slopes = _rational_quadratic(raw, bound).call_and_ladj(x)
    return y, log_slopes


def spline_inverse(y: Tensor, raw: Tensor, bound: float) -> Tensor:
    """Undo `spline`."""
    x: Tensor = _rational_quadratic(raw, bound).inv(y)
    return x


def _rational_quadratic(raw: Tensor, bound: float) -> Any:  # noqa: ANN401 - zuko is an extra
    try:
        from zuko.transforms import MonotonicRQSTransform
    except ImportError as error:
        raise InputError("spline couplings need the package zuko", "pip install 'alphaglow[flows]'") from error
    bins = (raw.shape[-1] + 1) // 3
    return MonotonicRQSTransform(*torch.split(raw, [bins, bins, bins - 1], dim=-1), bound=bound)
