"""Several flows of one kind from different seeds, and the density that they have together."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from flows.fit_rules import FlowConfig, TrainConfig
from flows.flow_model import MarketFlow
from flows.train import Progress, TrainedFlow, log_likelihood, torch_threads, train_flow
from market.panel import FloatArray


def ensemble_likelihood(members: Sequence[MarketFlow], rows: Tensor) -> Tensor:
    """Return (M,) log-likelihood in nats of states (M, D) under the equal mixture of the members: a density again."""
    each = torch.stack([log_likelihood(member, rows) for member in members])
    return torch.logsumexp(each, dim=0) - math.log(len(members))


def ensemble_sample(
    members: Sequence[MarketFlow], n: int, generator: torch.Generator, temperature: float = 1.0
) -> Tensor:
    """Draw (n, D) states of the mixture, each from a member drawn at random, in the order of the members."""
    counts = torch.bincount(torch.randint(len(members), (n,), generator=generator), minlength=len(members)).tolist()
    drawn = [m.sample(count, generator, temperature) for m, count in zip(members, counts, strict=True)]
    return torch.cat(drawn)


def train_ensemble(
    x_train: FloatArray,
    x_validation: FloatArray,
    config: TrainConfig,
    flow: FlowConfig,
    members: int,
    progress: Progress | None = None,
    *,
    resume: Path | None = None,
    start: Sequence[MarketFlow] | None = None,
) -> tuple[TrainedFlow, ...]:
    """Train this many flows, as many at once as there are processors: member k from the seeds plus k.

    They share nothing but the data, so each is the flow that its own seeds give alone. `resume` names the files of all:
    member k has the number k at its end. `progress` is called with the epochs of all members together. Otherwise as
    `train_flow`.
    """
    report = _Together(members, config.epochs, progress)
    stop = threading.Event()

    def one(number: int) -> TrainedFlow:
        def tick(epoch: int, epochs: int, nll_train: float, nll_validation: float) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            report(number, epoch, nll_train, nll_validation)

        return train_flow(
            x_train,
            x_validation,
            replace(config, seed=config.seed + number),
            replace(flow, seed=flow.seed + number),
            tick,
            resume=None if resume is None else resume.with_name(f"{resume.name}.{number}"),
            start=None if start is None else start[number],
        )

    # Windows and macOS do not say which cores a process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    at_once = min(members, cores)
    if at_once == 1:
        return tuple(one(number) for number in range(members))
    # Threads do: torch lets go of the interpreter while it computes.
    with torch_threads(config.threads), ThreadPoolExecutor(at_once) as pool:
        try:
            return tuple(pool.map(one, range(members)))
        except BaseException:
            stop.set()
            raise


class _Together:
    """Epochs of all members as one count, with the means of their newest likelihoods."""

    def __init__(self, members: int, epochs: int, progress: Progress | None) -> None:
        self.epochs, self.progress = members * epochs, progress
        self.newest: dict[int, tuple[int, float, float]] = {}
        self.lock = threading.Lock()

    def __call__(self, number: int, epoch: int, nll_train: float, nll_validation: float) -> None:
        with self.lock:
            self.newest[number] = (epoch, nll_train, nll_validation)
            done, on_train, on_validation = (sum(column) for column in zip(*self.newest.values(), strict=True))
            if self.progress is not None:
                count = len(self.newest)
                self.progress(int(done), self.epochs, on_train / count, on_validation / count)
