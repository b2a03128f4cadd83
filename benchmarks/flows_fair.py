"""Our flows beside a tuned zuko: one training loop, several seeds, equal processor time; see `benchmarks.flows`.

Every density, ours too, is trained by the same loop: the same rows, noise, batches, AdamW, warm-up and cosine; the
learning rate is the best of four up to 2e-2 by a short trial; the weights that are kept are the best on validation, of
ten looks. Time is that of the process, so that a busy machine is the same to all. Peers have SiLU.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from statistics import mean

import numpy as np
import torch
from torch import Tensor

from benchmarks.flows import BATCH, Density, States, scheduled, size_of, train_step
from flows.fit_rules import FlowConfig
from flows.flow_model import make_flow
from flows.train import torch_threads

RATES = (2e-3, 5e-3, 1e-2, 2e-2)
# Share of the time that each trial of a rate takes, rows of validation, and looks at it.
_TRIAL, _ROWS, _LOOKS = 0.1, 8_000, 10
# Of the trimmed mean: states left out at each end.
_TRIMMED = 0.01

Maker = Callable[[int, States], Density]


def _ours(flow: FlowConfig) -> Maker:
    def make(seed: int, states: States) -> Density:
        model = make_flow(replace(flow, dim=states.train.shape[1], seed=seed))
        model.initialize(torch.from_numpy(states.train[: 4 * BATCH].astype(np.float32)))
        return Density(model, model.log_prob, lambda n: model.sample(n, torch.Generator().manual_seed(0)))

    return make


def _zuko_realnvp(seed: int, states: States) -> Density:
    import zuko

    torch.manual_seed(seed)
    dim = states.train.shape[1]
    base = zuko.flows.RealNVP(dim, transforms=10, hidden_features=(56, 56), activation=torch.nn.SiLU)
    steps = []
    for coupling in base.transform.transforms:
        start = torch.eye(dim) + 0.01 * torch.randn(dim, dim)
        steps += [zuko.flows.UnconditionalTransform(zuko.transforms.LULinearTransform, start), coupling]
    model = zuko.flows.Flow(steps, base.base)
    return Density(model, lambda x: model().log_prob(x), lambda n: model().sample((n,)))


def _zuko_maf(seed: int, states: States) -> Density:
    import zuko

    torch.manual_seed(seed)
    dim = states.train.shape[1]
    model = zuko.flows.MAF(dim, transforms=6, hidden_features=(64, 64), activation=torch.nn.SiLU)
    return Density(model, lambda x: model().log_prob(x), lambda n: model().sample((n,)))


def makers() -> dict[str, Maker]:
    """Return what is compared, by name; zuko where it is installed."""
    found = {
        "ours: GLOW": _ours(FlowConfig()),
        "ours: RealNVP": _ours(FlowConfig(kind="realnvp")),
        "ours: autoregressive": _ours(FlowConfig(kind="autoregressive", steps=(3,), hidden=60)),
    }
    if find_spec("zuko") is not None:
        found |= {"zuko RealNVP + LU, SiLU": _zuko_realnvp, "zuko MAF, SiLU": _zuko_maf}
    return found


def compare(states: States, seconds: float, seeds: int) -> dict[str, dict[str, float]]:
    """Return, by name, the mean, median and trimmed NLL of unseen states over seeds, and what led to them."""
    found = {}
    test = torch.from_numpy(states.test.astype(np.float32))
    with torch_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, make in makers().items():
            tried = {rate: trained(make, states, _TRIAL * seconds, rate, 0)[1] for rate in RATES}
            rate = min(tried, key=lambda one: tried[one])
            runs = []
            for seed in range(seeds):
                density, _, step = trained(make, states, seconds, rate, seed)
                runs.append({**_figures(_losses(density, test)), "ms a step": step})
            found[name] = {"parameters": size_of(density.module), "rate": rate, **_averaged(runs)}
    return found


def _figures(losses: Tensor) -> dict[str, float]:
    ordered = torch.sort(losses)[0]
    cut = int(_TRIMMED * len(ordered))
    kept = ordered[cut : len(ordered) - cut]
    return {"NLL": float(losses.mean()), "median": float(losses.median()), "trimmed": float(kept.mean())}


def _averaged(runs: list[dict[str, float]]) -> Mapping[str, float]:
    spread = max(run["NLL"] for run in runs) - min(run["NLL"] for run in runs)
    return {**{key: mean(run[key] for run in runs) for key in runs[0]}, "spread over seeds": spread}


@torch.no_grad()
def _losses(density: Density, rows: Tensor) -> Tensor:
    return -torch.cat([density.log_prob(part) for part in torch.split(rows, 8192)])


def trained(make: Maker, states: States, seconds: float, rate: float, seed: int) -> tuple[Density, float, float]:
    """Train for some seconds of the process; return it at its best on validation, that NLL, and milliseconds a step."""
    density = make(seed, states)
    data = torch.from_numpy(states.train.astype(np.float32))
    validation = torch.from_numpy(states.validation[:_ROWS].astype(np.float32))
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(density.module.parameters(), lr=rate, weight_decay=1e-5)
    best, kept, looks, steps, used = float("inf"), copy.deepcopy(density.module.state_dict()), 0, 0, 0.0
    while used < seconds:
        started, done = time.process_time(), used / seconds
        train_step(density, optimiser, data, generator, scheduled(rate, done))
        steps, used = steps + 1, used + time.process_time() - started
        # Looks are not counted: they are the same for all.
        if used / seconds >= (looks + 1) / _LOOKS:
            looks += 1
            density.module.eval()
            now = float(_losses(density, validation).mean())
            density.module.train()
            if now < best:
                best, kept = now, copy.deepcopy(density.module.state_dict())
    density.module.load_state_dict(kept)
    density.module.eval()
    return density, best, 1e3 * used / steps
