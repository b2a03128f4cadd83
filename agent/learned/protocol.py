"""How a model plugs into walk-forward training: what it is given, and what it gives back.

A new kind of model is a class with the two methods of `Learner`, whose `fit` returns an object with the two methods of
`Fitted`. It never sees a panel, a fold or a date: `agent.learned.walk` cuts time, purges and weights labels, and asks.

    class Mean:
        kind = "mean"

        def recipe(self):                                   # all that its outcome depends on, as JSON types
            return {}

        def fit(self, train, calibration, rng, progress, resume):  # train.windows, train.labels, train.weights
            return MeanFit(np.average(train.labels, weights=train.weights))

    class MeanFit:
        def predict(self, windows):                         # (M,) higher is better; NaN: no opinion
            return np.full(len(windows), self.mean)

        def facts(self):                                    # figures of the fit, as JSON types
            return {"mean": self.mean}

A model that reads more than numbers holds that itself and finds it by ``windows.assets`` and ``windows.bars``, which
are columns and rows of the study's panel; it must look at nothing later than the bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from agent.learned.sample_windows import Windows
from agent.study.progress import Progress
from market.panel import FloatArray


@dataclass(frozen=True, eq=False)
class Examples:
    """What a model is fitted on, or stopped and calibrated by.

    Attributes
    ----------
    labels
        (M,) class numbers 0, 1, 2 (short, hold, long) where `is_class`, else returns in deviations.
    weights
        (M,) mean 1: overlapping labels count less, and each class as much as another.
    """

    windows: Windows
    labels: FloatArray
    weights: FloatArray
    is_class: bool

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.labels)


class Fitted(Protocol):
    """A model that has been fitted."""

    def predict(self, windows: Windows) -> FloatArray:
        """Return (M,) signals, higher for better: p(long) - p(short), or the return; NaN is no opinion."""
        ...

    def facts(self) -> dict[str, object]:
        """Return figures of the fit (losses, temperature ...) as JSON types."""
        ...


@runtime_checkable
class Calibrated(Protocol):
    """A fitted model that also tells probabilities; `walk_panel` then says how often they came true."""

    def probabilities(self, windows: Windows) -> FloatArray:
        """Return (M, 3) probabilities of short, hold and long."""
        ...


class Learner(Protocol):
    """A kind of model with its settings."""

    @property
    def kind(self) -> str:
        """A short name, which becomes part of the factor's."""
        ...

    def recipe(self) -> dict[str, object]:
        """Return all that its outcome depends on, as JSON types; it goes into the factor's identity."""
        ...

    def fit(
        self, train: Examples, calibration: Examples, rng: np.random.Generator, progress: Progress, resume: Path | None
    ) -> Fitted:
        """Fit on `train`; `calibration` lies later, behind an embargo, for stopping early and for calibration.

        All chance comes from `rng`. `resume` is a file where progress may be kept and found again after a stop; it is
        None where nothing is kept.
        """
        ...
