"""Walking forward: each stretch of time is predicted by a model whose labels had all ended before it began."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent.learned.channels import CHANNELS, channel_values, read_channels
from agent.learned.half_kelly import half_kelly, win_loss_ratio
from agent.learned.protocol import Calibrated, Examples, Fitted, Learner
from agent.learned.sample_windows import FloatGrid, Scaling, Windows, seen_places
from agent.learned.skill import judge_probabilities, judge_signal
from agent.learned.targets import Labels, TargetSpec, make_labels, sample_weights
from agent.learned.temperature import reliability
from agent.study.progress import Progress, no_progress
from backtest.trading_rules import Fill
from factors.features import Feature
from market.array_file import read_archive, write_archive
from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel
from market.split import Fold, walk_forward

Sizing = Literal["difference", "half-kelly"]
# A model of fewer examples says nothing.
LEAST_EXAMPLES = 200
_LEAST_CALIBRATION = 50
# Out-of-fold places by which probabilities are judged, a fold.
_JUDGED = 5_000


@dataclass(frozen=True)
class WalkPlan:
    """What is learned from what, and when.

    Attributes
    ----------
    window
        Bars that a model reads, the decision's own the last.
    folds, first
        Number of models, each for an equal stretch of time; the share of the bars before the first stretch.
    calibration
        Of the bars before a stretch, the share at their end that early stopping and calibration use.
    max_windows
        Examples of a fold at most, drawn at random; a quarter of it of the calibration ones.
    relative, fill
        Of the labels, as the trading rules have it: see `agent.learned.targets.make_labels`.
    sizing, cap
        What a signal of classes is: ``difference``, p(long) - p(short); or ``half-kelly``, the share of capital that
        half of Kelly's rule gives it, at most `cap`.
    """

    features: tuple[Feature, ...] = CHANNELS
    window: int = 128
    target: TargetSpec = field(default_factory=TargetSpec)
    folds: int = 4
    first: float = 0.4
    calibration: float = 0.15
    max_windows: int = 12_000
    seed: int = 7
    relative: bool = True
    fill: Fill = "open"
    sizing: Sizing = "difference"
    cap: float = 0.02

    def __post_init__(self) -> None:
        """Refuse what cannot be walked."""
        if self.sizing == "half-kelly" and not self.target.is_class:
            raise InputError("half-Kelly needs probabilities, and a return has none", "--target barrier or threshold")
        if not 0 < self.cap <= 1:
            raise InputError(f"a cap of {self.cap:g} of capital", "above 0, 1 at most")
        if not 1 <= self.window <= 10_000 or not 0 < self.first < 1 or not 0 < self.calibration < 0.5:
            raise InputError(f"a window of {self.window} bars, first {self.first:g}, calibration {self.calibration:g}")

    @property
    def embargo(self) -> int:
        """Bars left unused before each stretch: the label's reach and the window."""
        return self.target.reach + self.window

    def recipe(self) -> dict[str, object]:
        """Return the plan as JSON types; features by their texts."""
        # What is sized as it always was has the name that it always had.
        left_out = ("features", "sizing", "cap") if self.sizing == "difference" else ("features",)
        raw = {name: value for name, value in asdict(self).items() if name not in left_out}
        return {**raw, "features": [feature.text for feature in self.features]}


@dataclass(frozen=True, eq=False)
class Walked:
    """Out-of-fold predictions.

    Attributes
    ----------
    values
        (T, N) signal, higher for better; NaN before the first stretch, outside the universe and where too few channels
        are known.
    folds
        Rows that each model could be fitted on, and those that it predicted.
    facts
        Of each fold: dates, examples, and what its model tells of itself.
    """

    values: FloatArray
    folds: tuple[Fold, ...]
    facts: tuple[dict[str, object], ...]


@dataclass(frozen=True, eq=False)
class Material:
    """What all folds read: (N, T, C) channels, (T, N) labels, and where something may be said.

    `returns` (T, N) are over the labels' horizon, in deviations, where labels are classes: sizes are made of them.
    """

    panel: Panel
    channels: FloatGrid
    labels: Labels
    seen: BoolArray
    returns: FloatArray | None = None


