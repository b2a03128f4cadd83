"""The language: what is read, what is refused and how, and that text and tree are one thing."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factors.engine import evaluate
from factors.features import STATE_FEATURES
from factors.parse import parse
from factors.plain_words import read_aloud
from factors.table import OPERATORS, describe, prompt_table
from factors.tree import Expression
from market.errors import Rejection
from tests.helpers import calls_of, random_panel

WIDE = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "vwap",
    "amount",
    "returns",
    "cap",
    "sector",
    "industry",
    "subindustry",
)


def read(text: str, **options: object) -> Expression:
    expression = parse(text, **options)  # type: ignore[arg-type]
    assert isinstance(expression, Expression), expression
    return expression


def refusal(text: str, **options: object) -> Rejection:
    rejection = parse(text, **options)  # type: ignore[arg-type]
    assert isinstance(rejection, Rejection), rejection
    return rejection


@pytest.mark.parametrize(
    ("loose", "ours"),
    [
        ("zscore(close, 20) * rank(volume)", "cs_rank(volume) * ts_zscore(close, 20)"),
        ("(close - SMA(close, 20)) / STD(close, 20)", "ts_zscore(close, 20)"),
        ("(close - close_lag_5) / close_lag_5", "ts_returns(close, 5)"),
        ("Ts_Rank(volume, 5) && 1 < 2", None),
        ("rolling_mean($close, window=10)", "ts_mean(close, 10)"),
        ("max(high, 20)", "ts_max(high, 20)"),
        ("max(high, close)", "max(close, high)"),
        ("max(returns, 0)", "max(0, returns)"),
        ("atr(14)", "atr(high, low, close, 14)"),
        ("rsi(14)", "rsi(close, 14)"),
        ("diff(close)", "ts_delta(close, 1)"),
        ("close ** 2", "power(close, 2)"),
        ("close > open ? 1 : -1", "if_else(open < close, 1, -1)"),
        ("scale(close, 2)", "2 * cs_scale(close)"),
    ],
)
def test_loose_forms_are_translated(loose: str, ours: str | None) -> None:
    if ours is None:
        assert refusal(loose).code == "type"
    else:
        assert read(loose).text == ours


@pytest.mark.parametrize(
    ("loose", "ours"),
    [
        ("macd(close, slow=26, fast=12)", "macd(close, 12, 26)"),
        ("macd(close, 12, 26, 9)", "macd(close, 12, 26)"),
        ("macd(close, slow=26, fast=12, signal=9)", "macd(close, 12, 26)"),
        ("macd(12, 26, 9)", "macd(close, 12, 26)"),
        ("ts_quantile(close, level=0.2, d=20)", "ts_quantile(close, 20, 0.2)"),
        ("ts_corr(window=10, x=close, y=volume)", "ts_corr(close, volume, 10)"),
        ("SMA(close, period=5)", "ts_mean(close, 5)"),
        ("clip(returns, upper=1, lower=-1)", "clip(returns, -1, 1)"),
        ("corr(close, other=volume, window=9)", "ts_corr(close, volume, 9)"),
        ("alpha = rank(close)", "cs_rank(close)"),
        ("alpha_1: close / open", "close / open"),
        ("factor := ts_mean(close, 5) if close > open else 0", "if_else(open < close, ts_mean(close, 5), 0)"),
        ("ts_mean(df['close'], 20) / df['close'].shift(1)", "ts_mean(close, 20) / ts_delay(close, 1)"),
        ("open = close", "open == close"),
    ],
)
def test_arguments_by_keyword_and_names_of_factors(loose: str, ours: str) -> None:
    assert read(loose).id == read(ours).id


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("macd(close, slow=26)", "arity"),
        ("ts_mean(close, close=5)", "arity"),
        ("ts_mean(x=close, x=open)", "arity"),
        ("ts_mean(close, 5, window=6)", "arity"),
        ("smooth(df['close'], 5)", "unknown_operator"),
    ],
)
def test_keywords_that_fit_nowhere_are_refused(text: str, code: str) -> None:
    assert refusal(text).code == code


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("close - open", "-1 * (open - close)"),
        ("close + open", "open + close"),
        ("close * 2 * 3", "close * 2 * 3.0"),
        ("close > open", "open < close"),
        ("--close", "close"),
        ("close / -1", "-close"),
        ("-ts_mean(-close, 5)", "ts_mean(close, 5)"),
        ("ts_corr(close, volume, 5)", "ts_corr(volume, close, 5)"),
        ("2 * 3 * close", "6 * close"),
        ("close - -open", "open + close"),
        ("0 - close", "-close"),
    ],
)
def test_equal_meanings_have_one_identity_and_equal_values(one: str, other: str) -> None:
    first, second = read(one), read(other)
    assert first.id == second.id
    panel = random_panel(30)
    np.testing.assert_array_equal(evaluate(first, panel).values, evaluate(second, panel).values)


@pytest.mark.parametrize(
    ("one", "other"), [("close - open", "open - close"), ("ts_beta(close, open, 5)", "ts_beta(open, close, 5)")]
)
def test_different_meanings_have_different_identities(one: str, other: str) -> None:
    assert read(one).id != read(other).id


@pytest.mark.parametrize(
    ("text", "code", "helps"),
    [
        ("", "empty", "looks like"),
        ("ts_meen(close, 5)", "unknown_operator", "ts_mean"),
        ("ts_mean(clsoe, 5)", "unknown_field", "close"),
        ("ts_mean(close)", "arity", "ts_mean(x, d)"),
        ("ts_mean(close, -5)", "window", "such as 20"),
        ("ts_mean(close, 0)", "window", "such as 20"),
        ("ts_mean(close, 10001)", "window", "such as 20"),
        ("ts_mean(close, 2.5)", "window", "round"),
        ("ts_std(close, 1)", "window", "2 or more"),
        ("ts_mean(close, open)", "type", "ts_mean(x, d)"),
        ("ts_delay(close, -1)", "look_ahead", "past"),
        ("shift(close, -1)", "look_ahead", "past"),
        ("close[1]", "syntax", "t-1"),
        ("close.__class__", "unknown_field", "fields"),
        ("__import__('os').system('ls')", "python", "arithmetic"),
        ("f'{close}'", "bad_character", "letters"),
        ("clоse", "bad_character", "letters"),  # a Cyrillic o
        ("close\x00", "bad_character", "letters"),
        ("1e999 * close", "bad_number", "smaller"),
        ("nan + close", "bad_number", "missing"),
        ("42", "type", "field"),
        ("if_else(close, 1, 2)", "type", "close > open"),
        ("close < open < high", "syntax", "&"),
        ("(close", "syntax", "parenthes"),
        ("close)", "syntax", "end"),
        ("close open", "syntax", "end"),
        ("ts_mean(close, 20d)", "window", "bars"),
        ("group_neutralize(close, sector)", "unknown_field", "beta_group"),
        ("group_neutralize(close, open)", "type", "bucket"),
        ("ts_quantile(close, 5, 2)", "bad_number", "ts_quantile"),
        ("IndClass.sector", "unknown_field", "beta_group"),
    ],
)
def test_refusals_name_the_fault_and_the_way_out(text: str, code: str, helps: str) -> None:
    rejection = refusal(text)
    assert rejection.code == code
    assert helps in rejection.hint
    if rejection.position is not None:
        drawing = rejection.message.splitlines()
        assert drawing[-1].strip() == "^"


def test_the_caret_stands_under_the_fault() -> None:
    rejection = refusal("ts_mean(close, 5) + ts_meen(close, 5)")
    _, text, caret = rejection.message.splitlines()
    assert text[caret.index("^") :].startswith("ts_meen")


@pytest.mark.parametrize(
    "bomb",
    [
        "(" * 10**6,
        "-" * 10**6 + "close",
        "(" * 900 + "close" + ")" * 900,
        "-" * 1000 + "close",
        "abs(" * 400 + "close" + ")" * 400,
        "+".join(["close"] * 400),
        "close" + "^2" * 500,
        "a" * 10**6,
        "1" * 1799,
        "close?" * 300,
        "!" * 1500 + "close",
        "not " * 400 + "close",
    ],
)
def test_bombs_are_one_quick_refusal(bomb: str) -> None:
    assert calls_of(lambda: parse(bomb)) < 100_000
    assert isinstance(parse(bomb), Rejection)


def test_durations_resolve_by_the_bar() -> None:
    assert read("ts_mean(close, 2d)", bar=np.timedelta64(1, "h")).text == "ts_mean(close, 48)"
    assert read("ts_mean(close, 4h)", bar=np.timedelta64(1, "h")).text == "ts_mean(close, 4)"
    assert refusal("ts_mean(close, 90min)", bar=np.timedelta64(1, "h")).code == "window"


@pytest.mark.parametrize(
    ("text", "lookback"),
    [
        ("close", 0),
        ("returns", 1),
        ("ts_delay(close, 5)", 5),
        ("ts_mean(returns, 5)", 5),
        ("adv20", 19),
        ("ts_mean(ts_mean(close, 5), 5)", 8),
    ],
)
def test_lookback(text: str, lookback: int) -> None:
    assert read(text).lookback == lookback


def _assert_answered(text: str) -> None:
    assert isinstance(parse(text), (Expression, Rejection))


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_an_answer_and_never_a_crash(text: str) -> None:
    _assert_answered(text)


def _any_text(rng: np.random.Generator) -> str:
    """Draw a text of up to 80 characters, each from a part of Unicode: 7 bits, the first plane, or all of it."""
    ends = rng.choice([0x80, 0x3000, 0x110000], int(rng.integers(81)), p=[0.6, 0.2, 0.2])
    points = (rng.random(len(ends)) * ends).astype(int)
    # Surrogates are no characters of their own.
    return "".join(map(chr, np.where((points >= 0xD800) & (points < 0xE000), 0xFFFD, points).tolist()))


@pytest.mark.slow
def test_any_of_many_texts_is_an_answer() -> None:
    # Drawn here: Hypothesis takes ten times as long to draw a text as we take to read it.
    rng = np.random.default_rng(1)
    for _ in range(1500):
        _assert_answered(_any_text(rng))


PIECES = [
    "close",
    "open",
    "ts_mean",
    "rank",
    "(",
    ")",
    ",",
    "5",
    "-",
    "*",
    "<",
    "?",
    ":",
    "!",
    "&",
    "^",
    "1e5",
    "$",
    "20d",
    "not",
    " ",
]


MIXED = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
DIALECTS = ["auto", "native", "gtja", "qlib", "worldquant"]


def _assert_read_again(text: str, dialect: str) -> bool:
    """Return whether the text is an expression: then what is printed of it is the same one."""
    found = parse(text, dialect=dialect)  # type: ignore[arg-type]
    if isinstance(found, Expression):
        assert read(found.text, dialect="native").root == found.root
    return isinstance(found, Expression)


@settings(max_examples=800, deadline=None)
@given(MIXED, st.sampled_from(DIALECTS))
def test_any_mixture_of_words_is_an_answer(text: str, dialect: str) -> None:
    _assert_read_again(text, dialect)


@pytest.mark.slow
def test_any_of_many_mixtures_is_an_answer() -> None:
    rng = np.random.default_rng(2)
    read_again = 0
    for length in np.minimum(rng.geometric(0.15, 4000), 30):
        text = "".join(rng.choice(PIECES, int(length)))
        read_again += _assert_read_again(text, str(rng.choice(DIALECTS)))
    # Most mixtures are refused, not all.
    assert read_again > 30


def test_the_table_documents_every_operator() -> None:
    prompt = prompt_table()
    for name, operator in OPERATORS.items():
        assert (operator.signature in prompt) == (not operator.infix)
        assert operator.summary in describe(name)
    assert "cs_rank" not in prompt_table(cross_section=False)
    assert "ts_rank" in prompt_table(cross_section=False)
    assert "adx" not in prompt_table(3)


def test_the_sixteen_features_are_expressions_of_the_language() -> None:
    assert len(STATE_FEATURES) == 16
    assert all(read(feature.text, dialect="native").lookback <= 20 for feature in STATE_FEATURES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ts_zscore(close, 20)", "How far the close is above its 20-bar mean, in standard deviations."),
        ("group_rank(close, beta_group)", "The rank of the close within its beta group."),
        ("-ts_corr(close, volume, 10)", "Minus the 10-bar correlation of the close and volume."),
        ("(close - open) / (high - low)", "(The close minus the open) divided by (the high minus the low)."),
        ("adv20", "The 20-bar mean of traded value."),
    ],
)
def test_expressions_read_aloud(text: str, words: str) -> None:
    assert read_aloud(read(text)).lower() == words.lower()


def test_every_operator_reads_aloud_without_a_placeholder() -> None:
    for name, operator in OPERATORS.items():
        assert set(re.findall(r"\{(\w+)\}", operator.reading)) <= {param.name for param in operator.params}, name
