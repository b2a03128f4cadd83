"""Indicators. Most are short for a formula, which takes their place when text is read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from factors.operators.row import Operator, bars_to_forget, full, row, window_reach

_ti = partial(row, "technical")


def _wilder_twice(numbers: Sequence[float]) -> int:
    return 1 + 2 * bars_to_forget(1.0 / numbers[0])


def rows() -> list[Operator]:
    """Return the rows of this family."""
    return [*_own(), *_oscillators(), *_bands()]


def _own() -> list[Operator]:
    return [
        _ti("rsi(x, d)", "100 * gains / (gains + losses), simple means over d changes (Cutler)",
            "the {d}-bar relative strength index of {x}", reach=full, dimension="ratio", scale_free=(0,)),
        _ti("atr(high, low, close, d)", "simple mean of the true range over d bars",
            "the {d}-bar average true range", reach=full, dimension="prices"),
        _ti("adx(high, low, close, d)", "average directional index, 0 to 100, both averages Wilder's (alpha = 1 / d)",
            "the {d}-bar average directional index", reach=_wilder_twice, dimension="price ratio"),
    ]  # fmt: skip


def _oscillators() -> list[Operator]:
    return [
        _ti("macd(x, fast, slow)", "exponential average over fast bars minus that over slow bars",
            "the fast average of {x} minus the slow", formula="ts_ema(x, fast) - ts_ema(x, slow)"),
        _ti("macd_signal(x, fast, slow, signal)", "exponential average of macd(x, fast, slow) over signal bars",
            "the signal line of {x}", formula="ts_ema(ts_ema(x, fast) - ts_ema(x, slow), signal)"),
        _ti("macd_hist(x, fast, slow, signal)", "macd minus its signal line", "the macd histogram of {x}",
            formula="ts_ema(x, fast) - ts_ema(x, slow) - ts_ema(ts_ema(x, fast) - ts_ema(x, slow), signal)"),
        _ti("stochastic(high, low, close, d)", "%K: where the close lies in the d-bar range, 0 to 100",
            "where {close} lies in the {d}-bar range", reach=window_reach,
            formula="100 * (close - ts_min(low, d)) / (ts_max(high, d) - ts_min(low, d))"),
        _ti("stochastic_d(high, low, close, d, n)", "%D: n-bar mean of stochastic(high, low, close, d)",
            "the smoothed place of {close} in the range",
            formula="ts_mean(100 * (close - ts_min(low, d)) / (ts_max(high, d) - ts_min(low, d)), n)"),
        _ti("obv(close, volume, d)", "on-balance volume of the last d bars: volume signed by the close's change",
            "the {d}-bar on-balance volume", formula="ts_sum(sign(ts_delta(close, 1)) * volume, d)"),
        _ti("ts_vwap(x, volume, d)", "mean of x over the last d bars weighted by volume",
            "the {d}-bar volume-weighted {x}", formula="ts_sum(x * volume, d) / ts_sum(volume, d)"),
    ]  # fmt: skip


def _bands() -> list[Operator]:
    return [
        _ti("bollinger_upper(x, d, k)", "mean + k std over d bars", "the upper band of {x}",
            formula="ts_mean(x, d) + k * ts_std(x, d)", least=2),
        _ti("bollinger_lower(x, d, k)", "mean - k std over d bars", "the lower band of {x}",
            formula="ts_mean(x, d) - k * ts_std(x, d)", least=2),
        _ti("bollinger_position(x, d, k)", "%B: 0 at the lower band, 1 at the upper", "where {x} lies in its bands",
            formula="0.5 + ts_zscore(x, d) / (2 * k)", least=2),
        _ti("bollinger_width(x, d, k)", "distance of the bands over the mean", "the width of {x}'s bands",
            formula="2 * k * ts_std(x, d) / ts_mean(x, d)", least=2),
        _ti("keltner_upper(high, low, close, d, k)", "exponential average of the close + k average true ranges",
            "the upper channel", formula="ts_ema(close, d) + k * atr(high, low, close, d)"),
        _ti("keltner_lower(high, low, close, d, k)", "exponential average of the close - k average true ranges",
            "the lower channel", formula="ts_ema(close, d) - k * atr(high, low, close, d)"),
        _ti("keltner_position(high, low, close, d, k)", "0 at the lower channel, 1 at the upper",
            "where {close} lies in its channel",
            formula="0.5 + (close - ts_ema(close, d)) / (2 * k * atr(high, low, close, d))"),
    ]  # fmt: skip