def gather_material(panel: Panel, plan: WalkPlan, *, outcomes: Panel | None = None) -> Material:
    """Evaluate channels and labels of a panel; labels come from `outcomes` where given (controls)."""
    channels = channel_values(read_channels(plan.features, panel), panel)
    labels = make_labels(outcomes or panel, plan.target, fill=plan.fill, relative=plan.relative)
    returns = None
    if plan.target.is_class:
        whole = replace(plan.target, kind="return")
        returns = make_labels(outcomes or panel, whole, fill=plan.fill, relative=plan.relative).values
    return Material(panel, channels, labels, seen_places(channels, panel.universe), returns)


def walk_folds(n_bars: int, plan: WalkPlan) -> tuple[Fold, ...]:
    """Cut time; too few bars are an `InputError`."""
    return tuple(walk_forward(n_bars, folds=plan.folds, first=plan.first, embargo=plan.embargo))


def walk_panel(
    panel: Panel,
    plan: WalkPlan,
    learner: Learner,
    *,
    outcomes: Panel | None = None,
    folds: Sequence[Fold] | None = None,
    progress: Progress = no_progress,
    resume: Path | None = None,
) -> Walked:
    """Fit a model before each stretch of time, and predict the stretch with it.

    Parameters
    ----------
    outcomes
        What labels are made of instead of `panel`: for controls, such as null markets.
    folds
        Instead of those of the plan; for checks.
    resume
        A folder: folds that are done, and the one under way, are kept there, and a walk of the same data and recipe
        goes on from them. Whoever has stored the outcome removes it.

    Raises
    ------
    InputError
        For too few bars or examples, or features that cannot be read.
    """
    material = gather_material(panel, plan, outcomes=outcomes)
    cut = walk_folds(len(panel.times), plan) if folds is None else tuple(folds)
    values = np.full(panel.shape, np.nan)
    facts: list[dict[str, object]] = []
    for number, fold in enumerate(cut):

        def report(what: str, done: int, of: int, number: int = number) -> None:
            progress(f"fold {number + 1} of {len(cut)}, {what}", number * of + done, len(cut) * of)

        one = _Fold(material, plan, learner, fold, number)
        predicted, fact = one.run(report, resume)
        values[fold.test] = predicted
        facts.append(fact)
    return Walked(values, cut, tuple(facts))


