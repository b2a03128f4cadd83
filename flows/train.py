"""Training a flow by maximum likelihood."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flows.adamw import AdamW
from flows.captured_step import CapturedStep, gradients
from flows.fit_rules import FlowConfig, TrainConfig
from flows.flow_model import MarketFlow, make_flow
from flows.tensor_file import flattened, under
from market.array_file import read_archive, write_archive
from market.errors import InputError
from market.panel import FloatArray

Progress = Callable[[int, int, float, float], None]
# What a step works on stays in the processor's cache; a card is not filled by so few.
_EVALUATION_BATCH = {"cpu": 2_048, "cuda": 65_536}
# Rows that set ActNorm.
_FIRST_BATCH = 4096
_LEAST_CALIBRATION = 100
_COUNTERS = ("steps", "skipped", "since", "best_nll")


@dataclass(frozen=True)
class Epoch:
    """Mean negative log-likelihood in nats after an epoch."""

    number: int
    nll_train: float
    nll_validation: float


@dataclass(frozen=True, eq=False)
class TrainedFlow:
    """The best model by validation NLL, and how it got there; `skipped` counts steps that were not finite."""

    model: MarketFlow
    config: TrainConfig
    history: tuple[Epoch, ...]
    nll_train: float
    nll_validation: float
    skipped: int = 0

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


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use this many threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_flow(
    x_train: FloatArray,
    x_validation: FloatArray,
    config: TrainConfig,
    flow: FlowConfig | None = None,
    progress: Progress | None = None,
    *,
    resume: Path | None = None,
    start: MarketFlow | None = None,
) -> TrainedFlow:
    """Fit a flow to (M, D) train states; the weights with the lowest NLL on validation win.

    Train states come without noise, validation states with the noise that states are scored with. `progress` is called
    with (epoch, epochs, train NLL, validation NLL) after each epoch. The same data and config give the same model on
    the same machine, unless `seconds` are set.

    With a file `resume`, each epoch is stored there; a training of the same data and config goes on from what it finds
    in it, ends as it would have without the stop, and removes the file. A training that has `seconds` cannot. `start`
    is a flow of the same shape to begin from, such as that of an earlier refit.

    Raises
    ------
    InputError
        For too few states, or a likelihood that is never finite.
    """
    if len(x_train) < config.batch or len(x_validation) < _LEAST_CALIBRATION:
        raise InputError(
            f"too few market states to train on: {len(x_train)} train, {len(x_validation)} validation",
            "the gate needs more bars or assets; mine with --no-gate meanwhile",
        )
    with torch_threads(config.threads):
        training = _Training(x_train, x_validation, config, flow or FlowConfig(x_train.shape[1]), progress, start)
        return training.run(resume if config.seconds is None else None)


class _Training:
    """One training: data, model, optimiser, and the best weights so far."""

    def __init__(
        self,
        x_train: FloatArray,
        x_validation: FloatArray,
        config: TrainConfig,
        flow: FlowConfig,
        progress: Progress | None,
        start: MarketFlow | None,
    ) -> None:
        rng = np.random.default_rng(config.seed)
        self.config, self.progress = config, progress
        self.device = device_of(config.device)
        self.data = _tensor(subsample(x_train, config.max_rows, rng), self.device)
        self.validation = _tensor(
            subsample(x_validation, max(config.max_rows // 4, _LEAST_CALIBRATION), rng), self.device
        )
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.model = make_flow(flow).to(self.device)
        if config.precision == "bfloat16":
            self.model.set_half(True)
        self.captured: CapturedStep | None = None
        if start is None:
            self.model.initialize(self._noisy(self.data[self._order()[:_FIRST_BATCH]]))
        else:
            self.model.load_state_dict(start.state_dict())
        fused = self.device.type in ("cpu", "cuda")
        self.optimiser = AdamW([(self.model.parameters(), config.weight_decay)], fused=fused)
        self.averaged = copy.deepcopy(self.model) if config.ema > 0 else self.model
        self.batches = len(self.data) // config.batch
        self.skipped = 0
        self.steps = 0
        self.started = time.perf_counter()

    def run(self, resume: Path | None) -> TrainedFlow:
        config = self.config
        self.best, self.best_nll, self.since = copy.deepcopy(self.averaged.state_dict()), math.inf, 0
        self.history: list[Epoch] = []
        if resume is not None and resume.is_file():
            self._restore(resume)
        while not self._over():
            number = len(self.history) + 1
            nll_train = self._epoch()
            nll_validation = negative_log_likelihood(self.averaged, self.validation)
            self.history.append(Epoch(number, nll_train, nll_validation))
            if self.progress is not None:
                self.progress(number, config.epochs, nll_train, nll_validation)
            if nll_validation < self.best_nll:
                # state_dict() holds references: without the copy, "best" would go on changing.
                self.best, self.best_nll, self.since = copy.deepcopy(self.averaged.state_dict()), nll_validation, 0
            else:
                self.since += 1
            if resume is not None:
                self._store(resume)
        if not math.isfinite(self.best_nll):
            raise InputError(
                "the flow did not train: its likelihood is not finite", "lower the learning rate, or check the data"
            )
        self.averaged.load_state_dict(self.best)
        model = self.averaged.to("cpu").eval()
        if config.precision == "bfloat16":
            model.set_half(False)
        nll_train = negative_log_likelihood(model, self._noisy(self.data).cpu())
        if resume is not None:
            resume.unlink(missing_ok=True)
        return TrainedFlow(model, config, tuple(self.history), nll_train, self.best_nll, self.skipped)

    def _over(self) -> bool:
        if self.config.seconds is not None:
            return bool(self.history) and self._done() >= 1.0
        return len(self.history) >= self.config.epochs or self.since >= self.config.patience

    @cached_property
    def _identity(self) -> str:
        """Return a hash of what is trained, on what, and how."""
        digest = blake2b(repr((asdict(self.config), self.model.config)).encode(), digest_size=16)
        for rows in (self.data, self.validation):
            digest.update(rows.cpu().numpy().tobytes())
        return digest.hexdigest()

    def _store(self, path: Path) -> None:
        arrays = {
            **flattened(self.model.state_dict(), "model/"),
            **flattened(self.averaged.state_dict(), "averaged/"),
            **flattened(self.best, "best/"),
            **self.optimiser.arrays(),
            "generator": self.generator.get_state().numpy(),
        }
        document = {
            "identity": self._identity,
            "history": [asdict(epoch) for epoch in self.history],
            **{name: getattr(self, name) for name in _COUNTERS},
        }
        write_archive(path, document, arrays)

    def _restore(self, path: Path) -> None:
        """Go on from a stored training; one of other data or another config is none of ours, and is left alone."""
        document, arrays = read_archive(path, "training to go on with", f"remove {path} to train from the start")
        if document.get("identity") != self._identity:
            return
        self.model.load_state_dict(under(arrays, "model/"))
        if self.averaged is not self.model:
            self.averaged.load_state_dict(under(arrays, "averaged/"))
        self.best = under(arrays, "best/")
        self.optimiser.restore(arrays)
        self.generator.set_state(under(arrays, "generator")[""])
        self.history = [Epoch(**epoch) for epoch in document["history"]]
        for name in _COUNTERS:
            setattr(self, name, document[name])

    def _epoch(self) -> float:
        self.model.train()
        order = self._order()
        total, counted = 0.0, 0
        for number in range(self.batches):
            if self.config.seconds is not None and self._done() >= 1.0:
                break
            batch = self._noisy(self.data[order[number * self.config.batch : (number + 1) * self.config.batch]])
            loss = self._step(batch)
            if math.isfinite(loss):
                total, counted = total + loss, counted + 1
        return total / max(counted, 1)

    def _step(self, batch: Tensor) -> float:
        rate = self.config.lr * self._rate(self._done())
        # Read together: each reading waits for the device.
        loss, norm = torch.stack(self._gradients(batch)).tolist()
        self.steps += 1
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.skipped += 1
            return math.inf
        self.optimiser.step(rate)
        if self.averaged is not self.model:
            with torch.no_grad():
                # Early on, the average would still be the beginning.
                decay = min(self.config.ema, (1 + self.steps) / (10 + self.steps))
                torch._foreach_lerp_(list(self.averaged.parameters()), list(self.model.parameters()), 1.0 - decay)
        return float(loss)

    def _gradients(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        if self.device.type != "cuda":
            self.optimiser.zero_grad()
            return gradients(self.model, self.config.clip, batch)
        if self.captured is None:
            self.captured = CapturedStep(self.model, self.config.clip, batch)
        return self.captured(batch)

    def _done(self) -> float:
        """Return the share of training that is over."""
        if self.config.seconds is not None:
            return (time.perf_counter() - self.started) / self.config.seconds
        return self.steps / (self.config.epochs * self.batches)

    def _rate(self, done: float) -> float:
        """Return the factor of the learning rate: linear up, then half a cosine down."""
        warm = self.config.warmup
        if done < warm:
            return max(done / warm, 1e-3)
        return 0.5 * (1.0 + math.cos(math.pi * min((done - warm) / (1.0 - warm), 1.0)))

    def _order(self) -> Tensor:
        return torch.randperm(len(self.data), generator=self.generator, device=self.device)

    def _noisy(self, rows: Tensor) -> Tensor:
        noise = torch.rand(rows.shape, generator=self.generator, device=self.device)
        return rows + self.config.noise * (noise - 0.5)


def device_of(name: str) -> torch.device:
    """Return the device that `name` means; a GPU that is not there is an `InputError`."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("there is no GPU that this torch can use", "say cpu, or auto")
    return torch.device(name)


def _tensor(rows: FloatArray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)).to(device)


@torch.no_grad()
def log_likelihood(model: MarketFlow, rows: Tensor) -> Tensor:
    """Return (M,) log-likelihood in nats of (M, D) states, in batches."""
    model.eval()
    return torch.cat(
        [model.log_prob(part) for part in torch.split(rows, _EVALUATION_BATCH.get(rows.device.type, 2_048))]
    )


def negative_log_likelihood(model: MarketFlow, rows: Tensor) -> float:
    """Return the mean NLL in nats."""
    return float(-log_likelihood(model, rows).mean())
