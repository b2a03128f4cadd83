"""Our flows beside other libraries' on real market states: likelihood after equal time, speed, inverses, ensembles.

    python -m benchmarks.flows [--quick] [--seconds S] [--device cuda]
    python -m benchmarks.flows --fair [--quick] [--seconds S] [--seeds N]

The 16 features of 68 coins, hourly; train, validation and test are cut in time, and every density sees the same rows
and the same noise. Each trains for the same time on one thread, with about 62 000 parameters, batches of 1 024, clipped
gradients and a cosine schedule; a peer's learning rate is the better of two by a short trial. Peers that are not
installed are left out: pip install 'alphaglow[set of measured factors]'.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.mixture import GaussianMixture
from torch import Tensor

from flows.density import state_likelihood
from flows.fit_rules import FlowConfig, TrainConfig
from flows.flow_model import MarketFlow
from flows.state import DEQUANTISE, build_features, fit_standardiser, known_rows, prepared
from flows.train import device_of, log_likelihood, subsample, torch_threads, train_flow
from market.files import import_files
from market.panel import FloatArray, Panel
from market.split import make_split

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "crypto_spot_1h.parquet"
ROWS, BATCH = 100_000, 1024


@dataclass(frozen=True, eq=False)
class States:
    """Standardised states (M, 16): train without noise, validation and test with the noise they are scored by."""

    train: FloatArray
    validation: FloatArray
    test: FloatArray


@dataclass(frozen=True, eq=False)
class Density:
    """A density of another library: its module, log-likelihood and samples."""

    module: torch.nn.Module
    log_prob: Callable[[Tensor], Tensor]
    sample: Callable[[int], object]


def market_states(panel: Panel) -> States:
    """Return the states of a panel, cut in time."""
    split = make_split(len(panel.times), embargo=264)
    features = build_features(panel)
    standardiser = fit_standardiser(features[split.train])
    states = prepared(features, standardiser, panel)
    rng = np.random.default_rng(7)
    return States(
        subsample(known_rows(standardiser.apply(features[split.train])), ROWS, rng),
        subsample(known_rows(states[split.validation]), 40_000, rng),
        subsample(known_rows(states[split.holdout]), 40_000, rng),
    )


def normflows_glow(dim: int) -> Density:
    """GLOW on vectors of normflows: ActNorm, LU affine map, affine coupling, 16 times."""
    import normflows as nf

    flows: list[Any] = []
    for _ in range(16):
        net = nf.nets.MLP([dim // 2, 48, 48, dim], init_zeros=True)
        flows += [nf.flows.AffineCouplingBlock(net), nf.flows.InvertibleAffine(dim, use_lu=True), nf.flows.ActNorm(dim)]
    model = nf.NormalizingFlow(nf.distributions.DiagGaussian(dim, trainable=False), flows)
    return Density(model, model.log_prob, lambda n: model.sample(n))


def zuko_realnvp(dim: int) -> Density:
    """RealNVP of zuko with an LU map between couplings."""
    import zuko

    base = zuko.flows.RealNVP(dim, transforms=10, hidden_features=(56, 56))
    steps: list[Any] = []
    for coupling in base.transform.transforms:
        maps = zuko.flows.UnconditionalTransform(
            zuko.transforms.LULinearTransform, torch.eye(dim) + 0.01 * torch.randn(dim, dim)
        )
        steps += [maps, coupling]
    model = zuko.flows.Flow(steps, base.base)
    return Density(model, lambda x: model().log_prob(x), lambda n: model().sample((n,)))


def zuko_maf(dim: int) -> Density:
    """Masked autoregressive flow of zuko."""
    import zuko

    model = zuko.flows.MAF(dim, transforms=6, hidden_features=(64, 64))
    return Density(model, lambda x: model().log_prob(x), lambda n: model().sample((n,)))


def glasflow_realnvp(dim: int) -> Density:
    """RealNVP of glasflow, with LU maps between couplings."""
    from glasflow import RealNVP

    model = RealNVP(dim, n_transforms=8, n_neurons=60, n_blocks_per_transform=1, linear_transform="lu")
    return Density(model, model.log_prob, lambda n: model.sample(n))


PEERS: dict[str, tuple[str, Callable[[int], Density]]] = {
    "normflows GLOW": ("normflows", normflows_glow),
    "zuko RealNVP + LU": ("zuko", zuko_realnvp),
    "zuko MAF": ("zuko", zuko_maf),
    "glasflow RealNVP + LU": ("glasflow", glasflow_realnvp),
}


def size_of(module: torch.nn.Module) -> int:
    """Return how many parameters a module learns."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def fit_peer(make: Callable[[int], Density], states: States, seconds: float) -> tuple[Density, float]:
    """Train a peer with the better of two learning rates; return it and its milliseconds a step."""
    tried = {rate: _fit(make, states, 0.15 * seconds, rate)[1] for rate in (1e-3, 5e-3)}
    density, _, step = _fit(make, states, seconds, min(tried, key=lambda rate: tried[rate]))
    return density, step


