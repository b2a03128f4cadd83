"""A hundred mistakes: each is refused, and the refusal names what to write instead."""

from __future__ import annotations

import pytest

from factors.parse import DialectName, parse
from market.errors import Rejection

# What was written, and what the message or its hint must hold.
UNKNOWN = {
    "ts_meen(close, 5)": "ts_mean(x, d)", "ts_stdd(close, 5)": "ts_std(x, d)", "cs_rnk(close)": "cs_rank(x)",
    "volatility(close, 20)": "ts_std(x, d)", "momentum(close, 5)": "ts_returns(x, d)",
    "percentil(close, 20)": "ts_quantile(x, d, level)", "rolling_zscore(close, 20)": "ts_zscore(x, d)",
    "industry_neutral(close)": "group_neutralize(x, g)", "prev(close)": "ts_delay(x, d)",
    "previous(close, 1)": "ts_delay(x, d)", "lagged(close, 2)": "ts_delay(x, d)", "entropy(close, 20)": "ts_std(x, d)",
    "ts_sharpe(close, 5)": "ts_ir(x, d)", "rollingmax(close, 5)": "ts_max(x, d)", "peak(close, 5)": "ts_max(x, d)",
    "trough(close, 5) + lowest_low(close, 5)": "ts_", "moving_avg(close, 5)": "ts_mean(x, d)",
    "smoothed(close, 5)": "ts_ema(x, d)", "exponential_smoothing(close, 5)": "ts_ema(x, d)",
    "deviation(close, 5)": "ts_std(x, d)", "pct(close, 5)": "ts_returns(x, d)", "growth_rate(close, 5)": "ts_returns",
    "change_over(close, 5)": "ts_delta(x, d)", "z(close, 20)": "alphaglow operators", "center(close)": "cs_demean(x)",
    "regression(close, open, 20)": "ts_beta(y, x, d)", "trendline(close, 20)": "ts_slope(x, d)",
    "truncate_outliers(close)": "cs_winsorize(x, k)", "limit_to(close, -1, 1)": "clip(x, lo, hi)",
    "select_when(close > open, 1, 0)": "if_else(c, x, y)", "isnull(close)": "is_nan(x)",
    "fillmissing(close)": "fill_nan",
    "squared(close)": "power(x, y)", "roundup(close)": "round(x)", "remainder(close, 2)": "mod(x, y)",
    "bollinger(close, 20)": "bollinger", "bbupper(close, 20)": "bbands_upper(x, d, k)",
    "relative_strength(close, 14)": "rsi(x, d)", "moneyflow(close, 14)": "mfi(", "decile(close)": "bucket(x, n)",
    "holdfor(close, 5)": "trade_when(", "index_of_max(close, 5)": "ts_", "sum_over(close, 5)": "ts_sum(x, d)",
    "cumulative(close)": "cum_sum(x)", "totalled(close, 5)": "ts_sum(x, d)", "crosssort(close)": "cs_rank(x)",
    "standardise(close)": "cs_zscore(x)", "autocorrelate(close, 5)": "ts_", "minus(close, open)": "sub(x, y)",
    "correlate(close, open, 5)": "ts_corr(x, y, d)", "weighted_mean(close, 5)": "ts_mean(x, d)",
}  # fmt: skip
WRONG = {
    "": "looks like", "close +": "looks like", "(close": "')'", "ts_mean(close, 5))": "operator or the end",
    "ts_mean(close 5)": "parentheses", "ts_mean(close)": "ts_mean(x, d)", "ts_mean(close, 5, 6)": "ts_mean(x, d)",
    "ts_mean(5, close)": "ts_mean(x, d)", "ts_mean(close, 2.5)": "round it", "ts_mean(close, 0)": "between 1 and",
    "ts_mean(close, -3)": "between 1 and", "ts_mean(close, 99999)": "10000", "ts_std(close, 1)": "at least 2",
    "ts_delay(close, -1)": "future", "ts_delta(close, -5)": "future", "close[t+1]": "future", "close[0]": "close[t-1]",
    "ts_mean": "ts_mean(x, d)", "klose": "close", "vloume": "volume", "close open": "operator or the end",
    "close < open < high": "(a < b) & (b < c)", "1 / 0": "varies", "5": "use a field", "sector": "group",
    "if_else(close, 1, 2)": "close > open", "group_neutralize(close, open)": "bucket(x, n)",
    "ts_quantile(close, 5, 3)": "[0, 1]", "cs_top_bottom(close, 0.9)": "(0, 0.5]", "clip(close, 2, 1)": "above hi",
    "std(close)": "ts_std(x, d)", "mean(close)": "ts_mean(x, d)", "TRUE": "1 or 0", "close + nan": "if_else",
    "a = close; b": "unknown field", "close = open; close": "another name", "ts_mean(close, 5); close": "x = ...",
    "rank(close, nonsense=2)": "rank(", "ts_mean(x=close)": "ts_mean(x, d)",
    "winsorize(close, 0.01)": "cs_winsorize(x, 3)",
    "Greater($close, $open)": "--from", "close & open | ": "looks like", "close ? open": "':'",
    "clo$e": "operator or the end",
    "log(0) + close": "varies", "ts_corr(close, 5)": "ts_corr(x, y, d)", "close ^": "looks like",
    "df['close'].shift(-1)": "past", "df['close'].mean()": "rolling", "df['close'].bfill()": "ffill",
    "for i in df:\n    x = i": "rolling", "df['close'].rolling(5).apply(my_function)": "rolling",
    "import os\nos.remove('x')": "np and pd", "df['close'].iloc[0]": "shift(n)", "df.query('close > 1')": "np.where",
    "df['close'].resample('1d')": "longer window", "df['close'].interpolate()": "ffill",
    "df['close'].ewm().mean()": "span=20",
}  # fmt: skip
DIALECT: dict[tuple[DialectName, str], str] = {
    ("qlib", "If(Greater($close, $open), 1, -1)"): "Gt(x, y)",
    ("qlib", "TResample($close, 'W', 'last')"): "bars you want",
    ("brain", "ts_entropy(close, 5)"): "ts_std",
    ("brain", "trade_when(close)"): "trade_when(c, x, q)",
    ("alphaagent", "TS_MAD($close, 5)"): "ts_mad",
    ("gtja", "REGRESI(close, open)"): "ts_regression_resid",
    ("worldquant", "ts_rank(close)"): "ts_rank(x, d)",
}


@pytest.mark.parametrize("text", [*UNKNOWN, *WRONG])
def test_a_mistake_is_answered_by_what_to_write(text: str) -> None:
    found = parse(text, fields=("open", "high", "low", "close", "volume", "sector"))
    assert isinstance(found, Rejection), found
    said = f"{found.message} {found.hint}"
    assert (UNKNOWN | WRONG)[text] in said, said
    assert found.hint


@pytest.mark.parametrize(("dialect", "text"), DIALECT)
def test_a_mistake_in_another_language_is_answered_in_it(dialect: DialectName, text: str) -> None:
    found = parse(text, dialect=dialect)
    assert isinstance(found, Rejection), found
    assert DIALECT[dialect, text] in f"{found.message} {found.hint}"


def test_there_are_a_hundred() -> None:
    assert len(UNKNOWN) + len(WRONG) + len(DIALECT) >= 100


@pytest.mark.parametrize("text", UNKNOWN)
def test_an_unknown_word_is_answered_by_three_signatures_at_most(text: str) -> None:
    found = parse(text)
    assert isinstance(found, Rejection)
    assert found.hint.count("(") <= 4
    assert len(found.hint) < 160
