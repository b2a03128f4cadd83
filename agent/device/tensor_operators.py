"""Operators of the engine's plan on stacks of panels (E, T, N): one call computes an operator of E expressions.

Values are finite or NaN, as in `factors.kernels`, whose results these equal but for rounding. An operand that is a
number has the shape (E, 1, 1). Operators that are not here are left to the engine on processors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agent.device.window_statistics import PAIR_STATISTICS, STATISTICS, Numbers
from market.ranking import TIE

# Values of windows laid side by side at once.
_WINDOW_CELLS = {"cpu": 1 << 22, "cuda": 1 << 27}
# What came earlier evaluates less than this and is not looked up.
_FORGOTTEN = 1e-20


@dataclass(frozen=True, eq=False)
class Setting:
    """What operators across assets need.

    `outside` (T, N) is 0 inside the universe and NaN elsewhere; `ranks` does as `row_ranks`, which None stands for.
    """

    outside: Tensor
    ranks: Callable[[Tensor], Tensor] | None = None

    def ranked(self, x: Tensor) -> Tensor:
        """Return the ranks of rows (.., N)."""
        return row_ranks(x) if self.ranks is None else self.ranks(x)


Operands = Sequence[Tensor]
TensorOperator = Callable[[Operands, Numbers, Setting], Tensor]


def finite(x: Tensor) -> Tensor:
    """Make NaN what is not finite, in place."""
    return x.nan_to_num_(nan=math.nan, posinf=math.nan, neginf=math.nan)


def _plain(function: Callable[..., Tensor]) -> TensorOperator:
    """Return an operator without state: of its operands, then its numbers."""
    return lambda a, n, _: finite(function(*a, *n))


def _compare(function: Callable[[Tensor, Tensor], Tensor]) -> TensorOperator:
    # A NaN times 0 stays one; what is finite adds 0.
    return lambda a, n, _: function(a[0], a[1]).to(a[0].dtype) + a[0] * 0.0 + a[1] * 0.0


def _truth(want: bool) -> TensorOperator:
    return lambda a, n, _: ((a[0] != 0.0) == want).to(a[0].dtype) + a[0] * 0.0


def _signed_power(x: Tensor, y: Tensor) -> Tensor:
    return x.abs().pow(y) * x.sign()


def delayed(x: Tensor, d: int) -> Tensor:
    """Return the value d bars ago; NaN before there is one."""
    out = torch.full_like(x, math.nan)
    if d < x.shape[1]:
        out[:, d:] = x[:, : x.shape[1] - d]
    return out


def _lag(function: Callable[[Tensor, Tensor], Tensor]) -> TensorOperator:
    return lambda a, n, _: finite(function(a[0], delayed(a[0], int(n[0]))))


def _over_windows(statistic: Callable[..., Tensor], operands: Operands, n: Numbers) -> Tensor:
    """Lay windows side by side, as many bars at once as memory allows, and reduce them."""
    d, first = int(n[0]), operands[0]
    out = torch.full_like(first, math.nan)
    if d > first.shape[1]:
        return out
    laid = [x.unfold(1, d, 1) for x in operands]
    rows = max(1, _WINDOW_CELLS[first.device.type] // (first.shape[0] * first.shape[2] * d))
    for start in range(0, first.shape[1] - d + 1, rows):
        found = statistic(*[w[:, start : start + rows] for w in laid], n)
        out[:, d - 1 + start : d - 1 + start + found.shape[1]] = found
    return finite(out)


def _window(statistic: Callable[..., Tensor]) -> TensorOperator:
    return lambda a, n, _: _over_windows(statistic, a, n)


def _deviation(a: Operands, n: Numbers, _: Setting) -> Tensor:
    return _over_windows(PAIR_STATISTICS["_deviation"], a, n)


def full_windows(x: Tensor, d: int) -> Tensor:
    """Return 0 where the last d values are finite, NaN elsewhere."""
    clock = torch.arange(x.shape[1], device=x.device).view(1, -1, 1)
    missing = torch.where(x.isnan(), clock, -1).cummax(dim=1).values
    return x.new_zeros(()).where(clock - missing >= d, x.new_full((), math.nan))


def _recursive(x: Tensor, alpha: float, warm: int) -> Tensor:
    """Y = alpha x + (1 - alpha) y', restarting after a NaN: pairs of bars are put together, then pairs of pairs."""
    known = ~x.isnan()
    goes_on = known & torch.cat([torch.zeros_like(known[:, :1]), known[:, :-1]], dim=1)
    add = torch.where(goes_on, alpha * x, torch.where(known, x, 0.0))
    keep = goes_on.to(x.dtype) * (1.0 - alpha)
    reach, bars = 1, x.shape[1]
    while reach < bars and (1.0 - alpha) ** reach > _FORGOTTEN:
        more = keep[:, reach:] * add[:, : bars - reach]
        keep = torch.cat([keep[:, :reach], keep[:, reach:] * keep[:, : bars - reach]], dim=1)
        add = torch.cat([add[:, :reach], add[:, reach:] + more], dim=1)
        reach *= 2
    return add + full_windows(x, warm)


