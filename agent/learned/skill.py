"""Whether a learner is better than guessing: out of fold, with an error, against what needs no model.

A guess is the shares of the classes among what the model was fitted on, or a third each, whichever is better: a model
that has only learned how often each class comes is none. Labels of neighbouring places overlap, so the error comes from
stretches of time, not from places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.panel import FloatArray

CLASSES = ("short", "hold", "long")
# Stretches of time of a fold, and the fewest places of one.
_STRETCHES, _LEAST = 20, 20
# A gain of this number of errors above 0 is no luck.
SURE = 2.0


@dataclass(frozen=True)
class Skill:
    """What all folds of a learner say together.

    Attributes
    ----------
    log_loss, brier
        Out of fold; None of learners that tell no probabilities.
    guess_log_loss, guess_brier
        Of the better guess.
    gain, error
        Mean over stretches of time of what log loss gains on the guess, or of the correlation of signal and label; and
        its standard error.
    accuracy
        Share of places whose likeliest class came; `direction` of those that were short or long and called so.
    confusion
        (3, 3) places by what came and what was called, or ().
    direction_error
        Standard error of `direction`, over stretches of time; None where it is not known.
    """

    log_loss: float | None
    brier: float | None
    guess_log_loss: float | None
    guess_brier: float | None
    gain: float
    error: float
    accuracy: float | None
    direction: float | None
    confusion: tuple[tuple[int, ...], ...]
    direction_error: float | None = None

    @property
    def better(self) -> bool:
        """Whether it is better than guessing."""
        return self.gain > SURE * self.error

    def sentence(self) -> str:
        """Say first whether it is better than guessing, with its figures."""
        verdict = "Better than guessing" if self.better else "Not better than guessing"
        if self.log_loss is None:
            return (
                f"{verdict}: out of fold, signal and label go together by {self.gain:+.4f} ± {self.error:.4f} "
                "(correlation; guessing is 0)."
            )
        return (
            f"{verdict}: log loss {self.log_loss:.4f} out of fold, a guess by class shares {self.guess_log_loss:.4f} "
            f"(ln 3 is {np.log(3):.4f}), a gain of {self.gain:+.4f} ± {self.error:.4f}; Brier score {self.brier:.4f}, "
            f"the guess {self.guess_brier:.4f} (2/3 is {2 / 3:.4f})."
        )

    def direction_sentence(self) -> str:
        """Say how often the side was right, with an error; empty where no side was called or came."""
        if self.direction is None:
            return ""
        said = f"Of places that came and were called long or short, {self.direction:.3f} had the right side"
        if self.direction_error is None:
            return f"{said} (guessing is 0.5)."
        sure = self.direction - 0.5 > SURE * self.direction_error
        meant = "better than guessing, 0.5" if sure else "no better than guessing, 0.5"
        if self.better and not sure:
            meant += ": it knows whether something moves, not which way"
        return f"{said}, ± {self.direction_error:.3f}: {meant}."

    def precision(self) -> tuple[float, ...]:
        """Return how often each class came when it was called; NaN where it never was."""
        table = np.array(self.confusion, dtype=np.float64)
        called = table.sum(axis=0)
        return tuple(float(table[k, k] / called[k]) if called[k] else float("nan") for k in range(len(called)))


def judge_probabilities(said: FloatArray, labels: NDArray[np.int64], fitted: FloatArray) -> dict[str, object]:
    """Return the figures of one fold, as JSON types: probabilities (M, 3) in time order, and the classes that came.

    `fitted` are the labels that the model was fitted on.
    """
    came = (labels[:, None] == np.arange(said.shape[1])).astype(np.float64)
    shares = np.bincount(fitted.astype(np.int64), minlength=said.shape[1]) + 0.5
    guesses = [np.full(said.shape[1], 1.0 / said.shape[1]), shares / shares.sum()]
    guess = min(guesses, key=lambda g: float(-(came @ np.log(g)).mean()))
    ours = -np.log(np.maximum((said * came).sum(axis=1), 1e-12))
    theirs = -(came @ np.log(guess))
    table = np.zeros((said.shape[1], said.shape[1]), dtype=np.int64)
    np.add.at(table, (labels, said.argmax(axis=1)), 1)
    return {
        "count": len(labels),
        "log_loss": float(ours.mean()),
        "guess_log_loss": float(theirs.mean()),
        "brier": float(((said - came) ** 2).sum(axis=1).mean()),
        "guess_brier": float(((guess - came) ** 2).sum(axis=1).mean()),
        "gains": [float(part.mean()) for part in _stretches(theirs - ours)],
        "sides": _sides(labels, said.argmax(axis=1), said.shape[1] - 1),
        "confusion": table.tolist(),
    }


def judge_signal(signal: FloatArray, labels: FloatArray) -> dict[str, object]:
    """Return the figures of one fold of a learner without probabilities: signals and labels (M,) in time order."""
    known = np.isfinite(signal)
    pairs = zip(_stretches(signal[known]), _stretches(labels[known]), strict=True)
    gains = [float(np.corrcoef(s, y)[0, 1]) for s, y in pairs if np.ptp(s) > 0 and np.ptp(y) > 0]
    return {"count": int(known.sum()), "gains": gains}


def _sides(labels: NDArray[np.int64], called: NDArray[np.int64], long: int) -> list[list[int]]:
    """Return, of each stretch of time, places called and come long or short with the right side, and all of them."""
    sided = np.isin(labels, (0, long)) & np.isin(called, (0, long))
    pairs = zip(
        _stretches((sided & (labels == called)).astype(np.float64)), _stretches(sided.astype(np.float64)), strict=True
    )
    return [[int(one.sum()), int(every.sum())] for one, every in pairs]


def _stretches(values: FloatArray) -> list[FloatArray]:
    return np.array_split(values, max(1, min(_STRETCHES, len(values) // _LEAST)))


def skill_of(facts: Sequence[Mapping[str, object]]) -> Skill | None:
    """Return what the folds of a learner say together; None where none was judged."""
    folds: list[Mapping[str, Any]] = [f for fact in facts if isinstance(f := fact.get("skill"), dict)]
    gains = np.array([gain for fold in folds for gain in fold["gains"]])
    if len(gains) < 2:
        return None
    counts = np.array([fold["count"] for fold in folds], dtype=np.float64)

    def mean(name: str) -> float | None:
        if any(name not in fold for fold in folds):
            return None
        return float(np.average([fold[name] for fold in folds], weights=counts))

    tables = [fold["confusion"] for fold in folds if "confusion" in fold]
    table = np.sum(tables, axis=0) if tables else np.zeros((0, 0))
    sided = table[np.ix_([0, 2], [0, 2])] if len(table) == len(CLASSES) else np.zeros((0, 0))
    return Skill(
        log_loss=mean("log_loss"),
        brier=mean("brier"),
        guess_log_loss=mean("guess_log_loss"),
        guess_brier=mean("guess_brier"),
        gain=float(gains.mean()),
        error=float(gains.std(ddof=1) / np.sqrt(len(gains))),
        accuracy=float(np.trace(table) / table.sum()) if table.size else None,
        direction=float(np.trace(sided) / sided.sum()) if sided.size and sided.sum() else None,
        confusion=tuple(tuple(int(n) for n in row) for row in table),
        direction_error=_direction_error([pair for fold in folds for pair in fold.get("sides", ())]),
    )


def _direction_error(sides: Sequence[Sequence[int]]) -> float | None:
    """Return the standard error of the share of right sides: of a ratio of sums over stretches of time."""
    right, every = (np.array([pair[k] for pair in sides], dtype=np.float64) for k in (0, 1))
    if len(sides) < 2 or not every.sum():
        return None
    left = right - every * right.sum() / every.sum()
    return float(np.sqrt((left**2).sum() * len(sides) / (len(sides) - 1)) / every.sum())
