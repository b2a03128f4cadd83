"""What values are measured in, and the warnings where that does not fit."""

from __future__ import annotations

import pytest

from factors.parse import parse
from factors.tree import Expression
from market.errors import Rejection


def read(text: str, **options: object) -> Expression:
    expression = parse(text, **options)  # type: ignore[arg-type]
    assert isinstance(expression, Expression), expression
    return expression


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("close", "price"),
        ("volume", "volume"),
        ("amount", "money"),
        ("adv20", "money"),
        ("close * volume", "money"),
        ("amount / volume", "price"),
        ("returns", "ratio"),
        ("close / open", "ratio"),
        ("ts_mean(close, 5) - close", "price"),
        ("ts_var(close, 5)", "price^2"),
        ("sqrt(ts_var(close, 5))", "price"),
        ("ts_cov(close, volume, 5)", "money"),
        ("ts_beta(close, volume, 5)", "price * volume^-1"),
        ("1 / close", "price^-1"),
        ("cs_rank(close)", "ratio"),
        ("ts_moment(close, 5, 3)", "price^3"),
        ("close > open ? close : 0", "price"),
        ("cs_demean(volume)", "volume"),
        ("atr(high, low, close, 5)", "price"),
        ("log(close)", "ratio"),
        ("mystery + close", "price"),
        ("mystery", "unknown"),
    ],
)
def test_dimension(text: str, dimension: str) -> None:
    expression = read(text, fields=("open", "high", "low", "close", "volume", "amount", "returns", "mystery"))
    assert expression.dimension == dimension
    assert expression.warnings == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("close + volume", "close is a price, volume a volume"),
        ("close > volume ? 1 : 0", "volume is a volume, close a price"),
        ("max(close, returns)", "price"),
        ("close + 5", "the number 5 beside a price"),
        ("close > 100 ? 1 : -1", "the number 100"),
        ("exp(close)", "exp of a price depends on the unit"),
        ("returns ^ close", "exponent"),
        ("close > open ? close : volume", "close is a price"),
        ("atr(high, low, volume, 5)", "volume"),
        ("ts_mean(close + volume, 5) * ts_std(close + volume, 5)", "close + volume"),
    ],
)
def test_what_does_not_fit_is_said_once_and_refused_when_strict(text: str, says: str) -> None:
    expression = read(text)
    assert len(expression.warnings) == 1
    assert says in expression.warnings[0]
    refused = parse(text, strict=True)
    assert isinstance(refused, Rejection)
    assert refused.code == "dimension"
    assert says in refused.message


@pytest.mark.parametrize("text", ["(close - open) / (high - low + 0.001)", "close > open ? 1 : -1", "max(returns, 0)"])
def test_guards_and_switches_are_no_mixture(text: str) -> None:
    assert isinstance(parse(text, strict=True), Expression)
