"""ConvNeXt as a learner: built, trained, its probabilities calibrated."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from torch import nn

from agent.learned.convnext import SIZES, ConvNextConfig, Size, build, count_parameters
from agent.learned.protocol import Examples
from agent.learned.sample_windows import Windows
from agent.learned.targets import CLASSES
from agent.learned.temperature import fit_temperature, log_priors, nll, reliability, softmax
from agent.learned.training import Forward, NetTraining, outputs, train_net, windows_alone
from agent.study.progress import Progress
from market.panel import FloatArray


@dataclass(frozen=True)
class ConvNextLearner:
    """A ConvNeXt of a size, and how it is trained; `drop_path` takes the place of the size's own."""

    size: Size = "nano"
    training: NetTraining = field(default_factory=NetTraining)
    drop_path: float | None = None

    @property
    def config(self) -> ConvNextConfig:
        """The shape of the net."""
        shape = SIZES[self.size]
        return shape if self.drop_path is None else replace(shape, drop_path=self.drop_path)

    @property
    def kind(self) -> str:
        """Its name."""
        return "convnext"

    def recipe(self) -> dict[str, object]:
        """Return its settings; threads and device decide how long it takes, and the last digits."""
        return {"size": self.size, **asdict(self.config), "training": training_recipe(self.training)}

    def fit(
        self, train: Examples, calibration: Examples, rng: np.random.Generator, progress: Progress, resume: Path | None
    ) -> NetFit:
        """Train a network from new weights, and calibrate it on the calibration examples."""
        build_seed, seed = (int(number) for number in rng.integers(2**31, size=2))
        count = len(CLASSES) if train.is_class else 1
        model = build(train.windows.channels, count, self.config, build_seed)
        return fit_net(model, train, calibration, self.training, seed, progress, resume)


def training_recipe(training: NetTraining) -> dict[str, object]:
    """Return what a training's outcome depends on."""
    return {name: value for name, value in asdict(training).items() if name not in ("threads", "device")}


@dataclass(frozen=True, eq=False)
class NetFit:
    """A trained network; of classes, with log priors and temperature that make its outputs probabilities."""

    model: nn.Module
    training: NetTraining
    figures: dict[str, object]
    priors: FloatArray | None
    temperature: float
    forward: Forward = windows_alone

    def predict(self, windows: Windows) -> FloatArray:
        """Return (M,) p(long) - p(short), or the predicted return in deviations."""
        if self.priors is None:
            return outputs(self.model, windows, self.training, self.forward)[:, 0]
        found = self.probabilities(windows)
        return found[:, 2] - found[:, 0]

    def probabilities(self, windows: Windows) -> FloatArray:
        """Return (M, 3) calibrated probabilities of short, hold and long."""
        assert self.priors is not None
        return softmax((outputs(self.model, windows, self.training, self.forward) + self.priors) / self.temperature)

    def facts(self) -> dict[str, object]:
        """Return the figures of the fit."""
        return self.figures


def fit_net(
    model: nn.Module,
    train: Examples,
    calibration: Examples,
    training: NetTraining,
    seed: int,
    progress: Progress,
    resume: Path | None,
    forward: Forward = windows_alone,
) -> NetFit:
    """Train any network of windows and, of classes, calibrate it on the calibration examples."""
    done = train_net(model, train, calibration, training, seed, progress, resume=resume, forward=forward)
    figures = {"parameters": count_parameters(model), **done.facts()}
    if not train.is_class:
        return NetFit(done.model, training, figures, None, 1.0, forward)
    # It was taught as if classes came equally often.
    priors = log_priors(train.labels, len(CLASSES))
    logits = outputs(done.model, calibration.windows, training, forward) + priors
    labels = calibration.labels.astype(np.int64)
    temperature = fit_temperature(logits, labels)
    before, after = softmax(logits), softmax(logits / temperature)
    figures |= {
        "temperature": temperature,
        "calibration_nll": nll(after, labels),
        "calibration_nll_uncalibrated": nll(before, labels),
        "calibration_error": reliability(after, labels)["error"],
    }
    return NetFit(done.model, training, figures, priors, temperature, forward)
