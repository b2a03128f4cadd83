"""Nothing of a text is dropped in silence: what has an effect elsewhere has the same here, or is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.errors import Rejection
from market.panel import Panel
from tests.helpers import random_panel

# Values that pandas itself gives are the oracle: these texts are fixed, and run here by Python.
FOLLOWED = [
    "((df.close - df.open) * 10).astype(int)",
    "(df.close - df.open).astype('int64')",
    "(df.close > df.open).astype(int)",
    "df['flag'].replace(0, 1)",
    "df['flag'].replace(0, np.nan)",
    "df['flag'].replace([0, 2], [5, 7])",
    "df['flag'].replace({0: 2, 2: 0})",
    "df['flag'].replace([np.inf, -np.inf], np.nan)",
    "df['flag'].replace(to_replace=1, value=-1)",
    "df['flag'].astype(bool)",
    "df.close.where(df.close > df.open)",
    "df.close.where(df.close > df.open, np.nan)",
    "df.close.mask(df.close > df.open)",
    "df.close.mask(df.close > df.open, 0)",
    "df.sort_index()['close'].shift(1)",
    "df.sort_index(ascending=True).reset_index(drop=True)['close'].shift(2)",
    "df.copy(deep=True)['close'].rename('x').sort_index().shift(1)",
    "pd.Series(df.close, index=df.index, name='x', dtype=float)",
]


@pytest.fixture(scope="module")
def walks() -> Panel:
    """Three assets without a gap, and a field of 0, 1 and 2."""
    rng = np.random.default_rng(5)
    panel = random_panel(60)
    shape = panel.shape
    close = 20.0 + rng.normal(size=shape).cumsum(axis=0)
    names = {"close": close, "open": close + rng.normal(size=shape), "flag": rng.integers(0, 3, shape).astype(float)}
    return panel.with_fields(names)


@pytest.mark.parametrize("text", FOLLOWED)
def test_what_is_followed_has_the_values_of_pandas(text: str, walks: Panel) -> None:
    frame = pd.DataFrame({name: walks[name][:, 2] for name in ("open", "close", "flag")})
    found = parse(text, fields=("open", "close", "flag"))
    assert isinstance(found, Expression), found
    ours = evaluate(found, walks).values[:, 2]
    theirs = eval(text, {"np": np, "pd": pd, "df": frame}).astype(float).to_numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert np.isfinite(ours).sum() > 5


REORDERED = [
    "df.sort_index(ascending=False)['close'].shift(1)",
    "df.sort_index(ascending=False).close.pct_change(2)",
    "df['close'].sort_index(ascending=False).shift(1)",
    "df['close'].sort_index(0, None, False).shift(1)",
    "df.sort_index(ascending=[True, False])['close'].shift(1)",
    "df.sort_values('date', ascending=False)['close'].diff()",
    "df.sort_values(by='date', ascending=0)['close'].diff()",
    "df.sort_values('close')['open'].shift(1)",
    "df = df.sort_values(['symbol', 'date'], ascending=[True, False])\ndf['close'].shift(1)",
    "df.sort_values('date', ascending=False, inplace=True)\ndf['close'].shift(1)",
    "df.groupby('symbol')['close'].transform(lambda x: x.sort_index(ascending=False).shift(1))",
]


@pytest.mark.parametrize("text", REORDERED)
def test_rows_in_another_order_are_refused_as_look_ahead(text: str) -> None:
    found = parse(text)
    assert isinstance(found, Rejection)
    assert found.code == "look_ahead", found
    assert "order of time" in found.message


REFUSED = [
    "df[::-1]['close'].shift(1)",
    "df.iloc[::-1]['close'].shift(1)",
    "df.reindex(df.index[::-1])['close'].shift(1)",
    "pd.Series(df.close, index=df.index[::-1])",
    "df.close.rename({0: 1})",
    "df.close.to_numpy(dtype=int)",
    "df.close.astype('category')",
    "df.close.astype(str)",
    "df.close.replace(np.nan, 0)",
    "df.close.replace(0, np.inf)",
    "df.close.replace('a', 'b', regex=True)",
    "df.close.pct_change(fill_method='bfill')",
    "df.close.rolling(5).quantile(0.5, interpolation='lower')",
    "df.close.reset_index(drop=True, nonsense=1)",
    "def f(df):\n    return df.close\nresult = f(df).shift(1)",
    "def f(df):\n    return df.close\nf(df) * 2",
    "def f(df):\n    return df.close\nx = df.close.shift(1)",
    # Of dialects: keywords that nothing answers to.
    "vwap(close, volume, window=20, nonsense=1)",
    "winsorize(close, 0.01)",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_has_an_effect_that_we_lack_is_refused(text: str) -> None:
    found = parse(text)
    assert isinstance(found, Rejection), found
    assert found.hint


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("stoch(low=low, high=high, close=close)", "stochastic(high, low, close, 14)"),
        ("atr(low=low, high=high, close=close, window=9)", "atr(high, low, close, 9)"),
        ("winsorize(close, std=4)", "cs_winsorize(close, 4)"),
        ("max(y=open, x=close)", "max(close, open)"),
        ("scale(a=3, x=close)", "3 * cs_scale(close)"),
        ("def f(df):\n    return df.close\nresult = f(df)", "close"),
        ("N = 5\ndef f(df):\n    return df.close.shift(N)", "ts_delay(close, 5)"),
        # The word return inside a name does not make a text Python.
        ("RANK($return)", "cs_rank(returns)"),
        ("ts_mean($return, 5)", "ts_mean(returns, 5)"),
    ],
)
def test_keywords_and_names_are_honoured(text: str, same: str) -> None:
    one, other = parse(text), parse(same)
    assert isinstance(one, Expression), one
    assert isinstance(other, Expression)
    assert one.text == other.text


@pytest.mark.parametrize(
    ("text", "dialect", "word"),
    [
        ("normalize(close)", "auto", "cs_demean"),
        ("highday(close, 5)", "auto", "from 1"),
        ("lowday(close, 5)", "auto", "from 1"),
        ("ts_min_max_diff(close, 5)", "auto", "BRAIN"),
        ("WMA($close, 5)", "qlib", "ts_decay_linear"),
        ("df.close.expanding(min_periods=5).mean()", "auto", "first bar"),
        ("df.close.rolling(window=5, min_periods=1).mean()", "auto", "min_periods"),
        ("df.close.ewm(span=5, min_periods=3).mean()", "auto", "min_periods"),
    ],
)
def test_another_meaning_is_said(text: str, dialect: str, word: str) -> None:
    found = parse(text, dialect=dialect)  # type: ignore[arg-type]
    assert isinstance(found, Expression), found
    assert any(word in note for note in found.notes), found.notes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1/0", "missing"),
        ("sqrt(-1)*close", "missing"),
        ("log(0) + close", "missing"),
        ("ts_mean(close / 0, 5)", "missing"),
        ("cs_rank(0*close)", "one number"),
        ("close * 0", "is 0"),
        ("power(close, 0)", "is 1"),
        ("if_else(close > open, 2, 2)", "is 2"),
    ],
)
def test_what_is_missing_or_constant_by_its_form_is_refused(text: str, says: str) -> None:
    found = parse(text)
    assert isinstance(found, Rejection), found
    assert found.code == "constant"
    assert says in found.message
    assert found.hint


def test_a_branch_that_is_missing_is_no_constant() -> None:
    assert isinstance(parse("if_else(close > open, close / 0, close)"), Expression)
    assert isinstance(parse("close / (close != 0)"), Expression)


@pytest.mark.parametrize("text", ["clip(close, -2, 2)", "adx(adv20, open, high, 2)"])
def test_units_that_do_not_fit_are_warned_of(text: str) -> None:
    found = parse(text)
    assert isinstance(found, Expression)
    assert found.warnings
