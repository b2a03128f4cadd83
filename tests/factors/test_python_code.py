"""Factors written as pandas code: read into expressions with the values that pandas gives, or refused with the line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.errors import Rejection
from tests.helpers import random_panel

CODE = {
    "def f(df):\n    return df['close'].rolling(5).mean() / df['close']": "ts_mean(close, 5) / close",
    "def factor(data, window=10):\n    '''Doc.'''\n    r = data.close.pct_change()\n    return r.rolling(window).std()":
        "ts_std(ts_returns(close, 1), 10)",
    "df['mom'] = df['close'] / df['close'].shift(5) - 1\ndf['mom']": "ts_returns(close, 5)",
    "n = 4\nx = df['close'].diff(n * 2)\nx += df['open']\nreturn x": None,
    "np.log(df['volume']).diff()": "ts_delta(log(volume), 1)",
    "np.where(df['close'] > df['open'], 1, -1) * df['volume']": "if_else(open < close, 1, -1) * volume",
    "(df['close'] - df['low']).clip(0, 5)": "clip(close - low, 0, 5)",
    "df['close'].clip(lower=df['open'])": "max(close, open)",
    "close.ewm(span=12, adjust=False).mean() - close.ewm(span=26, adjust=False).mean()":
        "ts_ema(close, 12) - ts_ema(close, 26)",
    "df['close'].rolling(20).corr(df['volume'])": "ts_corr(close, volume, 20)",
    "df['close'].rolling(20).quantile(0.3)": "ts_quantile(close, 20, 0.3)",
    "df['close'].rolling(9).rank(pct=True)": "ts_rank(close, 9)",
    "df['close'].rank(axis=1, pct=True)": "cs_rank(close)",
    "df.groupby('symbol')['close'].pct_change(3)": "ts_returns(close, 3)",
    "df.groupby('date')['close'].rank(pct=True)": "cs_rank(close)",
    "df['close'] - df.groupby('date')['close'].transform('mean')": "cs_demean(close)",
    "df.groupby('symbol')['close'].transform(lambda x: x.rolling(3).mean())": "ts_mean(close, 3)",
    "pd.concat([df['high'] - df['low'], (df['high'] - df['close'].shift()).abs()], axis=1).max(axis=1)":
        "max(abs(high - ts_delay(close, 1)), high - low)",
    "df[['open', 'close']].mean(axis=1)": "(close + open) / 2",
    "np.maximum(df['close'], df['open']) ** 2": "power(max(close, open), 2)",
    "-df['returns'].rolling(window=5).sum()": "-ts_sum(returns, 5)",
    "((df['close'] > df['open']) & ~(df['volume'] > 5)).rolling(10).sum()":
        "ts_sum((open < close) & (volume <= 5), 10)",
    "df['close'].sub(df['open']).div(df['high'])": "(close - open) / high",
    "df['close'].apply(np.log)": "log(close)",
    "df['close'].expanding().max()": "cum_max(close)",
    "df['close'].ffill(limit=3)": "ts_backfill(close, 4)",
    "df['close'] if df['close'] > df['open'] else df['open']": "if_else(open < close, close, open)",
    "pd.Series(np.tanh(df['returns'] * np.pi), index=df.index)": "tanh(3.141592653589793 * returns)",
}  # fmt: skip


@pytest.mark.parametrize("code", CODE)
def test_code_becomes_an_expression(code: str) -> None:
    text = code.replace("return x", "x") if code.startswith("n =") else code
    found = parse(text, dialect="python")
    assert isinstance(found, Expression), found
    if CODE[code] is not None:
        assert found.text == CODE[code]


RUN: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "df['close'].rolling(6).std(ddof=0)": lambda df: df["close"].rolling(6).std(ddof=0),
    "df['close'].rolling(6).var(ddof=0)": lambda df: df["close"].rolling(6).var(ddof=0),
    "df['close'].ewm(alpha=0.15, adjust=False).mean()": lambda df: df["close"].ewm(alpha=0.15, adjust=False).mean(),
    "df['close'].ewm(com=4, adjust=False).mean()": lambda df: df["close"].ewm(com=4, adjust=False).mean(),
    "df['close'].ewm(halflife=3, adjust=False).mean()": lambda df: df["close"].ewm(halflife=3, adjust=False).mean(),
    "df['close'].rolling(7).rank()": lambda df: df["close"].rolling(7).rank(),
    "df['close'].rolling(8).kurt()": lambda df: df["close"].rolling(8).kurt(),
    "df['close'].rolling(8).cov(df['open'])": lambda df: df["close"].rolling(8).cov(df["open"]),
    "df['close'].where(df['close'] > df['open'], df['open'])": lambda df: df["close"].where(
        df["close"] > df["open"], df["open"]
    ),
    "df['close'].mask(df['close'] > df['open'], df['open'])": lambda df: df["close"].mask(
        df["close"] > df["open"], df["open"]
    ),
    "df['returns'].cumsum()": lambda df: df["returns"].cumsum(),
}


@pytest.mark.parametrize("code", RUN)
def test_values_are_those_of_pandas(code: str) -> None:
    panel = random_panel(60)
    expression = parse(code)
    assert isinstance(expression, Expression), expression
    found = evaluate(expression, panel).values[:, 2]
    frame = pd.DataFrame({name: values[:, 2] for name, values in panel.fields.items()})
    frame["returns"] = frame["close"].pct_change()
    wanted = RUN[code](frame).to_numpy()
    known = np.isfinite(found)
    assert known.sum() > 40
    np.testing.assert_allclose(found[known], wanted[known], rtol=1e-9)


@pytest.mark.parametrize(
    ("code", "what", "line"),
    [
        ("def f(df):\n    return df['close'].shift(-1)", "look_ahead", 2),
        ("df['close'].pct_change(-2)", "look_ahead", 1),
        ("df['close'].rolling(5, center=True).mean()", "look_ahead", 1),
        ("df['close'].mean()", "look_ahead", 1),
        ("df.groupby('symbol')['close'].rank(pct=True)", "look_ahead", 1),
        ("df['close'].bfill()", "look_ahead", 1),
        ("import os\ndf['close']", "python", 1),
        ("from os import system\nsystem('ls')", "python", 1),
        ("x = df['close']\nfor i in df.index:\n    x = x + i", "python", 2),
        ("while True:\n    pass", "python", 1),
        ("[c for c in df['close']]", "python", 1),
        ("df['close'].__class__", "python", 1),
        ("df['close'].__class__.__mro__", "python", 1),
        ("().__class__.__bases__[0].__subclasses__()", "python", 1),
        ("__import__('os').system('ls')\ndf['close']", "python", 1),
        ("eval('df')\ndf['close']", "python", 1),
        ("open('/etc/passwd')\ndf['close']", "python", 1),
        ("df.query('close > 1')", "python", 1),
        ("df['close'].iloc[0]", "python", 1),
        ("df['close'][::-1]", "python", 1),
        ("df['close'].fillna(method='bfill')", "look_ahead", 1),
        ("df['close'].dropna()", "python", 1),
        ("df['close'].rolling(5).apply(lambda w: w[7])", "python", 1),
        ("df['close'].rolling(5).apply(lambda w: w.shift(1))", "python", 1),
        ("np.random.rand(5) * df['close']", "python", 1),
        ("f'{df}' + df['close']", "python", 1),
        ("if df['close'] > 1:\n    df['close']", "python", 1),
        ("class A:\n    x = df['close']", "python", 1),
        ("@property\ndef f(df):\n    return df['close']", "python", None),
        ("def f(df):\n    return", "python", 2),
        ("def f(df):\n    pass", "python", None),
        ("df['close'] @ 2", "python", 1),
        ("df['close'] + np.nan", "python", 1),
        ("df['close'] + 1e999", "bad_number", 1),
        ("def f(df:\n    return df['close']", "syntax", None),
        ("df['close']\x00", "bad_character", None),
        ("df['clоse']", "python", None),  # a Cyrillic o
        ("df['close'].rolling(5).mean(", "syntax", None),
        ("(" * 200 + "df['close']" + ")" * 200, "too_deep", None),
        ("-" * 2000 + "df['close']", "too_deep", None),
        ("not " * 600 + "df['close']", "too_deep", None),
        ("df['close']" + "**2" * 900, "too_deep", None),
        ("x = df['close']\n" + "x = x + x\n" * 60 + "x", "too_large", None),
        ("x = df['close']\n" + "x = x.apply(lambda x: x * x)\n" * 60 + "x", "too_large", None),
        ("df['close']" + ".abs()" * 500, "too_deep", None),
        ("#" * 4000 + "\ndf['close']", "too_long", None),
        ("def f(*args):\n    return df['close']", "python", 1),
        ("df['close'].rolling(**{'window': 5}).mean()", "python", 1),
        ("1" + "0" * 400 + " * df['close']", "bad_number", 1),
    ],
)
def test_what_is_not_read_is_refused_at_its_line(code: str, what: str, line: int | None) -> None:
    found = parse(code, dialect="python")
    assert isinstance(found, Rejection), found
    assert found.code == what, found
    assert found.hint
    if line is not None:
        assert found.message.startswith(f"line {line}: ")
        assert found.message.splitlines()[-1].strip() == "^"


@pytest.mark.parametrize(
    "code", ["  df['close'] @ 2", "\n\n    x = df['open']\n    df['close'] @ 2\n", "x = df['open']\ndf['close'] @ 2"]
)
def test_the_caret_stands_under_the_fault_whatever_the_margin(code: str) -> None:
    found = parse(code, dialect="python")
    assert isinstance(found, Rejection)
    assert found.position is not None
    assert code[found.position :].startswith("df['close'] @ 2")
    _, line, caret = found.message.splitlines()
    assert line[caret.index("^") :].startswith("df['close'] @ 2")


def test_nothing_is_executed() -> None:
    """Python's own audit events tell: reading hostile code runs no code object, imports and opens nothing."""
    seen: list[str] = []
    watched = ("exec", "import", "open", "os.", "subprocess.", "socket.", "ctypes.")
    on = [False]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        # Python's parser opens the null device for the text of its own errors.
        if on[0] and event.startswith(watched) and os.devnull not in arguments:
            seen.append(event)

    hostile = [
        "__import__('os').system('true')\ndf['close']",
        "eval(compile('1', 'x', 'exec'))",
        "open('/etc/passwd').read()",
        "df['close'].apply(lambda x: __import__('os'))",
        "def f(df=__import__('os').getcwd()):\n    return df['close']",
        "df['close'].rolling(5).mean()",
        "df['close'].rolling(5.mean(",
    ]
    for code in hostile:
        parse(code, dialect="python")
    sys.addaudithook(hook)
    on[0] = True
    for code in hostile:
        parse(code, dialect="python")
        parse(code)
    on[0] = False
    assert seen == []


def test_what_pandas_does_differently_is_said() -> None:
    for code, word in {
        "df['close'].rank(pct=True)": "future",
        "df['close'].ewm(span=5).mean()": "adjust",
        "df['close'].rolling(5, min_periods=1).mean()": "min_periods",
        "df['close'].replace([np.inf, -np.inf], np.nan)": "infinities",
    }.items():
        found = parse(code)
        assert isinstance(found, Expression), found
        assert any(word in note for note in found.notes), (code, found.notes)
