"""What the operators take per cell, fitted to measurements over windows and shapes of panels.

Measured by `python -m benchmarks.work_estimates --operators` on one core: 1 000 to 20 000 bars of 22 to 400 assets,
windows of 5 to 5 000. An operator that is not here takes what `Cost` says by default; a macro takes what it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from factors.operators.row import Cost


def _slid(numbers: Sequence[float]) -> float:
    """Return the work of sliding over sorted values: each is sorted the more often the longer the window is."""
    together = min(max(numbers[0], 64.0), 512.0)
    return 10.0 + 31.0 * (numbers[0] + together) / together


def _age(numbers: Sequence[float]) -> float:
    """Up to 60 bars each value is looked at; beyond, a queue of candidates is kept."""
    return 8.0 + 0.35 * numbers[0] if numbers[0] <= 60 else 27.0


def _rank(numbers: Sequence[float]) -> float:
    return min(5.0 + 0.25 * numbers[0], _slid(numbers))


def _quantile(numbers: Sequence[float]) -> float:
    return min(12.0 + 0.75 * numbers[0], _slid(numbers))


def _moment(numbers: Sequence[float]) -> float:
    """Up to the fourth, moments are sums that roll; beyond, each window is walked through."""
    return 9.5 + 0.0007 * numbers[0] if numbers[1] <= 4 else 12.0 + 0.6 * numbers[1] * numbers[0]


# Nanoseconds per bar and asset, and for each bar of the longest window.
FITTED: Mapping[str, Cost] = MappingProxyType({
    **dict.fromkeys(("add", "sub", "mul", "div", "max", "min", "clip", "and_", "or_", "not_"), Cost(0.6)),
    **dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne", "if_else", "is_nan"), Cost(1.0)),
    **dict.fromkeys(("abs", "neg", "sign", "floor", "ceil", "round"), Cost(1.6)),
    # Processors with wide vectors take a third to a sixth of others for these: each lies between what both took.
    "sqrt": Cost(2.4), "log": Cost(4.0), "log1p": Cost(5.5), "exp": Cost(4.2), "mod": Cost(13.0),
    "tanh": Cost(9.5), "atan": Cost(9.5), "sigmoid": Cost(10.5), "power": Cost(10.5), "signed_power": Cost(10.5),
    "ts_delay": Cost(1.0, 0.0001), "ts_delta": Cost(1.3, 0.0001), "ts_returns": Cost(1.2, 0.0001),
    "ts_log_return": Cost(6.5),
    "ts_sum": Cost(1.8, 0.0004), "ts_mean": Cost(1.9, 0.0004), "ts_product": Cost(1.7, 0.0002),
    "ts_min": Cost(2.0, 0.0003), "ts_max": Cost(2.4, 0.0003), "ts_count": Cost(2.5, 0.0003),
    "ts_sumif": Cost(3.9, 0.0003), "ts_scale": Cost(5.2, 0.0006),
    "ts_std": Cost(4.4, 0.0005), "ts_var": Cost(4.5, 0.0005), "ts_zscore": Cost(4.9, 0.0005),
    "ts_ir": Cost(5.0, 0.0004),
    "ts_slope": Cost(4.2, 0.0004), "ts_resid": Cost(4.6, 0.0004), "ts_rsquare": Cost(6.4, 0.0007),
    "ts_skew": Cost(10.5, 0.001), "ts_kurt": Cost(9.5, 0.001), "ts_moment": Cost(curve=_moment),
    "ts_argmax": Cost(curve=_age), "ts_argmin": Cost(curve=_age),
    "ts_rank": Cost(curve=_rank), "ts_median": Cost(curve=_quantile), "ts_quantile": Cost(curve=_quantile),
    "ts_mad": Cost(4.0, 0.25),
    "ts_decay_linear": Cost(4.1, 0.0005), "ts_decay_exp": Cost(2.9, 0.0002), "ts_ema": Cost(1.2, 0.0001),
    "ts_sma": Cost(0.8), "ts_kama": Cost(7.2, 0.0005), "ts_backfill": Cost(2.4), "bars_since": Cost(0.8, 0.0001),
    "ts_autocorr": Cost(13.0, 0.002), "ts_corr": Cost(10.7, 0.001), "ts_cov": Cost(9.3, 0.001),
    "ts_beta": Cost(9.6, 0.0015),
    "cum_sum": Cost(3.5), "cum_mean": Cost(4.9), "cum_max": Cost(5.0), "cum_min": Cost(5.0), "cum_product": Cost(4.2),
    "cum_count": Cost(4.9), "trade_when": Cost(7.2, 0.0002), "hump": Cost(2.4),
    "cs_rank": Cost(13.5), "cs_quantile": Cost(7.5), "cs_top_bottom": Cost(9.5), "bucket": Cost(16.0),
    "cs_zscore": Cost(3.5), "cs_mean": Cost(1.9), "cs_demean": Cost(1.7), "cs_scale": Cost(1.4),
    "cs_winsorize": Cost(3.5), "cs_resid": Cost(3.9),
    "group_count": Cost(17.0), "group_mean": Cost(22.0), "group_neutralize": Cost(18.0), "group_std": Cost(22.0),
    "group_max": Cost(24.0), "group_min": Cost(26.0), "group_zscore": Cost(20.0), "group_rank": Cost(31.0),
    "rsi": Cost(4.6, 0.0016), "atr": Cost(2.0, 0.0004), "adx": Cost(6.0, 0.0005),
})  # fmt: skip
