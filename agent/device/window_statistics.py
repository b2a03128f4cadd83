"""Statistics of a window, from windows laid side by side: `w` is (..., d), the oldest value first.

Each is the definition itself, computed about the window's first value, so that a constant window has a spread of
exactly 0. A NaN in a window makes the result NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from market.ranking import TIE

# Co-movements below this share of the two spreads are none; see `factors.kernels.pairs`.
_SNAP = 1e-12
_LARGE = 1e9
Numbers = Sequence[float]


def _centred(w: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances from the window's mean (..., d), and that mean (...)."""
    pivot = w[..., :1]
    u = w - pivot
    mean = u.mean(dim=-1, keepdim=True)
    return u - mean, (pivot + mean)[..., 0]


def _mean(w: Tensor, _: Numbers) -> Tensor:
    return w[..., 0] + (w - w[..., :1]).sum(dim=-1) / w.shape[-1]


def _variance(w: Tensor) -> Tensor:
    return _centred(w)[0].square().sum(dim=-1) / (w.shape[-1] - 1) if w.shape[-1] > 1 else _nothing(w)


def _nothing(w: Tensor) -> Tensor:
    return torch.full_like(w[..., 0], math.nan)


def _std(w: Tensor, _: Numbers) -> Tensor:
    return _variance(w).sqrt()


def _zscore(w: Tensor, _: Numbers) -> Tensor:
    gaps, _mean_of = _centred(w)
    return gaps[..., -1] / _variance(w).sqrt()


def _ir(w: Tensor, n: Numbers) -> Tensor:
    return _mean(w, n) / _variance(w).sqrt()


def _skew(w: Tensor, _: Numbers) -> Tensor:
    d, gaps = w.shape[-1], _centred(w)[0]
    if d < 3:
        return _nothing(w)
    two, three = gaps.square().mean(dim=-1), gaps.pow(3).mean(dim=-1)
    return three / (two * two.sqrt()) * (math.sqrt(d * (d - 1.0)) / (d - 2.0))


def _kurt(w: Tensor, _: Numbers) -> Tensor:
    d, gaps = w.shape[-1], _centred(w)[0]
    if d < 4:
        return _nothing(w)
    two, four = gaps.square().mean(dim=-1), gaps.pow(4).mean(dim=-1)
    return (d - 1.0) / ((d - 2.0) * (d - 3.0)) * ((d + 1.0) * (four / (two * two) - 3.0) + 6.0)


def _moment(w: Tensor, n: Numbers) -> Tensor:
    gaps, order = _centred(w)[0], int(n[1])
    return 0.0 * gaps.sum(dim=-1) if order == 1 else gaps.pow(order).mean(dim=-1)


def _ramp(w: Tensor, offset: float) -> Tensor:
    """Return the sum of (i + offset) times the distance from the first value, i counting from the oldest."""
    steps = torch.arange(w.shape[-1], dtype=w.dtype, device=w.device) + offset
    return ((w - w[..., :1]) * steps).sum(dim=-1)


def _decay_linear(w: Tensor, _: Numbers) -> Tensor:
    d = w.shape[-1]
    return w[..., 0] + _ramp(w, 1.0) / (0.5 * d * (d + 1.0))


def _decay_exp(w: Tensor, n: Numbers) -> Tensor:
    d = w.shape[-1]
    weights = float(n[1]) ** torch.arange(d - 1, -1, -1, dtype=w.dtype, device=w.device)
    return w[..., 0] + ((w - w[..., :1]) * weights).sum(dim=-1) / weights.sum()


def _slope(w: Tensor, _: Numbers) -> Tensor:
    d = w.shape[-1]
    return _ramp(w, -0.5 * (d - 1)) / (d * (d * d - 1.0) / 12.0) if d > 1 else _nothing(w)


def _resid(w: Tensor, n: Numbers) -> Tensor:
    return _centred(w)[0][..., -1] - _slope(w, n) * (0.5 * (w.shape[-1] - 1))


def _rsquare(w: Tensor, _: Numbers) -> Tensor:
    d = w.shape[-1]
    cross, spread = _ramp(w, -0.5 * (d - 1)), d * (d * d - 1.0) / 12.0
    square = _centred(w)[0].square().sum(dim=-1)
    return torch.where(square > 0.0, (cross * (cross / spread) / square).clamp(max=1.0), math.nan)


