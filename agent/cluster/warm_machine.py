"""Compiling what a machine of a cluster scores with: loops are others where the data cannot be written to."""

from __future__ import annotations

import pickle
from typing import Any, TypeVar

import numpy as np

from agent.cluster.quick_work import QuickWork
from backtest.scorecard import score_signal
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from market.split import Split
from market.synthetic.demo_market import SynthSpec, make_market

_BARS, _TRAIN = 600, 400
Sent = TypeVar("Sent")


def warm_machine() -> None:
    """Score one signal quickly and in full on data as they arrive; what is compiled already is only loaded."""
    panel = make_market(SynthSpec(bars=_BARS, assets=12)).panel
    split = Split(slice(0, _TRAIN), slice(_TRAIN + 5, _BARS), slice(_BARS, _BARS), 5)
    work = as_it_arrives(QuickWork(panel, prepare_target(panel, BacktestSpec()), split.train, 60.0, 4.0))
    work.prepare()
    values = np.random.default_rng(0).normal(size=panel.shape)
    score_signal(values, work.target, split, rng=np.random.default_rng(0))


def as_it_arrives(sent: Sent) -> Sent:
    """Return a copy whose arrays lie in memory that cannot be written to, as those that processes share do."""
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(sent, protocol=5, buffer_callback=buffers.append)
    arrived: Any = pickle.loads(text, buffers=[bytes(buffer.raw()) for buffer in buffers])
    found: Sent = arrived
    return found
