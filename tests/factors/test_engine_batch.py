"""Batches: the values of each expression alone, in order, within their time and memory; sharing changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from factors import implementations
from factors.batch import Engine, evaluate_within
from factors.cache import SubtreeCache
from factors.engine import evaluate
from factors.streams import Layout
from factors.tree import Expression, Field, Signal
from market.errors import Rejection
from market.panel import FloatArray
from tests.factors.test_engine_oracles import read
from tests.helpers import draw_expressions, random_panel


class Collected:
    """Keeps what it is fed."""

    def __init__(self, _: Expression) -> None:
        self.parts: list[FloatArray] = []

    def feed(self, first: int, values: FloatArray) -> None:
        assert first == sum(map(len, self.parts))
        self.parts.append(values.copy())

    @property
    def values(self) -> FloatArray:
        return np.concatenate(self.parts)


def family(count: int) -> list[Expression]:
    """Expressions that share subtrees, as a miner's do."""
    inner = "ts_corr(cs_rank(close), cs_rank(volume), 10)"
    return [read(f"{inner} * ts_mean(returns, {d}) + ts_std({inner}, {d})") for d in range(3, 3 + count)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("cache_bytes", [0, 60_000, 10_000_000])
def test_a_batch_gives_each_expression_its_own_values(threads: int, cache_bytes: int) -> None:
    panel = random_panel(300, 12, 2, gaps=0.01)
    expressions = [*draw_expressions(np.random.default_rng(1), 30, 4), *family(20)]
    engine = Engine(panel, threads=threads, cache_bytes=cache_bytes)
    for _ in range(2):
        outcomes = list(engine.run(expressions, Collected))
        assert [outcome.expression for outcome in outcomes] == expressions
        for outcome in outcomes:
            assert isinstance(outcome.result, Collected)
            np.testing.assert_array_equal(outcome.result.values, evaluate(outcome.expression, panel).values)
    assert engine.cache.bytes_used <= cache_bytes
    if cache_bytes > 1_000_000:
        assert engine.cache.hits >= 36


def test_only_the_first_bars_are_evaluated() -> None:
    panel = random_panel(300)
    outcome = next(iter(Engine(panel, stop=200).run([read("ts_mean(close, 5)")], Collected)))
    assert isinstance(outcome.result, Collected)
    np.testing.assert_array_equal(outcome.result.values, evaluate(outcome.expression, panel).values[:200])


def test_what_takes_too_long_is_given_up_with_the_numbers() -> None:
    engine = Engine(random_panel(20_000, 20), seconds=0.0)
    outcome = engine.one(read("ts_mean(close, 5)"), Collected)
    assert isinstance(outcome.result, Rejection)
    assert outcome.result.code == "too_slow"
    assert "% of the bars" in outcome.result.message


def test_within_its_time_an_expression_has_its_values() -> None:
    panel = random_panel(200)
    expression = read("ts_corr(close, volume, 10)")
    found = evaluate_within(expression, panel, seconds=60.0, gigabytes=1.0)
    assert isinstance(found, Signal)
    np.testing.assert_array_equal(found.values, evaluate(expression, panel).values)
    late = evaluate_within(expression, panel, seconds=0.0, gigabytes=1.0)
    assert isinstance(late, Rejection)
    assert "0 s" in late.message


def test_what_needs_too_much_memory_is_refused_before_any_work() -> None:
    engine = Engine(random_panel(50), gigabytes=1e-3)
    outcome = engine.one(read("ts_corr(close, volume, 10000)"), Collected)
    assert isinstance(outcome.result, Rejection)
    assert outcome.result.code == "too_costly"
    assert "GB" in outcome.result.message
    assert outcome.seconds == 0.0


def test_memory_is_within_what_is_stated() -> None:
    import tracemalloc

    panel = random_panel(3000, 40)
    expressions = family(60)
    engine = Engine(panel, threads=2, cache_bytes=5_000_000)
    stated = engine.peak_bytes(expressions)
    for outcome in Engine(panel).run(expressions[:3], Collected):
        assert isinstance(outcome.result, Collected)

    class Nothing:
        def __init__(self, _: Expression) -> None:
            pass

        def feed(self, first: int, values: FloatArray) -> None:
            pass

    tracemalloc.start()
    for _ in engine.run(expressions, Nothing):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= stated


def test_the_cache_drops_what_saves_least_and_was_used_longest_ago() -> None:
    cache = SubtreeCache(3 * 80)
    values = np.zeros(10)
    for name, saves in (("a", 5.0), ("b", 1.0), ("c", 4.0)):
        cache.put(Field(name), values, saves)
    cache.put(Field("d"), values, 2.0)
    assert cache.get(Field("b")) is None
    assert cache.get(Field("a")) is not None
    for name in ("e", "f", "g", "h"):
        cache.put(Field(name), values, 2.0)
    # Nothing is worth so much that it stays for ever unused.
    assert cache.get(Field("c")) is None
    assert cache.bytes_used == 3 * 80
    cache.put(Field("large"), np.zeros(1000), 99.0)
    assert cache.get(Field("large")) is None


def _kernels(operators: set[str]) -> set[str]:
    """Names of the functions that operators call."""
    names = set()
    layout, some = Layout(12, 4, np.dtype(np.float64)), np.ones((4, 12))
    for name in operators:
        arity, make = implementations.STREAMS[name]
        calls = make(layout, [4.0, 1.0]).calls([some] * arity, np.ones((4, 12), dtype=bool), some.copy())
        names |= {str(getattr(function, "__name__", function)) for function, _ in calls}
    return names


def test_warming_up_uses_every_kernel() -> None:
    """What is compiled ahead is all there is: nothing is left for the first user of an operator."""
    from factors.lowering import Lowering
    from factors.tree import Call, Node
    from factors.warm_engine import warm_up, warming_texts

    used: set[str] = set()

    def collect(node: Node) -> None:
        if isinstance(node, Call):
            used.add(node.op)
            for arg in node.args:
                collect(arg)

    for text in warming_texts():
        collect(Lowering(("open", "high", "low", "close", "volume"))(read(text).root))
    assert _kernels(used) == _kernels(set(implementations.STREAMS))
    seen: list[tuple[int, int]] = []
    warm_up(stop=lambda: len(seen) == 3, show=lambda done, of: seen.append((done, of)))
    assert seen == [(i, len(warming_texts())) for i in range(3)]


def test_a_batch_in_32_bits_feeds_32_bits() -> None:
    engine = Engine(random_panel(100), dtype=np.float32)
    outcome = engine.one(read("ts_mean(close, 5)"), Collected)
    assert isinstance(outcome.result, Collected)
    assert outcome.result.values.dtype == np.float32
