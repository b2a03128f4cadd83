"""Broken and hostile texts in numbers: an answer to each, nothing executed, and fast. The benchmark reads a million."""

from __future__ import annotations

import pytest

from benchmarks.language_fuzz import listen, read_all
from benchmarks.texts import HOSTILE, seeds
from factors.checks import check_cost
from factors.engine import evaluate
from factors.limits import Limits
from factors.parse import parse
from factors.tree import Expression
from market.errors import Rejection
from tests.conftest import SHARED
from tests.helpers import calls_of, random_panel


# The second begins elsewhere: with the same seed its first thousands would be those of the first.
@pytest.mark.parametrize(("texts", "seed"), [(4_000, 2), pytest.param(8_000, 3, marks=pytest.mark.slow)])
def test_thousands_of_broken_texts_are_each_an_answer(texts: int, seed: int) -> None:
    listen()
    known = seeds(SHARED / "corpora")
    read_all(300, 1, known)
    tally = read_all(texts, seed, known)
    assert tally.errors == []
    assert tally.executed == []
    # All ways to be refused are on the path, and not everything is broken.
    assert {"read", "syntax", "python", "arity", "unknown_operator", "too_deep", "window"} <= tally.outcomes.keys()
    assert tally.outcomes["read"] > texts // 20


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_one_line_refusals(text: str) -> None:
    for dialect in ("auto", "python", "qlib"):
        found = parse(text, dialect=dialect)  # type: ignore[arg-type]  # three of its names
        assert calls_of(lambda dialect=dialect: parse(text, dialect=dialect)) < 100_000
        if isinstance(found, Rejection):
            assert len(found.message.splitlines()[0]) < 200
            assert found.hint
        else:
            # Some are only long: sums of one field, say.
            assert found.size <= Limits().max_nodes


def test_what_is_admitted_can_be_read_again_whatever_macros_made_of_it() -> None:
    grown = "adx(high,low,close,14)*ts_hma(close,16)+" * 9 + "macd_hist(close,3,9,4)"
    found = parse(grown)
    if isinstance(found, Expression):
        assert isinstance(parse(found.text, dialect="native"), Expression)
    else:
        assert found.code in ("too_long", "too_large", "too_deep")
    spelled = parse("keltner_position(high, low, close, 10, 2) + " * 30 + "close")
    assert isinstance(spelled, (Expression, Rejection))


def test_a_factor_that_costs_too_much_is_refused_by_its_estimate() -> None:
    panel = random_panel(50)
    cheap, dear = (parse(text) for text in ("close / open", "ts_mad(close, 10000)"))
    assert isinstance(cheap, Expression)
    assert isinstance(dear, Expression)
    assert check_cost(cheap, panel, seconds=1.0, gigabytes=1.0) is None
    slow = check_cost(dear, panel, seconds=1e-3, gigabytes=1.0)
    assert slow is not None
    assert slow.code == "too_costly"
    large = check_cost(cheap, panel, seconds=1.0, gigabytes=1e-6)
    assert large is not None
    assert "GB" in large.message


def test_memory_stays_within_the_estimate() -> None:
    """A sum of many windows needs few arrays at once: what is used up is freed."""
    import tracemalloc

    from factors.measure import estimate_work

    text = " + ".join(f"ts_mean(close, {d}) * ts_std(open, {d})" for d in range(2, 26))
    expression = parse(text)
    assert isinstance(expression, Expression)
    panel = random_panel(4000, 30)
    evaluate(expression, panel)
    tracemalloc.start()
    evaluate(expression, panel)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    need = estimate_work(expression.root, *panel.shape)
    assert peak <= 1.1 * need.bytes
    assert need.bytes < 30 * panel.shape[0] * panel.shape[1] * 8


def test_the_same_seed_draws_the_same_texts() -> None:
    """A failure found once is found again."""
    known = seeds(None)
    assert read_all(50, 9, known).outcomes == read_all(50, 9, known).outcomes