def _least(w: Tensor, _: Numbers) -> Tensor:
    return w.amin(dim=-1)


def _most(w: Tensor, _: Numbers) -> Tensor:
    return w.amax(dim=-1)


def _age(w: Tensor, sign: float) -> Tensor:
    w = w * sign
    low = w.amin(dim=-1, keepdim=True)
    back = torch.arange(w.shape[-1] - 1, -1, -1, dtype=w.dtype, device=w.device)
    newest = torch.where(w <= low + TIE * low.abs(), back, _LARGE).amin(dim=-1)
    return newest + 0.0 * low[..., 0]


def _rank(w: Tensor, _: Numbers) -> Tensor:
    now = w[..., -1:]
    margin = TIE * now.abs()
    below = (w < now - margin).sum(dim=-1) + (w <= now + margin).sum(dim=-1)
    return 0.5 * (below.to(w.dtype) + 1.0) / w.shape[-1] + 0.0 * w.sum(dim=-1)


def _quantile(w: Tensor, n: Numbers) -> Tensor:
    d = w.shape[-1]
    spot = float(n[1]) * (d - 1)
    lower = math.floor(spot)
    ascending = w.sort(dim=-1).values
    low, high = ascending[..., lower], ascending[..., min(lower + 1, d - 1)]
    # NaN sorts last: one in the window is seen there.
    return (low + (spot - lower) * (high - low) if spot > lower else low) + 0.0 * ascending[..., -1]


# Windows of one series; the first number is d.
STATISTICS: Mapping[str, Callable[[Tensor, Numbers], Tensor]] = {
    "ts_sum": lambda w, _: w.sum(dim=-1),
    "ts_mean": _mean,
    "ts_product": lambda w, _: w.prod(dim=-1),
    "ts_decay_linear": _decay_linear,
    "ts_decay_exp": _decay_exp,
    "ts_var": lambda w, _: _variance(w),
    "ts_std": _std,
    "ts_zscore": _zscore,
    "ts_ir": _ir,
    "ts_skew": _skew,
    "ts_kurt": _kurt,
    "_moment": _moment,
    "ts_slope": _slope,
    "ts_resid": _resid,
    "ts_rsquare": _rsquare,
    "ts_min": _least,
    "ts_max": _most,
    "ts_argmin": lambda w, _: _age(w, 1.0),
    "ts_argmax": lambda w, _: _age(w, -1.0),
    "ts_rank": _rank,
    "ts_quantile": _quantile,
}


def _pair_sums(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    a, b = _centred(x)[0], _centred(y)[0]
    xx, yy, xy = a.square().sum(dim=-1), b.square().sum(dim=-1), (a * b).sum(dim=-1)
    size = xx.sqrt() * yy.sqrt()
    return torch.where(xy.abs() <= _SNAP * size, 0.0 * xy, xy), size, yy, xx


def _corr(x: Tensor, y: Tensor, _: Numbers) -> Tensor:
    both, size, _yy, _xx = _pair_sums(x, y)
    found = both / size
    return torch.where(found.abs() > 1.0 - _SNAP, found.sign(), found)


def _cov(x: Tensor, y: Tensor, _: Numbers) -> Tensor:
    return _pair_sums(x, y)[0] / (x.shape[-1] - 1) if x.shape[-1] > 1 else _nothing(x)


def _beta(x: Tensor, y: Tensor, _: Numbers) -> Tensor:
    both, _size, yy, _xx = _pair_sums(x, y)
    return both / yy


def _deviation(x: Tensor, mean: Tensor, n: Numbers) -> Tensor:
    gaps, order = x - mean[..., -1:], int(n[1])
    return (gaps.abs() if order == 0 else gaps.pow(order)).mean(dim=-1)


# Windows of two series.
PAIR_STATISTICS: Mapping[str, Callable[[Tensor, Tensor, Numbers], Tensor]] = {
    "ts_corr": _corr,
    "ts_cov": _cov,
    "ts_beta": _beta,
    "_deviation": _deviation,
}
