"""Operators that look back in time on one asset, or on two series of one asset."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from factors.operators.row import Operator, bars_to_forget, ever, full, row, window_reach, with_lag

_ts = partial(row, "time series", reach=window_reach)
_pair = partial(row, "two series", reach=window_reach)
_cum = partial(row, "cumulative", reach=ever)
_free = partial(row, "time series", reach=window_reach, dimension="ratio", scale_free=(0,))


def rows() -> list[Operator]:
    """Return the rows of this family."""
    return [*_changes(), *_statistics(), *_averages(), *_trends(), *_conditions(), *_pairs(), *_cumulative()]


def _changes() -> list[Operator]:
    return [
        _ts("ts_delay(x, d)", "x, d bars ago", "{x} {d} bars ago", reach=full, parity="odd"),
        _ts("ts_delta(x, d)", "x minus x d bars ago", "the change of {x} over {d} bars", reach=full, parity="odd"),
        _ts("ts_returns(x, d)", "x / (x d bars ago) - 1", "the return of {x} over {d} bars", reach=full,
            dimension="ratio", parity="even", scale_free=(0,)),
        _ts("ts_log_return(x, d)", "log(x / (x d bars ago))", "the log return of {x} over {d} bars", reach=full,
            dimension="ratio", parity="even", scale_free=(0,)),
    ]  # fmt: skip


def _statistics() -> list[Operator]:
    return [
        _ts("ts_sum(x, d)", "sum of the last d values", "the {d}-bar sum of {x}", parity="odd"),
        _ts("ts_mean(x, d)", "mean of the last d values", "the {d}-bar mean of {x}", parity="odd"),
        _ts("ts_std(x, d)", "standard deviation, ddof 1", "the {d}-bar standard deviation of {x}",
            parity="even", least=2),
        _ts("ts_var(x, d)", "variance, ddof 1", "the {d}-bar variance of {x}", dimension="square", parity="even",
            least=2),
        _free("ts_skew(x, d)", "skewness, bias-corrected", "the {d}-bar skewness of {x}", parity="odd", least=3),
        _free("ts_kurt(x, d)", "excess kurtosis, bias-corrected", "the {d}-bar excess kurtosis of {x}",
            parity="even", least=4),
        _ts("ts_moment(x, d, k)", "mean of (x - mean)^k over the last d values; k a whole number from 1 to 8",
            "the {d}-bar central moment of order {k} of {x}", dimension="moment",
            check=lambda n: None if n[1] in range(1, 9) else "k is a whole number from 1 to 8"),
        _ts("ts_min(x, d)", "smallest of the last d values", "the {d}-bar low of {x}"),
        _ts("ts_max(x, d)", "largest of the last d values", "the {d}-bar high of {x}"),
        _ts("ts_min_max_diff(x, d)", "largest minus smallest of the last d values", "the {d}-bar range of {x}",
            formula="ts_max(x, d) - ts_min(x, d)"),
        _free("ts_argmax(x, d)", "bars since the largest value, 0 = now; the newest wins a tie",
            "how many bars ago {x} was at its {d}-bar high"),
        _free("ts_argmin(x, d)", "bars since the smallest value, 0 = now; the newest wins a tie",
            "how many bars ago {x} was at its {d}-bar low"),
        _free("ts_rank(x, d)", "average rank of the newest value among the last d, over d, in (0, 1]",
            "where {x} ranks among its last {d} values"),
        _free("ts_zscore(x, d)", "(x - mean) / std, ddof 1; NaN for a constant window",
            "how far {x} is above its {d}-bar mean, in standard deviations", parity="odd", least=2),
        _ts("ts_median(x, d)", "median of the last d values", "the {d}-bar median of {x}", parity="odd"),
        _ts("ts_mad(x, d)", "mean absolute deviation from the mean", "the {d}-bar mean deviation of {x}",
            parity="even"),
        _ts("ts_product(x, d)", "product of the last d values", "the {d}-bar product of {x}", dimension="repeat"),
        _ts("ts_quantile(x, d, level)", "quantile of the last d values, linear; level in [0, 1]",
            "the {level} quantile of {x} over {d} bars",
            check=lambda n: None if 0 <= n[1] <= 1 else "level lies in [0, 1]"),
        _free("ts_scale(x, d)", "(x - min) / (max - min) of the last d values; NaN for a constant window",
            "where {x} lies in its {d}-bar range, 0 to 1", least=2),
        _ts("ts_backfill(x, d)", "the newest value known within the last d bars, this one included",
            "the latest {x} known within {d} bars", parity="odd"),
    ]  # fmt: skip


def _ema(numbers: Sequence[float]) -> int:
    return bars_to_forget(2.0 / (numbers[0] + 1.0))


def _sma(numbers: Sequence[float]) -> int:
    return bars_to_forget(min(1.0, numbers[1] / numbers[0]))


def _kama(numbers: Sequence[float]) -> int:
    # Where nothing but noise moves it, Kaufman's average is as slow as its slow constant, squared.
    return int(numbers[0]) + bars_to_forget((2.0 / 31.0) ** 2)


def _averages() -> list[Operator]:
    return [
        _ts("ts_decay_linear(x, d)", "weighted mean, weights d..1 from newest to oldest",
            "the {d}-bar mean of {x} weighted to recent bars", parity="odd"),
        _ts("ts_wma(x, d)", "weighted mean, weights d..1 from newest to oldest",
            "the {d}-bar mean of {x} weighted to recent bars", formula="ts_decay_linear(x, d)"),
        _ts("ts_decay_exp(x, d, a)", "weighted mean, weights a^0, a^1, .. from newest to oldest; 0 < a <= 1",
            "the {d}-bar mean of {x} with weights fading by {a}", parity="odd",
            check=lambda n: None if 0 < n[1] <= 1 else "a lies in (0, 1]"),
        _ts("ts_ema(x, d)", "recursive average, alpha = 2 / (d + 1), no bias adjustment",
            "the exponential average of {x} over {d} bars", reach=_ema, parity="odd"),
        _ts("ts_sma(x, n, m)", "recursive average, alpha = m / n",
            "the smoothed average of {x} ({m} of {n})", reach=_sma, parity="odd",
            check=lambda n: None if 0 < n[1] <= n[0] else "m lies in (0, n]"),
        _ts("ts_dema(x, d)", "double exponential average (Mulloy 1994)", "the double exponential average of {x}",
            formula="2 * ts_ema(x, d) - ts_ema(ts_ema(x, d), d)"),
        _ts("ts_kama(x, d)", "adaptive average (Kaufman 1995), efficiency over d bars, between 2 and 30 bars fast",
            "the adaptive average of {x} over {d} bars", reach=_kama, parity="odd"),
        _ts("ts_hma(x, d)", "Hull's moving average (2005)", "the Hull average of {x} over {d} bars", least=4,
            formula="ts_decay_linear(2 * ts_decay_linear(x, floor(d / 2)) - ts_decay_linear(x, d), floor(sqrt(d)))"),
        _free("ts_ir(x, d)", "mean / std, ddof 1; NaN for a constant window",
            "the {d}-bar mean of {x} over its deviation", parity="odd", least=2),
    ]  # fmt: skip


def _trends() -> list[Operator]:
    return [
        _ts("ts_slope(x, d)", "slope of x on time over the last d bars, per bar", "the {d}-bar trend of {x}",
            parity="odd", least=2),
        _free("ts_rsquare(x, d)", "R squared of x on time; NaN for a constant window",
            "how straight the {d}-bar trend of {x} is", parity="even", least=2),
        _ts("ts_resid(x, d)", "newest value less its fit on time", "how far {x} is above its {d}-bar trend",
            parity="odd", least=2),
        _free("ts_autocorr(x, d, lag)", "correlation of x with x lag bars ago, over d pairs",
            "the {d}-bar autocorrelation of {x} at lag {lag}", reach=with_lag, parity="even", least=2),
    ]  # fmt: skip


def _conditions() -> list[Operator]:
    return [
        _ts("ts_count(c, d)", "how often c was true in the last d bars", "how often in {d} bars {c}",
            dimension="ratio"),
        _ts("ts_sumif(x, d, c)", "sum of x over the last d bars where c was true",
            "the {d}-bar sum of {x} where {c}", parity="odd"),
        _ts("bars_since(c, d)", "bars since c was last true, at most d", "bars since {c} (up to {d})",
            dimension="ratio"),
    ]  # fmt: skip


def _pairs() -> list[Operator]:
    return [
        _pair("ts_corr(x, y, d)", "correlation; NaN where either side is constant",
              "the {d}-bar correlation of {x} and {y}", commutative=True, dimension="ratio", parity="odd",
              scale_free=(0, 1), least=2),
        _pair("ts_cov(x, y, d)", "covariance, ddof 1", "the {d}-bar covariance of {x} and {y}", commutative=True,
              dimension="product", parity="odd", least=2),
        _pair("ts_beta(y, x, d)", "slope of y on x; NaN where x is constant", "the {d}-bar beta of {y} to {x}",
              dimension="quotient", parity="odd", least=2),
        _pair("ts_regression_slope(y, x, d)", "slope of y on x over the last d bars", "the slope of {y} on {x}",
              formula="ts_beta(y, x, d)", least=2),
        _pair("ts_regression_intercept(y, x, d)", "intercept of y on x over the last d bars",
              "the intercept of {y} on {x}", formula="ts_mean(y, d) - ts_beta(y, x, d) * ts_mean(x, d)", least=2),
        _pair("ts_regression_pred(y, x, d)", "newest y as its regression on x over the last d bars has it",
              "{y} as {x} predicts it", formula="ts_mean(y, d) + ts_beta(y, x, d) * (x - ts_mean(x, d))", least=2),
        _pair("ts_regression_resid(y, x, d)", "newest y less what its regression on x over the last d bars has",
              "{y} above what {x} predicts",
              formula="y - (ts_mean(y, d) + ts_beta(y, x, d) * (x - ts_mean(x, d)))", least=2),
    ]  # fmt: skip


def _cumulative() -> list[Operator]:
    return [
        _cum("cum_sum(x)", "sum since the first bar; NaN where x is, and that bar adds nothing",
             "the sum of {x} so far", parity="odd"),
        _cum("cum_mean(x)", "mean since the first bar", "the mean of {x} so far", parity="odd"),
        _cum("cum_max(x)", "largest value since the first bar", "the highest {x} so far"),
        _cum("cum_min(x)", "smallest value since the first bar", "the lowest {x} so far"),
        _cum("cum_product(x)", "product since the first bar", "the product of {x} so far", dimension="pure"),
        _cum("cum_count(c)", "how often c was true since the first bar", "how often so far {c}", dimension="ratio"),
    ]  # fmt: skip