def scheduled(rate: float, done: float) -> float:
    """Return the learning rate when a share of training is done: warm-up, then half a cosine down."""
    return float(rate * min(done / 0.05, 1.0) * 0.5 * (1 + np.cos(np.pi * done)) + 1e-9)


def train_step(
    density: Density, optimiser: torch.optim.Optimizer, data: Tensor, generator: torch.Generator, rate: float
) -> None:
    """Take a step on a batch of rows with new noise; one that is not finite is left out."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    rows = data[torch.randint(len(data), (BATCH,), generator=generator)]
    rows = rows + DEQUANTISE * (torch.rand(rows.shape, generator=generator) - 0.5)
    optimiser.zero_grad(set_to_none=True)
    loss = -density.log_prob(rows).mean()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(density.module.parameters(), 1.0)
    if bool(torch.isfinite(loss)) and bool(torch.isfinite(norm)):
        optimiser.step()


def _fit(make: Callable[[int], Density], states: States, seconds: float, rate: float) -> tuple[Density, float, float]:
    torch.manual_seed(7)
    density = make(states.train.shape[1])
    data = torch.from_numpy(states.train.astype(np.float32))
    validation = torch.from_numpy(states.validation[:20_000].astype(np.float32))
    generator = torch.Generator().manual_seed(7)
    optimiser = torch.optim.AdamW(density.module.parameters(), lr=rate, weight_decay=1e-5)
    started, steps = time.perf_counter(), 0
    density.module.train()
    while (done := (time.perf_counter() - started) / seconds) < 1.0:
        train_step(density, optimiser, data, generator, scheduled(rate, done))
        steps += 1
    density.module.eval()
    return density, _nll(density, validation), 1e3 * (time.perf_counter() - started) / steps


@torch.no_grad()
def _nll(density: Density, rows: Tensor) -> float:
    values = torch.cat([density.log_prob(part) for part in torch.split(rows, 8192)])
    return float(-values.mean())


def timed(work: Callable[[], object], turns: int = 5) -> float:
    """Return the median seconds of some turns, after one that does not count."""
    work()
    found = []
    for _ in range(turns):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def ours(states: States, flow: FlowConfig, config: TrainConfig) -> dict[str, float]:
    """Train one of ours for the stated time, and measure what the table asks."""
    with torch_threads(1):
        trained = train_flow(states.train, states.validation[:20_000], config, flow)
        return {**_figures(trained.model, states, flow), "ms a step": _our_step(states, flow, config.device)}


def _figures(model: MarketFlow, states: States, flow: FlowConfig) -> dict[str, float]:
    test = torch.from_numpy(states.test.astype(np.float32))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        drawn = model.sample(100_000, generator)
        real = float((model.decode(model.encode(test)[0]) - test).abs().max())
        sampled = float((model.decode(model.encode(drawn)[0]) - drawn).abs().max())
        one = test[:1]
        live = timed(lambda: model.log_prob(one), 50)
    return {
        "parameters": size_of(model),
        "test NLL": float(-log_likelihood(model, test).mean()),
        "states/s": len(test) / timed(lambda: log_likelihood(model, test)),
        "samples/s": 20_000 / timed(lambda: model.sample(20_000, generator)),
        "round trip, real": real,
        "round trip, sampled": sampled,
        "live ms": 1e3 * live,
    }


def _our_step(states: States, flow: FlowConfig, device: str) -> float:
    where = device_of(device)
    model = MarketFlow(flow).to(where)
    batch = torch.from_numpy(states.train[:BATCH].astype(np.float32)).to(where)
    model.initialize(batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        (-model.log_prob(batch).mean()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if where.type == "cuda":
            torch.cuda.synchronize()

    return 1e3 * timed(step, 30)


def beside(states: States, name: str, seconds: float) -> dict[str, float] | None:
    """Train a peer and measure what can be compared; None where it is not installed."""
    package, make = PEERS[name]
    if find_spec(package) is None:
        return None
    with torch_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        density, step = fit_peer(make, states, seconds)
        test = torch.from_numpy(states.test.astype(np.float32))
        with torch.no_grad():
            sampling = timed(lambda: density.sample(20_000), 3)
        return {
            "parameters": size_of(density.module),
            "test NLL": _nll(density, test),
            "states/s": len(test) / timed(lambda: _nll(density, test), 3),
            "samples/s": 20_000 / sampling,
            "ms a step": step,
        }


def mixtures(states: States, counts: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """Return a Gaussian and the Gaussian mixture that BIC chooses among `counts`, on rows with their noise."""
    rng = np.random.default_rng(3)
    rows = states.train + DEQUANTISE * (rng.random(states.train.shape) - 0.5)
    found = {}
    fitted = {n: GaussianMixture(n, random_state=7, max_iter=100).fit(rows) for n in (1, *counts)}
    best = min(counts, key=lambda n: fitted[n].bic(rows))
    for name, n in (("Gaussian, full", 1), (f"GMM, {best} of {'/'.join(map(str, counts))}", best)):
        found[name] = {"test NLL": float(-fitted[n].score(states.test))}
    return found


def whole_panel(model: MarketFlow, bars: int) -> float:
    """Return seconds to score 50 assets x `bars` states, as the gate does."""
    states = np.random.default_rng(0).normal(size=(bars, 50, model.dim))
    with torch_threads(2):
        started = time.perf_counter()
        state_likelihood((model,), states)
        return time.perf_counter() - started


def main() -> None:
    """Measure, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fair", action="store_true", help="tuned peers, one loop for all: benchmarks.flows_fair")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    seconds = options.seconds or (3.0 if options.quick else 60.0)
    states = market_states(import_files([DATA], name="crypto spot 1h"))
    if options.fair:
        _fair(states, seconds, options.seeds)
        return
    config = TrainConfig(seconds=seconds, max_rows=ROWS, batch=BATCH, device=options.device)
    console = Console(stderr=True)
    found: dict[str, dict[str, float] | None] = {}
    shapes = {
        "GLOW": FlowConfig(),
        "GLOW, 8 + 4 + 4": FlowConfig(steps=(12, 2, 2)),
        "RealNVP": FlowConfig(kind="realnvp"),
        "spline couplings": FlowConfig(kind="nsf", steps=(5,)),
    }
    for name, flow in shapes.items():
        with console.status(name):
            found[f"ours: {name}"] = ours(states, flow, config)
    for name in PEERS:
        with console.status(name):
            found[name] = beside(states, name, seconds)
    with console.status("mixtures"):
        found.update(mixtures(states, (8, 16) if options.quick else (8, 16, 32, 48)))
    model = MarketFlow(replace(FlowConfig(), seed=1)).eval()
    panel_seconds = whole_panel(model, 1752 if options.quick else 17_520)
    columns = ("parameters", "test NLL", "ms a step", "states/s", "samples/s", "live ms", "round trip, real")
    table = Table("density", *columns, title=f"{seconds:g} s of training each, {len(states.train):,} rows, one thread")
    for name, row in found.items():
        table.add_row(name, *(_shown(None if row is None else row.get(column)) for column in columns))
    out = Console()
    out.print(table)
    out.print(f"a whole panel, 50 assets: {panel_seconds:.1f} s")
    print(json.dumps({"seconds": seconds, "panel_seconds": panel_seconds, **found}))


def _fair(states: States, seconds: float, seeds: int) -> None:
    """Print the table of `benchmarks.flows_fair`, and one line of JSON."""
    from benchmarks.flows_fair import compare

    found = compare(states, seconds, seeds)
    columns = list(next(iter(found.values())))
    table = Table("density", *columns, title=f"{seconds:g} s of the processor each, one loop, {seeds} seeds")
    for name, row in found.items():
        table.add_row(name, *(_shown(row[column]) for column in columns))
    Console().print(table)
    print(json.dumps({"seconds": seconds, "seeds": seeds, **found}))


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 1e-3 else f"{value:.3f}"


if __name__ == "__main__":
    main()
