"""Texts of several statements, with comments, quotes, missing branches and names that say what they are."""

from __future__ import annotations

import numpy as np
import pytest

from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.errors import Rejection
from tests.helpers import random_panel


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a = ts_mean(close, 5); b = ts_std(close, 7); a / b", "ts_mean(close, 5) / ts_std(close, 7)"),
        ("a = ts_mean(close, 5)\nb = ts_std(close, 7)\nfactor = a / b", "ts_mean(close, 5) / ts_std(close, 7)"),
        ("a = close\na = a + open\na * 2", "(close + open) * 2"),
        ("# говорит\nts_mean(close, 5)  # 移动平均\n  / close", "ts_mean(close, 5) / close"),
        ("x = (close\n  + open)\nx /\n  volume", "(close + open) / volume"),
        ("if_else(close > open, close, nan)", "close / (close > open)"),
        ("close > open ? NaN : close", "close / (close <= open)"),
        ("np.where(df.close > df.open, df.close, np.nan)", "close / (close > open)"),
        ("df['close'] if df['close'] > df['open'] else np.nan", "close / (close > open)"),
        ("group_neutralize(close, 'volatility_group')", "group_neutralize(close, volatility_group)"),
        ("momentum_5 / realized_vol_10", "ts_returns(close, 5) / ts_std(returns, 10)"),
        ("avg_volume_20 / close_20_ago", "ts_mean(volume, 20) / ts_delay(close, 20)"),
        ("volume_ratio * rsi_14", "volume / ts_mean(volume, 20) * rsi(close, 14)"),
        ("close.sub(close.mean(axis=1), axis=0)", "cs_demean(close)"),
        ("df.loc[:, 'close'].diff()", "ts_delta(close, 1)"),
        ("df['$close'].shift(2)", "ts_delay(close, 2)"),
        ("df.groupby('date')['close'].transform(lambda v: (v - v.mean()) / v.std())", "cs_zscore(close)"),
        (
            "import pandas as pd\nimport numpy as xp\n\ndef f(df):\n    '''Моментум.'''\n    # пять\n"
            "    df['m'] = xp.log(df['close']).diff(5)\n    return df[['m']]",
            "ts_log_return(close, 5)",
        ),
        ("df['a'] = df.open\ndf['b'] = df.close\nreturn df", "close"),
    ],
)
def test_what_is_written_is_read(text: str, same: str) -> None:
    one, other = parse(text), parse(same)
    assert isinstance(one, Expression), one
    assert isinstance(other, Expression)
    panel = random_panel(40)
    np.testing.assert_allclose(evaluate(one, panel).values, evaluate(other, panel).values, rtol=1e-9)


def test_a_name_of_a_family_is_said() -> None:
    found = parse("momentum_5d * sma_20")
    assert isinstance(found, Expression)
    assert found.notes == ("momentum_5d is read as ts_returns(close, 5)", "sma_20 is read as ts_mean(close, 20)")
    hours = parse("momentum_5d", bar=np.timedelta64(4, "h"))
    assert isinstance(hours, Expression)
    assert hours.text == "ts_returns(close, 30)"


def test_a_field_of_the_data_comes_before_a_family() -> None:
    found = parse("momentum_5", fields=("close", "momentum_5"))
    assert isinstance(found, Expression)
    assert found.text == "momentum_5"


def test_what_is_computed_and_not_used_is_named() -> None:
    found = parse("a = close; b = open; a")
    assert isinstance(found, Expression)
    assert any("not used: b" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ts_mean(close, 5); close", "no effect"),
        ("close = open; close", "cannot be given another meaning"),
        ("a = close; a + c", "unknown field"),
        ("if_else(close > open, nan, nan)", "both branches"),
        ("TRUE", "not a value"),
        ("import os\nos.getcwd()", "imports are not read"),
        ("df['x'] = цена", "'ц'"),
        ("df.groupby('date')['close'].transform(lambda v: v.shift(1) - v)", "another axis"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, says: str) -> None:
    found = parse(text)
    assert isinstance(found, Rejection), found
    assert says in found.message
    assert found.hint


def test_a_refusal_shows_the_line_as_it_was_written() -> None:
    found = parse("a = close\nb = unknown_thing  # цена\na + b")
    assert isinstance(found, Rejection)
    assert "b = unknown_thing" in found.message
    line, mark = found.message.splitlines()[-2:]
    assert line[mark.index("^") :].startswith("unknown_thing")
    assert "цена + 1" in str(parse("цена + 1"))
