"""Indicators as their authors and TA-Lib define them; each is short for a formula."""

from __future__ import annotations

from functools import partial

from factors.operators.row import Operator, full, row, window_reach

_ti = partial(row, "technical", reach=full)
_TYPICAL = "((high + low + close) / 3)"
_SEEDED = "TA-Lib starts Wilder's average at a simple mean; until that is forgotten its values differ"
_BANDS = "As TA-Lib's, with the deviation of the window itself (ddof 0); bollinger_ operators have ddof 1"
_POPULATION = "sqrt(1 - 1 / d) * ts_std(x, d)"


def rows() -> list[Operator]:
    """Return the rows of this family."""
    return [*_ranges(), *_oscillators(), *_flows(), *_bands()]


def _ranges() -> list[Operator]:
    return [
        _ti("true_range(high, low, close)", "largest of high - low and the distances of both from the last close",
            "the true range", reach=lambda _: 1, formula="max(max(high - low, abs(high - ts_delay(close, 1))),"
                                      " abs(low - ts_delay(close, 1)))"),
        _ti("atr_wilder(high, low, close, d)", "Wilder's average true range: recursive, alpha = 1 / d",
            "the {d}-bar average true range of Wilder", formula="ts_sma(true_range(high, low, close), d, 1)",
            differs=f"{_SEEDED}; atr is the simple mean"),
        _ti("rsi_wilder(x, d)", "100 * gains / (gains + losses), averages by Wilder: recursive, alpha = 1 / d",
            "the {d}-bar relative strength index of Wilder of {x}",
            formula="100 * ts_sma(max(ts_delta(x, 1), 0), d, 1) / ts_sma(abs(ts_delta(x, 1)), d, 1)",
            differs=f"{_SEEDED}; rsi is Cutler's, with simple means. NaN where nothing has moved; TA-Lib has 0"),
        _ti("ts_tema(x, d)", "triple exponential average (Mulloy 1994)", "the triple exponential average of {x}",
            formula="3 * ts_ema(x, d) - 3 * ts_ema(ts_ema(x, d), d) + ts_ema(ts_ema(ts_ema(x, d), d), d)",
            differs="TA-Lib starts each average at a simple mean; until that is forgotten its values differ"),
    ]  # fmt: skip


def _oscillators() -> list[Operator]:
    return [
        _ti("cci(high, low, close, d)",
            "commodity channel index: the typical price above its mean, over 0.015 of its mean deviation",
            "the {d}-bar commodity channel index", reach=window_reach,
            formula=f"({_TYPICAL} - ts_mean({_TYPICAL}, d)) / (0.015 * ts_mad({_TYPICAL}, d))",
            differs="NaN where nothing moves; TA-Lib has 0"),
        _ti("williams_r(high, low, close, d)", "Williams %R: -100 (highest - close) / (highest - lowest), -100 to 0",
            "{d}-bar Williams %R", reach=window_reach,
            formula="-100 * (ts_max(high, d) - close) / (ts_max(high, d) - ts_min(low, d))",
            differs="NaN where the range is 0; TA-Lib has 0"),
        _ti("aroon_up(high, d)", "100 (d - bars since the highest of d + 1 bars) / d",
            "how recent the {d}-bar high of {high} is", formula="100 * (d - ts_argmax(high, d + 1)) / d"),
        _ti("aroon_down(low, d)", "100 (d - bars since the lowest of d + 1 bars) / d",
            "how recent the {d}-bar low of {low} is", formula="100 * (d - ts_argmin(low, d + 1)) / d"),
        _ti("aroon_osc(high, low, d)", "aroon_up - aroon_down", "the {d}-bar Aroon oscillator",
            formula="100 * (ts_argmin(low, d + 1) - ts_argmax(high, d + 1)) / d"),
    ]  # fmt: skip


def _flows() -> list[Operator]:
    flow = f"{_TYPICAL} * volume"
    move = f"ts_delta({_TYPICAL}, 1)"
    return [
        _ti("mfi(high, low, close, volume, d)",
            "money flow index: 100 * flow on rises / flow on rises and falls of the typical price, over d changes",
            "the {d}-bar money flow index",
            formula=f"100 * ts_sum(({move} > 0) * {flow}, d) / ts_sum(({move} != 0) * {flow}, d)",
            differs="NaN where there was no flow; TA-Lib has 0 below a flow of 1"),
    ]  # fmt: skip


def _bands() -> list[Operator]:
    return [
        _ti("ts_std_pop(x, d)", "standard deviation, ddof 0", "the {d}-bar standard deviation of {x} (ddof 0)",
            reach=window_reach, formula=_POPULATION, least=2),
        _ti("bbands_upper(x, d, k)", "mean + k deviations (ddof 0) over d bars", "the upper band of {x}",
            reach=window_reach, formula=f"ts_mean(x, d) + k * {_POPULATION}", least=2, differs=_BANDS),
        _ti("bbands_lower(x, d, k)", "mean - k deviations (ddof 0) over d bars", "the lower band of {x}",
            reach=window_reach, formula=f"ts_mean(x, d) - k * {_POPULATION}", least=2, differs=_BANDS),
        _ti("bbands_position(x, d, k)", "%B with ddof 0: 0 at the lower band, 1 at the upper",
            "where {x} lies in its bands", reach=window_reach,
            formula=f"0.5 + (x - ts_mean(x, d)) / (2 * k * {_POPULATION})", least=2, differs=_BANDS),
        _ti("bbands_width(x, d, k)", "distance of the bands (ddof 0) over the mean", "the width of {x}'s bands",
            reach=window_reach, formula=f"2 * k * {_POPULATION} / ts_mean(x, d)", least=2, differs=_BANDS),
    ]  # fmt: skip