def _average(alpha: Callable[[Numbers], float]) -> TensorOperator:
    return lambda a, n, _: _recursive(a[0], alpha(n), int(n[0]))


def _last_known(x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bar at which `known` was last true, -1 before, and how many bars ago; (E, T, N)."""
    clock = torch.arange(x.shape[1], device=x.device).view(1, -1, 1)
    last = torch.where(known, clock, -1).cummax(dim=1).values
    return last, clock - last


def _backfill(a: Operands, n: Numbers, _: Setting) -> Tensor:
    last, age = _last_known(a[0], ~a[0].isnan())
    found = a[0].gather(1, last.clamp(min=0))
    return torch.where((last >= 0) & (age < n[0]), found, math.nan)


def _since(a: Operands, n: Numbers, _: Setting) -> Tensor:
    x, d = a[0], n[0]
    last, age = _last_known(x, (x != 0.0) & ~x.isnan())
    found = torch.where(last >= 0, age.to(x.dtype).clamp(max=d), d)
    return found + full_windows(x, int(d))


def _cumulative(name: str) -> TensorOperator:
    start = {"cum_max": -math.inf, "cum_min": math.inf, "cum_product": 1.0}.get(name, 0.0)

    def compute(a: Operands, n: Numbers, _: Setting) -> Tensor:
        known = ~a[0].isnan()
        x = torch.where(known, a[0], start)
        if name == "cum_max":
            found = x.cummax(dim=1).values
        elif name == "cum_min":
            found = x.cummin(dim=1).values
        elif name == "cum_product":
            found = x.cumprod(dim=1)
        else:
            found = x.cumsum(dim=1)
            found = found / known.cumsum(dim=1) if name == "cum_mean" else found
        return finite(torch.where(known, found, math.nan))

    return compute


def _true_range(a: Operands, n: Numbers, _: Setting) -> Tensor:
    high, low, before = a[0], a[1], delayed(a[2], 1)
    return finite(torch.maximum(high - low, torch.maximum((high - before).abs(), (low - before).abs())))


def _movement(upward: bool) -> TensorOperator:
    def compute(a: Operands, n: Numbers, _: Setting) -> Tensor:
        waits = 0.0 * a[2]
        up = a[0] - delayed(a[0], 1) + waits
        down = delayed(a[1], 1) - a[1] + waits
        mine, other = (up, down) if upward else (down, up)
        return torch.where((mine > other) & (mine > 0.0), mine, 0.0) + 0.0 * (up + down)

    return compute


def _balance(plus: Tensor, minus: Tensor) -> Tensor:
    total = plus + minus
    return torch.where(total != 0.0, 100.0 * (plus - minus).abs() / total, 0.0 * total)


def centred(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows less their mean, that mean (.., 1), and how many are known (.., 1).

    Distances are from the row's first value, so that equal values have exactly themselves as their mean.
    """
    known = ~x.isnan()
    pivot = x.gather(-1, known.to(torch.uint8).argmax(dim=-1, keepdim=True))
    count = known.sum(dim=-1, keepdim=True)
    u = x - pivot
    mean = u.nansum(dim=-1, keepdim=True) / count.clamp(min=1)
    return u - mean, pivot + mean, count


def _deviations(gaps: Tensor, count: Tensor) -> Tensor:
    return (gaps.square().nansum(dim=-1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()


def _standard(name: str) -> TensorOperator:
    def compute(a: Operands, n: Numbers, at: Setting) -> Tensor:
        x = a[0] + at.outside
        gaps, mean, count = centred(x)
        if name == "cs_mean":
            return finite(mean + 0.0 * x)
        return finite(gaps / _deviations(gaps, count) if name == "cs_zscore" else gaps)

    return compute


def _winsorized(a: Operands, n: Numbers, at: Setting) -> Tensor:
    x = a[0] + at.outside
    gaps, mean, count = centred(x)
    reach = n[0] * (gaps.square().nansum(dim=-1, keepdim=True) / (count - 1)).sqrt()
    found = torch.where(gaps.abs() <= reach, x, mean + gaps.clamp(-reach, reach))
    return finite(torch.where(count > 1, found + 0.0 * x, math.nan))


def _scaled(a: Operands, n: Numbers, at: Setting) -> Tensor:
    x = a[0] + at.outside
    return finite(x / x.abs().nansum(dim=-1, keepdim=True))


def _residual(a: Operands, n: Numbers, at: Setting) -> Tensor:
    both = 0.0 * a[0] + 0.0 * a[1] + at.outside
    y, x = centred(a[0] + both)[0], centred(a[1] + both)[0]
    xx = x.square().nansum(dim=-1, keepdim=True)
    xy = (x * y).nansum(dim=-1, keepdim=True)
    return finite(y - torch.where(xx > 0.0, xy / xx, 0.0) * x)


def row_ranks(x: Tensor) -> Tensor:
    """Return average ranks 1..count of the finite values of each row (.., N); values within `TIE` tie; NaN stays."""
    filled = x.nan_to_num(nan=math.inf)
    ascending = filled.sort(dim=-1).values
    margin = TIE * filled.abs()
    below = torch.searchsorted(ascending, filled - margin)
    upto = torch.searchsorted(ascending, filled + margin, right=True)
    return (below + upto + 1).to(x.dtype) * 0.5 + 0.0 * x


def _count(x: Tensor) -> Tensor:
    return (~x.isnan()).sum(dim=-1, keepdim=True)


def _cs_rank(a: Operands, n: Numbers, at: Setting) -> Tensor:
    return at.ranked(a[0]) / _count(a[0])


def _top_bottom(a: Operands, n: Numbers, at: Setting) -> Tensor:
    place = (at.ranked(a[0]) - 0.5) / _count(a[0])
    high, low = place > 1.0 - n[0] + 1e-9, place < n[0] - 1e-9
    return high.to(place.dtype) - low.to(place.dtype) + 0.0 * place


def _row_quantile(a: Operands, n: Numbers, _: Setting) -> Tensor:
    x = a[0]
    ascending, last = x.sort(dim=-1).values, (_count(x) - 1).clamp(min=0)
    spot = last.to(x.dtype) * n[0]
    lower = spot.floor().long()
    low, high = ascending.gather(-1, lower), ascending.gather(-1, torch.minimum(lower + 1, last))
    return finite(low + (spot - lower) * (high - low) + 0.0 * x)


# By the names that `factors.implementations` has: how many operands are arrays is said there.
OPERATORS: Mapping[str, TensorOperator] = {
    "add": _plain(torch.add),
    "sub": _plain(torch.sub),
    "mul": _plain(torch.mul),
    "div": _plain(torch.div),
    "neg": _plain(torch.neg),
    "power": _plain(torch.pow),
    "signed_power": _plain(_signed_power),
    "abs": _plain(torch.abs),
    "sign": lambda a, n, _: a[0].sign() + 0.0 * a[0],
    "log": _plain(torch.log),
    "log1p": _plain(torch.log1p),
    "exp": _plain(torch.exp),
    "sqrt": _plain(torch.sqrt),
    "tanh": _plain(torch.tanh),
    "atan": _plain(torch.atan),
    "sigmoid": _plain(torch.sigmoid),
    "floor": _plain(torch.floor),
    "max": _plain(torch.maximum),
    "min": _plain(torch.minimum),
    "clip": lambda a, n, _: a[0].clamp(n[0], n[1]),
    "lt": _compare(torch.lt),
    "le": _compare(torch.le),
    "gt": _compare(torch.gt),
    "ge": _compare(torch.ge),
    "eq": _compare(torch.eq),
    "ne": _compare(torch.ne),
    "and_": _compare(lambda x, y: (x != 0.0) & (y != 0.0)),
    "or_": _compare(lambda x, y: (x != 0.0) | (y != 0.0)),
    "not_": _truth(False),
    "_truth": _truth(True),
    "if_else": lambda a, n, _: torch.where(a[0] != 0.0, a[1], a[2]) + 0.0 * a[0],
    "ts_delay": lambda a, n, _: delayed(a[0], int(n[0])),
    "ts_delta": _lag(torch.sub),
    "ts_returns": _lag(lambda x, then: x / then - 1.0),
    "_ratio": _lag(torch.div),
    **{name: _window(statistic) for name, statistic in STATISTICS.items()},
    **{name: _window(statistic) for name, statistic in PAIR_STATISTICS.items()},
    "_deviation": _deviation,
    "_place": _plain(lambda low, high, x: (x - low) / (high - low)),
    # These look at each value of a short window; the extreme, their second operand, is found again.
    "_recent_low": lambda a, n, _: _over_windows(STATISTICS["ts_argmin"], a[:1], n),
    "_recent_high": lambda a, n, _: _over_windows(STATISTICS["ts_argmax"], a[:1], n),
    "ts_ema": _average(lambda n: 2.0 / (n[0] + 1.0)),
    "ts_sma": _average(lambda n: n[1] / n[0]),
    "_wilder": _average(lambda n: 1.0 / n[0]),
    "ts_backfill": _backfill,
    "bars_since": _since,
    **{name: _cumulative(name) for name in ("cum_sum", "cum_mean", "cum_max", "cum_min", "cum_product")},
    "_rise": _plain(lambda x: x.clamp(min=0.0)),
    "_fall": _plain(lambda x: (-x).clamp(min=0.0)),
    "_strength": _plain(lambda up, down: 100.0 * up / (up + down)),
    "_true_range": _true_range,
    "_up_move": _movement(True),
    "_down_move": _movement(False),
    "_balance": _plain(_balance),
    "_inside": lambda a, n, at: a[0] + at.outside,
    "cs_rank": _cs_rank,
    **{name: _standard(name) for name in ("cs_zscore", "cs_demean", "cs_mean")},
    "cs_scale": _scaled,
    "cs_winsorize": _winsorized,
    "cs_quantile": _row_quantile,
    "cs_top_bottom": _top_bottom,
    "cs_resid": _residual,
}