@dataclass(frozen=True, eq=False)
class _Fold:
    """One model: what it is fitted on, and the stretch it predicts; one of unseen bars is not judged on them."""

    material: Material
    plan: WalkPlan
    learner: Learner
    fold: Fold
    number: int
    judges: bool = True

    def run(self, progress: Progress, resume: Path | None) -> tuple[FloatArray, dict[str, object]]:
        """Return the predictions of the stretch and the facts of the fold."""
        train, calibration, grid = self.examples()
        done = None if resume is None else resume / f"fold{self.number}.npz"
        identity = self._identity(train, calibration)
        if done is not None and done.is_file():
            document, arrays = read_archive(done, "fold of a walk", f"remove {done} to train it again")
            if document.get("identity") == identity:
                return arrays["values"], document["facts"]
        rng = np.random.default_rng([self.plan.seed, self.number])
        under_way = None if resume is None else resume / f"fold{self.number}.training"
        fitted = self.learner.fit(train, calibration, rng, progress, under_way)
        test = self.fold.test
        rows, assets = np.nonzero(self.material.seen[test])
        predicted = np.full((test.stop - test.start, self.material.panel.shape[1]), np.nan)
        asked = Windows(grid, assets, rows + test.start, self.plan.window)
        predicted[rows, assets], sized = self._signals(fitted, calibration, asked)
        facts = {
            **self._dates(),
            "train": len(train),
            "calibration": len(calibration),
            **fitted.facts(),
            **sized,
            **self._newest(fitted, asked),
            **(self._judged(fitted, grid, train.labels, predicted) if self.judges else {}),
        }
        if done is not None:
            write_archive(done, {"identity": identity, "facts": facts}, {"values": predicted})
        return predicted, facts

    def _signals(self, fitted: Fitted, calibration: Examples, asked: Windows) -> tuple[FloatArray, dict[str, object]]:
        """Return signals (M,) of what is asked, and what wins pay over what losses cost, where that is known."""
        half = self.plan.sizing == "half-kelly"
        if not isinstance(fitted, Calibrated) or self.material.returns is None:
            if half:
                raise InputError(f"{self.learner.kind} tells no probabilities", "half-Kelly needs some: learn boosting")
            return fitted.predict(asked), {}
        places = calibration.windows
        ratio = win_loss_ratio(fitted.probabilities(places), self.material.returns[places.bars, places.assets])
        signals = half_kelly(fitted.probabilities(asked), ratio, self.plan.cap) if half else fitted.predict(asked)
        return signals, {"win_loss_ratio": ratio}

    def _newest(self, fitted: Fitted, asked: Windows) -> dict[str, object]:
        """Return the probabilities of the stretch's last bar, by asset, where the model tells some."""
        if not (isinstance(fitted, Calibrated) and self.plan.target.is_class) or not len(asked):
            return {}
        last = np.flatnonzero(asked.bars == asked.bars.max())
        said = fitted.probabilities(asked.take(last))
        panel = self.material.panel
        names = [panel.assets[k] for k in asked.assets[last]]
        rows = {name: [float(p) for p in row] for name, row in zip(names, said, strict=True)}
        return {"newest": {"time": str(panel.times[asked.bars[last[0]]])[:16], "probabilities": rows}}

    def _judged(
        self, fitted: Fitted, grid: FloatGrid, train_labels: FloatArray, predicted: FloatArray
    ) -> dict[str, object]:
        """Return whether the model is better than guessing out of fold, and how often what it said came true.

        Labels of the stretch's last bars end after it, and tell of the model all the same: nothing is fitted by them.
        """
        rng = np.random.default_rng([self.plan.seed, self.number, 2])
        bars, assets, labels, _ = self._places(self.fold.test, _JUDGED, rng)
        if not len(bars):
            return {}
        if not (isinstance(fitted, Calibrated) and self.plan.target.is_class):
            return {"skill": judge_signal(predicted[bars - self.fold.test.start, assets], labels)}
        said, came = fitted.probabilities(Windows(grid, assets, bars, self.plan.window)), labels.astype(np.int64)
        return {"reliability": reliability(said, came), "skill": judge_probabilities(said, came, train_labels)}

    def _places(
        self, rows: slice, limit: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray, NDArray[np.int64]]:
        """Return bars, assets, labels and ends of at most `limit` labelled places of some rows, in time order."""
        labels = self.material.labels
        bars, assets = np.nonzero(self.material.seen[rows] & np.isfinite(labels.values[rows]))
        bars = bars + rows.start
        if len(bars) > limit:
            chosen = np.sort(rng.choice(len(bars), size=limit, replace=False))
            bars, assets = bars[chosen], assets[chosen]
        return bars, assets, labels.values[bars, assets], labels.ends[bars, assets]

    def examples(self) -> tuple[Examples, Examples, FloatGrid]:
        """Return what is fitted on, what is held out for stopping, and the channels normalised by the former's rows."""
        plan, train = self.plan, self.fold.train
        start = train.stop - round(plan.calibration * (train.stop - train.start))
        fit_rows, calibration_rows = (
            slice(train.start, max(start - plan.embargo, train.start)),
            slice(start, train.stop),
        )
        known = np.zeros(self.material.seen.shape, dtype=bool)
        known[fit_rows] = self.material.seen[fit_rows]
        grid = Scaling.of(self.material.channels, known.T).applied(self.material.channels)
        rng = np.random.default_rng([plan.seed, self.number, 1])
        fitted = self._draw(fit_rows, plan.max_windows, grid, rng)
        calibration = self._draw(calibration_rows, max(plan.max_windows // 4, _LEAST_CALIBRATION), grid, rng)
        if len(fitted) < LEAST_EXAMPLES or len(calibration) < _LEAST_CALIBRATION:
            raise InputError(
                f"fold {self.number + 1} has {len(fitted)} examples to fit on and {len(calibration)} to stop by, "
                f"at least {LEAST_EXAMPLES} and {_LEAST_CALIBRATION} are needed",
                "use more bars or assets, fewer folds, a shorter window or horizon",
            )
        if self.plan.target.is_class and len(np.unique(fitted.labels)) < 2:
            raise InputError(
                f"fold {self.number + 1} knows one class only: no class can be predicted",
                "choose another --width or --horizon, or --target return",
            )
        return fitted, calibration, grid

    def _draw(self, rows: slice, limit: int, grid: FloatGrid, rng: np.random.Generator) -> Examples:
        """Return examples of some rows; all their labels end before the fold's stretch begins."""
        bars, assets, found, ends = self._places(rows, limit, rng)
        # By construction of folds and embargo; a label beyond would be a look ahead.
        assert not len(ends) or int(ends.max()) < self.fold.test.start
        weights = sample_weights(found, self.plan.target, assets, bars, ends)
        windows = Windows(grid, assets, bars, self.plan.window)
        return Examples(windows, found, weights, self.plan.target.is_class)

    def _dates(self) -> dict[str, object]:
        times, train, test = self.material.panel.times, self.fold.train, self.fold.test
        spans = {"trained": train, "predicted": test}
        return {name: [str(times[s.start])[:16], str(times[s.stop - 1])[:16]] for name, s in spans.items()}

    def _identity(self, train: Examples, calibration: Examples) -> str:
        """Return a hash of what is fitted, on what, and of what it is to predict."""
        digest = hashlib.blake2b(repr((self.learner.kind, self.learner.recipe(), self.plan)).encode(), digest_size=16)
        digest.update(repr((self.fold, self.number)).encode())
        for part in (train, calibration):
            for array in (part.windows.assets, part.windows.bars, part.labels, part.weights):
                digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(np.ascontiguousarray(train.windows.grid[:, : self.fold.test.stop]).tobytes())
        return digest.hexdigest()


def predict_after(
    panel: Panel, plan: WalkPlan, learner: Learner, start: int, progress: Progress, resume: Path | None = None
) -> tuple[FloatArray, dict[str, object]]:
    """Fit one more model on the bars before a row, and predict those from it on; no return of theirs is read.

    Returns
    -------
    tuple
        (T - start, N) signals, and the facts of the model, without a judgement.

    Raises
    ------
    InputError
        For too few examples, or when something before `start` changes as the bars from it on are cut off.
    """
    material = gather_material(panel, plan)
    part = gather_material(panel.rows(0, start), plan).channels
    if not np.array_equal(material.channels[:, :start], part, equal_nan=True):
        raise InputError("what the last model reads changes when later bars are cut off: a feature looks ahead")
    before = (np.arange(len(panel.times)) < start)[:, None]
    known = replace(material.labels, values=np.where(before, material.labels.values, np.nan))
    fold = Fold(slice(0, start - plan.embargo), slice(start, len(panel.times)))
    one = _Fold(replace(material, labels=known), plan, learner, fold, plan.folds, judges=False)
    return one.run(progress, resume)


def check_walk(panel: Panel, plan: WalkPlan, *, outcomes: Panel | None = None) -> None:
    """Check that nothing a fold reads changes when the bars after its stretch are cut off.

    For each fold, channels up to the end of its stretch and labels before it are made again from the panel that ends
    there, and must be the same to the bit. What a model is asked is then a function of bars up to the stretch's end,
    and what it is fitted on of bars before the stretch.

    Raises
    ------
    InputError
        When something changes: a channel looks ahead.
    """
    whole = gather_material(panel, plan, outcomes=outcomes)
    for number, fold in enumerate(walk_folds(len(panel.times), plan)):
        stop = fold.test.stop
        part = gather_material(panel.rows(0, stop), plan, outcomes=None if outcomes is None else outcomes.rows(0, stop))
        before = fold.train.stop
        pairs: list[tuple[NDArray[np.generic], NDArray[np.generic]]] = [
            (whole.channels[:, :stop], part.channels),
            (whole.seen[:stop], part.seen),
            (whole.labels.values[:before], part.labels.values[:before]),
            (whole.labels.ends[:before], part.labels.ends[:before]),
        ]
        if not all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs):
            raise InputError(
                f"what fold {number + 1} reads changes when later bars are cut off: a feature looks ahead",
                "report the features; the result was not recorded",
            )
