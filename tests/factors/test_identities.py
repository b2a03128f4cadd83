"""What means the same is one factor: one text, one hash, one trial. And what does not, is not."""

from __future__ import annotations

import numpy as np
import pytest

from factors.engine import evaluate
from factors.measure import estimate_work
from factors.parse import parse
from factors.tree import Expression
from tests.helpers import random_panel

SAME = [
    ("ts_delay(ts_delay(close, 1), 1)", "ts_delay(close, 2)"),
    ("ts_delay(ts_delay(ts_delay(close, 1), 4), 2)", "close[t-7]"),
    ("close^2", "close * close"),
    ("close^3", "close * close * close"),
    ("volume * close * volume / (open * open)", "volume^2 * close / open^2"),
    ("ts_std(close, 5)^2", "ts_var(close, 5)"),
    ("ts_std(close, 5) * ts_std(close, 5)", "ts_var(close, 5)"),
    ("sqrt(ts_var(close, 5))", "ts_std(close, 5)"),
    ("ts_quantile(close, 5, 0.5)", "ts_median(close, 5)"),
    ("close - cs_mean(close)", "cs_demean(close)"),
    ("2 * cs_mean(volume) - volume * 2", "-2 * cs_demean(volume)"),
    ("cs_demean(cs_demean(close))", "cs_demean(close)"),
    ("cs_rank(3 * close + 2)", "cs_rank(close)"),
    ("cs_rank(cs_demean(close))", "cs_rank(close)"),
    ("cs_rank(5 - cs_demean(close))", "cs_rank(-close)"),
    ("cs_top_bottom(close - 1, 0.2)", "cs_top_bottom(close, 0.2)"),
    ("round(round(close))", "round(close)"),
]


def read(text: str) -> Expression:
    found = parse(text)
    assert isinstance(found, Expression), found
    return found


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_meaning_is_one_factor(one: str, other: str) -> None:
    assert read(one).id == read(other).id
    # The text that is kept reads back as the same factor.
    assert read(read(one).text).id == read(one).id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("if_else(close > open, high, high)", "high"),  # missing where the condition is
        ("cs_rank(log(close))", "cs_rank(close)"),  # missing where it is not above 0
        ("cs_rank(tanh(close))", "cs_rank(close)"),  # tied where it has no room left
        ("cs_rank(close - cs_mean(open))", "cs_rank(close)"),  # missing where the open is
        ("close^4", "close^2"),
    ],
)
def test_what_may_differ_is_another_factor(one: str, other: str) -> None:
    assert read(one).id != read(other).id


def test_a_sum_of_many_terms_is_one_level() -> None:
    found = read(" + ".join(f"abs(adv{n})" for n in range(1, 121)))
    assert found.depth == 3
    assert read(" - ".join(f"adv{n}" for n in range(1, 61))).depth == 2
    nested = "close"
    for _ in range(40):
        nested = f"abs(1 + {nested})"
    assert not isinstance(parse(nested), Expression)
    wide = "+".join(f"adv{n}*{n}.5" for n in range(1, 110))
    assert isinstance(parse(wide), Expression)


def test_values_are_kept() -> None:
    panel = random_panel(60)
    rng = np.random.default_rng(0)
    fields = {name: rng.uniform(1, 2, panel.shape) for name in ("close", "open", "volume")}
    panel = panel.with_fields(fields)
    squared = evaluate(read("close * close * open * open * open / (volume * volume)"), panel).values
    np.testing.assert_allclose(squared, fields["close"] ** 2 * fields["open"] ** 3 / fields["volume"] ** 2, rtol=1e-12)
    later = evaluate(read("ts_delay(ts_delay(close, 2), 3)"), panel).values
    np.testing.assert_array_equal(later[5:], fields["close"][:-5])


@pytest.mark.parametrize(
    ("text", "seconds"),
    # Measured on 24 000 bars of 68 assets.
    [("ts_moment(close, 10000, 8)", 76.8), ("ts_argmax(close, 10000)", 0.08), ("ts_quantile(close, 10000, 0.5)", 1.4)],
)
def test_the_work_of_long_windows_is_estimated_within_a_factor_of_two(text: str, seconds: float) -> None:
    estimate = estimate_work(read(text).root, 24_000, 68).seconds
    assert seconds / 2 < estimate < 2 * seconds


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    # Measured per cell on 20 000 bars of 22 assets and on 6 000 of 68; see benchmarks/work_estimates.py.
    [
        ("abs(close)", 3.0), ("tanh(close)", 20.0), ("power(close, volume)", 22.0), ("-amount", 6.8),
        ("ts_mean(close, 20)", 2.9), ("ts_sum(close, 5000)", 7.0), ("ts_corr(close, volume, 60)", 11.0),
        ("ts_rank(close, 60)", 23.0), ("ts_rank(close, 5000)", 350.0), ("ts_median(close, 20)", 29.4),
        ("ts_quantile(close, 1000, 0.3)", 96.0), ("ts_mad(close, 1000)", 230.0), ("cci(high, low, close, 250)", 72.0),
        ("ts_argmax(close, 20)", 15.0), ("ts_argmax(close, 5000)", 25.0), ("rsi(close, 5000)", 16.4),
        ("cs_rank(close)", 12.0), ("cs_zscore(close)", 4.2), ("group_rank(close, bucket(volume, 5))", 43.0),
        ("bbands_upper(close, 20, 2)", 9.0), ("power(returns, 3)", 4.0),
    ],
)  # fmt: skip
def test_the_work_of_operators_is_estimated_within_a_factor_of_two(text: str, nanoseconds: float) -> None:
    estimate = 1e9 * estimate_work(read(text).root, 20_000, 22).seconds / (20_000 * 22)
    assert nanoseconds / 2 < estimate < 2 * nanoseconds
