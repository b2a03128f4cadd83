"""Compiling the engine's kernels before they are needed: once after installation, kept on disk from then on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from factors.engine import evaluate
from factors.parse import parse
from factors.table import OPERATORS
from factors.tree import Expression
from market.panel import Panel

_ARGUMENTS = {"panel": "close", "bool": "(close > open)", "group": "bucket(volume, 2)", "window": "4", "number": "0.5"}
_SPECIAL = {
    "y": "open",
    "q": "(high > low)",
    "lo": "-1",
    "hi": "1",
    "k": "2",
    "m": "1",
    "share": "0.3",
    "fast": "2",
    "slow": "4",
    "signal": "3",
}
# Long windows take other ways through the same operators.
_LONG = ("ts_rank(close, 400)", "ts_argmax(close, 70)", "ts_argmin(close, 70)", "ts_moment(close, 4, 5)")


def warming_texts() -> list[str]:
    """Return expressions that between them use every kernel."""
    texts = []
    for operator in OPERATORS.values():
        if operator.formula:
            continue
        args = [_SPECIAL.get(param.name) or _ARGUMENTS[param.kind] for param in operator.params]
        text = f"{operator.name}({', '.join(args)})"
        texts.append(f"group_mean(close, {text})" if operator.result == "group" else text)
    return [*texts, *_LONG, "market_open / market_close", "close ^ open"]


def warm_up(
    stop: Callable[[], bool] = lambda: False, show: Callable[[int, int], None] = lambda _done, _of: None
) -> None:
    """Evaluate every operator once on a few bars; what is compiled already is only loaded.

    Parameters
    ----------
    stop
        Asked between operators whether to leave the rest.
    show
        Called with how many are done.
    """
    panel, texts = _few_bars(), warming_texts()
    for done, text in enumerate(texts):
        if stop():
            return
        show(done, len(texts))
        expression = parse(text)
        assert isinstance(expression, Expression), text
        evaluate(expression, panel)
    show(len(texts), len(texts))


@contextmanager
def warming(first: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Warm up in a thread of its own for as long as the block runs; `first` is what to begin with."""
    ended = threading.Event()

    def work() -> None:
        first()
        warm_up(ended.is_set)

    thread = threading.Thread(target=work, name="warm")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _few_bars() -> Panel:
    shape = (16, 12)
    prices = 1.0 + np.random.default_rng(0).random(shape)
    return Panel(
        times=np.datetime64("2024-01-01", "ns") + np.timedelta64(1, "h") * np.arange(shape[0]),
        assets=tuple(f"A{i}" for i in range(shape[1])),
        fields={name: prices + i for i, name in enumerate(("open", "high", "low", "close", "volume"))},
        universe=np.ones(shape, dtype=bool),
        bar=np.timedelta64(1, "h"),
    )
