"""TA-Lib, pandas_ta and ta in pandas code: what is read has the values of their definitions, computed here by pandas.

Recursive averages are compared late, when both have forgotten how they began.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.panel import Panel
from tests.helpers import random_panel

BARS, LATE = 500, 400
Column = pd.Series
Frame = pd.DataFrame


@pytest.fixture(scope="module")
def panel() -> Panel:
    rng = np.random.default_rng(8)
    close = 60.0 + rng.normal(size=(BARS, 1)).cumsum(axis=0)
    opened, spread = close + rng.normal(size=(BARS, 1)), rng.uniform(0.5, 2.0, (BARS, 1))
    high, low = np.maximum(close, opened) + spread, np.minimum(close, opened) - spread
    volume = rng.uniform(1e3, 2e3, (BARS, 1))
    return random_panel(BARS, 1).with_fields(
        {"close": close, "open": opened, "high": high, "low": low, "volume": volume}
    )


def wilder(x: Column, n: int) -> Column:
    return x.ewm(alpha=1 / n, adjust=False).mean()


def faded(x: Column, n: int) -> Column:
    return x.ewm(span=n, adjust=False).mean()


def rsi(df: Frame, n: int) -> Column:
    change = df.close.diff()
    return 100 * wilder(change.clip(lower=0), n) / wilder(change.abs(), n)


def ranges(df: Frame) -> Column:
    before = df.close.shift(1)
    return pd.concat([df.high - df.low, (df.high - before).abs(), (df.low - before).abs()], axis=1).max(axis=1)


def line(df: Frame, n: int, place: float) -> Column:
    """The value of the line through the last n closes, `place` bars from the oldest."""

    def at(window: np.ndarray) -> float:
        slope, level = np.polyfit(np.arange(n), window, 1)
        return float(level + slope * place)

    return df.close.rolling(n).apply(at, raw=True)


def position(df: Frame, n: int) -> Column:
    low, high = df.low.rolling(n).min(), df.high.rolling(n).max()
    return 100 * (df.close - low) / (high - low)


def typical_score(df: Frame, n: int) -> Column:
    price = (df.high + df.low + df.close) / 3
    spread = price.rolling(n).apply(lambda w: np.abs(w - w.mean()).mean(), raw=True)
    return (price - price.rolling(n).mean()) / (0.015 * spread)


def money_flow(df: Frame, n: int) -> Column:
    price = (df.high + df.low + df.close) / 3
    flow, change = price * df.volume, price.diff()
    up, down = flow.where(change > 0, 0).rolling(n).sum(), flow.where(change < 0, 0).rolling(n).sum()
    return 100 * up / (up + down)


def macd(df: Frame) -> Column:
    return faded(df.close, 12) - faded(df.close, 26)


TALIB: dict[str, Callable[[Frame], Column]] = {
    "talib.SMA(df['close'], timeperiod=20)": lambda df: df.close.rolling(20).mean(),
    "talib.EMA(df['close'], 20)": lambda df: faded(df.close, 20),
    "talib.RSI(df['close'].values, timeperiod=14)": lambda df: rsi(df, 14),
    "talib.CMO(df['close'])": lambda df: 2 * rsi(df, 14) - 100,
    "talib.MOM(df['close'])": lambda df: df.close.diff(10),
    "talib.ROC(df['close'], timeperiod=5)": lambda df: 100 * df.close.pct_change(5),
    "talib.ROCR100(df['close'], 5)": lambda df: 100 * df.close / df.close.shift(5),
    "talib.STDDEV(df['close'], timeperiod=9, nbdev=2)": lambda df: 2 * df.close.rolling(9).std(ddof=0),
    "talib.VAR(df['close'], 9)": lambda df: df.close.rolling(9).var(ddof=0),
    "talib.LINEARREG(df['close'], 9)": lambda df: line(df, 9, 8),
    "talib.LINEARREG_INTERCEPT(df['close'], 9)": lambda df: line(df, 9, 0),
    "talib.TSF(df['close'], 9)": lambda df: line(df, 9, 9),
    "talib.ATR(df['high'], df['low'], df['close'], 14)": lambda df: wilder(ranges(df), 14),
    "talib.NATR(df.high, df.low, df.close)": lambda df: 100 * wilder(ranges(df), 14) / df.close,
    "talib.CCI(df.high, df.low, df.close, timeperiod=10)": lambda df: typical_score(df, 10),
    "talib.MFI(df.high, df.low, df.close, df.volume, 10)": lambda df: money_flow(df, 10),
    "talib.WILLR(df.high, df.low, df.close)": lambda df: position(df, 14) - 100,
    "down, up = talib.AROON(df.high, df.low, timeperiod=9)\nup": (
        lambda df: df.high.rolling(10).apply(np.argmax, raw=True) * 100 / 9
    ),
    "upper, mid, lower = talib.BBANDS(df['close'], timeperiod=20, nbdevup=2, nbdevdn=2, matype=0)\nlower": (
        lambda df: df.close.rolling(20).mean() - 2 * df.close.rolling(20).std(ddof=0)
    ),
    "line, signal, hist = talib.MACD(df['close'])\nhist": lambda df: macd(df) - faded(macd(df), 9),
    "talib.PPO(df['close'], 5, 10)": (lambda df: 100 * (df.close.rolling(5).mean() / df.close.rolling(10).mean() - 1)),
    "k, d = talib.STOCH(df.high, df.low, df.close, fastk_period=9, slowk_period=3, slowd_period=4)\nd": (
        lambda df: position(df, 9).rolling(3).mean().rolling(4).mean()
    ),
    "talib.OBV(df['close'], df['volume'])": (lambda df: (np.sign(df.close.diff()).fillna(1) * df.volume).cumsum()),
    "talib.MIDPRICE(df.high, df.low, 9)": lambda df: (df.high.rolling(9).max() + df.low.rolling(9).min()) / 2,
    "talib.TRIX(df['close'], 5)": lambda df: 100 * faded(faded(faded(df.close, 5), 5), 5).pct_change(),
}
OTHERS: dict[str, Callable[[Frame], Column]] = {
    "import pandas_ta as ta\n50 - ta.rsi(df['close'], length=9)": lambda df: 50 - rsi(df, 9),
    "df.ta.rsi(length=9, append=True)\ndf['RSI_9'] / 100": lambda df: rsi(df, 9) / 100,
    "df['atr'] = df.ta.atr(length=9)\ndf['atr'] / df['close']": lambda df: wilder(ranges(df), 9) / df.close,
    "ta.rma(df['close'], 9) - ta.sma(df['close'], length=9)": (
        lambda df: wilder(df.close, 9) - df.close.rolling(9).mean()
    ),
    "ta.slope(df['close'], length=4)": lambda df: df.close.diff(4) / 4,
    "import ta\nta.momentum.rsi(df['close'], window=9)": lambda df: rsi(df, 9),
    "ta.momentum.RSIIndicator(close=df['close'], window=9).rsi()": lambda df: rsi(df, 9),
    "ta.volatility.BollingerBands(df['close'], window=9, window_dev=2).bollinger_hband()": (
        lambda df: df.close.rolling(9).mean() + 2 * df.close.rolling(9).std(ddof=0)
    ),
    "ta.volatility.average_true_range(df['high'], df['low'], df['close'], window=9)": lambda df: wilder(ranges(df), 9),
}


@pytest.mark.parametrize("code", [*TALIB, *OTHERS])
def test_what_a_library_computes_is_read_with_its_values(code: str, panel: Panel) -> None:
    found = parse(code, fields=("open", "high", "low", "close", "volume"))
    assert isinstance(found, Expression), found
    frame = pd.DataFrame({name: panel[name][:, 0] for name in ("open", "high", "low", "close", "volume")})
    wanted = (TALIB | OTHERS)[code](frame)[LATE:]
    np.testing.assert_allclose(evaluate(found, panel).values[LATE:, 0], wanted, rtol=1e-6, atol=1e-9)
    assert found.notes or "RSI" not in code.upper()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("talib.SAR(df['high'], df['low'])", "highest or lowest"),
        ("talib.CDLDOJI(df['open'], df['high'], df['low'], df['close'])", "talib has SMA"),
        ("ta.bbands(df['close'], length=20)", "rolling(n).std()"),
        ("talib.BBANDS(df['close'], 20, 2, 2, 1)", "leave matype out"),
    ],
)
def test_what_a_library_has_beyond_that_is_refused_by_name(code: str, says: str) -> None:
    found = parse(code)
    assert not isinstance(found, Expression), found.text
    assert says in f"{found.message} {found.hint}"
