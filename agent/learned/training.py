"""Training a network on windows: AdamW, warm-up and cosine, early stop, and an epoch to go on from after a stop."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from agent.learned.augment import Augmentation, augmented
from agent.learned.protocol import Examples
from agent.learned.sample_windows import Windows
from agent.study.progress import Progress
from flows.adamw import AdamW
from flows.tensor_file import flattened, under
from flows.train import device_of, torch_threads
from market.array_file import read_archive, write_archive
from market.errors import InputError
from market.panel import FloatArray

Loss = Literal["huber", "mse"]
# (windows (B, C, T), which of them they are, generator of dropped paths or None) -> (B, outputs)
Forward = Callable[[nn.Module, Tensor, Windows, torch.Generator | None], Tensor]
_AT_ONCE = 512


@dataclass(frozen=True)
class NetTraining:
    """How a network is trained.

    Attributes
    ----------
    warmup
        Epochs over which the learning rate rises; it then falls along half a cosine.
    patience
        Epochs without a lower calibration loss after which training ends.
    smoothing
        Of labels, where they are classes. `loss` is for returns.
    threads
        Of torch. One is quickest on a busy machine; the outcome may depend on it.
    device
        ``cpu``, ``cuda``, or ``auto``: a GPU where there is one. There, numbers are of mixed precision.
    """

    epochs: int = 20
    warmup: int = 5
    lr: float = 4e-3
    weight_decay: float = 0.05
    batch: int = 128
    patience: int = 5
    clip: float = 1.0
    smoothing: float = 0.1
    loss: Loss = "huber"
    augmentation: Augmentation = field(default_factory=Augmentation)
    threads: int = 1
    device: str = "cpu"


def windows_alone(model: nn.Module, x: Tensor, windows: Windows, chance: torch.Generator | None) -> Tensor:
    """Ask a network that reads the windows alone."""
    out: Tensor = model(x, chance)
    return out


@dataclass(frozen=True, eq=False)
class TrainedNet:
    """The weights with the lowest calibration loss, and the (train, calibration) loss of each epoch."""

    model: nn.Module
    history: tuple[tuple[float, float], ...]
    calibration_loss: float
    skipped: int

    def facts(self) -> dict[str, object]:
        """Return figures as JSON types."""
        best = min(range(len(self.history)), key=lambda number: self.history[number][1])
        return {
            "epochs": len(self.history),
            "best_epoch": best + 1,
            "train_loss": self.history[best][0],
            "calibration_loss": self.calibration_loss,
            "skipped_steps": self.skipped,
        }


def train_net(
    model: nn.Module,
    train: Examples,
    calibration: Examples,
    config: NetTraining,
    seed: int,
    progress: Progress,
    *,
    resume: Path | None = None,
    forward: Forward = windows_alone,
) -> TrainedNet:
    """Train a network; `forward` asks one that reads more than windows.

    With a file `resume`, each epoch is stored there, without pickles; a training of the same examples and config goes
    on from it, ends with the same weights to the bit on a CPU, and removes it.

    Raises
    ------
    InputError
        When no epoch has a finite calibration loss.
    """
    with torch_threads(config.threads):
        return _Training(model, train, calibration, config, seed, progress, forward).run(resume)


def outputs(model: nn.Module, windows: Windows, config: NetTraining, forward: Forward = windows_alone) -> FloatArray:
    """Return (M, K) outputs of a trained network, in batches."""
    device = device_of(config.device)
    model = model.to(device).eval()
    with torch_threads(config.threads), torch.no_grad():
        parts = []
        for start in range(0, len(windows), _AT_ONCE):
            part = windows.take(slice(start, start + _AT_ONCE))
            parts.append(forward(model, _tensor(part, device), part, None).float().cpu().numpy())
    return np.concatenate(parts).astype(np.float64) if parts else np.empty((0, 1))


class _Training:
    """One training: data, network, optimiser, and the best weights so far."""

    def __init__(
        self,
        model: nn.Module,
        train: Examples,
        calibration: Examples,
        config: NetTraining,
        seed: int,
        progress: Progress,
        forward: Forward,
    ) -> None:
        self.config, self.progress, self.forward = config, progress, forward
        self.device = device_of(config.device)
        self.model = model.to(self.device)
        self.train, self.calibration = train, calibration
        # On the CPU, so that every device sees the same order and noise.
        self.chance = torch.Generator().manual_seed(seed)
        self.optimiser = AdamW(self._groups(), fused=self.device.type in ("cpu", "cuda"))
        self.batches = max(1, len(train) // config.batch)
        self.steps = self.skipped = self.since = 0
        self.history: list[tuple[float, float]] = []
        self.best, self.best_loss = copy.deepcopy(model.state_dict()), math.inf
        self.seed = seed

    def _groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Weights decay; biases, norms and scales do not."""
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        return [(matrices, self.config.weight_decay), (others, 0.0)]

    def run(self, resume: Path | None) -> TrainedNet:
        config = self.config
        if resume is not None and resume.is_file():
            self._restore(resume)
        while len(self.history) < config.epochs and self.since < config.patience:
            mean = self._epoch()
            loss = self._calibration_loss()
            self.history.append((mean, loss))
            if loss < self.best_loss:
                # state_dict() holds references: without the copy, "best" would go on changing.
                self.best, self.best_loss, self.since = copy.deepcopy(self.model.state_dict()), loss, 0
            else:
                self.since += 1
            if resume is not None:
                self._store(resume)
            self.progress(f"calibration loss {loss:.4f}", len(self.history), config.epochs)
        if not math.isfinite(self.best_loss):
            raise InputError("the network did not train: its loss is not finite", "lower the learning rate")
        self.model.load_state_dict(self.best)
        if resume is not None:
            resume.unlink(missing_ok=True)
        return TrainedNet(self.model.to("cpu").eval(), tuple(self.history), self.best_loss, self.skipped)

    def _epoch(self) -> float:
        self.model.train()
        order = torch.randperm(len(self.train), generator=self.chance).numpy()
        total, counted = 0.0, 0
        for number in range(self.batches):
            loss = self._step(order[number * self.config.batch : (number + 1) * self.config.batch])
            if math.isfinite(loss):
                total, counted = total + loss, counted + 1
        return total / max(counted, 1)

    def _step(self, rows: Any) -> float:  # noqa: ANN401 - an index array
        rate = self.config.lr * self._rate()
        windows = self.train.windows.take(rows)
        x = augmented(_tensor(windows, self.device), self.config.augmentation, self.chance)
        self.optimiser.zero_grad()
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            out = self.forward(self.model, x, windows, self.chance)
        loss = self._loss(out.float(), self.train, rows, self.config.smoothing)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.steps += 1
        if not (bool(torch.isfinite(loss)) and bool(torch.isfinite(norm))):
            self.skipped += 1
            return math.inf
        self.optimiser.step(rate)
        return float(loss.detach())

    def _loss(self, out: Tensor, examples: Examples, rows: Any, smoothing: float) -> Tensor:  # noqa: ANN401
        weights = torch.from_numpy(examples.weights[rows]).float().to(out.device)
        labels = torch.from_numpy(examples.labels[rows]).to(out.device)
        if examples.is_class:
            each = functional.cross_entropy(out, labels.long(), reduction="none", label_smoothing=smoothing)
        elif self.config.loss == "huber":
            each = functional.huber_loss(out[:, 0], labels.float(), reduction="none")
        else:
            each = functional.mse_loss(out[:, 0], labels.float(), reduction="none")
        return (each * weights).sum() / weights.sum()

    @torch.no_grad()
    def _calibration_loss(self) -> float:
        self.model.eval()
        total, weight = 0.0, 0.0
        for start in range(0, len(self.calibration), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(self.calibration)))
            windows = self.calibration.windows.take(rows)
            out = self.forward(self.model, _tensor(windows, self.device), windows, None)
            share = float(self.calibration.weights[rows].sum())
            total += share * float(self._loss(out, self.calibration, rows, 0.0))
            weight += share
        return total / weight

    def _rate(self) -> float:
        """Return the factor of the learning rate: linear up over the warm-up, then half a cosine down."""
        done = self.steps / self.batches
        warm = min(self.config.warmup, self.config.epochs / 2)
        if done < warm:
            return (done + 1.0 / self.batches) / warm
        return 0.5 * (1.0 + math.cos(math.pi * min((done - warm) / max(self.config.epochs - warm, 1e-9), 1.0)))

    def _identity(self) -> str:
        """Return a hash of what is trained, on what, and how."""
        shapes = [(name, tuple(value.shape)) for name, value in self.model.state_dict().items()]
        digest = hashlib.blake2b(repr((asdict(self.config), self.seed, shapes)).encode(), digest_size=16)
        for part in (self.train, self.calibration):
            for array in (part.windows.assets, part.windows.bars, part.labels, part.weights):
                digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(np.ascontiguousarray(self.train.windows.grid).tobytes())
        return digest.hexdigest()

    def _store(self, path: Path) -> None:
        arrays = {
            **flattened(self.model.state_dict(), "model/"),
            **flattened(self.best, "best/"),
            **self.optimiser.arrays(),
            "chance": self.chance.get_state().numpy(),
        }
        counters = {name: getattr(self, name) for name in ("steps", "skipped", "since", "best_loss")}
        write_archive(path, {"identity": self._identity(), "history": self.history, **counters}, arrays)

    def _restore(self, path: Path) -> None:
        """Go on from a stored training; one of other examples or another config is none of ours, and is left alone."""
        document, arrays = read_archive(path, "training to go on with", f"remove {path} to train from the start")
        if document.get("identity") != self._identity():
            return
        self.model.load_state_dict(under(arrays, "model/"))
        self.best = under(arrays, "best/")
        self.optimiser.restore(arrays)
        self.chance.set_state(under(arrays, "chance")[""])
        self.history = [(float(a), float(b)) for a, b in document["history"]]
        self.steps, self.skipped, self.since = (int(document[name]) for name in ("steps", "skipped", "since"))
        self.best_loss = float(document["best_loss"])


def _tensor(windows: Windows, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(windows.values())).to(device)
