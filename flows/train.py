"""Training a flow by maximum likelihood."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from flows.glow import Glow
from market.errors import InputError
from market.panel import FloatArray

Progress = Callable[[int, int, float, float], None]
_EVALUATION_BATCH = 16_384


@dataclass(frozen=True)
class TrainConfig:
    """Size of the flow and how it is trained: AdamW, cosine schedule, clipped gradients, early stop."""

    flow_steps: int = 4
    hidden: int = 64
    levels: int = 3
    lr: float = 2e-3
    weight_decay: float = 1e-5
    batch: int = 512
    epochs: int = 30
    patience: int = 6
    clip: float = 1.0
    seed: int = 7
    max_rows: int = 40_000


@dataclass(frozen=True)
class Epoch:
    """Mean negative log-likelihood in nats after an epoch."""

    number: int
    nll_train: float
    nll_validation: float


@dataclass(frozen=True, eq=False)
class TrainedFlow:
    """The best model by validation NLL, and how it got there."""

    model: Glow
    config: TrainConfig
    history: tuple[Epoch, ...]
    nll_train: float
    nll_validation: float

    @property
    def bits_per_dim(self) -> float:
        """Validation NLL in bits a dimension."""
        return bits_per_dim(self.nll_validation, self.model.dim)


def bits_per_dim(nats: float, dim: int) -> float:
    """Convert a negative log-likelihood in nats to bits a dimension."""
    return nats / (dim * math.log(2.0))


def subsample(rows: FloatArray, limit: int, rng: np.random.Generator) -> FloatArray:
    """Return at most `limit` rows, in their order."""
    if len(rows) <= limit:
        return rows
    return rows[np.sort(rng.choice(len(rows), size=limit, replace=False))]


def train(
    x_train: FloatArray, x_validation: FloatArray, config: TrainConfig, progress: Progress | None = None
) -> TrainedFlow:
    """Fit a GLOW to (M, D) train states; the weights with the lowest NLL on validation win.

    `progress` is called with (epoch, epochs, train NLL, validation NLL) after each epoch. The same data and config
    give the same model on the same machine.
    """
    if len(x_train) < config.batch or len(x_validation) < 100:
        raise InputError(
            f"too few market states to train on: {len(x_train)} train, {len(x_validation)} validation",
            "the gate needs more bars or assets; mine with --no-gate meanwhile",
        )
    rng = np.random.default_rng(config.seed)
    data = torch.from_numpy(subsample(x_train, config.max_rows, rng).astype(np.float32))
    held = torch.from_numpy(subsample(x_validation, config.max_rows // 4, rng).astype(np.float32))
    model = Glow(data.shape[1], config.levels, config.flow_steps, config.hidden, config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    model.train()
    with torch.no_grad():
        model.encode(data[torch.randperm(len(data), generator=generator)[:4096]])
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    batches = len(data) // config.batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=config.epochs * batches)
    best, best_nll, since = copy.deepcopy(model.state_dict()), math.inf, 0
    history: list[Epoch] = []
    for number in range(1, config.epochs + 1):
        nll_train = _epoch(model, data, config, optimiser, schedule, generator)
        nll_held = negative_log_likelihood(model, held)
        history.append(Epoch(number, nll_train, nll_held))
        if progress is not None:
            progress(number, config.epochs, nll_train, nll_held)
        if nll_held < best_nll:
            # state_dict() holds references: without the copy, "best" would go on changing.
            best, best_nll, since = copy.deepcopy(model.state_dict()), nll_held, 0
        else:
            since += 1
            if since >= config.patience:
                break
    if not math.isfinite(best_nll):
        raise InputError(
            "the flow did not train: its likelihood is not finite", "lower the learning rate, or check the data"
        )
    model.load_state_dict(best)
    model.eval()
    return TrainedFlow(model, config, tuple(history), negative_log_likelihood(model, data), best_nll)


def _epoch(
    model: Glow,
    data: torch.Tensor,
    config: TrainConfig,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
) -> float:
    model.train()
    order = torch.randperm(len(data), generator=generator)
    total, batches = 0.0, len(data) // config.batch
    for number in range(batches):
        batch = data[order[number * config.batch : (number + 1) * config.batch]]
        optimiser.zero_grad(set_to_none=True)
        loss = -model.log_prob(batch).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimiser.step()
        schedule.step()
        total += float(loss.detach())
    return total / batches


@torch.no_grad()
def log_likelihood(model: Glow, rows: torch.Tensor) -> torch.Tensor:
    """Return (M,) log-likelihood in nats of (M, D) states, in batches."""
    model.eval()
    return torch.cat([model.log_prob(part) for part in torch.split(rows, _EVALUATION_BATCH)])


def negative_log_likelihood(model: Glow, rows: torch.Tensor) -> float:
    """Return the mean NLL in nats."""
    return float(-log_likelihood(model, rows).mean())
