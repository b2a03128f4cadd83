"""Markets and expressions for the engine's benchmark, and small things that its sections share."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.engine_peers import USUAL
from factors.drawing import Drawer
from factors.parse import parse
from factors.tree import Call, Expression, Node
from market.panel import FloatArray, Panel


def make_market(bars: int, assets: int, bar: str, seed: int = 0) -> Panel:
    """Return a random-walk market without gaps."""
    rng = np.random.default_rng([seed, bars, assets])
    shape = (bars, assets)
    close = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(shape), axis=0))
    opened = np.vstack([close[:1], close[:-1]]) * np.exp(0.003 * rng.standard_normal(shape))
    high = np.maximum(opened, close) * np.exp(0.003 * np.abs(rng.standard_normal(shape)))
    low = np.minimum(opened, close) * np.exp(-0.003 * np.abs(rng.standard_normal(shape)))
    volume = np.exp(10 + rng.standard_normal(shape))
    step = np.timedelta64(1, bar).astype("timedelta64[ns]")
    return Panel(
        times=np.datetime64("2014-01-01", "ns") + step * np.arange(bars),
        assets=tuple(f"A{i:04d}" for i in range(assets)),
        fields={"open": opened, "high": high, "low": low, "close": close, "volume": volume},
        universe=np.ones(shape, dtype=bool),
        bar=step,
        calendar="continuous" if bar == "h" else "exchange",
    )


def draw_batch(
    count: int, *, operators: Sequence[str] = USUAL, sizes: tuple[int, int] = (7, 9), longest: int = 60, seed: int = 0
) -> list[Expression]:
    """Return distinct random expressions of about eight nodes."""
    rng = np.random.default_rng(seed)
    drawer = Drawer(rng, operators=operators, longest=longest)
    found: dict[str, Expression] = {}
    while len(found) < count:
        expression = parse(drawer.expression_text(int(rng.integers(3, 6))), dialect="native")
        if isinstance(expression, Expression) and sizes[0] <= expression.size <= sizes[1]:
            found[expression.text] = expression
    return list(found.values())


def histogram(batch: Sequence[Expression]) -> str:
    """Return how often each operator occurs, most frequent first."""
    counts: Counter[str] = Counter()
    for expression in batch:
        counts.update(call.op for call in calls(expression.root))
    return " ".join(f"{name}:{count}" for name, count in counts.most_common())


def calls(node: Node) -> Iterator[Call]:
    """Yield all operator calls of a tree."""
    if isinstance(node, Call):
        yield node
        for arg in node.args:
            yield from calls(arg)


class Nothing:
    """Takes values and drops them: for timing evaluation alone."""

    def __init__(self, _: Expression) -> None:
        pass

    def feed(self, first: int, values: FloatArray) -> None:
        """Drop the values."""


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def interleaved(rounds: int, **works: Callable[[], object]) -> dict[str, float]:
    """Return the median seconds of each of several pieces of work, done in turn: a shared machine has moods."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(seconds_of(work))
    return {name: statistics.median(times) for name, times in taken.items()}


def rows_of(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield labels and values of nested figures."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from rows_of(value, f"{prefix}{name} · ")
        else:
            yield f"{prefix}{name}".replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value)
